package role

import "time"

// suspendedFor is how far wall clock and monotonic clock may part while a lease lasts. A monotonic clock stands still while the machine
// is suspended, and the lease ends at the others all the same.
const suspendedFor = 50 * time.Millisecond

// Lease is a time during which this process may read under an epoch without asking a majority. A Lease never changes.
//
// It lasts for eight tenths of what the Own of the epoch announced: two clocks may each run up to eight percent wrong, and the next owner
// waits by its own clock.
type Lease struct {
	Epoch uint64
	From  time.Time // the serve-after time of the epoch; zero: at once
	Until time.Time
	Began time.Time // before the command was proposed, or the ReadIndex began, that proves the lease

	wall int64 // the wall clock at Began, in nanoseconds
}

// Holds reports whether the lease holds at a moment, and whether the machine was suspended since the lease began. wall is the wall clock
// at now, in nanoseconds. A nil Lease never holds.
func (l *Lease) Holds(now time.Time, wall int64) (holds, suspended bool) {
	if l == nil || !now.Before(l.Until) || now.Before(l.From) {
		return false, false
	}

	byWall := time.Duration(wall - l.wall)
	apart := byWall - now.Sub(l.Began)
	if apart > suspendedFor || apart < -suspendedFor {
		return false, true
	}

	// A shorter suspend ends the lease earlier: it is over as soon as either clock says so.
	return byWall < l.Until.Sub(l.Began), false
}

// proven takes or renews the lease: something that began at in.Began, when no other process had superseded the epoch, is completed now.
//
// Whoever supersedes the epoch does so after in.Began. It waits from then on for the whole of what was announced, so it answers nothing
// while the lease lasts.
func (ro *Role) proven(in Proven, fx *Effects) {
	// The applied state must still name this process and epoch, unreleased, and the process must not be giving the epoch up: serving
	// says both. A lease that began later stays.
	if ro.cfg.LeaseMs == 0 || in.Epoch == 0 || in.Epoch != ro.serving || ro.lease != nil && !in.Began.After(ro.lease.Began) {
		return
	}

	ro.lease = &Lease{Epoch: in.Epoch, From: ro.serveAfter, Until: in.Began.Add(LeaseLength(ro.cfg.LeaseMs)), Began: in.Began, wall: in.Wall}
	fx.LeaseChanged, fx.Lease = true, ro.lease
}

// LeaseLength returns how long an owner reads under a lease of so many announced milliseconds.
func LeaseLength(milliseconds uint32) time.Duration {
	return time.Duration(milliseconds) * time.Millisecond * 8 / 10
}

// settleLease brings the lease in line with a step: no lease outlasts the serving of its epoch, and none holds before the serve-after
// time.
func (ro *Role) settleLease(fx *Effects) {
	l := ro.lease
	switch {
	case l == nil:
		return
	case l.Epoch != ro.serving:
		// Another process may answer under the next epoch, and this one would not know of its writes.
		ro.lease = nil
	case !l.From.Equal(ro.serveAfter):
		// The wait has ended early: the owner before gave up its own lease.
		freed := *l
		freed.From = ro.serveAfter
		ro.lease = &freed
	default:
		return
	}
	fx.LeaseChanged, fx.Lease = true, ro.lease
}

// suspended drops the lease: the machine stood still, and nobody knows for how long the others have waited.
func (ro *Role) suspended(in Suspended, fx *Effects) {
	// A lease that was taken since is as good as ever.
	if ro.lease == nil || ro.lease.Began.After(in.Began) {
		return
	}
	ro.lease = nil
	fx.LeaseChanged, fx.Lease = true, nil
}
