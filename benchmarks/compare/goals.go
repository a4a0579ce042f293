package main

import (
	"fmt"

	"github.com/gridiron-io/gridiron/benchmarks/compare/stats"
)

// side is one side of a goal.
type side struct {
	peer    string
	op      string
	callers int // 0: those of a batch
}

// goal is a comparison of two cells, or of one with a bound.
type goal struct {
	mine, other side
	metric      metric
	want        float64 // mine over other, or with other.peer empty mine itself
	atMost      bool    // instead of at least
}

// Peers in goals.
const (
	many = "gridiron-271"
	few  = "gridiron-24"
	hz   = "hazelcast"
	rue  = "rueidis"
)

// goals are what Gridiron sets out to reach with three members and values of 100 bytes.
var goals = []goal{
	faster(many, opGet, 64, hz, 4), faster(many, opGet, 512, hz, 5), faster(many, opGet, 512, rue, 2),
	faster(many, opSet, 64, hz, 1), faster(many, opSet, 512, hz, 1.2), faster(many, opSet, 2048, hz, 1.5),
	faster(few, opSet, 64, hz, 2), faster(few, opSet, 512, hz, 3), faster(few, opSet, 2048, hz, 5), faster(few, opSet, 2048, rue, 1),
	faster(many, opSetAll, 0, hz, 2), faster(many, opGetAll, 0, hz, 2), faster(few, opSetAll, 0, hz, 2), faster(few, opGetAll, 0, hz, 2),
	{mine: side{many, opSetAll, 0}, other: side{many, opSet, 64}, metric: perSecond, want: 5},
	{mine: side{many, opGetAll, 0}, other: side{many, opGet, 64}, metric: perSecond, want: 5},
	{mine: side{many, opGet, 1}, other: side{hz, opGet, 1}, metric: p50, want: 0.5, atMost: true},
	{mine: side{many, opSet, 1}, other: side{hz, opSet, 1}, metric: p50, want: 1, atMost: true},
	{mine: side{many, opGet, 1}, metric: p50, want: 80, atMost: true},
	faster(many, opGet, 64, baselineName, 15), faster(many, opSet, 64, baselineName, 2),
}

// idleGoals are how much of a core, in percent, a cluster of three may take without work.
var idleGoals = map[string]float64{many: 6, few: 3}

func faster(mine, op string, callers int, other string, want float64) goal {
	return goal{mine: side{mine, op, callers}, other: side{other, op, callers}, metric: perSecond, want: want}
}

// Reached is what became of a goal.
type Reached struct {
	Text    string        `json:"goal"`
	Want    string        `json:"want"`
	Is      stats.Summary `json:"is"` // ratio of the same round, or microseconds
	Unit    string        `json:"unit"`
	Pairs   int           `json:"rounds"`
	Reached bool          `json:"reached"` // by the median
	CPU     stats.Summary `json:"cpu_ratio"`
}

// judge returns all goals of which both sides were measured, of clusters with that many members.
func judge(r *Result, members int) (list []Reached) {
	// The goals were set for three members.
	if members != 3 {
		return nil
	}

	for _, i := range r.Idle {
		if most, ok := idleGoals[i.Peer]; ok {
			share := 100 * i.Core
			list = append(list, Reached{Text: i.Peer + " without work, all processes", Want: fmt.Sprintf("≤ %g %%", most), Unit: "% of a core", Pairs: 1,
				Is: stats.Summary{Median: share, Min: share, Max: share}, Reached: share <= most})
		}
	}

	for _, g := range goals {
		mine := r.find(g.mine)
		if mine == nil {
			continue
		}

		out := Reached{Text: g.mine.String(), Unit: "x", Want: fmt.Sprintf("≥ %gx", g.want)}
		if g.atMost {
			out.Want = fmt.Sprintf("≤ %gx", g.want)
		}
		if g.other.peer == "" {
			values := mine.values(g.metric)
			out.Is, out.Pairs, out.Unit, out.Want = mine.summary(g.metric), len(values), "µs", fmt.Sprintf("≤ %g µs", g.want)
		} else {
			other := r.find(g.other)
			if other == nil {
				continue
			}
			out.Is, out.Pairs = stats.Ratios(mine.values(g.metric), other.values(g.metric))
			out.CPU, _ = stats.Ratios(other.values(cpu), mine.values(cpu))
			out.Text += " over " + g.other.against(g.mine)
		}

		if out.Pairs == 0 {
			continue
		}

		// The median decides. The lowest and the highest round stand beside it.
		if out.Reached = out.Is.Median >= g.want; g.atMost {
			out.Reached = out.Is.Median <= g.want
		}
		if g.metric(&Round{P50: 1}) == 1 {
			out.Text = "p50 of " + out.Text
		}
		list = append(list, out)
	}
	return list
}

// find returns the series of a side, or nil.
func (r *Result) find(s side) *Series {
	for i := range r.Cells {
		c := r.Cells[i].Cell
		if r.Cells[i].Peer == s.peer && c.Op == s.op && c.Size == 100 && c.Members == 3 && (c.Callers == s.callers || s.callers == 0) {
			return &r.Cells[i]
		}
	}
	return nil
}

// String returns the side for people.
func (s side) String() string { return s.peer + " " + s.what() }

// what returns the operation and the callers.
func (s side) what() string {
	op := map[string]string{opGet: "Get", opSet: "Set", opGetAll: "GetAll, per entry", opSetAll: "SetAll, per entry"}[s.op]
	switch s.callers {
	case 0:
		return op
	case 1:
		return op + ", one caller"
	}
	return fmt.Sprintf("%s, %d callers", op, s.callers)
}

// against returns what is compared with mine: a name alone where the operation is the same.
func (s side) against(mine side) string {
	if s.op == mine.op {
		return s.peer
	}
	return s.what()
}
