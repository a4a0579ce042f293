package maps

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// opCountOf returns how often an operation was counted.
func opCountOf(c *wire.MapCounts, op wire.Op) (n uint64) {
	for _, o := range c.Ops {
		if o.Op == op {
			for _, b := range o.Buckets {
				n += b
			}
		}
	}
	return n
}

func TestTally(t *testing.T) {
	var told sync.Map
	s := &Service{cfg: Config{Latency: func(name string, op wire.Op) func(time.Duration) {
		return func(took time.Duration) { told.Store(fmt.Sprint(name, op), took) }
	}}}
	n := s.tallyOf([]byte("m"), true)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				n.done(s, wire.OpGet, uint32(g), time.Duration(i)*time.Microsecond)
				n.read(uint32(g), 1, 2)
			}
		})
	}
	wg.Wait()
	n.done(s, wire.OpSet, 0, -time.Second) // a clock is a clock
	var c wire.MapCounts
	n.sum(&c)
	if opCountOf(&c, wire.OpGet) != 8000 || opCountOf(&c, wire.OpSet) != 1 || c.Hits != 8000 || c.Misses != 16000 {
		t.Errorf("%+v", c)
	}
	if c.Ops[0].Op != wire.OpGet || c.Ops[0].Nanos != 8*999*1000/2*1000 || c.Ops[1].Nanos != 0 {
		t.Errorf("%d ns of %v", c.Ops[0].Nanos, c.Ops[0].Op)
	}
	if took, ok := told.Load("mset"); !ok || took.(time.Duration) != 0 {
		t.Errorf("told %v, %t", took, ok)
	}
	quiet, name := &Service{}, []byte("m")
	if allocs := testing.AllocsPerRun(100, func() {
		n := quiet.tallyOf(name, true)
		n.read(1, 1, 0)
		n.done(quiet, wire.OpSet, 0, elapsed())
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestTalliesAreBounded(t *testing.T) {
	s := &Service{}
	for i := range maxTallies {
		if s.tallyOf(fmt.Appendf(nil, "m%d", i), true) == nil {
			t.Fatalf("map %d is not counted", i)
		}
	}
	if s.tallyOf([]byte("one more"), true) != nil {
		t.Error("one more is counted")
	}
	if s.tallyOf([]byte("m7"), false) == nil || s.tallyOf([]byte("nobody"), false) != nil {
		t.Error("who has a tally and who has none")
	}
}

// A map that is new costs the same however many are counted: names that are used once come all the time.
func TestNewTallyIsCheap(t *testing.T) {
	s := &Service{}
	begin := func(from, to int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range to - from {
			s.tallyOf(fmt.Appendf(nil, "m%d", from+i), true)
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / uint64(to-from)
	}
	few := begin(0, 500)
	begin(500, 3500)
	if many := begin(3500, 4000); many > 2*few {
		t.Errorf("a new name takes %d bytes where there are few, and %d where there are many", few, many)
	}
}

// What ends by itself is counted once, also of a map that was destroyed and is another now.
func TestCountsOfTheLog(t *testing.T) {
	o := newOwner(t, 2)
	o.Counts("m") // the first look
	short := func(w *wire.WriteOptions) { w.Flags, w.TTL = wire.WriteTTL, 1_000 }
	for i := range 10 {
		o.set("m", fmt.Sprint("k", i), "v", short)
		o.set("m", fmt.Sprint("stays", i), "v")
	}
	o.ahead.Add(2_000)
	var c wire.MapCounts
	o.await("the ends of ten", func() bool {
		c = o.Counts("m")
		return c.Expired == 10
	})
	if c.Entries != 10 || c.Events != 30 || c.Bytes == 0 || opCountOf(&c, wire.OpSet) != 20 || c.EventsKept != 30 || c.EventsKeptSize < 30*32 ||
		c.ExpiryLag < 500 || c.ExpiryLag > 60_000 {
		t.Fatalf("%+v", c)
	}

	// Who asks for what it has missed is told of it, or of a loss; who begins now has missed nothing.
	for _, from := range []wire.EventsBody{{Map: []byte("m"), Pos: wire.PosNow}, {Map: []byte("m"), Generation: 1}, {Map: []byte("m"), Generation: 9}} {
		o.call(0, wire.OpEvents, wire.AppendEventsBody(nil, &from))
	}
	o.Published("m", 3)
	if c := o.Counts("m"); c.Repairs != 2 || c.Lost != 1 || c.Published != 3 {
		t.Errorf("%+v", c)
	}

	for p := range 2 {
		o.call(p, wire.OpDestroy, wire.AppendMapBody(nil, "m"))
	}
	if c := o.Counts("m"); c.Entries != 0 || c.Expired != 10 || c.Events != 30 {
		t.Errorf("destroyed: %+v", c)
	}
	o.set("m", "again", "v")
	o.call(o.place("again"), wire.OpEvict, wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("m"), Key: []byte("again")}))
	if c := o.Counts("m"); c.Expired != 10 || c.Events != 32 || c.Evicted != 1 {
		t.Errorf("made again: %+v", c)
	}
	if c := o.AllCounts()["m"]; c == nil || c.Expired != 10 || c.Events != 32 {
		t.Errorf("among all: %+v", c)
	}

	// Where a map is not counted, what there is can still be seen.
	o.configure("quiet", wire.MapConfig{})
	o.set("quiet", "k", "v", short)
	o.ahead.Add(2_000)
	o.await("its end", func() bool { return o.Counts("quiet").Entries == 0 })
	if c := o.Counts("quiet"); c.Expired != 0 || c.Events != 0 || len(c.Ops) != 0 {
		t.Errorf("not to be counted: %+v", c)
	}
}

func BenchmarkTally(b *testing.B) {
	s, name := &Service{}, []byte("users")
	b.ReportAllocs()
	for b.Loop() {
		start := elapsed()
		n := s.tallyOf(name, true)
		n.read(1, 1, 0)
		n.done(s, wire.OpGet, 1, elapsed()-start)
	}
}
