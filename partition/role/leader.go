package role

import "time"

// leaderChanged takes a leader event.
func (ro *Role) leaderChanged(in LeaderChanged, now Now, fx *Effects) {
	if in.Term < ro.raft.term || ro.stopped {
		return // an event that comes late says nothing of the present
	}
	led, before := ro.leads(), ro.raft.term
	ro.raft.leader, ro.raft.term, ro.raft.since = in.Leader, in.Term, now.Time
	lost := led && !ro.leads()
	ro.owning.since = time.Time{} // what was proposed under another leader may have been lost with it

	switch {
	case in.Leader != 0:
		ro.raft.led, ro.raft.ledTerm = in.Leader, in.Term
		ro.raft.patience = RetryFirst
		// The campaign has what it wanted, or was against a leader that has come back. One against a leader that is down, or that
		// transfers the partition, goes on while the same replica leads.
		if c := &ro.campaign; in.Leader != c.Replaces || c.Cause == Deposed || c.Cause == Stalled {
			if ro.won = (Campaign{}); ro.leads() && (c.Cause == Death || c.Cause == Stalled) {
				ro.won = *c
			}
			c.End()
		}
	case lost && in.Term > before && ro.won.Replaces != 0:
		// Another has not heard in time that this replica was elected, and goes on by the schedule. So does this one, in its place: the
		// other's log may be too short.
		ro.campaign, ro.won = ro.won, Campaign{}
	case lost && in.Term > before:
		// Another campaigns against this replica and has one period to be elected. If it is not, its log was too short, and the
		// log of this replica is long enough.
		ro.campaign.Begin(Deposed, ro.cfg.Replica, 1, 2, in.Term, now.Time)
	}

	// The member hears of it with the next tick: a leader event must not be held up.
	if ro.serve(now, fx) {
		ro.untold = true
	}

	// The new leader may learn the outcome of what is in flight sooner, so the callers ask there.
	fx.FailInFlight = lost
	fx.Reconcile = true
}
