package maps

import (
	"sync/atomic"
	"testing"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A partition keeps as many events as the one of its maps wants that wants most, from when a map begins until it ends, and after a change.
func TestRingsHaveTheBoundsThatMapsWant(t *testing.T) {
	var version atomic.Uint64
	var set atomic.Bool
	o := newOwner(t, 1, func(c *Config) { c.EventBounds = func() (uint64, bool) { return version.Load(), set.Load() } })
	change := func(name string, c wire.MapConfig) {
		o.configure(name, c)
		set.Store(true)
		version.Add(1)
	}
	awaits := func(what string, want wire.BoundRingBody) {
		t.Helper()
		o.await(what, func() (ok bool) {
			o.host.Inspect(0, func(m partition.Machine) { ok = stateOf(m).RingBounds() == want })
			return ok
		})
	}

	o.set("a", "k", "v")
	change("a", wire.MapConfig{EventEntries: 5000})
	awaits("more events", wire.BoundRingBody{Entries: 5000})
	change("b", wire.MapConfig{EventBytes: 1 << 20, EventEntries: 10})
	o.set("b", "k", "v")
	awaits("more bytes for another map", wire.BoundRingBody{Entries: 5000, Bytes: 1 << 20})
	o.call(0, wire.OpDestroy, wire.AppendMapBody(nil, "a"))
	awaits("what is left after the end of a map", wire.BoundRingBody{Entries: 10, Bytes: 1 << 20})
	change("b", wire.MapConfig{EventEntries: 7, EventBytes: 7000})
	awaits("less of both", wire.BoundRingBody{Entries: 7, Bytes: 7000})

	set.Store(false)
	version.Add(1)
	awaits("the default", wire.BoundRingBody{})
}
