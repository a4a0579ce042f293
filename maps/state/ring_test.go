package state

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestRingIsBoundedByCount(t *testing.T) {
	s := newScript(t, Limits{})
	for range 3000 {
		s.Apply(writeOp(wire.OpSet, "m", "k", "v"))
	}
	s.check()
	events, lost := s.EventsFrom(0, nil)
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
	if events, _ := s.EventsFrom(0, nil); len(events) != 32 {
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
	var dropped []string
	s.OnDropped(func(name string, e wire.Event) {
		dropped = append(dropped, fmt.Sprintf("%s %d: %d -> %d", name, e.Pos, len(e.Old), len(e.New)))
	})
	s.do(wire.OpSet, "m", "large", large)
	events, lost := s.EventsFrom(0, nil)
	if len(events) != 6 || lost || len(events[5].New) != len(large) || events[5].Flags != 0 {
		t.Fatalf("%d events, lost %v", len(events), lost)
	}
	s.do(wire.OpSetTTL, "m", "large", "", ttl(9)) // so that the entry has another version than the event
	s.do(wire.OpSet, "m", "small", "v")
	events, lost = s.EventsFrom(0, nil)
	if len(events) != 8 || lost {
		t.Fatalf("%d events, lost %v", len(events), lost)
	}
	if e := events[5]; e.New != nil || e.Old != nil || e.Flags != wire.EventOmitted || string(e.Key) != "large" || e.Kind != wire.EventAdded || e.Seq != 6 {
		t.Fatalf("%.200v", e)
	}
	s.do(wire.OpRemove, "m", "large", "")
	s.do(wire.OpSet, "m", "small", "v")
	events, _ = s.EventsFrom(0, nil)
	if e := events[8]; e.Old != nil || e.Flags != wire.EventOmitted || string(e.Key) != "large" || e.Kind != wire.EventRemoved {
		t.Fatalf("%.200v", e)
	}
	if got, want := strings.Join(dropped, ", "), "m 6: 0 -> 307200, m 7: 307200 -> 307200, m 9: 307200 -> 0"; got != want {
		t.Fatalf("dropped: %s, want %s", got, want)
	}
}

// The log sets other bounds: the ring grows with them, and what is too much leaves it with the operation, on every replica alike.
func TestRingIsBoundedByTheLog(t *testing.T) {
	s := newScript(t, Limits{})
	write := func(n int) {
		for range n {
			s.Apply(writeOp(wire.OpSet, "m", "k", "v"))
		}
		s.check()
	}
	held := func(want int) {
		t.Helper()
		if events, _ := s.EventsFrom(0, nil); len(events) != want {
			t.Errorf("%d events, want %d", len(events), want)
		}
	}

	s.raw(boundOp(3000, 1<<20))
	write(4000)
	held(3000)

	again, err := Restore(bytesOf(t, s.State), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	view, hash := s.Freeze(), s.Hash()
	var dropped int
	s.OnDropped(func(string, wire.Event) { dropped++ })
	s.raw(boundOp(10, 0))
	held(10)
	if dropped != 2990 || len(s.ring.buf) > 40 {
		t.Errorf("%d events are told of, the buffer has room for %d", dropped, len(s.ring.buf))
	}
	var shown bytes.Buffer
	if _, err := view.WriteTo(&shown); err != nil {
		t.Fatal(err)
	}
	if before, err := Restore(&shown, Limits{}); err != nil || before.Hash() != hash {
		t.Errorf("a view from before has changed: %v", err)
	}
	if again.Apply(boundOp(10, 0)); again.Hash() != s.Hash() {
		t.Error("a restored replica differs")
	}

	s.raw(boundOp(0, 35*5)) // each event is counted with 32 bytes, a key and two values
	write(2)
	held(5)
	s.raw(boundOp(0, 0))
	write(2000)
	held(1024)

	for _, op := range []*entry.Op{boundOp(wire.MaxEventEntries+1, 0), boundOp(0, wire.MaxEventBytes+1), {Code: wire.OpBoundRing}} {
		if r := s.raw(op); r.Code != wire.CodeInvalid {
			t.Errorf("%v", r.Code)
		}
	}
	held(1024)
}

// Whoever is behind what a smaller ring still has is told that events are lost. That the last of them was a removal, and the map is gone with
// it, makes no difference.
func TestSmallerRingLosesEvents(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "kept", "k", "v")
	s.do(wire.OpSet, "gone", "k", "v")
	kept, gone := placeAt(s.State, "kept"), placeAt(s.State, "gone")
	s.do(wire.OpSet, "kept", "k", "w")
	s.do(wire.OpRemove, "gone", "k", "")
	heard := placeAt(s.State, "gone")
	for range 5 {
		s.do(wire.OpSet, "other", "k", "v")
	}

	for _, want := range []string{"1.2", "1.2"} {
		if got := listed(t, s.State, "kept", kept, 0, 0); got != want {
			t.Errorf("before: %s, want %s", got, want)
		}
	}
	s.raw(boundOp(2, 0))
	if len(s.infos()) != 2 {
		t.Errorf("maps: %v", s.infos())
	}
	for name, from := range map[string]Place{"kept": kept, "gone": gone} {
		if got := listed(t, s.State, name, from, 0, 0); got != "lost" {
			t.Errorf("%s: %s, want one loss", name, got)
		}
	}
	// Who has heard of the removal has missed nothing.
	if got := listed(t, s.State, "gone", heard, 0, 0); got != "" {
		t.Errorf("after the removal: %s", got)
	}
}

// Positions count over all maps, seqs within one.
func TestEventsAreDense(t *testing.T) {
	s := newScript(t, Limits{})
	for _, name := range []string{"a", "b", "a", "c", "b", "a"} {
		s.do(wire.OpSet, name, "k", "v")
	}
	events, lost := s.EventsFrom(0, nil)
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
	if events, lost := s.EventsFrom(4, nil); len(events) != 2 || lost || events[0].Pos != 5 {
		t.Fatalf("%v, %v", events, lost)
	}
	if events, lost := s.EventsFrom(100, nil); events != nil || lost {
		t.Fatalf("%v, %v", events, lost)
	}
}

// placeAt returns where a map stands.
func placeAt(s *State, name string) Place {
	p := s.Standing([]byte(name))
	return Place{Generation: s.Generation(), Pos: p.Pos}
}

// listed returns what Events answers: "instance.seq" for each event, where the first instance is 1, and "lost".
func listed(t testing.TB, s *State, name string, from Place, limit, maxBytes int) string {
	t.Helper()
	var out []string
	names := map[uint64]int{}
	events, more := s.Events([]byte(name), from, limit, maxBytes, nil)
	for _, e := range events {
		if e.Kind == wire.EventLost {
			out = append(out, "lost")
			continue
		}
		if names[e.Instance] == 0 {
			names[e.Instance] = len(names) + 1
		}
		out = append(out, fmt.Sprintf("%d.%d", names[e.Instance], e.Seq))
	}
	if more {
		out = append(out, "more")
	}
	return strings.Join(out, " ")
}

// Two values that are as large as can be do not fit into an answer together. A listener gets past them, with the new one.
func TestLargestEventsFitIntoAnAnswer(t *testing.T) {
	s := newScript(t, Limits{})
	at := placeAt(s.State, "m")
	key := strings.Repeat("k", wire.MaxKey)
	for i, size := range []int{1, wire.MaxValueHard, wire.MaxValueHard, 1} {
		s.do(wire.OpSet, "m", key, strings.Repeat("v", size))
		r := Reading{Op: wire.OpEvents, Body: wire.AppendEventsBody(nil, &wire.EventsBody{Map: []byte("m"), Generation: at.Generation, Pos: at.Pos})}
		s.Read(&r, &ReadPoint{})
		answer := r.Append(nil)
		if len(answer) > maxAnswer {
			t.Fatalf("an answer of %d bytes, and %d fit into a frame", len(answer), maxAnswer)
		}
		res, err := wire.DecodeEventsResult(answer)
		if err != nil || len(res.Events) != 1 || res.More || len(res.Events[0].New) != size {
			t.Fatalf("%d events, %v", len(res.Events), err)
		}
		if omitted := res.Events[0].Flags&wire.EventOmitted != 0; omitted != (i == 2) || omitted != (i > 0 && res.Events[0].Old == nil) {
			t.Errorf("event %d has an Old of %d bytes, and flags %b", i, len(res.Events[0].Old), res.Events[0].Flags)
		}
		at = placeAt(s.State, "m")
	}
}

func TestEventsOfAMap(t *testing.T) {
	s := newScript(t, Limits{RingEvents: 8})
	check := func(what string, from Place, want string, bounds ...int) {
		t.Helper()
		bounds = append(bounds, 0, 0)
		if got := listed(t, s.State, "m", from, bounds[0], bounds[1]); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	start := placeAt(s.State, "m")
	check("no map", start, "")
	s.do(wire.OpSet, "m", "k", "v")
	one := placeAt(s.State, "m")
	check("a map that came since", start, "1.1")
	s.do(wire.OpSet, "m", "k", "v")
	s.do(wire.OpSet, "m", "k", "v")
	three := placeAt(s.State, "m")
	check("all", start, "1.1 1.2 1.3")
	check("some", one, "1.2 1.3")
	check("up to date", three, "")
	check("where it stands", Place{Pos: wire.PosNow}, "")
	check("from the future", Place{1, 4}, "lost")
	check("a generation to come", Place{2, 3}, "lost")
	check("nowhere", Place{}, "lost")
	check("limit", start, "1.1 1.2 more", 2)
	check("exactly the limit", start, "1.1 1.2 1.3", 3)
	check("bytes", start, "1.1 1.2 more", 0, 5)
	check("too few bytes", start, "1.1 more", 0, 1)

	s.whole(wire.OpDestroy, "m") // the fourth event
	end := placeAt(s.State, "m")
	check("the end", three, "1.4")
	check("after the end", end, "")
	check("an instance that began and ended", start, "1.1 1.2 1.3 1.4")
	s.do(wire.OpSet, "m", "k", "v")
	second := placeAt(s.State, "m")
	check("into the next instance", three, "1.4 2.1")
	check("the next instance", end, "1.1")

	for range 4 {
		s.do(wire.OpSet, "other", "k", "v") // pushes out the first event
	}
	check("just gone", start, "lost 1.2 1.3 1.4 2.1")
	check("just held", one, "1.2 1.3 1.4 2.1")
	for range 10 {
		s.do(wire.OpSet, "other", "k", "v")
	}
	check("all gone, map unchanged", second, "")
	check("all gone", end, "lost")
	check("an instance long ended", three, "lost")

	// The map ends without an event of its own. Who was there has missed nothing, though the ring knows nothing of it.
	s.do(wire.OpDelete, "m", "k", "")
	gone := placeAt(s.State, "m")
	s.whole(wire.OpDestroy, "m")
	for range 10 {
		s.do(wire.OpSet, "other", "k", "v")
	}
	check("no map any more", gone, "")
	check("no map any more, and a late one", second, "lost")
	s.do(wire.OpSet, "m", "k", "v")
	check("and another", gone, "1.1")
	for range 7 {
		s.do(wire.OpSet, "other", "k", "v")
	}
	check("and another, at the end of the ring", gone, "1.1")
	s.do(wire.OpSet, "other", "k", "v")
	check("and another, past the end of the ring", gone, "lost")
}

func TestEventsAcrossGenerations(t *testing.T) {
	for _, loss := range []bool{false, true} {
		s := newScript(t, Limits{RingEvents: 8})
		for range 3 {
			s.do(wire.OpSet, "m", "k", "v")
		}
		three, other := placeAt(s.State, "m"), placeAt(s.State, "n")
		snapshot := snapshotBytes(t, s.State)
		s.do(wire.OpSet, "m", "k", "lost")
		ahead := placeAt(s.State, "m")

		next, err := Restore(bytes.NewReader(snapshot), Limits{RingEvents: 8})
		if err != nil {
			t.Fatal(err)
		}
		if loss {
			next.MarkLoss()
		}
		// The mark is part of what the survivor writes.
		if next, err = Restore(bytesOf(t, next), Limits{RingEvents: 8}); err != nil {
			t.Fatal(err)
		}
		if err := next.Continue(2); err != nil {
			t.Fatal(err)
		}
		if next, err = Restore(bytesOf(t, next), Limits{RingEvents: 8}); err != nil {
			t.Fatal(err)
		}
		mark := ""
		if loss {
			mark = "lost "
		}
		check := func(what, name string, from Place, want string, limit int) {
			t.Helper()
			if got := listed(t, next, name, from, limit, 0); got != want {
				t.Errorf("loss %v: %s: %q, want %q", loss, what, got, want)
			}
		}
		check("who knew all", "m", three, strings.TrimSpace(mark), 0)
		check("who knew of nothing", "n", other, strings.TrimSpace(mark), 0)
		next.Apply(writeOp(wire.OpSet, "m", "k", "again"))
		check("who knew all", "m", three, mark+"1.4", 0)
		check("who knew more", "m", ahead, "lost 1.4", 0)
		check("who knew less", "m", Place{1, 1}, "1.2 1.3 "+mark+"1.4", 0)
		if loss {
			check("in pages", "m", Place{1, 1}, "1.2 1.3 more", 2)
			check("in pages", "m", Place{1, 3}, "lost more", 1)
			check("in pages", "m", Place{2, 3}, "1.4", 1)
		}
		check("who is there", "m", placeAt(next, "m"), "", 0)
		for range 10 {
			next.Apply(writeOp(wire.OpSet, "n", "k", "v"))
		}
		check("when the ring has forgotten", "m", ahead, "lost", 0)
	}

	// A generation that begins empty has lost what there was.
	s := New(2, Limits{})
	if got := listed(t, s, "m", Place{1, 0}, 0, 0); got != "lost" {
		t.Errorf("in an empty generation: %q", got)
	}
}

// Whole events that leave the ring are told of until the log says that they are published.
func TestDroppedEventsAreTold(t *testing.T) {
	s := newScript(t, Limits{RingEvents: 2})
	var dropped []uint64
	s.OnDropped(func(_ string, e wire.Event) { dropped = append(dropped, e.Pos) })
	for i := range 6 {
		if i == 4 {
			s.Advance(s.Clock(), 3)
		}
		s.do(wire.OpSet, "m", "k", "v")
	}
	if want := []uint64{1, 2, 4}; !slices.Equal(dropped, want) {
		t.Fatalf("told of %v, want %v", dropped, want)
	}
}

// droppedEvents is what was told of as dropped, by position.
type droppedEvents map[uint64]MapEvent

// Event returns the event at a position.
func (d droppedEvents) Event(pos uint64) (string, wire.Event, bool) {
	e, ok := d[pos]
	return e.Map, e.Event, ok
}

// What has left the ring is listed where somebody has kept it, as far back as none is missing.
func TestEventsThatWereKept(t *testing.T) {
	s := newScript(t, Limits{RingEvents: 3})
	kept := droppedEvents{}
	s.OnDropped(func(name string, e wire.Event) { kept[e.Pos] = MapEvent{name, e} })
	start := placeAt(s.State, "m")
	for range 4 {
		s.do(wire.OpSet, "m", "k", "v")
		s.do(wire.OpSet, "other", "k", "v")
	}
	check := func(what, want string, limit int) {
		t.Helper()
		var out []string
		events, more := s.Events([]byte("m"), start, limit, 0, kept)
		for _, e := range events {
			if e.Kind == wire.EventLost {
				out = append(out, "lost")
			} else {
				out = append(out, fmt.Sprint(e.Pos))
			}
		}
		if more {
			out = append(out, "more")
		}
		if got := strings.Join(out, " "); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	check("all are kept", "1 3 5 7", 0)
	check("in pages", "1 3 more", 2)
	five := kept[5]
	five.Version += uint64(wire.StampOf(1, 0))
	kept[5] = five
	check("one of another generation", "lost 7", 0)
	delete(kept, 5)
	check("one is missing", "lost 7", 0)
	five.Version -= uint64(wire.StampOf(1, 0))
	kept[5] = five
	delete(kept, 1)
	check("the first is missing", "lost 3 5 7", 0)
	check("the first is missing, in pages", "lost more", 1)
	for range 3 {
		s.do(wire.OpSet, "other", "k", "v")
	}
	check("none is in the ring", "lost 3 5 7", 0)
	if got := listed(t, s.State, "m", start, 0, 0); got != "lost" {
		t.Errorf("without what was kept: %q", got)
	}
}

// The value that the ring has dropped is shown while the entry has it.
func TestDroppedValuesAreShown(t *testing.T) {
	s := newScript(t, Limits{RingBytes: 4 << 10, EventValues: 1 << 10})
	big := func(c string) string { return strings.Repeat(c, 3<<10) }
	s.do(wire.OpSet, "m", "a", big("1"))
	s.do(wire.OpSet, "m", "b", big("2"))
	s.do(wire.OpSet, "m", "b", big("3"))
	s.do(wire.OpSetTTL, "m", "a", "", ttl(1000))
	s.do(wire.OpSet, "m", "c", big("4"))
	s.do(wire.OpDelete, "m", "c", "")
	events, _ := s.EventsFrom(0, nil)
	want := []struct {
		old, new string
		omitted  bool
	}{
		{"", "", true}, // the entry has another version
		{"", "", true},
		{"", "3", true}, // its old value is gone
		{"1", "1", false},
		{"", "4", false},
		{"4", "", false}, // the newest stays whole
	}
	for i, e := range events {
		old, now := string(e.Old), string(e.New)
		if w := want[i]; len(old) > 0 != (w.old != "") || len(now) > 0 != (w.new != "") || !strings.HasPrefix(old, w.old) || !strings.HasPrefix(now, w.new) ||
			(e.Flags&wire.EventOmitted != 0) != w.omitted {
			t.Errorf("event %d: %.5q -> %.5q, flags %x", i, old, now, e.Flags)
		}
	}
}
