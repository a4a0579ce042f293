package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// within fails the test if a member is beyond its bound.
func within(t *testing.T, when string, members ...*Member) {
	t.Helper()
	for _, m := range members {
		// The last events, which have a bound of their own, are not foreseen.
		if used := m.maps.Used(); m.cfg.MaxMemory > 0 && used > m.cfg.MaxMemory+m.cfg.MaxMemory/16 {
			t.Errorf("%s: member %s uses %d of %d bytes", when, m.Name(), used, m.cfg.MaxMemory)
		}
	}
}

// filled writes values of a size under the numbers from 0 on, until there are n of them or enough reports true after one was refused. One that
// is refused before is tried again: near the bound owners let in less than there is room for, until they have heard what the others have.
// It returns how many there are.
func filled(t *testing.T, m *sdk.Map[int, string], size, n int, enough func() bool) int {
	t.Helper()
	value := strings.Repeat("v", size)
	for i := range n {
		full := false
		eventually(t, "a write to be let in", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := m.Set(ctx, i, value)
			// On a busy machine a partition may change its owner meanwhile. The same write again is what the test wants.
			if errors.Is(err, sdk.ErrUnknownOutcome) {
				return false
			}
			if err != nil && !errors.Is(err, sdk.ErrOverloaded) {
				t.Fatalf("write %d: %v", i, err)
			}
			full = err != nil && enough()
			return err == nil || full
		})
		if full {
			return i
		}
	}
	return n
}

func never() bool { return false }

func opened(t *testing.T, m *Member) *sdk.Map[int, string] {
	t.Helper()
	words, err := sdk.OpenMap[int, string](m.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	return words
}

// One of four members, which are three quarters full, dies: of the replicas that it had, as many are built elsewhere as there is room for,
// nobody comes to its bound, and the status says what is missing and why. When entries are removed the rest is built.
func TestRebuildingKeepsWithinMemory(t *testing.T) {
	t.Parallel() // most of it is waiting
	const bound = 6 << 20
	var lines harness.Log
	members := runningMembers(t, 4, func(_ int, cfg *Config) {
		cfg.Partitions, cfg.MaxMemory, cfg.RebuildDelay, cfg.Logger = 24, bound, 500*time.Millisecond, lines.Logger(slog.LevelInfo)
	})
	words := opened(t, members[0])
	const size = 8 << 10
	n := filled(t, words, size, 24*26, never) // of which each member has three quarters
	within(t, "filled", members...)
	members[3].Kill()
	live := members[:3]
	var st wire.Status
	eventually(t, "what has room to be built, and the rest to be told", func() bool {
		st = live[0].status()
		return st.NoRoom > 0 && st.Moves == 0 && st.Unavailable == 0 && st.UnderReplicated == st.NoRoom && live[1].status().NoRoom == st.NoRoom
	})
	within(t, "rebuilt", live...)
	if st.State != "degraded" || st.Safe || !strings.Contains(st.Reason, fmt.Sprintf("no member has memory for %d more replicas", st.NoRoom)) ||
		!strings.Contains(st.Reason, "m1 uses ") || strings.Contains(st.Reason, "m3") {
		t.Errorf("the status is %+v", st)
	}
	if st.UnderReplicated == 18 { // a quarter of three times 24 replicas were lost
		t.Error("nothing was rebuilt, though there was room for some")
	}
	if !strings.Contains(lines.Text(), "NO_ROOM") {
		t.Error("nothing of it is in the log")
	}
	for i := range n {
		if _, ok, err := words.Get(t.Context(), i); !ok || err != nil {
			t.Fatalf("entry %d: %t, %v", i, ok, err)
		}
	}
	for i := range n / 2 {
		if _, err := words.Delete(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all of it to be built", func() bool { st = live[0].status(); return st.Safe && st.NoRoom == 0 && st.Reason == "" })
	within(t, "when there was room again", live...)
	if !strings.Contains(lines.Text(), "there is memory again") {
		t.Error("nothing of that is in the log")
	}
}

// A member that joins with too little room for any replica becomes ready all the same. When it is started with more, it takes what found none.
func TestMembersJoinForRoom(t *testing.T) {
	t.Parallel() // most of it is waiting
	const bound = 3 << 20
	configure := func(_ int, cfg *Config) {
		cfg.Partitions, cfg.MaxMemory, cfg.RebuildDelay = 12, bound, 500*time.Millisecond
	}
	members := runningMembers(t, 4, configure)
	words := opened(t, members[0])
	filled(t, words, 8<<10, 12*28, never) // of which each member has three quarters
	members[3].Kill()
	eventually(t, "replicas without room", func() bool {
		st := members[0].status()
		return st.NoRoom > 0 && st.Moves == 0 && st.UnderReplicated == st.NoRoom
	})

	cfg := Config{Settings: Settings{Name: "small", Join: []string{members[0].Addr()}, NoHTTP: true, DataDir: t.TempDir()}}
	configure(0, &cfg)
	cfg.MaxMemory = 64 << 10
	small, err := Start(testContext(t), cfg)
	if err != nil {
		t.Fatalf("start a small member: %v", err)
	}
	t.Cleanup(small.Kill)
	eventually(t, "the small member to be seen as small", func() bool { return members[0].status().NoRoom > 0 })
	small.Kill()
	cfg.MaxMemory = 0
	large, err := Start(testContext(t), cfg)
	if err != nil {
		t.Fatalf("start it with more memory: %v", err)
	}
	t.Cleanup(large.Kill)
	eventually(t, "everything to be whole", func() bool { st := members[0].status(); return st.Safe && st.NoRoom == 0 })
	within(t, "at the end", members[:3]...)
}

// What a member has in memory is told, and pings are answered, while a partition's state is busy: who waits for the answer would take the
// member for dead.
func TestPingsWaitForNoState(t *testing.T) {
	t.Parallel() // most of it is waiting
	m := runningMembers(t, 1, func(_ int, cfg *Config) { cfg.Partitions, cfg.MaxMemory = 1, 8<<20 })[0]
	words := opened(t, m)
	if err := words.Set(t.Context(), 1, "one"); err != nil {
		t.Fatal(err)
	}
	wrote, answered := make(chan error, 1), make(chan wire.PingResult, 1)
	m.host.Inspect(0, func(partition.Machine) {
		go func() { wrote <- words.Set(t.Context(), 2, strings.Repeat("v", 1<<10)) }()
		eventually(t, "an entry to wait for the state", func() bool { return m.host.Unapplied(0) > 1<<10 })
		go func() { answered <- m.pong(wire.PingBody{Sizes: true}) }()
		eventually(t, "a ping to be answered meanwhile", func() bool { return len(answered) == 1 })
	})
	if res := <-answered; len(res.Sizes) != 1 || res.Sizes[0].Bytes == 0 {
		t.Errorf("a ping was answered with %+v", res)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
}

// What writes go by is what the pings say also of a member that was pinged before the table was made again. A view that was
// older than the pings does not know the member, and drops what was kept of it.
func TestRoomsOutliveAnOlderView(t *testing.T) {
	t.Parallel() // most of it is waiting
	members := runningMembers(t, 2, func(_ int, cfg *Config) { cfg.Partitions, cfg.MaxMemory = 2, 8<<20 })
	rs, other := members[0].memory, members[1].id
	known := func() bool { return rs.Of(other).Limit() == 8<<20 }
	eventually(t, "the other member's memory to be known", known)
	rs.Forget(other)
	eventually(t, "it to be known again", known)
}

// Owners with memory to spare do not fill a follower beyond its bound. What its partitions are not written to, and reads and removals, goes
// on, and writes do when there is room again; they do not wait for a follower that is down.
func TestFollowersAreNotOverfilled(t *testing.T) {
	t.Parallel() // most of it is waiting
	const bound = 2 << 20
	members := runningMembers(t, 3, func(i int, cfg *Config) {
		if cfg.Partitions = 6; i == 2 {
			cfg.MaxMemory = bound
		}
	})
	words := opened(t, members[0])
	const size = 4 << 10
	full := func() bool { return members[2].maps.Used() > bound*3/4 }
	n := filled(t, words, size, 10_000, full)
	within(t, "when a write was refused", members...)
	err := error(nil)
	eventually(t, "the follower that is full to be named", func() bool {
		for i := range 100 {
			if err = words.Set(t.Context(), 1_000_000+i, strings.Repeat("v", size)); err != nil {
				break
			}
		}
		return err != nil && strings.Contains(err.Error(), "member m2 has ")
	})
	if !errors.Is(err, sdk.ErrOverloaded) {
		t.Errorf("refused with %v", err)
	}
	within(t, "when writes were tried again", members...)
	for i := range n {
		if _, ok, err := words.Get(t.Context(), i); !ok || err != nil {
			t.Fatalf("entry %d: %t, %v", i, ok, err)
		}
	}
	if err := words.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes to be let in", func() bool { return words.Set(t.Context(), 0, "v") == nil })

	filled(t, words, size, 10_000, full)
	members[2].Kill()
	eventually(t, "writes to go on without the dead", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for i := range 10 {
			if words.Set(ctx, 2_000_000+i, strings.Repeat("v", size)) != nil {
				return false
			}
		}
		return true
	})
}

// A member that is drained keeps what finds no room elsewhere: nothing of the redundancy that there is is given up.
func TestDrainWithoutRoom(t *testing.T) {
	t.Parallel() // most of it is waiting
	members := runningMembers(t, 4, func(_ int, cfg *Config) { cfg.Partitions, cfg.MaxMemory = 12, 3<<20 })
	filled(t, opened(t, members[0]), 8<<10, 12*28, never) // of which each member has three quarters
	var leader *Member
	eventually(t, "a leader of the metadata group", func() bool {
		for _, m := range members {
			if _, leads := m.meta.Leads(); leads {
				leader = m
			}
		}
		return leader != nil
	})
	drained := members[0]
	if drained == leader {
		drained = members[1]
	}
	eventually(t, "the controller to know how full they are", func() bool {
		v := leader.metaView()
		for _, m := range members {
			if _, used := leader.control.MemoryOf(v.Member(m.id)); used < m.maps.Used()*15/16 {
				return false
			}
		}
		for p, size := range leader.memory.PartitionSizes(v) {
			if size < 128<<10 {
				return false
			}
			for _, m := range members {
				if size < m.maps.Size(p)*15/16 {
					return false
				}
			}
		}
		return true
	})
	drain(t, leader, drained)
	eventually(t, "what finds no room to stay, and to be told", func() bool {
		st := leader.status()
		return st.NoRoom > 0 && st.Moves == 0 && st.Reason != "" && uint32(drained.held(leader.metaView())) == st.NoRoom
	})
	v := leader.metaView()
	for p := range v.Table {
		if n := v.LiveVoters(&v.Table[p]); n != 3 {
			t.Errorf("partition %d has %d voters that live", p, n)
		}
	}
	within(t, "drained", members...)
}
