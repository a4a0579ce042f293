// Package chart draws figures of lines and bars as SVG. It owns scales, ticks and layout, and knows nothing of what is drawn.
//
// A figure is one file without scripts, fonts or links. It has a white ground, so it reads the same wherever it is shown.
package chart

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// Figure is panels beside each other with one legend.
type Figure struct {
	Title  string
	Note   string // below the title
	Panels []Panel
}

// Panel is one coordinate system.
type Panel struct {
	Title          string
	XLabel, YLabel string
	LogX, LogY     bool    // a panel of bars ignores LogX
	X              []Label // where the x axis has words; nil: round numbers
	Bars           bool    // series stand beside each other at 0, 1, …, one for each of X
	Series         []Series
}

// Label is a word on an axis.
type Label struct {
	At   float64
	Text string
}

// Series is the points of one name, whose color is the same in all panels. Points are in the order of X.
type Series struct {
	Name   string
	Color  int // of the palette
	Dashed bool
	Points []Point
}

// Point is a value with its spread. Low and High equal Y where it has none. A Y that is not a finite number is not drawn, nor on a
// logarithmic axis one that is not above 0.
type Point struct{ X, Y, Low, High float64 }

// palette is told apart also by those who see few colors: Okabe and Ito's, with grays.
var palette = []string{"#d55e00", "#e69f00", "#0072b2", "#009e73", "#56b4e9", "#cc79a7", "#7f7f7f", "#b5a642", "#000000"}

func color(n int) string { return palette[((n%len(palette))+len(palette))%len(palette)] }

// Sizes in pixels.
const (
	panelWidth, panelHeight = 430, 300
	left, right             = 62, 14 // of a panel's lines
	top, bottom             = 74, 46
	legendRow               = 20
	legendColumn            = 170
)

// WriteSVG writes the figure.
func (f *Figure) WriteSVG(w io.Writer) error {
	var b strings.Builder
	width := panelWidth * max(1, len(f.Panels))
	names := f.names()
	// The legend stands below all panels, since it is the same for all.
	columns := max(1, (width-left)/legendColumn)
	rows := (len(names) + columns - 1) / columns
	height := top + panelHeight + bottom + rows*legendRow + 10

	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	text(&b, left, 22, "start", `font-size="15" font-weight="bold"`, f.Title)
	text(&b, left, 40, "start", `fill="#555555"`, f.Note)

	for i := range f.Panels {
		fmt.Fprintf(&b, `<g transform="translate(%d,0)">`+"\n", i*panelWidth)
		f.Panels[i].draw(&b)
		b.WriteString("</g>\n")
	}

	for i, s := range names {
		x, y := left+(i%columns)*legendColumn, top+panelHeight+bottom+(i/columns)*legendRow
		fmt.Fprintf(&b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="4"%s/>`+"\n", x, y, x+22, y, color(s.Color), dash(s.Dashed))
		text(&b, float64(x+28), float64(y+4), "start", "", s.Name)
	}

	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// names returns the first series of each name.
func (f *Figure) names() (list []Series) {
	seen := make(map[string]bool)
	for i := range f.Panels {
		for _, s := range f.Panels[i].Series {
			// A name has one color in all panels, so one entry of the legend is enough.
			if !seen[s.Name] {
				seen[s.Name] = true
				list = append(list, s)
			}
		}
	}
	return list
}

func dash(dashed bool) string {
	if !dashed {
		return ""
	}
	return ` stroke-dasharray="6 4"`
}

// text writes a text with its anchor at x.
func text(b *strings.Builder, x, y float64, anchor, attributes, s string) {
	if s == "" {
		return
	}
	if attributes != "" {
		attributes = " " + attributes
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>`+"\n", x, y, anchor, attributes, html.EscapeString(s))
}

// draw draws the panel at the origin.
func (p *Panel) draw(b *strings.Builder) {
	x, y := p.scales()
	text(b, left, top-12, "start", `font-weight="bold"`, p.Title)

	for _, t := range y.ticks() {
		at := y.at(t)
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#dddddd"/>`+"\n", left, at, panelWidth-right, at)
		text(b, left-6, at+4, "end", "", Short(t))
	}

	// Labels that were given stand in for numbers, say the names of operations.
	labels := p.X
	if labels == nil {
		for _, t := range x.ticks() {
			labels = append(labels, Label{t, Short(t)})
		}
	}

	for _, l := range labels {
		at := x.at(l.At)
		if !p.Bars {
			fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#aaaaaa"/>`+"\n", at, top+panelHeight, at, top+panelHeight+4)
		}
		text(b, at, top+panelHeight+17, "middle", "", l.Text)
	}

	fmt.Fprintf(b, `<path d="M%d %dV%dH%d" fill="none" stroke="#555555"/>`+"\n", left, top, top+panelHeight, panelWidth-right)
	text(b, (left+panelWidth-right)/2, top+panelHeight+33, "middle", `fill="#555555"`, p.XLabel)
	if p.YLabel != "" {
		fmt.Fprintf(b, `<text transform="translate(14,%d) rotate(-90)" text-anchor="middle" fill="#555555">%s</text>`+"\n", top+panelHeight/2, html.EscapeString(p.YLabel))
	}

	for i := range p.Series {
		if p.Bars {
			p.bars(b, i, x, y)
		} else {
			p.line(b, &p.Series[i], x, y)
		}
	}
}

// drawn reports whether a point can be drawn.
func (p *Panel) drawn(pt Point) bool {
	if math.IsNaN(pt.Y) || math.IsInf(pt.Y, 0) || p.LogY && pt.Y <= 0 {
		return false
	}
	return p.Bars || !p.LogX || pt.X > 0
}

func (p *Panel) line(b *strings.Builder, s *Series, x, y scale) {
	var path strings.Builder
	for _, pt := range s.Points {
		if !p.drawn(pt) {
			continue
		}

		// A path begins with a move and goes on with lines.
		command := "L"

		// No point can be drawn on this scale.
		if path.Len() == 0 {
			command = "M"
		}
		fmt.Fprintf(&path, "%s%.1f %.1f", command, x.at(pt.X), y.at(pt.Y))
		p.spread(b, x.at(pt.X), pt, y, color(s.Color))
	}
	if path.Len() == 0 {
		return
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", path.String(), color(s.Color), dash(s.Dashed))
	for _, pt := range s.Points {
		if p.drawn(pt) {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s</title></circle>`+"\n", x.at(pt.X), y.at(pt.Y), color(s.Color),
				html.EscapeString(s.Name+": "+Short(pt.Y)))
		}
	}
}

// bars draws the n-th series of a panel of bars.
func (p *Panel) bars(b *strings.Builder, n int, x, y scale) {
	s := &p.Series[n]
	group := (x.at(1) - x.at(0)) * 0.84
	width := group / float64(len(p.Series))
	for _, pt := range s.Points {
		if !p.drawn(pt) {
			continue
		}

		from, to := x.at(pt.X)-group/2+float64(n)*width, y.at(pt.Y)
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>`+"\n", from, to, max(1, width-1),
			max(0, top+panelHeight-to), color(s.Color), html.EscapeString(s.Name+": "+Short(pt.Y)))
		p.spread(b, from+width/2, pt, y, "#333333")
	}
}

// spread draws the line from low to high.
func (p *Panel) spread(b *strings.Builder, at float64, pt Point, y scale, stroke string) {
	if !(pt.High > pt.Low) || p.LogY && pt.Low <= 0 {
		return
	}
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", at, y.at(pt.Low), at, y.at(pt.High), stroke)
}

// scales returns the scales that hold all points.
func (p *Panel) scales() (x, y scale) {
	x = scale{low: math.Inf(1), high: math.Inf(-1), log: p.LogX && !p.Bars, from: left + 8, to: panelWidth - right - 8}
	y = scale{low: math.Inf(1), high: math.Inf(-1), log: p.LogY, from: top + panelHeight, to: top}
	for i := range p.Series {
		for _, pt := range p.Series[i].Points {
			if !p.drawn(pt) {
				continue
			}
			x.take(pt.X)
			y.take(pt.Y)
			if pt.High > pt.Low {
				y.take(pt.Low)
				y.take(pt.High)
			}
		}
	}

	for _, l := range p.X {
		x.take(l.At)
	}

	if p.Bars {
		x.low, x.high = -0.5, float64(max(1, len(p.X)))-0.5
	}
	// Heights are compared by eye, so a linear scale begins at zero.
	if !y.log {
		y.take(0)
	}

	x.settle()
	y.settle()
	y.round()
	return x, y
}
