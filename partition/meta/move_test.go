package meta

import (
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
		&DropReplica{step(2, 1, 1)}, &Prefer{Partition: 2, Generation: 1, Member: member(2)}, &Halt{Partition: 2, Generation: 1},
		stopped(2, 1, 1, 1, 1, 1), &Promote{step(0, 1, 4)}, &Retire{step(0, 1, 4)}, stopped(0, 1, 4, 1, 1, 1),
	} {
		unchanged(t, s, c, wire.CodeNotFound)
	}
	for _, c := range []Command{
		&AddReplica{Generation: 2, Holder: holder(4, 1)}, &Promote{step(0, 2, 1)}, &Retire{step(0, 2, 1)}, &DropReplica{step(0, 2, 1)},
		&Prefer{Generation: 2, Member: member(2)}, &Halt{Generation: 2}, stopped(0, 2, 1, 1, 1, 1),
		&AddReplica{Generation: 1, Holder: holder(4, 2)}, &AddReplica{Generation: 1, Holder: holder(1, 2)},
		&DropReplica{step(0, 1, 1)}, &Prefer{Generation: 1, Member: member(4)}, &Halt{Generation: 1}, stopped(0, 1, 1, 1, 1, 1),
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

// A generation is halted only when it can never have a quorum, and then stands still.
func TestHalt(t *testing.T) {
	s := newTable(t, 1, false)
	do(t, s, registration(4, 1), wire.CodeOK)
	do(t, s, registration(1, 2), wire.CodeOK)
	unchanged(t, s, &Halt{Generation: 1}, wire.CodeConflict)
	do(t, s, registration(2, 2), wire.CodeOK)
	unchanged(t, s, stopped(0, 1, 3, 3, 2, 9), wire.CodeConflict)
	do(t, s, &Halt{Generation: 1}, wire.CodeOK)
	unchanged(t, s, &Halt{Generation: 1}, wire.CodeOK)
	unchanged(t, s, &AddReplica{Generation: 1, Holder: holder(4, 1)}, wire.CodeConflict)
	unchanged(t, s, &Retire{step(0, 1, 1)}, wire.CodeConflict)
	unchanged(t, s, &DropReplica{step(0, 1, 1)}, wire.CodeConflict)
	unchanged(t, s, stopped(0, 1, 3, 2, 2, 9), wire.CodeConflict) // another process
	do(t, s, stopped(0, 1, 3, 3, 2, 9), wire.CodeOK)
	unchanged(t, s, stopped(0, 1, 3, 3, 3, 10), wire.CodeOK) // the first word counts
	unchanged(t, s, &Prefer{Generation: 1, Member: member(2)}, wire.CodeConflict)
}

// Nobody left is nobody to go on from, not even nobody.
func TestRefoundFromNobody(t *testing.T) {
	s := newTable(t, 1, false)
	for n := 1; n <= 3; n++ {
		do(t, s, registration(n, 2), wire.CodeOK)
	}
	do(t, s, &Halt{Generation: 1}, wire.CodeOK)
	c := &Refound{FromGeneration: 1, Replicas: []Holder{{}}}
	before := s.Snapshot()
	if res := s.Apply(Append(nil, c)); res.OK() || s.Snapshot() != before {
		t.Errorf("accepted: %+v", s.v.Table)
	}
}
