package member

import (
	"slices"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// status sums up what this member knows of the cluster. A member counts as alive while the process that it is registered at
// answers this one.
func (m *Member) status() wire.Status {
	v := m.metaView()
	st := wire.Status{ID: v.Cluster, Name: m.cfg.ClusterName, State: "forming", Partitions: uint32(v.PartitionCount), Skew: m.skew()}
	st.OutOfStep = m.outOfStep(v)
	st.MetadataLed = m.metaLed()
	alive := make(map[wire.ID]wire.ID) // members and the incarnations that answer
	holders := 0
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.Live() {
			continue
		}

		st.Members++
		// What a draining member holds moves away, so it is no place for replicas.
		if !mb.Lite && mb.State != meta.StateDraining {
			holders++
		}
		if !slices.Contains(st.Versions, mb.Version) {
			st.Versions = append(st.Versions, mb.Version)
		}
		if !m.peers.Answers(mb.ID, mb.Incarnation) {
			continue
		}

		alive[mb.ID] = mb.Incarnation
		if mb.State == meta.StateReady {
			st.Ready++
		}
	}

	slices.Sort(st.Versions)
	// A small cluster is complete with as many replicas as it has holders.
	st.Replicas = uint32(min(v.ReplicasWanted, max(1, holders)))
	if len(v.Table) == 0 {
		return st
	}

	// Who answers is decided once, above, so all counts below rest on the same picture.
	m.countPartitions(v, alive, &st)
	if st.NoRoom = m.replicasWithoutRoom(v); st.NoRoom > 0 {
		st.Reason = m.control.NoRoomReason(v, st.NoRoom)
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

// countPartitions fills in what depends on the partitions: what is missing, and how many members may still be lost.
func (m *Member) countPartitions(v *meta.View, alive map[wire.ID]wire.ID, st *wire.Status) {
	placed := make(map[wire.ID]uint32) // replicas that each member that answers should run
	st.Tolerates = st.Members
	for p := range v.Table {
		t := &v.Table[p]
		there, stay, voting, owner, owned := uint32(0), uint32(0), 0, m.views.Owner(p), false
		for _, r := range t.Replicas {
			// A learner has no vote, so it helps no majority yet.
			if r.Role == meta.RoleLearner {
				continue
			}
			voting++
			if inc, ok := alive[r.Member]; ok && inc == r.Incarnation {
				there++
				// A replica that is about to leave counts for the quorum now, and not for safety later.
				if r.Role == meta.RoleVoter {
					stay++
				}
				placed[r.Member]++
				owned = owned || owner.Owner == r.Member && wire.Stamp(owner.Epoch).Generation() == t.Generation
			}
		}

		// A surplus replica and a stopped partition count too: their next steps are not in the table yet.
		if _, changing := t.Changing(); changing || t.StoppedForRecovery || t.Voters() > int(st.Replicas) {
			st.Moves++
		}

		// Where one partition is out of service, the cluster bears no further loss, whatever the other partitions could bear.
		if quorum := uint32(voting/2 + 1); !owned || there < quorum || t.StoppedForRecovery {
			st.Unavailable++
			st.Tolerates = 0
		} else {
			st.Tolerates = min(st.Tolerates, there-quorum)
		}

		if stay < st.Replicas {
			st.UnderReplicated++
		}
		if t.Lost > 0 {
			st.Lost++
		}
		if t.PossibleLosses > 0 {
			st.PossibleDataLoss++
		}
	}

	// Of replicas that do not run yet, or have nobody to follow, only the number is known.
	var behind uint32
	for id, n := range placed {
		if runs := m.running(id, alive[id]); runs < n {
			behind = max(behind, n-runs)
		}
	}

	if st.UnderReplicated = max(st.UnderReplicated, behind); behind > 0 {
		st.Tolerates = 0
	}
}

// replicasWithoutRoom returns how many replicas are placed nowhere for want of memory. The member that controls the cluster says so.
func (m *Member) replicasWithoutRoom(v *meta.View) uint32 {
	switch mb := m.meta.LeadingMember(); {
	case mb == nil:
		return 0
	case mb.ID == m.id:
		return m.control.NoRoom()
	default:
		// The controller's member tells this number in each answer to a heartbeat.
		said, _, _ := m.peers.Said(mb.ID, mb.Incarnation)
		return said.NoRoom
	}
}

// metaLed reports whether a member that answers leads the metadata.
func (m *Member) metaLed() bool {
	mb := m.meta.LeadingMember()
	return mb != nil && mb.Live() && m.peers.Answers(mb.ID, mb.Incarnation)
}

// running returns how many replicas that know a leader a member runs.
func (m *Member) running(id, incarnation wire.ID) uint32 {
	if id == m.id {
		return m.runningHere()
	}
	said, _, _ := m.peers.Said(id, incarnation)
	return said.Replicas
}

func (m *Member) runningHere() uint32 {
	host, n := m.dataHost(), uint32(0)
	if host == nil {
		return 0
	}
	for p := range m.partitions() {
		// A replica that knows no leader cannot follow, so it does not count as caught up.
		if st, ok := host.Status(p); ok && st.Leader != 0 {
			n++
		}
	}
	return n
}

// partitionInfos describes every partition, with the index applied by the replica held here.
func (m *Member) partitionInfos() []wire.PartitionInfo {
	v := m.metaView()
	out := make([]wire.PartitionInfo, len(v.Table))
	for p := range v.Table {
		moved := m.views.Owner(p)
		out[p] = wire.PartitionInfo{Epoch: moved.Epoch, Owner: moved.Owner}
		for _, r := range v.Table[p].Replicas {
			out[p].Replicas = append(out[p].Replicas, r.Member)
		}
		// Only members with a replica can say how far the partition's log was applied.
		if st, ok := m.host.Status(p); ok {
			out[p].Index = st.Applied
		}
	}
	return out
}

// pong answers a ping.
func (m *Member) pong(b wire.PingBody) wire.PingResult {
	res := wire.PingResult{ClockSet: m.clock.IsSet(), Wall: m.cfg.Wall().UnixMicro(), NATS: m.natsDigest}
	if res.ClockSet {
		res.Clock = m.clock.NowMicros()
	}

	res.Limit, res.NoRoom = uint64(m.cfg.MaxMemory), m.control.NoRoom()
	host := m.dataHost()
	// Before the partitions run, the answer is about the clock and the memory's bound.
	if host == nil {
		return res
	}
	if m.cfg.MaxMemory > 0 {
		res.Used, res.Expected = uint64(m.maps.Used()), uint64(m.memory.Expected())
	}

	// What is owned is told by epochs: of two members that claim a partition, the later epoch counts.
	owned := make([]wire.Owned, 0, 64)
	for p := range m.partitions() {
		if e := host.Serving(p); e != 0 {
			owned = append(owned, wire.Owned{Partition: uint32(p), Epoch: e})
			if b.Sizes {
				res.Sizes = append(res.Sizes, wire.PartitionSize{Partition: uint32(p), Bytes: uint64(m.maps.Size(p))})
			}
		}
	}

	res.Replicas = m.runningHere()
	m.owned.Lock()
	// Pings come ten times a second from each member, so the list is sent only to those who lack this version.
	if !slices.Equal(m.owned.list, owned) {
		m.owned.list = owned
		m.owned.version++
	}

	res.Version = m.owned.version
	m.owned.Unlock()
	if res.Changed = res.Version != b.Have; res.Changed {
		res.Owned = owned
	}

	return res
}

// leads reports whether this member's metadata replica leads its group, so that it controls the cluster.
func (m *Member) leads() bool {
	if m.metaView() == nil {
		return false
	}
	_, leads := m.meta.Leads()
	return leads
}

// sizeOf returns what the replica of a partition here takes, false before there are replicas.
func (m *Member) sizeOf(p int) (int64, bool) {
	if m.dataHost() == nil {
		return 0, false
	}
	return m.maps.Size(p), true
}

// ownMemory returns how much this member may hold, and what it does hold.
func (m *Member) ownMemory() (limit, used int64) {
	// The maps come with the host, and without them nothing is used.
	if m.dataHost() == nil {
		return m.cfg.MaxMemory, 0
	}
	return m.cfg.MaxMemory, m.maps.Used()
}

// skew returns the largest disagreement of the members' cluster clocks, in milliseconds.
func (m *Member) skew() uint32 {
	return uint32(min(m.clock.Disagreement().Milliseconds(), int64(^uint32(0))))
}
