package main

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// connect returns a client that knows one member to begin with.
func connect(t *testing.T, ctx context.Context, addr string) *sdk.Client {
	t.Helper()
	c, err := sdk.Connect(ctx, []string{addr}, sdk.WithTimeout(2*time.Minute))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Three processes with the product's own number of partitions: what was written through one is read through another, also after
// one of them was killed, and is written again. What has a time to live is gone at its time, though its owner died meanwhile.
func TestThreeProcessesOneKilled(t *testing.T) {
	t.Parallel()
	const entries, ttl = 10_000, 3 * time.Second
	binary, err := exec.LookPath("grid")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := proc.Start(ctx, proc.Config{Binary: binary, Members: 3})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cl.Close() })

	through0, through1 := connect(t, ctx, cl.Addr(0)), connect(t, ctx, cl.Addr(1))
	written, err := sdk.OpenMap[int, string](through0, "written")
	require.NoError(t, err)
	all := make(map[int]string, entries)
	for i := range entries {
		all[i] = fmt.Sprint("value ", i)
	}
	require.NoError(t, written.SetAll(ctx, all))

	read, err := sdk.OpenMap[int, string](through1, "written")
	require.NoError(t, err)
	readBack := func() {
		t.Helper()
		keys := make([]int, entries)
		for i := range keys {
			keys[i] = i
		}
		got, err := read.GetAll(ctx, keys...)
		require.NoError(t, err)
		require.Equal(t, all, got)
	}
	readBack()

	// Keys of every partition, so that some have their owner on the member that dies.
	brief, err := sdk.OpenMap[int, int](through1, "brief")
	require.NoError(t, err)
	deadlines := make(map[int]time.Time, 300)
	for k := range 300 {
		deadlines[k] = time.Now().Add(ttl) // not later than the entry's own: the clock runs from before the call
		require.NoError(t, brief.Set(ctx, k, k, sdk.WithTTL(ttl)))
	}
	require.NoError(t, cl.Kill(2))
	var wg sync.WaitGroup
	early := make(chan string, len(deadlines))
	for k, deadline := range deadlines {
		wg.Go(func() {
			for {
				asked := time.Now()
				_, found, err := brief.Get(ctx, k)
				switch {
				case err != nil:
					early <- err.Error()
					return
				case found && asked.After(deadline.Add(ttl)):
					early <- fmt.Sprintf("key %d is there %v after its time", k, asked.Sub(deadline))
					return
				case !found:
					if before := time.Until(deadline); before > 50*time.Millisecond {
						early <- fmt.Sprintf("key %d is gone %v before its time", k, before)
					}
					return
				}
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
	close(early)
	for complaint := range early {
		t.Error(complaint)
	}

	readBack()
	for i := range all {
		all[i] += ", again"
	}
	require.NoError(t, written.SetAll(ctx, all))
	readBack()
}
