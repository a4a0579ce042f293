package member

import (
	"context"
	"testing"

	"github.com/gridiron-io/gridiron/partition/meta"
)

// The controller places a replica on a member that had room and has it no more: its owner asks before it has the group take the replica in,
// and the table gives it up.
func TestNoRoomAnyMore(t *testing.T) {
	t.Parallel()
	refused := make(chan struct{}, 16)
	first := runningMember(t, Config{Settings: Settings{Name: "m0", Partitions: 2, Replicas: 1, DataDir: t.TempDir()},
		FaultPoint: func(ctx context.Context, at string) {
			switch at {
			case "before *meta.Retire": // the controller does not know better by itself
				<-ctx.Done()
			case "group *meta.AddReplica":
				t.Error("the group was given the replica")
			case "group *meta.Retire":
				refused <- struct{}{}
			}
		}})
	filled(t, opened(t, first), 8<<10, 64, never)
	full := again(t, Config{Settings: Settings{Name: "m1", Join: []string{first.Addr()}, NoHTTP: true, DataDir: t.TempDir(), MaxMemory: 64 << 10}})
	v := first.metaView()
	res, err := first.meta.Commit(testContext(t), &meta.AddReplica{Partition: 1, Generation: v.Table[1].Generation,
		Holder: meta.Holder{Member: full.id, Incarnation: full.incarnation}})
	if err != nil || !res.OK() {
		t.Fatal(res, err)
	}
	select {
	case <-refused:
	case <-testContext(t).Done():
		t.Fatal("it was not given up")
	}
	eventually(t, "the table to have forgotten it", func() bool { return len(first.metaView().Table[1].Replicas) == 1 })
	within(t, "at the end", full)
	filled(t, opened(t, first), 8<<10, 64, never) // writes go on
}
