package meta

import (
	"bytes"
	"slices"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// withPartition lets do change a copy of a partition, which becomes the partition if do says that it did.
func (m *model) withPartition(p uint32, generation uint64, do func(p *Partition) (wire.Code, bool)) wire.Code {
	if len(m.table) == 0 {
		return wire.CodeNotReady
	}
	is, ok := m.table[int(p)]
	if !ok {
		return wire.CodeNotFound
	}
	if is.Generation != generation {
		return wire.CodeConflict
	}
	is.Replicas = slices.Clone(is.Replicas)
	code, changed := do(&is)
	if changed {
		m.table[int(p)] = is
		m.changes++
	}
	return code
}

// withReplica is withPartition for a step of one of its replicas; absent is the answer if it has none such.
func (m *model) withReplica(c ReplicaStep, absent wire.Code, do func(p *Partition, r *Replica) (wire.Code, bool)) wire.Code {
	return m.withPartition(c.Partition, c.Generation, func(p *Partition) (wire.Code, bool) {
		for i := range p.Replicas {
			if p.Replicas[i].ID == c.Replica {
				return do(p, &p.Replicas[i])
			}
		}
		return absent, false
	})
}

// others reports whether replicas besides the one with an ID come or go.
func others(p *Partition, id uint64) bool {
	return slices.ContainsFunc(p.Replicas, func(r Replica) bool { return r.Role != RoleVoter && r.ID != id })
}

// move carries out the steps of replicas.
func (m *model) move(c Command) wire.Code {
	const changed, same = true, false
	switch c := c.(type) {
	case *AddReplica:
		return m.withPartition(c.Partition, c.Generation, func(p *Partition) (wire.Code, bool) {
			for _, r := range p.Replicas {
				if r.Holder == c.Holder && r.Role != RoleLeaving {
					return wire.CodeOK, same
				}
				if r.Member == c.Holder.Member {
					return wire.CodeConflict, same
				}
			}
			if p.StoppedForRecovery || others(p, 0) || !m.mayHold([]Holder{c.Holder}) {
				return wire.CodeConflict, same
			}
			m.replicas++
			p.Replicas = append(p.Replicas, Replica{ID: m.replicas, Holder: c.Holder, Role: RoleLearner, Joined: true})
			return wire.CodeOK, changed
		})
	case *Promote:
		return m.withReplica(c.ReplicaStep, wire.CodeNotFound, func(p *Partition, r *Replica) (wire.Code, bool) {
			if r.Role == RoleLearner && !p.StoppedForRecovery {
				r.Role = RoleVoter
				return wire.CodeOK, changed
			}
			if r.Role == RoleVoter {
				return wire.CodeOK, same
			}
			return wire.CodeConflict, same
		})
	case *Retire:
		return m.withReplica(c.ReplicaStep, wire.CodeNotFound, func(p *Partition, r *Replica) (wire.Code, bool) {
			if p.StoppedForRecovery || others(p, r.ID) {
				return wire.CodeConflict, same
			}
			if r.Role == RoleLeaving {
				return wire.CodeOK, same
			}
			r.Role = RoleLeaving
			stay := slices.DeleteFunc(slices.Clone(p.Replicas), func(o Replica) bool { return o.Role != RoleVoter })
			if len(stay) == 0 {
				return wire.CodeConflict, same
			}
			if !slices.ContainsFunc(stay, func(o Replica) bool { return o.Member == p.Preferred }) {
				p.Preferred = stay[0].Member
			}
			return wire.CodeOK, changed
		})
	case *DropReplica:
		return m.withReplica(c.ReplicaStep, wire.CodeOK, func(p *Partition, r *Replica) (wire.Code, bool) {
			if p.StoppedForRecovery || r.Role != RoleLeaving {
				return wire.CodeConflict, same
			}
			p.Replicas = slices.DeleteFunc(p.Replicas, func(o Replica) bool { return o.ID == c.Replica })
			return wire.CodeOK, changed
		})
	case *Prefer:
		return m.withPartition(c.Partition, c.Generation, func(p *Partition) (wire.Code, bool) {
			if p.Preferred == c.Member {
				return wire.CodeOK, same
			}
			for _, r := range p.Replicas {
				if r.Member == c.Member && r.Role == RoleVoter && !p.StoppedForRecovery {
					p.Preferred = c.Member
					return wire.CodeOK, changed
				}
			}
			return wire.CodeConflict, same
		})
	case *StopForRecovery:
		return m.withPartition(c.Partition, c.Generation, func(p *Partition) (wire.Code, bool) {
			if !p.StoppedForRecovery && m.hasQuorum(p) {
				return wire.CodeConflict, same
			}
			was := p.StoppedForRecovery
			p.StoppedForRecovery = true
			return wire.CodeOK, !was
		})
	case *Stopped:
		return m.withReplica(c.ReplicaStep, wire.CodeNotFound, func(p *Partition, r *Replica) (wire.Code, bool) {
			if !p.StoppedForRecovery || r.Incarnation != c.Incarnation {
				return wire.CodeConflict, same
			}
			if r.Stopped {
				return wire.CodeOK, same
			}
			r.Stopped, r.Term, r.Index = true, c.Term, c.Index
			return wire.CodeOK, changed
		})
	}
	panic("no step")
}

// dead reports whether a replica's data is gone for certain.
func (m *model) dead(r Replica) bool {
	holder := m.members[r.Member]
	return holder.State == StateDead || !m.init.Durable && holder.Incarnation != r.Incarnation
}

// groups returns all that the voters of a partition's group may be: those known, each set with and without what comes or goes.
func groups(p *Partition) [][]Replica {
	sets := [][]Replica{nil}
	for _, r := range p.Replicas {
		for i, set := range sets {
			with := append(slices.Clone(set), r)
			if r.Role == RoleVoter {
				sets[i] = with
			} else {
				sets = append(sets, with)
			}
		}
	}
	return sets
}

func (m *model) mayHaveQuorum(p *Partition) bool {
	return slices.ContainsFunc(groups(p), func(set []Replica) bool { return 2*m.count(set, false) > len(set) })
}

func (m *model) hasQuorum(p *Partition) bool {
	return !slices.ContainsFunc(groups(p), func(set []Replica) bool { return 2*m.count(set, false) <= len(set) })
}

func (m *model) mayHaveLost(p *Partition) bool {
	return slices.ContainsFunc(groups(p), func(set []Replica) bool { return 2*m.count(set, true) > len(set) })
}

func (m *model) count(set []Replica, dead bool) (n int) {
	for _, r := range set {
		if m.dead(r) == dead {
			n++
		}
	}
	return n
}

func (m *model) recoverPartition(c *RecoverPartition) wire.Code {
	return m.withPartition(c.Partition, c.FromGeneration, func(p *Partition) (wire.Code, bool) {
		survivors := slices.DeleteFunc(slices.Clone(p.Replicas), m.dead)
		is := Partition{Generation: p.Generation + 1, InitialReplicas: len(c.Replicas), Preferred: c.Preferred, FromSurvivor: !c.Empty,
			Lost: p.Lost, PossibleLosses: p.PossibleLosses}
		if c.Empty {
			if len(survivors) > 0 || !m.mayHold(c.Replicas) {
				return wire.CodeConflict, false
			}
			is.Lost++
		} else {
			stopped := !slices.ContainsFunc(survivors, func(r Replica) bool { return !r.Stopped })
			if !p.StoppedForRecovery || len(survivors) == 0 || !stopped {
				return wire.CodeConflict, false
			}
			slices.SortStableFunc(survivors, func(a, b Replica) int { return slices.Compare([]uint64{b.Term, b.Index}, []uint64{a.Term, a.Index}) })
			if best := survivors[0]; best.Member != c.Preferred || best.Holder != c.Replicas[0] {
				return wire.CodeConflict, false
			} else if best.Index == 0 {
				is.Lost++
			} else if m.mayHaveLost(p) {
				is.PossibleLosses++
			}
		}
		is.Replicas = m.give(c.Replicas)
		*p = is
		return wire.CodeOK, true
	})
}

// even draws one of n numbers, all as likely, unlike rapid's ranges, which prefer their ends.
func even(t *rapid.T, n int, label string) int {
	i := 0
	for range 8 {
		i *= 2
		if rapid.Bool().Draw(t, label) {
			i++
		}
	}
	return i * n / 256
}

// move draws a step of a replica, mostly one that is right about the partition.
func (g commands) move(t *rapid.T, v *View, kind Kind) Command {
	right := func(what string) bool { return even(t, 8, what) > 0 }
	h := g.holder(t, v)
	c := step(uint32(rapid.IntRange(0, modelPartitions).Draw(t, "partition")), uint64(rapid.IntRange(1, 3).Draw(t, "generation")),
		uint64(rapid.IntRange(0, 15).Draw(t, "replica")))
	var p Partition
	if len(v.Table) > 0 && right("partition as is") {
		c.Partition %= uint32(len(v.Table))
		if list := v.wanting(kind); len(list) > 0 && right("one that may") {
			c.Partition = list[even(t, len(list), "which")]
		}
		p = v.Table[c.Partition]
		if right("generation as is") {
			c.Generation = p.Generation
		}
		r := p.Replicas[even(t, len(p.Replicas), "its replica")]
		if o, ok := p.Changing(); ok && kind != KindStopped && right("the one on its way") {
			r = o
		}
		for _, o := range p.Replicas {
			if kind == KindStopped && !o.Stopped && !v.ConfirmedDead(o) && right("one that has not stopped") {
				r = o
			}
		}
		if right("replica as is") {
			c.Replica = r.ID
			if kind != KindAddReplica {
				h = r.Holder
			}
		}
	}
	switch kind {
	case KindAddReplica:
		return &AddReplica{Partition: c.Partition, Generation: c.Generation, Holder: h}
	case KindPromote:
		return &Promote{c}
	case KindRetire:
		return &Retire{c}
	case KindDropReplica:
		return &DropReplica{c}
	case KindPrefer:
		return &Prefer{Partition: c.Partition, Generation: c.Generation, Member: h.Member}
	case KindStopForRecovery:
		return &StopForRecovery{Partition: c.Partition, Generation: c.Generation}
	default:
		return &Stopped{ReplicaStep: c, Incarnation: h.Incarnation, Term: uint64(rapid.IntRange(0, 2).Draw(t, "term")),
			Index: uint64(rapid.IntRange(0, 2).Draw(t, "index"))}
	}
}

// ending draws what comes of a partition stopped for recovery if all goes well: its survivors stop, and it is recovered from one of them.
func (g commands) ending(t *rapid.T, v *View, partition uint32) (list []Command) {
	p := v.Table[partition]
	for _, r := range p.Replicas {
		if !v.ConfirmedDead(r) {
			list = append(list, &Stopped{step(partition, p.Generation, r.ID), r.Incarnation,
				uint64(rapid.IntRange(0, 2).Draw(t, "term")), uint64(rapid.IntRange(0, 2).Draw(t, "index"))},
				&RecoverPartition{Partition: partition, FromGeneration: p.Generation, Replicas: []Holder{r.Holder}, Preferred: r.Member})
		}
	}
	return list
}

// wanting returns partitions at which a step can be taken that seldom can.
func (v *View) wanting(kind Kind) (list []uint32) {
	for i := range v.Table {
		p := &v.Table[i]
		r, changing := p.Changing()
		if kind == KindPromote && r.Role == RoleLearner || kind == KindDropReplica && r.Role == RoleLeaving ||
			kind == KindAddReplica && !changing || kind == KindStopForRecovery && !p.StoppedForRecovery && !v.hasQuorum(p) ||
			kind == KindStopped && p.StoppedForRecovery {
			list = append(list, uint32(i))
		}
	}
	return list
}

// partitionBytes returns each partition's encoding.
func partitionBytes(v *View) (list [][]byte) {
	for i := range v.Table {
		list = append(list, v.Table[i].append(nil))
	}
	return list
}

// checkPartitions fails the test if partitions went from what they were in a way that no command may cause, or are not judged as the
// model does. It keeps in seen whether a replica ID is in use.
func checkPartitions(t *rapid.T, was [][]byte, c Command, v *View, m *model, seen map[uint64]bool) {
	inUse := map[uint64]bool{}
	for i := range v.Table {
		p := &v.Table[i]
		if n := len(p.Replicas) - p.Voters(); n > 1 {
			t.Fatalf("partition %d: %d replicas come or go: %+v", i, n, p)
		}
		if p.FromSurvivor && p.InitialReplicas != 1 {
			t.Fatalf("partition %d: from a survivor with %d replicas", i, p.InitialReplicas)
		}
		if got, want := v.mayHaveQuorum(p), m.mayHaveQuorum(p); got != want {
			t.Fatalf("partition %d may have a quorum: %t, by the groups that may be %t: %+v", i, got, want, p)
		}
		if got, want := v.hasQuorum(p), m.hasQuorum(p); got != want {
			t.Fatalf("partition %d has a quorum: %t, by the groups that may be %t: %+v", i, got, want, p)
		}
		if got, want := v.mayHaveLost(p), m.mayHaveLost(p); got != want {
			t.Fatalf("partition %d may have lost something: %t, by the groups that may be %t: %+v", i, got, want, p)
		}
		for _, r := range p.Replicas {
			inUse[r.ID] = true
			if used, ok := seen[r.ID]; ok && !used {
				t.Fatalf("partition %d: replica %d is back", i, r.ID)
			}
		}
		if i >= len(was) || bytes.Equal(was[i], p.append(nil)) {
			continue
		}
		r := wire.NewReader(was[i])
		var old Partition
		old.decode(&r)
		_, stops := c.(*Stopped)
		_, recovers := c.(*RecoverPartition)
		if old.StoppedForRecovery && !stops && !recovers {
			t.Fatalf("%T%+v changed partition %d, which is stopped for recovery, from %+v to %+v", c, c, i, old, p)
		}
	}
	for id := range seen {
		seen[id] = inUse[id]
	}
	for id := range inUse {
		seen[id] = true
	}
}

// wantsRecovery returns partitions that can be recovered now, or nearly.
func (v *View) wantsRecovery() []uint32 {
	list := v.AllLost()
	for i := range v.Table {
		if p := &v.Table[i]; p.StoppedForRecovery && v.survivors(p) > 0 {
			list = append(list, uint32(i))
		}
	}
	return list
}

// howItBegan names the ways in which a generation can follow another.
func howItBegan(was []byte, is *Partition) string {
	r := wire.NewReader(was)
	var old Partition
	old.decode(&r)
	switch {
	case !is.FromSurvivor:
		return "empty"
	case is.Lost > old.Lost:
		return "nothing kept"
	case is.PossibleLosses > old.PossibleLosses:
		return "possible loss"
	}
	return "from a survivor"
}
