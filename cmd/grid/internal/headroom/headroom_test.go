package headroom

import (
	"context"
	"testing"
	"time"
)

const mb = 1 << 20

// process is a program whose collector is controlled: it allocates at a rate, and a collection takes time for what is live.
type process struct {
	c       Controller
	s       Sample
	live    float64 // bytes
	rate    float64 // bytes allocated in a second
	perByte float64 // processor seconds that a collection takes for a live byte
	garbage float64
	percent int
	freed   int
	idle    float64 // part of the time in which the program does nothing
}

// run lets the program run for a time. It uses one processor.
func (p *process) run(d time.Duration) {
	for range d / every {
		p.s.At += every
		p.s.Others += every.Seconds() * (1 - p.idle)
		p.s.Allocated += uint64(p.rate * every.Seconds())
		p.garbage += p.rate * every.Seconds()
		for room := p.live * float64(p.percent) / 100; p.garbage > room; p.garbage -= room {
			p.s.Cycles++
			p.s.Collector += p.live * p.perByte
			p.s.Live = uint64(p.live)
		}
		p.s.Spare = uint64(p.live*float64(p.percent)/100) + uint64(p.live) - p.s.Live
		var free bool
		if p.percent, free = p.c.Step(p.s); free {
			p.freed++
			p.s.Live, p.garbage = uint64(p.live), 0
			p.s.Cycles++
		}
	}
}

// room returns the headroom in bytes.
func (p *process) room() float64 { return p.live * float64(p.percent) / 100 }

// share returns which part of the processor time collections took in a time.
func (p *process) share(d time.Duration) float64 {
	before := p.s
	p.run(d)
	return (p.s.Collector - before.Collector) / (p.s.Collector - before.Collector + p.s.Others - before.Others)
}

func newProcess(live, rate, perMillion float64, maxMemory int64) *process {
	p := &process{c: Controller{MaxMemory: maxMemory}, live: live, rate: rate, perByte: perMillion / (200 * mb), percent: 100}
	p.s.Live = uint64(live)
	p.run(every)
	return p
}

func TestHeadroomIsSmallWhereCollectionsAreRare(t *testing.T) {
	p := newProcess(1000*mb, 5*mb, 0.2, 0)
	p.run(time.Minute)
	if p.percent != leastPercent {
		t.Errorf("%d %%, want the least", p.percent)
	}
	p = newProcess(20*mb, 1*mb, 0.2, 0)
	p.run(time.Minute)
	if room := p.room(); room < 0.95*least || room > 1.05*least {
		t.Errorf("%.0f bytes beside a small heap, want %d", room, least)
	}
}

func TestHeadroomGrowsUntilTheCollectorTakesLittle(t *testing.T) {
	for _, live := range []float64{50 * mb, 200 * mb, 1000 * mb} {
		for _, rate := range []float64{20 * mb, 100 * mb} {
			p := newProcess(live, rate, 0.2, 0)
			p.run(2 * time.Minute)
			share := p.share(time.Minute)
			if share > 0.1 && p.room() < 1.9*live {
				t.Errorf("%.0f bytes live, %.0f a second: the collector takes %.3f with %d %%", live, rate, share, p.percent)
			}
			if p.room() > 2.1*live {
				t.Errorf("%.0f bytes live: a headroom of %.0f", live, p.room())
			}
		}
	}
}

// A member that does nothing takes little processor time, and its collector may take most of that.
func TestHeadroomIsSmallAtRest(t *testing.T) {
	p := newProcess(200*mb, 4*mb, 0.15, 0)
	p.run(5 * time.Minute)
	p.idle = 0.95
	p.run(10 * time.Minute)
	if room := p.room(); room > 1.1*least {
		t.Errorf("%.0f bytes beside 200 MB that nobody asks for, want %d", room, least)
	}
}

// The bound follows the memory for entries, however much the collector takes.
func TestHeadroomIsBounded(t *testing.T) {
	const most = 400 * mb
	p := newProcess(1000*mb, 400*mb, 1, most)
	for range 120 {
		p.run(time.Second)
		if p.room() > 1.1*most/entriesShare {
			t.Fatalf("a headroom of %.0f bytes where entries may take %d", p.room(), most)
		}
	}
}

func TestMemoryGoesBackOnceAfterALoad(t *testing.T) {
	p := newProcess(200*mb, 1*mb, 0.2, 0)
	p.run(time.Minute)
	if p.freed != 0 {
		t.Fatal("there was no load")
	}
	p.rate = 100 * mb
	p.run(time.Minute)
	if p.freed != 0 {
		t.Fatal("the load goes on")
	}
	p.rate = 1 * mb
	p.run(2*quietFor + freeEvery)
	if p.freed != 1 {
		t.Fatalf("freed %d times after the load, want once", p.freed)
	}
	p.run(10 * time.Minute)
	if p.freed != 1 {
		t.Errorf("freed %d times by a member that does nothing", p.freed)
	}
}

// A member at rest would take minutes from one collection to the next, and longer until its headroom was small again.
func TestHeadroomIsSmallOnceALoadHasEnded(t *testing.T) {
	p := newProcess(400*mb, 100*mb, 0.5, 0)
	p.run(time.Minute)
	if p.room() < 4*least {
		t.Fatalf("a headroom of %.0f bytes under a load whose collections cost much", p.room())
	}
	p.rate, p.idle = 1*mb, 0.95
	p.run(2*quietFor + freeEvery)
	if room := p.room(); room > 1.1*least && p.percent > leastPercent {
		t.Errorf("a headroom of %.0f bytes at rest, want %d", room, least)
	}

	// What the load needs is known when it goes on.
	p.rate, p.idle = 100*mb, 0
	p.run(every)
	if p.room() < 4*least {
		t.Errorf("a headroom of %.0f bytes when the load goes on", p.room())
	}
}

// Each time that memory goes back takes a collection, and the headroom must grow again. A load with pauses must not pay for that in each.
func TestLoadWithPausesIsLeftAlone(t *testing.T) {
	p := newProcess(400*mb, 100*mb, 0.5, 0)
	for range 60 {
		p.rate = 100 * mb
		p.run(2 * time.Second)
		p.rate = 1 * mb
		p.run(2 * quietFor)
	}
	if p.freed > 3 {
		t.Errorf("freed %d times in the pauses of a load", p.freed)
	}
	p.run(quietMost + freeEvery)
	if room := p.room(); room > 1.1*least && p.percent > leastPercent {
		t.Errorf("a headroom of %.0f bytes at rest, want %d", room, least)
	}
}

// A load that is slow, as where the processors have much else to do, is none that was seen. It leaves memory all the same.
func TestMemoryGoesBackAfterASlowLoad(t *testing.T) {
	p := newProcess(400*mb, 0.9*busyRate, 0.5, 0)
	p.run(2 * time.Minute)
	if p.freed != 0 {
		t.Fatal("the load goes on")
	}
	p.rate, p.idle = 1*mb, 0.95
	p.run(10 * time.Minute)
	if p.freed != 1 {
		t.Errorf("freed %d times after a slow load, want once", p.freed)
	}
}

// A process that has never collected must begin to.
func TestFirstCollectionComes(t *testing.T) {
	var c Controller
	if percent, _ := c.Step(Sample{Spare: 3 * mb}); percent > 1000 {
		t.Errorf("%d %% before the first collection", percent)
	}
}

// The runtime has all metrics that are read, and Run ends with its context.
func TestRun(t *testing.T) {
	s := newReader().read()
	if s.Allocated == 0 || s.Spare == 0 {
		t.Errorf("the runtime says %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	Run(ctx, 0)
}
