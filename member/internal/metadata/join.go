package metadata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// joinRetry is the pause before a cluster is asked again for a place in it.
	joinRetry = 500 * time.Millisecond
	// joinTimeout bounds one round of asking.
	joinTimeout = 5 * time.Second
	// goneTimeout bounds the look at where a member was.
	goneTimeout = 2 * time.Second
	// nameFreeAfter is the silence after which the name of a member that cannot be reached may be taken over.
	nameFreeAfter = 30 * time.Second
)

// errRefused is the error of a cluster that will not have this member as it is.
var errRefused = errors.New("refused")

// askForPlace asks the cluster for a place in the metadata group until it has one, the cluster refuses, or ctx ends. It returns the
// place and where the group's members are. gone is the replica that this member has given up, if it had one.
func (md *Metadata) askForPlace(ctx context.Context, found bootstrap.Result, gone place) (place, []wire.MetaMember, error) {
	md.cfg.Waiting("a place in the cluster")
	for {
		res, err := md.askToJoin(ctx, found, gone)
		if err == nil {
			md.cfg.Peers.SetMetaMembers(res.Members)
			return place{generation: res.Generation, replica: res.Replica}, res.Members, nil
		}
		// A refusal is about this member, and would come again. Anything else may pass.
		if errors.Is(err, errRefused) {
			return place{}, nil, fmt.Errorf("join the cluster: %w", err)
		}

		// The voters may be electing a leader, or starting as well.
		md.log.Info("waiting for a place in the cluster", "err", err)
		select {
		case <-time.After(joinRetry):
		case <-ctx.Done():
			return place{}, nil, fmt.Errorf("join the cluster: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// askToJoin asks for a place in the metadata group. It asks the voters with whom this member has bootstrapped the cluster first: they take
// no clients until all initial members are there. Then it asks the members that it knows, and those behind the client addresses.
func (md *Metadata) askToJoin(ctx context.Context, found bootstrap.Result, gone place) (wire.JoinResult, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	var errs []error
	asked := map[wire.ID]bool{md.cfg.Self: true}
	if found.Proposal != nil {
		for _, s := range found.Proposal.Voters() {
			// A member may be at another address by now. Whoever has found it knows better than the proposal.
			res, err := md.joinThrough(ctx, &wire.MemberInfo{ID: s.Member, Name: s.Addr, PeerAddr: md.cfg.Peers.Whereabouts(s.Member, s.PeersAddr)}, gone)
			if err == nil || errors.Is(err, errRefused) {
				return res, err
			}
			errs = append(errs, err)
		}
	}

	// These are the addresses that this member knew last.
	for _, s := range md.cfg.Peers.MetaMembers() {
		if asked[s.Member] {
			continue
		}
		asked[s.Member] = true
		at := md.cfg.Peers.Whereabouts(s.Member, s.PeerAddr)
		res, err := md.joinThrough(ctx, &wire.MemberInfo{ID: s.Member, Name: at, PeerAddr: at}, gone)
		if err == nil || errors.Is(err, errRefused) {
			return res, err
		}
		errs = append(errs, err)
		// The member may be at another address by now, which the views below would name.
		asked[s.Member] = false
	}

	// No member that this one knows gives it a place. A member behind a client address names those of today.
	for _, addr := range found.JoinAddrs {
		view, err := md.cfg.Table(ctx, addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("ask %s: %w", addr, err))
			continue
		}

		for i := range view.Members {
			mb := &view.Members[i]
			if asked[mb.ID] {
				continue
			}
			asked[mb.ID] = true
			res, err := md.joinThrough(ctx, mb, gone)
			if err == nil || errors.Is(err, errRefused) {
				return res, err
			}
			errs = append(errs, err)
		}
	}

	if len(errs) == 0 {
		errs = append(errs, errors.New("no member answers"))
	}

	return wire.JoinResult{}, errors.Join(errs...)
}

// joinThrough asks one member for a place in the metadata group.
func (md *Metadata) joinThrough(ctx context.Context, mb *wire.MemberInfo, gone place) (wire.JoinResult, error) {
	nc, a, err := md.cfg.Peers.DialAddr(ctx, mb.ID, mb.PeerAddr, wire.PlaneCalls, 0)
	if err != nil {
		return wire.JoinResult{}, err
	}

	c := rpc.New(nc, a)
	defer c.Close()
	ans, err := c.Call(ctx, wire.OpMetaJoin, wire.AppendJoinBody(nil, wire.JoinBody{Generation: gone.generation, Gone: gone.replica,
		Registration: meta.Append(nil, &meta.Register{Registration: md.cfg.Registration()})}))
	switch {
	case err != nil:
		return wire.JoinResult{}, fmt.Errorf("member %s: %w", mb.Name, err)
	// These codes are about this member. Others are about the one that was asked.
	case ans.Code == wire.CodeConflict || ans.Code == wire.CodeInvalid || ans.Code == wire.CodeMemberLeft:
		return wire.JoinResult{}, fmt.Errorf("%w: %s", errRefused, ans.Body)
	case ans.Code != wire.CodeOK:
		return wire.JoinResult{}, fmt.Errorf("member %s: %v: %s", mb.Name, ans.Code, ans.Body)
	}
	return wire.DecodeJoinResult(ans.Body)
}

// AnswerJoin registers a member that is new to the cluster, or has no replica of the metadata, and gives it one as a learner.
func (md *Metadata) AnswerJoin(ctx context.Context, from wire.ID, b wire.JoinBody) (wire.Code, []byte) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	v := md.View()
	if v == nil || !md.Votes() || !v.Bootstrapped() {
		return wire.CodeNotReady, []byte("this member does not vote")
	}

	decoded, err := meta.Decode(b.Registration)
	reg, ok := decoded.(*meta.Register)
	if err != nil || !ok || reg.ID != from {
		return wire.CodeInvalid, []byte("not the registration of the member that asks")
	}

	// Whether a name is free is judged here, not by the one who wants it.
	reg.Takeover = wire.ID{}
	if other := v.Named(reg.Name); other != nil && other.ID != from && other.ID != md.cfg.Self &&
		(md.cfg.Peers.Silence(other.ID) > nameFreeAfter || md.unreachable(ctx, other)) {
		reg.Takeover = other.Incarnation
	}

	// Each step may be repeated: a member that hears nothing asks again, and gets what it was given.
	res, err := md.Propose(ctx, meta.Append(nil, reg))
	alloc := &meta.AllocMeta{ID: from}
	// An ID that has voted is never used again, so the new one must follow the one that was given up. IDs of another generation do not count.
	if b.Generation == v.Generation() {
		alloc.After = b.Gone
	}
	if mb := v.Member(from); err == nil && res.OK() && mb != nil && mb.MetaReplica != 0 && mb.MetaReplica <= alloc.After {
		// The member has given its replica up, and the group still counts it. A dead voter would raise the majority that is needed.
		err = md.Remove(ctx, mb.MetaReplica)
	}
	if err == nil && res.OK() {
		res, err = md.Propose(ctx, meta.Append(nil, alloc))
	}
	if err == nil && res.OK() {
		err = md.AddLearner(ctx, res.ReplicaID(), from)
	}

	// What was committed so far stays. The member asks again and goes on from there.
	switch {
	case err != nil:
		return wire.CodeUnavailable, []byte(err.Error())
	case !res.OK():
		return res.Code, []byte(res.Text)
	default:
		join := wire.JoinResult{Generation: v.Generation(), Replica: res.ReplicaID(), Members: membersOf(md.View(), md.participants)}
		return wire.CodeOK, wire.AppendJoinResult(nil, &join)
	}
}
