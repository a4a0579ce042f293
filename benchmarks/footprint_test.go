package benchmarks

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
)

const megabyte = 1 << 20

// heap returns the bytes of all that lives on the heap.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools held on to
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestEmptyPartitionsTakeLittleHeap(t *testing.T) {
	const budget = 45 * megabyte
	before := heap()
	m, err := grid.Start(t.Context(), grid.Config{Partitions: 271, NoHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Kill)
	used := heap() - before
	t.Logf("a member with 271 empty partitions takes %.1f MB of heap", float64(used)/megabyte)
	if used > budget {
		t.Errorf("%d bytes, want at most %d", used, budget)
	}
}

// BenchmarkStart is the time from the start of all processes until all are ready.
func BenchmarkStart(b *testing.B) {
	for _, members := range []int{1, 3} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			for b.Loop() {
				cl := startProcesses(b, members, 271)
				b.StopTimer()
				if err := cl.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/start")
		})
	}
}

// BenchmarkIdle is what three members of 271 partitions cost that nobody asks for anything, all in this process. Run it
// alone: it counts all that the process does.
func BenchmarkIdle(b *testing.B) {
	gridtest.New(b, 3, gridtest.WithPartitions(271))
	heap() // what the start left
	before, err := readCPU(nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() { // one is a second in which nothing happens
		<-time.After(time.Second)
	}
	after, err := readCPU(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(100*float64(after.client-before.client)/float64(b.Elapsed()), "%core")
	b.ReportMetric(resident(b, os.Getpid()), "rss-MB")
}

// BenchmarkMemory is how much memory members have taken after each million of five million Sets on 10,000 keys. It should be
// the same each time. One run is all of it: use -benchtime 1x.
func BenchmarkMemory(b *testing.B) {
	const millions = 5
	cl := startProcesses(b, 3, 24)
	for b.Loop() {
		var after []float64
		_, err := Run(b.Context(), Config{Servers: cl.Addrs(), Callers: slices.Repeat([]int{512}, millions), Operations: 1_000_000,
			Measuring: func(begin bool) {
				if !begin {
					after = append(after, largest(b, cl))
				}
			}})
		if err != nil {
			b.Fatal(err)
		}
		for i, mb := range after {
			b.ReportMetric(mb, fmt.Sprintf("rss-MB-after-%dM", i+1))
		}
	}
}

// largest returns the resident memory of the member that has most, in megabytes.
func largest(b *testing.B, cl *proc.Cluster) float64 {
	b.Helper()
	var most float64
	for _, pid := range cl.PIDs() {
		most = max(most, resident(b, pid))
	}
	return most
}

// resident returns the resident memory of a process in megabytes.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	all, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(string(bytes.Fields(all)[1]))
	if err != nil {
		b.Fatal(err)
	}
	return float64(pages*os.Getpagesize()) / megabyte
}
