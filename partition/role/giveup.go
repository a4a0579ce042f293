package role

import "time"

// giveUp gives up the ownership of the partition, if this process has it.
func (ro *Role) giveUp(now Now, fx *Effects) {
	if !ro.mine() {
		return
	}
	if ro.giving.epoch != ro.own.Epoch {
		// Only the first call for an epoch resets the time. Later calls would propose the Release again too soon.
		ro.giving.epoch, ro.giving.at = ro.own.Epoch, time.Time{}
	}

	// From here on the epoch is not served again: its Release may be applied at any time.
	if ro.serve(now, fx) {
		ro.untold = true
	}
	fx.Release = ro.release(now)
}

// release returns the Release of the epoch that this process gives up, if it is time to propose it: nothing of that epoch may be
// left to answer.
func (ro *Role) release(now Now) *Release {
	if !ro.mine() || ro.giving.epoch != ro.own.Epoch {
		return nil
	}
	if ro.raft.leader == 0 || now.Time.Before(ro.serveAfter) || now.Time.Sub(ro.giving.at) <= OwnRetry {
		// Without a leader the Release cannot be committed. It says that no lease is left, which is not so before the
		// serve-after time.
		return nil
	}

	ro.giving.at = now.Time
	// Where another was elected already, there is nobody to choose.
	return &Release{Epoch: ro.own.Epoch, To: ro.giving.to, Choose: ro.leads() && ro.giving.to.IsZero()}
}

// Leaving reports whether a process that gives the partition up has something to wait for: its Release, or the election of the
// transferee.
func (ro *Role) Leaving() bool {
	if ro.mine() {
		// Without a leader the Release cannot be committed, and there is nothing to wait for.
		return ro.raft.leader != 0
	}

	// The Release is applied. This process still leads until the transferee is elected.
	return ro.leads() && ro.own.Released && !ro.own.To.IsZero()
}
