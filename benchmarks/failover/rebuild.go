package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/sdk"
)

// rebuild kills one of some members, for good or so that it comes back empty, and its replicas are rebuilt.
func (o *options) rebuild(ctx context.Context) (r report, err error) {
	r.title = fmt.Sprintf("kill -9 of one of %d members for good", o.members)
	wanted := o.members - 1 // the dead member stays one of the cluster
	if o.again {
		r.title = fmt.Sprintf("kill -9 of one of %d members, which is started again", o.members)
		wanted = o.members
	}

	cl, err := o.start(ctx, o.members, "--log-level", "debug")
	if err != nil {
		return r, err
	}
	defer cl.close()

	// Replicas need content, or rebuilding them would take no time.
	if err := o.fill(ctx, cl); err != nil {
		return r, err
	}

	victim, _, err := cl.most(ctx, o.members)
	if err != nil {
		return r, err
	}

	lost, err := cl.held(ctx, victim)
	if err != nil {
		return r, err
	}

	megabytes := float64(o.megabytes) * float64(lost) / float64(o.partitions)

	l, err := startLoad(ctx, cl.measured, o.partitions, o.rate, 0)
	if err != nil {
		return r, err
	}

	writes, err := o.startWrites(ctx, cl)
	if err != nil {
		l.stop()
		return r, err
	}

	var began, moving, done time.Time
	sent := 0
	started := time.Now()

	work := func() error {
		if err := benchmarks.Wait(ctx, 2*o.settle); err != nil {
			return err
		}

		// The logs tell how many replicas needed the whole state, and not only the end of a log.
		before, err := cl.stateSnapshotsSent()
		if err != nil {
			return err
		}

		began = time.Now()
		if err := cl.Kill(victim); err != nil {
			return err
		}
		// A member that comes back is ready when it has its replicas.
		if o.again {
			err = o.restart(ctx, cl, victim)
		} else {
			err = cl.await(ctx, awaitFor, "rebuilding", func(s *sdk.ClusterStatus) bool { return s.Moves > 0 })
		}
		if err != nil {
			return err
		}

		moving = time.Now()
		if err := o.profile(cl, standin.BeginProfile); err != nil {
			return err
		}

		if err := cl.await(ctx, awaitFor, "whole", func(s *sdk.ClusterStatus) bool { return s.Safe && s.Ready == wanted }); err != nil {
			return err
		}

		done = time.Now()
		sent, err = cl.stateSnapshotsSent()

		sent -= before
		if err != nil {
			return err
		}
		return o.profile(cl, standin.EndProfile)
	}

	// Both loads end in any case, before the error is looked at.
	err = work()
	written := writes.stop()
	samples := l.stop()

	if err != nil {
		return r, err
	}

	// Calls that began shortly before the kill may have met it, so they count as later ones.
	var before, waiting, during seen
	before.add(samples, write, started.Add(o.settle), began.Add(-aside))
	waiting.add(samples, write, began.Add(-aside), moving)
	during.add(samples, write, moving, done)

	r.rowf("values of 10 KB in the cluster", "%d MB", o.megabytes)
	r.rowf("replicas lost", "%d, %.0f MB", lost, megabytes)

	if o.writeMB > 0 {
		r.rowf("written beside", "%.1f MB/s of %d, %d failed", written.rate(), o.writeMB, written.failed)
	}

	whole := done.Sub(began).Round(time.Millisecond)
	if o.again {
		r.rowf("from the kill to all replicas", "%v", whole)
	} else {
		r.rowf("from the kill to all replicas", "%v, of which until the first was built %v", whole, moving.Sub(began).Round(time.Millisecond))
		r.rowf("rebuilt", "%.0f MB/s", megabytes/done.Sub(moving).Seconds())
	}

	r.rowf("whole states sent", "%d", sent)

	r.spread("calls before the kill", before.took)
	if o.again {
		r.spread("calls until the member was ready", waiting.took)
	} else {
		r.spread("calls until rebuilding began", waiting.took)
		r.spread("calls while rebuilding", during.took)
	}

	all := seen{}
	all.add(samples, write, began.Add(-aside), done)
	r.calls(all)
	return r, nil
}

// stateSnapshotsSent counts the whole states that members have begun to send, by their logs.
func (cl *cluster) stateSnapshotsSent() (n int, err error) {
	for i := range cl.Addrs() {
		logs, err := cl.Logs(i)
		if err != nil {
			return 0, err
		}

		n += strings.Count(logs, "a replica is sent the whole state")
	}
	return n, nil
}

const (
	fillSize = 10_000
	fillMap  = "filling"
	// writeAtOnce is how many values one call writes. writesInFlight bounds the calls that are under way. At the bound the load falls
	// behind, and the report tells that.
	writeAtOnce    = 10
	writesInFlight = 64
)

// writes is a load of large values that replace those of fill. It owns the goroutines of its calls.
type writes struct {
	end   context.CancelFunc
	wg    sync.WaitGroup // the clock, and the calls
	began time.Time
	done  atomic.Int64 // values written
	lost  atomic.Int64 // of calls that failed
}

// written is what came of it.
type written struct {
	values, failed int64
	took           time.Duration
}

// rate returns the megabytes that were written in a second.
func (w *written) rate() float64 { return float64(w.values) * fillSize / 1e6 / w.took.Seconds() }

// startWrites starts it, if any are wanted. It ends with stop.
func (o *options) startWrites(ctx context.Context, cl *cluster) (*writes, error) {
	w := &writes{began: time.Now()}
	ctx, w.end = context.WithCancel(ctx)

	if o.writeMB == 0 {
		return w, nil
	}

	m, err := sdk.OpenMap[int, []byte](cl.measured, fillMap)
	if err != nil {
		w.end()
		return nil, err
	}
	w.wg.Go(func() { w.run(ctx, m, o.filled(), o.writeMB) })
	return w, nil
}

// run begins the calls that are due.
func (w *writes) run(ctx context.Context, m *sdk.Map[int, []byte], keys, megabytes int) {
	// Each tick is due for one call of writeAtOnce values.
	every := time.Second * fillSize * writeAtOnce / time.Duration(megabytes*1_000_000)
	tick := time.NewTicker(every)
	defer tick.Stop()

	slots := make(chan struct{}, writesInFlight)
	value := make([]byte, fillSize)
	for n := 0; ; n++ {
		// What the ticker has left out is made up for.
		if due := w.began.Add(time.Duration(n) * every); time.Now().Before(due) {
			// A call that finds no slot waits here, so a slow cluster gets less than was asked for, and the report says so.
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}

		entries := make(map[int][]byte, writeAtOnce)
		for range writeAtOnce {
			entries[rand.IntN(keys)] = value
		}

		w.wg.Go(func() { // ends with the call, which the client bounds
			defer func() { <-slots }()
			if err := m.SetAll(context.WithoutCancel(ctx), entries); err != nil {
				w.lost.Add(1)
				return
			}

			w.done.Add(int64(len(entries)))
		})
	}
}

// stop ends the load and waits for its calls.
func (w *writes) stop() written {
	w.end()
	took := time.Since(w.began)
	w.wg.Wait()
	return written{w.done.Load(), w.lost.Load(), took}
}

// filled returns how many values fill writes.
func (o *options) filled() int { return max(1, o.megabytes*1_000_000/fillSize) }

// fill writes values of 10 KB, some at a time.
func (o *options) fill(ctx context.Context, cl *cluster) error {
	const chunk = 200
	m, err := sdk.OpenMap[int, []byte](cl.asks, fillMap)
	if err != nil {
		return err
	}

	value := make([]byte, fillSize)
	for from, n := 0, o.filled(); from < n; from += chunk {
		entries := make(map[int][]byte, chunk)
		for k := from; k < min(n, from+chunk); k++ {
			entries[k] = value
		}

		if err := m.SetAll(ctx, entries); err != nil {
			return fmt.Errorf("write the values: %w", err)
		}
	}
	return nil
}
