package role

import "time"

// inherit begins, or does not begin, the time in which the new owner may read what nobody can have touched, although it has to wait for
// the leases of others. It ends well before a third owner may answer: that one supersedes this epoch later than this process has first
// asked for it, and then waits for as long as this process has announced.
func (ro *Role) inherit(now Now, asked time.Time, fx *Effects) {
	// Without a wait there is nothing to inherit. A process that does not know when it first asked may have asked too long ago.
	if !ro.mine() || asked.IsZero() || !ro.serveAfter.After(now.Time) {
		ro.inherits(nil, fx)
		return
	}

	// From the first request on: any of the Owns that were proposed since may be the one that was accepted.
	until := asked.Add(LeaseLength(ro.cfg.LeaseMs))
	if until.After(ro.serveAfter) {
		// After the serve-after time a lease or a majority vouches for reads.
		until = ro.serveAfter
	}
	ro.inherits(&Lease{Epoch: ro.own.Epoch, Until: until, Began: asked, wall: asked.UnixNano()}, fx)
}

// settleInherited ends the time with the serving of the epoch, and with the wait.
func (ro *Role) settleInherited(fx *Effects) {
	if l := ro.inherited; l != nil && (l.Epoch != ro.serving || l.Until.After(ro.serveAfter)) {
		ro.inherits(nil, fx)
	}
}

func (ro *Role) inherits(l *Lease, fx *Effects) {
	if l != nil || ro.inherited != nil {
		ro.inherited = l
		fx.InheritedChanged, fx.Inherited = true, l
	}
}
