package metadata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// barrierTimeout bounds how long a read of the metadata waits to be the newest.
	barrierTimeout = 500 * time.Millisecond
	// caughtUpFor bounds how long a member waits to have caught up that is asked for it. The controller does not wait longer either.
	caughtUpFor = time.Second
)

// askedAsLeader is the body of a read by a member that takes the other for the leader. The other may pass the question on to nobody.
var askedAsLeader = []byte{1}

var (
	errNotConfirmed = errors.New("the leader of the metadata group could not confirm that it leads")
	errOtherCluster = errors.New("the member that led the metadata group is in another cluster")
)

// Barrier returns when this member knows the metadata that were committed before the call.
//
// A voter hears from Raft what is committed. A learner gets that from the leader's member instead, and takes it over. Beside a single voter its
// replica may hear of nothing: the Raft library sends learners no heartbeats while a read of the group waits, and such a read can wait for ever.
func (md *Metadata) Barrier(ctx context.Context) error {
	leader := md.LeadingMember()
	if leader == nil || leader.ID == md.cfg.Self || md.Votes() {
		return md.MetaHost.Barrier(ctx)
	}

	v, confirmed, err := md.read(ctx, leader.ID, askedAsLeader)
	switch {
	case err != nil:
		return err
	case !confirmed:
		return errNotConfirmed
	case v.Cluster != md.cluster:
		return errOtherCluster
	case md.replicaGone(v):
		// Doubt looks for metadata that are newer than this member's, and finds another replica by them. So they are not taken over here. The
		// other replica brings them.
		return md.reached(ctx, v.Version)
	}

	// What was read is at least as new as what was committed before the call, and the replica catches up later.
	md.Learn(v)
	return nil
}

// reached returns when this member knows a version of the metadata, or a later one.
func (md *Metadata) reached(ctx context.Context, version uint64) error {
	for {
		// The channel is taken before the view, so that no change between the two is missed.
		changed := md.Changed()
		if md.View().Version >= version {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// replicaGone reports whether metadata have another replica of this member than the one that runs here, or none, or are of another generation.
func (md *Metadata) replicaGone(v *meta.View) bool {
	at, mb := md.Replica(), v.Member(md.cfg.Self)
	return v.Generation() != at.Generation || mb != nil && mb.MetaReplica != at.Replica
}

// Read returns the metadata as a member reads them, and whether somebody led the group when it did: see AnswerRead.
func (md *Metadata) Read(ctx context.Context, from wire.ID) (v *meta.View, led bool, err error) {
	return md.read(ctx, from, nil)
}

func (md *Metadata) read(ctx context.Context, from wire.ID, body []byte) (v *meta.View, led bool, err error) {
	a, err := md.cfg.Peers.Ask(ctx, from, wire.OpMetaRead, body)
	if err == nil && (a.Code != wire.CodeOK || len(a.Body) == 0) {
		err = fmt.Errorf("answered %v: %s", a.Code, a.Body)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the metadata of member %v: %w", from, err)
	}

	st, err := meta.DecodeSnapshot(a.Body[1:])
	if err != nil {
		// The member may run a later version of the program. An operator has to know.
		md.log.Warn("a member's metadata cannot be read", "of", from.String(), "err", err)
		return nil, false, fmt.Errorf("read the metadata of member %v: %w", from, err)
	}
	return st.View(), a.Body[0] == 1, nil
}

// AnswerRead returns the committed metadata. Where the group does not confirm within barrierTimeout that these are the newest, the answer is what
// this member knows, and says so.
func (md *Metadata) AnswerRead(ctx context.Context, body []byte) (wire.Code, []byte) {
	ctx, cancel := context.WithTimeout(ctx, barrierTimeout)
	defer cancel()
	if v := md.View(); v == nil || !v.Bootstrapped() {
		return wire.CodeNotReady, []byte("this member has no metadata yet")
	}

	barrier := md.Barrier
	// Two learners that each took the other for the leader would ask each other without end.
	if len(body) > 0 {
		barrier = md.MetaHost.Barrier
	}

	// A member that asks may be looking for any word at all, as after a start. So metadata that may be old are sent too, and marked.
	newest := byte(1)
	if err := barrier(ctx); err != nil {
		md.log.Debug("metadata are read as they are known here", "err", err)
		newest = 0
	}
	return wire.CodeOK, meta.AppendSnapshot([]byte{newest}, md.View())
}

// AnswerCaughtUp answers when this member's replica has applied what was committed when it was asked.
func (md *Metadata) AnswerCaughtUp(ctx context.Context) (wire.Code, []byte) {
	ctx, cancel := context.WithTimeout(ctx, caughtUpFor)
	defer cancel()
	if md.View() == nil {
		return wire.CodeNotReady, nil
	}
	// The replica itself is to vote. What the member knows may come from another replica that it had before.
	if err := md.MetaHost.Barrier(ctx); err != nil {
		return wire.CodeNotReady, []byte(err.Error())
	}
	return wire.CodeOK, nil
}

// AnswerLead has this member's replica campaign because the leader asks for it, once the replica has all that is committed.
func (md *Metadata) AnswerLead(ctx context.Context, from wire.ID) (wire.Code, []byte) {
	ctx, cancel := context.WithTimeout(ctx, caughtUpFor)
	defer cancel()
	// A member that leaves would have to pass the lead on at once. A replica that lags would not be elected.
	if md.View() == nil || !md.Votes() || md.cfg.Leaving() {
		return wire.CodeNotReady, []byte("this member does not vote, or leaves")
	}
	if err := md.MetaHost.Barrier(ctx); err != nil {
		return wire.CodeNotReady, []byte(err.Error())
	}
	if mb := md.View().Member(from); mb == nil || !md.Elect(mb.MetaReplica, 0, 1) {
		return wire.CodeNotReady, []byte("the member that asks does not lead")
	}
	return wire.CodeOK, nil
}
