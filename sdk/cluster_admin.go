package sdk

import (
	"context"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Leaving says what a member that is drained or removed still has.
type Leaving struct {
	Done     bool // nothing: it holds no data, and one that is removed is forgotten
	Replicas int  // partitions of which it is to hold a replica
	Owned    int  // partitions that it owns
}

// Balance says how evenly replicas and partitions are spread over the members that may hold any.
type Balance struct {
	Left                     int // partitions whose replicas or owner are not yet where they belong
	MinReplicas, MaxReplicas int // of one member
	MinOwned, MaxOwned       int
}

// DrainMember has the other members take over what a member, named by its ID or its name, holds and owns, and returns what it
// has left. That goes on by itself; call it again to see how far it is. The member goes on serving clients, and gets nothing any more
// until it restarts.
//
// Errors: ErrNotFound; ErrConflict, with the reason in the hint, where the member is not ready, does not answer, or nobody else could
// hold what it holds; ErrUnavailable where no majority of the metadata's voters answers.
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

// RemoveMember forgets a member, named by its ID or its name, that has left, or neither answers nor holds anything. It returns
// what there is to do before the member is forgotten, which goes on by itself: its metadata replica is removed, and what
// it held is rebuilt. Call it again until that is done.
//
// With force a member that does not answer is removed although it holds replicas: it is confirmed dead then. What it holds is given
// up and rebuilt from others; acknowledged writes that only it has are lost; and if its process is at work all the same, that stops
// as soon as it hears of it.
//
// Errors: ErrNotFound; ErrConflict, with the reason in the hint, for a member that answers, and for one that holds replicas without
// force; ErrUnavailable where no majority of the metadata's voters answers.
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

// memberID returns the ID of a member that is named by it or by its name; of several that had a name in turn, the one that has it now.
func (c *Client) memberID(ctx context.Context, op wire.Op, member string) (found wire.ID, err error) {
	members, err := c.Members(ctx)
	if err != nil {
		return found, err
	}
	for i := range members {
		m := &members[i]
		if m.ID != member && (m.Name != member || !found.IsZero() && (m.State == MemberLeft || m.State == MemberDead)) {
			continue
		}
		if found, err = wire.ParseID(m.ID); err != nil {
			return found, unreadable(op, "", -1, err)
		}
		if m.ID == member {
			break
		}
	}
	if found.IsZero() {
		return found, &Error{Op: op.String(), Name: member, Partition: -1, Err: ErrNotFound, Hint: fmt.Sprintf("no member has the ID or name %q", member)}
	}
	return found, nil
}

// Rebalance has replicas and owners planned again at once, which otherwise happens within seconds of a change, and returns how
// they are spread. The moves go on by themselves; [Client.Balance] tells how far they are.
func (c *Client) Rebalance(ctx context.Context) (Balance, error) { return c.balance(ctx, true) }

// Balance returns how replicas and owners are spread.
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
