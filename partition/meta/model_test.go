package meta

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// model is the metadata as one would write it without a thought for speed, views or snapshots.
type model struct {
	init         *Init
	gone         map[wire.ID]bool // initial members that were forgotten
	time         int64
	level        uint32
	changes      uint64
	members      map[wire.ID]Member
	metaReplicas uint64 // metadata replicas given out
	table        map[int]Partition
	replicas     uint64 // data replicas given out
	maps         map[string]wire.PatternConfig
	mapsAt       uint64 // changes when maps were last changed
}

func newModel() *model {
	return &model{gone: map[wire.ID]bool{}, members: map[wire.ID]Member{}, table: map[int]Partition{}, maps: map[string]wire.PatternConfig{}}
}

func (m *model) apply(c Command) wire.Code {
	if c.check() != nil {
		return wire.CodeInvalid
	}
	if recover, ok := c.(*RecoverMetadata); ok {
		return m.recover(recover.View)
	}
	if _, ok := c.(*Init); !ok && m.init == nil {
		return wire.CodeNotReady
	}
	switch c := c.(type) {
	case *Init:
		if m.init == nil {
			m.init, m.level, m.metaReplicas = c, c.Level, uint64(len(c.InitialVoters))
			return m.changed()
		}
		if c.Cluster != m.init.Cluster || c.Partitions != m.init.Partitions {
			return wire.CodeConflict
		}
	case *SetTime:
		m.time = max(m.time, c.Time)
	case *RaiseLevel:
		if c.Level > m.level {
			m.level = c.Level
			return m.changed()
		}
	case *Register:
		return m.register(c)
	case *SetState:
		return m.withMember(c.ID, func(old *Member) wire.Code {
			switch was, is := slices.Index(states[:], old.State), slices.Index(states[:], c.State); {
			case old.Incarnation != c.Incarnation, is < was:
				return wire.CodeConflict
			case is > was:
				old.State = c.State
				return m.changed()
			}
			return wire.CodeOK
		})
	case *Drain:
		return m.withMember(c.ID, func(old *Member) wire.Code {
			switch {
			case old.Incarnation != c.Incarnation:
				return wire.CodeConflict
			case old.Drained:
				return wire.CodeOK
			}
			if old.Drained = true; old.State == StateJoining || old.State == StateReady {
				old.State = StateDraining
			}
			return m.changed()
		})
	case *Forget:
		old, ok := m.members[c.ID]
		if !ok {
			return wire.CodeOK
		}
		if old.Incarnation != c.Incarnation || alive(old) || old.MetaReplica != 0 {
			return wire.CodeConflict
		}
		for _, p := range m.table {
			for _, r := range p.Replicas {
				if r.Member == c.ID {
					return wire.CodeConflict
				}
			}
		}
		delete(m.members, c.ID)
		m.gone[c.ID] = true
		return m.changed()
	case *AllocMeta:
		return m.withMember(c.ID, func(old *Member) wire.Code {
			switch {
			case !alive(*old):
				return wire.CodeMemberLeft
			case c.After > m.metaReplicas:
				return wire.CodeInvalid
			case old.MetaReplica <= c.After:
				m.metaReplicas++
				old.MetaReplica, old.MetaVoter = m.metaReplicas, false
				return m.changed()
			}
			return wire.CodeOK
		})
	case *SetMetaVoter:
		return m.withMember(c.ID, func(old *Member) wire.Code {
			if old.MetaReplica != c.Replica {
				return wire.CodeConflict
			}
			if old.MetaVoter != c.Voter {
				old.MetaVoter = c.Voter
				return m.changed()
			}
			return wire.CodeOK
		})
	case *DropMeta:
		return m.withMember(c.ID, func(old *Member) wire.Code {
			if old.MetaReplica == c.Replica {
				old.MetaReplica, old.MetaVoter = 0, false
				return m.changed()
			}
			return wire.CodeOK
		})
	case *CreateTable:
		if len(m.table) > 0 {
			return wire.CodeConflict
		}
		if len(c.Placement) != m.init.Partitions {
			return wire.CodeInvalid
		}
		for _, list := range c.Placement {
			if !m.mayHold(list) {
				return wire.CodeConflict
			}
		}
		for p, list := range c.Placement {
			m.table[p] = Partition{Generation: 1, InitialReplicas: len(list), Replicas: m.give(list), Preferred: list[0].Member}
		}
		return m.changed()
	case *RecoverPartition:
		return m.recoverPartition(c)
	case *AddReplica, *Promote, *Retire, *DropReplica, *Prefer, *StopForRecovery, *Stopped:
		return m.move(c)
	case *InitMapConfigs:
		if slices.Equal(m.mapList(), c.List) {
			return wire.CodeOK
		}
		if m.mapsAt != 0 || len(m.table) > 0 {
			return wire.CodeConflict
		}
		for _, p := range c.List {
			m.maps[p.Pattern] = p
		}
		m.mapsAt = m.changes + 1
		return m.changed()
	case *SetMapConfig:
		was, ok := m.maps[c.Config.Pattern]
		if c.Config.Fields == 0 && !ok || ok && was == c.Config {
			return wire.CodeOK
		}
		if c.From != m.mapsAt {
			return wire.CodeConflict
		}
		if m.maps[c.Config.Pattern] = c.Config; c.Config.Fields == 0 {
			delete(m.maps, c.Config.Pattern)
		}
		m.mapsAt = m.changes + 1
		return m.changed()
	}
	return wire.CodeOK
}

func (m *model) recover(v *View) wire.Code {
	if m.init != nil {
		if m.init.Cluster != v.Cluster || wire.Stamp(m.changes).Generation() != wire.Stamp(v.Version).Generation() {
			return wire.CodeConflict
		}
		return wire.CodeOK
	}
	m.init = &Init{Cluster: v.Cluster, Name: v.Name, Partitions: v.PartitionCount, Replicas: v.ReplicasWanted, Durable: v.Durable, InitialVoters: v.InitialVoters}
	m.time, m.level, m.changes, m.metaReplicas, m.replicas, m.mapsAt = v.Time, v.Level, v.Version, v.NextMeta-1, v.NextReplica-1, v.MapsVersion
	for _, o := range v.Members {
		m.members[o.ID] = o
	}
	for p, t := range v.Table {
		m.table[p] = t
	}
	for _, c := range v.Maps {
		m.maps[c.Pattern] = c
	}
	return wire.CodeOK
}

func (m *model) mapList() wire.MapConfigs {
	var l wire.MapConfigs
	for _, c := range m.maps {
		l = append(l, c)
	}
	slices.SortFunc(l, func(a, b wire.PatternConfig) int { return wire.ComparePatterns(a.Pattern, b.Pattern) })
	return l
}

func (m *model) register(c *Register) wire.Code {
	old, known := m.members[c.ID]
	if known && c.Start < old.Start {
		return wire.CodeConflict
	}
	if known && c.Start == old.Start {
		if c.Incarnation != old.Incarnation {
			return wire.CodeConflict
		}
		if !alive(old) {
			return wire.CodeMemberLeft
		}
		if fmt.Sprint(c.Registration) != fmt.Sprint(old.Registration) {
			return wire.CodeConflict
		}
		return wire.CodeOK
	}
	if known && m.init.Durable && old.State == StateDead {
		return wire.CodeMemberLeft
	}
	used := map[wire.ID]bool{}
	for _, o := range m.members {
		used[o.Incarnation] = true
	}
	for _, p := range m.table {
		for _, r := range p.Replicas {
			used[r.Incarnation] = true
		}
	}
	if used[c.Incarnation] {
		return wire.CodeConflict
	}
	for id, o := range m.members {
		if id != c.ID && o.Name == c.Name && alive(o) {
			if o.Incarnation != c.Takeover {
				return wire.CodeConflict
			}
			o.State = StateLeft
			m.members[id] = o
		}
	}
	is := Member{Registration: c.Registration, State: StateJoining, MetaReplica: old.MetaReplica, MetaVoter: old.MetaVoter}
	for i, id := range m.init.InitialVoters {
		if id == c.ID && !known && !m.gone[id] {
			is.MetaReplica, is.MetaVoter = uint64(i+1), true
		}
	}
	m.members[c.ID] = is
	return m.changed()
}

func alive(m Member) bool {
	return m.State == StateJoining || m.State == StateReady || m.State == StateDraining
}

func (m *model) changed() wire.Code {
	m.changes++
	return wire.CodeOK
}

func (m *model) withMember(id wire.ID, do func(old *Member) wire.Code) wire.Code {
	old, ok := m.members[id]
	if !ok {
		return wire.CodeNotFound
	}
	code := do(&old)
	m.members[id] = old
	return code
}

func (m *model) mayHold(list []Holder) bool {
	for _, h := range list {
		o, ok := m.members[h.Member]
		if !ok || o.Lite || o.Incarnation != h.Incarnation || (o.State != StateJoining && o.State != StateReady) {
			return false
		}
	}
	return true
}

func (m *model) give(list []Holder) (out []Replica) {
	for _, h := range list {
		m.replicas++
		out = append(out, Replica{ID: m.replicas, Holder: h})
	}
	return out
}

// view returns what the state's view should be.
func (m *model) view() *View {
	v := &View{Version: m.changes, Time: m.time, Level: m.level}
	if m.init == nil {
		return v
	}
	v.Cluster, v.Name, v.PartitionCount, v.ReplicasWanted, v.Durable = m.init.Cluster, m.init.Name, m.init.Partitions, m.init.Replicas, m.init.Durable
	v.NextMeta, v.NextReplica = m.metaReplicas+1, m.replicas+1
	for _, id := range m.init.InitialVoters {
		if m.gone[id] {
			id = wire.ID{}
		}
		v.InitialVoters = append(v.InitialVoters, id)
	}
	for _, o := range m.members {
		v.Members = append(v.Members, o)
	}
	slices.SortFunc(v.Members, func(a, b Member) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for p := range len(m.table) {
		v.Table = append(v.Table, m.table[p])
	}
	v.Maps, v.MapsVersion = m.mapList(), m.mapsAt
	return v
}

// commands draws commands over a few members and starts, so that they meet one another.
type commands struct{ durable bool }

const modelPartitions = 3

func (g commands) holder(t *rapid.T, v *View) Holder {
	if len(v.Members) > 0 && rapid.IntRange(0, 7).Draw(t, "as is") > 0 {
		m := rapid.SampledFrom(v.Members).Draw(t, "holder")
		return m.Holder()
	}
	return holder(rapid.IntRange(1, 5).Draw(t, "member"), rapid.IntRange(1, 4).Draw(t, "start"))
}

func (g commands) holders(t *rapid.T, v *View) (list []Holder) {
	for range rapid.IntRange(1, 3).Draw(t, "replicas") {
		if h := g.holder(t, v); !slices.ContainsFunc(list, func(o Holder) bool { return o.Member == h.Member }) {
			list = append(list, h)
		}
	}
	return list
}

func (g commands) draw(t *rapid.T, v *View) Command {
	n, start := rapid.IntRange(1, 5).Draw(t, "member"), rapid.IntRange(1, 4).Draw(t, "start")
	h := g.holder(t, v)
	kinds := []Kind{KindInit, KindSetTime, KindRaiseLevel, KindRegister, KindRegister, KindRegister, KindSetState, KindSetState, KindDrain, KindRecoverMetadata,
		KindForget, KindAllocMeta, KindSetMetaVoter, KindDropMeta, KindCreateTable, KindRecoverPartition, KindRecoverPartition, KindRecoverPartition,
		KindAddReplica, KindAddReplica, KindPromote, KindPromote, KindRetire, KindDropReplica, KindPrefer, KindStopForRecovery, KindStopForRecovery, KindStopped, KindStopped,
		KindInitMapConfigs, KindSetMapConfig}
	switch kind := kinds[even(t, len(kinds), "kind")]; kind {
	case KindInit:
		c := foundation(rapid.SampledFrom([]int{modelPartitions, modelPartitions, modelPartitions, 4}).Draw(t, "partitions"), g.durable)
		c.Cluster[1] = byte(rapid.IntRange(0, 9).Draw(t, "cluster") / 9)
		return c
	case KindSetTime:
		return &SetTime{Time: int64(rapid.IntRange(-5, 100).Draw(t, "time"))}
	case KindRaiseLevel:
		return &RaiseLevel{Level: uint32(rapid.IntRange(0, 3).Draw(t, "level"))}
	case KindRegister:
		if m := v.Member(member(n)); m != nil && rapid.Bool().Draw(t, "next start") {
			start = int(m.Start) + 1
		}
		c := registration(n, start)
		c.Name = fmt.Sprint("m", rapid.SampledFrom([]int{n, n, n, 1}).Draw(t, "name"))
		c.Lite = rapid.IntRange(0, 7).Draw(t, "lite") == 0
		if rapid.IntRange(0, 7).Draw(t, "copied") == 0 {
			c.Incarnation[14]++
		}
		if rapid.Bool().Draw(t, "takes over") {
			c.Takeover = h.Incarnation
		}
		return c
	case KindSetState:
		return &SetState{ID: h.Member, Incarnation: h.Incarnation, State: rapid.SampledFrom(states[:]).Draw(t, "state")}
	case KindDrain:
		return &Drain{ID: h.Member, Incarnation: h.Incarnation}
	case KindRecoverMetadata:
		return &RecoverMetadata{View: recovered(2, 1)}
	case KindForget:
		return &Forget{ID: h.Member, Incarnation: h.Incarnation}
	case KindAllocMeta:
		return &AllocMeta{ID: h.Member, After: uint64(rapid.IntRange(0, 6).Draw(t, "after"))}
	case KindSetMetaVoter, KindDropMeta:
		replica := uint64(rapid.IntRange(0, 6).Draw(t, "replica"))
		if m := v.Member(h.Member); m != nil && rapid.Bool().Draw(t, "its own") {
			replica = m.MetaReplica
		}
		if rapid.Bool().Draw(t, "drop") {
			return &DropMeta{ID: h.Member, Replica: replica}
		}
		return &SetMetaVoter{ID: h.Member, Replica: replica, Voter: rapid.Bool().Draw(t, "voter")}
	case KindCreateTable:
		c := &CreateTable{}
		for range rapid.SampledFrom([]int{modelPartitions, modelPartitions, 2}).Draw(t, "table") {
			c.Placement = append(c.Placement, g.holders(t, v))
		}
		return c
	case KindInitMapConfigs:
		c := &InitMapConfigs{}
		for _, p := range []string{"a", "a*", "b"} { // in order of precedence, but for the second
			if config := g.mapConfig(t, p); config.Fields != 0 {
				at, _ := c.List.Find(p)
				c.List = slices.Insert(c.List, at, config)
			}
		}
		return c
	case KindSetMapConfig:
		c := &SetMapConfig{From: v.MapsVersion, Config: g.mapConfig(t, rapid.SampledFrom([]string{"a", "a*", "b"}).Draw(t, "pattern"))}
		if rapid.IntRange(0, 3).Draw(t, "late") == 0 {
			c.From = uint64(rapid.IntRange(0, 10).Draw(t, "from"))
		}
		return c
	case KindRecoverPartition:
		return g.recoverPartition(t, v)
	default:
		return g.move(t, v, kind)
	}
}

func (g commands) mapConfig(t *rapid.T, pattern string) wire.PatternConfig {
	c := wire.PatternConfig{Pattern: pattern}
	if c.TTL = uint64(rapid.IntRange(0, 3).Draw(t, "ttl")); c.TTL > 0 {
		c.Fields = wire.MapTTL
	}
	return c
}

// recoverPartition draws one that is right about the partition and its survivors, or one that is hardly right about anything.
func (g commands) recoverPartition(t *rapid.T, v *View) Command {
	c := &RecoverPartition{Partition: uint32(rapid.IntRange(0, modelPartitions).Draw(t, "partition")), Replicas: g.holders(t, v),
		Empty: rapid.Bool().Draw(t, "empty"), FromGeneration: uint64(rapid.IntRange(1, 3).Draw(t, "generation"))}
	c.Preferred = rapid.SampledFrom(c.Replicas).Draw(t, "preferred").Member
	if !c.Empty && rapid.Bool().Draw(t, "from one") {
		c.Replicas = []Holder{{Member: c.Preferred, Incarnation: c.Replicas[0].Incarnation}}
	}
	if list := v.wantsRecovery(); len(list) > 0 && rapid.Bool().Draw(t, "right") {
		c.Partition = rapid.SampledFrom(list).Draw(t, "which")
		p := v.Table[c.Partition]
		c.FromGeneration, c.Empty = p.Generation, v.survivors(&p) == 0
		if !c.Empty {
			r := rapid.SampledFrom(p.Replicas).Draw(t, "from")
			if most, ok := p.Replica(v.mostComplete(&p)); ok && rapid.IntRange(0, 3).Draw(t, "the one with the most") > 0 {
				r = most
			}
			c.Replicas, c.Preferred = []Holder{r.Holder}, r.Member
		}
	}
	return c
}

// Commands in any order, repeated and delayed, do to the state what they do to the model. Snapshots stay as they were. A
// replica that recovered from snapshots is equal to one that never did. Nothing that must only grow shrinks.
func TestStateIsTheModel(t *testing.T) {
	reached := map[string]int{}
	// What happens seldom may take many series of runs to happen at all, in a short test most of all.
	for i := range 40 {
		rapid.Check(t, func(t *rapid.T) { runAgainstModel(t, reached) })
		if t.Failed() || i >= 7 && len(missing(reached)) == 0 {
			break
		}
	}
	if lack := missing(reached); len(lack) > 0 && !t.Failed() {
		t.Errorf("no run reached %q", lack)
	}
	t.Log(reached)
}

// missing returns what runs must have reached and have not.
func missing(reached map[string]int) (lack []string) {
	for _, what := range []string{"*meta.RecoverPartition OK empty", "*meta.RecoverPartition OK from a survivor", "*meta.Register MEMBER_LEFT",
		"*meta.Register CONFLICT", "*meta.Forget OK", "*meta.CreateTable OK", "*meta.Drain OK", "*meta.Drain CONFLICT", "*meta.RecoverMetadata OK", "*meta.RecoverMetadata CONFLICT", "*meta.InitMapConfigs OK", "*meta.SetMapConfig OK",
		"*meta.SetMapConfig CONFLICT", "*meta.RecoverPartition OK possible loss", "*meta.RecoverPartition OK nothing kept",
		"*meta.AddReplica OK", "*meta.Promote OK", "*meta.Retire OK", "*meta.DropReplica OK", "*meta.Prefer OK", "*meta.StopForRecovery OK", "*meta.Stopped OK",
		"*meta.AddReplica CONFLICT", "*meta.Promote CONFLICT", "*meta.Retire CONFLICT", "*meta.DropReplica CONFLICT", "*meta.Prefer CONFLICT",
		"*meta.StopForRecovery CONFLICT", "*meta.Stopped CONFLICT", "*meta.Promote NOT_FOUND", "*meta.Retire NOT_FOUND", "*meta.Stopped NOT_FOUND"} {
		if reached[what] == 0 {
			lack = append(lack, what)
		}
	}
	return lack
}

// runAgainstModel is one run. It counts what it reached.
func runAgainstModel(t *rapid.T, reached map[string]int) {
	g := commands{durable: rapid.Bool().Draw(t, "durable")}
	s, twin, m := New(), New(), newModel()
	var log [][]byte
	type kept struct {
		view     *View
		snapshot []byte
	}
	var snapshots []kept
	owned := map[uint64]string{} // replica ID to the one place where it ever was
	seen := map[uint64]bool{}    // replica ID to whether a partition has it
	prev := s.View()

	// Most runs begin with an ordinary birth, or a part of one, after which some members start again.
	script := birth(modelPartitions, g.durable)
	if rapid.Bool().Draw(t, "uneven") { // replicas of partition 0 three, of 1 two, of 2 one
		for p, list := range script[len(script)-1].(*CreateTable).Placement {
			script[len(script)-1].(*CreateTable).Placement[p] = list[:len(list)-p%len(list)]
		}
	}
	script = script[:rapid.SampledFrom([]int{len(script), len(script), len(script), len(script) - 1, 4, 0}).Draw(t, "birth")]
	if len(script) > 4 && rapid.IntRange(0, 3).Draw(t, "recovered") == 0 { // in a later generation
		first := New()
		for _, c := range script {
			first.Apply(Append(nil, c))
		}
		v, err := first.View().Recovered(member(1), []wire.ID{member(rapid.IntRange(2, 3).Draw(t, "lost"))})
		if err != nil {
			t.Fatal(err)
		}
		script = []Command{&RecoverMetadata{View: v}}
		for p := range v.Table { // which the first generation has given out
			for _, r := range v.Table[p].Replicas {
				owned[r.ID] = fmt.Sprint(p, v.Table[p].Generation, r.Holder)
			}
		}
	}
	for n := range rapid.IntRange(0, 3).Draw(t, "start again") {
		script = append(script, registration(n+1, 2))
	}
	for range len(script) + rapid.IntRange(20, 80).Draw(t, "steps") {
		var cmd []byte
		switch {
		case len(script) > 0:
			cmd, script = Append(nil, script[0]), script[1:]
		case len(log) > 0 && rapid.IntRange(0, 4).Draw(t, "late copy") == 0:
			cmd = rapid.SampledFrom(log).Draw(t, "copy")
		default:
			cmd = Append(nil, g.draw(t, s.v))
		}
		log = append(log, cmd)
		c, err := Decode(cmd)
		want := wire.CodeInvalid
		if err == nil {
			want = m.apply(c)
		}
		was := partitionBytes(s.v)
		res := s.Apply(cmd)
		if other := twin.Apply(cmd); other.Code != res.Code || other.Text != res.Text || !bytes.Equal(other.Value, res.Value) {
			t.Fatalf("replicas answer %T%+v differently: %+v, %+v", c, c, res, other)
		}
		if res.Code != want {
			t.Fatalf("%T%+v: %s %q, the model says %s", c, c, res.Code, res.Text, want)
		}
		what := fmt.Sprintf("%T %s", c, res.Code)
		switch c := c.(type) {
		case *RecoverPartition:
			if res.OK() {
				what += " " + howItBegan(was[c.Partition], &s.v.Table[c.Partition])
			}
		case *StopForRecovery:
			if res.OK() && rapid.Bool().Draw(t, "as told") {
				script = append(script, g.ending(t, s.v, c.Partition)...)
			}
		case *AddReplica:
			if !res.OK() {
				break
			}
			if r, _ := s.v.Table[c.Partition].Replica(c.Holder.Member); r.ID != res.ReplicaID() || r.Holder != c.Holder {
				t.Fatalf("%+v: answered replica %d, the table says %+v", c, res.ReplicaID(), r)
			}
		}
		reached[what]++
		if err := s.v.check(); err != nil {
			t.Fatalf("after %T%+v: %s", c, c, err)
		}
		snapshot := AppendSnapshot(nil, s.v)
		if wanted := AppendSnapshot(nil, m.view()); !bytes.Equal(snapshot, wanted) {
			t.Fatalf("after %T%+v:\n%+v\nthe model says\n%+v", c, c, s.v, m.view())
		}
		checkGrowth(t, prev, s.v, m.gone)
		checkPartitions(t, was, c, s.v, m, seen)
		for p := range s.v.Table {
			for _, r := range s.v.Table[p].Replicas {
				place := fmt.Sprint(p, s.v.Table[p].Generation, r.Holder)
				if was, ok := owned[r.ID]; ok && was != place {
					t.Fatalf("replica %d is %s and was %s", r.ID, place, was)
				}
				owned[r.ID] = place
			}
		}
		if rapid.Bool().Draw(t, "snapshot") {
			snapshots = append(snapshots, kept{s.View(), snapshot})
			prev = s.View()
		}
		if rapid.IntRange(0, 9).Draw(t, "recover") == 0 {
			if s, err = DecodeSnapshot(snapshot); err != nil {
				t.Fatalf("a snapshot of %+v: %v", m.view(), err)
			}
		}
	}
	for i, k := range snapshots {
		if !bytes.Equal(AppendSnapshot(nil, k.view), k.snapshot) {
			t.Fatalf("snapshot %d of %d changed", i, len(snapshots))
		}
	}
	if !bytes.Equal(AppendSnapshot(nil, s.v), AppendSnapshot(nil, twin.v)) {
		t.Fatal("replicas differ in the end")
	}
}

// checkGrowth fails the test if something shrank that must only grow. Of members that were forgotten nothing is expected.
func checkGrowth(t *rapid.T, was, is *View, forgotten map[wire.ID]bool) {
	if is.Version < was.Version || is.Time < was.Time || is.Level < was.Level || is.NextMeta < was.NextMeta || is.NextReplica < was.NextReplica ||
		is.MapsVersion < was.MapsVersion {
		t.Fatalf("from %+v to %+v", was, is)
	}
	for _, o := range was.Members {
		n := is.Member(o.ID)
		if forgotten[o.ID] {
			continue
		}
		if n == nil || n.Start < o.Start || (n.Incarnation == o.Incarnation && stateRank(n.State) < stateRank(o.State)) {
			t.Fatalf("a member went from %+v to %+v", o, n)
		}
	}
	for p := range was.Table {
		if o, n := was.Table[p], is.Table[p]; n.Generation < o.Generation || n.Lost < o.Lost || n.PossibleLosses < o.PossibleLosses {
			t.Fatalf("partition %d went from %+v to %+v", p, o, n)
		}
	}
}
