package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.5: "0.5", 1: "1", 12.34: "12.3", 99.96: "100", 999: "999", 999.9: "1k", 1000: "1k", 1234: "1.23k",
		12_345: "12.3k", 999_999: "1M", 5e6: "5M", 2.5e9: "2.5G", -1500: "-1.5k"} {
		if got := Short(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}

func TestScales(t *testing.T) {
	for _, c := range []struct {
		s    scale
		want []float64
	}{
		{scale{low: 0, high: 57}, []float64{0, 10, 20, 30, 40, 50, 60}},
		{scale{low: 0, high: 1}, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{scale{low: 3, high: 70, log: true}, []float64{2, 5, 10, 20, 50, 100}},
		{scale{low: 0.4, high: 2e6, log: true}, []float64{1, 10, 100, 1000, 1e4, 1e5, 1e6}},
		{scale{low: 100, high: 1000, log: true}, []float64{100, 200, 500, 1000}},
	} {
		s := c.s
		s.from, s.to = 0, 100
		s.round()
		got := s.ticks()
		if len(got) != len(c.want) {
			t.Errorf("%+v: ticks %v, want %v", c.s, got, c.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-6*c.want[len(c.want)-1] {
				t.Errorf("%+v: ticks %v, want %v", c.s, got, c.want)
				break
			}
		}
		if s.low > c.s.low || s.high < c.s.high || s.at(s.low) != 0 || math.Abs(s.at(s.high)-100) > 1e-9 {
			t.Errorf("%+v became %+v, which puts its ends on %v and %v", c.s, s, s.at(s.low), s.at(s.high))
		}
	}
}

func TestScaleOfOneValue(t *testing.T) {
	for _, logarithmic := range []bool{false, true} {
		for _, values := range [][]float64{nil, {7}} {
			s := scale{low: math.Inf(1), high: math.Inf(-1), log: logarithmic, to: 100}
			for _, v := range values {
				s.take(v)
			}
			s.settle()
			if !(s.low < s.high) || len(s.ticks()) == 0 {
				t.Errorf("%v: %+v, ticks %v", values, s, s.ticks())
			}
		}
	}
}

func figure() *Figure {
	nan := math.NaN()
	return &Figure{Title: "a < b & c", Note: "note", Panels: []Panel{
		{Title: "lines", XLabel: "callers", YLabel: "ops", LogX: true, LogY: true, Series: []Series{
			{Name: "one", Points: []Point{{1, 100, 90, 110}, {64, 5000, 5000, 5000}, {512, nan, nan, nan}, {2048, 0, 0, 0}}},
			{Name: "two & more", Color: 1, Dashed: true, Points: []Point{{1, 50, 50, 50}}},
			{Name: "none", Color: 20},
		}},
		{Title: "bars", Bars: true, X: []Label{{0, "get"}, {1, "set"}}, Series: []Series{
			{Name: "one", Points: []Point{{0, 10, 8, 12}, {1, 20, 20, 20}}}, {Name: "two & more", Color: 1, Points: []Point{{0, 5, 5, 5}}},
		}},
		{Title: "nothing"},
	}}
}

// elements returns how often each element is in a document, and all its texts.
func elements(t *testing.T, document string) (map[string]int, []string) {
	t.Helper()
	count := make(map[string]int)
	var texts []string
	for d := xml.NewDecoder(strings.NewReader(document)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count, texts
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		switch e := token.(type) {
		case xml.StartElement:
			count[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("%s %s=%q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			texts = append(texts, string(e))
		}
	}
}

func TestFigure(t *testing.T) {
	var b strings.Builder
	if err := figure().WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	count, texts := elements(t, b.String())
	// Three points can be drawn in the first panel, and three bars and the ground are rectangles.
	if count["circle"] != 3 || count["rect"] != 4 || count["g"] != 3 {
		t.Errorf("%v", count)
	}
	if slices.Contains(texts, "-0") {
		t.Error("a tick is -0")
	}
	for _, want := range []string{"a < b & c", "two & more", "callers", "get", "none", "one: 5k"} {
		if !slices.Contains(texts, want) {
			t.Errorf("no %q among %q", want, texts)
		}
	}
}

// full refuses what is written to it.
type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrorIsReported(t *testing.T) {
	if err := figure().WriteSVG(full{}); !errors.Is(err, errFull) {
		t.Error(err)
	}
}
