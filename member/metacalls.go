package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/control"
	"github.com/gridiron-io/gridiron/member/internal/server"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// goneTimeout bounds the look at where a member was.
	goneTimeout = 2 * time.Second
	// metaRetry is the pause before a call to the metadata group is repeated.
	metaRetry = 50 * time.Millisecond
	// metaTimeout bounds one attempt.
	metaTimeout = 3 * time.Second
	// tryTimeout bounds how long the first attempt waits for one voter. Each further attempt waits twice as long, up to metaTimeout.
	tryTimeout = 500 * time.Millisecond
	// barrierTimeout bounds how long a read of the metadata waits to be the newest.
	barrierTimeout = 500 * time.Millisecond
	// nameFreeAfter is the silence after which the name of a member that cannot be reached may be taken over.
	nameFreeAfter = 30 * time.Second
)

// metaPropose commits a command, by this member's replica if it votes, else by another's, and repeats it until it has a
// result or ctx ends. Every command may be repeated.
func (m *Member) metaPropose(ctx context.Context, c meta.Command) (meta.Result, error) {
	cmd := meta.Append(nil, c)
	for try := tryTimeout; ; try = min(2*try, metaTimeout) {
		res, err := m.metaProposeOnce(ctx, cmd, try)
		if err == nil {
			return res, nil
		}
		select {
		case <-time.After(metaRetry):
		case <-ctx.Done():
			return meta.Result{}, fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		}
	}
}

// metaProposeOnce asks one voter after the other, and waits for each no longer than try. A voter may have been removed from the group without
// hearing of it, or may send the command to a leader that was deposed.
func (m *Member) metaProposeOnce(ctx context.Context, cmd []byte, try time.Duration) (meta.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, metaTimeout)
	defer cancel()
	var errs []error
	if m.metaVotes() {
		short, cancel := context.WithTimeout(ctx, try)
		res, err := m.meta.Propose(short, cmd)
		cancel()
		if err == nil || m.ctx.Err() != nil {
			return res, err
		}
		// The command may have been committed although no answer came. It may be repeated, so the next voter is asked.
		errs = append(errs, err)
	}

	for _, id := range m.metaVoters() {
		short, cancel := context.WithTimeout(ctx, try)
		a, err := m.peers.Ask(short, id, wire.OpMetaPropose, cmd)
		cancel()
		if err == nil && a.Code == wire.CodeOK {
			return meta.DecodeResult(a.Body)
		}
		if err == nil {
			err = fmt.Errorf("member %v: %v: %s", id, a.Code, a.Body)
		}
		errs = append(errs, err)
	}

	if len(errs) == 0 {
		return meta.Result{}, errors.New("no voter of the metadata group is known")
	}

	return meta.Result{}, errors.Join(errs...)
}

// metaVotes reports whether this member's metadata replica votes, as far as it knows.
func (m *Member) metaVotes() bool {
	// The group does without this vote already, and may have removed it without this member's hearing of it.
	if m.metaReleased.Load() {
		return false
	}
	if mb := m.metaView().Member(m.id); mb != nil {
		return mb.MetaVoter
	}
	// Before this member is registered, its replica tells: an initial voter votes, a learner does not.
	return !m.metaJoined
}

// metaVoters returns the other members whose metadata replicas vote, or may vote. Those that answer come first.
func (m *Member) metaVoters() []wire.ID {
	var ids, silent []wire.ID
	for _, mb := range m.metaView().Members {
		switch {
		case !mb.MetaVoter || mb.ID == m.id:
		case m.peers.Silent(mb.ID):
			silent = append(silent, mb.ID)
		default:
			ids = append(ids, mb.ID)
		}
	}

	// A member that looks silent from here may still lead, so it is asked last instead of never.
	if ids = append(ids, silent...); len(ids) > 0 {
		return ids
	}
	return m.peers.MetaMemberIDs()
}

// metaMembers returns the members of the metadata group and where they are.
func (m *Member) metaMembers() []wire.MetaMember { return metaMembersOf(m.metaView(), m.participants) }

// metaMembersOf returns the members of the metadata group that a view names, and the initial voters that have not registered yet. Without these, a
// member that joins early would know no voter to ask.
func metaMembersOf(v *meta.View, participants []bootstrap.Participant) (members []wire.MetaMember) {
	for i := range v.Members {
		if mb := &v.Members[i]; mb.MetaReplica != 0 {
			members = append(members, wire.MetaMember{Replica: mb.MetaReplica, Member: mb.ID, PeerAddr: mb.PeerAddr})
		}
	}

	if v.Generation() > 0 {
		// The initial members belong to the first generation. Another member began this one alone.
		return members
	}

	for _, s := range participants {
		if slices.Contains(v.InitialVoters, s.Member) && v.Member(s.Member) == nil {
			members = append(members, wire.MetaMember{Replica: s.ReplicaID, Member: s.Member, PeerAddr: s.PeersAddr})
		}
	}
	return members
}

// answerMetaPropose commits a command for a member whose replica does not vote.
func (m *Member) answerMetaPropose(c *server.Conn, id uint64, cmd []byte) {
	ctx, cancel := context.WithTimeout(m.ctx, metaTimeout)
	defer cancel()
	if m.metaView() == nil || !m.metaVotes() {
		c.Answer(id, wire.CodeNotReady, []byte("this member does not vote"))
		return
	}
	if _, err := meta.Decode(cmd); err != nil {
		c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
		return
	}

	res, err := m.meta.Propose(ctx, cmd)
	if err != nil {
		c.Answer(id, wire.CodeUnavailable, []byte(err.Error()))
		return
	}
	c.Answer(id, wire.CodeOK, meta.AppendResult(nil, &res))
}

// answerMetaCaughtUp answers when this member's metadata are as new as what was committed when it was asked.
func (m *Member) answerMetaCaughtUp(c *server.Conn, id uint64) {
	ctx, cancel := context.WithTimeout(m.ctx, control.MetaCaughtUpFor)
	defer cancel()
	if m.metaView() == nil {
		c.Answer(id, wire.CodeNotReady, nil)
	} else if err := m.meta.Barrier(ctx); err != nil {
		c.Answer(id, wire.CodeNotReady, []byte(err.Error()))
	} else {
		c.Answer(id, wire.CodeOK, nil)
	}
}

// answerMetaLead has this member's replica campaign because the leader asks for it, once the replica has all that is committed.
func (m *Member) answerMetaLead(c *server.Conn, id uint64, from wire.ID) {
	ctx, cancel := context.WithTimeout(m.ctx, control.MetaCaughtUpFor)
	defer cancel()
	v := m.metaView()
	// A member that leaves would have to pass the lead on at once. A replica that lags would not be elected.
	if v == nil || !m.metaVotes() || m.going.Load() {
		c.Answer(id, wire.CodeNotReady, []byte("this member does not vote, or leaves"))
	} else if err := m.meta.Barrier(ctx); err != nil {
		c.Answer(id, wire.CodeNotReady, []byte(err.Error()))
	} else if mb := m.metaView().Member(from); mb == nil || !m.meta.Elect(mb.MetaReplica, 0, 1) {
		c.Answer(id, wire.CodeNotReady, []byte("the member that asks does not lead"))
	} else {
		c.Answer(id, wire.CodeOK, nil)
	}
}

// answerMetaRead returns the committed metadata. Where the group does not confirm within barrierTimeout that these are the newest, the
// answer is what this member knows, and says so.
func (m *Member) answerMetaRead(c *server.Conn, id uint64) {
	ctx, cancel := context.WithTimeout(m.ctx, barrierTimeout)
	defer cancel()
	if v := m.metaView(); v == nil || !v.Bootstrapped() {
		c.Answer(id, wire.CodeNotReady, []byte("this member has no metadata yet"))
		return
	}

	newest := byte(1)
	if err := m.meta.Barrier(ctx); err != nil {
		m.log.Debug("metadata are read as they are known here", "err", err)
		newest = 0
	}
	c.Answer(id, wire.CodeOK, meta.AppendSnapshot([]byte{newest}, m.meta.View()))
}

// readMeta returns the metadata as a member reads them, and whether somebody led the group when it did: see answerMetaRead.
func (m *Member) readMeta(ctx context.Context, from wire.ID) (v *meta.View, led bool, err error) {
	a, err := m.peers.Ask(ctx, from, wire.OpMetaRead, nil)
	if err == nil && (a.Code != wire.CodeOK || len(a.Body) == 0) {
		err = fmt.Errorf("answered %v: %s", a.Code, a.Body)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the metadata of member %v: %w", from, err)
	}

	st, err := meta.DecodeSnapshot(a.Body[1:])
	if err != nil {
		m.log.Warn("a member's metadata cannot be read", "of", from.String(), "err", err)
		return nil, false, fmt.Errorf("read the metadata of member %v: %w", from, err)
	}
	return st.View(), a.Body[0] == 1, nil
}

// answerMetaJoin registers a member that is new to the cluster, or has no replica of the metadata, and gives it one as a learner.
func (m *Member) answerMetaJoin(c *server.Conn, id uint64, from wire.ID, b wire.JoinBody) {
	ctx, cancel := context.WithTimeout(m.ctx, metaTimeout)
	defer cancel()
	v := m.metaView()
	if v == nil || !m.metaVotes() || !v.Bootstrapped() {
		c.Answer(id, wire.CodeNotReady, []byte("this member does not vote"))
		return
	}

	decoded, err := meta.Decode(b.Registration)
	reg, ok := decoded.(*meta.Register)
	if err != nil || !ok || reg.ID != from {
		c.Answer(id, wire.CodeInvalid, []byte("not the registration of the member that asks"))
		return
	}

	// Whether a name is free is judged here, not by the one who wants it.
	reg.Takeover = wire.ID{}
	if other := v.Named(reg.Name); other != nil && other.ID != from && other.ID != m.id &&
		(m.peers.Silence(other.ID) > nameFreeAfter || m.unreachable(ctx, other)) {
		reg.Takeover = other.Incarnation
	}

	res, err := m.meta.Propose(ctx, meta.Append(nil, reg))
	alloc := &meta.AllocMeta{ID: from}
	// An ID that has voted is never used again, so the new one must follow the one that was given up. IDs of another generation do not count.
	if b.Generation == v.Generation() {
		alloc.After = b.Gone
	}
	if mb := v.Member(from); err == nil && res.OK() && mb != nil && mb.MetaReplica != 0 && mb.MetaReplica <= alloc.After {
		// The member has given its replica up, and the group still counts it. A dead voter would raise the majority that is needed.
		err = m.meta.Remove(ctx, mb.MetaReplica)
	}
	if err == nil && res.OK() {
		res, err = m.meta.Propose(ctx, meta.Append(nil, alloc))
	}
	if err == nil && res.OK() {
		err = m.meta.AddLearner(ctx, res.ReplicaID(), from)
	}

	switch {
	case err != nil:
		c.Answer(id, wire.CodeUnavailable, []byte(err.Error()))
	case !res.OK():
		c.Answer(id, res.Code, []byte(res.Text))
	default:
		join := wire.JoinResult{Generation: v.Generation(), Replica: res.ReplicaID(), Members: m.metaMembers()}
		c.Answer(id, wire.CodeOK, wire.AppendJoinResult(nil, &join))
	}
}

// unreachable reports whether the process that a member is registered at is no longer where it was: nothing listens there, or
// somebody else does. Silence is not enough.
func (m *Member) unreachable(ctx context.Context, mb *meta.Member) bool {
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	nc, a, err := m.peers.DialAddr(ctx, mb.ID, mb.PeerAddr, wire.PlaneCalls, 0)
	if err == nil {
		_ = nc.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED) || !a.Incarnation.IsZero() && a.Incarnation != mb.Incarnation
}
