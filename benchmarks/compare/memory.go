package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/compare/peers"
)

const (
	memoryValue   = 100  // bytes
	memoryBatch   = 1000 // entries of a SetAll
	memoryWriters = 4
)

// idle watches clusters that have no work.
func idle(ctx context.Context, f *fleet, r *Result) error {
	if err := benchmarks.Wait(ctx, idleTime); err != nil { // what a start leaves to do
		return err
	}

	before := make(map[string]time.Duration)
	begin := time.Now()
	for name, c := range f.clusters {
		d, err := benchmarks.CPUTime(c.PIDs)
		if err != nil {
			return err
		}
		before[name] = d
	}

	if err := benchmarks.Wait(ctx, idleTime); err != nil {
		return err
	}

	// Several peers may be clients of one cluster, which counts once.
	seen := make(map[string]bool)
	for _, one := range f.running {
		if seen[one.peer.System] {
			continue
		}
		seen[one.peer.System] = true

		d, err := benchmarks.CPUTime(one.cluster.PIDs)
		if err != nil {
			return err
		}
		r.Idle = append(r.Idle, Idle{Peer: one.peer.System, Core: float64(d-before[one.peer.System]) / float64(time.Since(begin))})
	}
	return nil
}

// memory fills one cluster after the other, and reads what they take at each step.
func memory(ctx context.Context, cfg *Config, site *peers.Site, r *Result, say func(string, ...any)) error {
	seen := make(map[string]bool)
	for _, p := range cfg.Peers {
		if seen[p.System] {
			continue // another client of the same cluster
		}
		seen[p.System] = true

		// Each cluster is alone on the machine, so that its memory is not pushed out by another.
		if err := memoryOf(ctx, cfg, site, p, r, say); err != nil {
			return err
		}
	}
	return nil
}

func memoryOf(ctx context.Context, cfg *Config, site *peers.Site, p peers.Peer, r *Result, say func(string, ...any)) (err error) {
	f := startFleet(ctx, site, []peers.Peer{p}, cfg.Members, say, func(peer, why string) { r.skip(peer, stageMemory, why) })
	defer func() { err = errors.Join(err, f.stop()) }()
	if len(f.running) == 0 {
		return nil
	}

	one := f.running[0]
	filled := 0
	for _, n := range cfg.Entries {
		if p.Most > 0 && n > p.Most {
			r.skip(p.Name, stageMemory, fmt.Sprintf("%d entries: it is asked for %d at most", n, p.Most))
			return nil
		}

		m, err := one.grow(ctx, filled, n, cfg.Settle)
		// The end of the run is no failure of the peer's.
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			say("%s with %d entries: %v", p.Name, n, err)
			r.skip(p.Name, stageMemory, fmt.Sprintf("%d entries: %v", n, err))
			return nil
		}

		filled = n

		r.Memory = append(r.Memory, m)
		say("%s with %d entries: %d MB in all, %.1f CPU-µs an entry", p.System, n, m.Bytes>>20, m.FillUS)
	}
	return nil
}

// grow writes the entries from one number up to another, and returns what the cluster takes once it has settled.
func (one *runner) grow(ctx context.Context, from, to int, settle time.Duration) (Memory, error) {
	pids := append([]int{selfPID}, one.cluster.PIDs...)
	before, err := benchmarks.CPUTime(pids)
	if err != nil {
		return Memory{}, err
	}

	begin := time.Now()
	if err := one.write(ctx, from, to); err != nil {
		return Memory{}, err
	}

	took := time.Since(begin)
	after, err := benchmarks.CPUTime(pids)
	if err != nil {
		return Memory{}, err
	}

	if err := benchmarks.Wait(ctx, settle); err != nil {
		return Memory{}, err
	}

	// Memory is read only now: collectors and logs need a while after the load.
	m := Memory{Peer: one.peer.System, Entries: to, Copies: one.cluster.Copies}
	for _, pid := range one.cluster.PIDs {
		n, err := resident(pid)
		if err != nil {
			return Memory{}, err
		}
		m.Bytes += n
		m.Largest = max(m.Largest, n)
	}

	m.FillUS = float64((after-before)/time.Microsecond) / float64(to-from)
	m.FillPS = float64(to-from) / took.Seconds()
	m.PerCopy = float64(m.Bytes) / float64(to) / float64(m.Copies)
	return m, nil
}

// write stores entries with keys of 16 bytes and values that nothing can compress.
func (one *runner) write(ctx context.Context, from, to int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	// Writers take batches from one counter, so a slow one does not hold back the others.
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for w := range memoryWriters {
		wg.Go(func() {
			// The seed differs by step, so that values of different steps differ.
			random := rand.NewChaCha8([32]byte{byte(w), byte(from >> 16)})
			keys, values := make([]string, memoryBatch), make([][]byte, memoryBatch)
			for i := range values {
				values[i] = make([]byte, memoryValue)
			}

			for ctx.Err() == nil {
				first := int(next.Add(memoryBatch)) - memoryBatch
				n := min(memoryBatch, to-first)
				if n <= 0 {
					return
				}
				for i := range n {
					keys[i] = fmt.Sprintf("entry-%010d", first+i)
					_, _ = random.Read(values[i]) // never fails
				}
				if err := one.client.SetAll(ctx, keys[:n], values[:n]); err != nil {
					cancel(err)
				}
			}
		})
	}

	wg.Wait()
	return context.Cause(ctx)
}
