package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/compare/stats"
)

// measured returns a result with two rounds of a Get by 64 callers for some peers, and a third that failed for Hazelcast.
func measured() *Result {
	r := &Result{Started: time.Unix(1_700_000_000, 0), Machine: Machine{CPU: "a CPU", CPUs: 2, Commit: "abc"},
		Peers: []Took{{Name: many, About: "271", Copies: 3}, {Name: hz, About: "H", Copies: 3}}}
	c := Cell{Op: opGet, Size: 100, Callers: 64, Batch: 1, Members: 3}
	for i, v := range []float64{4000, 8000, 5000} {
		r.add(many, c, Round{PerSecond: v, P50: 100, P99: 900, CPU: 10, ClientCPU: 4})
		other := Round{PerSecond: v / 5, P50: 300, CPU: 40, ClientCPU: 4}
		if i == 2 {
			other = Round{Error: "not | there"}
		}
		r.add(hz, c, other)
	}
	one := Cell{Op: opGet, Size: 100, Callers: 1, Batch: 1, Members: 3}
	r.add(many, one, Round{PerSecond: 10, P50: 90})
	r.add(hz, one, Round{PerSecond: 5, P50: 200})
	r.skip("olric", "all", "not installed")
	r.skip("olric", "all", "not installed")
	r.Idle = []Idle{{many, 0.061}, {hz, 0.5}}
	r.Goals = judge(r, 3)
	return r
}

func TestGoalsAreJudgedByPairedRounds(t *testing.T) {
	r := measured()
	want := map[string]Reached{
		"gridiron-271 Get, 64 callers over hazelcast": {Want: "≥ 4x", Is: stats.Summary{Median: 5, Min: 5, Max: 5}, Unit: "x", Pairs: 2, Reached: true,
			CPU: stats.Summary{Median: 4, Min: 4, Max: 4}},
		"p50 of gridiron-271 Get, one caller over hazelcast": {Want: "≤ 0.5x", Is: stats.Summary{Median: 0.45, Min: 0.45, Max: 0.45}, Unit: "x", Pairs: 1,
			Reached: true},
		"gridiron-271 without work, all processes": {Want: "≤ 6 %", Is: stats.Summary{Median: 6.1, Min: 6.1, Max: 6.1}, Unit: "% of a core", Pairs: 1},
		"p50 of gridiron-271 Get, one caller":      {Want: "≤ 80 µs", Is: stats.Summary{Median: 90, Min: 90, Max: 90}, Unit: "µs", Pairs: 1},
	}
	for _, g := range r.Goals {
		w, ok := want[g.Text]
		if w.Text = g.Text; !ok || g != w {
			t.Errorf("%+v, want %+v", g, w)
		}
		delete(want, g.Text)
	}
	if len(want) != 0 {
		t.Errorf("not judged: %v", want)
	}
	if got := judge(r, 5); got != nil {
		t.Errorf("five members were judged: %v", got)
	}
}

func TestReport(t *testing.T) {
	r := measured()
	var b strings.Builder
	if err := r.WriteMarkdown(&b, r.plots()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| gridiron-271 Get, 64 callers over hazelcast | ≥ 4x | 5 x | 4 | reached |\n", "| ≤ 80 µs | 90 µs |  | not reached |\n", "2 of 4 reached.\n",
		"Left out of all: olric: not installed\n", "| Get, 100 B, 64 callers | 5 |\n", "| Get, 100 B, 64 callers | 4 |\n", "| Get, 100 B, 1 caller | 2 |\n",
		"| gridiron-271 | 5k (4k-8k) | 0.1 | 0.9 | 0 | 10 | 4 | 0 |\n", "| hazelcast | 1.2k (800-1.6k) | 0.3 | 0 | 0 | 40 | 4 | 0: not / there |\n",
		"![Scaling over callers](callers.svg)",
	} {
		if strings.Count(b.String(), want) != 1 {
			t.Errorf("%q is not there once in\n%s", want, b.String())
		}
	}

	var doc bytes.Buffer
	var back Result
	if err := errors.Join(r.WriteJSON(&doc), json.Unmarshal(doc.Bytes(), &back)); err != nil {
		t.Fatal(err)
	}
	if len(back.Cells) != 4 || back.Cells[0].Rounds[1] != r.Cells[0].Rounds[1] || back.Goals[1] != r.Goals[1] {
		t.Errorf("%+v", back)
	}
}

func TestPlotsAreOfWhatThereIs(t *testing.T) {
	r := measured()
	files := make(map[string]plot)
	for _, p := range r.plots() {
		files[p.file] = p
		var b strings.Builder
		if err := p.figure.WriteSVG(&b); err != nil || !strings.HasPrefix(b.String(), "<svg") {
			t.Errorf("%s: %v", p.file, err)
		}
	}
	if files["callers.svg"].figure == nil || files["throughput.svg"].figure == nil || files["latency.svg"].figure == nil {
		t.Errorf("%v", files)
	}
	for _, name := range []string{"sizes.svg", "members.svg", "entries.svg", "bulk.svg"} {
		if files[name].figure != nil {
			t.Errorf("%s, though nothing of it was measured", name)
		}
	}
	p := files["callers.svg"].figure.Panels[0].Series[0]
	if p.Name != many || len(p.Points) != 2 || p.Points[0].X != 1 || p.Points[1].Y != 5000 || p.Points[1].Low != 4000 || p.Points[1].High != 8000 {
		t.Errorf("%+v", p)
	}
}

func TestRoundsOfBatchesAreOfEntries(t *testing.T) {
	total, client := 2000.0, 500.0
	r := newRound(Cell{Batch: 1000}, benchmarks.Round{PerSecond: 30, P50: 5 * time.Millisecond, CPU: benchmarks.CPU{Client: &client, Total: &total}}, nil)
	if want := (Round{PerSecond: 30_000, P50: 5000, CPU: 2, ClientCPU: 0.5}); r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	if r := newRound(Cell{}, benchmarks.Round{}, errors.New("gone")); r != (Round{Error: "gone"}) {
		t.Errorf("%+v", r)
	}
}

func TestWhatGridBenchPrints(t *testing.T) {
	r, err := parseBenched([]byte(`[{"op":"get","per_second":900,"p50_us":7,"p90_us":8,"p99_us":9,"p999_us":10,"max_us":11,"cpu_us":20.5,"client_cpu_us":3,"errors":1,"first_error":"no"}]`))
	if want := (Round{PerSecond: 900, P50: 7, P90: 8, P99: 9, P999: 10, Max: 11, CPU: 20.5, ClientCPU: 3, Errors: 1, Error: "no"}); err != nil || r != want {
		t.Errorf("%+v, %v", r, err)
	}
	for _, text := range []string{"", "{}", "[]", "[{},{}]"} {
		if _, err := parseBenched([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestResidentMemory(t *testing.T) {
	n, err := parseResident([]byte("Name:\tx\nVmHWM:\t  900 kB\nVmRSS:\t  123 kB\nRssAnon: 5 kB\n"))
	if n != 123<<10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, text := range []string{"", "VmRSS:\n", "VmRSS: many kB\n"} {
		if _, err := parseResident([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
