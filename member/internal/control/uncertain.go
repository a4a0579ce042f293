package control

import (
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// uncertainFor is how long a partition that may have lost its majority stays without an owner until it is stopped for recovery. All that is
// left of it answers meanwhile. It is longer than an election by timeout that follows a failed one. Such an election is needed where one of
// two voters is left, beside a replica that became a voter a moment ago: by the table no other voter can agree that the leader is down.
const uncertainFor = partition.ElectionMost + time.Second

// A group may be a step further than the table: a replica that comes may vote already, and one that leaves may vote no more. Where other
// replicas are confirmed dead, it can depend on this replica whether the rest is a majority. No member can tell: a change may be in logs
// without being known as committed. A majority elects an owner. Where nobody comes to own the partition although all that is left of it
// answers, there is none.

// uncertain returns the partitions that may have lost their majority and have been without an owner for uncertainFor. It is called at every
// step.
func (c *controller) uncertain(v *meta.View) []uint32 {
	now := time.Now()
	// An owner that serves proves a majority, whatever the table makes of the group.
	list := slices.DeleteFunc(v.Uncertain(), func(p uint32) bool { return !c.k.ownerless(v, int(p)) })
	// A partition that was owned in between begins to wait from zero.
	since := make(map[uint32]time.Time, len(list))
	for _, p := range list {
		if since[p] = now; !c.ownerless[p].IsZero() {
			since[p] = c.ownerless[p]
		}
	}

	c.ownerless = since
	return slices.DeleteFunc(list, func(p uint32) bool { return now.Sub(since[p]) < uncertainFor })
}

// ownerless reports whether all that is left of a partition answers, and nobody owns it.
func (k *Control) ownerless(v *meta.View, p int) bool {
	t := &v.Table[p]
	for _, r := range t.Replicas {
		switch {
		case v.ConfirmedDead(r):
			// A dead process cannot own anything, so its silence says nothing.
		case r.Member == k.Self:
			if host := k.Host(); host == nil || wire.Stamp(host.Serving(p)).Generation() == t.Generation {
				return false
			}
		default:
			said, _, ok := k.Peers.Said(r.Member, r.Incarnation)
			if !ok {
				// A survivor that does not answer may be the owner.
				return false
			}
			for _, o := range said.Owned {
				if int(o.Partition) == p && wire.Stamp(o.Epoch).Generation() == t.Generation {
					return false
				}
			}
		}
	}

	return true
}
