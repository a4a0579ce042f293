package member

import (
	"sync/atomic"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/raftnet"
)

// groups are the transports of Raft, the registries of where replicas are, and the host of the partitions.
type groups struct {
	dataNet, metaNet *raftnet.Transport
	dataReg, metaReg *raftnet.Registry

	host      *partition.Host
	hostReady atomic.Bool // host may be read
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
