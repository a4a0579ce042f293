package sdk

import (
	"context"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Leaving is what a drained or removed member still has.
type Leaving struct {
	Done     bool // it holds no data; a removed member is forgotten
	Replicas int  // partitions of which it still has a replica
	Owned    int  // partitions that it owns
}

// Balance says how evenly replicas and owned partitions are spread over the members that may hold data.
type Balance struct {
	Left                     int // partitions whose replicas or owner are not yet where they belong
	MinReplicas, MaxReplicas int // replicas of one member
	MinOwned, MaxOwned       int // partitions that one member owns
}

// DrainMember makes the other members take over what a member holds and owns, and returns what it still has. The transfer goes
// on by itself: call DrainMember again to see its progress. The member still serves clients. It gets no new replicas until it is
// started again.
//
// Errors: ErrNotFound; ErrConflict if the member is not ready or does not answer, or if no other member can hold its data, with
// the reason as the hint; ErrUnavailable if no majority of the metadata's voters answers.
func (c *Client) DrainMember(ctx context.Context, member string) (l Leaving, err error) {
	op := wire.OpDrainMember
	ctx, span := c.tracer.start(ctx, op.String(), member)
	defer func() { endSpan(span, err) }()

	id, err := c.memberID(ctx, op, member)
	if err != nil {
		return l, err
	}
	return c.leaving(ctx, op, wire.AppendDrainBody(nil, wire.DrainBody{Member: id}))
}

// RemoveMember removes a member that has left, or that neither answers nor holds anything. It returns what is to be done before
// the cluster forgets the member: its metadata voter is removed and its replicas are rebuilt. That goes on by itself; call
// RemoveMember again until Leaving.Done.
//
// With force it also removes a member that does not answer but holds replicas. The member is then confirmed dead. Its replicas
// are rebuilt from others, and acknowledged writes that only it has are lost. If its process is still running, the process stops
// as soon as it learns of the removal.
//
// Errors: ErrNotFound; ErrConflict for a member that answers, and without force for one that holds replicas, with the reason as
// the hint; ErrUnavailable if no majority of the metadata's voters answers.
func (c *Client) RemoveMember(ctx context.Context, member string, force bool) (l Leaving, err error) {
	op := wire.OpRemoveMember
	ctx, span := c.tracer.start(ctx, op.String(), member)
	defer func() { endSpan(span, err) }()

	id, err := c.memberID(ctx, op, member)
	if err != nil {
		return l, err
	}
	return c.leaving(ctx, op, wire.AppendForgetBody(nil, wire.ForgetBody{Member: id, Force: force}))
}

func (c *Client) leaving(ctx context.Context, op wire.Op, body []byte) (Leaving, error) {
	answer, err := c.callAny(ctx, op, body)
	if err != nil {
		return Leaving{}, err
	}

	res, err := wire.DecodeLeavingResult(answer)
	if err != nil {
		return Leaving{}, unreadable(op, "", -1, err)
	}
	return Leaving{Done: res.Done, Replicas: int(res.Replicas), Owned: int(res.Owned)}, nil
}

// memberID returns the ID of the member with an ID or a name. If several members have had the name, it is the present one.
func (c *Client) memberID(ctx context.Context, op wire.Op, member string) (found wire.ID, err error) {
	members, err := c.Members(ctx)
	if err != nil {
		return found, err
	}
	for i := range members {
		m := &members[i]
		// Members that have left may have had the same name. A member that is still there comes first. An ID comes before any name.
		if m.ID != member && (m.Name != member || !found.IsZero() && (m.State == MemberLeft || m.State == MemberDead)) {
			continue
		}
		if found, err = wire.ParseID(m.ID); err != nil {
			return found, unreadable(op, "", -1, err)
		}
		// An ID is unique, so nothing better can follow.
		if m.ID == member {
			break
		}
	}

	if found.IsZero() {
		return found, &Error{Op: op.String(), Name: member, Partition: -1, Err: ErrNotFound, Hint: fmt.Sprintf("no member has the ID or name %q", member)}
	}
	return found, nil
}

// Rebalance plans the places of replicas and owners again at once, and returns how they are spread. The cluster does the same by
// itself within seconds of a change. The moves go on by themselves; [Client.Balance] shows their progress.
func (c *Client) Rebalance(ctx context.Context) (Balance, error) { return c.balance(ctx, true) }

// Balance returns how replicas and owned partitions are spread.
func (c *Client) Balance(ctx context.Context) (Balance, error) { return c.balance(ctx, false) }

func (c *Client) balance(ctx context.Context, begin bool) (b Balance, err error) {
	op := wire.OpRebalance
	ctx, span := c.tracer.start(ctx, op.String(), "")
	defer func() { endSpan(span, err) }()

	answer, err := c.callAny(ctx, op, wire.AppendRebalanceBody(nil, wire.RebalanceBody{Begin: begin}))
	if err != nil {
		return b, err
	}

	res, err := wire.DecodeBalanceResult(answer)
	if err != nil {
		return b, unreadable(op, "", -1, err)
	}
	return Balance{Left: int(res.Left), MinReplicas: int(res.MinReplicas), MaxReplicas: int(res.MaxReplicas),
		MinOwned: int(res.MinOwned), MaxOwned: int(res.MaxOwned)}, nil
}
