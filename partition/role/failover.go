package role

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// RetryFirst is how long a candidate without an election is left alone before it campaigns in the next term. The time doubles
	// up to RetryMost: the other replicas may not have been there to vote.
	RetryFirst = 200 * time.Millisecond
	RetryMost  = 1600 * time.Millisecond

	// StalledFor is how long a group may be without a leader after a voter has campaigned, until all its voters campaign.
	StalledFor = 600 * time.Millisecond
	// StalledTerms bounds the terms of such campaigns. A replica that has campaigned that often and reached nobody is cut off, and
	// must not come back with a term far above the others'.
	StalledTerms = 8

	// firstTerm is the term in which Raft has the initial members of a group begin.
	firstTerm = 1
)

// campaigns decides whether this replica campaigns now.
func (ro *Role) campaigns(now Now, fx *Effects) {
	if ro.stopped {
		return
	}
	ro.lookForStall(now)

	c, term := &ro.campaign, ro.raft.term
	due := c.Due(term, now.Time)
	if due && ro.raft.leader == 0 && (c.Cause == Death || c.Cause == Stalled) {
		term = c.After(term, now.Time)
	}

	first, electing, pending := ro.firstElection(now)
	switch {
	case due && !ro.leads():
		// The leader of a transfer has a place in the order too. It campaigns only after it was deposed.
		fx.Campaign, fx.Replaces, fx.After = true, c.Replaces, term
	case electing:
		fx.Campaign, fx.Replaces, fx.After = true, 0, first
	}

	// Turns pass within tens of milliseconds, so a replica with a schedule wants its ticks more often.
	fx.LookSoon = pending || c.Replaces != 0
}

// firstElection reports whether the replica campaigns in the first election of its partition, and after which term, and whether that election
// is still to come.
//
// In the first term the replica is told again and again, since it skips that while it has entries to apply. A later term shows that
// somebody has campaigned: this replica too early, when the others were not there to vote, or another, who may have been elected. The replica
// then campaigns only after a while, each time after twice as long. If its log is too short, the one who was elected has that time to send it
// the rest. A candidate hears nothing but a later term than its own.
func (ro *Role) firstElection(now Now) (term uint64, campaign, pending bool) {
	if !ro.cfg.Preferred || ro.stopped || ro.raft.leader != 0 || !ro.own.Owner.IsZero() {
		// One replica begins the first election of a partition. The others would only compete with it.
		return 0, false, false
	}

	if r := &ro.raft; !r.since.IsZero() && now.Time.Sub(r.since) > r.patience {
		r.since, r.patience = now.Time, min(2*r.patience, RetryMost)
		return r.term + 1, true, true
	}
	return ro.raft.term, ro.raft.term <= firstTerm, true
}

// Led reports whether a process leads the group, or led it last. Another voter may have campaigned against it already, without
// success where this replica has entries that the other lacks. Then only this replica can be elected.
func (ro *Role) Led(incarnation wire.ID) bool {
	for _, v := range ro.voters {
		if v.ID == ro.raft.led {
			return v.Incarnation == incarnation
		}
	}
	return false
}

// memberDown begins a campaign in the place of a leader that is down. All voters that were asked and have answered must agree, and at
// least one must have answered.
func (ro *Role) memberDown(in MemberDown, now Now, fx *Effects) {
	if ro.stopped || !ro.Led(in.Incarnation) {
		return
	}

	agree := 0
	for _, v := range ro.voters {
		if v.ID == ro.raft.led || v.ID == ro.cfg.Replica {
			// The leader is the one in question, and this member has said already what it thinks.
			continue
		}
		down, answered := in.Agreed[v.Incarnation]
		switch {
		case answered && !down:
			return // only this replica is cut off from the leader, and must not depose it
		case answered:
			agree++
		}
	}

	if agree == 0 {
		return
	}

	ro.allCampaign(Death, now)

	// This replica may be the first to campaign, and need not wait for the next tick.
	fx.Reconcile = true
}

// allCampaign begins a campaign of all voters but the one that led last.
func (ro *Role) allCampaign(cause Cause, now Now) {
	place, left := -1, 0
	for _, v := range ro.voters {
		if v.ID == ro.raft.led {
			continue
		}
		if v.ID == ro.cfg.Replica {
			place = left
		}
		left++
	}

	if place < 0 {
		return // this replica is no voter
	}

	// Rotated by partition, so that the other voters share the partitions that a dead member led.
	ro.campaign.Begin(cause, ro.raft.led, (place+ro.cfg.Partition)%left, left, ro.raft.ledTerm, now.Time)
}

// lookForStall begins a campaign where an election has brought no leader: two campaigned at once, or the log of the one that did was
// too short. Otherwise each would campaign again only after an election timeout.
func (ro *Role) lookForStall(now Now) {
	r := &ro.raft
	switch {
	case r.leader != 0 || r.led == 0 || r.led == ro.cfg.Replica || r.term <= r.ledTerm:
		// Somebody leads, nobody has led before, this replica has led itself, or no voter has campaigned since.
	case r.term-r.ledTerm > StalledTerms:
		if ro.campaign.Cause == Stalled {
			ro.campaign.End() // it reaches nobody, it seems
		}
	case ro.campaign.Replaces == 0 && now.Time.Sub(r.since) >= StalledFor:
		ro.allCampaign(Stalled, now)
	}
}

// beginTransfer begins the campaign by which a partition goes from its leader to the transferee that a Release names.
//
// The transferee campaigns first. Its log may be shorter than the leader's: then it is not elected, and has deposed the leader,
// perhaps before the Release was applied here. So the leader campaigns next, and the transferee gets what it lacks.
func (ro *Role) beginTransfer(now Now) {
	to := ro.own.To
	if ro.stopped || to.IsZero() {
		return
	}
	switch transferee, leads := to == ro.cfg.Member, ro.leads(); {
	case ro.raft.leader == 0:
		if ro.campaign.Cause == Deposed && !transferee {
			// The challenger is the transferee, and has used its first term.
			ro.campaign.Begin(Transferred, ro.cfg.Replica, 1, 2, ro.campaign.First-1, now.Time)
		}
	case transferee && !leads:
		ro.campaign.Begin(Transferred, ro.raft.leader, 0, 2, ro.raft.term, now.Time)
	case leads && !transferee:
		ro.campaign.Begin(Transferred, ro.raft.leader, 1, 2, ro.raft.term, now.Time)
	}
}

// endTransfer ends the campaign of a transfer: the log has come to another owner. A replica that is built from the log meets the
// Releases of long ago, whose transferees must not campaign.
func (ro *Role) endTransfer() {
	if ro.campaign.Cause != Death {
		ro.campaign.End()
	}
}
