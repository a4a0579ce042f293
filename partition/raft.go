package partition

import (
	"errors"
	"time"

	"github.com/lni/dragonboat/v4"
)

// ticketState is what a ticket says.
type ticketState uint8

const (
	ticketOpen    ticketState = iota // nothing is known
	ticketClosed                     // the library has finished with the proposal; what became of it is seen by applying
	ticketDropped                    // it never reached the log
	ticketStrange                    // an answer that a proposal cannot have
)

// ticket is what the library gives for a proposal.
type ticket interface {
	// poll says what is known. After any answer but ticketOpen the ticket is gone.
	poll() ticketState
}

// requestTicket is dragonboat's request as a ticket.
type requestTicket dragonboat.RequestState

func (t *requestTicket) poll() ticketState {
	rs := (*dragonboat.RequestState)(t)
	select {
	case res := <-rs.ResultC():
		rs.Release()
		switch {
		case res.Dropped():
			return ticketDropped
		case res.Completed(), res.Timeout(), res.Terminated():
			// None of these tells whether the entry was applied here, and in which order.
			return ticketClosed
		}
		return ticketStrange
	default:
		return ticketOpen
	}
}

// propose gives an entry to Raft. After an error it has not reached the log and never will.
func (r *replica) propose(cmd []byte) (ticket, error) {
	nh, err := r.host.raft.Enter()
	if err != nil {
		return nil, err
	}
	defer r.host.raft.Leave()

	rs, err := nh.Propose(r.session, cmd, proposalTimeout)
	if err != nil {
		return nil, err
	}
	return (*requestTicket)(rs), nil
}

// proposeControl proposes an Own or Release. What becomes of it is seen when it is applied.
func (r *replica) proposeControl(cmd []byte) {
	if _, err := r.raft(cmd); err != nil {
		r.log.Debug("a change of ownership was not proposed", "err", err)
	}
}

type readOutcome uint8

const (
	readReady  readOutcome = iota // the replica has applied all that was committed when the read began
	readAgain                     // no answer in time, or this replica no longer serves
	readSoon                      // the leader cannot answer yet
	readFailed                    // this replica cannot tell
)

// readIndex waits until the replica has applied everything that was committed when it was called, but no longer than ended
// is open. timer is the caller's and at rest.
//
// NOTE: dragonboat can lose the answer for ever, so the wait has an end of its own.
func (r *replica) readIndex(ended <-chan struct{}, timer *time.Timer) readOutcome {
	h := r.host
	nh, err := h.raft.Enter()
	if err != nil {
		return readFailed
	}

	// Until the answer, or the end of the wait for it, Raft is told at once what was applied.
	r.reads.majorities.Add(1)
	defer r.reads.majorities.Add(-1)
	rs, err := nh.ReadIndex(r.shard, readIndexTimeout+tickTime)
	h.raft.Leave() // the answer is waited for outside, so that Close need not wait for it
	if err != nil {
		if errors.Is(err, dragonboat.ErrSystemBusy) {
			// The queue of the library is full, and not for long.
			return readSoon
		}
		return readFailed
	}

	// See the NOTE above: an answer that was lost would be waited for without end.
	timer.Reset(readIndexTimeout)
	defer timer.Stop()

	select {
	case res := <-rs.ResultC():
		rs.Release()
		switch {
		case res.Completed():
			return readReady
		case res.Timeout():
			return readAgain
		case res.Dropped():
			// Nobody leads, or the leader has not committed an entry of its term yet.
			return readSoon
		default:
			return readFailed
		}
	case <-timer.C: // the request is left to the garbage collector: an answer may still come
		return readAgain
	case <-ended:
		return readAgain
	case <-h.life.Done():
		return readFailed
	}
}

// sleep waits and reports whether the host still runs. timer is the caller's and at rest.
func (h *Host) sleep(d time.Duration, timer *time.Timer) bool {
	timer.Reset(d)
	defer timer.Stop()

	select {
	case <-timer.C:
		return true
	case <-h.life.Done():
		return false
	}
}
