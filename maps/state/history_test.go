package state

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// trueEvent is an event that has been, told from every other.
type trueEvent struct {
	name            string
	generation, pos uint64
}

// historian keeps what has truly been beside a state that is now and then replaced by what a survivor had.
type historian struct {
	s         *State
	history   []trueEvent // of the present generation and what it has from those before; never changed in place
	snapshots []survivor
	places    []knownPlace
	begun     []begunGeneration
}

// survivor is what a replica had at some time.
type survivor struct {
	snapshot []byte
	history  []trueEvent
}

// begunGeneration is a generation with where it began.
type begunGeneration struct {
	generation, pos uint64
	loss            bool
}

// knownPlace is a place of a map that somebody has come to, and what was heard up to there.
type knownPlace struct {
	name    string
	at      Place
	history []trueEvent
}

func (h *historian) apply(code wire.Op, name, key string) {
	before := h.s.LastPos()
	switch code {
	case wire.OpDestroy:
		h.s.Apply(&entry.Op{Code: code, Body: wire.AppendMapBody(nil, name)})
	default:
		h.s.Apply(writeOp(code, name, key, "v"))
	}
	for pos := before + 1; pos <= h.s.LastPos(); pos++ {
		h.history = append(h.history[:len(h.history):len(h.history)], trueEvent{name, h.s.Generation(), pos})
	}
}

func of(name string, history []trueEvent) (out []trueEvent) {
	for _, e := range history {
		if e.name == name {
			out = append(out, e)
		}
	}
	return out
}

// ask lists the events after a place in pages, as who hears them does.
func (h *historian) ask(t *rapid.T, p knownPlace) (list []wire.Event) {
	at := p.at
	for {
		events, more := h.s.Events([]byte(p.name), at, rapid.IntRange(0, 3).Draw(t, "limit"), 0, nil)
		list = append(list, events...)
		if !more {
			return list
		}
		if len(events) == 0 {
			t.Fatalf("an empty page with more to come after %+v", at)
		}
		e := events[len(events)-1]
		at = Place{max(at.Generation, wire.Stamp(e.Version).Generation()), e.Pos}
	}
}

// check compares what is listed after a place with the truth.
func (h *historian) check(t *rapid.T, p knownPlace) {
	knew, truth := of(p.name, p.history), of(p.name, h.history)
	common := 0
	for common < len(knew) && common < len(truth) && knew[common] == truth[common] {
		common++
	}
	mustLose, mayLose := common < len(knew), p.at.Pos+1 < h.s.ring.first()
	for _, g := range h.begun {
		if g.generation > p.at.Generation {
			mustLose = mustLose || g.loss
			mayLose = mayLose || p.at.Pos > g.pos
		}
	}
	next, lost, losses := common, false, 0
	for _, e := range h.ask(t, p) {
		if e.Kind == wire.EventLost {
			lost = true
			losses++
			continue
		}
		i := slices.Index(truth, trueEvent{p.name, wire.Stamp(e.Version).Generation(), e.Pos})
		if i < next {
			t.Fatalf("after %+v of %s event %d, at position %d, comes again", p.at, p.name, i, e.Pos)
		}
		if i > next && !lost {
			t.Fatalf("after %+v of %s there is a hole from %d to %d", p.at, p.name, next, i)
		}
		next, lost = i+1, false
	}
	if next < len(truth) && !lost {
		t.Fatalf("after %+v of %s the last %d events are missing", p.at, p.name, len(truth)-next)
	}
	if mustLose && losses == 0 {
		t.Fatalf("after %+v of %s nothing is told of what was lost", p.at, p.name)
	}
	if losses > 0 && !mustLose && !mayLose {
		t.Fatalf("after %+v of %s %d losses, although nothing is", p.at, p.name, losses)
	}
}

// Whatever happens to a map and to the partition, what is listed after any place that somebody has come to is all that has been
// since. Each event is listed once, with a sign for what is lost, and no sign without a reason.
func TestEventsAgainstHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lim := Limits{RingEvents: rapid.SampledFrom([]int{3, 8, 1000}).Draw(t, "ring")}
		h := &historian{s: New(1, lim)}
		names := rapid.SampledFrom([]string{"a", "b"})
		keep := func(*rapid.T) {
			name := names.Draw(t, "map")
			h.places = append(h.places, knownPlace{name, placeAt(h.s, name), h.history})
		}
		set := func(t *rapid.T) { h.apply(wire.OpSet, names.Draw(t, "map"), "k") }
		t.Repeat(map[string]func(*rapid.T){
			"set": set, "set again": set,
			"delete":  func(t *rapid.T) { h.apply(wire.OpDelete, names.Draw(t, "map"), "k") },
			"destroy": func(t *rapid.T) { h.apply(wire.OpDestroy, names.Draw(t, "map"), "") },
			"place":   keep,
			"replica": func(*rapid.T) {
				h.snapshots = append(h.snapshots, survivor{snapshotBytes(t, h.s), h.history})
			},
			"recover": func(t *rapid.T) {
				if len(h.snapshots) == 0 {
					t.Skip()
				}
				from := h.snapshots[len(h.snapshots)-1]
				h.snapshots = nil
				kept, err := Restore(bytes.NewReader(from.snapshot), lim)
				if err != nil {
					t.Fatal(err)
				}
				loss := rapid.Bool().Draw(t, "possible loss")
				if loss {
					kept.MarkLoss()
				}
				generation := h.s.Generation() + 1
				if err := kept.Continue(generation); err != nil {
					t.Fatal(err)
				}
				h.s, h.history = kept, from.history
				h.begun = append(h.begun, begunGeneration{generation, kept.LastPos(), loss})
			},
			"": func(t *rapid.T) {
				if err := h.s.checkInvariants(); err != nil {
					t.Fatal(err)
				}
				for _, p := range h.places[max(0, len(h.places)-6):] {
					h.check(t, p)
				}
			},
		})
	})
}
