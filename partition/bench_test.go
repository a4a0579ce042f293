package partition

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
)

// rendezvous is a Completion that can be waited for again and again.
type rendezvous chan Outcome

// Complete ends the wait.
func (r rendezvous) Complete(o Outcome, _ entry.Result) { r <- o }

// BenchmarkPropose measures a host alone with its log in the process: what an operation costs without a network.
func BenchmarkPropose(b *testing.B) {
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c := newBootstrappedCluster(b, 1, 1)
			h := c.hosts[0]
			h.replicas[0].Load().state.machine = forgetful{registers: h.replicas[0].Load().state.machine.(*registers)}
			each := b.N/callers + 1
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					op, done := setOp(uint64(i), 1, 0), make(rendezvous, 1)
					for range each {
						h.Submit(0, op, done)
						h.Flush(0)
						if o := <-done; o != Applied {
							b.Errorf("outcome %d", o)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(callers*each)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

// forgetful is registers that keeps no history.
type forgetful struct{ *registers }

func (f forgetful) Apply(op *entry.Op) entry.Result {
	f.history = f.history[:0]
	return f.registers.Apply(op)
}

// BenchmarkIdleReconcile measures what the loop does every 100 ms for a host whose partitions rest.
func BenchmarkIdleReconcile(b *testing.B) {
	b.Run("partitions=271", func(b *testing.B) {
		c := newBootstrappedCluster(b, 1, 271)
		h := c.hosts[0]
		b.ReportAllocs()
		for b.Loop() {
			now := time.Now()
			for i := range h.replicas {
				r := h.replicas[i].Load()
				r.reconcile(now)
				h.logFull(r)
			}
		}
	})
}

// BenchmarkEmptyHeap measures the heap of a host with empty partitions.
func BenchmarkEmptyHeap(b *testing.B) {
	b.Run("partitions=271", func(b *testing.B) {
		var heap int64
		for b.Loop() {
			heap = emptyHeap(b, 271)
		}
		b.ReportMetric(float64(heap)/(1<<20), "MB")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkIdle measures the processor time that three hosts at rest take, in percent of one core.
func BenchmarkIdle(b *testing.B) {
	b.Run("hosts=3/partitions=271", func(b *testing.B) {
		c := newBootstrappedCluster(b, 3, 271)
		for b.Loop() {
			before, began := cpuTime(b), time.Now()
			<-time.After(3 * time.Second)
			b.ReportMetric(100*float64(cpuTime(b)-before)/float64(time.Since(began)), "%core")
		}
		if c.server(0) != 0 {
			b.Fatal("an owner was lost")
		}
	})
}

// cpuTime returns the processor time of this process.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
