package state

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A map whose last entry is gone is forgotten when its last event has left the ring, so names that are used once leave nothing behind.
func TestEmptiedMapsAreForgotten(t *testing.T) {
	const sessions = 3000
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "kept", "k", "v")
	most, maps := 0, 0
	for i := range sessions {
		name := fmt.Sprintf("session:%06d", i)
		s.Apply(writeOp(wire.OpSet, name, "k", "v"))
		switch i % 4 {
		case 0:
			s.Apply(writeOp(wire.OpDelete, name, "k", ""))
		case 1:
			s.whole(wire.OpClear, name)
		case 2:
			s.whole(wire.OpDestroy, name)
		case 3: // expires
			s.Apply(writeOp(wire.OpSet, name, "k", "v", ttl(1)))
			s.Advance(s.Clock()+2, 0)
			s.sweepUp(10)
		}
		most, maps = max(most, s.Bytes()), max(maps, s.Maps())
	}
	s.check()
	if maps > s.lim.RingEvents || s.Maps() > s.lim.RingEvents {
		t.Errorf("%d maps are kept, %d at most, with a ring of %d events", s.Maps(), maps, s.lim.RingEvents)
	}
	if bound := s.lim.RingBytes + endedMost*s.lim.EndedBytes + s.lim.RingEvents*(mapCost+100); most > bound {
		t.Errorf("%d bytes were counted, the bound is %d", most, bound)
	}
	// What is still there goes as others' events come, and time.
	s.Advance(s.Clock()+endedKeep, 0)
	for range 2 * s.lim.RingEvents {
		s.Apply(writeOp(wire.OpSet, "kept", "k", "v"))
	}
	if s.check(); s.Maps() != 1 {
		t.Errorf("%d maps are left", s.Maps())
	}
	if b := s.Bytes(); b > s.lim.RingBytes+s.lim.EndedBytes+2*mapCost {
		t.Errorf("%d bytes are left", b)
	}
	// The next write begins another instance.
	name := "session:000000"
	if instance, _ := s.Position([]byte(name)); instance != 0 {
		t.Fatalf("instance %d", instance)
	}
	if v := s.do(wire.OpSet, name, "k", "v").Version; v == 0 {
		t.Fatal("no version")
	} else if instance, seq := s.Position([]byte(name)); instance != v || seq != 1 {
		t.Errorf("instance %d at %d, want %d", instance, seq, v)
	}
}

// Who has heard all events of a map that was forgotten is not told that any were lost, also when many others were forgotten since, and
// others have filled the ring; who has missed some is.
func TestForgottenMapHasLostNothing(t *testing.T) {
	s := newScript(t, Limits{RingEvents: 8})
	fill := func(name string) {
		for range 10 {
			s.do(wire.OpSet, name, "k", "v")
		}
	}
	s.do(wire.OpSet, "m", "k", "v")
	early := placeAt(s.State, "m")
	s.do(wire.OpDelete, "m", "k", "")
	all := placeAt(s.State, "m")
	never := placeAt(s.State, "never")
	fill("other")
	if instance, _ := s.Position([]byte("m")); instance != 0 {
		t.Fatal("the map is still there")
	}
	for i := range 20 {
		name := fmt.Sprintf("session %d", i)
		s.do(wire.OpSet, name, "k", "v")
		s.do(wire.OpDelete, name, "k", "")
		fill("other")
	}
	check := func(what, name string, from Place, want string) {
		t.Helper()
		if got := listed(t, s.State, name, from, 0, 0); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	check("who has heard all", "m", all, "")
	check("who has missed the end", "m", early, "lost")
	check("of a map that never was", "never", never, "")
	s.do(wire.OpSet, "m", "k", "v")
	check("into the next instance", "m", all, "1.1")
	check("into the next instance, having missed the end of this", "m", early, "lost 1.1")
	s.do(wire.OpDelete, "m", "k", "")
	fill("other")
	check("a whole instance was missed", "m", all, "lost")

	// A burst of maps that come and go within ten seconds is remembered; what ended longer ago than that, with many after it, counts as
	// missed: nobody knows.
	s.do(wire.OpSet, "last", "k", "v")
	s.do(wire.OpDelete, "last", "k", "")
	last := placeAt(s.State, "last")
	for round, want := range []string{"", "lost"} {
		for i := range 2000 {
			s.Apply(writeOp(wire.OpSet, fmt.Sprintf("session %d %d", round, i), "k", "v"))
			s.Apply(writeOp(wire.OpDelete, fmt.Sprintf("session %d %d", round, i), "k", ""))
		}
		fill("other")
		check(fmt.Sprintf("after round %d", round), "last", last, want)
		check(fmt.Sprintf("after round %d", round), "never", never, want)
		s.Advance(s.Clock()+endedKeep, 0)
		s.check()
	}
}
