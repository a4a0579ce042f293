package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// passOnFor bounds how long a member may take to which one is passed on.
	passOnFor = 1500 * time.Millisecond
)

// An operator's changes of the cluster are made at the member that leads the metadata group, one at a time. That member judges by the same
// facts as its controller. Each operation may be repeated: it begins what the operator asks for, and answers how far that is. What has begun
// goes on by itself.

// Administer has the member that leads the metadata group carry out an operation.
func (k *Control) Administer(ctx context.Context, b wire.AdminBody) (wire.Code, []byte) {
	// Only the leader knows which changes its controller has begun, so another member must not decide for it.
	if code, answer := k.AdministerHere(ctx, b); code != wire.CodeNotReady {
		return code, answer
	}

	if a := k.passOn(ctx, b); a != nil {
		return a.Code, a.Body
	}

	return wire.CodeUnavailable, []byte("no member leads the metadata group, so that nothing can be changed; where those who vote there are lost for good: grid cluster recover")
}

// passOn asks all voters of the metadata at the same time. At most one of them leads, and its answer is returned; nil if none does. For silent
// voters it waits only as long as for the others, so that the caller hears at once that nobody leads.
func (k *Control) passOn(ctx context.Context, b wire.AdminBody) *wire.Answer {
	voters := k.Voters()
	ctx, cancel := context.WithTimeout(ctx, passOnFor)
	defer cancel()
	body := wire.AppendAdminBody(nil, b)
	// There is room for all answers: a goroutine whose answer nobody awaits any more must still end.
	answers := make(chan *wire.Answer, len(voters))
	waiting := 0
	for _, id := range voters {
		silent := k.Peers.Silent(id)
		if !silent {
			waiting++
		}
		k.running.Go(func() { // ends with its call
			a, err := k.Peers.Ask(ctx, id, wire.OpAdmin, body)
			// The answer of a silent voter counts if it comes, but nobody waits for its refusal.
			if err == nil && a.Code != wire.CodeNotReady {
				answers <- &a
			} else if !silent {
				answers <- nil
			}
		})
	}

	for ; waiting > 0; waiting-- {
		if a := <-answers; a != nil {
			return a
		}
	}

	return nil
}

// AdministerHere carries out an operation of administration if this member leads the metadata group.
func (k *Control) AdministerHere(ctx context.Context, b wire.AdminBody) (wire.Code, []byte) {
	if v := k.View(); v == nil || !v.Bootstrapped() {
		return wire.CodeNotReady, nil
	}

	// Not ready makes the caller ask the other voters, of which one may lead.
	if _, leads := k.Meta.Leads(); !leads {
		return wire.CodeNotReady, nil
	}

	// Two changes at once could each count on the member that the other takes away.
	select {
	case k.changing <- struct{}{}:
		defer func() { <-k.changing }()
	case <-ctx.Done():
		return wire.CodeUnavailable, []byte("another change of the cluster takes too long")
	}

	// The decision rests on what is committed, not on what this replica happens to have applied.
	if err := k.Meta.Barrier(ctx); err != nil {
		return wire.CodeUnavailable, []byte(err.Error())
	}

	answer, err := k.administration(ctx, b)
	var r *rpc.Refusal
	switch {
	case errors.As(err, &r):
		return r.Code, []byte(r.Text)
	case err != nil:
		return wire.CodeUnavailable, []byte(err.Error())
	}

	return wire.CodeOK, answer
}

func (k *Control) administration(ctx context.Context, b wire.AdminBody) ([]byte, error) {
	switch b.Op {
	case wire.OpDrainMember:
		d, err := wire.DecodeDrainBody(b.Body)
		if err != nil {
			return nil, rpc.Refuse(wire.CodeInvalid, "%v", err)
		}
		res, err := k.drainMember(ctx, d.Member)
		return wire.AppendLeavingResult(nil, res), err
	case wire.OpRemoveMember:
		d, err := wire.DecodeForgetBody(b.Body)
		if err != nil {
			return nil, rpc.Refuse(wire.CodeInvalid, "%v", err)
		}
		res, err := k.removeMember(ctx, d.Member, d.Force)
		return wire.AppendLeavingResult(nil, res), err
	case wire.OpRebalance:
		d, err := wire.DecodeRebalanceBody(b.Body)
		if err != nil {
			return nil, rpc.Refuse(wire.CodeInvalid, "%v", err)
		}
		if d.Begin {
			// The controller plans at its next step, which the wake brings at once.
			k.replan.Store(true)
			k.Meta.Wake()
		}
		return wire.AppendBalanceResult(nil, k.balance(k.View())), nil
	}

	return nil, rpc.Refuse(wire.CodeInvalid, "%v is no operation of administration", b.Op)
}

// change commits a change of a member; one that is refused ends the operation.
func (k *Control) change(ctx context.Context, c meta.Command) error {
	res, err := k.Meta.Propose(ctx, meta.Append(nil, c))
	if err == nil && !res.OK() {
		err = rpc.Refuse(res.Code, "%s", res.Text)
	}

	return err
}

// left returns what a member still has.
func (k *Control) left(v *meta.View, id wire.ID) (res wire.LeavingResult) {
	for p := range v.Table {
		if _, ok := v.Table[p].Replica(id); ok {
			res.Replicas++
		}
		// The table says who is to own a partition. Who does own it is what the owners themselves say.
		if k.Owner(p).Owner == id {
			res.Owned++
		}
	}

	return res
}

// drainMember has others take over what a member holds and owns.
func (k *Control) drainMember(ctx context.Context, id wire.ID) (wire.LeavingResult, error) {
	v := k.View()
	mb := v.Member(id)
	switch {
	case mb == nil:
		return wire.LeavingResult{}, rpc.Refuse(wire.CodeNotFound, "there is no member %v", id)
	case mb.State == meta.StateDraining:
		// An earlier call has begun it. This one answers how far the draining is.
	case mb.State != meta.StateReady:
		return wire.LeavingResult{}, rpc.Refuse(wire.CodeConflict, "member %q is %s: only one that is ready can be drained", mb.Name, mb.State)
	case !k.Peers.Answers(mb.ID, mb.Incarnation):
		return wire.LeavingResult{}, rpc.Refuse(wire.CodeConflict, "member %q does not answer, so it cannot transfer what it holds", mb.Name)
	case !mb.Lite && !k.StaysWithout(v, id):
		return wire.LeavingResult{}, rpc.Refuse(wire.CodeConflict, "nobody else could hold what member %q holds", mb.Name)
	default:
		// The change names the incarnation, so a member that has started again meanwhile is not drained by this call.
		if err := k.change(ctx, &meta.Drain{ID: id, Incarnation: mb.Incarnation}); err != nil {
			return wire.LeavingResult{}, err
		}
		k.Logger.Info("draining a member; other members take over what it holds", "drained", mb.Name)
	}

	// The table moves behind this answer. The caller repeats the call until the member has nothing left.
	res := k.left(k.View(), id)
	res.Done = res.Replicas == 0 && res.Owned == 0
	return res, nil
}

// removeMember forgets a member that has left for good. What it holds is first given up, which takes force, and rebuilt from others by the
// controller, as its removal from the metadata group does.
func (k *Control) removeMember(ctx context.Context, id wire.ID, force bool) (wire.LeavingResult, error) {
	v := k.View()
	mb := v.Member(id)
	if mb == nil {
		return wire.LeavingResult{}, rpc.Refuse(wire.CodeNotFound, "there is no member %v", id)
	}

	res := k.left(v, id)
	// The first call declares the member dead. The caller repeats it until nothing of the member is left.
	if mb.State != meta.StateDead {
		if mb.Live() {
			// A process that runs can transfer what it holds. To give its data up would lose writes for nothing.
			if err := k.surelyDown(mb); err != nil {
				return res, err
			}
		}
		// Without replicas nothing can be lost, so no force is needed.
		if res.Replicas > 0 && !force {
			return res, rpc.Refuse(wire.CodeConflict, "member %q is %s and holds replicas of %d partitions; to remove it by force (--force) is to say that it is "+
				"confirmed dead: its data is given up, and acknowledged writes that only it has are lost", mb.Name, stateShown(mb), res.Replicas)
		}
		if err := k.change(ctx, &meta.SetState{ID: id, Incarnation: mb.Incarnation, State: meta.StateDead}); err != nil {
			return res, err
		}

		attrs := []any{"removed", mb.Name, "incarnation", mb.Incarnation.String(), "replicas", res.Replicas}
		if res.Replicas > 0 {
			k.Logger.Warn("an operator declared a member dead; its replicas are rebuilt on other members", attrs...)
		} else {
			// The member was drained or lite: nothing is rebuilt, and nothing can be lost.
			k.Logger.Info("an operator removes a member that holds no data", attrs...)
		}
		k.Meta.Wake() // the controller has work
		return res, nil
	}

	if res.Replicas > 0 || mb.MetaReplica != 0 {
		// The controller is removing these. It needs the member's entry for that.
		return res, nil
	}

	// The change names the incarnation: a member that comes back at this moment registers another one, and stays.
	if err := k.change(ctx, &meta.Forget{ID: id, Incarnation: mb.Incarnation}); err != nil {
		return res, err
	}

	k.Logger.Info("member removed from the metadata", "forgotten", mb.Name)
	return wire.LeavingResult{Done: true}, nil
}

// stateShown is the state of a member as it is shown: one that is live and not heard of is suspect.
func stateShown(mb *meta.Member) string {
	if mb.Live() {
		return string(sdk.MemberSuspect)
	}

	return mb.State
}

// surelyDown refuses unless this member and all others that answer find a live member silent or unreachable.
func (k *Control) surelyDown(mb *meta.Member) error {
	answers := func(whom string) error {
		return rpc.Refuse(wire.CodeConflict, "member %q answers%s: drain it, and stop it, before it is removed", mb.Name, whom)
	}

	// This member runs, since it executes this. Of any other its own heartbeats are the first witness.
	if mb.ID == k.Self || !k.Peers.Down(mb.ID, mb.Incarnation) {
		return answers("")
	}

	// This member may be cut off from the other by itself. One member that reaches it proves that it runs.
	for incarnation, down := range k.Peers.Opinions(mb.ID, mb.Incarnation) {
		if !down {
			return answers(fmt.Sprintf(" the process %v", incarnation))
		}
	}

	return nil
}

// balance compares the table, and who owns what, with what would be planned for the members that are there.
func (k *Control) balance(v *meta.View) (res wire.BalanceResult) {
	r := k.roster(v)
	// Without holders or without a table nothing is where it belongs.
	if len(r.list) == 0 || len(v.Table) == 0 {
		return wire.BalanceResult{Left: uint32(v.PartitionCount)}
	}

	replicas, owned := make(map[wire.ID]uint32), make(map[wire.ID]uint32)
	for p, target := range k.planned(v, r, nil) {
		t, owner := &v.Table[p], k.Owner(p)
		there := len(t.Replicas) == len(target.Holders)
		for _, h := range target.Holders {
			r, ok := t.Replica(h.Member)
			// A learner is not there yet: it cannot vote, and cannot take the partition over.
			there = there && ok && r.Holder == h && r.Role == meta.RoleVoter
		}
		// Who owned an earlier generation does not own this one.
		if !there || t.StoppedForRecovery || owner.Owner != target.Preferred || wire.Stamp(owner.Epoch).Generation() != t.Generation {
			res.Left++
		}
		for _, r := range t.Replicas {
			replicas[r.Member]++
		}
		owned[owner.Owner]++
	}

	// A member that may hold replicas and has none counts with 0.
	for i, c := range r.list {
		if n := replicas[c.ID]; i == 0 || n < res.MinReplicas {
			res.MinReplicas = n
		}
		if n := owned[c.ID]; i == 0 || n < res.MinOwned {
			res.MinOwned = n
		}
		res.MaxReplicas, res.MaxOwned = max(res.MaxReplicas, replicas[c.ID]), max(res.MaxOwned, owned[c.ID])
	}

	return res
}

// StaysWithout reports whether there is another member that answers, may hold replicas, and is not about to leave too.
func (k *Control) StaysWithout(v *meta.View, id wire.ID) bool {
	for i := range v.Members {
		mb := &v.Members[i]
		if mb.ID != id && !mb.Lite && (mb.State == meta.StateReady || mb.State == meta.StateJoining) && k.Peers.Answers(mb.ID, mb.Incarnation) {
			return true
		}
	}

	return false
}
