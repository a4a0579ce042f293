package grid_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// callTime is the deadline of each call under a failover: none may miss it, on a busy machine either.
const callTime = 40 * time.Second

// TestKillUnderLoad kills one of three members while writers are at work. No call fails, every write that was acknowledged is
// there, and counters that were raised by ReplaceIfSame, whose calls are repeated when an answer is lost, are exact.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3)
	words, err := sdk.OpenMap[string, int](cl.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	counters, err := sdk.OpenMap[int, int](cl.Client(), "counters")
	if err != nil {
		t.Fatal(err)
	}
	const writers, nCounters = 8, 10
	for i := range nCounters {
		if err := counters.Set(t.Context(), i, 0); err != nil {
			t.Fatal(err)
		}
	}
	var raised [nCounters]atomic.Int64
	var steps atomic.Int64
	stop := make(chan struct{})
	written := make([]int, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for i := 0; ; i++ {
				select {
				case <-stop:
					written[w] = i
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), callTime)
				if err := words.Set(ctx, fmt.Sprintf("%d-%d", w, i), i); err != nil {
					t.Errorf("set: %v", err)
				}
				k := r.IntN(nCounters)
				old, _, err := counters.Get(ctx, k)
				if err != nil {
					t.Errorf("get: %v", err)
				}
				did, err := counters.ReplaceIfSame(ctx, k, old, old+1)
				if err != nil {
					t.Errorf("replace: %v", err)
				}
				if did {
					raised[k].Add(1)
				}
				cancel()
				steps.Add(1)
			}
		})
	}
	awaitSteps(t, &steps, 300)
	cl.Kill(1)
	awaitSteps(t, &steps, steps.Load()+1000)
	close(stop)
	wg.Wait()

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for w, n := range written {
		keys := make([]string, n)
		for i := range keys {
			keys[i] = fmt.Sprintf("%d-%d", w, i)
		}
		got, err := words.GetAll(ctx, keys...)
		if err != nil {
			t.Fatal(err)
		}
		for i, k := range keys {
			if v, ok := got[k]; !ok || v != i {
				t.Errorf("%s was acknowledged and is %d, %t", k, v, ok)
			}
		}
	}
	for k := range nCounters {
		v, _, err := counters.Get(ctx, k)
		if want := int(raised[k].Load()); err != nil || v != want {
			t.Errorf("counter %d is %d, it was raised %d times: %v", k, v, want, err)
		}
	}
}

// awaitSteps waits until writers have taken so many steps together.
func awaitSteps(t *testing.T, steps *atomic.Int64, n int64) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(3 * time.Minute)
	for steps.Load() < n {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%d of %d steps in a minute", steps.Load(), n)
		}
	}
}

// cell is an operation on one key, for the checker of histories.
type cell struct {
	key       string
	kind      byte // g(et), s(et), r(eplace if same), d(elete)
	old, next int
}

// seen is what came of it.
type seen struct {
	value int
	did   bool
}

// perKey returns what splits a history into those of the keys.
func perKey[I any](key func(in I) string) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := make(map[string][]porcupine.Operation)
		for _, op := range history {
			k := key(op.Input.(I))
			byKey[k] = append(byKey[k], op)
		}
		return slices.Collect(maps.Values(byKey))
	}
}

// cellModel is a register per key that may be empty: -1.
var cellModel = porcupine.Model{
	Partition: perKey(func(in cell) string { return in.key }),
	Init:      func() any { return -1 },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(int), input.(cell), output.(seen)
		switch in.kind {
		case 'g':
			return out.value == now, now
		case 's':
			return true, in.next
		case 'r':
			if now >= 0 && now == in.old {
				return out.did, in.next
			}
			return !out.did, now
		default: // 'd'
			return out.did == (now >= 0), -1
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// TestHistories has six clients work on a few keys while an owner is killed, and checks that what they saw can be explained by one
// order of all operations on each key.
func TestHistories(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	const clients, keys = 6, 5
	start := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	var steps, unique atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range clients {
		c, err := sdk.Connect(t.Context(), cl.Addrs())
		if err != nil {
			t.Fatal(err)
		}
		m, err := sdk.OpenMap[string, int](c, "cells")
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer func() { _ = c.Close() }()
			r := rand.New(rand.NewPCG(2, uint64(w)))
			last := make(map[string]int)
			for {
				select {
				case <-stop:
					return
				default:
				}
				in := cell{key: fmt.Sprint(r.IntN(keys)), kind: "gsrd"[r.IntN(4)], next: int(unique.Add(1))}
				in.old = last[in.key]
				called := time.Since(start)
				out, err := apply(m, in)
				if err != nil {
					t.Errorf("%c: %v", in.kind, err)
					return
				}
				returned := time.Since(start)
				if in.kind == 'g' {
					last[in.key] = out.value
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: w, Input: in, Call: int64(called), Output: out, Return: int64(returned)})
				mu.Unlock()
				steps.Add(1)
			}
		})
	}
	awaitSteps(t, &steps, 300)
	cl.Kill(2)
	awaitSteps(t, &steps, steps.Load()+500)
	close(stop)
	wg.Wait()
	if res := porcupine.CheckOperationsTimeout(cellModel, history, 30*time.Second); res != porcupine.Ok {
		t.Fatalf("a history of %d operations cannot be explained: %v", len(history), res)
	}
}

func apply(m *sdk.Map[string, int], in cell) (out seen, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	switch in.kind {
	case 'g':
		v, found, err := m.Get(ctx, in.key)
		if !found {
			v = -1
		}
		return seen{value: v}, err
	case 's':
		return seen{}, m.Set(ctx, in.key, in.next)
	case 'r':
		out.did, err = m.ReplaceIfSame(ctx, in.key, in.old, in.next)
	default:
		out.did, err = m.Delete(ctx, in.key)
	}
	return out, err
}
