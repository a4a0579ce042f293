package metadata

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// LeaderlessFor is for how long nobody must have led the metadata group before an operator may have it recovered.
	LeaderlessFor = 10 * time.Second
	// askedWithin is how soon an operator's question must follow the one before: between them nobody has looked for a leader.
	askedWithin = 5 * time.Second
	// lookTimeout bounds one look for a leader, and for members that are said to be lost.
	lookTimeout = time.Second
	// othersTimeout bounds how long those are waited for that are not said to be lost. Each looks for a leader first, and may be busy.
	othersTimeout = 3 * time.Second
	// beginTimeout bounds the beginning of a generation of the metadata.
	beginTimeout = 30 * time.Second
	// beginCampaign is how long its only voter waits before it asks to be elected.
	beginCampaign = 20 * time.Millisecond
)

// recovery is what a member knows of the metadata group's being without a leader, while an operator asks for it to be recovered.
type recovery struct {
	slot        chan struct{} // one: a question is being answered
	since, last time.Time     // REQUIRES slot: when nobody was found to lead first, and last
}

// AnswerRecover recovers the metadata with what this member has of them. An operator has said which members are lost for good. Without their voters
// the metadata group can never have a quorum again.
func (md *Metadata) AnswerRecover(ctx context.Context, lost []string) (wire.Code, []byte) {
	md.recovery.slot <- struct{}{} // given back within a bounded time
	defer func() { <-md.recovery.slot }()
	res, err := md.recoverGroup(ctx, lost)
	var r *rpc.Refusal
	switch {
	case errors.As(err, &r):
		return r.Code, []byte(r.Text)
	case err != nil:
		md.log.Error("the metadata could not be recovered", "err", err)
		return wire.CodeUnavailable, []byte(err.Error())
	default:
		return wire.CodeOK, wire.AppendRecoverResult(nil, res)
	}
}

func (md *Metadata) recoverGroup(ctx context.Context, names []string) (res wire.RecoverResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	// A recovery that failed halfway goes on: its generation may be known to others already.
	next, err := loadRecovery(md.cfg.Dir)
	if err != nil {
		return res, err
	}
	if next == nil {
		v := md.View()
		if !v.Bootstrapped() {
			return res, rpc.Refuse(wire.CodeNotReady, "this member has no metadata yet")
		}
		lost, err := lostMembers(v, names)
		if err != nil {
			return res, err
		}
		if md.leaderFound(ctx) {
			if now := md.View(); now.Generation() > 0 && !slices.ContainsFunc(lost, func(id wire.ID) bool { mb := now.Member(id); return mb != nil && mb.State != meta.StateDead }) {
				// An earlier call, or another member, has done it. The operator's call may be repeated.
				return wire.RecoverResult{Done: true, Generation: now.Generation()}, nil
			}
			return res, rpc.Refuse(wire.CodeConflict, "the metadata group has a leader: there is nothing to recover; a lost member is removed by \"grid cluster remove\"")
		}
		if err := md.mayBegin(ctx, v, lost); err != nil {
			return res, err
		}
		// An election may only be slow. A recovery beside living voters would lose what they have committed since.
		if wait := LeaderlessFor - time.Since(md.recovery.since); wait > 0 {
			return wire.RecoverResult{Generation: v.Generation(), Wait: uint32(wait.Milliseconds()) + 1}, nil
		}
		if next, err = v.Recovered(md.cfg.Self, lost); err != nil {
			return res, rpc.Refuse(wire.CodeConflict, "%v", err)
		}
		// From here on this member completes the recovery, also after a restart: another one with other metadata must not begin.
		if err := saveRecovery(md.cfg.Dir, next); err != nil {
			return res, err
		}
		md.log.Warn("the metadata are recovered with what this member has of them, because an operator says that others are lost for good",
			"event", "METADATA_RECOVERED", "lost", names, "generation", next.Generation(), "version", v.Version)
		md.cfg.At("saved", &meta.RecoverMetadata{})
	}

	// From here on it makes no difference whether this call or an earlier one has decided on the recovery.
	if err := md.begin(ctx, next); err != nil {
		return res, err
	}
	return wire.RecoverResult{Done: true, Generation: next.Generation()}, nil
}

// lostMembers returns the members that an operator has named.
func lostMembers(v *meta.View, names []string) (ids []wire.ID, err error) {
	for _, name := range names {
		// Of several members that had the name in turn, the present one is meant.
		found := v.Named(name)
		// An ID says exactly who is meant, so it counts more than a name.
		for i := range v.Members {
			if mb := &v.Members[i]; mb.ID.String() == name {
				found = mb
				break
			} else if found == nil && mb.Name == name {
				found = mb
			}
		}
		if found == nil {
			return nil, rpc.Refuse(wire.CodeNotFound, "there is no member %q", name)
		}
		ids = append(ids, found.ID)
	}
	return ids, nil
}

// leaderFound looks for a leader of the metadata group, and keeps account of how long there has been none.
func (md *Metadata) leaderFound(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	rec := &md.recovery
	began := time.Now()
	if md.Barrier(ctx) == nil {
		rec.since = time.Time{}
		return true
	}
	// Between questions that are far apart nobody looked, and there may have been a leader.
	if rec.since.IsZero() || began.Sub(rec.last) > askedWithin {
		rec.since = began
	}
	rec.last = time.Now()
	return false
}

// mayBegin refuses unless this member is the one to begin. Without the members that are said to be lost, the group must have no quorum, and none of
// these may answer. All other members must answer, reach no leader either, and know no more than this one.
func (md *Metadata) mayBegin(ctx context.Context, v *meta.View, lost []wire.ID) error {
	look, cancelLook := context.WithTimeout(ctx, lookTimeout)
	defer cancelLook()
	others, cancelOthers := context.WithTimeout(ctx, othersTimeout)
	defer cancelOthers()
	voters, left := 0, 0
	var mu sync.Mutex
	var no error // guarded by mu: the first that forbids it
	refused := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if no == nil {
			no = rpc.Refuse(wire.CodeConflict, format, args...)
		}
	}

	var wg sync.WaitGroup
	for i := range v.Members {
		mb := &v.Members[i]
		gone := slices.Contains(lost, mb.ID)
		if mb.MetaVoter {
			voters++
			if !gone {
				left++
			}
		}

		switch {
		case mb.ID == md.cfg.Self && gone:
			return rpc.Refuse(wire.CodeConflict, "member %q is the one that is asked, and so not lost", mb.Name)
		case mb.ID == md.cfg.Self:
		case gone:
			// An operator may be wrong about who is lost. Only the member itself can prove it, from where it was last.
			wg.Go(func() { // ends with its timeout
				nc, a, err := md.cfg.Peers.DialAddr(look, mb.ID, mb.PeerAddr, wire.PlaneCalls, 0)
				if err == nil {
					_ = nc.Close()
				}
				if a.Member == mb.ID {
					refused("member %q is not lost: it answers at %s", mb.Name, mb.PeerAddr)
				}
			})
		case !mb.Live() && !mb.MetaVoter:
			// A member that has left without a vote knows nothing that others lack.
		default:
			// The member with the newest metadata begins, so that as little as possible is lost; of equals the one with the lowest ID.
			wg.Go(func() { // likewise
				theirs, led, err := md.Read(others, mb.ID)
				switch {
				case led:
					refused("member %q reaches a leader of the metadata group", mb.Name)
				case err != nil:
					refused("member %q does not answer and is not said to be lost: %v", mb.Name, err)
				case theirs.Version > v.Version || theirs.Version == v.Version && bytes.Compare(mb.ID[:], md.cfg.Self[:]) < 0:
					refused("member %q is the one to begin: it knows as much as this one or more; ask it at %s", mb.Name, mb.Addr)
				}
			})
		}
	}

	// Those who are left have a quorum, and lose nothing by electing a leader.
	if left > voters/2 {
		return rpc.Refuse(wire.CodeConflict, "of %d voters of the metadata group %d are not lost: they elect a leader by themselves when they reach each other; "+
			"a lost member is removed by \"grid cluster remove\"", voters, left)
	}

	wg.Wait()
	return no
}

// begin begins a generation of the metadata, as its only voter. It may be repeated, also after a restart.
func (md *Metadata) begin(ctx context.Context, next *meta.View) error {
	at := place{generation: next.Generation(), replica: next.Member(md.cfg.Self).MetaReplica, first: true}
	md.cfg.Registry.Set(partition.MetaShard(at.generation), at.replica, md.cfg.Self.String())
	// A repeated call finds the replica at work already. The old one must end before, for a member runs only one.
	if md.Replica() != (partition.MetaReplica{Generation: at.generation, Replica: at.replica}) {
		if err := md.Quit(); err != nil {
			return err
		}
		if err := md.take(ctx, at, partition.MetaStart{Generation: at.generation, Replica: at.replica, Initial: map[uint64]wire.ID{at.replica: md.cfg.Self},
			Campaign: beginCampaign}); err != nil {
			return err
		}
	}

	for {
		// The first command carries the whole metadata, so the generation exists with it or not at all.
		md.cfg.At("before", &meta.RecoverMetadata{})
		res, err := md.Propose(ctx, meta.Append(nil, &meta.RecoverMetadata{View: next}))
		md.cfg.At("after", &meta.RecoverMetadata{})
		if err == nil && res.OK() {
			return endRecovery(md.cfg.Dir)
		}
		if err == nil {
			// The group exists and holds something else. To repeat the command would change nothing.
			return fmt.Errorf("begin generation %d of the metadata: %v: %s", at.generation, res.Code, res.Text)
		}

		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return fmt.Errorf("begin generation %d of the metadata: %w", at.generation, errors.Join(ctx.Err(), err))
		}
	}
}
