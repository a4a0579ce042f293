package main

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/benchmarks/compare/chart"
	"github.com/gridiron-io/gridiron/benchmarks/compare/peers"
)

// plot is a figure and its file.
type plot struct {
	file   string
	figure *chart.Figure
}

// plots returns the figures for which there are at least two points.
func (r *Result) plots() (list []plot) {
	// A figure without series would be an empty frame, so it is left out.
	add := func(file, title string, panels ...chart.Panel) {
		panels = slices.DeleteFunc(panels, func(p chart.Panel) bool { return len(p.Series) == 0 })
		if len(panels) > 0 {
			note := fmt.Sprintf("%s, %d CPUs, %s; medians of interleaved rounds, lines from the lowest to the highest", r.Machine.CPU, r.Machine.CPUs, r.Machine.Commit)
			list = append(list, plot{file, &chart.Figure{Title: title, Note: note, Panels: panels}})
		}
	}

	add("throughput.svg", "Operations per second", r.bars("64 callers", perSecond, 64), r.bars("512 callers", perSecond, 512))
	add("cpu.svg", "CPU-µs per operation, all processes", r.bars("64 callers", cpu, 64), r.bars("512 callers", cpu, 512))
	add("bulk.svg", "Entries per second in batches", r.bars("", perSecond, 0))
	add("latency.svg", "Latency by percentile", r.percentiles(opGet, 64), r.percentiles(opSet, 64))
	add("callers.svg", "Scaling over callers", r.over(opGet, byCallers), r.over(opSet, byCallers), r.over(opMixed, byCallers))
	add("sizes.svg", "Value sizes, 512 callers", r.over(opGet, bySize), r.over(opSet, bySize))
	add("members.svg", "Members, 512 callers", r.over(opGet, byMembers), r.over(opSet, byMembers))
	add("entries.svg", "Resident memory of all processes", r.memoryPanel(false), r.memoryPanel(true))
	return list
}

// names returns the peers that were measured, and the older binary at last.
func (r *Result) names() (list []string) {
	for _, p := range append(slices.Clone(peers.All), peers.Peer{Name: baselineName}) {
		if slices.ContainsFunc(r.Cells, func(s Series) bool { return s.Peer == p.Name }) {
			list = append(list, p.Name)
		}
	}
	return list
}

// line returns a series without points, in the color that a peer has in all figures.
func line(name string) chart.Series {
	i := slices.IndexFunc(peers.All, func(p peers.Peer) bool { return p.Name == name || p.System == name })
	if i < 0 {
		i = len(peers.All)
	}
	return chart.Series{Name: name, Color: i, Dashed: name == baselineName}
}

// point returns a point of a series.
func (s *Series) point(x float64, m metric) chart.Point {
	v := s.summary(m)
	return chart.Point{X: x, Y: v.Median, Low: v.Min, High: v.Max}
}

// bars returns a panel of the operations of some number of callers, with values of 100 bytes. With 0 callers it is that of batches.
func (r *Result) bars(title string, m metric, callers int) chart.Panel {
	p := chart.Panel{Title: title, Bars: true}
	ops := []string{opGet, opSet, opMixed}
	if callers == 0 {
		ops = []string{opGetAll, opSetAll}
	}

	names := r.names()
	ops = slices.DeleteFunc(ops, func(op string) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return r.find(side{name, op, callers}) != nil })
	})

	for _, name := range names {
		s := line(name)

		for i, op := range ops {
			if one := r.find(side{name, op, callers}); one != nil {
				s.Points = append(s.Points, one.point(float64(i), m))
			}
		}
		if len(s.Points) > 0 {
			p.Series = append(p.Series, s)
		}
	}
	for i, op := range ops {
		p.X = append(p.X, chart.Label{At: float64(i), Text: Cell{Op: op, Batch: 1000}.title()})
	}
	return p
}

// percentiles returns a panel of latencies, with values of 100 bytes.
func (r *Result) percentiles(op string, callers int) chart.Panel {
	p := chart.Panel{Title: fmt.Sprintf("%s, %d callers", Cell{Op: op}.title(), callers), YLabel: "milliseconds", LogY: true}
	list := []struct {
		text string
		of   metric
	}{{"p50", p50}, {"p90", func(r *Round) float64 { return r.P90 }}, {"p99", p99}, {"p99.9", func(r *Round) float64 { return r.P999 }},
		{"max", func(r *Round) float64 { return r.Max }}}

	for i, l := range list {
		p.X = append(p.X, chart.Label{At: float64(i), Text: l.text})
	}

	for _, name := range r.names() {
		one := r.find(side{name, op, callers})
		if one == nil {
			continue
		}
		s := line(name)
		for i, l := range list {
			s.Points = append(s.Points, one.point(float64(i), func(r *Round) float64 { return l.of(r) / 1000 }))
		}
		p.Series = append(p.Series, s)
	}
	return p
}

// dimension is what a panel of lines has on its x axis.
type dimension struct {
	label string
	log   bool
	x     func(Cell) int
	in    func(Cell) bool // which cells belong to it
}

var (
	byCallers = dimension{"callers", true, func(c Cell) int { return c.Callers }, func(c Cell) bool { return c.Size == 100 && c.Members == 3 }}
	bySize    = dimension{"bytes of a value", true, func(c Cell) int { return c.Size }, func(c Cell) bool { return c.Callers == 512 && c.Members == 3 }}
	byMembers = dimension{"members", false, func(c Cell) int { return c.Members }, func(c Cell) bool { return c.Callers == 512 && c.Size == 100 }}
)

// over returns a panel of operations per second over a dimension. It is empty unless some peer has two points.
func (r *Result) over(op string, d dimension) chart.Panel {
	p := chart.Panel{Title: Cell{Op: op}.title(), XLabel: d.label, YLabel: "operations per second", LogX: d.log, LogY: true}

	most := 0
	var at []int
	for _, name := range r.names() {
		s := line(name)
		for i := range r.Cells {
			if c := r.Cells[i].Cell; r.Cells[i].Peer == name && c.Op == op && d.in(c) {
				s.Points = append(s.Points, r.Cells[i].point(float64(d.x(c)), perSecond))
				at = append(at, d.x(c))
			}
		}
		if len(s.Points) == 0 {
			continue
		}

		// A line goes from left to right, whatever the order of the cells was.
		slices.SortFunc(s.Points, func(a, b chart.Point) int { return int(a.X - b.X) })
		most = max(most, len(s.Points))
		p.Series = append(p.Series, s)
	}
	// A single point is no line.
	if most < 2 {
		p.Series = nil
	}

	slices.Sort(at)
	for _, x := range slices.Compact(at) {
		p.X = append(p.X, chart.Label{At: float64(x), Text: fmt.Sprint(x)})
	}
	return p
}

// memoryPanel returns the resident memory over entries: of all processes, or for each entry and copy.
func (r *Result) memoryPanel(each bool) chart.Panel {
	p := chart.Panel{Title: "all processes", XLabel: "entries", YLabel: "MB"}
	if each {
		p = chart.Panel{Title: "for each entry and copy", XLabel: "entries", YLabel: "bytes"}
	}

	var names []string
	for _, m := range r.Memory {
		if !slices.Contains(names, m.Peer) {
			names = append(names, m.Peer)
		}
	}

	for _, name := range names {
		s := line(name)
		for _, m := range r.Memory {
			if m.Peer != name {
				continue
			}
			y := float64(m.Bytes) / (1 << 20)
			if each {
				y = m.PerCopy
			}
			s.Points = append(s.Points, chart.Point{X: float64(m.Entries), Y: y, Low: y, High: y})
		}
		p.Series = append(p.Series, s)
	}
	return p
}
