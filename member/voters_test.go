package member

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// leaderOf returns the member that leads the metadata group.
func leaderOf(t *testing.T, members []*Member) (leader *Member) {
	t.Helper()
	eventually(t, "somebody to lead the metadata", func() bool {
		for _, m := range members {
			if _, leads := m.meta.Leads(); leads && !m.isClosing() {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

// waitForVoters waits until all members know of the same replicas in the metadata group, so many of them voters, and every member runs the
// replica that it is said to have.
func waitForVoters(t *testing.T, voters int, members ...*Member) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Log(last)
		}
	}()
	eventually(t, fmt.Sprint(voters, " voters"), func() bool {
		last = ""
		version := members[0].metaView().Version
		for _, m := range members {
			v, n := m.metaView(), 0
			for _, mb := range v.Members {
				if mb.MetaVoter {
					n++
				}
			}
			mb := v.Member(m.id)
			at := m.meta.Replica()
			last += fmt.Sprintf("%s at version %d of %d: %d voters, replica %d is said to be %d, voter %t\n", m.cfg.Name, v.Version, at.Generation, n,
				at.Replica, mb.MetaReplica, mb.MetaVoter)
			if n != voters || v.Version != version || mb.MetaReplica == 0 || mb.MetaReplica != at.Replica || v.Generation() != at.Generation {
				return false
			}
		}
		return true
	})
}

// changeable fails the test if the metadata cannot be changed by one of the members.
func changeable(t *testing.T, members ...*Member) {
	t.Helper()
	for _, m := range members {
		if res, err := m.meta.Commit(testContext(t), &meta.RaiseLevel{Level: m.metaView().Level + 1}); err != nil || !res.OK() {
			t.Errorf("change the metadata at %s: %+v, %v", m.cfg.Name, res, err)
		}
	}
}

func drain(t *testing.T, through, m *Member) {
	t.Helper()
	eventually(t, "the drain to be accepted", func() bool {
		ctx, cancel := context.WithTimeout(testContext(t), adminFor)
		defer cancel()
		code, text := through.control.Administer(ctx, wire.AdminBody{Op: wire.OpDrainMember, Body: wire.AppendDrainBody(nil, wire.DrainBody{Member: m.id})})
		if code != wire.CodeOK && code != wire.CodeUnavailable { // as while the metadata have no leader
			t.Fatalf("drain %s: %v, %s", m.cfg.Name, code, text)
		}
		return code == wire.CodeOK
	})
}

// Two of three members stay: the metadata group has one voter. The one that was drained and the one too many run on, and learn under
// other replica IDs. When a third comes there are three again.
func TestVotersShrinkAndGrow(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	waitForVoters(t, 3, ms...)
	leader := leaderOf(t, ms) // that it leads keeps nobody from being drained
	drain(t, ms[0], leader)
	waitForVoters(t, 1, ms...)
	if mb := leader.metaView().Member(leader.id); mb.MetaVoter || !mb.Drained {
		t.Errorf("the drained member is %+v", mb)
	}
	if _, leads := leader.meta.Leads(); leads {
		t.Error("the drained member leads")
	}
	changeable(t, ms...)

	fourth, err := Start(testContext(t), Config{Settings: Settings{Name: "m3", Join: []string{ms[0].Addr(), ms[1].Addr(), ms[2].Addr()}, NoHTTP: true, DataDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fourth.Kill)
	all := append(ms, fourth)
	waitForVoters(t, 3, all...)
	if mb := fourth.metaView().Member(leader.id); mb.MetaVoter {
		t.Error("the drained member was given a vote again")
	}
	changeable(t, all...)
}

// While the metadata group shrinks to one voter everybody reads. The reads that are under way then, which nobody is left to confirm, keep
// no learner from hearing of its leader.
func TestVotersShrinkUnderReads(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	waitForVoters(t, 3, ms...)
	ctx, stop := context.WithCancel(testContext(t))
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	for _, m := range ms {
		for range 16 {
			readers.Go(func() {
				for ctx.Err() == nil {
					short, cancel := context.WithTimeout(ctx, time.Second)
					if m.meta.Barrier(short) != nil && ctx.Err() == nil { // refused at once where no replica runs
						select {
						case <-m.meta.Changed():
						case <-ctx.Done():
						}
					}
					cancel()
				}
			})
		}
	}
	drain(t, ms[0], leaderOf(t, ms))
	waitForVoters(t, 1, ms...)
	stop()
	readers.Wait()
	changeable(t, ms...)

	// One that starts again is sent to while it is not there, and does not know who leads.
	leader := leaderOf(t, ms)
	for _, m := range ms {
		if m == leader {
			continue
		}
		at := m.meta.Replica()
		if err := m.meta.Quit(); err != nil {
			t.Fatal(err)
		}
		changeable(t, leader)
		eventually(t, m.cfg.Name+" to run its replica again", func() bool {
			return m.meta.Run(partition.MetaStart{Generation: at.Generation, Replica: at.Replica, Join: true}) == nil
		})
		eventually(t, m.cfg.Name+" to hear from the leader", func() bool { return m.meta.Barrier(testContext(t)) == nil })
	}
}

// A drained voter is replaced at once by a member that learned until now.
func TestDrainedVoterIsReplaced(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 4, nil)
	waitForVoters(t, 3, ms...)
	var learner, voter *Member
	for _, m := range ms {
		if m.metaView().Member(m.id).MetaVoter {
			voter = m
		} else {
			learner = m
		}
	}
	drain(t, learner, voter)
	eventually(t, "the learner to vote in its place", func() bool {
		v := learner.metaView()
		return v.Member(learner.id).MetaVoter && !v.Member(voter.id).MetaVoter
	})
	waitForVoters(t, 3, ms...)
	changeable(t, ms...)
}

// A member starts again with a metadata replica that was removed behind its back, and nobody has told it so before it runs: it hears of that from
// the others' answers to its pings, and learns under another replica ID.
func TestStartWithARemovedMetaReplica(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	cfg := Config{Settings: Settings{Name: "m3", Join: []string{ms[0].Addr(), ms[1].Addr(), ms[2].Addr()}, NoHTTP: true, DataDir: t.TempDir()}}
	fourth, err := Start(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	id, had := fourth.id, fourth.metaView().Member(fourth.id).MetaReplica
	fourth.Kill()
	leader := leaderOf(t, ms)
	if err := leader.meta.Remove(testContext(t), had); err != nil {
		t.Fatal(err)
	}
	if res, err := leader.meta.Commit(testContext(t), &meta.DropMeta{ID: id, Replica: had}); err != nil || !res.OK() {
		t.Fatal(res, err)
	}
	if err := os.Remove(filepath.Join(cfg.DataDir, "peers")); err != nil { // it asks nobody before it starts the replica
		t.Fatal(err)
	}
	again, err := Start(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Kill)
	waitForVoters(t, 3, append(ms, again)...)
	if now := again.metaView().Member(id).MetaReplica; now == had {
		t.Errorf("replica %d was started again", had)
	}
}

// The member that leads the metadata group is killed. The others agree that it is down and stand in its place, without waiting for an
// election timeout: nor does whoever waits for the metadata, one that joins or a replica that is to be rebuilt.
func TestMetadataLeaderIsReplaced(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	waitForVoters(t, 3, ms...)
	for range 2 {
		leader := leaderOf(t, ms)
		var left []*Member
		var cfg Config
		for _, m := range ms {
			if m == leader {
				cfg = m.cfg
			} else {
				left = append(left, m)
			}
		}
		campaigned := left[0].metaNet.Stats().Injected + left[1].metaNet.Stats().Injected
		leader.Kill()
		began := time.Now()
		leaderOf(t, left)
		t.Logf("another led after %v", time.Since(began))
		if left[0].metaNet.Stats().Injected+left[1].metaNet.Stats().Injected == campaigned {
			t.Error("nobody campaigned in its place")
		}
		changeable(t, left...)
		cfg.Join, cfg.Listen = []string{left[0].Addr(), left[1].Addr()}, leader.Addr()
		ms = append(left, again(t, cfg))
		waitForVoters(t, 3, ms...)
	}
}

// Who leads the metadata group and leaves has another lead before it goes: nobody waits for an election timeout.
func TestMetadataLeaderLeaves(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	waitForVoters(t, 3, ms...)
	leader := leaderOf(t, ms)
	var left []*Member
	for _, m := range ms {
		if m != leader {
			left = append(left, m)
		}
	}
	eventually(t, "another to lead at once", func() bool {
		leader.control.LetLead(testContext(t), leader.metaView()) // nobody takes the lead who is too busy to campaign in time
		_, leads := leader.meta.Leads()
		return !leads
	})
	next := leaderOf(t, left)
	if n := next.metaNet.Stats().Injected; n == 0 {
		t.Error("it was not asked to stand")
	}
	if a, err := leader.peers.Ask(testContext(t), next.id, wire.OpMetaLead, nil); err != nil || a.Code == wire.CodeOK {
		t.Errorf("one that does not lead was answered %v, %v", a.Code, err)
	}
	changeable(t, ms...)
}

// A member that was drained may have no replica of the metadata any more, and not hear that others have taken over what it held. When it
// leaves it asks them.
func TestLeavingWithOldMetadata(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	waitForVoters(t, 3, ms...)
	leader := leaderOf(t, ms)
	leaving := ms[slices.IndexFunc(ms, func(m *Member) bool { return m != leader })]
	leaving.going.Store(true) // as Close does at first: it does not ask for another replica
	old := leaving.metaView()
	if leaving.held(old) == 0 {
		t.Fatal("it holds nothing")
	}
	drain(t, leader, leaving)
	eventually(t, "the others to hold what it held, and its vote", func() bool {
		v := leader.metaView()
		return leaving.held(v) == 0 && !v.Member(leaving.id).MetaVoter
	})

	v := old
	eventually(t, "the others' metadata to say that it holds nothing", func() bool {
		v = leaving.newerMeta(testContext(t), v)
		return leaving.held(v) == 0
	})
	if !leaving.mayLeaveGroup(testContext(t), v) {
		t.Error("its vote in the metadata group is needed")
	}
	if again := leaving.newerMeta(testContext(t), leader.metaView()); again.Version < v.Version {
		t.Errorf("version %d after %d", again.Version, v.Version)
	}
}
