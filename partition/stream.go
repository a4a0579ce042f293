package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"

	"github.com/gridiron-io/gridiron/partition/raftnet"
)

// carried is a host as the source and the target of the state snapshots that its transport carries.
type carried Host

var _ raftnet.StateSnapshots = (*carried)(nil)

// A streamKey names a replica that is given a state snapshot.
type streamKey struct{ shard, to uint64 }

// stream is a state snapshot that waits for a slot or is being sent. Each replica that needs one has one stream, and further requests for
// that replica wait for its end.
//
// A waiting stream is as good as the newest request, because the state is frozen when the stream has its slot. A running stream brings all
// that a newer one would, because the log goes on where its state snapshot ends.
type stream struct {
	done chan struct{} // closed at the end, when err is set
	err  error

	// Guarded by streams.
	asked  int    // requests for which it stands
	frozen uint64 // index at which the receiver's log will begin; 0 while it waits
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// ended returns why the stream is to end, nil while it is not.
func (st *stream) ended() error { return context.Cause(st.ctx) }

// streams are those of a host.
type streams struct {
	slots chan struct{} // as many as are sent at a time
	pace  pace

	sync.Mutex // guards the following
	byReplica  map[streamKey]*stream
}

// begin returns the stream to a replica, whose context is a child of life, and whether it is the caller's to run: else another one is under way.
func (s *streams) begin(life context.Context, key streamKey) (st *stream, mine bool) {
	s.Lock()
	defer s.Unlock()
	if st := s.byReplica[key]; st != nil {
		// The stream that is there serves this request too.
		st.asked++
		return st, false
	}
	st = &stream{done: make(chan struct{}), asked: 1}
	st.ctx, st.cancel = context.WithCancelCause(life)
	s.byReplica[key] = st
	return st, true
}

func (s *streams) freeze(st *stream, index uint64) {
	s.Lock()
	defer s.Unlock()
	st.frozen = index
}

func (s *streams) end(key streamKey, st *stream, err error) {
	s.Lock()
	// First out of the map: those who are woken by the end may begin the next stream.
	delete(s.byReplica, key)
	s.Unlock()
	st.err = err
	// It frees the context. A cause that was set before stays.
	st.cancel(nil)
	close(st.done)
}

// floor returns the lowest index at which the log of a replica that is being given a state snapshot of a shard will begin: what comes
// after that must not be cut. False: there is none.
func (s *streams) floor(shard uint64) (index uint64, ok bool) {
	s.Lock()
	defer s.Unlock()
	for key, st := range s.byReplica {
		if key.shard == shard && st.frozen != 0 && (!ok || st.frozen < index) {
			index, ok = st.frozen, true
		}
	}
	return index, ok
}

// stop ends the streams of a shard that have begun, for a reason.
func (s *streams) stop(shard uint64, why error) {
	s.Lock()
	defer s.Unlock()
	for key, st := range s.byReplica {
		// A stream that waits has not frozen anything yet, so it keeps no log.
		if key.shard == shard && st.frozen != 0 {
			st.cancel(why)
		}
	}
}

var errGone = errors.New("the connection is broken")

// Outgoing waits for a slot and freezes the state.
func (c *carried) Outgoing(gone <-chan struct{}, of raftnet.Request) (raftnet.StateSnapshot, error) {
	h := (*Host)(c)
	r := h.find(of.Shard, of.From)
	if r == nil {
		return nil, fmt.Errorf("send a state snapshot: replica %d of shard %d does not run here", of.From, of.Shard)
	}

	// Until the receiver says that it has the state snapshot, it stands where the log begins now. After a lost answer the library tries
	// that place of the log again. So the log is kept from there, as far as there is room.
	if first, _, _, err := h.log.Bounds(r.shard, r.id); err == nil {
		r.followers.heard(of.To, first-1, time.Now())
	}

	key := streamKey{of.Shard, of.To}
	for {
		st, mine := h.stateSnapshots.begin(h.life, key)
		if mine {
			snap, err := h.freezeFor(gone, r, st, &of)
			if err != nil {
				h.stateSnapshots.end(key, st, err)
				return nil, fmt.Errorf("send a state snapshot of partition %d: %w", r.partition, err)
			}
			r.log.Debug("a replica is sent the whole state", "to", of.To, "index", snap.index)
			return &outgoing{frozen: *snap, r: r, key: key, stream: st}, nil
		}

		select {
		case <-st.done:
			// Another stream has brought all that is needed. If it failed, the next one is tried.
			if st.err == nil {
				return nil, nil
			}
		case <-gone:
			return nil, errGone
		case <-h.life.Done():
			return nil, errClosed
		}
	}
}

// frozen is a state snapshot and its place in the log.
type frozen struct {
	stateSnapshot *stateSnapshot
	index, term   uint64
	members       raftpb.Membership
}

// freezeFor waits for a slot, and freezes the state of a replica for a stream. The stream has the slot then.
func (h *Host) freezeFor(gone <-chan struct{}, r *replica, st *stream, of *raftnet.Request) (*frozen, error) {
	// A part of the generation's first state would be taken for the whole. A replica that joins waits until the state is complete.
	select {
	case <-r.whole.ch:
	case <-r.closed.ch:
		return nil, errClosed
	case <-gone:
		return nil, errGone
	case <-h.life.Done():
		return nil, errClosed
	}

	select {
	case h.stateSnapshots.slots <- struct{}{}:
	case <-gone:
		return nil, errGone
	case <-h.life.Done():
		return nil, errClosed
	}

	f, err := h.place(r, st, of)
	if err != nil {
		<-h.stateSnapshots.slots // the next stream need not wait for this one
	}
	return f, err
}

// membershipFor bounds the question who belongs to a group.
const membershipFor = 5 * time.Second

// place freezes the state and finds its place in the log. The request names the index at which the library's Raft snapshot was taken,
// which the replica may have passed long ago. So index, term and membership are looked up for the state snapshot.
func (h *Host) place(r *replica, st *stream, of *raftnet.Request) (*frozen, error) {
	for {
		// Another goroutine cuts the log. So it is kept from a safe index on before the state is frozen, and from the right one after.
		h.stateSnapshots.freeze(st, max(r.applied.Load(), of.Index))
		f := &frozen{stateSnapshot: r.freeze(), index: of.Index, term: of.Term, members: of.Membership}
		if f.stateSnapshot == nil {
			return nil, errClosed
		}

		if f.stateSnapshot.applied <= of.Index {
			// Between the last entry of ours and the library's index stand only entries of the library, which change no state.
			h.stateSnapshots.freeze(st, f.index)
			return f, nil
		}

		// The state is newer than the Raft snapshot: it needs the term of its own last entry.
		h.stateSnapshots.freeze(st, f.stateSnapshot.applied)
		var changed bool
		var err error
		f.index = f.stateSnapshot.applied
		if f.term, changed, err = h.log.Since(r.shard, r.id, of.Index, f.index); err != nil {
			f.stateSnapshot.machine.Close()
			return nil, err
		}
		if !changed {
			return f, nil
		}

		// The membership has changed since the Raft snapshot. The group's present membership is that of the state snapshot too, unless it
		// has changed once more behind it.
		m, err := r.membership(st.ctx)
		if err == nil && m.ConfigChangeId <= f.index {
			f.members = *m
			return f, nil
		}

		f.stateSnapshot.machine.Close()
		if err != nil {
			// The group may have no majority now. That is not the receiver's fault, and the library asks again.
			return nil, fmt.Errorf("%w: %w", raftnet.ErrGiveUp, err)
		}

		// The newer membership belongs to a newer state, so the state is frozen again.
	}
}

// membership returns who belongs to the replica's group now, in the form in which Raft snapshots carry it.
func (r *replica) membership(ctx context.Context) (*raftpb.Membership, error) {
	ctx, cancel := context.WithTimeout(ctx, membershipFor)
	defer cancel()
	m, err := r.group().Membership(ctx)
	if err != nil {
		return nil, err
	}

	members := &raftpb.Membership{ConfigChangeId: m.ConfigChangeID, Addresses: m.Nodes, NonVotings: m.NonVotings, Witnesses: m.Witnesses,
		Removed: make(map[uint64]bool, len(m.Removed))}
	for id := range m.Removed {
		members.Removed[id] = true
	}
	return members, nil
}

// outgoing is a state snapshot that is being sent.
type outgoing struct {
	frozen
	r      *replica
	key    streamKey
	stream *stream
}

func (o *outgoing) At() (index, term uint64, members raftpb.Membership) {
	return o.index, o.term, o.members
}

// WriteTo writes the state snapshot no faster than the host's state snapshots may go.
func (o *outgoing) WriteTo(w io.Writer) (int64, error) {
	// Each wait sets the timer again. The hour keeps it at rest until then.
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	return o.stateSnapshot.writeTo(&pacedWriter{w: w, out: o, timer: timer})
}

func (o *outgoing) Close(err error) {
	h := o.r.host
	o.stateSnapshot.machine.Close()
	// The slot first: whoever is woken by the end of the stream may need one.
	<-h.stateSnapshots.slots
	h.stateSnapshots.end(o.key, o.stream, err)

	// A host that closes breaks its streams off, which nobody needs to know.
	if err != nil && !errors.Is(err, errClosed) {
		o.r.log.Debug("sending a state snapshot failed; the receiver is sent another one when it asks", "to", o.key.to, "err", err)
	}
}

// Incoming reads a state snapshot and gives it to a replica.
func (c *carried) Incoming(shard, replica uint64, src io.Reader) error {
	r := (*Host)(c).find(shard, replica)
	if r == nil {
		return fmt.Errorf("read a state snapshot: replica %d of shard %d does not run here", replica, shard)
	}

	// Two leaders, one after the other, may each send a state snapshot. The first may make the second needless.
	r.incoming.Lock()
	defer r.incoming.Unlock()

	snap, err := r.readStateSnapshot(src)
	if err != nil {
		return fmt.Errorf("read a state snapshot of partition %d: %w", r.partition, err)
	}

	// A state that is older than the replica's own is read and dropped.
	if snap != nil {
		r.install(snap)
	}
	return nil
}

// Heard notes how far another replica is.
func (c *carried) Heard(shard, replica, from, index uint64, now time.Time) {
	if r := (*Host)(c).find(shard, replica); r != nil {
		r.followers.heard(from, index, now)
	}
}

// Bounds of the state snapshots that a host sends. Sender and receiver also answer calls, on the same processors and the same network. At
// this rate a state snapshot takes about a tenth of a processor, and half of a network of 1 Gbit/s.
const (
	stateSnapshotsAtOnce = 2
	stateSnapshotRate    = 64 << 20 // bytes per second
	// stateSnapshotBurst is what may go at once after a while without.
	stateSnapshotBurst = 512 << 10
)

// pace says when the next bytes may go.
type pace struct {
	sync.Mutex
	due time.Time // when all that went would have gone at the rate alone
}

// reserve takes n bytes and returns how long whoever sends them must wait after that.
func (p *pace) reserve(n int, now time.Time) time.Duration {
	p.Lock()
	defer p.Unlock()

	// Time without state snapshots is not saved up beyond the burst.
	if earliest := now.Add(-stateSnapshotBurst * time.Second / stateSnapshotRate); p.due.Before(earliest) {
		p.due = earliest
	}

	// The bytes are taken first and waited for afterwards, so several streams share the rate in the order of their writes.
	p.due = p.due.Add(time.Duration(n) * time.Second / stateSnapshotRate)
	return p.due.Sub(now)
}

// pacedWriter waits after each write for as long as the host's pace asks for.
type pacedWriter struct {
	w     io.Writer
	out   *outgoing
	timer *time.Timer // at rest
	led   bool        // the replica was seen to lead
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	r := p.out.r
	if err := p.out.stream.ended(); err != nil {
		return 0, err
	}

	// A replica that leads in place of this one sends a state snapshot of its own. One that never led goes on: the library had its reason.
	if leads, follows := r.leads(); follows && p.led {
		return 0, raftnet.ErrGiveUp
	} else if leads {
		p.led = true
	}

	n, err := p.w.Write(b)
	if err != nil {
		return n, err
	}
	if wait := r.host.stateSnapshots.pace.reserve(n, time.Now()); wait > 0 && !r.host.sleep(wait, p.timer) {
		return n, errClosed
	}
	return n, nil
}
