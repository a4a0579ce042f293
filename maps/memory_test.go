package maps

import (
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// used returns the bytes that all replicas here are counted with.
func (o *owner) used() (n int) {
	for p := range o.cfg.Partitions {
		o.host.Inspect(p, func(m partition.Machine) { n += stateOf(m).Bytes() })
	}
	return n
}

// try writes a value and returns what came of it.
func (o *owner) try(name, key, value string) answer {
	o.t.Helper()
	return o.wait(o.begin(o.place(key), wire.OpSet, wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte(name), Key: []byte(key), Value: []byte(value)})))
}

// When memory is used up, what would take more is refused before anything breaks; all else goes on, and it recovers by itself.
func TestMemoryIsUsedUp(t *testing.T) {
	const most = 2 << 20
	o := newOwner(t, 3, func(c *Config) { c.MaxMemory = most })
	value := strings.Repeat("v", 1000)
	refused := -1
	for i := range 10_000 {
		got := o.try("m", keyOf(i), value)
		if got.code == wire.CodeOverloaded {
			if !strings.Contains(string(got.body), "memory") {
				t.Errorf("refused as %q", got.body)
			}
			refused = i
			break
		}
		if got.code != wire.CodeOK {
			t.Fatalf("%v %s", got.code, got.body)
		}
	}
	if refused < 0 || o.used() > most+most/16 { // the last events, which have a bound of their own, are not foreseen
		t.Fatalf("write %d was refused, with %d of %d bytes used", refused, o.used(), most)
	}
	o.await("the member knows what it uses", func() bool { return o.evictor.used.Load() > most*3/4 })
	if got := o.get("m", keyOf(0)); got != value {
		t.Error("a read was refused")
	}
	for i := range refused {
		o.remove("m", keyOf(i))
	}
	o.await("writes go on", func() bool { return o.try("m", keyOf(0), value).code == wire.CodeOK })
}

// A map that may be evicted from makes room, so that writes to it go on; one that may not stays whole.
func TestMemoryIsRelieved(t *testing.T) {
	t.Parallel()
	const most = 2 << 20
	o := newOwner(t, 3, func(c *Config) { c.MaxMemory = most })
	o.configure("cache", wire.MapConfig{Eviction: wire.EvictLRU, MaxEntries: 1 << 40})
	value := strings.Repeat("v", 1000)
	for i := range 300 {
		o.set("m", keyOf(i), value)
	}
	written := 0
	for i := range 5000 {
		o.await("the cache makes room", func() bool { return o.try("cache", keyOf(i), value).code == wire.CodeOK })
		written++
		if used := o.used(); used > most+most/8 {
			t.Fatalf("%d of %d bytes are used", used, most)
		}
	}
	o.await("no more is used than there is", func() bool { return o.used() <= most })
	if st := o.stats("m"); st.Entries != 300 || st.Evicted != 0 {
		t.Errorf("%+v", st)
	}
	if st := o.stats("cache"); st.Evicted == 0 || st.Entries+int(st.Evicted) != written {
		t.Errorf("%+v of %d", st, written)
	}
}
