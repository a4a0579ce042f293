package partition

import (
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// ownRetry is how long an Own or Release that was proposed holds back the next: it may have been lost with a leader.
	ownRetry = 500 * time.Millisecond
	// freeFirst is how long a candidate without an election is left alone before it is freed to stand again; it doubles
	// up to freeMost. The others' replicas may not have been there to vote.
	freeFirst = 200 * time.Millisecond
	freeMost  = 1600 * time.Millisecond
)

// role is the part of this process in a partition: what Raft and the log say of it, and what it has done about that.
type role struct {
	sync.Mutex // guards the following

	leader uint64 // replica that Raft elected; 0 if unknown
	term   uint64 // of leader
	// led is who was last known to lead, and in which term: the leader, or the one that a candidate stands to replace.
	led     uint64
	ledTerm uint64
	voters  []voter // of the group, as far as the metadata were heard of
	// own is the state's ownership as of the last Own, Release or image that was applied.
	own     ownership
	stopped bool

	// serveAfter is the time before which nothing is answered under own; zero: answers are free.
	serveAfter time.Time
	// held are batches that were applied before the time at which they may be answered.
	held  finished
	timer *time.Timer // answers them; nil if there are none

	// ended is closed when the serving epoch changes.
	ended chan struct{}
	// told is set when the member has yet to hear that the serving epoch has changed.
	told bool

	ownSince time.Time // when an Own was last proposed; zero if none is under way
	ownPrev  uint64    // what it was to supersede
	// given is the epoch that this process gives up. It never serves under it again: its Release may be applied at any time,
	// and the next owner trusts it.
	given      uint64
	givenAt    time.Time // when the Release was last proposed; zero if it was not
	transferee wire.ID   // to whom it is given; zero: to whom HostConfig.Transferee says
	left       time.Time // when the last Release of this process in favour of another member was applied

	stateTransfer *keptState // the state with which this process begins the generation; nil if it does not
	pieceAt       uint64     // how much of it was taken when a piece was last proposed
	pieceTime     time.Time  // when

	// turns are the times at which this replica stands for election in a dead leader's place, in that of one that hands
	// the partition to this process, or in its own when another has deposed it in vain.
	campaign campaign

	termAt time.Time     // when the leader or term last changed
	free   time.Duration // how long a candidate is left alone this time
}

func (ro *role) init(own ownership) {
	ro.own, ro.ended, ro.free = own, make(chan struct{}), freeFirst
}

// serves returns the epoch under which this process owns the partition, or 0, and a channel that is closed when that
// changes.
func (r *replica) serves() (epoch uint64, ended <-chan struct{}) {
	r.role.Lock()
	defer r.role.Unlock()
	return r.serving.Load(), r.role.ended
}

// leadsLocked reports whether Raft elected this replica. REQUIRES r.role's lock.
func (r *replica) leadsLocked() bool { return r.role.leader == r.id && r.role.term != 0 }

// leads reports whether Raft elected this replica, and whether it elected another.
func (r *replica) leads() (leads, follows bool) {
	r.role.Lock()
	defer r.role.Unlock()
	leads = r.leadsLocked()
	return leads, r.role.leader != 0 && !leads
}

// mineLocked reports whether the log names this process as the owner. REQUIRES r.role's lock.
func (r *replica) mineLocked() bool {
	return r.role.own.live() != 0 && r.role.own.incarnation == r.host.cfg.Incarnation
}

// serveLocked brings the serving epoch in line with the rest and reports whether it has changed: then the proposer is told
// once the lock is released. REQUIRES r.role's lock.
func (r *replica) serveLocked() bool {
	var epoch uint64
	if !r.role.stopped && r.leadsLocked() && r.mineLocked() && r.role.given != r.role.own.epoch && r.host.mayOwn() {
		epoch = r.role.own.epoch
	}
	if r.serving.Load() == epoch {
		return false
	}
	r.servingTerm.Add(1)
	r.serving.Store(epoch)
	close(r.role.ended)
	r.role.ended = make(chan struct{})
	return true
}

// ownerAppliedLocked takes note of an accepted Own. REQUIRES r.state's lock.
func (r *replica) ownerAppliedLocked(was superseded) {
	r.role.Lock()
	defer r.role.Unlock()
	r.role.own, r.role.ownSince, r.role.transferee = r.state.own, time.Time{}, wire.ID{}
	r.role.ownedLocked()
	if r.mineLocked() {
		switch {
		case was.clean:
			r.role.serveAfter = time.Time{}
		case was.same: // what this process waited for then it waits for now
		default:
			r.role.serveAfter = after(was.maxLease)
		}
	}
	r.serveLocked()
}

// releaseAppliedLocked takes note of an accepted Release: of the owner, or of the one before. It reports whether this process
// hands the partition to another by that. REQUIRES r.state's lock.
func (r *replica) releaseAppliedLocked(previous bool) (handed bool) {
	r.role.Lock()
	defer r.role.Unlock()
	r.role.own = r.state.own
	if !previous {
		r.role.ownSince = time.Time{}
		if r.role.own.incarnation == r.host.cfg.Incarnation && !r.role.own.to.IsZero() && r.role.own.to != r.host.cfg.Member {
			r.role.left, handed = time.Now(), true
		}
	} else if r.mineLocked() {
		r.role.serveAfter = time.Time{}
		for i := range r.role.held {
			if f := &r.role.held[i]; f.batch.epoch == r.role.own.epoch {
				f.notBefore = time.Time{}
			}
		}
	}
	r.serveLocked()
	return handed
}

// imageInstalledLocked takes note of a state that came as an image. One that names this process counts as its Own; whether
// the owner before was the same is not known. REQUIRES r.state's lock.
func (r *replica) imageInstalledLocked() {
	r.role.Lock()
	defer r.role.Unlock()
	r.role.own, r.role.ownSince = r.state.own, time.Time{}
	r.role.ownedLocked()
	if r.mineLocked() {
		r.role.serveAfter = time.Time{}
		if r.role.own.prevOwned {
			r.role.serveAfter = after(r.role.own.maxLease)
		}
	}
	r.serveLocked()
}

// ownedLocked takes note that the log has come to another owner: a transfer before has come about, or will not. REQUIRES ro's lock.
func (ro *role) ownedLocked() {
	if ro.campaign.why != campaignDeath {
		ro.campaign.end()
	}
}

// after returns the time that is so many milliseconds away, zero for none.
func after(milliseconds uint32) time.Time {
	if milliseconds == 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(milliseconds) * time.Millisecond)
}

// refused takes note of an Own of this process that was refused, and reports whether it shall be repeated at once: it was
// the last one proposed, and another owner had come before it.
func (ro *role) refused(o *entry.Own, own *ownership) bool {
	ro.Lock()
	defer ro.Unlock()
	if o.PrevEpoch != ro.ownPrev || o.PrevEpoch == own.epoch {
		return false
	}
	ro.ownSince = time.Time{}
	return true
}

// servesAfter returns the time before which nothing is answered, zero for none.
func (ro *role) servesAfter() time.Time {
	ro.Lock()
	defer ro.Unlock()
	return ro.serveAfter
}

// leaseWait returns how long the replica must not answer yet.
func (r *replica) leaseWait() time.Duration {
	if t := r.role.servesAfter(); !t.IsZero() {
		return time.Until(t)
	}
	return 0
}

// hold keeps a batch until it may be answered, and reports whether it did: if not, it is to be answered as it is now. answer
// is called when the time has come.
func (ro *role) hold(f *finishedBatch, answer func()) bool {
	ro.Lock()
	defer ro.Unlock()
	if ro.stopped {
		f.outcome = Unknown // nobody is left to wait
		return false
	}
	ro.held = append(ro.held, *f)
	if ro.timer == nil {
		ro.timer = time.AfterFunc(time.Until(f.notBefore), answer)
	}
	return true
}

// due takes the batches that may be answered now, and has answer called for the rest.
func (ro *role) due(now time.Time, answer func()) (done finished) {
	ro.Lock()
	defer ro.Unlock()
	if ro.stopped {
		return nil
	}
	var next time.Time
	keep := ro.held[:0]
	for _, f := range ro.held {
		if !f.notBefore.After(now) {
			done = append(done, f)
			continue
		}
		if keep = append(keep, f); next.IsZero() || f.notBefore.Before(next) {
			next = f.notBefore
		}
	}
	clear(ro.held[len(keep):])
	ro.held = keep
	if ro.timer != nil {
		ro.timer.Stop()
		ro.timer = nil
	}
	if len(keep) > 0 {
		ro.timer = time.AfterFunc(next.Sub(now), answer)
	}
	return done
}

// leaderChanged takes a leader event.
func (r *replica) leaderChanged(leader, term uint64) {
	r.role.Lock()
	if term < r.role.term || r.role.stopped {
		r.role.Unlock()
		return
	}
	led, before := r.leadsLocked(), r.role.term
	r.role.leader, r.role.term = leader, term
	lost := led && !r.leadsLocked()
	r.role.ownSince, r.role.termAt = time.Time{}, time.Now()
	if leader != 0 {
		r.role.led, r.role.ledTerm = leader, term
		r.role.free = freeFirst
		if why := r.role.campaign.why; leader != r.role.campaign.gone || why == campaignDeposed || why == campaignStalled {
			r.role.campaign.end()
		}
	} else if lost && term > before {
		// Whoever stood has the time of a turn to be elected. If it is not, its log was too short, and this one is long enough.
		r.role.campaign.begin(campaignDeposed, r.id, 1, 2, term, r.role.termAt)
	}
	changed := r.serveLocked()
	r.role.told = r.role.told || changed
	r.role.Unlock()
	if changed {
		r.proposer.servingChanged()
	}
	if lost {
		r.proposer.failInFlight()
	}
	r.host.notify(r)
}

// reconcile does what is due for the replica, and reports whether it may have to stand for election soon. It is called by the host's
// loop alone, at every event and every 100 ms.
func (r *replica) reconcile(now time.Time, mayOwn bool) (electing bool) {
	r.role.Lock()
	leads, mine, own := r.leadsLocked(), r.mineLocked(), &r.role.own
	if mine && !leads && r.role.leader != 0 && r.role.given != own.epoch {
		// Another was elected: what this process could still answer is nothing, so the other need not wait for it.
		r.role.given, r.role.givenAt = own.epoch, time.Time{}
	}
	changed, told := r.serveLocked(), r.role.told
	r.role.told = false
	var propose []byte
	var release *entry.Release
	switch {
	case r.role.stopped || r.serving.Load() != 0:
	case own.awaitsState:
		if leads {
			propose = r.transferLocked(now)
		}
	case leads && mine && r.role.given == own.epoch && !r.role.transferee.IsZero(): // on its way to another
		release = r.releaseLocked(now)
	case leads && own.released && own.incarnation == r.host.cfg.Incarnation && now.Sub(r.role.left) < transferFor:
	case leads && mayOwn && r.role.term >= own.ownTerm && now.Sub(r.role.ownSince) > ownRetry:
		r.role.ownSince, r.role.ownPrev = now, own.epoch
		propose = entry.AppendOwn(nil, &entry.Own{Member: r.host.cfg.Member, Incarnation: r.host.cfg.Incarnation,
			Term: r.role.term, PrevEpoch: own.epoch, LeaseMs: leaseMillis, Now: r.host.cfg.Now()})
	case !leads || !mayOwn:
		release = r.releaseLocked(now)
	}
	r.stalledLocked(now)
	term := r.role.term
	standing, replacing := r.role.campaign.due(term, now), r.role.campaign.gone
	if why := r.role.campaign.why; standing && r.role.leader == 0 && (why == campaignDeath || why == campaignStalled) && now.Sub(r.role.termAt) > freeFirst {
		term++ // it has stood in vain in this term: a candidate hears nothing but a later one
	}
	first, electing := r.firstCampaignLocked(now)
	r.role.Unlock()

	if propose != nil {
		r.proposeControl(propose)
	}
	r.proposeRelease(release, leads)
	switch {
	case standing && !leads:
		r.host.cfg.Transport.Inject(r.shard, r.id, replacing, term)
	case electing:
		r.host.cfg.Transport.Inject(r.shard, r.id, 0, first)
	}
	if changed {
		r.proposer.servingChanged()
	}
	if changed || told {
		r.host.ownerChanged(r.partition)
	}
	r.proposer.reconcile(now)
	if due := r.due.Load(); due != noneDue && r.serving.Load() != 0 && due <= r.host.cfg.Now() {
		r.proposer.sweep()
	}
	return electing || replacing != 0
}

// firstCampaignLocked reports whether the replica shall stand for the first election of its partition, and in the term after which.
// REQUIRES r.role's lock.
//
// A candidate hears nothing but a later term than its own. If it has waited long enough it stood too early, when the others
// were not there to vote, or another stood at the same time: it is freed to stand again.
func (r *replica) firstCampaignLocked(now time.Time) (term uint64, stand bool) {
	ro := &r.role
	if !r.preferred || ro.stopped || ro.leader != 0 || !ro.own.owner.IsZero() {
		return 0, false
	}
	if !ro.termAt.IsZero() && now.Sub(ro.termAt) > ro.free {
		ro.termAt, ro.free = now, min(2*ro.free, freeMost)
		return ro.term + 1, true
	}
	return ro.term, true
}

// leaseMillis is the largest lease that an owner announces. Owners hold none: every read asks Raft.
const leaseMillis = 0

// releaseLocked returns the Release of the epoch that this process gives up, if it is time to propose it: nothing of that
// epoch may be left to answer. REQUIRES r.role's lock.
func (r *replica) releaseLocked(now time.Time) *entry.Release {
	ro := &r.role
	if !r.mineLocked() || ro.given != ro.own.epoch || ro.leader == 0 || now.Before(ro.serveAfter) || now.Sub(ro.givenAt) <= ownRetry {
		return nil
	}
	ro.givenAt = now
	return &entry.Release{Epoch: ro.own.epoch, To: ro.transferee}
}

// transferFor is how long a member to which a partition was handed is given to be elected before this process takes it back.
const transferFor = 300 * time.Millisecond

// proposeRelease proposes a Release, if there is one: in favour of another member if this process leads, else one was elected
// already.
func (r *replica) proposeRelease(rel *entry.Release, leads bool) {
	if rel == nil {
		return
	}
	if leads && rel.To.IsZero() && r.host.cfg.Transferee != nil {
		rel.To = r.host.cfg.Transferee(r.partition, r.others())
	}
	r.proposeControl(entry.AppendRelease(nil, rel))
}

// giveUp gives up the ownership of the partition if this process has it, and reports whether there is more to wait for: the
// Release, or the election of the one to whom it was handed.
func (r *replica) giveUp(now time.Time) bool {
	r.role.Lock()
	if !r.mineLocked() {
		handing := r.leadsLocked() && r.role.own.released && !r.role.own.to.IsZero()
		r.role.Unlock()
		return handing
	}
	if r.role.given != r.role.own.epoch {
		r.role.given, r.role.givenAt = r.role.own.epoch, time.Time{}
	}
	changed := r.serveLocked()
	r.role.told = r.role.told || changed
	release := r.releaseLocked(now)
	leader, leads := r.role.leader != 0, r.leadsLocked()
	r.role.Unlock()
	if changed {
		r.proposer.servingChanged()
	}
	r.proposeRelease(release, leads)
	return leader
}

// stopServing ends the process's part in the partition and returns the batches that may no longer be answered as applied.
func (r *replica) stopServing() finished {
	r.role.Lock()
	defer r.role.Unlock()
	r.role.stopped = true
	r.freeSeedLocked()
	r.role.leader, r.role.term = 0, 0
	r.serveLocked()
	held := r.role.held
	r.role.held = nil
	for i := range held {
		held[i].outcome = Unknown
	}
	if r.role.timer != nil {
		r.role.timer.Stop()
		r.role.timer = nil
	}
	return held
}

// owner returns who owns the partition as far as this replica has applied.
func (r *replica) owner() (epoch uint64, member, incarnation wire.ID) {
	r.role.Lock()
	defer r.role.Unlock()
	own := &r.role.own
	if own.released {
		return own.epoch, wire.ID{}, wire.ID{}
	}
	return own.epoch, own.owner, own.incarnation
}
