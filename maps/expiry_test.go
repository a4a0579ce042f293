package maps

import (
	"fmt"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A write without a TTL or max-idle of its own gets the map's, as its owner knows it; what the owner made of it is in the log.
func TestDefaultsOfTheMap(t *testing.T) {
	o := newOwner(t, 1)
	o.configure("m", wire.MapConfig{TTL: 60_000, MaxIdle: 9_000})
	type lifetime struct{ ttl, maxIdle uint64 }
	check := func(key string, want lifetime) {
		t.Helper()
		if v := o.view("m", key); v.Flags&wire.ResultFound == 0 || (lifetime{v.TTL, v.MaxIdle}) != want {
			t.Errorf("%s: %+v, want %+v", key, v, want)
		}
	}
	o.set("m", "plain", "v")
	check("plain", lifetime{60_000, 9_000})
	o.set("m", "ttl", "v", ttl(5_000))
	check("ttl", lifetime{5_000, 9_000})
	o.set("m", "never", "v", ttl(0), maxIdle(0))
	check("never", lifetime{})
	o.set("m", "never", "w", keepTTL)
	check("never", lifetime{})
	o.set("m", "new", "v", keepTTL)
	check("new", lifetime{60_000, 9_000})
	many := wire.ManyBody{Map: []byte("m"), Keys: [][]byte{[]byte("a"), []byte("b")}, Values: [][]byte{{1}, {2}}}
	o.call(0, wire.OpSetMany, wire.AppendManyBody(nil, &many))
	check("a", lifetime{60_000, 9_000})
	check("b", lifetime{60_000, 9_000})
	setTTL := wire.WriteBody{Map: []byte("m"), Key: []byte("a"), WriteOptions: wire.WriteOptions{Flags: wire.WriteTTL}}
	o.call(0, wire.OpSetTTL, wire.AppendWriteBody(nil, &setTTL))
	check("a", lifetime{0, 9_000})
	o.set("other", "plain", "v")
	if v := o.view("other", "plain"); v.TTL != 0 || v.MaxIdle != 0 {
		t.Errorf("%+v", v)
	}
	keep := wire.WriteBody{Map: []byte("m"), Key: []byte("k"), Value: []byte("v"), WriteOptions: wire.WriteOptions{Flags: wire.WriteKeepTTL | wire.WriteTTL, TTL: 5}}
	if got := o.wait(o.begin(0, wire.OpSet, wire.AppendWriteBody(nil, &keep))); got.code != wire.CodeInvalid {
		t.Errorf("KeepTTL with a TTL: %v", got.code)
	}
}

// Reads in the first half of the max-idle are gathered and reach the log without being waited for.
func TestEarlyReadsAreGathered(t *testing.T) {
	o := newOwner(t, 1)
	o.set("m", "k", "v", maxIdle(3_600_000))
	written, _ := o.stored("m", "k")
	o.ahead.Store(1_000_000)
	before := o.now()
	if o.get("m", "k") != "v" {
		t.Fatal("no entry")
	}
	o.await("the use is in the log", func() bool {
		v, _ := o.stored("m", "k")
		return v.Touched >= before
	})
	v, _ := o.stored("m", "k")
	if v.Version != written.Version || v.Updated != written.Updated || v.Expires != v.Touched+3_600_000 {
		t.Fatalf("%+v", v)
	}
}

// A read in the second half is answered only when the log has it.
func TestLateReadIsCommittedFirst(t *testing.T) {
	o := newOwner(t, 1)
	o.set("m", "k", "v", maxIdle(3_600_000))
	o.set("m", "l", "v", maxIdle(3_600_000))
	o.ahead.Store(1_900_000)
	for i, read := range []func(){
		func() { o.get("m", "k") },
		func() { o.call(0, wire.OpContains, wire.AppendKeyBody(nil, "m", []byte("k"))) },
		func() { o.call(0, wire.OpGetMany, wire.AppendKeysBody(nil, "m", [][]byte{[]byte("x"), []byte("k")})) },
	} {
		o.ahead.Add(1_900_000)
		before := o.now()
		o.set("m", "l", "v", maxIdle(3_600_000))
		read()
		if v, ok := o.stored("m", "k"); !ok && i > 0 || ok && v.Touched < before {
			t.Errorf("read %d was answered though the log knows of no use after %d: %+v", i, before, v)
		}
		if i == 0 { // it was idle for too long, and is gone
			if _, ok := o.stored("m", "k"); ok {
				t.Fatal("an entry is there that was idle for too long")
			}
			o.set("m", "k", "v", maxIdle(3_600_000))
		}
	}
	// What is only looked at is not used.
	v, _ := o.stored("m", "k")
	o.ahead.Add(1_900_000)
	if view := o.view("m", "k"); view.Expires != v.Expires {
		t.Errorf("a view has moved the expiry from %d to %d", v.Expires, view.Expires)
	}
	o.ahead.Add(1_900_000)
	if o.get("m", "k") != "" {
		t.Error("an entry outlived its max-idle without being used")
	}
}

// Hits and the time of the last access are the owner's; looking at them is no hit.
func TestHits(t *testing.T) {
	o := newOwner(t, 1)
	o.set("m", "k", "v")
	o.ahead.Add(1_000)
	o.get("m", "k")
	o.ahead.Add(1_000)
	before := o.now()
	o.call(0, wire.OpContains, wire.AppendKeyBody(nil, "m", []byte("k")))
	o.call(0, wire.OpGetMany, wire.AppendKeysBody(nil, "m", [][]byte{[]byte("k"), []byte("x"), []byte("k")}))
	o.ahead.Add(1_000)
	o.get("m", "x")
	o.get("nothing", "x")
	for range 3 {
		if v := o.view("m", "k"); v.Hits != 4 || v.Accessed < before || v.Accessed >= before+1_000 || v.Updated > before-2_000 {
			t.Fatalf("%d hits, updated %d, accessed %d, want 4 and about %d", v.Hits, v.Updated, v.Accessed, before)
		}
	}
	o.set("m", "k", "w")
	if v := o.view("m", "k"); v.Hits != 4 || v.Accessed != v.Updated {
		t.Fatalf("%+v", v)
	}
	if n := o.Counts("m"); n.Hits != 4 || n.Misses != 2 {
		t.Fatalf("%+v", n)
	}
	if n := o.Counts("nothing"); n.Misses != 0 || len(n.Ops) != 0 {
		t.Errorf("reads of what is no map are counted: %+v", n)
	}
}

// Entries are gone from memory soon after their time has come, at whatever rate they came; each has one event.
func TestExpiredEntriesLeaveMemory(t *testing.T) {
	t.Parallel()
	const partitions, entries, life = 7, 100_000, 500
	o := newOwner(t, partitions)
	var pending []answers
	for p := range partitions {
		for from := p; from < entries; from += 2000 * partitions {
			many := wire.ManyBody{Map: []byte("m"), WriteOptions: wire.WriteOptions{Flags: wire.WriteTTL, TTL: life}}
			for i := from; i < min(entries, from+2000*partitions); i += partitions {
				many.Keys, many.Values = append(many.Keys, fmt.Appendf(nil, "key%d", i)), append(many.Values, []byte("value"))
			}
			pending = append(pending, o.begin(p, wire.OpSetMany, wire.AppendManyBody(nil, &many)))
		}
	}
	for _, a := range pending {
		if got := o.wait(a); got.code != wire.CodeOK {
			t.Fatalf("%v %s", got.code, got.body)
		}
	}
	written := time.Now()
	o.await("all entries are gone", func() bool { return o.stats("m").Held == 0 })
	took := time.Since(written)
	t.Logf("gone %v after the last was written to live for %d ms", took, life)
	if took > 5*time.Second { // 2 s where there is a processor to be had
		t.Errorf("%d entries were still there after 5 s", entries)
	}
	if got := o.stats("m"); got.Bytes != 0 || got.Expired != entries {
		t.Errorf("%+v", got)
	}
	events := uint64(0)
	for p := range partitions {
		o.host.Inspect(p, func(m partition.Machine) { events += stateOf(m).LastPos() })
	}
	if events != 2*entries {
		t.Errorf("%d events, want an ADDED and an EXPIRED for each of %d", events, entries)
	}
}
