package bootstrap

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Record is what a member remembers of bootstrap, whatever happens to its process. Its zero value is a fresh member's.
type Record struct {
	// Accepted is the Proposal that this member has accepted and does not know to be dead; nil for none.
	// Invariant: its ID is not in Refused.
	Accepted *Proposal
	// Refused holds the cluster IDs of the proposals that this member knows to be dead: those it refused, and those it
	// accepted and then heard to be dead. It only grows.
	Refused []wire.ID
	// ClusterID is the cluster to which the member belongs; zero for none. It is written once.
	// Invariant: whoever has the ID of Accepted here knows Accepted to be decided.
	ClusterID wire.ID
	// Addrs is where the cluster's members were when ClusterID was written.
	Addrs []string
}

// Decided returns the Proposal by which this member bootstrapped its cluster, or nil if it has none or joined it.
func (r Record) Decided() *Proposal {
	if r.Accepted != nil && r.Accepted.ClusterID == r.ClusterID {
		return r.Accepted
	}
	return nil
}

// clone returns a copy that shares nothing that changes. Proposals never change.
func (r Record) clone() Record {
	r.Refused = slices.Clone(r.Refused)
	r.Addrs = slices.Clone(r.Addrs)
	return r
}

// validate reports what no member could have written.
func (r Record) validate() error {
	// A record that breaks one of these was not written by a member: it was damaged or edited.
	if r.Accepted != nil {
		if err := r.Accepted.validate(); err != nil {
			return fmt.Errorf("accepted: %w", err)
		}
		if slices.Contains(r.Refused, r.Accepted.ClusterID) {
			return fmt.Errorf("proposal %v is both accepted and dead", r.Accepted.ClusterID)
		}
	}

	// The machine stops before these bounds, so more was not written by it.
	if len(r.Refused) > MaxRefused {
		return fmt.Errorf("%d dead proposals, at most %d are kept", len(r.Refused), MaxRefused)
	}
	if !r.ClusterID.IsZero() && slices.Contains(r.Refused, r.ClusterID) {
		return fmt.Errorf("cluster %v comes from a dead proposal", r.ClusterID)
	}
	if len(r.Addrs) != len(boundAddrs(r.Addrs)) {
		return fmt.Errorf("%d addresses that exceed the bounds", len(r.Addrs))
	}
	return nil
}

// succeeds reports why a member that promised old may not come to r. It is the last guard before the disk: no record that
// takes back a promise is ever written.
func (r Record) succeeds(old Record) error {
	if err := r.validate(); err != nil {
		return err
	}
	// A member belongs to one cluster for ever. In a second one its replica IDs would mean other replicas.
	if !old.ClusterID.IsZero() && r.ClusterID != old.ClusterID {
		return fmt.Errorf("cluster ID %v replaced by %v", old.ClusterID, r.ClusterID)
	}
	// Without a refusal on record this member could accept what it told others is dead.
	if len(r.Refused) < len(old.Refused) || !slices.Equal(r.Refused[:len(old.Refused)], old.Refused) {
		return fmt.Errorf("dead proposals forgotten")
	}
	// An acceptance ends only with the death of its proposal: the others may have counted it.
	if was := old.Accepted; was != nil && !slices.Contains(r.Refused, was.ClusterID) {
		if r.Accepted == nil || !r.Accepted.equal(was) {
			return fmt.Errorf("proposal %v was accepted and is forgotten", was.ClusterID)
		}
	}
	return nil
}
