package partition

import (
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// part is the part of this process in a partition: the role that decides, and what it takes to carry out the role's decisions.
type part struct {
	sync.Mutex // guards the following

	role  *role.Role
	ended chan struct{} // closed when the serving epoch changes

	held  map[uint64]finishedBatch // by number: batches that the role holds back
	timer *time.Timer              // looks at them again; nil if there are none

	stateTransfer *keptState // the state with which this process begins the generation; nil if it does not
}

func (p *part) init(cfg role.Config, own role.Ownership, voters []role.Voter) {
	p.role, p.ended = role.New(cfg, own, voters), make(chan struct{})
}

// step has the role decide, and carries out what it decided. It must not be called with r.state's lock.
func (r *replica) step(in role.Input) {
	r.part.Lock()
	d := r.decideLocked(in)
	r.part.Unlock()

	r.carryOut(&d)
}

// decided is what a step decided, as far as it was not carried out with the step.
type decided struct {
	role.Effects
	answers finished // batches whose outcome is known: that were held, or in flight when the owner changed
}

// add adds what a later step decided.
func (d *decided) add(later *decided) {
	d.Effects.Add(&later.Effects)
	d.answers = append(d.answers, later.answers...)
}

// decideLater has the role decide while entries are applied, or a state snapshot is installed. What is left to carry out waits in fx
// until r.state's lock is released. REQUIRES r.state's lock.
func (r *replica) decideLater(in role.Input, fx *applyEffects) {
	r.part.Lock()
	d := r.decideLocked(in)
	r.part.Unlock()

	// What becomes of the batches in flight is decided in the order of the log. Later, a state snapshot may have come in between: a
	// batch of the epoch that it brought would count as superseded, and so would one whose effect it holds.
	if d.OwnerChanged {
		r.proposer.superseded(d.Live, &d.answers)
	}
	if d.FailInFlight {
		r.proposer.failInFlight(&d.answers)
		d.FailInFlight = false
	}
	fx.role.add(&d)
}

// decideLocked has the role decide. REQUIRES r.part's lock.
func (r *replica) decideLocked(in role.Input) decided {
	return r.decideAtLocked(in, role.Now{Time: time.Now(), MayOwn: r.host.mayOwn()})
}

// decideAtLocked has the role decide, and carries out what must be so before anybody asks the role again: the serving epoch, the lease,
// and which batches are held. REQUIRES r.part's lock.
func (r *replica) decideAtLocked(in role.Input, now role.Now) (d decided) {
	p := &r.part
	d.Effects = p.role.Step(in, now)

	if d.ServingChanged {
		// Whoever reads both reads the epoch first: an operation is never gathered under a new epoch with the term of an old one.
		r.servingTerm.Add(1)
		r.serving.Store(d.Serving)
		close(p.ended)
		p.ended = make(chan struct{})
	}
	if d.LeaseChanged {
		// Readers take no lock to look at it, so it is published with the step that has decided.
		r.reads.lease.Store(d.Lease)
	}
	if d.InheritedChanged {
		r.reads.inherited.Store(d.Inherited)
	}
	if len(d.Answer) > 0 || len(d.Abandon) > 0 {
		d.answers = p.takeHeldLocked(d.Answer, d.Abandon)
	}
	if !d.WakeAt.IsZero() {
		// The role names the earliest time of all held batches, so one timer will do.
		p.stopTimerLocked()
		p.timer = time.AfterFunc(d.WakeAt.Sub(now.Time), r.answerHeld)
	}
	return d
}

// takeHeldLocked takes batches that were held: those that may be answered, and those whose outcome nobody will learn here. REQUIRES p's
// lock.
func (p *part) takeHeldLocked(answer, abandon []uint64) (list finished) {
	for _, number := range answer {
		list = append(list, p.held[number])
		delete(p.held, number)
	}
	for _, number := range abandon {
		f := p.held[number]
		f.outcome = Unknown
		list = append(list, f)
		delete(p.held, number)
	}
	return list
}

// stopTimerLocked stops the timer of held batches. REQUIRES p's lock.
func (p *part) stopTimerLocked() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// carryOut carries out what is left of decisions. No lock is held.
func (r *replica) carryOut(d *decided) {
	if d.ServingChanged || d.OwnerChanged {
		r.proposer.servingChanged()
	}
	if d.OwnerChanged {
		r.host.counts.ownerChanges.Add(1)
	}
	if d.FailInFlight {
		r.proposer.failInFlight(&d.answers)
	}

	if d.Own != nil {
		// The role knows no cluster time, which the log's clock takes from the Own.
		d.Own.Now = r.host.cfg.Now()
		r.proposeControl(entry.AppendOwn(nil, d.Own))
	}
	if d.Release != nil {
		r.proposeRelease(d.Release)
	}
	if d.Campaign {
		r.host.cfg.Transport.Inject(r.shard, r.id, d.Replaces, d.After)
	}

	if d.TellMember {
		r.host.ownerChanged(r.partition)
	}
	d.answers.complete()
	if d.Reconcile {
		r.host.notify(r)
	}
}

// proposeRelease proposes a Release.
func (r *replica) proposeRelease(rel *role.Release) {
	to := rel.To
	if rel.Choose && r.host.cfg.Transferee != nil {
		// The role knows nothing of the other members, so the member chooses.
		to = r.host.cfg.Transferee(r.partition, r.others())
	}
	r.proposeControl(entry.AppendRelease(nil, &entry.Release{Epoch: rel.Epoch, To: to}))
}

// leaderChanged takes a leader event.
func (r *replica) leaderChanged(leader, term uint64) {
	r.step(role.LeaderChanged{Leader: leader, Term: term})
}

// reconcile does what is due for the replica, and reports whether it wants to be called again soon. The host's loop alone calls it, at
// every event and every 100 ms.
func (r *replica) reconcile(now time.Time) (soon bool) {
	r.part.Lock()
	at := role.Now{Time: now, MayOwn: r.host.mayOwn()}
	taken := r.transferred.Load()
	d := r.decideAtLocked(role.Tick{Applied: taken}, at)
	var piece []byte
	if d.ProposePiece {
		if piece = r.pieceLocked(taken); piece != nil {
			// The role is told only of a piece that was made. Without one it asks again at the next tick.
			r.decideAtLocked(role.PieceProposed{At: taken}, at)
		}
	}
	r.part.Unlock()

	if piece != nil {
		r.proposeControl(piece)
	}
	r.carryOut(&d)
	r.proposer.reconcile(now)
	if due := r.due.Load(); due != noneDue && r.serving.Load() != 0 && due <= r.host.cfg.Now() {
		// By cluster time: the log's clock stands still while nothing is proposed.
		r.proposer.keepUp()
	}
	return d.LookSoon
}

// giveUp gives up the ownership of the partition if this process has it, and reports whether there is more to wait for: the
// Release, or the election of the transferee.
func (r *replica) giveUp() (waits bool) {
	r.part.Lock()
	d := r.decideLocked(role.GiveUp{})
	// Asked under the same lock, since the next step may change the answer.
	waits = r.part.role.Leaving()
	r.part.Unlock()

	r.carryOut(&d)
	return waits
}

// hold keeps a batch until it may be answered, and reports whether it did. If not, it is to be answered as it is now.
func (r *replica) hold(f *finishedBatch) bool {
	r.part.Lock()
	defer r.part.Unlock()
	if r.part.held == nil {
		r.part.held = make(map[uint64]finishedBatch)
	}

	// Before the role decides: a role that was stopped abandons the batch at once, and it must be found.
	r.part.held[f.batch.number] = *f
	d := r.decideLocked(role.Hold{Batch: f.batch.number, Epoch: f.batch.epoch, NotBefore: f.notBefore})
	if len(d.answers) > 0 {
		*f = d.answers[0] // the replica was stopped: nobody is left to wait
		return false
	}
	return true
}

// answerHeld hands out the results that were held back and may be told now.
func (r *replica) answerHeld() { r.step(role.AnswersDue{}) }

// stopServing ends the process's part in the partition and returns the batches that may no longer be answered as applied.
func (r *replica) stopServing() finished {
	r.part.Lock()
	defer r.part.Unlock()
	d := r.decideLocked(role.Stop{})
	r.freeTransferLocked()
	r.part.stopTimerLocked()
	return d.answers
}

// serves returns the epoch under which this process owns the partition, or 0, and a channel that is closed when that
// changes.
func (r *replica) serves() (epoch uint64, ended <-chan struct{}) {
	r.part.Lock()
	defer r.part.Unlock()
	return r.serving.Load(), r.part.ended
}

// servesAfter returns the time before which nothing is answered; zero: answers are free.
func (r *replica) servesAfter() time.Time {
	r.part.Lock()
	defer r.part.Unlock()
	return r.part.role.ServeAfter()
}

// leaseWait returns how long the replica must not answer yet.
func (r *replica) leaseWait() time.Duration {
	if t := r.servesAfter(); !t.IsZero() {
		return time.Until(t)
	}
	return 0
}

// leads reports whether Raft elected this replica, and whether it elected another.
func (r *replica) leads() (leads, follows bool) {
	r.part.Lock()
	defer r.part.Unlock()
	return r.part.role.Leads()
}

// leader returns the replica that Raft elected, 0 if unknown, and in which term.
func (r *replica) leader() (replica, term uint64) {
	r.part.Lock()
	defer r.part.Unlock()
	return r.part.role.Leader()
}

// owner returns who owns the partition as far as this replica has applied.
func (r *replica) owner() (epoch uint64, member, incarnation wire.ID) {
	r.part.Lock()
	defer r.part.Unlock()
	return r.part.role.Owner()
}

// others returns the incarnations that hold the group's other replicas.
func (r *replica) others() []wire.ID {
	r.part.Lock()
	defer r.part.Unlock()
	return r.part.role.Others()
}
