package benchmarks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// BenchmarkOp is one operation of one of many callers against real member processes: what "grid bench" measures, with this
// test binary for the members.
func BenchmarkOp(b *testing.B) {
	for _, op := range Ops {
		for _, members := range []int{1, 3} {
			for _, partitions := range []int{271, 24} {
				b.Run(fmt.Sprintf("op=%s/members=%d/partitions=%d", op, members, partitions), func(b *testing.B) {
					benchmarkOp(b, members, partitions, Config{Op: op}, 64, 512)
				})
			}
		}
	}
}

// BenchmarkBatch is one SetAll or GetAll of 1,000 keys.
func BenchmarkBatch(b *testing.B) {
	for _, op := range []Op{OpSet, OpGet} {
		for _, partitions := range []int{271, 24} {
			b.Run(fmt.Sprintf("op=%s/partitions=%d", op, partitions), func(b *testing.B) {
				benchmarkOp(b, 3, partitions, Config{Op: op, Batch: 1000}, 1, 8)
			})
		}
	}
}

// BenchmarkListeners is one Set of which some listeners hear.
func BenchmarkListeners(b *testing.B) {
	for _, n := range []int{0, 1, 10, 100} {
		b.Run(fmt.Sprintf("listeners=%d", n), func(b *testing.B) { benchmarkOp(b, 3, 271, Config{Op: OpSet, Listeners: n}, 64) })
	}
}

// BenchmarkSubscribe is one listener to a map that others write to: it begins, hears of a write that began after that, and ends.
func BenchmarkSubscribe(b *testing.B) {
	cl := startProcesses(b, 3, 271)
	for _, openers := range []int{1, 32, 256} {
		b.Run(fmt.Sprintf("openers=%d", openers), func(b *testing.B) {
			client, err := sdk.Connect(b.Context(), cl.Addrs(), sdk.WithTimeout(time.Minute))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = client.Close() })
			m, err := sdk.OpenMap[string, int](client, "subscribe")
			if err != nil {
				b.Fatal(err)
			}

			var writes atomic.Int64
			end := make(chan struct{})
			var writers sync.WaitGroup
			for w := range 4 {
				writers.Go(func() { // ends with end
					for i := 0; ; i++ {
						select {
						case <-end:
							return
						default:
						}
						if err := m.Set(b.Context(), fmt.Sprintf("noise-%d-%d", w, i%100), i); err != nil {
							b.Error(err)
							return
						}
						writes.Add(1)
					}
				})
			}

			var taken atomic.Int64
			var opening sync.WaitGroup
			b.ResetTimer()
			for range openers {
				opening.Go(func() {
					for n := taken.Add(1); n <= int64(b.N); n = taken.Add(1) {
						if err := subscribe(b.Context(), m, fmt.Sprint("own-", n%int64(openers))); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			opening.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "subscriptions/s")
			b.ReportMetric(float64(writes.Load())/b.Elapsed().Seconds(), "sets/s")
			close(end)
			writers.Wait()
		})
	}
}

// subscribe listens to a map until it has heard of a write of its own.
func subscribe(ctx context.Context, m *sdk.Map[string, int], key string) error {
	heard := make(chan struct{}, 1)
	hear := func(e sdk.Event[string, int]) {
		if e.Key == key {
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}
	sub, err := m.AddEntryListener(ctx, sdk.EntryListener[string, int]{Added: hear, Updated: hear})
	if err != nil {
		return err
	}
	defer func() { _ = sub.Close() }()
	if err := m.Set(ctx, key, 1); err != nil {
		return err
	}
	select {
	case <-heard:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("a write to %s is not heard of", key)
	}
}

func benchmarkOp(b *testing.B, members, partitions int, cfg Config, callers ...int) {
	cl := startProcesses(b, members, partitions)
	for _, callers := range callers {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			cfg.Servers, cfg.PIDs, cfg.Callers, cfg.Operations, cfg.WarmUp = cl.Addrs(), cl.PIDs(), []int{callers}, int64(b.N), time.Second
			cfg.Measuring = func(begin bool) {
				b.StopTimer() // profiles are not part of it
				profile(b, cl, begin)
				if begin {
					b.ResetTimer()
					b.StartTimer()
				}
			}
			result, err := Run(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			r := result.Rounds[0]
			if r.Errors > 0 {
				b.Fatalf("%d operations failed, the first with %s", r.Errors, r.FirstError)
			}
			b.ReportMetric(r.PerSecond, "ops/s")
			b.ReportMetric(float64(r.P50.Microseconds()), "p50-µs")
			b.ReportMetric(float64(r.P99.Microseconds()), "p99-µs")
			if cfg.Listeners > 0 {
				b.ReportMetric(float64(r.EventP99.Microseconds()), "event-p99-µs")
			}
			if r.CPU.Total != nil {
				b.ReportMetric(*r.CPU.Total, "cpu-µs/op")
				b.ReportMetric(*r.CPU.Client, "client-cpu-µs/op")
				if cfg.Batch > 0 {
					b.ReportMetric(*r.CPU.Total/float64(cfg.Batch), "cpu-µs/entry")
				}
			}
		})
	}
}

// startProcesses returns a cluster of processes of this test binary, which ends with the benchmark.
func startProcesses(b *testing.B, members, partitions int) *proc.Cluster {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cfg := proc.Config{Binary: self, Env: standin.Env(), Members: members, Partitions: partitions}
	if *profiles != "" {
		cfg.Args = []string{"--cpu-profile", *profiles}
	}
	cl, err := proc.Start(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := cl.Close(); err != nil {
			b.Error(err)
		}
	})
	return cl
}

// profile begins or ends CPU profiles of all processes where they are asked for. Each round of b.N writes over those of the
// one before.
func profile(b *testing.B, cl *proc.Cluster, begin bool) {
	b.Helper()
	if *profiles == "" {
		return
	}
	sig := standin.EndProfile
	if begin {
		sig = standin.BeginProfile
	}
	for i := range cl.Addrs() {
		if err := cl.Signal(i, sig); err != nil {
			b.Fatal(err)
		}
	}
	if !begin {
		pprof.StopCPUProfile()
		return
	}
	f, err := os.Create(filepath.Join(*profiles, "client.pprof"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	if err := pprof.StartCPUProfile(f); err != nil {
		b.Fatal(err)
	}
}
