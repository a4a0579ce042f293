package meta

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func step(partition uint32, generation, replica uint64) ReplicaStep {
	return ReplicaStep{Partition: partition, Generation: generation, Replica: replica}
}

// A replica goes up the ladder and another one down, each step once, and nothing goes between.
func TestMoveLadder(t *testing.T) {
	s := newTable(t, 2, false)
	add := &AddReplica{Generation: 1, Holder: holder(4, 1)}
	unchanged(t, s, add, wire.CodeConflict) // nobody knows it
	do(t, s, registration(4, 1), wire.CodeOK)
	do(t, s, registration(5, 1), wire.CodeOK)
	for _, c := range []Command{
		&AddReplica{Partition: 2, Generation: 1, Holder: holder(4, 1)}, &Promote{step(2, 1, 1)}, &Retire{step(2, 1, 1)},
		&DropReplica{step(2, 1, 1)}, &Prefer{Partition: 2, Generation: 1, Member: member(2)}, &StopForRecovery{Partition: 2, Generation: 1},
		stopped(2, 1, 1, 1, 1, 1), &Promote{step(0, 1, 4)}, &Retire{step(0, 1, 4)}, stopped(0, 1, 4, 1, 1, 1),
	} {
		unchanged(t, s, c, wire.CodeNotFound)
	}
	for _, c := range []Command{
		&AddReplica{Generation: 2, Holder: holder(4, 1)}, &Promote{step(0, 2, 1)}, &Retire{step(0, 2, 1)}, &DropReplica{step(0, 2, 1)},
		&Prefer{Generation: 2, Member: member(2)}, &StopForRecovery{Generation: 2}, stopped(0, 2, 1, 1, 1, 1),
		&AddReplica{Generation: 1, Holder: holder(4, 2)}, &AddReplica{Generation: 1, Holder: holder(1, 2)},
		&DropReplica{step(0, 1, 1)}, &Prefer{Generation: 1, Member: member(4)}, &StopForRecovery{Generation: 1}, stopped(0, 1, 1, 1, 1, 1),
	} {
		unchanged(t, s, c, wire.CodeConflict)
	}
	for _, c := range []Command{&Promote{step(0, 1, 0)}, &Retire{step(0, 1, 0)}, &DropReplica{step(0, 1, 0)}, stopped(0, 1, 0, 1, 1, 1)} {
		unchanged(t, s, c, wire.CodeInvalid)
	}

	for range 2 { // in and out again, and in: never under the same ID
		next := s.v.NextReplica
		if id := do(t, s, add, wire.CodeOK).ReplicaID(); id != next {
			t.Fatalf("the new replica is %d, want %d", id, next)
		}
		if id := unchanged(t, s, add, wire.CodeOK).ReplicaID(); id != next {
			t.Fatalf("asked again, it is %d, want %d", id, next)
		}
		unchanged(t, s, &AddReplica{Generation: 1, Holder: holder(5, 1)}, wire.CodeConflict)
		unchanged(t, s, &Retire{step(0, 1, 2)}, wire.CodeConflict)
		unchanged(t, s, &DropReplica{step(0, 1, next)}, wire.CodeConflict)
		unchanged(t, s, &Prefer{Generation: 1, Member: member(4)}, wire.CodeConflict)
		do(t, s, &Promote{step(0, 1, next)}, wire.CodeOK)
		unchanged(t, s, &Promote{step(0, 1, next)}, wire.CodeOK)
		do(t, s, &Prefer{Generation: 1, Member: member(4)}, wire.CodeOK)
		unchanged(t, s, &Prefer{Generation: 1, Member: member(4)}, wire.CodeOK)

		do(t, s, &Retire{step(0, 1, next)}, wire.CodeOK)
		if p := s.v.Table[0]; p.Preferred == member(4) || p.Voters() != 3 {
			t.Fatalf("a replica that leaves is preferred: %+v", p)
		}
		unchanged(t, s, &Retire{step(0, 1, next)}, wire.CodeOK)
		unchanged(t, s, &Promote{step(0, 1, next)}, wire.CodeConflict)
		unchanged(t, s, add, wire.CodeConflict)
		unchanged(t, s, &Retire{step(0, 1, 2)}, wire.CodeConflict)
		do(t, s, &DropReplica{step(0, 1, next)}, wire.CodeOK)
		unchanged(t, s, &DropReplica{step(0, 1, next)}, wire.CodeOK)
	}
	for id := uint64(1); id <= 2; id++ {
		do(t, s, &Retire{step(0, 1, id)}, wire.CodeOK)
		do(t, s, &DropReplica{step(0, 1, id)}, wire.CodeOK)
	}
	unchanged(t, s, &Retire{step(0, 1, 3)}, wire.CodeConflict) // the only voter
}

// A generation is stopped for recovery only when it can never have a quorum, and then stands still.
func TestStopForRecovery(t *testing.T) {
	s := newTable(t, 1, false)
	do(t, s, registration(4, 1), wire.CodeOK)
	do(t, s, registration(1, 2), wire.CodeOK)
	unchanged(t, s, &StopForRecovery{Generation: 1}, wire.CodeConflict)
	do(t, s, registration(2, 2), wire.CodeOK)
	unchanged(t, s, stopped(0, 1, 3, 3, 2, 9), wire.CodeConflict)
	do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
	unchanged(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
	unchanged(t, s, &AddReplica{Generation: 1, Holder: holder(4, 1)}, wire.CodeConflict)
	unchanged(t, s, &Retire{step(0, 1, 1)}, wire.CodeConflict)
	unchanged(t, s, &DropReplica{step(0, 1, 1)}, wire.CodeConflict)
	unchanged(t, s, stopped(0, 1, 3, 2, 2, 9), wire.CodeConflict) // another process
	do(t, s, stopped(0, 1, 3, 3, 2, 9), wire.CodeOK)
	unchanged(t, s, stopped(0, 1, 3, 3, 3, 10), wire.CodeOK) // the first word counts
	unchanged(t, s, &Prefer{Generation: 1, Member: member(2)}, wire.CodeConflict)
}

// Nobody left is nobody to go on from, not even nobody.
func TestRecoverPartitionFromNobody(t *testing.T) {
	s := newTable(t, 1, false)
	for n := 1; n <= 3; n++ {
		do(t, s, registration(n, 2), wire.CodeOK)
	}
	do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
	c := &RecoverPartition{FromGeneration: 1, Replicas: []Holder{{}}}
	before := s.View()
	if res := s.Apply(Append(nil, c)); res.OK() || s.View() != before {
		t.Errorf("accepted: %+v", s.v.Table)
	}
}

// A partition has room for MaxReplicas and one more, which takes the place of another; holders are those that may hold something.
func TestAddReplicaBounds(t *testing.T) {
	s := newTable(t, 1, false)
	for n := 4; n <= MaxReplicas+2; n++ {
		do(t, s, registration(n, 1), wire.CodeOK)
	}
	for n := 4; n <= MaxReplicas+1; n++ {
		id := do(t, s, &AddReplica{Generation: 1, Holder: holder(n, 1)}, wire.CodeOK).ReplicaID()
		do(t, s, &Promote{step(0, 1, id)}, wire.CodeOK)
	}
	next := &AddReplica{Generation: 1, Holder: holder(MaxReplicas+2, 1)}
	unchanged(t, s, next, wire.CodeOverloaded)
	unchanged(t, s, &AddReplica{Generation: 1, Holder: holder(MaxReplicas+1, 1)}, wire.CodeOK) // has one
	do(t, s, &Retire{step(0, 1, 1)}, wire.CodeOK)
	unchanged(t, s, next, wire.CodeConflict)
	do(t, s, &DropReplica{step(0, 1, 1)}, wire.CodeOK)

	lite := registration(10, 1)
	lite.Lite = true
	do(t, s, lite, wire.CodeOK)
	unchanged(t, s, &AddReplica{Generation: 1, Holder: holder(10, 1)}, wire.CodeConflict)
	for _, state := range []string{StateDraining, StateLeft, StateDead} {
		do(t, s, &SetState{ID: member(1), Incarnation: incarnation(1, 1), State: state}, wire.CodeOK)
		unchanged(t, s, &AddReplica{Generation: 1, Holder: holder(1, 1)}, wire.CodeConflict)
	}
	do(t, s, next, wire.CodeOK)
}

// Before there is a table there is nothing to move.
func TestNoStepsBeforeTheTable(t *testing.T) {
	s := New()
	do(t, s, foundation(1, false), wire.CodeOK)
	for _, c := range []Command{
		&AddReplica{Generation: 1, Holder: holder(1, 1)}, &Promote{step(0, 1, 1)}, &Retire{step(0, 1, 1)}, &DropReplica{step(0, 1, 1)},
		&Prefer{Generation: 1, Member: member(1)}, &StopForRecovery{Generation: 1}, stopped(0, 1, 1, 1, 1, 1),
	} {
		unchanged(t, s, c, wire.CodeNotReady)
	}
}

// A replica that learns stays below the voters once the generation is stopped for recovery, and one that leaves stays in the table.
func TestStoppedForRecoveryLadder(t *testing.T) {
	for _, role := range []Role{RoleLearner, RoleLeaving} {
		s := newGroup(t, 2, role, 1, 3)
		id := s.v.Table[0].Replicas[2].ID
		do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
		unchanged(t, s, &Promote{step(0, 1, id)}, wire.CodeConflict)
		unchanged(t, s, &Promote{step(0, 1, s.v.Table[0].Replicas[1].ID)}, wire.CodeOK) // is one
		unchanged(t, s, &Retire{step(0, 1, id)}, wire.CodeConflict)
		unchanged(t, s, &DropReplica{step(0, 1, id)}, wire.CodeConflict)
	}
}

// newGroup returns a cluster of one partition with voters on members 1 to voters, and on the next one a replica with a role, unless
// that is RoleVoter. Then some members start again, which is the end of their replicas.
func newGroup(t *testing.T, voters int, role Role, dead ...int) *State {
	t.Helper()
	s := New()
	do(t, s, foundation(1, false), wire.CodeOK)
	var holders []Holder
	for n := 1; n <= voters+1; n++ {
		do(t, s, registration(n, 1), wire.CodeOK)
		if n <= voters || role == RoleLeaving {
			holders = append(holders, holder(n, 1))
		}
	}
	do(t, s, &CreateTable{Placement: [][]Holder{holders}}, wire.CodeOK)
	switch role {
	case RoleLearner:
		do(t, s, &AddReplica{Generation: 1, Holder: holder(voters+1, 1)}, wire.CodeOK)
	case RoleLeaving:
		do(t, s, &Retire{step(0, 1, uint64(voters+1))}, wire.CodeOK)
	}
	for _, n := range dead {
		do(t, s, registration(n, 2), wire.CodeOK)
	}
	return s
}

// Whether a group may have a quorum, and whether its dead may have had one, is asked of the group with the replica that comes or
// goes and of the group without it.
func TestStopForRecoveryByEitherGroup(t *testing.T) {
	const v, l, o = RoleVoter, RoleLearner, RoleLeaving
	for _, c := range []struct {
		voters int
		role   Role
		dead   []int
		stops  bool // for certain
		loss   bool // if it is stopped for recovery
		may    bool // it stops if nobody comes to own it
	}{
		{3, v, []int{1}, false, false, false},
		{3, v, []int{1, 2}, true, true, false},
		{2, v, []int{1}, true, false, false}, // both have acknowledged all there is
		{4, v, []int{1}, false, false, false},
		{4, v, []int{1, 2}, true, false, false},
		{4, v, []int{1, 2, 3}, true, true, false},

		{1, l, []int{2}, false, false, true}, // a quorum without the one that learns
		{1, l, []int{1}, true, true, false},  // what the voter acknowledged alone is lost
		{2, l, []int{1}, false, false, true}, // a quorum if the one that learns is a voter already
		{2, l, []int{3}, false, false, false},
		{2, l, []int{1, 3}, true, true, false},
		{2, l, []int{1, 2}, true, true, false},
		{3, l, []int{1, 4}, false, false, true},
		{3, l, []int{1, 2}, true, true, false},
		{4, l, []int{1, 2}, false, false, true},

		{1, o, []int{2}, false, false, true}, // a quorum if the one that leaves is gone
		{1, o, []int{1}, true, true, false},
		{2, o, []int{1}, false, false, true}, // a quorum as long as it is not
		{2, o, []int{3}, false, false, false},
		{2, o, []int{1, 3}, true, true, false},
		{3, o, []int{1, 2}, true, true, false},
		{3, o, []int{1, 4}, false, false, true},
	} {
		name := fmt.Sprintf("%d voters, one in role %d, %v dead", c.voters, c.role, c.dead)
		s := newGroup(t, c.voters, c.role, c.dead...)
		if got := len(s.v.QuorumLost()) == 1; got != c.stops {
			t.Errorf("%s: quorum lost %t, want %t", name, got, c.stops)
		}
		if got := len(s.v.Uncertain()) == 1; got != c.may {
			t.Errorf("%s: uncertain %t, want %t", name, got, c.may)
		}
		if !c.stops && !c.may {
			unchanged(t, s, &StopForRecovery{Generation: 1}, wire.CodeConflict)
			continue
		}
		do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
		var first Replica
		for _, r := range s.v.Table[0].Replicas {
			if !s.v.ConfirmedDead(r) {
				do(t, s, &Stopped{step(0, 1, r.ID), r.Incarnation, 1, 5}, wire.CodeOK)
				if first.ID == 0 {
					first = r
				}
			}
		}
		do(t, s, &RecoverPartition{FromGeneration: 1, Replicas: []Holder{first.Holder}, Preferred: first.Member}, wire.CodeOK)
		if p := s.v.Table[0]; p.Lost != 0 || (p.PossibleLosses == 1) != c.loss {
			t.Errorf("%s: lost %d, possible losses %d, want possible loss %t", name, p.Lost, p.PossibleLosses, c.loss)
		}
	}
}

// The next generation begins with the log of the latest term, among those with the longest, among those with that of the first
// replica; and not before all survivors have stopped.
func TestRecoverPartitionFromTheMost(t *testing.T) {
	type log struct{ term, index uint64 }
	from := func(n int) *RecoverPartition {
		return &RecoverPartition{FromGeneration: 1, Replicas: []Holder{holder(n, 1)}, Preferred: member(n)}
	}
	recoverable := func(s *State, want int) { // 0: by nobody
		t.Helper()
		partitions, members := s.v.Recoverable()
		got, text := fmt.Sprint(partitions, members), "[] []"
		if want != 0 {
			text = fmt.Sprint([]uint32{0}, []wire.ID{member(want)})
		}
		if got != text {
			t.Fatalf("can be recovered: %s, want %s", got, text)
		}
	}
	for _, c := range []struct {
		three, four log
		want        int
	}{
		{log{2, 9}, log{3, 1}, 4}, {log{3, 1}, log{2, 9}, 3}, {log{2, 8}, log{2, 9}, 4}, {log{2, 9}, log{2, 8}, 3}, {log{2, 9}, log{2, 9}, 3},
		{log{0, 0}, log{0, 0}, 3}, {log{1, 0}, log{0, 0}, 3}, {log{0, 0}, log{1, 1}, 4},
	} {
		s := newGroup(t, 4, RoleVoter, 1, 2)
		recoverable(s, 0)
		unchanged(t, s, from(c.want), wire.CodeConflict)
		do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
		recoverable(s, 0)
		do(t, s, stopped(0, 1, 4, 4, c.four.term, c.four.index), wire.CodeOK)
		recoverable(s, 0)
		unchanged(t, s, from(3), wire.CodeConflict)
		unchanged(t, s, from(4), wire.CodeConflict)
		do(t, s, stopped(0, 1, 3, 3, c.three.term, c.three.index), wire.CodeOK)
		recoverable(s, c.want)
		for n := 1; n <= 4; n++ {
			if n != c.want {
				unchanged(t, s, from(n), wire.CodeConflict)
			}
		}
		do(t, s, from(c.want), wire.CodeOK)
		recoverable(s, 0)
	}

	// Who dies after it was stopped for recovery is waited for and gone on from no more.
	for _, first := range []int{3, 4} {
		s := newGroup(t, 4, RoleVoter, 1, 2)
		do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
		do(t, s, stopped(0, 1, uint64(first), first, 9, 9), wire.CodeOK)
		do(t, s, registration(7-first, 2), wire.CodeOK)
		recoverable(s, first)
		s = newGroup(t, 4, RoleVoter, 1, 2)
		do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
		do(t, s, stopped(0, 1, uint64(first), first, 9, 9), wire.CodeOK)
		do(t, s, stopped(0, 1, uint64(7-first), 7-first, 1, 1), wire.CodeOK)
		do(t, s, registration(first, 2), wire.CodeOK)
		recoverable(s, 7-first)
		unchanged(t, s, from(first), wire.CodeConflict)
		do(t, s, from(7-first), wire.CodeOK)
		if p := s.v.Table[0]; p.PossibleLosses != 1 || p.Lost != 0 {
			t.Errorf("three of four are dead: lost %d, possible losses %d", p.Lost, p.PossibleLosses)
		}
	}
}

// A survivor that never had any of the log has nothing: what the others held is lost, and known to be.
func TestRecoverPartitionFromNothing(t *testing.T) {
	for index, want := range []Partition{{Lost: 1}, {PossibleLosses: 1}} {
		s := newGroup(t, 3, RoleLearner, 1, 2, 3)
		do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
		do(t, s, stopped(0, 1, 4, 4, 1, uint64(index)), wire.CodeOK)
		do(t, s, &RecoverPartition{FromGeneration: 1, Replicas: []Holder{holder(4, 1)}, Preferred: member(4)}, wire.CodeOK)
		p := s.v.Table[0]
		if p.Lost != want.Lost || p.PossibleLosses != want.PossibleLosses || !p.FromSurvivor || p.Generation != 2 || p.InitialReplicas != 1 || p.StoppedForRecovery {
			t.Errorf("from a log up to %d: %+v", index, p)
		}
		if r := p.Replicas[0]; r.Role != RoleVoter || r.Joined || r.Stopped || r.Term != 0 || r.Index != 0 {
			t.Errorf("its replica begins as %+v", r)
		}
	}
}
