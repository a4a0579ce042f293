package member

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faults stops members at a fault point: the first that comes there waits, and comes says which. The others go on.
type faults struct {
	point string
	armed atomic.Bool
	once  sync.Once
	came  chan int // one slot
	goOn  chan struct{}
}

func newFaults(point string) *faults {
	return &faults{point: point, came: make(chan int, 1), goOn: make(chan struct{})}
}

// of returns the FaultPoint of a member.
func (f *faults) of(i int) func(ctx context.Context, at string) {
	return func(ctx context.Context, at string) {
		if at != f.point || !f.armed.Load() {
			return
		}
		f.once.Do(func() {
			f.came <- i
			select {
			case <-f.goOn:
			case <-ctx.Done():
			}
		})
	}
}

// wait returns who has come.
func (f *faults) wait(t *testing.T) int {
	t.Helper()
	select {
	case i := <-f.came:
		return i
	case <-testContext(t).Done():
		t.Fatalf("nobody came to %q", f.point)
		return 0
	}
}

// An owner removes a replica from a group of three and dies before the table says so, and starts again. Of the group of two that it
// was one is left, which is no majority; by the table it might be a group of three, of which two are left.
func TestOwnerDiesHavingRemovedAReplica(t *testing.T) {
	t.Parallel()
	f := newFaults("group *meta.DropReplica")
	ms := runningMembers(t, 3, func(i int, cfg *Config) { cfg.FaultPoint = f.of(i) })
	fill(t, ms[0])
	f.armed.Store(true)
	drained := leaderOf(t, ms)
	drain(t, ms[0], drained)
	owner := ms[f.wait(t)]
	owner.Kill()
	verify(t, startAgain(t, owner))
}

// An owner has a third replica taken in by a group of two, and dies before that votes, and starts again. By the table it might vote.
func TestOwnerDiesHavingAddedAReplica(t *testing.T) {
	t.Parallel()
	f := newFaults("group *meta.AddReplica")
	ms, configs := pair(t, func(i int, cfg *Config) { cfg.FaultPoint = f.of(i) })
	fill(t, ms[0])
	f.armed.Store(true)
	third := make(chan *Member, 1)
	go func() {
		m, err := Start(testContext(t), Config{Settings: Settings{Name: "m2", Join: configs[1].Join, NoHTTP: true, DataDir: t.TempDir()}})
		if err != nil {
			t.Errorf("start the third: %v", err)
		}
		third <- m
	}()
	owner := ms[f.wait(t)]
	owner.Kill()
	verify(t, startAgain(t, owner))
	if m := <-third; m != nil {
		t.Cleanup(m.Kill)
		verify(t, m)
	}
}

// A learner is made a voter and dies before the table says so, and starts again. The owner is no majority without it; by the table it
// might be one alone.
func TestLearnerDiesHavingBecomeAVoter(t *testing.T) {
	t.Parallel()
	f := newFaults("group *meta.AddReplica")
	ms, _ := pair(t, func(i int, cfg *Config) { cfg.Partitions, cfg.Replicas, cfg.FaultPoint = 2, 1, f.of(i) })
	holder, owner := ms[0], ms[1]
	eventually(t, "the second to own a partition", func() bool { return owner.host.Serving(0) != 0 || owner.host.Serving(1) != 0 })
	f.armed.Store(true)
	drain(t, holder, owner)
	f.wait(t)
	var changed []int
	for p, table := range owner.metaView().Table {
		learner, ok := table.Changing()
		if !ok {
			continue // it was there all the time
		}
		changed = append(changed, p)
		eventually(t, "the learner to have caught up", func() bool {
			st, err := owner.control.ReplicaOf(testContext(t), p, &table, learner, time.Second, true)
			return err == nil && st.CaughtUp
		})
		if err := owner.host.Promote(testContext(t), p, learner.ID, learner.Incarnation); err != nil {
			t.Fatal(err)
		}
	}
	holder.Kill()
	holder.Kill()
	close(f.goOn)
	m := startAgain(t, holder)
	fill(t, m)
	v := m.metaView()
	for _, p := range changed {
		if v.Table[p].Lost != 0 {
			t.Errorf("the data of partition %d is lost, which its owner had", p)
		}
	}
}

// startAgain starts a member that was killed on its directory and its address.
func startAgain(t *testing.T, m *Member) *Member {
	t.Helper()
	cfg := m.cfg
	cfg.Listen, cfg.FaultPoint = m.Addr(), nil
	return again(t, cfg)
}
