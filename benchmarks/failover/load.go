package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// valueSize is that of the values that are written, in bytes.
const valueSize = 100

// sample is one call.
type sample struct {
	partition int
	kind      kind
	began     time.Time
	took      time.Duration
	err       error
}

func (s *sample) ended() time.Time { return s.began.Add(s.took) }

// kind tells calls apart.
type kind uint8

const (
	write kind = iota
	// read is of a key that was written before the load began, and not since.
	read
)

// load writes and reads at fixed rates in all partitions in turn. It owns the goroutines of its calls.
type load struct {
	m     *sdk.Map[string, []byte]
	keys  []string // that are written, one of each partition
	still []string // that are read, one of each partition; nil: nothing is read
	order []int
	value []byte
	end   context.CancelFunc
	wg    sync.WaitGroup // the clock, and the calls

	mu      sync.Mutex // guards the following
	samples []sample
	late    time.Duration // by which a call began after its time, at most
}

// startLoad starts so many writes and reads a second. It ends with stop.
func startLoad(ctx context.Context, c *sdk.Client, partitions, writes, reads int) (*load, error) {
	m, err := sdk.OpenMap[string, []byte](c, "failover")
	if err != nil {
		return nil, err
	}

	l := &load{m: m, order: rand.Perm(partitions), value: make([]byte, valueSize)}
	if l.keys, err = keysOf("key", partitions); err != nil {
		return nil, err
	}

	if reads > 0 {
		if l.still, err = keysOf("still", partitions); err != nil {
			return nil, err
		}

		entries := make(map[string][]byte, partitions)
		for _, k := range l.still {
			entries[k] = l.value
		}
		if err := m.SetAll(ctx, entries); err != nil {
			return nil, fmt.Errorf("write the values that are read: %w", err)
		}
	}

	ctx, l.end = context.WithCancel(ctx)
	l.wg.Go(func() { l.run(ctx, write, writes) })
	if reads > 0 {
		l.wg.Go(func() { l.run(ctx, read, reads) })
	}
	return l, nil
}

// keysOf returns a key of each partition.
func keysOf(name string, partitions int) ([]string, error) {
	keys := make([]string, partitions)
	// Names are tried until each partition has one, since a key chooses its partition by its hash.
	for i, left := 0, partitions; left > 0; i++ {
		k := fmt.Sprint(name, "-", i)
		b, err := codec.AppendKey(nil, k)
		if err != nil {
			return nil, err
		}

		if p := wire.PartitionOf(b, partitions); keys[p] == "" {
			keys[p] = k
			left--
		}
	}
	return keys, nil
}

// run begins the calls of a kind that are due.
func (l *load) run(ctx context.Context, k kind, rate int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()

	began := time.Now()
	for n := 0; ; {
		for now := time.Now(); ; n++ {
			due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
			// What the ticker was late for is begun at once, so the rate holds on average.
			if due.After(now) {
				break
			}

			// How late calls begin tells whether this machine kept up with the rate.
			l.mu.Lock()
			l.late = max(l.late, now.Sub(due))
			l.mu.Unlock()

			l.call(ctx, k, l.order[n%len(l.order)])
		}

		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// try begins a call of each kind to each of some partitions, so that none is only tried when it is its turn.
func (l *load) try(ctx context.Context, partitions []int) {
	for _, p := range partitions {
		l.call(ctx, write, p)
		if l.still != nil {
			l.call(ctx, read, p)
		}
	}
}

// call begins a call to a partition and does not wait for it. The end of the load does not end it.
func (l *load) call(ctx context.Context, k kind, partition int) {
	l.wg.Go(func() { // ends with the call, which the client bounds
		ctx := context.WithoutCancel(ctx)
		s := sample{partition: partition, kind: k, began: time.Now()}
		if k == read {
			_, _, s.err = l.m.Get(ctx, l.still[partition])
		} else {
			s.err = l.m.Set(ctx, l.keys[partition], l.value)
		}
		s.took = time.Since(s.began)

		l.mu.Lock()
		defer l.mu.Unlock()
		l.samples = append(l.samples, s)
	})
}

// await waits until a call of each kind to each of some partitions that began after a moment has succeeded.
func (l *load) await(ctx context.Context, partitions []int, after time.Time) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(awaitFor)
	defer late.Stop()
	for {
		_, missing := l.firsts(write, partitions, after)
		if l.still != nil {
			_, unread := l.firsts(read, partitions, after)
			missing += unread
		}
		if missing == 0 {
			return nil
		}

		select {
		case <-tick.C:
		case <-late.C:
			return errors.New("partitions do not go on")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// firsts returns for each of some partitions when the first call of a kind succeeded that began after a moment, and how many have none.
func (l *load) firsts(k kind, partitions []int, after time.Time) (first map[int]time.Time, missing int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first = make(map[int]time.Time, len(partitions))
	for i := range l.samples {
		s := &l.samples[i]
		// Calls that began before the fault may have been answered before it.
		if s.kind != k || s.err != nil || !s.began.After(after) {
			continue
		}

		if at, ok := first[s.partition]; !ok || s.ended().Before(at) {
			first[s.partition] = s.ended()
		}
	}

	for _, p := range partitions {
		if _, ok := first[p]; !ok {
			missing++
		}
	}
	return first, missing
}

// last returns when the last of some partitions had its first successful write of firsts.
func (l *load) last(partitions []int, after time.Time) (last time.Time) {
	first, _ := l.firsts(write, partitions, after)
	for _, at := range first {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// stop ends the load, waits for its calls, and returns all of them.
func (l *load) stop() []sample {
	l.end()
	// Calls that have begun are waited for: leaving them out would hide the longest ones.
	l.wg.Wait()
	return l.samples
}
