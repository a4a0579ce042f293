package state

import (
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestRingIsBoundedByCount(t *testing.T) {
	s := newScript(t, Limits{})
	for range 3000 {
		s.Apply(writeOp(wire.OpSet, "m", "k", "v"))
	}
	s.check()
	events, lost := s.EventsFrom(0)
	if len(events) != 1024 || !lost {
		t.Fatalf("%d events, lost %v", len(events), lost)
	}
	for i, e := range events {
		if want := uint64(3000 - 1024 + 1 + i); e.Pos != want || e.Seq != want {
			t.Fatalf("event %d is %d at %d, want %d", i, e.Seq, e.Pos, want)
		}
	}
}

func TestRingIsBoundedByBytes(t *testing.T) {
	s := newScript(t, Limits{})
	value := strings.Repeat("x", 1000)
	for range 200 {
		s.Apply(writeOp(wire.OpSet, "m", "k", value))
	}
	s.check()
	// 32 + 1 + 2,000 bytes each, 64 KB in all.
	if events, _ := s.EventsFrom(0); len(events) != 32 {
		t.Fatalf("%d events", len(events))
	}
}

// Large values go before any event does; the newest stays whole, and its size does not push out the others.
func TestRingStripsLargeValuesFirst(t *testing.T) {
	s := newScript(t, Limits{})
	large := strings.Repeat("x", 300<<10)
	for range 5 {
		s.do(wire.OpSet, "m", "small", "v")
	}
	s.do(wire.OpSet, "m", "large", large)
	events, lost := s.EventsFrom(0)
	if len(events) != 6 || lost || len(events[5].New) != len(large) || events[5].Flags != 0 {
		t.Fatalf("%d events, lost %v", len(events), lost)
	}
	s.do(wire.OpSet, "m", "small", "v")
	events, lost = s.EventsFrom(0)
	if len(events) != 7 || lost {
		t.Fatalf("%d events, lost %v", len(events), lost)
	}
	if e := events[5]; e.New != nil || e.Old != nil || e.Flags != wire.EventOmitted || string(e.Key) != "large" || e.Kind != wire.EventAdded || e.Seq != 6 {
		t.Fatalf("%+v", e)
	}
	s.do(wire.OpRemove, "m", "large", "")
	s.do(wire.OpSet, "m", "small", "v")
	events, _ = s.EventsFrom(0)
	if e := events[7]; e.Old != nil || e.Flags != wire.EventOmitted || string(e.Key) != "large" || e.Kind != wire.EventRemoved {
		t.Fatalf("%+v", e)
	}
}

// Positions count over all maps, seqs within one.
func TestEventsAreDense(t *testing.T) {
	s := newScript(t, Limits{})
	for _, name := range []string{"a", "b", "a", "c", "b", "a"} {
		s.do(wire.OpSet, name, "k", "v")
	}
	events, lost := s.EventsFrom(0)
	seqs := map[string]uint64{}
	for i, e := range events {
		seqs[e.Map]++
		if e.Pos != uint64(i+1) || e.Seq != seqs[e.Map] {
			t.Errorf("event %d of %s: seq %d at %d", i, e.Map, e.Seq, e.Pos)
		}
	}
	if lost || len(events) != 6 || s.LastPos() != 6 {
		t.Fatalf("%d events, last %d", len(events), s.LastPos())
	}
	if events, lost := s.EventsFrom(4); len(events) != 2 || lost || events[0].Pos != 5 {
		t.Fatalf("%v, %v", events, lost)
	}
	if events, lost := s.EventsFrom(100); events != nil || lost {
		t.Fatalf("%v, %v", events, lost)
	}
}

func TestEventsOfAMap(t *testing.T) {
	s := newScript(t, Limits{RingEvents: 8})
	name := []byte("m")
	type answer struct {
		seqs       []uint64
		lost, more bool
	}
	ask := func(instance, after uint64, limit, maxBytes int) answer {
		events, lost, more := s.Events(name, instance, after, limit, maxBytes)
		a := answer{lost: lost, more: more}
		for _, e := range events {
			a.seqs = append(a.seqs, e.Seq)
		}
		return a
	}
	check := func(what string, got, want answer) {
		t.Helper()
		same := got.lost == want.lost && got.more == want.more && len(got.seqs) == len(want.seqs)
		for i := range got.seqs {
			same = same && got.seqs[i] == want.seqs[i]
		}
		if !same {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	check("no map", ask(0, 0, 0, 0), answer{})
	first := s.do(wire.OpSet, "m", "k", "v").Version // 1
	check("a map that came since", ask(0, 0, 0, 0), answer{seqs: []uint64{1}})
	s.do(wire.OpSet, "m", "k", "v") // 2
	s.do(wire.OpSet, "m", "k", "v") // 3
	check("all", ask(first, 0, 0, 0), answer{seqs: []uint64{1, 2, 3}})
	check("some", ask(first, 1, 0, 0), answer{seqs: []uint64{2, 3}})
	check("up to date", ask(first, 3, 0, 0), answer{})
	check("from the future", ask(first, 4, 0, 0), answer{lost: true})
	check("an instance to come", ask(first+99, 0, 0, 0), answer{lost: true})
	check("limit", ask(first, 0, 2, 0), answer{seqs: []uint64{1, 2}, more: true})
	check("exactly the limit", ask(first, 0, 3, 0), answer{seqs: []uint64{1, 2, 3}})
	check("bytes", ask(first, 0, 0, 5), answer{seqs: []uint64{1, 2}, more: true})
	check("too few bytes", ask(first, 0, 0, 1), answer{seqs: []uint64{1}, more: true})

	s.whole(wire.OpDestroy, "m") // 4, the end
	check("the end", ask(first, 3, 0, 0), answer{seqs: []uint64{4}})
	check("after the end", ask(first, 4, 0, 0), answer{})
	check("a new listener", ask(0, 0, 0, 0), answer{})
	second := s.do(wire.OpSet, "m", "k", "v").Version
	check("into the next instance", ask(first, 3, 0, 0), answer{seqs: []uint64{4, 1}})
	check("the next instance", ask(second, 0, 0, 0), answer{seqs: []uint64{1}})
	check("a new listener before the next instance", ask(0, 0, 0, 0), answer{seqs: []uint64{1}})

	for range 4 {
		s.do(wire.OpSet, "other", "k", "v") // pushes out the first event
	}
	check("just gone", ask(first, 0, 0, 0), answer{seqs: []uint64{2, 3, 4, 1}, lost: true})
	check("just held", ask(first, 1, 0, 0), answer{seqs: []uint64{2, 3, 4, 1}})
	for range 10 {
		s.do(wire.OpSet, "other", "k", "v")
	}
	check("all gone, map unchanged", ask(second, 1, 0, 0), answer{})
	check("all gone", ask(second, 0, 0, 0), answer{lost: true})
	check("an instance long ended", ask(first, 4, 0, 0), answer{lost: true})
	check("a new listener that missed the beginning", ask(0, 0, 0, 0), answer{lost: true})
}
