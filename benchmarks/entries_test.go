package benchmarks

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// entries is how many entries BenchmarkStore and BenchmarkEntries keep.
var entries = flag.Int("entries", 1_000_000, "how many entries are kept by the benchmarks of stores")

const (
	storePartitions = 271
	storeKey        = 16  // bytes of a key
	storeValue      = 100 // bytes of a value
)

// store is one way to keep the entries of the partitions of one map.
type store interface {
	set(partition int, key, value []byte)
	get(partition int, key []byte) bool
}

// goMaps keeps each partition in a Go map from keys to entries.
type goMaps []map[string]*goEntry

type goEntry struct {
	value                     []byte
	version, created, updated uint64
	_                         uint64 // room for what members count of its uses
}

func (m goMaps) set(p int, key, value []byte) {
	m[p][string(key)] = &goEntry{value: slices.Clone(value), version: 1, created: 1, updated: 1}
}

func (m goMaps) get(p int, key []byte) bool {
	e := m[p][string(key)]
	return e != nil && len(e.value) > 0
}

// states keeps them as members do.
type states struct {
	list []*state.State
	body []byte
}

var storeName = []byte("users")

func (s *states) set(p int, key, value []byte) {
	s.body = wire.AppendWriteBody(s.body[:0], &wire.WriteBody{Map: storeName, Key: key, Value: value})
	s.list[p].Apply(&entry.Op{Code: wire.OpSet, Body: s.body})
}

func (s *states) get(p int, key []byte) bool {
	v, ok := s.list[p].Get(storeName, key)
	return ok && len(v.Value) > 0
}

func newGoMaps() store {
	m := make(goMaps, storePartitions)
	for i := range m {
		m[i] = make(map[string]*goEntry)
	}
	return m
}

func newStates() store {
	s := &states{list: make([]*state.State, storePartitions)}
	for i := range s.list {
		s.list[i] = state.New(1, state.Limits{})
		s.list[i].Advance(1000, 0)
	}
	return s
}

// storeKeyOf appends the i-th key.
func storeKeyOf(dst []byte, i int) []byte {
	return fmt.Appendf(dst, "user:%0*d", storeKey-len("user:"), i)
}

// BenchmarkStore compares what keeps the entries: the memory that one takes beside its key and value, where keys come in order
// and where they do not. It also measures how long one collection takes, and an operation of four reads to one write on one
// goroutine.
func BenchmarkStore(b *testing.B) {
	for _, kind := range []struct {
		name string
		make func() store
	}{{"go-map", newGoMaps}, {"state", newStates}} {
		for _, order := range []string{"sorted", "random"} {
			b.Run(fmt.Sprintf("store=%s/keys=%s/entries=%d", kind.name, order, *entries), func(b *testing.B) {
				order := orderOf(order, *entries)
				before := heap()
				s, value := kind.make(), make([]byte, storeValue)
				var key []byte
				for _, i := range order {
					key = storeKeyOf(key[:0], int(i))
					s.set(int(i)%storePartitions, key, value)
				}
				over := float64(heap()-before)/float64(*entries) - storeKey - storeValue
				started := time.Now()
				runtime.GC()
				collection := time.Since(started)
				for b.Loop() {
					i := rand.IntN(*entries)
					key = storeKeyOf(key[:0], i)
					if rand.IntN(5) == 0 {
						s.set(i%storePartitions, key, value)
					} else if !s.get(i%storePartitions, key) {
						b.Fatal("missing")
					}
				}
				b.ReportMetric(over, "overhead-bytes/entry")
				b.ReportMetric(float64(collection.Microseconds())/1000, "ms/collection")
				runtime.KeepAlive(s)
			})
		}
	}
}

// orderOf returns the numbers below n, in order or not.
func orderOf(order string, n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i)
	}
	if order == "random" {
		rand.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return list
}

// collector is what the garbage collector has done so far.
type collector struct {
	gc, user float64 // CPU-seconds
	cycles   uint64
	pauses   *metrics.Float64Histogram // seconds for which the program stood
	stopping *metrics.Float64Histogram // seconds of those until all threads had stopped
}

func readCollector() collector {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/user:cpu-seconds"},
		{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/sched/pauses/total/gc:seconds"},
		{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(s)
	return collector{s[0].Value.Float64(), s[1].Value.Float64(), s[2].Value.Uint64(), s[3].Value.Float64Histogram(),
		s[4].Value.Float64Histogram()}
}

// longest returns an upper bound, in milliseconds, of what has come to a histogram of seconds since before.
func longest(now, before *metrics.Float64Histogram) (ms float64) {
	for i, n := range now.Counts {
		if n > before.Counts[i] {
			ms = 1000 * now.Buckets[i+1]
		}
	}
	return ms
}

// BenchmarkEntries is one member of 271 partitions with all entries in it, and callers in the same process that read four times
// for each write. It reports which part of the processors' time the collector takes, how long the program stood for it, and what
// an entry takes beside its key and value. Run it alone.
func BenchmarkEntries(b *testing.B) {
	const callers, batch = 64, 2000
	debug.SetGCPercent(200) // the most that members set
	m, err := grid.Start(b.Context(), grid.Config{Partitions: storePartitions, NoHTTP: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(m.Kill)
	users, err := sdk.OpenMap[string, []byte](m.Client(), string(storeName))
	if err != nil {
		b.Fatal(err)
	}
	value, before := make([]byte, storeValue), heap()
	for from := 0; from < *entries; from += batch {
		part := make(map[string][]byte, batch)
		for i := from; i < min(*entries, from+batch); i++ {
			part[string(storeKeyOf(nil, i))] = value
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		if err := users.SetAll(ctx, maps.Clone(part)); err != nil {
			b.Fatal(err)
		}
		cancel()
	}
	over := float64(heap()-before)/float64(*entries) - storeKey - storeValue
	b.Run(fmt.Sprintf("entries=%d/callers=%d", *entries, callers), func(b *testing.B) {
		start := readCollector()
		b.ResetTimer()
		var left atomic.Int64
		left.Store(int64(b.N))
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				var key []byte
				for left.Add(-1) >= 0 {
					key = storeKeyOf(key[:0], rand.IntN(*entries))
					var err error
					if rand.IntN(5) == 0 {
						err = users.Set(b.Context(), string(key), value)
					} else {
						_, _, err = users.Get(b.Context(), string(key))
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		runtime.GC() // one at least, and what was begun is ended and counted
		end := readCollector()
		b.ReportMetric(over, "overhead-bytes/entry")
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		b.ReportMetric(100*(end.gc-start.gc)/(end.gc-start.gc+end.user-start.user), "%gc")
		b.ReportMetric(float64(end.cycles-start.cycles), "collections")
		b.ReportMetric(longest(end.pauses, start.pauses), "ms-longest-pause")
		b.ReportMetric(longest(end.stopping, start.stopping), "ms-longest-stopping")
	})
}
