package meta

import (
	"bytes"
	"slices"
	"sort"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// View is the metadata as it stood after some command. It never changes, nor does anything that it refers to: readers share
// it without a lock and must not write to it.
type View struct {
	Version uint64 // counts accepted changes of anything but Time; above the bits that count stands the generation
	Time    int64  // cluster time last kept, in milliseconds

	Cluster        wire.ID // zero until the cluster is bootstrapped
	Name           string
	PartitionCount int
	ReplicasWanted int
	Durable        bool   // data outlives the process: a member that starts again still holds its replicas
	Level          uint32 // feature level: what all members may use

	// InitialVoters began the metadata group, in the order of their replica IDs there, from 1. A zero ID stands for one that was
	// forgotten.
	InitialVoters []wire.ID

	Members []Member    // in order of ID
	Table   []Partition // by partition; empty until it is created

	// Invariant: every metadata replica ID ever given out is below NextMeta, every data replica ID below NextReplica.
	NextMeta    uint64
	NextReplica uint64

	Maps        wire.MapConfigs // what is set for maps
	MapsVersion uint64          // Version when Maps was last changed; 0 if it never was
}

// Generation tells which Raft group keeps the metadata, from 0: one that has lost its quorum for good is followed by another, which
// begins with what a member that was left had. Every version of a later generation is greater than any of an earlier one.
func (v *View) Generation() uint64 { return wire.Stamp(v.Version).Generation() }

// Bootstrapped reports whether the cluster is bootstrapped.
func (v *View) Bootstrapped() bool { return !v.Cluster.IsZero() }

// Member returns the member with an ID, or nil. The result is part of the view.
func (v *View) Member(id wire.ID) *Member {
	if i, ok := v.find(id); ok {
		return &v.Members[i]
	}
	return nil
}

// find returns the place of a member in Members, or where it would be.
func (v *View) find(id wire.ID) (int, bool) {
	// By hand: the search of package slices copies a Member for each comparison.
	return sort.Find(len(v.Members), func(i int) int { return bytes.Compare(id[:], v.Members[i].ID[:]) })
}

// Named returns the live member that holds a name, or nil. The result is part of the view.
func (v *View) Named(name string) *Member {
	for i := range v.Members {
		if m := &v.Members[i]; m.Name == name && m.Live() {
			// A name is free again when its member has left or is dead, so only live ones count.
			return m
		}
	}
	return nil
}

// Candidates returns the members that may be given replicas, for Plan: those that are ready.
func (v *View) Candidates() []Candidate {
	var list []Candidate
	for i := range v.Members {
		if m := &v.Members[i]; m.State == StateReady {
			// A member that joins or drains holds what it has, and is planned nothing new.
			list = append(list, Candidate{ID: m.ID, Incarnation: m.Incarnation, Zone: m.Zone, Lite: m.Lite})
		}
	}
	return list
}

// Holds reports whether a member holds a replica.
func (v *View) Holds(member wire.ID) bool {
	return slices.ContainsFunc(v.Table, func(p Partition) bool { _, ok := p.Replica(member); return ok })
}

// Runs reports whether a member has a replica of a partition that its present process runs.
func (v *View) Runs(t *Partition, member wire.ID) bool {
	r, ok := t.Replica(member)
	mb := v.Member(member)
	return ok && mb != nil && mb.Incarnation == r.Incarnation
}

// names reports whether an incarnation stands anywhere in the view.
func (v *View) names(incarnation wire.ID) bool {
	// The table may still name starts that their members have left behind.
	return slices.ContainsFunc(v.Members, func(m Member) bool { return m.Incarnation == incarnation }) ||
		slices.ContainsFunc(v.Table, func(p Partition) bool {
			return slices.ContainsFunc(p.Replicas, func(r Replica) bool { return r.Incarnation == incarnation })
		})
}
