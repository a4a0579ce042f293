package partition

import (
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/wakeups"
)

// pinned is the version of dragonboat whose package variables settings.go sets, and whose behaviour this package was written
// against. Moving it means to look at each of them again.
const pinned = wakeups.Pinned

func TestDragonboatIsPinned(t *testing.T) {
	version := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/lni/dragonboat/v4" {
				require.Nil(t, m.Replace, "a replacement does not reach programs that embed a member")
				version = m.Version
			}
		}
	}
	if version == "" { // test binaries do not always carry their modules
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}{{with .Replace}} replaced{{end}}", "github.com/lni/dragonboat/v4").Output()
		require.NoError(t, err)
		version = strings.TrimSpace(string(out))
	}
	require.Equal(t, pinned, version)
}

func TestWorkers(t *testing.T) {
	few := uint64(min(2, runtime.GOMAXPROCS(0)))
	for partitions, want := range map[int]uint64{1: few, 24: few, 48: few, 49: 16, 271: 16, 4096: 16} {
		require.Equal(t, want, workers(partitions, false), "%d partitions", partitions)
		require.Equal(t, uint64(min(16, runtime.GOMAXPROCS(0))), workers(partitions, true), "%d partitions", partitions)
	}
}

// liveHeap returns the bytes of the heap that are in use.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// emptyHeap returns what a host with so many replicas takes, in bytes of heap.
func emptyHeap(tb testing.TB, partitions int) int64 {
	before := liveHeap()
	c := newBootstrappedCluster(tb, 1, partitions)
	after := liveHeap()
	runtime.KeepAlive(c)
	return int64(after) - int64(before)
}

// With dragonboat's own settings a replica takes more than a megabyte.
func TestSettingsTookEffect(t *testing.T) {
	const partitions = 64
	heap := emptyHeap(t, partitions)
	t.Logf("%d KB per replica", heap>>10/partitions)
	require.Less(t, heap, int64(partitions*80<<10))
}

func TestEmptyPartitionsAreSmall(t *testing.T) {
	heap := emptyHeap(t, 271)
	t.Logf("%d MB for 271 empty partitions", heap>>20)
	require.Less(t, heap, int64(24<<20))
}

// What the library counts in ticks is as long as with its own ticks, of 100 ms.
func TestTimesInTicks(t *testing.T) {
	for what, c := range map[string]struct {
		ticks uint64
		want  time.Duration
	}{
		"elections":                   {electionTicks, 2 * time.Second},
		"heartbeats":                  {heartbeatTicks, 200 * time.Millisecond},
		"the end of a stream":         {streamPushDelayTick, time.Second},
		"the receiver's own word":     {streamConfirmedDelayTick, 200 * time.Millisecond},
		"requests whose time is up":   {defaultGCTick, 200 * time.Millisecond},
		"memory that a log has spare": {raftInMemGCTimeout, 10 * time.Second},
	} {
		require.Equal(t, c.want, time.Duration(c.ticks)*tickTime, what)
	}
}
