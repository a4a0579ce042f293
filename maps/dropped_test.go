package maps

import (
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestDroppedEvents(t *testing.T) {
	now := time.Unix(0, 0)
	d := NewDroppedEvents(func(name string) bool { return name != "unheard" })
	d.now = func() time.Time { return now }
	event := func(pos uint64, size int) wire.Event {
		return wire.Event{Pos: pos, Version: 1000 + pos, New: make([]byte, size)}
	}
	d.add(3, "m", event(1, 10))
	d.add(3, "unheard", event(2, 10))
	d.add(4, "m", event(3, 10))
	d.add(3, "n", event(4, 10))
	held := wire.Event{Pos: 5, Version: 1005, Flags: wire.EventOmitted}
	d.add(3, "m", event(5, 20))
	poses := func(list []state.MapEvent) (out []uint64) {
		for _, e := range list {
			out = append(out, e.Pos)
		}
		return out
	}
	check := func(what string, pos, first uint64, want ...uint64) {
		t.Helper()
		list := d.Complete(3, pos, first, []state.MapEvent{{Map: "m", Event: held}})
		got := poses(list)
		if len(got) != len(want)+1 {
			t.Fatalf("%s: %v, want %v and 5", what, got, want)
		}
		for i, p := range want {
			if got[i] != p {
				t.Fatalf("%s: %v, want %v and 5", what, got, want)
			}
		}
		last := list[len(list)-1]
		if whole := len(last.New) == 20 && last.Flags == 0; whole != (d.byPlace[droppedAt{3, 5}] != nil) {
			t.Fatalf("%s: the values of the event held: %+v", what, last)
		}
	}
	check("all", 0, 5, 1, 4)
	check("some", 1, 5, 4)
	check("nothing between", 4, 5)
	check("after a long time without a listener", 0, 5, 1, 4)

	// Another generation gives the position out again.
	other := event(4, 5)
	other.Version = 9
	d.add(3, "m", other)
	stale, fresh := held, held
	stale.Pos, stale.Version, fresh.Pos, fresh.Version = 4, 1004, 4, 9
	for _, e := range d.Complete(3, 3, 4, []state.MapEvent{{Map: "n", Event: stale}, {Map: "m", Event: fresh}}) {
		if whole := len(e.New) == 5 && e.Flags == 0; whole != (e.Version == 9) {
			t.Fatalf("%+v", e)
		}
	}

	// The oldest go first.
	d.add(3, "m", event(6, maxDroppedBytes-3*droppedCost-20-5-10))
	check("one too many", 0, 5, 4)
	if d.Bytes() > maxDroppedBytes {
		t.Fatalf("%d bytes", d.Bytes())
	}
	d.add(3, "m", event(7, 2*maxDroppedBytes)) // the newest stays
	if d.byPlace[droppedAt{3, 7}] == nil || len(d.byPlace) != 1 {
		t.Fatalf("%d are left", len(d.byPlace))
	}
	now = now.Add(droppedFor + 1)
	if d.Expire(); d.Bytes() != 0 || len(d.byPlace) != 0 {
		t.Fatalf("%d bytes after their time", d.Bytes())
	}

	// Many come and go.
	for i := range uint64(1000) {
		d.add(1, "m", event(i+1, 1))
		now = now.Add(droppedFor / 10)
		d.Expire()
	}
	if len(d.byPlace) > 12 || cap(d.queue) > 1000 {
		t.Fatalf("%d events in a queue of %d", len(d.byPlace), cap(d.queue))
	}
}
