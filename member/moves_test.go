package member

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

// A member dies at each step of a move in turn, whoever takes that step: the controller before and after what it proposes, an owner
// after what it has done to a group. The others bring every partition back to three replicas, and nothing is lost.
func TestMovesGoOnAfterACrashAnywhere(t *testing.T) {
	t.Parallel()
	points := []string{"before *meta.AddReplica", "after *meta.AddReplica", "group *meta.AddReplica", "group *meta.Promote",
		"after *meta.Retire", "group *meta.DropReplica", "after *meta.Prefer", "group *meta.Prefer"}
	if testing.Short() {
		points = points[2:4]
	}
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // most of each is waiting
			dieAt(t, point)
		})
	}
}

func dieAt(t *testing.T, point string) {
	var armed atomic.Bool
	var once sync.Once
	var mu sync.Mutex
	members := make([]*Member, 4) // guarded by mu
	died := make(chan int, 1)
	fault := func(i int) func(ctx context.Context, at string) {
		return func(ctx context.Context, at string) {
			if at != point || !armed.Load() {
				return
			}
			mu.Lock()
			m := members[i]
			mu.Unlock()
			if m == nil {
				return // it is still starting: another's turn
			}
			first := false
			once.Do(func() { first = true })
			if first {
				died <- i
				go m.Kill() // ends with the member
				<-ctx.Done()
			}
		}
	}
	configure := func(i int, cfg *Config) {
		cfg.Partitions, cfg.RebuildDelay, cfg.FaultPoint = 8, 500*time.Millisecond, fault(i)
	}
	first := runningMembers(t, 3, configure)
	var addrs []string
	mu.Lock()
	for i, m := range first {
		members[i] = m
		addrs = append(addrs, m.Addr())
	}
	mu.Unlock()
	ctx := testContext(t)
	c, err := sdk.Connect(ctx, addrs)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	words, err := sdk.OpenMap[string, int](c, "words")
	if err != nil {
		t.Fatal(err)
	}
	const n = 90
	for i := range n {
		if err := words.Set(ctx, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	armed.Store(true)
	cfg := Config{Settings: Settings{Name: "m3", Join: addrs, NoHTTP: true, DataDir: t.TempDir()}}
	configure(3, &cfg)
	fourth, err := Start(ctx, cfg)
	if err != nil {
		t.Fatalf("start the fourth: %v", err)
	}
	t.Cleanup(fourth.Kill)
	mu.Lock()
	members[3] = fourth
	mu.Unlock()

	var victim int
	select {
	case victim = <-died:
	case <-ctx.Done():
		t.Fatalf("nobody came to %q", point)
	}
	t.Logf("member %d died", victim)
	defer func() {
		if !t.Failed() {
			return
		}
		st, err := c.Cluster(ctx)
		t.Logf("%+v, %v", st, err)
		for p, tp := range fourth.metaView().Table {
			t.Logf("partition %d: %+v, owner %+v, preferred %s", p, tp, fourth.views.Owner(p), tp.Preferred)
			for i, m := range append(first, fourth) {
				if i != victim {
					st, ok := m.host.Status(p)
					t.Logf("  member %d %s: %+v %t", i, m.id, st, ok)
				}
			}
		}
	}()
	eventually(t, "three replicas of everything on those who are left", func() bool {
		st, err := c.Cluster(ctx)
		return err == nil && st.Ready == 3 && st.Safe
	})
	for i := range n {
		if v, ok, err := words.Get(ctx, fmt.Sprint(i)); v != i || !ok || err != nil {
			t.Fatalf("%d is %d, %t, %v", i, v, ok, err)
		}
	}
	for i, m := range append(first, fourth) {
		if i == victim {
			continue
		}
		for p := range m.partitions() {
			st, ok := m.host.Status(p)
			r, named := m.metaView().Table[p].Replica(m.id)
			if ok != named || ok && st.Replica != r.ID {
				t.Errorf("member %d runs replica %d (%t) of partition %d, the table says %d (%t)", i, st.Replica, ok, p, r.ID, named)
			}
		}
	}
}
