package sdk

import (
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// table is what the client knows of the cluster: its members, and the owner of each partition. A table is never changed: merging
// makes a new one. The members are those of the view with the greatest Meta. A partition's owner is the owner with the greatest epoch
// that any member has told.
type table struct {
	cluster  wire.ID
	name     string
	meta     uint64
	members  []wire.MemberInfo
	replicas [][]wire.ID // by partition, as of meta
	routes   []route     // by partition
}

// route says who owns a partition. owner is nil while no owner is known.
type route struct {
	epoch uint64
	owner *peer
}

// member returns the member with an ID, nil if there is none.
func (t *table) member(id wire.ID) *wire.MemberInfo {
	for i := range t.members {
		if t.members[i].ID == id {
			return &t.members[i]
		}
	}
	return nil
}

// merge returns the table with what v adds, and whether that is anything. peerOf returns the peer for a member; it is
// called for owners only.
func (t *table) merge(v *wire.Table, peerOf func(*wire.MemberInfo) *peer) (*table, bool) {
	out := *t
	changed := false
	// Members come from the metadata and owners from the partitions. The two have versions of their own.
	if len(t.members) == 0 || v.Meta > t.meta {
		changed = true
		out.cluster, out.name, out.meta, out.members = v.Cluster, v.Name, v.Meta, v.Members
		out.replicas = make([][]wire.ID, len(v.Partitions))
		for i := range v.Partitions {
			for _, m := range v.Partitions[i].Replicas {
				out.replicas[i] = append(out.replicas[i], v.Members[m].ID)
			}
		}
	}

	owned := false // whether out.routes is a copy already
	for i := range v.Partitions {
		p := &v.Partitions[i]
		if i < len(out.routes) && !newer(out.routes[i], p.Epoch, p.Owner != wire.NoOwner) {
			// This table knows the same owner already, or a later one.
			continue
		}

		// Routes are shared with the earlier table, which must not change.
		if !owned {
			owned, changed = true, true
			out.routes = slices.Grow(slices.Clone(out.routes), len(v.Partitions))
			for len(out.routes) < len(v.Partitions) {
				out.routes = append(out.routes, route{})
			}
		}

		out.routes[i] = route{epoch: p.Epoch}
		if p.Owner != wire.NoOwner {
			out.routes[i].owner = peerOf(&v.Members[p.Owner])
		}
	}
	return &out, changed
}

// mergeOwner is merge for one partition, as a member answers that it is not the owner.
func (t *table) mergeOwner(partition int, epoch uint64, owner *peer) (*table, bool) {
	if partition >= len(t.routes) || !newer(t.routes[partition], epoch, owner != nil) {
		return t, false
	}

	// Readers use tables without a lock, so this one is copied and not changed.
	out := *t
	out.routes = slices.Clone(t.routes)
	out.routes[partition] = route{epoch: epoch, owner: owner}
	return &out, true
}

// newer reports whether (epoch, owned) tells more than r: a later ownership, or the owner under the same epoch.
func newer(r route, epoch uint64, owned bool) bool {
	return epoch > r.epoch || epoch == r.epoch && r.owner == nil && owned
}
