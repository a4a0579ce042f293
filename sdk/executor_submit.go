package sdk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// submitAny submits a task to a member that is ready. It goes on to another one only where the task surely did not reach the
// one before.
func (ex *Executor) submitAny(ctx context.Context, body *wire.TaskBody) (*remoteTask, error) {
	c := ex.c
	ctx, cancel := c.submitTimeout(ctx)
	defer cancel()
	for {
		// Taken before the members are tried, so that a member that becomes ready meanwhile ends the pause.
		changed := c.changed.wait()
		err := ex.fail(wire.OpTaskSubmit, wire.ID{}, ErrUnavailable, "no member is known to be ready")
		for _, id := range c.readyMembers() {
			var t *remoteTask
			// ErrMemberLeft says that the task was not accepted, so another member may be tried. Any other outcome is the caller's to know.
			if t, err = ex.submitTo(ctx, id, body); !errors.Is(err, ErrMemberLeft) {
				return t, err
			}
		}

		c.refresh(nil)
		if ended := c.pauseTask(ctx, changed); ended != nil {
			return nil, ex.fail(wire.OpTaskSubmit, wire.ID{}, ended, err.Error())
		}
	}
}

// readyMembers returns the members that are ready in random order, those first that are connected.
func (c *Client) readyMembers() []wire.ID {
	var connected, others []wire.ID
	for _, m := range c.members() {
		if MemberState(m.State) != MemberReady {
			continue
		}
		if p := c.peer(m.ID); p != nil && p.live() != nil {
			connected = append(connected, m.ID)
		} else {
			others = append(others, m.ID)
		}
	}

	// Chance spreads tasks over the members without any state that clients would have to share.
	for _, list := range [...][]wire.ID{connected, others} {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return append(connected, others...)
}

// submitKeyed submits a task to the owner of a key.
func (ex *Executor) submitKeyed(ctx context.Context, body *wire.TaskBody, key any) (*remoteTask, error) {
	op := wire.OpTaskSubmit.String()
	encoded, err := codec.AppendMapKey(nil, key)
	if err != nil {
		return nil, invalidf(op, ex.name, "the key: %v", err)
	}
	if len(encoded) > wire.MaxKey {
		return nil, ex.fail(wire.OpTaskSubmit, wire.ID{}, ErrTooLarge, fmt.Sprintf("the key has %d bytes, the limit is %d", len(encoded), wire.MaxKey))
	}

	// The task gets the key itself. Only the partition goes by the routing key.
	body.Keyed, body.Key = true, encoded
	if routing, custom := codec.RouteKey(key); custom {
		if encoded, err = codec.AppendMapKey(nil, routing); err != nil {
			return nil, invalidf(op, ex.name, "the key's PartitionKey: %v", err)
		}
	}
	return ex.offer(ctx, body, wire.ID{}, uint32(ex.c.partitionOf(encoded)))
}

// submitTo submits a task to one member. With ErrMemberLeft the task surely did not reach it.
func (ex *Executor) submitTo(ctx context.Context, member wire.ID, body *wire.TaskBody) (*remoteTask, error) {
	return ex.offer(ctx, body, member, wire.NoPartition)
}

// offer asks a member, or the owner of a partition if that is not NoPartition, to accept a task.
//
// Where the connection ends after the request was sent and before it was answered, the task counts as accepted: asking for
// its result will tell. It is not offered again, neither to another member nor to the same one, which may have restarted and
// would run it a second time. So ErrMemberLeft means that the task was not accepted.
//
// With ErrUnknownOutcome it also returns the task, so that the caller can cancel it. Nobody waits for that task's outcome.
func (ex *Executor) offer(ctx context.Context, body *wire.TaskBody, member wire.ID, partition uint32) (_ *remoteTask, err error) {
	ctx, span := ex.c.tracer.start(ctx, wire.OpTaskSubmit.String(), ex.name)
	defer func() { endSpan(span, err) }()
	cl := newCall(wire.OpTaskSubmit, ex.name, partition)
	defer cl.release()
	// NoPartition makes the call one to a member. Otherwise it follows the partition's owner.
	cl.member = member
	cl.body = wire.AppendTaskBody(cl.body, body)

	err = ex.c.invoke(ctx, cl)

	// underWay: the request left this process, and its answer was lost.
	underWay := cl.Call.Err != nil && cl.Call.Sent
	unknown := errors.Is(err, ErrUnknownOutcome)
	if err != nil && !unknown && !(underWay && errors.Is(err, ErrMemberLeft)) {
		return nil, err
	}

	t := &remoteTask{ex: ex, id: body.ID, member: cl.peer.id, task: body.Task, done: make(chan struct{})}
	// No goroutine waits for such a task: its caller only wants to cancel it.
	if unknown {
		return t, err
	}
	if err == nil {
		t.conn = cl.conn
	}
	// The lost answer is no error of the caller's: the result will tell whether the task was accepted.
	err = nil
	t.start()
	return t, nil
}

// submitMany submits a task to the working members that sel chooses. A nil sel chooses all of them.
func (ex *Executor) submitMany(ctx context.Context, sel MemberSelector, task string, arg any, opts []SubmitOption) (*multiTask, error) {
	first, err := ex.newTask(task, arg, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := ex.c.submitTimeout(ctx)
	defer cancel()

	var targets []wire.ID
	for _, m := range ex.c.workingMembers() {
		if sel == nil || sel(memberOf(&m)) {
			targets = append(targets, m.ID)
		}
	}
	if len(targets) == 0 {
		return nil, ex.fail(wire.OpTaskSubmit, wire.ID{}, ErrNotFound, "no member was chosen")
	}

	// Nothing may run anywhere if one of the members does not have the task.
	if err := ex.haveTask(ctx, task, targets); err != nil {
		return nil, err
	}

	// Each member gets the task under another ID, derived from the first: one outcome per ID.
	m := newMultiTask(ex, targets)
	var wg sync.WaitGroup
	for i := range targets {
		body := *first
		body.ID = newTaskID(first.ID, i)
		wg.Go(func() { m.submit(ctx, i, &body) })
	}
	wg.Wait()
	m.watch()
	return m, nil
}

// newTaskID returns the ID of the i-th task of one submission to several members.
func newTaskID(first wire.ID, i int) wire.ID {
	id := first
	id[12] ^= byte(i >> 24)
	id[13] ^= byte(i >> 16)
	id[14] ^= byte(i >> 8)
	id[15] ^= byte(i)
	return id
}

// workingMembers returns the members that run a task for all members. These are all that serve, without suspect members that are not
// connected and own nothing: such a member is probably dead.
func (c *Client) workingMembers() []wire.MemberInfo {
	t := c.table.Load()
	var out []wire.MemberInfo
	for _, m := range c.serving() {
		if MemberState(m.State) == MemberSuspect {
			p := c.peer(m.ID)
			// A suspect that owns partitions counts: without it a task for all members would miss their entries.
			if p == nil || p.live() == nil && !t.ownsAny(p) {
				continue
			}
		}
		out = append(out, m)
	}
	return out
}

// ownsAny reports whether p is known to own a partition.
func (t *table) ownsAny(p *peer) bool {
	for i := range t.routes {
		if t.routes[i].owner == p {
			return true
		}
	}
	return false
}

// findMember returns the member with an ID or, where none has that, with a name.
func (c *Client) findMember(idOrName string) (*wire.MemberInfo, error) {
	members := c.members()
	// An ID names one member for ever, so it goes before any name.
	if id, err := wire.ParseID(idOrName); err == nil {
		for i := range members {
			if members[i].ID == id {
				return &members[i], nil
			}
		}
	}

	var found *wire.MemberInfo
	for i := range members {
		m := &members[i]
		if m.Name != idOrName {
			continue
		}

		// Members that have left may have had the same name. A member that is still there comes first.
		if s := MemberState(m.State); found == nil || s != MemberLeft && s != MemberDead {
			found = m
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no member has the ID or name %q", idOrName)
	}
	return found, nil
}

// submitTimeout gives ctx the client's timeout where it has no deadline.
func (c *Client) submitTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.cfg.timeout)
}

// sameConnection reports whether conn still is the connection to a member, that is, whether the member's process is the one
// that conn was made to.
func (c *Client) sameConnection(member wire.ID, conn *rpc.Conn) bool {
	p := c.peer(member)
	return conn != nil && p != nil && p.live() == conn
}

// pauseTask waits for changed, or a moment, before something is tried again. It returns nil, or the error with which ctx or the
// client has ended the trying.
func (c *Client) pauseTask(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(backoff(maxBackoffs))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	case <-c.life.Done():
	}

	// A change and an end may come together. The end counts.
	switch {
	case c.life.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return because(ErrUnavailable, ctx.Err())
	}
	return nil
}

// maxBackoffs is a number of failures after which backoff no longer grows.
const maxBackoffs = 10
