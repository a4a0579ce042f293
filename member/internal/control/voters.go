package control

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// voterAwayFor is for how long a member may be away before its metadata replica is removed and another member votes.
	voterAwayFor = 5 * time.Minute
	// forgetAfter is for how long a member that has left, and has neither replicas of partitions nor of the metadata, is remembered.
	forgetAfter = 10 * time.Minute
	// metaCaughtUpFor is how long a learner of the metadata group is given to catch up before it is asked again.
	metaCaughtUpFor = time.Second
)

// metaVoters is the part of the controller that keeps the metadata group in order: one voter up to two members, three from three, five
// from five; every other member learns. A member that leaves may only be starting again. So it stays a voter as long as
// the voters that stay are a majority without it. Otherwise a member that stays becomes a voter in its place, or the group shrinks. A member that
// was drained by an operator, or that has been away for long, is removed from the group at once.
type metaVoters struct {
	k *Control

	compared time.Time // when the group was last compared with the members; the controller's own
	renewed  bool      // this member was elected again since the group shrank to it alone; the controller's own

	mu      sync.Mutex            // guards the following
	leaving map[wire.ID]wire.ID   // members that have asked to leave, with their incarnations
	away    map[wire.ID]time.Time // members that are away, since when this controller knows
}

func newMetaVoters(k *Control) *metaVoters {
	return &metaVoters{k: k, leaving: make(map[wire.ID]wire.ID), away: make(map[wire.ID]time.Time)}
}

// wantedVoters returns how many voters the metadata group of so many members needs.
func wantedVoters(members int) int {
	switch {
	case members >= 5:
		return 5
	case members >= 3:
		return 3
	}

	return 1
}

// metaGroup is how the metadata group is made up.
type metaGroup struct {
	members  int            // who stay, voters and learners
	voters   []*meta.Member // all of them
	good     []*meta.Member // voters that stay
	alive    int            // voters that answer
	learners []*meta.Member // who stay and answer
	leavers  []*meta.Member // voters that do not stay, those that are away first
	keep     int            // of these, those that may only be starting again
	expired  []*meta.Member // members whose metadata replicas are removed in any case
}

// look sums up the metadata group.
func (s *metaVoters) look(v *meta.View) metaGroup {
	s.mu.Lock()
	defer s.mu.Unlock()
	var group metaGroup
	var there []*meta.Member
	for i := range v.Members {
		mb := &v.Members[i]
		answers := s.k.Peers.Answers(mb.ID, mb.Incarnation)
		// Absence counts from the moment at which this controller first saw it: no controller hands its account to the next.
		if mb.Live() && answers {
			delete(s.away, mb.ID)
		} else if _, known := s.away[mb.ID]; !known {
			s.away[mb.ID] = time.Now()
		}
		since, away := s.away[mb.ID]
		// An operator's word, or a long absence, ends the wait for a member to return.
		expired := mb.State == meta.StateDead || away && time.Since(since) > voterAwayFor
		stays := mb.Live() && s.leaving[mb.ID] != mb.Incarnation && !expired && !mb.Drained
		if stays {
			group.members++
		}
		// It counts as a member, for how many voters the group wants. It has no replica that could be changed.
		if mb.MetaReplica == 0 {
			continue
		}
		if expired {
			group.expired = append(group.expired, mb)
		}
		switch {
		case !mb.MetaVoter:
			// A learner that does not answer cannot be promoted, and holds up nobody.
			if stays && answers {
				group.learners = append(group.learners, mb)
			}
			continue
		case stays:
			group.good = append(group.good, mb)
		case answers:
			there = append(there, mb)
		default:
			group.leavers = append(group.leavers, mb)
		}
		// Who left by itself may only be starting again. Drained and expired members are not expected back.
		if !stays && !expired && !mb.Drained {
			group.keep++
		}
		group.voters = append(group.voters, mb)
		if answers {
			group.alive++
		}
	}

	// Those that still answer help the majority, so they leave last.
	group.leavers = append(group.leavers, there...)
	return group
}

// step makes one change of the metadata group, if one is due.
func (s *metaVoters) step(c *controller, v *meta.View) {
	group := s.look(v)
	s.renew(&group)
	want := wantedVoters(group.members)
	ctx, cancel := context.WithTimeout(s.k.ctx, controlTimeout)
	defer cancel()
	// A voter that does not stay may be starting again at this moment, so it is kept. But where the voters that stay are no majority beside it,
	// it is replaced.
	good := len(group.good)
	alone := good <= len(group.voters)/2
	full := wantedVoters(group.members + group.keep)
	if good < want && good+len(group.learners) >= want && (good+group.keep < full || alone) {
		// One change at a time: the next step counts the voters again.
		for _, mb := range group.learners {
			if s.promote(ctx, c, mb) {
				return
			}
		}
	}

	if group.alive <= len(group.voters)/2 {
		// Any change would wait for a majority that does not answer.
		return
	}

	// The group has more voters than it needs: a learner has taken the place of a voter that left.
	replaced := good >= want && len(group.voters) > full
	switch {
	case len(group.leavers) > 0 && good > 0 && (replaced || alone):
		s.removeVoter(ctx, c, v, &group, group.leavers[0])
		return
	case len(group.expired) > 0 && (!group.expired[0].MetaVoter || good > 0):
		s.removeVoter(ctx, c, v, &group, group.expired[0])
		return
	case good > full:
		// The cluster has shrunk. The surplus voter goes on as a learner.
		s.removeVoter(ctx, c, v, &group, s.surplusVoter(group.good))
		return
	}

	// The group is as it should be. What nobody counts on any more is cleared away last.
	s.removeSurplus(ctx)
	s.forget(c, v)
}

// renew has this member elected again if it has become the group's only voter and others learn. Without that it may never send them
// heartbeats: see MetaHost.Renew.
func (s *metaVoters) renew(group *metaGroup) {
	switch {
	case len(group.voters) != 1 || group.voters[0].ID != s.k.Self:
		s.renewed = false
	case len(group.learners) > 0 && !s.renewed:
		s.renewed = s.k.Meta.Renew()
	}
}

// surplusVoter returns which of too many voters is removed: not this one, which leads.
func (s *metaVoters) surplusVoter(voters []*meta.Member) *meta.Member {
	last := voters[len(voters)-1]
	if last.ID == s.k.Self {
		last = voters[len(voters)-2]
	}

	return last
}

// promote makes a learner a voter if it has caught up, and reports whether it did.
func (s *metaVoters) promote(ctx context.Context, c *controller, mb *meta.Member) bool {
	short, cancel := context.WithTimeout(ctx, metaCaughtUpFor)
	defer cancel()
	// A voter that lags would hold back commits, as soon as the majority needs it.
	if a, err := s.k.Peers.Ask(short, mb.ID, wire.OpMetaCaughtUp, nil); err != nil || a.Code != wire.CodeOK {
		return false
	}

	// The group changes before the metadata say so. If this member stops in between, the next controller promotes again, which
	// does no harm.
	if err := s.k.Meta.Promote(ctx, mb.MetaReplica, mb.ID); err != nil {
		s.k.Logger.Debug("a learner of the metadata group was not made a voter", "learner", mb.Name, "err", err)
		return false
	}

	return c.commit(&meta.SetMetaVoter{ID: mb.ID, Replica: mb.MetaReplica, Voter: true})
}

// removeVoter removes a member's replica from the metadata group, unless the voters that answer would be no majority any more. Then a silent
// voter has to be removed first, or to come back. A leader first lets another lead.
func (s *metaVoters) removeVoter(ctx context.Context, c *controller, v *meta.View, group *metaGroup, mb *meta.Member) {
	// A silent voter helps no majority, so the group loses nothing with it. One that answers may be needed.
	if mb.MetaVoter && s.k.Peers.Answers(mb.ID, mb.Incarnation) && group.alive-1 <= (len(group.voters)-1)/2 {
		return
	}

	// A leader that removes itself leaves nobody to complete the removal.
	if mb.ID == s.k.Self {
		s.k.LetLead(ctx, v)
		return
	}

	if err := s.k.Meta.Remove(ctx, mb.MetaReplica); err != nil {
		s.k.Logger.Debug("metadata voter was not removed; the controller tries again", "voter", mb.Name, "err", err)
		return
	}

	// Should the removed replica and this process stop before the others have heard, they would wait for the votes of both.
	if !s.heard(ctx, v, mb.ID) {
		return // the next step asks again
	}

	// The metadata come last: as long as they name the replica, the next controller goes on with the removal.
	c.commit(&meta.DropMeta{ID: mb.ID, Replica: mb.MetaReplica})
}

// heard reports whether a majority of the remaining voters have heard that a voter was removed: see mover.heard.
func (s *metaVoters) heard(ctx context.Context, v *meta.View, gone wire.ID) bool {
	ctx, cancel := context.WithTimeout(ctx, metaCaughtUpFor)
	defer cancel()
	var wg sync.WaitGroup
	var applied atomic.Int64
	voters := 0
	for i := range v.Members {
		mb := &v.Members[i]
		// Learners have no vote, and the voter that was removed may never hear of it.
		if !mb.MetaVoter || mb.ID == gone {
			continue
		}
		if voters++; mb.ID == s.k.Self {
			applied.Add(1)
			continue
		}
		wg.Go(func() { // ends with its call
			if a, err := s.k.Peers.Ask(ctx, mb.ID, wire.OpMetaCaughtUp, nil); err == nil && a.Code == wire.CodeOK {
				applied.Add(1)
			}
		})
	}

	// The removed voter does not count, so the majority is that of the smaller group.
	wg.Wait()
	return applied.Load() > int64(voters/2)
}

// LetLead asks another voter that stays to lead the metadata group, and reports whether there is one that could.
func (k *Control) LetLead(ctx context.Context, v *meta.View) bool {
	for i := range v.Members {
		mb := &v.Members[i]
		if mb.MetaVoter && mb.ID != k.Self && mb.Live() && mb.State != meta.StateDraining && k.Peers.Answers(mb.ID, mb.Incarnation) {
			// One voter is asked. With several campaigning at a time none might win.
			ctx, cancel := context.WithTimeout(ctx, metaCaughtUpFor)
			defer cancel()
			if a, err := k.Peers.Ask(ctx, mb.ID, wire.OpMetaLead, nil); err != nil || a.Code != wire.CodeOK {
				k.Logger.Debug("another does not lead the metadata group yet", "other", mb.Name, "answer", string(a.Body), "err", err)
			}
			// Even without an answer the other may be campaigning. The caller looks who leads before it asks again.
			return true
		}
	}

	return false
}

// forget removes the memory of members that left long ago.
func (s *metaVoters) forget(c *controller, v *meta.View) {
	s.mu.Lock()
	var list []meta.Command
	for i := range v.Members {
		mb := &v.Members[i]
		// Without replicas of either kind, nothing in the cluster refers to the member any more.
		if since, away := s.away[mb.ID]; away && !mb.Live() && mb.MetaReplica == 0 && time.Since(since) > forgetAfter && !v.Holds(mb.ID) {
			list = append(list, &meta.Forget{ID: mb.ID, Incarnation: mb.Incarnation})
		}
	}

	// Members that the metadata have forgotten must not be kept here either.
	for id := range s.away {
		if v.Member(id) == nil {
			delete(s.away, id)
			delete(s.leaving, id)
		}
	}

	// A commit waits for other members, so it is not made under the lock.
	s.mu.Unlock()
	c.commitAll(list)
}

// CanSpare answers a member that leaves and asks whether the metadata group can do without it. The one that leads sees to it that it
// can.
func (s *metaVoters) CanSpare(id, incarnation wire.ID) error {
	v := s.k.Meta.View()
	mb := v.Member(id)
	// Another incarnation has started meanwhile. It did not ask.
	if mb == nil || mb.Incarnation != incarnation {
		return fmt.Errorf("member %s is not at incarnation %s", id, incarnation)
	}

	// Only the controller of the leader makes another voter in the place of the one that leaves.
	if _, leads := s.k.Meta.Leads(); !leads {
		return fmt.Errorf("this member does not lead the metadata group")
	}

	// From its next step on the controller counts without this member, and makes others voters.
	s.mu.Lock()
	s.leaving[id] = incarnation
	s.mu.Unlock()
	if mb.MetaReplica != 0 && mb.MetaVoter && !s.k.Dispensable(v, id) {
		return fmt.Errorf("member %s is still a metadata voter that the others need", mb.Name)
	}

	return nil
}

// Dispensable reports whether the voters of the metadata group that stay are a majority of it without a member.
func (k *Control) Dispensable(v *meta.View, id wire.ID) bool {
	voters, staying := 0, 0
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.MetaVoter {
			continue
		}
		// Voters that are silent or leave count for the majority, and cannot be part of it.
		voters++
		if mb.ID != id && mb.Live() && mb.State != meta.StateDraining && k.Peers.Answers(mb.ID, mb.Incarnation) {
			staying++
		}
	}

	return staying > voters/2
}
