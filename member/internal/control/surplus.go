package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// groupsEvery is how often an owner looks which of its groups have changed since it last compared them with the table.
	groupsEvery = time.Second
	// metaGroupEvery is how often the controller compares the metadata group with the members that have a place in it.
	metaGroupEvery = 2 * time.Second
	// surplusFor bounds the comparison of the metadata group.
	surplusFor = time.Second
)

// A group may have a replica that the table does not know: an owner asked for a learner, lost its partition, and its proposal was
// committed after the table had given the learner up. Nobody would ever remove it: the leader would send to it for as long as the
// group lives, and hold its log for it. So owners compare.

// comparedGroup is the state of a group that was found to agree with the table.
type comparedGroup struct {
	generation uint64
	change     uint64 // see partition.Host.GroupChanges
}

// compareGroups has each group compared with the table that has changed since it last was, or that this member has only just come to
// own.
func (mv *mover) compareGroups(v *meta.View) {
	k := mv.k
	if time.Since(mv.looked) < groupsEvery {
		return
	}

	// The library is asked for all groups at once, so this costs the same for one change as for many.
	mv.looked = time.Now()
	for p, change := range k.Host().GroupChanges() {
		if p >= len(v.Table) || change == 0 || mv.busy[p].Load() {
			continue
		}
		t := &v.Table[p]
		epoch := k.Host().Serving(p)
		if epoch == 0 {
			// Whoever owns the partition next compares again. That may be this member.
			mv.compared[p] = comparedGroup{}
			continue
		}
		// A group in the middle of a step differs from the table by that step. It is compared when the step has been reported.
		now := comparedGroup{t.Generation, change}
		if _, changing := t.Changing(); changing || t.StoppedForRecovery || wire.Stamp(epoch).Generation() != t.Generation || mv.compared[p] == now {
			continue
		}
		mv.start(p, func(ctx context.Context) error {
			surplus, err := mv.removeSurplus(ctx, p)
			if err == nil && surplus == 0 {
				// While the partition is busy, nothing else writes here.
				mv.compared[p] = now
			}
			return err
		})
	}
}

// removeSurplus removes the replicas of a partition's group that the table does not know, and returns how many there were.
//
// The group is read before the table. A replica's ID stands in the table before the group is given it, and is never given out again:
// one that the group had, and that a table which is certainly not older does not have, is surplus for good. So a step that is under
// way, or whose news has not come here yet, is safe.
func (mv *mover) removeSurplus(ctx context.Context, p int) (surplus int, err error) {
	k := mv.k
	generation := k.View().Table[p].Generation
	group, err := k.Host().Group(ctx, p)
	if err != nil {
		return 0, err
	}

	// Almost always the two agree, and the barrier below costs a round in the metadata group.
	if len(surplusOf(group, &k.View().Table[p])) == 0 {
		return 0, nil
	}

	if err := k.Meta.Barrier(ctx); err != nil {
		return 0, fmt.Errorf("read the newest table: %w", err)
	}

	v := k.View()
	t := &v.Table[p]
	if t.Generation != generation || t.StoppedForRecovery {
		// The recovery ends this group, and its surplus replicas with it.
		return 0, nil
	}

	// Compared again with the newest table: the replica may only have been missing in the older one.
	list := surplusOf(group, t)
	for _, one := range list {
		// The surplus replica may be needed for commits until another replica has come.
		if one.Voter && !k.canLose(group, t, one.Replica) {
			return len(list), fmt.Errorf("replica %d, which the table does not know, is still needed for a majority", one.Replica)
		}
		if err := k.Host().Remove(ctx, p, one.Replica); err != nil {
			return len(list), err
		}
		k.Logger.Info("a replica that the table does not know was removed from its group", "partition", p, "replica", one.Replica, "voter", one.Voter)
	}

	return len(list), nil
}

// surplusOf returns the replicas of a group that the table does not know.
func surplusOf(group []partition.GroupMember, t *meta.Partition) []partition.GroupMember {
	var list []partition.GroupMember
	for _, one := range group {
		if !slices.ContainsFunc(t.Replicas, func(r meta.Replica) bool { return r.ID == one.Replica }) {
			list = append(list, one)
		}
	}

	return list
}

// canLose reports whether the voters of a group that the table knows and that answer are a majority without a replica.
func (k *Control) canLose(group []partition.GroupMember, t *meta.Partition, replica uint64) bool {
	voters, answering := 0, 0
	for _, one := range group {
		if !one.Voter || one.Replica == replica {
			continue
		}
		// Voters that the table does not know count for the majority that is needed, and not among those that answer.
		voters++
		if slices.ContainsFunc(t.Replicas, func(r meta.Replica) bool { return r.ID == one.Replica && k.Peers.Answers(r.Member, r.Incarnation) }) {
			answering++
		}
	}

	return answering > voters/2
}

// removeSurplus does for the metadata group what the owners do for the groups of partitions: it removes what no member has as its
// place.
func (s *metaVoters) removeSurplus(ctx context.Context) {
	if time.Since(s.compared) < metaGroupEvery {
		return
	}

	s.compared = time.Now()
	ctx, cancel := context.WithTimeout(ctx, surplusFor)
	defer cancel()

	// The group is read before the members, for the same reason as in mover.removeSurplus.
	at := s.k.Meta.Replica()
	group, err := s.k.Meta.Group(ctx)
	if err == nil {
		err = s.k.Meta.Barrier(ctx)
	}

	if err != nil {
		s.k.Logger.Debug("the metadata group was not compared with the members", "err", err)
		return
	}

	v := s.k.Meta.View()
	// The metadata were recovered meanwhile. The group that was read has ended.
	if v.Generation() != at.Generation {
		return
	}

	// One replica is removed at a time. Whether another may go depends on what is left.
	for _, one := range group {
		if one.Replica == at.Replica || hasMetaReplica(v, one.Replica) {
			continue
		}
		if one.Voter && !s.canLose(v, group, one.Replica) {
			return
		}
		if err := s.k.Meta.Remove(ctx, one.Replica); err != nil {
			s.k.Logger.Debug("a replica that no member has was not removed from the metadata group", "replica", one.Replica, "err", err)
			return
		}
		s.k.Logger.Info("a replica that no member has was removed from the metadata group", "replica", one.Replica, "voter", one.Voter)
		s.compared = time.Time{} // there may be more
		// Without that voter this member may be the only one, and has to be elected again: see renew.
		s.renewed = s.renewed && !one.Voter
		return
	}
}

// canLose reports whether the metadata group's voters that answer are a majority without a replica.
func (s *metaVoters) canLose(v *meta.View, group []partition.GroupMember, replica uint64) bool {
	voters, answering := 0, 0
	for _, one := range group {
		if !one.Voter || one.Replica == replica {
			continue
		}
		voters++
		if slices.ContainsFunc(v.Members, func(mb meta.Member) bool {
			return mb.MetaReplica == one.Replica && s.k.Peers.Answers(mb.ID, mb.Incarnation)
		}) {
			answering++
		}
	}

	return answering > voters/2
}

// hasMetaReplica reports whether a replica of the metadata is a member's, or of an initial voter that has not registered yet.
func hasMetaReplica(v *meta.View, replica uint64) bool {
	if slices.ContainsFunc(v.Members, func(mb meta.Member) bool { return mb.MetaReplica == replica }) {
		return true
	}

	// The first replica IDs are those of the initial voters, in their order. One that has not registered is still expected.
	i := int(replica) - 1
	return i < len(v.InitialVoters) && !v.InitialVoters[i].IsZero() && v.Member(v.InitialVoters[i]) == nil
}
