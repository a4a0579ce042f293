package meta

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func member(n int) wire.ID { return testID(1, n) }

// incarnation returns the incarnation of the start of a member.
func incarnation(n, start int) wire.ID {
	return wire.ID{2, byte(n), byte(start), 0x40, 15: byte(n)}
}

func holder(n, start int) Holder {
	return Holder{Member: member(n), Incarnation: incarnation(n, start)}
}

func registration(n, start int) *Register {
	return &Register{Registration: Registration{ID: member(n), Name: fmt.Sprint("m", n), Incarnation: incarnation(n, start), Start: uint64(start),
		Addr: "10.0.0.1:5701", PeerAddr: "10.0.0.1:5702", RouteAddr: "10.0.0.1:5703", Zone: "a", Tags: map[string]string{"disk": "ssd"}, Version: "1.0"}}
}

func foundation(partitions int, durable bool) *Init {
	return &Init{Cluster: wire.ID{9}, Name: "grid", Partitions: partitions, Replicas: 3, Durable: durable, Level: 1,
		InitialVoters: []wire.ID{member(1), member(2), member(3)}}
}

// do applies a command, fails the test unless the answer is as wanted, and checks what must hold of every state.
func do(t testing.TB, s *State, c Command, code wire.Code) Result {
	t.Helper()
	res := s.Apply(Append(nil, c))
	if res.Code != code {
		t.Fatalf("%T%+v: %s %q, want %s", c, c, res.Code, res.Text, code)
	}
	if (res.Text == "") != res.OK() {
		t.Fatalf("%T%+v: %s with text %q", c, c, res.Code, res.Text)
	}
	if err := s.v.check(); err != nil {
		t.Fatalf("after %T%+v: %s", c, c, err)
	}
	return res
}

// unchanged applies a command that must leave no trace.
func unchanged(t testing.TB, s *State, c Command, code wire.Code) Result {
	t.Helper()
	before := s.View()
	res := do(t, s, c, code)
	if s.View() != before {
		t.Fatalf("%T%+v: %s, and the state was changed", c, c, res.Code)
	}
	return res
}

// birth returns the commands that lead to three ready members at their first start, which hold all partitions together.
func birth(partitions int, durable bool) []Command {
	list := []Command{foundation(partitions, durable)}
	placement := make([][]Holder, partitions)
	for n := 1; n <= 3; n++ {
		list = append(list, registration(n, 1), &SetState{ID: member(n), Incarnation: incarnation(n, 1), State: StateReady})
		for p := range placement {
			placement[p] = append(placement[p], holder(n, 1))
		}
	}
	return append(list, &CreateTable{Placement: placement})
}

// newTable returns a cluster after an ordinary birth.
func newTable(t testing.TB, partitions int, durable bool) *State {
	t.Helper()
	s := New()
	for _, c := range birth(partitions, durable) {
		do(t, s, c, wire.CodeOK)
	}
	return s
}

func TestNothingBeforeInit(t *testing.T) {
	for k := KindInit + 1; k != 0; k++ {
		if newCommand(k) == nil || k == KindRecoverMetadata { // which begins a generation, as Init does the first
			continue
		}
		s := New()
		var c Command
		switch k {
		case KindRegister:
			c = registration(1, 1)
		case KindCreateTable:
			c = &CreateTable{Placement: [][]Holder{{holder(1, 1)}}}
		case KindRecoverPartition:
			c = &RecoverPartition{FromGeneration: 1, Replicas: []Holder{holder(1, 1)}, Preferred: member(1)}
		case KindSetState:
			c = &SetState{ID: member(1), Incarnation: incarnation(1, 1), State: StateReady}
		case KindSetMetaVoter:
			c = &SetMetaVoter{ID: member(1), Replica: 1}
		case KindDropMeta:
			c = &DropMeta{ID: member(1), Replica: 1}
		case KindPromote:
			c = &Promote{ReplicaStep{Replica: 1}}
		case KindRetire:
			c = &Retire{ReplicaStep{Replica: 1}}
		case KindDropReplica:
			c = &DropReplica{ReplicaStep{Replica: 1}}
		case KindStopped:
			c = stopped(0, 1, 1, 1, 1, 1)
		case KindSetMapConfig:
			c = &SetMapConfig{Config: everyMapField("users")}
		default:
			c = newCommand(k)
		}
		unchanged(t, s, c, wire.CodeNotReady)
	}
}

func TestInit(t *testing.T) {
	s := New()
	do(t, s, foundation(271, false), wire.CodeOK)
	unchanged(t, s, foundation(271, false), wire.CodeOK)

	for name, alter := range map[string]func(c *Init){
		"cluster": func(c *Init) { c.Cluster[0]++ }, "name": func(c *Init) { c.Name = "other" }, "partitions": func(c *Init) { c.Partitions = 24 },
		"replicas": func(c *Init) { c.Replicas = 2 }, "durable": func(c *Init) { c.Durable = true }, "initial voters": func(c *Init) { c.InitialVoters = c.InitialVoters[:1] },
	} {
		c := foundation(271, false)
		alter(c)
		if res := unchanged(t, s, c, wire.CodeConflict); res.Text == "" {
			t.Errorf("another %s is refused without a reason", name)
		}
	}
	v := s.View()
	if !v.Bootstrapped() || v.Version != 1 || v.PartitionCount != 271 || v.ReplicasWanted != 3 || v.NextMeta != 4 || v.NextReplica != 1 {
		t.Errorf("bootstrapped as %+v", v)
	}
}

func TestTimeAndLevelOnlyGrow(t *testing.T) {
	s := New()
	do(t, s, foundation(1, false), wire.CodeOK)
	do(t, s, &SetTime{Time: 1000}, wire.CodeOK)
	unchanged(t, s, &SetTime{Time: 999}, wire.CodeOK)
	if v := s.View(); v.Time != 1000 || v.Version != 1 {
		t.Errorf("time %d at version %d, want 1000 at 1", v.Time, v.Version)
	}
	do(t, s, &RaiseLevel{Level: 3}, wire.CodeOK)
	unchanged(t, s, &RaiseLevel{Level: 2}, wire.CodeOK)
	if v := s.View(); v.Level != 3 || v.Version != 2 {
		t.Errorf("level %d at version %d, want 3 at 2", v.Level, v.Version)
	}
}

func TestRegister(t *testing.T) {
	s := New()
	do(t, s, foundation(1, false), wire.CodeOK)

	// The third initial member registers, is ready, and comes back: joining again, with its metadata replica.
	do(t, s, registration(3, 5), wire.CodeOK)
	do(t, s, &SetState{ID: member(3), Incarnation: incarnation(3, 5), State: StateReady}, wire.CodeOK)
	unchanged(t, s, registration(3, 5), wire.CodeOK)
	if m := s.View().Member(member(3)); m.State != StateReady || m.MetaReplica != 3 || !m.MetaVoter {
		t.Errorf("an initial voter is %+v", m)
	}
	do(t, s, registration(3, 7), wire.CodeOK)
	if m := s.View().Member(member(3)); m.State != StateJoining || m.Start != 7 || m.MetaReplica != 3 || !m.MetaVoter {
		t.Errorf("an initial voter that started again is %+v", m)
	}

	// Directories that were restored or copied.
	res := unchanged(t, s, registration(3, 6), wire.CodeConflict)
	if !strings.Contains(res.Text, "restored or copied") {
		t.Errorf("an earlier start is refused with %q", res.Text)
	}
	copied := registration(3, 7)
	copied.Incarnation[15]++
	res = unchanged(t, s, copied, wire.CodeConflict)
	if !strings.Contains(res.Text, "restored or copied") {
		t.Errorf("a second start with the same counter is refused with %q", res.Text)
	}

	// One start has one incarnation and one set of properties.
	again := registration(3, 8)
	again.Incarnation = incarnation(3, 7)
	unchanged(t, s, again, wire.CodeConflict)
	moved := registration(3, 7)
	moved.Addr = "10.0.0.2:5701"
	unchanged(t, s, moved, wire.CodeConflict)

	// A start that was declared dead stays dead.
	do(t, s, &SetState{ID: member(3), Incarnation: incarnation(3, 7), State: StateDead}, wire.CodeOK)
	unchanged(t, s, registration(3, 7), wire.CodeMemberLeft)
	do(t, s, registration(3, 8), wire.CodeOK)
}

func TestRegisterTakesOverNames(t *testing.T) {
	s := New()
	do(t, s, foundation(1, false), wire.CodeOK)
	do(t, s, registration(1, 1), wire.CodeOK)

	c := registration(4, 1)
	c.Name = "m1"
	if res := unchanged(t, s, c, wire.CodeConflict); !strings.Contains(res.Text, `"m1"`) {
		t.Errorf("a name that is taken is refused with %q", res.Text)
	}
	// The proposer saw an earlier start of the holder go; it is back since.
	do(t, s, registration(1, 2), wire.CodeOK)
	c.Takeover = incarnation(1, 1)
	unchanged(t, s, c, wire.CodeConflict)

	c.Takeover = incarnation(1, 2)
	do(t, s, c, wire.CodeOK)
	unchanged(t, s, c, wire.CodeOK)
	v := s.View()
	if m := v.Named("m1"); m == nil || m.ID != member(4) {
		t.Errorf("the name is held by %+v", m)
	}
	if m := v.Member(member(1)); m.State != StateLeft || m.MetaReplica != 1 {
		t.Errorf("who held it is %+v", m)
	}
	// The former holder hears of it, also when it starts again.
	unchanged(t, s, registration(1, 2), wire.CodeMemberLeft)
	unchanged(t, s, registration(1, 3), wire.CodeConflict)
	do(t, s, &SetState{ID: member(4), Incarnation: incarnation(4, 1), State: StateLeft}, wire.CodeOK)
	do(t, s, registration(1, 3), wire.CodeOK)
}

func TestStatesGoForward(t *testing.T) {
	s := New()
	do(t, s, foundation(1, false), wire.CodeOK)
	do(t, s, registration(1, 1), wire.CodeOK)
	set := func(start int, state string) *SetState {
		return &SetState{ID: member(1), Incarnation: incarnation(1, start), State: state}
	}
	unchanged(t, s, &SetState{ID: member(2), Incarnation: incarnation(2, 1), State: StateReady}, wire.CodeNotFound)
	for i, state := range states {
		for _, earlier := range states[:i] {
			do(t, s, set(1, state), wire.CodeOK)
			unchanged(t, s, set(1, earlier), wire.CodeConflict)
		}
		unchanged(t, s, set(1, s.View().Member(member(1)).State), wire.CodeOK)
	}
	do(t, s, registration(1, 2), wire.CodeOK)
	unchanged(t, s, set(1, StateDead), wire.CodeConflict)
}

func TestMetaReplicas(t *testing.T) {
	s := New()
	do(t, s, foundation(1, false), wire.CodeOK)
	unchanged(t, s, &AllocMeta{ID: member(4)}, wire.CodeNotFound)
	do(t, s, registration(1, 1), wire.CodeOK)
	do(t, s, registration(4, 1), wire.CodeOK)

	if res := do(t, s, &AllocMeta{ID: member(4)}, wire.CodeOK); res.ReplicaID() != 4 {
		t.Errorf("first metadata replica after three initial voters is %d, want 4", res.ReplicaID())
	}
	if res := unchanged(t, s, &AllocMeta{ID: member(4)}, wire.CodeOK); res.ReplicaID() != 4 {
		t.Errorf("asked again, it is %d, want 4", res.ReplicaID())
	}
	unchanged(t, s, &AllocMeta{ID: member(4), After: 5}, wire.CodeInvalid)
	unchanged(t, s, &SetMetaVoter{ID: member(4), Replica: 3, Voter: true}, wire.CodeConflict)
	do(t, s, &SetMetaVoter{ID: member(4), Replica: 4, Voter: true}, wire.CodeOK)
	unchanged(t, s, &SetMetaVoter{ID: member(4), Replica: 4, Voter: true}, wire.CodeOK)

	// An initial voter whose replica is replaced learns under a new ID.
	if res := do(t, s, &AllocMeta{ID: member(1), After: 1}, wire.CodeOK); res.ReplicaID() != 5 {
		t.Errorf("a replacement is %d, want 5", res.ReplicaID())
	}
	if m := s.View().Member(member(1)); m.MetaVoter {
		t.Errorf("a replacement votes: %+v", m)
	}
	unchanged(t, s, &DropMeta{ID: member(1), Replica: 1}, wire.CodeOK)
	do(t, s, &DropMeta{ID: member(1), Replica: 5}, wire.CodeOK)
	unchanged(t, s, &DropMeta{ID: member(1), Replica: 5}, wire.CodeOK)
	do(t, s, registration(1, 2), wire.CodeOK)
	if m := s.View().Member(member(1)); m.MetaReplica != 0 || m.MetaVoter {
		t.Errorf("an initial voter got its metadata replica back by starting again: %+v", m)
	}
	do(t, s, &SetState{ID: member(1), Incarnation: incarnation(1, 2), State: StateLeft}, wire.CodeOK)
	unchanged(t, s, &AllocMeta{ID: member(1)}, wire.CodeMemberLeft)
}

func TestForget(t *testing.T) {
	s := newTable(t, 2, false)
	forget := &Forget{ID: member(1), Incarnation: incarnation(1, 2)}
	unchanged(t, s, forget, wire.CodeConflict)
	do(t, s, registration(1, 2), wire.CodeOK)
	unchanged(t, s, forget, wire.CodeConflict)
	do(t, s, &SetState{ID: member(1), Incarnation: incarnation(1, 2), State: StateDead}, wire.CodeOK)
	unchanged(t, s, forget, wire.CodeConflict)
	do(t, s, &DropMeta{ID: member(1), Replica: 1}, wire.CodeOK)
	unchanged(t, s, forget, wire.CodeConflict)

	s = New()
	do(t, s, foundation(1, false), wire.CodeOK)
	do(t, s, registration(1, 2), wire.CodeOK)
	do(t, s, &SetState{ID: member(1), Incarnation: incarnation(1, 2), State: StateLeft}, wire.CodeOK)
	do(t, s, &DropMeta{ID: member(1), Replica: 1}, wire.CodeOK)
	before := s.View()
	do(t, s, forget, wire.CodeOK)
	unchanged(t, s, forget, wire.CodeOK)
	if before.Member(member(1)) == nil || before.InitialVoters[0] != member(1) {
		t.Error("a snapshot forgot with the state")
	}
	// It is nobody now; its bootstrap replica ID is never given out again.
	do(t, s, registration(1, 1), wire.CodeOK)
	if m := s.View().Member(member(1)); m.MetaReplica != 0 {
		t.Errorf("a forgotten initial voter has its metadata replica: %+v", m)
	}
	unchanged(t, s, foundation(1, false), wire.CodeOK)
}

func TestCreateTable(t *testing.T) {
	s := New()
	do(t, s, foundation(2, false), wire.CodeOK)
	for n := 1; n <= 3; n++ {
		c := registration(n, 1)
		c.Lite = n == 3
		do(t, s, c, wire.CodeOK)
	}
	table := func(lists ...[]Holder) *CreateTable { return &CreateTable{Placement: lists} }
	good := []Holder{holder(2, 1), holder(1, 1)}
	unchanged(t, s, table(good), wire.CodeInvalid)
	unchanged(t, s, table(good, nil), wire.CodeInvalid)
	unchanged(t, s, table(good, []Holder{holder(1, 1), holder(1, 2)}), wire.CodeInvalid)
	unchanged(t, s, table(good, []Holder{holder(4, 1)}), wire.CodeConflict)
	unchanged(t, s, table(good, []Holder{holder(1, 2)}), wire.CodeConflict)
	unchanged(t, s, table(good, []Holder{holder(3, 1)}), wire.CodeConflict)

	do(t, s, table(good, good[1:]), wire.CodeOK)
	unchanged(t, s, table(good, good[1:]), wire.CodeConflict)
	v := s.View()
	got := fmt.Sprint(v.Table)
	want := fmt.Sprint([]Partition{
		{Generation: 1, InitialReplicas: 2, Replicas: []Replica{{ID: 1, Holder: good[0]}, {ID: 2, Holder: good[1]}}, Preferred: member(2)},
		{Generation: 1, InitialReplicas: 1, Replicas: []Replica{{ID: 3, Holder: good[1]}}, Preferred: member(1)},
	})
	if got != want || v.NextReplica != 4 {
		t.Errorf("table %s, next replica %d; want %s, 4", got, v.NextReplica, want)
	}

	s = New()
	do(t, s, foundation(1, false), wire.CodeOK)
	do(t, s, registration(1, 1), wire.CodeOK)
	do(t, s, &SetState{ID: member(1), Incarnation: incarnation(1, 1), State: StateDraining}, wire.CodeOK)
	unchanged(t, s, table([]Holder{holder(1, 1)}), wire.CodeConflict)
}

// stopped returns the word of a member's first start that it has stopped its replica.
func stopped(partition uint32, generation, replica uint64, n int, term, index uint64) *Stopped {
	return &Stopped{ReplicaStep: ReplicaStep{Partition: partition, Generation: generation, Replica: replica},
		Incarnation: incarnation(n, 1), Term: term, Index: index}
}

func TestRecoverPartition(t *testing.T) {
	s := newTable(t, 2, false)
	survivor := &RecoverPartition{Partition: 1, FromGeneration: 1, Replicas: []Holder{holder(3, 1)}, Preferred: member(3)}
	empty := &RecoverPartition{Partition: 0, FromGeneration: 1, Replicas: []Holder{holder(1, 2), holder(2, 2)}, Preferred: member(2), Empty: true}
	lists := func(lost, unrecoverable string) {
		t.Helper()
		v := s.View()
		if a, b := fmt.Sprint(v.AllLost()), fmt.Sprint(v.QuorumLost()); a != lost || b != unrecoverable {
			t.Fatalf("all lost %s, unrecoverable %s; want %s, %s", a, b, lost, unrecoverable)
		}
	}

	// One of three is confirmed dead: a quorum may still form.
	do(t, s, registration(1, 2), wire.CodeOK)
	lists("[]", "[]")
	unchanged(t, s, survivor, wire.CodeConflict)

	// Two are: only the survivor's state can go on, and only the survivor can bring it.
	do(t, s, registration(2, 2), wire.CodeOK)
	lists("[]", "[0 1]")
	unchanged(t, s, empty, wire.CodeConflict)
	impostor := *survivor
	impostor.Replicas, impostor.Preferred = []Holder{holder(1, 2)}, member(1)
	unchanged(t, s, &impostor, wire.CodeConflict)
	outsider := *survivor
	outsider.Preferred = member(1)
	unchanged(t, s, &outsider, wire.CodeInvalid)
	two := *survivor
	two.Replicas = []Holder{holder(3, 1), holder(1, 2)}
	unchanged(t, s, &two, wire.CodeInvalid)

	// It must have stopped its replica for good.
	unchanged(t, s, survivor, wire.CodeConflict)
	do(t, s, &StopForRecovery{Partition: 1, Generation: 1}, wire.CodeOK)
	unchanged(t, s, survivor, wire.CodeConflict)
	do(t, s, stopped(1, 1, 6, 3, 2, 9), wire.CodeOK)
	unchanged(t, s, &impostor, wire.CodeConflict)
	later := *survivor
	later.Replicas = []Holder{holder(3, 2)}
	unchanged(t, s, &later, wire.CodeConflict)
	do(t, s, survivor, wire.CodeOK)
	unchanged(t, s, survivor, wire.CodeConflict)
	lists("[]", "[0]")

	// All are: the partition begins again without data.
	do(t, s, registration(3, 2), wire.CodeOK)
	lists("[0 1]", "[]")
	wrong := *empty
	wrong.Partition = 2
	unchanged(t, s, &wrong, wire.CodeNotFound)
	wrong.Partition, wrong.FromGeneration = 0, 2
	unchanged(t, s, &wrong, wire.CodeConflict)
	wrong = *empty
	wrong.Replicas = []Holder{holder(2, 1)}
	unchanged(t, s, &wrong, wire.CodeConflict)
	do(t, s, empty, wire.CodeOK)
	unchanged(t, s, empty, wire.CodeConflict)
	lists("[1]", "[]")

	got := fmt.Sprint(s.View().Table)
	want := fmt.Sprint([]Partition{
		{Generation: 2, InitialReplicas: 2, Replicas: []Replica{{ID: 8, Holder: holder(1, 2)}, {ID: 9, Holder: holder(2, 2)}}, Preferred: member(2), Lost: 1},
		{Generation: 2, InitialReplicas: 1, Replicas: []Replica{{ID: 7, Holder: holder(3, 1)}}, Preferred: member(3), FromSurvivor: true, PossibleLosses: 1},
	})
	if got != want {
		t.Errorf("table %s, want %s", got, want)
	}

	s.edit().Table[1].Generation = MaxGeneration
	last := &RecoverPartition{Partition: 1, FromGeneration: MaxGeneration, Replicas: []Holder{holder(1, 2)}, Preferred: member(1), Empty: true}
	unchanged(t, s, last, wire.CodeOverloaded)
}

// Durable data outlives a process: only an operator's word makes it confirmed dead, and that is final.
func TestDurableDataIsNotLostByStartingAgain(t *testing.T) {
	s := newTable(t, 1, true)
	recoverPartition := &RecoverPartition{FromGeneration: 1, Replicas: []Holder{holder(3, 1)}, Preferred: member(3)}
	for n := 1; n <= 3; n++ {
		do(t, s, registration(n, 2), wire.CodeOK)
	}
	unchanged(t, s, recoverPartition, wire.CodeConflict)
	for n := 1; n <= 2; n++ {
		do(t, s, &SetState{ID: member(n), Incarnation: incarnation(n, 2), State: StateDead}, wire.CodeOK)
		unchanged(t, s, registration(n, 3), wire.CodeMemberLeft)
	}
	if got := s.View().QuorumLost(); len(got) != 1 {
		t.Fatalf("unrecoverable: %v", got)
	}
	// The survivor's replica was placed at its first start; it goes on at its second.
	do(t, s, &StopForRecovery{Generation: 1}, wire.CodeOK)
	do(t, s, stopped(0, 1, 3, 3, 1, 5), wire.CodeOK)
	do(t, s, recoverPartition, wire.CodeOK)
}

func TestApplyRefusesWhatItCannotRead(t *testing.T) {
	s := newTable(t, 1, false)
	before := s.View()
	for _, c := range everyCommand() {
		good := Append(nil, c)
		for cut := range good {
			if res := s.Apply(good[:cut]); res.Code != wire.CodeInvalid {
				t.Errorf("%T cut at %d of %d: %s", c, cut, len(good), res.Code)
			}
		}
		for _, bad := range [][]byte{append(bytes.Clone(good), 0), {Format + 1, good[1]}, {Format, 0}, {Format, 255}} {
			if res := s.Apply(bad); res.Code != wire.CodeInvalid {
				t.Errorf("%T as %x: %s", c, bad, res.Code)
			}
		}
	}
	if s.View() != before {
		t.Error("a command that cannot be read changed the state")
	}
}

func TestChecks(t *testing.T) {
	long := strings.Repeat("x", MaxText+1)
	withName := func(s string) Command { c := registration(1, 1); c.Name = s; return c }
	withTags := func(n int, k string) Command {
		c := registration(1, 1)
		c.Tags = map[string]string{}
		for i := range n {
			c.Tags[fmt.Sprint(k, i)] = "v"
		}
		return c
	}
	register := func(alter func(c *Register)) Command { c := registration(1, 1); alter(c); return c }
	found := func(alter func(c *Init)) Command { c := foundation(1, false); alter(c); return c }
	eight := make([]Holder, MaxReplicas+1)
	for i := range eight {
		eight[i] = holder(i, 1)
	}
	for name, c := range map[string]Command{
		"no cluster":           found(func(c *Init) { c.Cluster = wire.ID{} }),
		"no cluster name":      found(func(c *Init) { c.Name = "" }),
		"long name":            found(func(c *Init) { c.Name = long }),
		"no partitions":        found(func(c *Init) { c.Partitions = 0 }),
		"many partitions":      found(func(c *Init) { c.Partitions = MaxPartitions + 1 }),
		"no replicas":          found(func(c *Init) { c.Replicas = 0 }),
		"many replicas":        found(func(c *Init) { c.Replicas = MaxReplicas + 1 }),
		"no initial voters":    found(func(c *Init) { c.InitialVoters = nil }),
		"many initial voters":  found(func(c *Init) { c.InitialVoters = make([]wire.ID, MaxInitialVoters+1) }),
		"initial voter nobody": found(func(c *Init) { c.InitialVoters = make([]wire.ID, 1) }),
		"initial voter twice":  found(func(c *Init) { c.InitialVoters[1] = c.InitialVoters[0] }),
		"no member":            register(func(c *Register) { c.ID = wire.ID{} }),
		"no incarnation":       register(func(c *Register) { c.Incarnation = wire.ID{} }),
		"no start":             register(func(c *Register) { c.Start = 0 }),
		"no name":              withName(""),
		"long member name":     withName(long),
		"control":              withName("a\x1b[2J"),
		"not UTF-8":            withName("a\xff"),
		"many tags":            withTags(MaxTags+1, "k"),
		"long tag":             withTags(1, long),
		"long tag value":       register(func(c *Register) { c.Tags["disk"] = long }),
		"no replica":           &SetMetaVoter{ID: member(1)},
		"drop no replica":      &DropMeta{ID: member(1)},
		"empty table":          &CreateTable{},
		"wide table":           &CreateTable{Placement: [][]Holder{eight}},
		"long table":           &CreateTable{Placement: make([][]Holder, MaxPartitions+1)},
		"wide recovery":        &RecoverPartition{FromGeneration: 1, Replicas: eight, Preferred: member(1)},
	} {
		if got, err := Decode(Append(nil, c)); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
	if err := (&SetState{ID: member(1), Incarnation: incarnation(1, 1), State: "asleep"}).check(); err == nil {
		t.Error("an unknown state is accepted")
	}
}

func TestCandidatesAndInfo(t *testing.T) {
	s := newTable(t, 1, false)
	do(t, s, registration(4, 1), wire.CodeOK)
	do(t, s, &SetState{ID: member(2), Incarnation: incarnation(2, 1), State: StateDraining}, wire.CodeOK)
	v := s.View()
	want := []Candidate{{ID: member(1), Incarnation: incarnation(1, 1), Zone: "a"}, {ID: member(3), Incarnation: incarnation(3, 1), Zone: "a"}}
	if got := v.Candidates(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("candidates %v, want those that are ready: %v", got, want)
	}
	info := v.Member(member(2)).Info()
	if info.ID != member(2) || info.Incarnation != incarnation(2, 1) || info.Name != "m2" || info.Addr != "10.0.0.1:5701" ||
		info.PeerAddr != "10.0.0.1:5702" || info.Zone != "a" || info.Tags["disk"] != "ssd" || info.State != StateDraining || info.Version != "1.0" {
		t.Errorf("shown as %+v", info)
	}
	if v.Member(member(2)).Holder() != holder(2, 1) || v.Named("m2").ID != member(2) || v.Named("m9") != nil {
		t.Error("a member is not found as what it is")
	}
}

// The next generation of the metadata begins with what one member had: the lost are dead, and nobody but it has a metadata replica.
func TestRecovered(t *testing.T) {
	s := newTable(t, 2, false)
	do(t, s, &SetTime{Time: 77}, wire.CodeOK)
	was := s.View()
	v, err := was.Recovered(member(2), []wire.ID{member(1)})
	if err != nil {
		t.Fatal(err)
	}
	if v.Generation() != 1 || v.Version <= was.Version || v.Time != 77 || v.NextMeta != was.NextMeta+1 || v.NextReplica <= was.NextReplica {
		t.Errorf("recovered as %+v", v)
	}
	for n, want := range map[int]Member{1: {State: StateDead}, 2: {State: StateReady, MetaReplica: was.NextMeta, MetaVoter: true}, 3: {State: StateReady}} {
		if m := v.Member(member(n)); m.State != want.State || m.MetaReplica != want.MetaReplica || m.MetaVoter != want.MetaVoter {
			t.Errorf("member %d is %+v, want %+v", n, m, want)
		}
	}
	if err := v.check(); err != nil {
		t.Error(err)
	}
	if lost := v.AllLost(); len(lost) != 0 {
		t.Errorf("partitions %v are lost though members have them", lost)
	}
	if was.Member(member(1)).State != StateReady || was.InitialVoters[0] != member(1) {
		t.Error("the view before has changed")
	}

	next := New()
	do(t, next, &RecoverMetadata{View: v}, wire.CodeOK)
	unchanged(t, next, &RecoverMetadata{View: v}, wire.CodeOK)
	unchanged(t, s, &RecoverMetadata{View: v}, wire.CodeConflict) // a group begins but once
	do(t, next, registration(1, 2), wire.CodeOK)                  // the lost one registers again
	if m := next.View().Member(member(1)); !m.Live() || m.MetaReplica != 0 {
		t.Errorf("the lost member came back as %+v", m)
	}
	if g := next.View().Generation(); g != 1 {
		t.Errorf("generation %d after a change", g)
	}
	for name, bad := range map[string]func() (*View, error){
		"by the lost":    func() (*View, error) { return was.Recovered(member(1), []wire.ID{member(1)}) },
		"by an outsider": func() (*View, error) { return was.Recovered(member(9), nil) },
	} {
		if _, err := bad(); err == nil {
			t.Errorf("recovered %s", name)
		}
	}
}

// An initial voter that never came has no metadata replica to come to in a later generation.
func TestRecoveredWithoutAnInitialVoter(t *testing.T) {
	s := New()
	do(t, s, foundation(2, false), wire.CodeOK)
	do(t, s, registration(1, 1), wire.CodeOK)
	v, err := s.View().Recovered(member(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	next := New()
	do(t, next, &RecoverMetadata{View: v}, wire.CodeOK)
	do(t, next, registration(2, 1), wire.CodeOK)
	if m := next.View().Member(member(2)); m.MetaReplica != 0 || m.MetaVoter {
		t.Errorf("an initial voter of the first generation: %+v", m)
	}
}

func TestDrain(t *testing.T) {
	s := newTable(t, 1, false)
	drain := &Drain{ID: member(1), Incarnation: incarnation(1, 1)}
	do(t, s, drain, wire.CodeOK)
	if m := s.View().Member(member(1)); m.State != StateDraining || !m.Drained {
		t.Errorf("drained as %+v", m)
	}
	unchanged(t, s, drain, wire.CodeOK)
	unchanged(t, s, &Drain{ID: member(1), Incarnation: incarnation(1, 2)}, wire.CodeConflict)
	unchanged(t, s, &Drain{ID: member(9)}, wire.CodeNotFound)
	do(t, s, registration(1, 2), wire.CodeOK)
	if m := s.View().Member(member(1)); m.State != StateJoining || m.Drained {
		t.Errorf("started again as %+v", m)
	}
	do(t, s, &SetState{ID: member(2), Incarnation: incarnation(2, 1), State: StateLeft}, wire.CodeOK)
	do(t, s, &Drain{ID: member(2), Incarnation: incarnation(2, 1)}, wire.CodeOK)
	if m := s.View().Member(member(2)); m.State != StateLeft || !m.Drained {
		t.Errorf("one that has left became %+v", m)
	}
}
