package metadata

import (
	"slices"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// follow tells of the metadata whenever they change, and notes where the group's members are. It ends with the context of Start.
func (md *Metadata) follow() {
	defer md.wg.Done()
	var saved []wire.MetaMember
	for {
		// This is taken before the view, so that no change between the two is missed.
		changed := md.Changed()
		v := md.View()
		// The transport finds members by replica. It must know a new replica before the group sends to it.
		for i := range v.Members {
			if mb := &v.Members[i]; mb.MetaReplica != 0 {
				md.cfg.Registry.Set(partition.MetaShard(v.Generation()), mb.MetaReplica, mb.ID.String())
			}
		}

		// The list on disk is how a restarted member finds the others, whose addresses may have changed.
		if now := membersOf(v, md.participants); len(now) > 0 {
			var err error
			if saved, err = saveMembers(md.cfg.Dir, saved, now); err != nil {
				md.log.Warn("the list of members was not saved", "err", err)
			}
		}

		// Before the start is over, this incarnation may not be registered yet.
		if reason := md.notIn(v); reason != "" && md.cfg.Started() {
			md.cfg.Removed(reason)
		}

		md.cfg.Followed(v)
		select {
		case <-changed:
		case <-md.life.Done():
			return
		}
	}
}

// locate tells the registry where members of a generation of the group are.
func (md *Metadata) locate(generation uint64, members []wire.MetaMember) {
	for _, s := range members {
		md.cfg.Registry.Set(partition.MetaShard(generation), s.Replica, s.Member.String())
	}
}

// membersOf returns the members of the metadata group that a view names, and the initial voters that have not registered yet. Without these, a
// member that joins early would know no voter to ask.
func membersOf(v *meta.View, participants []bootstrap.Participant) (members []wire.MetaMember) {
	for i := range v.Members {
		if mb := &v.Members[i]; mb.MetaReplica != 0 {
			members = append(members, wire.MetaMember{Replica: mb.MetaReplica, Member: mb.ID, PeerAddr: mb.PeerAddr})
		}
	}

	if v.Generation() > 0 {
		// The initial members belong to the first generation. Another member began this one alone.
		return members
	}

	for _, s := range participants {
		if slices.Contains(v.InitialVoters, s.Member) && v.Member(s.Member) == nil {
			members = append(members, wire.MetaMember{Replica: s.ReplicaID, Member: s.Member, PeerAddr: s.PeersAddr})
		}
	}
	return members
}
