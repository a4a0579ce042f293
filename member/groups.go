package member

import (
	"sync/atomic"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// groups are a member's replicas, of the partitions and of the metadata, with the transports that carry their messages.
type groups struct {
	dataNet, metaNet *raftnet.Transport
	dataReg, metaReg *raftnet.Registry

	meta       *partition.MetaHost
	metaReady  atomic.Bool // meta may be read
	metaJoined bool        // the metadata replica began as a learner

	host      *partition.Host
	hostReady atomic.Bool // host may be read
}

// partitions returns how many partitions the cluster has; 0 while that is not known.
func (g *groups) partitions() int {
	if v := g.metaView(); v != nil {
		return v.PartitionCount
	}
	return 0
}

// metaView returns the metadata as this member has applied it, nil before its replica runs.
func (g *groups) metaView() *meta.View {
	if !g.metaReady.Load() {
		return nil
	}
	return g.meta.View()
}

// dataHost returns the host of the partitions, nil before it runs.
func (g *groups) dataHost() *partition.Host {
	if !g.hostReady.Load() {
		return nil
	}
	return g.host
}

// cutTransports ends the connections that carry Raft. It may be called twice, and before the hosts are closed.
func (g *groups) cutTransports() {
	if g.dataNet != nil {
		_ = g.dataNet.Close() // never fails
	}
	if g.metaNet != nil {
		_ = g.metaNet.Close() // never fails
	}
}

// holds reports whether a member has a replica of a partition that its present process holds.
func holds(v *meta.View, t *meta.Partition, member wire.ID) bool {
	r, ok := t.Replica(member)
	mb := v.Member(member)
	return ok && mb != nil && mb.Incarnation == r.Incarnation
}
