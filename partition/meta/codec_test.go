package meta

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// everyCommand returns one command of each kind, in order of kinds, with no field zero where it may be other.
func everyCommand() []Command {
	register := registration(2, 3)
	register.Tags = map[string]string{"b": "2", "a": "1"}
	register.Lite, register.Takeover = true, incarnation(4, 1)
	return []Command{
		foundation(271, true),
		&SetTime{Time: 1_700_000_000_000},
		&RaiseLevel{Level: 2},
		register,
		&SetState{ID: member(1), Incarnation: incarnation(1, 1), State: StateDraining},
		&Forget{ID: member(1), Incarnation: incarnation(1, 1)},
		&AllocMeta{ID: member(1), After: 3},
		&SetMetaVoter{ID: member(1), Replica: 4, Voter: true},
		&DropMeta{ID: member(1), Replica: 4},
		&CreateTable{Placement: [][]Holder{{holder(1, 1), holder(2, 1)}, {holder(2, 1)}}},
		&RecoverPartition{Partition: 7, FromGeneration: 3, Replicas: []Holder{holder(1, 2), holder(2, 2)}, Preferred: member(2), Empty: true},
		&AddReplica{Partition: 7, Generation: 3, Holder: holder(4, 2)},
		&Promote{ReplicaStep{Partition: 7, Generation: 3, Replica: 9}},
		&Retire{ReplicaStep{Partition: 7, Generation: 3, Replica: 9}},
		&DropReplica{ReplicaStep{Partition: 7, Generation: 3, Replica: 9}},
		&Prefer{Partition: 7, Generation: 3, Member: member(2)},
		&StopForRecovery{Partition: 7, Generation: 3},
		stopped(7, 3, 9, 2, 5, 1000),
		&Drain{ID: member(1), Incarnation: incarnation(1, 1)},
		&RecoverMetadata{View: recovered(2, 1)},
		&InitMapConfigs{List: wire.MapConfigs{everyMapField("users"), everyMapField("u*")}},
		&SetMapConfig{From: 7, Config: everyMapField("users")},
	}
}

// recovered returns what a small cluster of three is when one member begins the next generation of the metadata because others are lost.
func recovered(survivor int, lost ...int) *View {
	s := New()
	for _, c := range birth(2, false) {
		s.Apply(Append(nil, c))
	}
	var ids []wire.ID
	for _, n := range lost {
		ids = append(ids, member(n))
	}
	v, err := s.View().Recovered(member(survivor), ids)
	if err != nil {
		panic(err)
	}
	return v
}

// everyMapField returns a configuration with all there is.
func everyMapField(pattern string) wire.PatternConfig {
	return wire.PatternConfig{Pattern: pattern, MapConfig: wire.MapConfig{Fields: wire.AllMapFields, TTL: 1000, MaxIdle: 500,
		Eviction: wire.EvictLFU, MaxEntries: 10, MaxBytes: 1 << 20, Stats: true, Reads: wire.ReadQuorum,
		Near:         wire.NearCache{On: true, Encoded: true, Negative: true, Verify: 7, MaxEntries: 100, MaxBytes: 2000, TTL: 3000, MaxIdle: 400},
		EventEntries: 50, EventBytes: 6000}}
}

func TestCommandsRoundTrip(t *testing.T) {
	seen := make(map[Kind]bool)
	for _, c := range everyCommand() {
		if again := newCommand(c.kind()); reflect.TypeOf(again) != reflect.TypeOf(c) {
			t.Errorf("%T is of kind %d, which is %T", c, c.kind(), again)
		}
		seen[c.kind()] = true
		b := Append([]byte("before"), c)[len("before"):]
		got, err := Decode(b)
		if err != nil {
			t.Errorf("%T: %v", c, err)
			continue
		}
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%T: got %+v, want %+v", c, got, c)
		}
		clear(b)
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%T keeps bytes of the log", c)
		}
	}
	for k := range 256 {
		if c := newCommand(Kind(k)); c != nil && !seen[Kind(k)] {
			t.Errorf("%T is missing from this test", c)
		}
	}
}

func TestResultRoundTrip(t *testing.T) {
	for _, want := range []Result{{}, {Code: wire.CodeConflict, Text: "no"}, {Value: wire.AppendU64(nil, 7)}} {
		got, err := DecodeResult(AppendResult(nil, &want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	if got := (Result{Value: []byte{1}}).ReplicaID(); got != 0 {
		t.Errorf("replica ID of another value: %d", got)
	}
}

// goldenState returns a state with something in every field.
func goldenState(t testing.TB) *State {
	t.Helper()
	s := newTable(t, 2, false)
	c := registration(4, 2)
	c.Tags, c.Lite, c.Name = map[string]string{"b": "2", "a": "1"}, true, "m1"
	c.Takeover = incarnation(1, 1)
	do(t, s, c, wire.CodeOK)
	do(t, s, &AllocMeta{ID: member(4)}, wire.CodeOK)
	do(t, s, &SetTime{Time: 1_700_000_000_000}, wire.CodeOK)
	do(t, s, registration(2, 2), wire.CodeOK)
	do(t, s, registration(3, 2), wire.CodeOK)
	do(t, s, &SetState{ID: member(1), Incarnation: incarnation(1, 1), State: StateDead}, wire.CodeOK)
	do(t, s, &RecoverPartition{Partition: 1, FromGeneration: 1, Replicas: []Holder{holder(3, 2), holder(2, 2)}, Preferred: member(2), Empty: true}, wire.CodeOK)
	do(t, s, &SetMapConfig{Config: everyMapField("users")}, wire.CodeOK)
	return s
}

// movingState returns a state with a partition of each kind that does not last. One has a replica that learns, and one a
// replica that came and one that leaves. One is stopped for recovery, with a survivor that has stopped and one that is
// confirmed dead.
func movingState(t testing.TB) *State {
	t.Helper()
	s := newTable(t, 3, false)
	for _, c := range []Command{
		registration(4, 1), &AddReplica{Partition: 0, Generation: 1, Holder: holder(4, 1)},
		&AddReplica{Partition: 1, Generation: 1, Holder: holder(4, 1)}, &Promote{step(1, 1, 11)}, &Retire{step(1, 1, 5)},
		registration(1, 2), registration(2, 2), &StopForRecovery{Partition: 2, Generation: 1}, stopped(2, 1, 9, 3, 2, 300),
	} {
		do(t, s, c, wire.CodeOK)
	}
	return s
}

// The bytes in a log and in a snapshot outlive the build that wrote them.
func TestGoldenBytes(t *testing.T) {
	golden := map[string][]byte{"snapshot": AppendSnapshot(nil, goldenState(t).View()), "moving": AppendSnapshot(nil, movingState(t).View())}
	for _, c := range everyCommand() {
		golden[strings.ToLower(strings.TrimPrefix(reflect.TypeOf(c).String(), "*meta."))] = Append(nil, c)
	}
	for name, got := range golden {
		file := filepath.Join("testdata", name+".hex")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v; the bytes are now:\n%s", err, lines(got))
			continue
		}
		want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the bytes are now:\n%s", file, lines(got))
		}
	}
}

// What builds wrote whose map configurations had fewer fields is read, and is written as it was.
func TestBytesOfOlderBuilds(t *testing.T) {
	for name, again := range map[string]func(b []byte) ([]byte, error){
		"initmapconfigs": sameCommand,
		"setmapconfig":   sameCommand,
		"snapshot": func(b []byte) ([]byte, error) {
			s, err := DecodeSnapshot(b)
			if err != nil {
				return nil, err
			}
			return AppendSnapshot(nil, s.View()), nil
		},
	} {
		text, err := os.ReadFile(filepath.Join("testdata", "older-"+name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := again(want); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, the bytes are now:\n%s", name, err, lines(got))
		}
	}
}

func sameCommand(b []byte) ([]byte, error) {
	c, err := Decode(b)
	if err != nil {
		return nil, err
	}
	return Append(nil, c), nil
}

func lines(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(32, len(b))
		s.WriteString(hex.EncodeToString(b[:n]) + "\n")
		b = b[n:]
	}
	return s.String()
}

func TestSnapshotRoundTrip(t *testing.T) {
	for name, s := range map[string]*State{"empty": New(), "full": goldenState(t), "moving": movingState(t)} {
		want := AppendSnapshot(nil, s.View())
		got, err := DecodeSnapshot(want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got.View(), s.View()) {
			t.Errorf("%s: got %+v, want %+v", name, got.View(), s.View())
		}
		if again := AppendSnapshot(nil, got.View()); !bytes.Equal(again, want) {
			t.Errorf("%s: the snapshot of the snapshot differs", name)
		}
	}
}

// sealed returns b with the checksum of a snapshot.
func sealed(b []byte) []byte {
	return wire.AppendU32(bytes.Clone(b), crc32.Checksum(b, castagnoli))
}

func TestSnapshotOfAnythingElse(t *testing.T) {
	good := AppendSnapshot(nil, goldenState(t).View())
	refused := func(what string, b []byte) {
		t.Helper()
		if _, err := DecodeSnapshot(b); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range good {
		refused("a cut snapshot", good[:i])
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		refused("a flipped bit", bad)
	}
	body := good[:len(good)-snapshotSum]
	refused("bytes left over", sealed(append(bytes.Clone(body), 0)))
	other := bytes.Clone(body)
	other[5] = SnapshotFormat + 1
	refused("another format", sealed(other))

	for what, spoil := range map[string]func(v *View){
		"no cluster":               func(v *View) { v.Cluster = wire.ID{} },
		"no version":               func(v *View) { v.Version = 0 },
		"negative time":            func(v *View) { v.Time = -1 },
		"control in name":          func(v *View) { v.Name = "\n" },
		"no initial voters":        func(v *View) { v.InitialVoters = nil },
		"initial voter twice":      func(v *View) { v.InitialVoters[1] = v.InitialVoters[0] },
		"metadata replica due":     func(v *View) { v.NextMeta = 4 },
		"members out of order":     func(v *View) { v.Members[0], v.Members[1] = v.Members[1], v.Members[0] },
		"name twice":               func(v *View) { v.Members[1].Name = v.Members[2].Name },
		"incarnation twice":        func(v *View) { v.Members[1].Incarnation = v.Members[2].Incarnation },
		"metadata replica twice":   func(v *View) { v.Members[1].MetaReplica = v.Members[2].MetaReplica },
		"voter without replica":    func(v *View) { v.Members[1].MetaReplica, v.Members[1].MetaVoter = 0, true },
		"member without name":      func(v *View) { v.Members[1].Name = "" },
		"short table":              func(v *View) { v.Table = v.Table[:1] },
		"generation 0":             func(v *View) { v.Table[0].Generation = 0 },
		"lost too often":           func(v *View) { v.Table[0].Lost = 1 },
		"from a survivor at birth": func(v *View) { v.Table[0].FromSurvivor = true },
		"replica 0":                func(v *View) { v.Table[0].Replicas[0].ID = 0 },
		"replica twice":            func(v *View) { v.Table[0].Replicas[0].ID = v.Table[1].Replicas[0].ID },
		"replica due":              func(v *View) { v.NextReplica = 3 },
		"unknown holder":           func(v *View) { v.Table[0].Replicas[0].Member[3]++ },
		"holder twice":             func(v *View) { v.Table[0].Replicas[0].Holder = v.Table[0].Replicas[1].Holder },
		"no replicas":              func(v *View) { v.Table[0].Replicas = nil },
		"maps of no version":       func(v *View) { v.MapsVersion = 0 },
		"maps of the future":       func(v *View) { v.MapsVersion = v.Version + 1 },
		"a map without fields":     func(v *View) { v.Maps[0].MapConfig = wire.MapConfig{} },
	} {
		v := goldenState(t).v
		spoil(v)
		refused(what, AppendSnapshot(nil, v))
	}
}

// Partitions of which movingState's are changed by one thing that no command leads to are refused for that thing, in a snapshot too.
func TestUnsoundPartitions(t *testing.T) {
	const learning, leaving, stopped = 0, 1, 2
	for what, c := range map[string]struct {
		partition int
		spoil     func(p *Partition)
		why       string // "": the encoding has no such thing
	}{
		"generation 0":              {learning, func(p *Partition) { p.Generation = 0 }, "generation 0"},
		"last generation":           {learning, func(p *Partition) { p.Generation = MaxGeneration + 1 }, "generation 1048576"},
		"lost too often":            {learning, func(p *Partition) { p.Lost = 1 }, "lost 1"},
		"possible losses too often": {learning, func(p *Partition) { p.PossibleLosses = 1 }, "possible losses 1"},
		"both too often":            {learning, func(p *Partition) { p.Generation, p.Lost, p.PossibleLosses = 2, 1, 1 }, "lost 1, possible losses 1"},
		"more than can be added":    {learning, func(p *Partition) { p.Lost, p.PossibleLosses = math.MaxUint64, 1 }, "possible losses 1"},
		"from a survivor at birth":  {learning, func(p *Partition) { p.FromSurvivor = true }, "from survivor true"},
		"no replicas":               {learning, func(p *Partition) { p.Replicas = nil }, "0 replicas"},
		"many replicas":             {learning, func(p *Partition) { p.Replicas = make([]Replica, MaxReplicas+2) }, "9 replicas"},
		"no initial replicas":       {learning, func(p *Partition) { p.InitialReplicas = 0 }, "0 initial replicas"},
		"too few initial replicas":  {learning, func(p *Partition) { p.InitialReplicas = 2 }, "2 initial replicas, 3 of them"},
		"nobody initial":            {learning, func(p *Partition) { p.InitialReplicas = 0; p.Replicas[0].Joined = true }, "0 initial replicas"},
		"many initial replicas":     {learning, func(p *Partition) { p.InitialReplicas = MaxReplicas + 1 }, "8 initial replicas"},
		"initial one learns":        {learning, func(p *Partition) { p.Replicas[3].Joined = false; p.InitialReplicas = 4 }, "role 1, joined false"},
		"stopped at work":           {learning, func(p *Partition) { p.Replicas[1].Stopped = true }, "stopped true"},
		"stopped, not for recovery": {stopped, func(p *Partition) { p.StoppedForRecovery = false }, "stopped true"},
		"two replicas come":         {learning, func(p *Partition) { p.Replicas[2].Role, p.Replicas[2].Joined = RoleLearner, true }, "of 4 replicas 2"},
		"one comes, one leaves":     {leaving, func(p *Partition) { p.Replicas[2].Role, p.Replicas[2].Joined = RoleLearner, true }, "of 4 replicas 2"},
		"the only one leaves":       {leaving, func(p *Partition) { p.Replicas = p.Replicas[1:2] }, "of 1 replicas 1"},
		"preferred learns":          {learning, func(p *Partition) { p.Preferred = member(4) }, "is no voter"},
		"preferred leaves":          {leaving, func(p *Partition) { p.Preferred = member(2) }, "is no voter"},
		"holder twice":              {stopped, func(p *Partition) { p.Replicas[1].Holder = p.Replicas[2].Holder }, "two replicas on"},
		"role without a name":       {stopped, func(p *Partition) { p.Replicas[0].Role = roles }, ""},
		"flag without a name":       {stopped, func(p *Partition) { p.Replicas[0].Role = 16 }, ""},
	} {
		v := movingState(t).v
		p := &v.Table[c.partition]
		p.Replicas = append([]Replica(nil), p.Replicas...)
		c.spoil(p)
		if err := p.check(); c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: %v, want one that says %q", what, err, c.why)
		}
		if _, err := DecodeSnapshot(AppendSnapshot(nil, v)); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: a snapshot: %v", what, err)
		}
	}

	// What a snapshot cannot say.
	for what, spoil := range map[string]func(p *Partition){
		"the log of one that goes on": func(p *Partition) { p.Replicas[1].Index = 1 },
		"its term":                    func(p *Partition) { p.Replicas[1].Term = 1 },
		"an outsider is preferred":    func(p *Partition) { p.Preferred = member(5) },
	} {
		p := &movingState(t).v.Table[stopped]
		if spoil(p); p.check() == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
