package maps

import (
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Serving returns the epoch under which this process owns a partition now, or 0.
func (s *Service) Serving(p int) uint64 { return s.cfg.Host.Serving(p) }

// AnswersIn returns for how long this process must not tell anybody what stands in a partition that it owns.
func (s *Service) AnswersIn(p int) time.Duration { return s.cfg.Host.AnswersIn(p) }

// Inspect runs f on the state of a partition under its read lock, and reports whether a replica is here. f must not block.
func (s *Service) Inspect(p int, f func(*state.State)) bool {
	return s.cfg.Host.Inspect(p, func(m partition.Machine) { f(stateOf(m)) })
}

// SetPublished tells up to which position the events of a partition were published by this process.
func (s *Service) SetPublished(p int, pos uint64) { s.cfg.Host.SetPublished(p, pos) }

// Majority reports whether the reads of a map insist on asking a majority.
func (s *Service) Majority(name string) bool { return s.config([]byte(name)).Reads == wire.ReadQuorum }

// Vouch has f run on the state of a partition, once it is shown that the state holds whatever anybody had been told by asOf: under the
// partition's lease, or, without one or with majority, after a ReadIndex. It is a read like a client's, and is counted as one. f is called
// under the partition's read lock, and must not block.
//
// done is called once, after f. It is not vouched for if this process does not own the partition, or could not make sure. Both may be called
// before Vouch returns, or on another goroutine later.
func (s *Service) Vouch(p int, majority bool, f func(st *state.State, epoch uint64, asOf int64), done func(vouched bool)) {
	v := &voucher{majority: majority, f: f, done: done}
	if majority || !s.cfg.Host.TryRead(p, v, s.cfg.Host.Moment()) {
		s.cfg.Host.Read(p, v)
	}
}

// voucher is the read of one Vouch.
type voucher struct {
	majority bool
	f        func(st *state.State, epoch uint64, asOf int64)
	done     func(vouched bool)
}

var _ partition.Reader = (*voucher)(nil)

// Size returns what the read takes while it waits.
func (v *voucher) Size() int { return 0 }

// Quorum reports whether a lease does not do.
func (v *voucher) Quorum() bool { return v.majority }

// Read looks at the state.
func (v *voucher) Read(m partition.Machine, at partition.ReadPoint) bool {
	v.f(stateOf(m), at.Epoch, at.AsOf)
	return true
}

// Commit is never called: the read needs nothing in the log.
func (v *voucher) Commit() *entry.Op { return nil }

// Fail says that the read was not made.
func (v *voucher) Fail(partition.Outcome) { v.done(false) }

// Finish says that the read was made.
func (v *voucher) Finish() { v.done(true) }
