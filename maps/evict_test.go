package maps

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// keyOf returns the i-th key.
func keyOf(i int) string { return fmt.Sprintf("key%05d", i) }

// fits waits until a map is within its bound and stays there: nothing of it is still to be evicted.
func (o *owner) fits(name string, entries int) {
	o.t.Helper()
	o.await(fmt.Sprintf("%s has at most %d entries", name, entries), func() bool { return o.stats(name).Entries <= entries })
}

// there returns those of the first n keys that are stored.
func (o *owner) there(name string, n int) (keys []int) {
	for i := range n {
		if _, ok := o.stored(name, keyOf(i)); ok {
			keys = append(keys, i)
		}
	}
	return keys
}

// The bound counts what the member owns, whatever the number of partitions: what was used least lately goes, and not much more
// than must.
func TestEvictLRU(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ partitions, bound int }{{30, 1}, {30, 7}, {30, 200}, {1, 200}, {7, 1000}} {
		t.Run(fmt.Sprintf("partitions=%d/bound=%d", c.partitions, c.bound), func(t *testing.T) {
			o := newOwner(t, c.partitions)
			o.configure("m", wire.MapConfig{Eviction: wire.EvictLRU, MaxEntries: uint64(c.bound)})
			n := 3 * c.bound
			for i := range n {
				o.set("m", keyOf(i), "v")
				o.ahead.Add(2 * freshMillis)
				if c.bound >= 200 && i%(c.bound/4) == 0 {
					if o.get("m", keyOf(0)) != "v" {
						t.Fatal("an entry that is used all the time was evicted")
					}
				}
				if o.get("m", keyOf(i)) != "v" {
					t.Fatal("the entry just written was evicted")
				}
			}
			// Victims of one round go in the order in which their partitions commit: the map may fit before the last of them is gone.
			oldest := n - c.bound - 1
			o.await(fmt.Sprintf("of those used once only %d to %d are left", oldest, n-1), func() bool {
				there := o.there("m", n)
				if c.bound >= 200 && there[0] == 0 {
					there = there[1:]
				}
				return there[0] >= oldest
			})
			o.fits("m", c.bound)
			st := o.stats("m")
			if least := c.bound - c.bound/slackShare - 1; st.Entries < least || st.Entries == 0 {
				t.Errorf("%d entries are left, want %d to %d", st.Entries, least, c.bound)
			}
			if st.Evicted != uint64(n-st.Entries) {
				t.Errorf("%d evicted of %d, and %d are left", st.Evicted, n, st.Entries)
			}
			there := o.there("m", n)
			if c.bound >= 200 {
				if there[0] != 0 {
					t.Error("the entry that is used all the time is gone")
				}
				there = there[1:]
			}
			if there[0] < oldest || there[len(there)-1] != n-1 {
				t.Errorf("%d to %d of %d are left", there[0], there[len(there)-1], n)
			}
		})
	}
}

// What was just read stays, also in a small map whose other entries were written within the same milliseconds.
func TestEvictionSparesWhatWasJustRead(t *testing.T) {
	t.Parallel()
	for _, policy := range []wire.EvictionPolicy{wire.EvictLRU, wire.EvictLFU} {
		for _, apart := range []int64{0, 1, freshMillis - 1, freshMillis, 5 * freshMillis} {
			t.Run(fmt.Sprintf("policy=%v/apart=%d", policy, apart), func(t *testing.T) {
				o := newOwner(t, 1)
				const bound = 4
				o.configure("m", wire.MapConfig{Eviction: policy, MaxEntries: bound})
				o.set("m", keyOf(0), "v")
				o.ahead.Add(apart)
				for i := 1; i < 40; i++ {
					if o.get("m", keyOf(0)) != "v" {
						t.Fatalf("the key that was just read is gone after %d others were written", i-1)
					}
					o.set("m", keyOf(i), "v")
					o.fits("m", bound)
				}
			})
		}
	}
}

func TestEvictLFU(t *testing.T) {
	const bound, hot = 300, 50
	o := newOwner(t, 9)
	o.configure("m", wire.MapConfig{Eviction: wire.EvictLFU, MaxEntries: bound})
	for i := range hot {
		o.set("m", keyOf(i), "v")
		for range 1 + i%3 {
			o.get("m", keyOf(i))
		}
	}
	o.ahead.Add(1000)
	for i := hot; i < 1000; i++ {
		o.set("m", keyOf(i), "v")
		o.ahead.Add(freshMillis)
	}
	o.fits("m", bound)
	if there := o.there("m", hot); len(there) != hot {
		t.Errorf("%d of the %d entries that were read are left", len(there), hot)
	}
}

// Many writers at once come to the bound and stay there, with few evicted too many.
func TestEvictUnderLoad(t *testing.T) {
	const bound, writers, each = 2000, 8, 1500
	o := newOwner(t, 7)
	o.configure("m", wire.MapConfig{Eviction: wire.EvictLRU, MaxEntries: bound})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				key := keyOf(w*each + i)
				body := wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("m"), Key: []byte(key), Value: []byte("v")})
				if got := <-o.begin(o.place(key), wire.OpSet, body); got.code != wire.CodeOK {
					t.Errorf("%v", got.code)
					return
				}
			}
		})
	}
	wg.Wait()
	o.fits("m", bound)
	if st := o.stats("m"); st.Entries < bound*95/100 || st.Evicted != uint64(writers*each-st.Entries) {
		t.Errorf("%+v, want %d entries or a little less", st, bound)
	}
	evicted := 0
	for p := range o.cfg.Partitions {
		o.host.Inspect(p, func(m partition.Machine) {
			events, _ := stateOf(m).EventsFrom(0, nil)
			for _, e := range events {
				if e.Kind == wire.EventEvicted {
					evicted++
				}
			}
		})
	}
	if evicted == 0 {
		t.Error("no events of evictions")
	}
}

func TestEvictByBytes(t *testing.T) {
	const bound, value = 200_000, 1000
	o := newOwner(t, 5)
	o.configure("m", wire.MapConfig{Eviction: wire.EvictLRU, MaxBytes: bound})
	for i := range 500 {
		o.set("m", keyOf(i), strings.Repeat("v", value))
	}
	o.await("the map is within its bound", func() bool { return o.stats("m").Bytes <= bound })
	if st := o.stats("m"); st.Bytes < bound*95/100 {
		t.Errorf("%+v, want %d bytes or a little less", st, bound)
	}
	// One entry that is too large alone stays: it was just written.
	o.set("m", "large", strings.Repeat("v", bound))
	o.await("all others are gone", func() bool { return o.stats("m").Entries == 1 })
	if o.get("m", "large") == "" {
		t.Error("the entry just written is gone")
	}
}

// A bound that is set later holds without anybody writing; one that is taken away holds no more.
func TestBoundIsConfiguredLater(t *testing.T) {
	t.Parallel()
	o := newOwner(t, 5)
	for i := range 500 {
		o.set("m", keyOf(i), "v")
	}
	o.configure("m", wire.MapConfig{Eviction: wire.EvictLRU, MaxEntries: 100})
	o.fits("m", 100)
	o.configure("m", wire.MapConfig{})
	left := o.stats("m").Entries
	for i := range 500 {
		o.set("m", keyOf(1000+i), "v")
	}
	o.await("the bound is forgotten", func() bool {
		n := 0
		o.evictor.bounds.each(func(*bound) { n++ })
		return n == 0
	})
	if st := o.stats("m"); st.Entries != left+500 {
		t.Errorf("%d entries, want %d", st.Entries, left+500)
	}
}

// A locked key is not evicted.
func TestLockedKeysStay(t *testing.T) {
	t.Parallel()
	o := newOwner(t, 5)
	for i := range 20 {
		o.set("m", keyOf(i), "v")
		if i%5 == 0 {
			b := wire.LockBody{Map: []byte("m"), Key: []byte(keyOf(i)), ID: wire.ID{byte(i + 1)}, Lease: 3_600_000}
			o.host.Submit(o.place(keyOf(i)), &entry.Op{Code: wire.OpLock, Deadline: o.now() + 1000, Body: wire.AppendLockBody(nil, &b)}, unheard{})
			o.host.Flush(o.place(keyOf(i)))
		}
	}
	locked := func() (n int) {
		for i := range 20 {
			o.host.Inspect(o.place(keyOf(i)), func(m partition.Machine) {
				if stateOf(m).Lock([]byte("m"), []byte(keyOf(i))) != (state.LockState{}) {
					n++
				}
			})
		}
		return n
	}
	o.await("the keys are locked", func() bool { return locked() == 4 })
	o.ahead.Add(1000)
	o.configure("m", wire.MapConfig{Eviction: wire.EvictLRU, MaxEntries: 1})
	o.await("no more can be evicted", func() bool { return o.stats("m").Entries <= 4 })
	o.set("m", "new", "v")
	for range 3 {
		o.evictor.wakeUp()
	}
	if there := o.there("m", 20); !slices.Equal(there, []int{0, 5, 10, 15}) {
		t.Errorf("%v are left", there)
	}
}

// Choosing is by age or use, but what is young goes last; at least as many entries or bytes as are asked for.
func TestChoose(t *testing.T) {
	list := func() []candidate {
		return []candidate{
			{version: 1, cost: 10, rank: [2]int64{5}}, {version: 2, cost: 10, rank: [2]int64{1, 2}}, {version: 3, cost: 10, rank: [2]int64{1, 1}},
			{version: 4, cost: 10, young: true, rank: [2]int64{0}}, {version: 5, cost: 100, rank: [2]int64{9}}, {version: 6, cost: 10, rank: [2]int64{5}},
		}
	}
	for _, c := range []struct {
		entries, bytes int64
		want           []uint64
	}{
		{0, 0, nil}, {1, 0, []uint64{3}}, {0, 1, []uint64{3}}, {0, 20, []uint64{3, 2}}, {0, 21, []uint64{3, 2, 1}},
		{4, 0, []uint64{3, 2, 1, 6}}, {1, 41, []uint64{3, 2, 1, 6, 5}}, {9, 0, []uint64{3, 2, 1, 6, 5, 4}},
	} {
		var got []uint64
		for _, v := range choose(list(), c.entries, c.bytes) {
			got = append(got, v.version)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%d entries, %d bytes: %v, want %v", c.entries, c.bytes, got, c.want)
		}
	}
}

// A sample is spread over all entries, none is in it twice, and looking is no use.
func TestSample(t *testing.T) {
	const n = 3000
	o := newOwner(t, 4)
	many := make([]wire.ManyBody, 4)
	for i := range n {
		p := o.place(keyOf(i))
		many[p].Map = []byte("m")
		many[p].Keys, many[p].Values = append(many[p].Keys, []byte(keyOf(i))), append(many[p].Values, []byte("v"))
	}
	for p := range many {
		o.call(p, wire.OpSetMany, wire.AppendManyBody(nil, &many[p]))
	}
	b := &bound{name: []byte("m")}
	parts, entries, _ := o.evictor.measure(b.name)
	if entries != n || len(parts) != 4 {
		t.Fatalf("%d entries in %d partitions", entries, len(parts))
	}
	for _, size := range []int{1, 10, 500, n - 1, n, 2 * n} {
		seen := map[string]bool{}
		for _, c := range o.sample(b, wire.EvictLRU, parts, size) {
			if seen[string(c.key)] {
				t.Fatalf("%s is in a sample of %d twice", c.key, size)
			}
			seen[string(c.key)] = true
		}
		if want := min(size, n); len(seen) < want || len(seen) > want+len(parts) {
			t.Errorf("a sample of %d has %d", size, len(seen))
		}
	}
	for range 20 {
		o.sample(b, wire.EvictLFU, parts, n)
	}
	if v := o.view("m", keyOf(7)); v.Hits != 0 || v.Accessed != v.Updated {
		t.Errorf("%+v", v)
	}
}
