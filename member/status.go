package member

import (
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// status sums up what this member knows of the cluster.
func (m *Member) status() wire.Status {
	v := m.metaView()
	st := wire.Status{ID: v.Cluster, Name: m.cfg.ClusterName, State: "forming", Partitions: uint32(v.PartitionCount),
		Skew: uint32(m.clock.Disagreement().Milliseconds())}
	live := make(map[wire.ID]wire.ID) // members that answer, and their incarnations
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.Live() {
			continue
		}
		st.Members++
		if !slices.Contains(st.Versions, mb.Version) {
			st.Versions = append(st.Versions, mb.Version)
		}
		if !m.peers.answers(mb.ID, mb.Incarnation) {
			continue
		}
		live[mb.ID] = mb.Incarnation
		if mb.State == meta.StateReady {
			st.Ready++
		}
	}
	slices.Sort(st.Versions)
	st.Replicas = uint32(min(v.ReplicasWanted, int(st.Members)))
	if len(v.Table) == 0 {
		return st
	}
	st.Tolerates = st.Members
	for p := range v.Table {
		alive := uint32(0)
		for _, r := range v.Table[p].Replicas {
			if live[r.Member] == r.Incarnation {
				alive++
			}
		}
		quorum := uint32(len(v.Table[p].Replicas)/2 + 1)
		owner := m.views.moved(p).Owner
		_, ownerLives := live[owner]
		switch {
		case owner.IsZero() || !ownerLives || alive < quorum:
			st.Unavailable++
			st.Tolerates = 0
		default:
			st.Tolerates = min(st.Tolerates, alive-quorum)
		}
		if alive < st.Replicas {
			st.UnderReplicated++
		}
		st.Lost += uint32(v.Table[p].Lost)
	}
	st.Safe = st.Unavailable == 0 && st.UnderReplicated == 0 && st.Moves == 0
	switch {
	case st.Unavailable > 0:
		st.State = "unavailable"
	case st.UnderReplicated > 0:
		st.State = "degraded"
	default:
		st.State = "active"
	}
	return st
}

// partitionInfos describes every partition, with the index applied by the replica held here.
func (m *Member) partitionInfos() []wire.PartitionInfo {
	v := m.metaView()
	out := make([]wire.PartitionInfo, len(v.Table))
	for p := range v.Table {
		moved := m.views.moved(p)
		out[p] = wire.PartitionInfo{Epoch: moved.Epoch, Owner: moved.Owner}
		for _, r := range v.Table[p].Replicas {
			out[p].Replicas = append(out[p].Replicas, r.Member)
		}
		if st, ok := m.host.Status(p); ok {
			out[p].Index = st.Applied
		}
	}
	return out
}

// pong answers a ping.
func (m *Member) pong(have uint64) wire.PingResult {
	res := wire.PingResult{ClockSet: m.clock.IsSet(), Wall: time.Now().UnixMicro()}
	if res.ClockSet {
		res.Clock = m.clock.NowMicros()
	}
	host := m.dataHost()
	if host == nil {
		return res
	}
	owned := make([]wire.Owned, 0, 64)
	for p := range m.partitions() {
		if e := host.Serving(p); e != 0 {
			owned = append(owned, wire.Owned{Partition: uint32(p), Epoch: e})
		}
		if st, ok := host.Status(p); ok && st.Leader != 0 {
			res.Replicas++
		}
	}
	m.owned.Lock()
	if !slices.Equal(m.owned.list, owned) {
		m.owned.list = owned
		m.owned.version++
	}
	res.Version = m.owned.version
	m.owned.Unlock()
	if res.Changed = res.Version != have; res.Changed {
		res.Owned = owned
	}
	return res
}
