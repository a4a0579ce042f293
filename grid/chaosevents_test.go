//go:build chaos

package grid_test

import (
	"context"
	"testing"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// processFaults are those of a cluster of processes.
type processFaults struct {
	t  *testing.T
	cl *proc.Cluster
	c  *sdk.Client
}

// whole waits until a cluster that is whole has so many members.
func (f processFaults) whole(members int) {
	f.t.Helper()
	awaitStatus(f.t, f.c, "whole", whole(members))
}

func (f processFaults) kill(i int) { must(f.t, f.cl.Kill(i)) }

func (f processFaults) restart(i int) {
	restart(f.t, f.cl, i)
	f.whole(chaosMembers)
}

func (f processFaults) add() int {
	ctx, cancel := context.WithTimeout(f.t.Context(), processPatience)
	defer cancel()
	i, err := f.cl.Add(ctx)
	must(f.t, err)
	f.whole(chaosMembers + 1)
	return i
}

func (f processFaults) leave(i int) {
	before, err := f.c.Cluster(f.t.Context())
	must(f.t, err)
	ctx, cancel := context.WithTimeout(f.t.Context(), processPatience)
	defer cancel()
	must(f.t, f.cl.Stop(ctx, i))
	f.whole(before.Members - 1)
}

// TestProcessesThroughALossyChannel is TestEventsThroughALossyChannel with processes, which die by SIGKILL.
func TestProcessesThroughALossyChannel(t *testing.T) {
	cl := startProcesses(t, proc.Config{Members: chaosMembers, Partitions: chaosPartitions, Env: []string{"GRID_LIMITS_MAX_VALUE=4194304"}})
	c := processClient(t, cl.Addrs()...)
	awaitStatus(t, c, "whole", whole(chaosMembers))
	throughALossyChannel(t, cl.Addrs(), processFaults{t, cl, c})
}
