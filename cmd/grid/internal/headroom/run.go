package headroom

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// every is how often the runtime is looked at.
const every = 500 * time.Millisecond

// Run controls the collector of this process until ctx ends. maxMemory is what entries may take; 0 if no bound is known.
func Run(ctx context.Context, maxMemory int64) {
	c := Controller{MaxMemory: maxMemory}
	r := newReader()
	tick := time.NewTicker(every)
	defer tick.Stop()

	last := 0
	for {
		percent, free := c.Step(r.read())
		// Each change stops the program for a moment.
		if off := percent - last; off > last/10 || -off > last/10 {
			debug.SetGCPercent(percent)
			last = percent
		}
		if free {
			debug.FreeOSMemory()
		}

		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// reader reads samples. It keeps what it reads them with.
type reader struct {
	start   time.Time
	samples []metrics.Sample
}

// names are the runtime's metrics that a sample is made of.
var names = [...]string{
	"/gc/heap/live:bytes", "/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/free:bytes",
	"/gc/heap/allocs:bytes", "/gc/cycles/total:gc-cycles", "/cpu/classes/gc/total:cpu-seconds", "/cpu/classes/gc/mark/idle:cpu-seconds",
	"/cpu/classes/user:cpu-seconds",
}

func newReader() *reader {
	r := &reader{start: time.Now(), samples: make([]metrics.Sample, len(names))}
	for i, name := range names {
		r.samples[i].Name = name
	}
	return r
}

func (r *reader) read() Sample {
	metrics.Read(r.samples)
	n := func(i int) uint64 { return r.samples[i].Value.Uint64() }
	f := func(i int) float64 { return r.samples[i].Value.Float64() }

	live, has := n(0), n(1)+n(2)+n(3)
	return Sample{At: time.Since(r.start), Live: live, Spare: has - min(has, live), Allocated: n(4), Cycles: n(5), Collector: f(6) - f(7), Others: f(8)}
}
