package member

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gridiron-io/gridiron/member/porttest"
)

// Of three members that bootstrap a cluster one dies at a step that is to make it one: before or after the metadata begin, have a time, or
// place the partitions. When it comes back it is of the same cluster as the others, which is whole. What happens before the metadata
// begin is the business of package bootstrap, whose simulation crashes around every record that it saves.
func TestBootstrapGoesOnAfterACrashAnywhere(t *testing.T) {
	t.Parallel()
	points := []string{"before *meta.Init", "after *meta.Init", "before *meta.SetTime", "after *meta.SetTime",
		"before *meta.CreateTable", "after *meta.CreateTable"}
	if testing.Short() {
		points = points[1:2]
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // most of each is waiting
			bootstrapDyingAt(t, point)
		})
	}
}

func bootstrapDyingAt(t *testing.T, point string) {
	const n = 3
	ctx := testContext(t)
	addrs := porttest.Addrs(t, n)
	members, errs := make([]*Member, n), make([]error, n)
	var died atomic.Int32
	var wg sync.WaitGroup
	for i := range n {
		life, die := context.WithCancel(ctx)
		defer die()
		cfg := Config{Settings: Settings{Name: fmt.Sprintf("m%d", i), Listen: addrs[i], Join: addrs, Expect: n, Partitions: 6, NoHTTP: true, DataDir: t.TempDir()}}
		cfg.FaultPoint = func(ctx context.Context, at string) {
			if at == point && died.CompareAndSwap(0, 1) {
				die()
				<-ctx.Done()
			}
		}
		wg.Go(func() {
			if members[i], errs[i] = Start(life, cfg); errs[i] != nil && life.Err() != nil && ctx.Err() == nil {
				members[i], errs[i] = Start(ctx, cfg) // from its directory
			}
		})
	}
	wg.Wait()
	for i, m := range members {
		if m != nil {
			t.Cleanup(m.Kill)
		}
		if errs[i] != nil {
			t.Fatalf("start member %d: %v", i, errs[i])
		}
	}
	if died.Load() == 0 {
		t.Fatalf("nobody came to %q", point)
	}
	for i, m := range members {
		if m.clusterID() != members[0].clusterID() || m.metaView().Cluster != m.clusterID() {
			t.Errorf("member %d is in cluster %v, whose metadata are of %v; member 0 is in %v", i, m.clusterID(), m.metaView().Cluster, members[0].clusterID())
		}
	}
	eventually(t, "three members with three replicas of everything", func() bool {
		for _, m := range members {
			st := m.status()
			if st.Members != n || st.Ready != n || st.UnderReplicated+st.Unavailable+st.Lost+st.Moves > 0 {
				return false
			}
		}
		return true
	})
}
