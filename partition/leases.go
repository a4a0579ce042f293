package partition

import (
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition/role"
)

const (
	// renewBefore is how long before the end of a lease a read asks for the next: about as long as a ReadIndex may take on a busy machine.
	// Writes renew leases without being asked, so only a partition that is read and not written to pays for a round.
	renewBefore = 70 * time.Millisecond
	// renewEvery is how much longer a lease has to become before a write renews it.
	renewEvery = 40 * time.Millisecond
)

// leaseReads is what reads under leases need in a partition.
type leaseReads struct {
	// lease is what the role decided, and written under part's lock. Readers take no lock to look at it: it never changes, it is replaced.
	lease atomic.Pointer[role.Lease]
	// inherited is the same for reads before the serve-after time; see inherited.go.
	inherited atomic.Pointer[role.Lease]
	position  atomic.Uint64             // mark of what was applied with the last Update; 0 if the machine does not count
	renewing  atomic.Bool               // a ReadIndex that renews the lease was asked for and has not ended
	wall      func(now time.Time) int64 // the wall clock at a moment, in nanoseconds; is time.Time.UnixNano, except in tests
}

// readCounts counts the reads of a partition, by what showed that they are linearizable.
type readCounts struct {
	lease, inherited, majority atomic.Uint64
}

// Moment is one look at the clocks.
type Moment struct {
	Local   time.Time // monotonic and wall clock
	Cluster int64     // cluster time in milliseconds, looked at before
}

// Moment returns the present one.
func (h *Host) Moment() Moment {
	// In this order: where a lease holds at the local time, reads under it are as new as of the cluster time.
	cluster := h.cfg.Now()
	return Moment{Local: time.Now(), Cluster: cluster}
}

// TryRead makes a read at once, on the caller's goroutine, if this process has a lease of the partition that allows it. It reports whether
// it did: then rd was told by Finish, before TryRead returns. Otherwise the caller hands rd to Read, which asks a majority where it must,
// and by that gets the lease for the reads that follow.
//
// REQUIRES that the read had come at the moment at. Reads that came together may share one.
//
// TryRead returns false also for a read that has to commit something first, and for one that insists on a majority. rd.Read may have been
// called then, and is called again.
//
// TryRead allocates nothing and waits for nothing but an Update of the partition that is under way. It runs rd.Read and rd.Finish: a read
// that takes long holds up the caller and the partition, and belongs into Read.
func (h *Host) TryRead(partition int, rd Reader, at Moment) (done bool) {
	r := h.replicas[partition].Load()
	return r != nil && r.reads.tryRead(rd, at)
}

// tryRead makes a read under the lease, if there is one that holds.
//
// The order is what makes the read linearizable however long the goroutine is paused between two steps:
//
//	(a) The lease holds at a moment after the read has come. While it lasts no later owner answers anything, so all that anybody was told
//	    before this moment stands in this process's state. Entries are only added to that, so the read finds it also later.
//	(b) The epoch is still the lease's, looked at under the state's lock. After a pause the state may hold what another owner, or this
//	    process under a later epoch, has written and told nobody yet, because older leases may still hold. Such a state must not be
//	    shown.
//	(c) The read is made in the critical section of (b): nothing is applied in between.
//
// A pause after the moment of (a) is harmless, even if the lease ends or is given up meanwhile: what others are told after it is concurrent
// with this read. So the clocks may have been looked at for the reads before this one. That a lease began after the moment is harmless too: it
// says the same of its beginning, which is later.
func (q *readQueue) tryRead(rd Reader, moment Moment) bool {
	if rd.Quorum() {
		return false
	}

	r := q.r
	// After the moment: a lease that was given up before it says nothing of it.
	l := q.lease.Load()
	if l == nil || !q.holds(l, moment.Local) { // (a)
		// In its lease wait a new owner may already make some reads.
		return q.tryInherited(rd, moment.Cluster)
	}

	at := ReadPoint{Epoch: l.Epoch, Now: moment.Cluster, AsOf: moment.Cluster}

	r.state.RLock()
	done := r.state.own.Accepts(l.Epoch) && r.state.machine != nil && // (b)
		rd.Read(r.state.machine, at) // (c)
	r.state.RUnlock()
	if !done {
		return false
	}

	r.host.readCounts[r.partition].lease.Add(1)
	if l.Until.Sub(moment.Local) < renewBefore {
		// Asked for before the end, the next lease comes while this one still holds, and reads go on without a gap.
		q.renew()
	}
	rd.Finish()
	return true
}

// holds reports whether a lease holds at a moment. It drops a lease during which the machine was suspended.
func (q *readQueue) holds(l *role.Lease, now time.Time) bool {
	holds, suspended := l.Holds(now, q.wall(now))
	if suspended {
		q.dropSuspended(l)
	}
	return holds
}

// dropSuspended drops a lease during which the machine was suspended, and counts it once.
func (q *readQueue) dropSuspended(l *role.Lease) {
	r := q.r
	r.part.Lock()
	defer r.part.Unlock()
	if q.lease.Load() == l {
		// The lease is still this one: no other reader has dropped it, and none has come since.
		r.decideLocked(role.Suspended{Began: l.Began}) // has no other effect than on the lease
		r.host.counts.suspends.Add(1)
	}
}

// renewedBy reports whether a command of an epoch that was proposed at a moment would make the lease enough longer to be worth a step.
func (q *readQueue) renewedBy(epoch uint64, proposed time.Time) bool {
	if q.r.host.leaseMillis() == 0 {
		// The members are configured for reads by quorum, so there is no lease to renew.
		return false
	}

	// Each renewal is a step of the role under its lock, so writes in quick succession do without.
	l := q.lease.Load()
	return l == nil || l.Epoch != epoch || proposed.Sub(l.Began) >= renewEvery
}

// proof says that something which began at a moment has completed under an epoch; see role.Proven.
func (q *readQueue) proof(epoch uint64, began time.Time) role.Proven {
	return role.Proven{Epoch: epoch, Began: began, Wall: q.wall(began)}
}

// renew has the queue make a ReadIndex that renews the lease, unless one is under way. Reads go on under the lease meanwhile.
func (q *readQueue) renew() {
	// Most reads that come near the end of a lease find that another has asked.
	if q.renewing.Load() || !q.renewing.CompareAndSwap(false, true) {
		return
	}

	q.mu.Lock()
	// With the queue stopped, the flag stays: nobody needs the lease any more.
	start := !q.stopped && !q.running
	q.renewal = !q.stopped
	if start {
		q.startLocked()
	}
	q.mu.Unlock()

	if start {
		go q.serve() // ends when nothing waits; Host.Close waits for it
	}
}
