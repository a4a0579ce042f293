package clock

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// birth is a time in microseconds since 1970.
const birth = 1_700_000_000_000_000

// machine is a monotonic clock and a wall clock that a test moves.
type machine struct {
	mono, wall atomic.Int64 // nanoseconds; of wall since 1970
}

func (m *machine) pass(d time.Duration) { m.mono.Add(int64(d)); m.wall.Add(int64(d)) }

func newMachine() (*machine, *Clock) {
	m := new(machine)
	m.mono.Store(int64(3 * time.Hour))
	m.wall.Store(birth * 1000)
	return m, New(func() time.Duration { return time.Duration(m.mono.Load()) }, func() time.Time { return time.Unix(0, m.wall.Load()) })
}

// sampleAhead samples a peer whose clock is ahead of the machine's monotonic clock, without an error.
func sampleAhead(c *Clock, id wire.ID, ahead, trip time.Duration) {
	now := c.Mono()
	c.Sample(id, (now - trip/2 + ahead).Microseconds(), true, now-trip, now)
}

func isReady(c *Clock) bool {
	select {
	case <-c.Ready():
		return true
	default:
		return false
	}
}

func TestUnset(t *testing.T) {
	m, c := newMachine()
	m.pass(time.Second)
	if c.IsSet() || isReady(c) || c.Now() != 0 || c.NowMicros() != 0 || c.Disagreement() != 0 {
		t.Errorf("an unset clock shows %d", c.NowMicros())
	}
	for _, micros := range []int64{0, -1, maxMicros + 1} {
		if c.Set(micros) || c.IsSet() {
			t.Errorf("set to %d", micros)
		}
	}
}

func TestSetOnce(t *testing.T) {
	m, c := newMachine()
	if !c.Set(birth) || !c.IsSet() || !isReady(c) {
		t.Fatal("not set")
	}
	if c.Set(birth + 1) {
		t.Error("set twice")
	}
	m.pass(1234567 * time.Microsecond)
	if got := c.NowMicros(); got != birth+1234567 {
		t.Errorf("%d µs after it was set, want 1234567", got-birth)
	}
	if got := c.Now(); got != birth/1000+1234 {
		t.Errorf("%d ms after it was set, want 1234", got-birth/1000)
	}
}

func TestSetByPeers(t *testing.T) {
	_, c := newMachine()
	own := c.Mono()
	c.Sample(wire.ID{1}, birth, false, own, own)
	if c.IsSet() {
		t.Fatal("set by a peer that is unset itself")
	}
	sampleAhead(c, wire.ID{2}, 5*time.Hour, time.Millisecond)
	if got := time.Duration(c.NowMicros()) * time.Microsecond; got != own+5*time.Hour || !isReady(c) {
		t.Errorf("set to %v, want %v", got, own+5*time.Hour)
	}
}

// A first sample over a slow connection may be wrong by half its round trip; a few are waited for, and the best of them is taken.
func TestSetBySlowPeers(t *testing.T) {
	m, c := newMachine()
	for i, trip := range []time.Duration{800, 90, 700, 300} {
		if c.IsSet() {
			t.Fatalf("set by %d slow samples", i)
		}
		m.pass(time.Millisecond)
		now := c.Mono()
		// The answer took the whole of the trip: the error is half of it.
		c.Sample(wire.ID{1}, (now + 5*time.Hour - trip*time.Millisecond).Microseconds(), true, now-trip*time.Millisecond, now)
	}
	if got, want := time.Duration(c.NowMicros())*time.Microsecond, c.Mono()+5*time.Hour-45*time.Millisecond; got != want {
		t.Errorf("set to %v, want %v", got, want)
	}
}

func TestSamplesThatContradictThemselves(t *testing.T) {
	_, c := newMachine()
	now := c.Mono()
	c.Sample(wire.ID{1}, birth, true, now, now-1)
	for _, micros := range []int64{0, -birth, maxMicros + 1, 1<<63 - 1, -1 << 63} {
		c.Sample(wire.ID{1}, micros, true, now, now)
	}
	if c.IsSet() {
		t.Error("set by nonsense")
	}
}

func TestSlews(t *testing.T) {
	for _, gap := range []time.Duration{40 * time.Millisecond, -40 * time.Millisecond} {
		t.Run(gap.String(), func(t *testing.T) {
			m, c := newMachine()
			c.Set(birth)
			ahead := birth*time.Microsecond - c.Mono()
			// The median of two clocks is halfway between them.
			sampleAhead(c, wire.ID{1}, ahead+gap, 0)
			if got := c.Disagreement(); got != gap.Abs() {
				t.Errorf("disagreement %v, want %v", got, gap.Abs())
			}
			if got := c.NowMicros(); got != birth {
				t.Errorf("stepped by %d µs", got-birth)
			}
			m.pass(10 * time.Second)
			slewed := (10 * time.Second * MaxSlew / 1_000_000).Microseconds()
			if gap < 0 {
				slewed = -slewed
			}
			if got := c.NowMicros() - birth - 10_000_000; got != slewed {
				t.Errorf("slewed by %d µs in 10 s, want %d", got, slewed)
			}
			m.pass(time.Hour)
			if got, want := c.NowMicros()-birth-3_610_000_000, (gap / 2).Microseconds(); got != want {
				t.Errorf("slewed by %d µs in the end, want %d", got, want)
			}
			if got := c.Disagreement(); got != 0 {
				t.Errorf("disagreement %v by a sample of an hour ago", got)
			}
		})
	}
}

func TestSlewForYears(t *testing.T) {
	m, c := newMachine()
	c.Set(birth)
	sampleAhead(c, wire.ID{1}, birth*time.Microsecond-c.Mono()+40*time.Millisecond, 0)
	const year = 365 * 24 * time.Hour
	for n := int64(1); n <= 5; n++ {
		m.pass(year)
		if got, want := c.NowMicros(), birth+n*year.Microseconds()+20_000; got != want {
			t.Errorf("after %d years off by %d µs", n, got-want)
		}
	}
}

// A reader that is held up between looking at the line and at the monotonic clock, while the clock is told to slow down, sees a
// later time than the new line has. It is not taken back.
func TestReaderHeldUp(t *testing.T) {
	var mono time.Duration = time.Hour
	var during func() // runs in the next look at the monotonic clock
	c := New(func() time.Duration {
		if do := during; do != nil {
			during = nil
			do()
		}
		return mono
	}, nil)
	c.Set(birth)
	ahead := birth*time.Microsecond - mono
	sampleAhead(c, wire.ID{1}, ahead+time.Second, 0)
	during = func() {
		sampleAhead(c, wire.ID{1}, ahead-time.Second, 0)
		mono += 10 * time.Second
	}
	late := c.NowMicros()
	if fast := int64(birth + 10_005_000); late != fast {
		t.Fatalf("the reader that was held up sees %d, want %d", late-birth, fast-birth)
	}
	if now := c.NowMicros(); now != late {
		t.Errorf("went from %d to %d", late-birth, now-birth)
	}
	if now := c.Now(); now != late/1000 {
		t.Errorf("went from %d ms to %d", late/1000, now)
	}
}

// One clock that is hours off moves nobody, as long as most agree.
func TestMedian(t *testing.T) {
	m, c := newMachine()
	c.Set(birth)
	ahead := birth*time.Microsecond - c.Mono()
	sampleAhead(c, wire.ID{1}, ahead+2*time.Millisecond, 0)
	sampleAhead(c, wire.ID{2}, ahead+5*time.Hour, 0)
	m.pass(time.Hour)
	if got := c.NowMicros() - birth - time.Hour.Microseconds(); got != 2000 {
		t.Errorf("corrected by %d µs, want 2000", got)
	}
	for _, x := range []struct {
		list []time.Duration
		want time.Duration
	}{{[]time.Duration{7}, 7}, {[]time.Duration{9, 1}, 5}, {[]time.Duration{9, 1, 2}, 2}, {[]time.Duration{-4, 8, 0, 2}, 1}} {
		if got := middle(x.list); got != x.want {
			t.Errorf("middle of %v is %d, want %d", x.list, got, x.want)
		}
	}
}

func TestForget(t *testing.T) {
	m, c := newMachine()
	c.Set(birth)
	ahead := birth*time.Microsecond - c.Mono()
	sampleAhead(c, wire.ID{1}, ahead+time.Second, 0)
	m.pass(time.Second)
	slewed := c.NowMicros()
	c.Forget(wire.ID{1})
	c.Forget(wire.ID{2})
	if got := c.Disagreement(); got != 0 {
		t.Errorf("disagreement with a forgotten peer: %v", got)
	}
	m.pass(time.Second)
	if got := c.NowMicros() - slewed; got != time.Second.Microseconds() {
		t.Errorf("a second is %d µs, corrected towards a forgotten peer", got)
	}
	// A peer whose clock is unset has started again.
	sampleAhead(c, wire.ID{1}, ahead+time.Second, 0)
	if c.Disagreement() == 0 {
		t.Fatal("no disagreement with a peer that is a second ahead")
	}
	c.Sample(wire.ID{1}, 0, false, c.Mono(), c.Mono())
	if got := c.Disagreement(); got != 0 {
		t.Errorf("disagreement with a peer that is unset: %v", got)
	}
}

// The best sample counts until it is old or pushed out.
func TestBestSample(t *testing.T) {
	m, c := newMachine()
	c.Set(birth)
	ahead := birth*time.Microsecond - c.Mono()
	sampleAhead(c, wire.ID{1}, ahead+time.Millisecond, 100*time.Microsecond)
	disagreement := func(when string, want time.Duration) {
		t.Helper()
		if got := c.Disagreement().Round(time.Millisecond); got != want {
			t.Errorf("%s: disagreement %v, want %v", when, got, want)
		}
	}
	for range keepSamples - 1 {
		m.pass(100 * time.Millisecond)
		sampleAhead(c, wire.ID{1}, ahead+30*time.Millisecond, 50*time.Millisecond)
	}
	disagreement("while it is kept", 0)
	m.pass(100 * time.Millisecond)
	sampleAhead(c, wire.ID{1}, ahead+30*time.Millisecond, 50*time.Millisecond)
	disagreement("when it is pushed out", 29*time.Millisecond)

	sampleAhead(c, wire.ID{2}, ahead+500*time.Millisecond, 100*time.Microsecond)
	m.pass(9 * time.Second)
	sampleAhead(c, wire.ID{2}, ahead+600*time.Millisecond, 8*time.Millisecond)
	disagreement("when the clocks may have run apart", 595*time.Millisecond)
}

func TestWallDrift(t *testing.T) {
	m, c := newMachine()
	mark := c.Mark()
	m.pass(time.Second)
	if got := c.WallDrift(mark); got != 0 {
		t.Errorf("drift %v of a machine at work", got)
	}
	m.wall.Add(int64(time.Minute)) // suspended: the wall clock alone went on
	if got := c.WallDrift(mark); got != time.Minute {
		t.Errorf("drift %v after a minute of suspension", got)
	}
	m.wall.Add(-int64(time.Hour))
	if got := c.WallDrift(mark); got != 59*time.Minute {
		t.Errorf("drift %v after the wall clock was set back", got)
	}
}

// The wall clock that time.Now carries together with a monotonic reading must not be compared by the latter.
func TestWallDriftLooksAtTheWall(t *testing.T) {
	base := time.Now()
	wall := base
	c := New(func() time.Duration { return 0 }, func() time.Time { return wall })
	mark := c.Mark()
	if mark.wall != base.Round(0) {
		t.Errorf("a mark with a monotonic reading: %v", mark.wall)
	}
	wall = base.Add(time.Hour)
	if got := c.WallDrift(mark); got != time.Hour {
		t.Errorf("drift %v, want 1h", got)
	}
}

func TestSystem(t *testing.T) {
	c := System()
	c.Set(birth)
	a, b := c.NowMicros(), c.NowMicros()
	if a < birth || b < a || c.Mono() < 0 || c.WallDrift(c.Mark()) > time.Minute {
		t.Errorf("shows %d, then %d", a, b)
	}
}

// Whatever it is told, a clock that is set runs at the rate of the monotonic clock but for MaxSlew, and no wall clock matters.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, c := newMachine()
		twinMachine, twin := newMachine() // hears the same, but its wall clock is honest
		var lastMono, lastMicros int64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "action") {
			case 0, 1:
				d := time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "pass"))
				m.pass(d)
				twinMachine.pass(d)
			case 2:
				id := wire.ID{byte(rapid.IntRange(1, 4).Draw(t, "peer"))}
				micros := birth + rapid.Int64Range(-10_000_000, 10_000_000).Draw(t, "peer shows")
				if rapid.IntRange(0, 9).Draw(t, "mad") == 0 {
					micros = rapid.Int64().Draw(t, "mad peer shows")
				}
				trip := time.Duration(rapid.Int64Range(-1, int64(time.Second)).Draw(t, "trip"))
				set := rapid.IntRange(0, 9).Draw(t, "set") > 0
				for _, c := range []*Clock{c, twin} {
					c.Sample(id, micros, set, c.Mono()-trip, c.Mono())
				}
			case 3:
				micros := birth + rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "set to")
				if was := c.IsSet(); c.Set(micros) == was || twin.Set(micros) == was {
					t.Fatalf("a clock was set that was set: %t", was)
				}
			case 4:
				id := wire.ID{byte(rapid.IntRange(1, 4).Draw(t, "forget"))}
				c.Forget(id)
				twin.Forget(id)
			case 5:
				m.wall.Add(rapid.Int64Range(-int64(48*time.Hour), int64(48*time.Hour)).Draw(t, "wall clock steps"))
			}
			mono, micros := m.mono.Load(), c.NowMicros()
			if other := twin.NowMicros(); other != micros {
				t.Fatalf("the wall clock made %d of %d", micros, other)
			}
			if c.Now() != micros/1000 || c.IsSet() != (micros != 0) || isReady(c) != c.IsSet() {
				t.Fatalf("shows %d ms and %d µs; set %t, ready %t", c.Now(), micros, c.IsSet(), isReady(c))
			}
			if lastMicros != 0 {
				passed, shown := (mono-lastMono)/1000, micros-lastMicros
				if slew := passed*MaxSlew/1_000_000 + 2; shown < 0 || shown < passed-slew || shown > passed+slew {
					t.Fatalf("%d µs passed and %d are shown", passed, shown)
				}
			}
			lastMono, lastMicros = mono, micros
		}
	})
}

// Clocks of different rates that hear each other over a network with jitter come together, and stay so, without ever going back.
func TestClocksConverge(t *testing.T) {
	for members := 2; members <= 5; members++ {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("members=%d/seed=%d", members, seed), func(t *testing.T) { converge(t, members, seed) })
		}
	}
}

func converge(t *testing.T, members int, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, uint64(members)))
	var now time.Duration // true time
	clocks := make([]*Clock, members)
	for i := range clocks {
		start := time.Duration(rnd.Int64N(int64(time.Hour)))
		drift := time.Duration(rnd.Int64N(201) - 100) // parts in a million
		clocks[i] = New(func() time.Duration { return start + now + now*drift/1_000_000 }, nil)
	}
	// The others are set by their peers, but for the last: it is set by hand, wrongly.
	clocks[0].Set(birth)
	clocks[members-1].Set(birth + 15_000)

	// delay is the time of one way; seldom it is long, as when a process was held up.
	delay := func() time.Duration {
		d := 100*time.Microsecond + time.Duration(rnd.ExpFloat64()*float64(300*time.Microsecond))
		if rnd.IntN(50) == 0 {
			d += time.Duration(rnd.Int64N(int64(60 * time.Millisecond)))
		}
		return d
	}
	var due schedule
	ping := func(i, j int) {
		sent := clocks[i].Mono()
		there := now + delay()
		back := there + delay()
		due.add(there, func() {
			micros, set := clocks[j].NowMicros(), clocks[j].IsSet()
			due.add(back, func() { clocks[i].Sample(wire.ID{byte(j)}, micros, set, sent, clocks[i].Mono()) })
		})
	}
	shown := make([]int64, members)
	for round := range 1500 {
		for i := range clocks {
			for j := range clocks {
				if i != j {
					at := time.Duration(round)*100*time.Millisecond + time.Duration(rnd.Int64N(int64(100*time.Millisecond)))
					due.add(at, func() { ping(i, j) })
				}
			}
		}
		for end := time.Duration(round+1) * 100 * time.Millisecond; len(due) > 0 && due[0].at < end; {
			e := heap.Pop(&due).(event)
			now = e.at
			e.do()
		}
		low, high := int64(maxMicros), int64(0)
		for i, c := range clocks {
			if !c.IsSet() && round > 10 {
				t.Fatalf("clock %d is unset after %v", i, now)
			}
			micros := c.NowMicros()
			if micros < shown[i] {
				t.Fatalf("clock %d went from %d to %d", i, shown[i], micros)
			}
			shown[i] = micros
			low, high = min(low, micros), max(high, micros)
		}
		if apart := high - low; round > 600 && apart > 2000 {
			t.Fatalf("after %v the clocks are %d µs apart", now, apart)
		}
	}
	for i, c := range clocks {
		if c.Disagreement() > 3*time.Millisecond {
			t.Errorf("clock %d believes in a disagreement of %v", i, c.Disagreement())
		}
	}
}

// event is something that happens at an instant of true time; a schedule is a heap of events.
type event struct {
	at time.Duration
	do func()
}

type schedule []event

func (s *schedule) add(at time.Duration, do func()) { heap.Push(s, event{at, do}) }
func (s schedule) Len() int                         { return len(s) }
func (s schedule) Less(i, j int) bool               { return s[i].at < s[j].at }
func (s schedule) Swap(i, j int)                    { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(e any)                      { *s = append(*s, e.(event)) }

func (s *schedule) Pop() any {
	last := len(*s) - 1
	e := (*s)[last]
	*s = (*s)[:last]
	return e
}

// Readers and samples at the same time: nobody sees the clock go back, nor anything that another has not yet seen.
func TestReadersSeeOneClock(t *testing.T) {
	c := System()
	c.Set(birth)
	var seen atomic.Int64 // the greatest that some reader has seen, in microseconds
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for i := range 20_000 {
				before := seen.Load()
				now := c.NowMicros()
				if i%2 == 0 {
					before, now = before/1000, c.Now()
				} else {
					for last := seen.Load(); now > last && !seen.CompareAndSwap(last, now); last = seen.Load() {
					}
				}
				if now < before {
					t.Errorf("%d was seen before %d", before, now)
					return
				}
			}
		})
	}
	for i := range 2_000 {
		ahead := time.Duration(birth)*time.Microsecond + time.Duration(i%2*2-1)*time.Second
		sampleAhead(c, wire.ID{byte(i % 3)}, ahead, 0)
	}
	readers.Wait()
}

func TestReadingAllocatesNothing(t *testing.T) {
	_, c := newMachine()
	c.Set(birth)
	mark := c.Mark()
	if n := testing.AllocsPerRun(100, func() { c.Now(); c.NowMicros(); c.WallDrift(mark) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNow(b *testing.B) {
	c := System()
	c.Set(birth)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Now()
		}
	})
}
