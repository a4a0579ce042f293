package member

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk"
)

// machines are the machines on which the members of a test run. Each has a monotonic clock and a wall clock of its own.
type machines struct {
	start time.Time
	mono  [3]atomic.Int64 // by member: what its monotonic clock has gained on the test's
	wall  [3]atomic.Int64
	log   harness.Log
}

// onMachines returns n members that run on machines.
func onMachines(t *testing.T, n int, more func(cfg *Config)) (*machines, []*Member) {
	t.Helper()
	ms := &machines{start: time.Now()}
	return ms, runningMembers(t, n, func(i int, cfg *Config) {
		cfg.Mono = func() time.Duration { return time.Since(ms.start) + time.Duration(ms.mono[i].Load()) }
		cfg.Wall = func() time.Time { return time.Now().Add(time.Duration(ms.wall[i].Load())) }
		cfg.Logger = ms.log.Logger(slog.LevelInfo)
		if more != nil {
			more(cfg)
		}
	})
}

// suspend has the machines of some members sleep. A machine's monotonic clock stands still meanwhile, which is to say that the others'
// gain on it. Its wall clock goes on if awake is set.
func (ms *machines) suspend(d time.Duration, awake bool, asleep ...int) {
	for i := range ms.mono {
		if !slices.Contains(asleep, i) {
			ms.mono[i].Add(int64(d))
			ms.wall[i].Add(int64(d))
		} else if awake {
			ms.wall[i].Add(int64(d))
		}
	}
}

// owns returns how many partitions a member serves.
func (m *Member) owns() (n int) {
	for p := range m.partitions() {
		if m.host.Serving(p) != 0 {
			n++
		}
	}
	return n
}

// ownedByAll reports whether every partition is served by one of the members.
func ownedByAll(members []*Member) bool {
	for p := range members[0].partitions() {
		if !slices.ContainsFunc(members, func(m *Member) bool { return m.host.Serving(p) != 0 }) {
			return false
		}
	}
	return true
}

// agree reports whether all members' clocks are in step, within the bound for clocks that are.
func agree(members []*Member) bool {
	for _, m := range members {
		if s, _ := m.clock.Standing(); s != clock.InStep || m.clock.Disagreement() > clock.MaxApart {
			return false
		}
	}
	return true
}

// logged counts the lines of the log that have all these words.
func (ms *machines) logged(words ...string) (n int) {
	for line := range strings.Lines(ms.log.Text()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			n++
		}
	}
	return n
}

// stepped waits until so many members have stepped their clocks forward, and all agree.
func (ms *machines) stepped(t *testing.T, n int, members []*Member) {
	t.Helper()
	eventually(t, "the clocks to be stepped", func() bool { return ms.logged("stepped forward") >= n })
	eventually(t, "the clocks to agree", func() bool { return agree(members) })
	eventually(t, "every partition to be owned", func() bool { return ownedByAll(members) })
}

// newcomer returns the map of a client that has connected just now.
func newcomer(t *testing.T, members []*Member) *sdk.Map[string, string] {
	t.Helper()
	var addrs []string
	for _, m := range members {
		addrs = append(addrs, m.Addr())
	}
	c, err := sdk.Connect(testContext(t), addrs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	m, err := sdk.OpenMap[string, string](c, "sessions")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// setAll writes keys of all partitions that live for an hour, and checks when they end by the clock of a member that was right all
// the time.
func setAll(t *testing.T, m *sdk.Map[string, string], right *Member, value string) {
	t.Helper()
	ctx, hour := testContext(t), time.Hour.Milliseconds()
	for i := range 40 {
		key := fmt.Sprint("key", i)
		before := right.clock.Now()
		if err := m.Set(ctx, key, value, sdk.WithTTL(time.Hour)); err != nil {
			t.Fatalf("set %s: %v", key, err)
		}
		after := right.clock.Now()
		v, found, err := m.EntryView(ctx, key)
		if err != nil || !found || v.Value != value {
			t.Fatalf("%s: %+v, %v, %v", key, v, found, err)
		}
		slack := 2 * clock.MaxApart.Milliseconds()
		if ends := v.Expires.UnixMilli(); ends < before+hour-slack || ends > after+hour+slack {
			t.Errorf("%s ends %d ms too late", key, ends-after-hour)
		}
	}
}

// A member whose machine was suspended for a minute gives up what it owns, steps its clock forward, and takes part again. Nothing
// that is written meanwhile ends early, and no caller is told that its deadline is wrong.
func TestSuspendedMember(t *testing.T) {
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n, " members"), func(t *testing.T) {
			t.Parallel()
			ms, members := onMachines(t, n, nil)
			setAll(t, newcomer(t, members), members[1], "before")
			had := members[0].owns()
			ms.suspend(time.Minute, false, 0)
			m := newcomer(t, members[1:]) // synchronised with those that were not
			setAll(t, m, members[1], "after")
			ms.stepped(t, 1, members)
			eventually(t, "the member to own again what it had", func() bool { return members[0].owns() >= had })
			setAll(t, m, members[1], "again")
			setAll(t, newcomer(t, members[:1]), members[1], "again")
			if got := ms.logged("CLOCK_BEHIND"); got != 1 {
				t.Errorf("%d lines say that the clock is behind", got)
			}
			if ms.logged("stepped forward") != 1 || ms.logged("CLOCK_IN_STEP") != 1 || ms.logged("CLOCK_AHEAD") != 0 {
				t.Errorf("what the log says:\n%s", ms.log.Text())
			}
		})
	}
}

// Nobody can take over what has one replica: its owner gives it up, steps its clock forward, and owns it again, with what was in it.
func TestSuspendedMemberWithoutReplicas(t *testing.T) {
	t.Parallel()
	ms, members := onMachines(t, 2, func(cfg *Config) { cfg.Replicas = 1 })
	m := newcomer(t, members)
	setAll(t, m, members[1], "kept")
	had, changes := members[0].owns(), members[0].host.Load().OwnerChanges
	if had == 0 {
		t.Fatal("the member owns nothing")
	}
	ms.suspend(time.Minute, false, 0)
	ms.stepped(t, 1, members)
	eventually(t, "the member to own what nobody else holds", func() bool { return members[0].owns() == had })
	if got := members[0].host.Load().OwnerChanges - changes; got < uint64(had) {
		t.Errorf("%d of %d partitions were given up", got, had)
	}
	m = newcomer(t, members[1:])
	for i := range 40 {
		if v, found, err := m.Get(testContext(t), fmt.Sprint("key", i)); v != "kept" || !found || err != nil {
			t.Errorf("key%d: %q, %v, %v", i, v, found, err)
		}
	}
	setAll(t, m, members[1], "new")
}

// Where two of three were suspended together, and their wall clocks show it, the one that was not is right.
func TestMostMembersSuspended(t *testing.T) {
	t.Parallel()
	ms, members := onMachines(t, 3, nil)
	ms.suspend(time.Minute, true, 0, 1)
	ms.stepped(t, 2, members)
	if by := members[0].clock.Now() - members[2].clock.Now(); by < -1000 || by > 1000 {
		t.Errorf("the first member is %d ms ahead of the last", by)
	}
	setAll(t, newcomer(t, members), members[2], "after")
}

// Where nothing shows that most members were suspended, their time is the cluster's. The one that is ahead of them owns nothing that
// others can own, tells its clients their time, and takes their time when it is started again.
func TestMemberAheadOfMost(t *testing.T) {
	t.Parallel()
	ms, members := onMachines(t, 3, nil)
	ms.suspend(time.Minute, false, 0, 1)
	eventually(t, "the others to own everything", func() bool { return members[2].owns() == 0 && ownedByAll(members[:2]) })
	eventually(t, "the log to say so", func() bool { return ms.logged("CLOCK_AHEAD", "member=m2") == 1 })
	if by := members[2].clock.Agreed() - members[0].clock.Now(); by < -1000 || by > 1000 {
		t.Errorf("its clients are told a time that is wrong by %d ms", by)
	}
	if v := members[0].metaView(); v.Member(members[2].id).State != meta.StateReady {
		t.Errorf("it is %v", v.Member(members[2].id).State)
	}
	for _, m := range members {
		eventually(t, m.Name()+" to say that one is out of step", func() bool { return m.status().OutOfStep == 1 })
	}
	if ms.logged("CLOCK_BEHIND") != 0 {
		t.Errorf("what the log says:\n%s", ms.log.Text())
	}
}

// A host that sleeps with all its members wakes up as if nothing had been.
func TestAllSuspended(t *testing.T) {
	t.Parallel()
	ms, members := onMachines(t, 3, nil)
	ms.suspend(time.Minute, true, 0, 1, 2)
	setAll(t, newcomer(t, members), members[1], "after")
	eventually(t, "the clocks to agree", func() bool { return agree(members) })
	if ms.logged("CLOCK_") != 0 {
		t.Errorf("what the log says:\n%s", ms.log.Text())
	}
}

// A member that cannot yet know that it is behind does not tell a caller that its deadline is wrong.
func TestDeadlineThatDoesNotFit(t *testing.T) {
	t.Parallel()
	_, members := onMachines(t, 1, nil)
	if !members[0].clock.Confirmed(1) {
		t.Error("a member alone doubts its clock")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := newcomer(t, members).Set(ctx, "k", "v"); err != nil {
		t.Error(err)
	}
}
