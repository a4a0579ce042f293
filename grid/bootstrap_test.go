package grid_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// memberLog keeps what members log.
type memberLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *memberLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *memberLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *memberLog) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), s)
}

// bootstraps is how many clusters TestThreeBootstrapOneCluster bootstraps.
var bootstraps = flag.Int("bootstraps", 6, "how many clusters are bootstrapped in all sorts of orders")

// TestThreeBootstrapOneCluster starts three members in all sorts of orders, and at the same moment: it is one cluster every time.
func TestThreeBootstrapOneCluster(t *testing.T) {
	t.Parallel()
	for i := range *bootstraps {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, uint64(i)))
			var delays [3]time.Duration
			if i > 0 { // the first three start together
				for k := range delays {
					delays[k] = time.Duration(r.Int64N(int64(400 * time.Millisecond)))
				}
			}
			cl := gridtest.New(t, 3, gridtest.WithPartitions(3), gridtest.WithStartDelay(func(i int) time.Duration { return delays[i] }))
			id := ""
			for k := range 3 {
				st, err := cl.Member(k).Client().Cluster(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if id == "" {
					id = st.ID
				}
				if st.ID != id || st.Members != 3 || st.Partitions != 3 {
					t.Errorf("after delays of %v member %d is in cluster %s of %d members, member 0 in %s", delays, k, st.ID, st.Members, id)
				}
			}
		})
	}
}

// TestAllStopped kills all members of a cluster in memory and starts them again: it is the same cluster, without its data, and
// says so.
func TestAllStopped(t *testing.T) {
	t.Parallel()
	var log memberLog
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6), gridtest.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	m, err := sdk.OpenMap[string, int](cl.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for i := range 30 {
		if err := m.Set(ctx, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	before, err := cl.Client().Cluster(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		cl.Kill(i)
	}
	cl.Restart(0, 1, 2)
	var after sdk.ClusterStatus
	await(t, "all replicas", func(ctx context.Context) (bool, error) { // while partitions are transferred, some of them know no leader
		var err error
		after, err = cl.Client().Cluster(ctx)
		return after.Safe && after.Ready == 3, err
	})
	if after.ID != before.ID || after.Lost != 6 || !after.Safe || after.Tolerates != 1 {
		t.Errorf("it came back as %+v, it was %+v", after, before)
	}
	if n, err := m.Size(ctx); n != 0 || err != nil {
		t.Errorf("%d entries are there: %v", n, err)
	}
	parts, err := cl.Client().Partitions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if wire.Stamp(p.Epoch).Generation() != 2 {
			t.Errorf("partition %d is at epoch %d of generation %d", p.ID, p.Epoch, wire.Stamp(p.Epoch).Generation())
		}
	}
	if !log.contains("PARTITION_LOST") {
		t.Error("the log does not say that partitions were lost")
	}
	if err := m.Set(ctx, "again", 1); err != nil {
		t.Error(err)
	}
}

// TestRestartedMember kills one of three members and starts it again: it serves clients, and holds nothing.
func TestRestartedMember(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	m, err := sdk.OpenMap[string, int](cl.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	id := cl.Member(1).ID()
	for i := range 30 {
		if err := m.Set(ctx, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	cl.Kill(1)
	cl.Restart(1)
	if now := cl.Member(1).ID(); now != id {
		t.Errorf("it came back as %s, it was %s", now, id)
	}
	through, err := sdk.OpenMap[string, int](cl.Member(1).Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := through.Size(ctx); n != 30 || err != nil {
		t.Errorf("through the restarted member: %d entries, %v", n, err)
	}
	st, err := cl.Member(1).Client().Cluster(ctx)
	if err != nil || st.Ready != 3 || st.Lost != 0 || st.Unavailable != 0 {
		t.Errorf("the cluster is %+v, %v", st, err)
	}
	// What it held before is confirmed dead: it has new replicas of everything.
	parts, err := cl.Member(1).Client().Partitions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if !slices.Contains(p.Replicas, id) || len(p.Replicas) != 3 {
			t.Errorf("partition %d is on %v", p.ID, p.Replicas)
		}
	}
}

// joining returns a Config of a member that joins a running cluster.
func joining(t *testing.T, cl *gridtest.Cluster, name string) grid.Config {
	t.Helper()
	return grid.Config{Name: name, Join: cl.Addrs(), DataDir: t.TempDir(), NoHTTP: true}
}

func TestFourthJoins(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m, err := sdk.OpenMap[string, int](cl.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Set(ctx, "a", 1); err != nil {
		t.Fatal(err)
	}
	fourth, err := grid.Start(ctx, joining(t, cl, "m3"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fourth.Kill)
	words, err := sdk.OpenMap[string, int](fourth.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	if v, ok, err := words.Get(ctx, "a"); v != 1 || !ok || err != nil {
		t.Errorf("through the fourth: %d, %t, %v", v, ok, err)
	}
	if err := words.Set(ctx, "b", 2); err != nil {
		t.Error(err)
	}
	// Of eighteen replicas and six partitions it gets its share, with a fourth of each.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for ; ; <-again.C {
		parts, err := fourth.Client().Partitions(ctx)
		if err != nil {
			t.Fatal(err)
		}
		replicas, owned := 0, 0
		for _, p := range parts {
			if slices.Contains(p.Replicas, fourth.ID()) && len(p.Replicas) == 3 {
				replicas++
			}
			if p.Owner == fourth.ID() {
				owned++
			}
		}
		if replicas >= 4 && replicas <= 5 && owned >= 1 && owned <= 2 {
			break
		}
	}
	cl.WaitSafe()
	st, err := fourth.Client().Cluster(ctx)
	if err != nil || st.Members != 4 || st.Ready != 4 || st.Replicas != 3 || st.Tolerates != 1 {
		t.Errorf("the cluster is %+v, %v", st, err)
	}
	if err := fourth.Close(ctx); err != nil {
		t.Error(err)
	}
}

// A name belongs to one live member. One that is gone gives it up to whoever comes next.
func TestNames(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if m, err := grid.Start(ctx, joining(t, cl, "m0")); err == nil {
		m.Kill()
		t.Error("a second m0 was let in")
	} else if !strings.Contains(err.Error(), `"m0"`) || ctx.Err() != nil {
		t.Errorf("a second m0: %v", err)
	}
	old := cl.Member(0).ID()
	cl.Kill(0)
	successor, err := grid.Start(ctx, joining(t, cl, "m0"))
	if err != nil {
		t.Fatalf("the name of a member that is gone: %v", err)
	}
	t.Cleanup(successor.Kill)
	members, err := successor.Client().Members(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, mb := range members {
		if mb.ID == old && mb.State != sdk.MemberLeft {
			t.Errorf("the member that gave up its name is %s", mb.State)
		}
		if mb.ID == successor.ID() && (mb.Name != "m0" || mb.State != sdk.MemberReady) {
			t.Errorf("the one that took it over is %+v", mb)
		}
	}
}
