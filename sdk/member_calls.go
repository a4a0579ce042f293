package sdk

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// The rest of the package talks to members by the following functions. All of them obey ctx, or the client's timeout if ctx has no
// deadline, and return errors as [Error] says. They keep no body. Answers belong to the caller.

// callPartition makes a call to the owner of a partition, and follows the partition to its next owner. It repeats reads, and writes
// under their identity, whatever happens to connections. It repeats any other operation only if the first copy was surely not
// executed. If the connection ends after such an operation was sent, the call ends in ErrMemberLeft. name is the map's or
// executor's, for errors.
func (c *Client) callPartition(ctx context.Context, op wire.Op, name string, partition int, body []byte) ([]byte, error) {
	answer, _, err := c.callOwner(ctx, op, name, partition, body)
	return answer, err
}

// callOwner is callPartition, and says which member answered. With an error this is the member that was asked last, or zero if
// nobody was asked.
func (c *Client) callOwner(ctx context.Context, op wire.Op, name string, partition int, body []byte) ([]byte, wire.ID, error) {
	cl := newCall(op, name, uint32(partition))
	defer cl.release()
	cl.body = append(cl.body, body...)
	err := c.invoke(ctx, cl)

	var owner wire.ID
	if cl.peer != nil {
		owner = cl.peer.id
	}
	if err != nil {
		return nil, owner, err
	}
	return append([]byte(nil), cl.Answer.Body...), owner, nil
}

// callMember makes a call to one member. It ends in ErrMemberLeft if there is no such member, if the member is stopping, or if no
// connection can be made. It also ends in ErrMemberLeft if the connection ends after an operation was sent that is more than a
// question. Such an operation may have been executed. It may be made again if members recognise it by an ID of its own. If its time
// is up first, the call ends in ErrUnknownOutcome.
func (c *Client) callMember(ctx context.Context, op wire.Op, member wire.ID, body []byte) ([]byte, error) {
	answer, _, err := c.callOne(ctx, op, member, body)
	return answer, err
}

// callOne is callMember. Where the member has said why it cannot do it now, said is an error with that, whatever came after.
func (c *Client) callOne(ctx context.Context, op wire.Op, member wire.ID, body []byte) (answer []byte, said, err error) {
	cl := newCall(op, "", wire.NoPartition)
	defer cl.release()
	cl.member = member
	cl.body = append(cl.body, body...)
	if err := c.invoke(ctx, cl); err != nil {
		// The reason is taken before release, which clears the call.
		if cl.said != nil {
			said = cl.fail(ErrUnavailable, cl.said.Error())
		}
		return nil, said, err
	}
	return append([]byte(nil), cl.Answer.Body...), nil, nil
}

// askTime is how long callAny waits for one member before it asks another.
const askTime = 2 * time.Second

// callAny asks one member after the other until one answers. It is for questions only. When time is up, its error has the last reason
// that a member gave for not answering, even if later members gave none.
func (c *Client) callAny(ctx context.Context, op wire.Op, body []byte) (answer []byte, err error) {
	var reason error // of a round before, or of this one
	err = c.repeatedly(ctx, op, func(ctx context.Context) error {
		first := error(&Error{Op: op.String(), Partition: -1, Err: ErrUnavailable, Hint: "no member is known to serve"})
		fresh := false
		for i, id := range c.inTurn() {
			// A member that is silent gets a part of the time only, so that others can still answer.
			short, cancel := context.WithTimeout(ctx, askTime)
			got, said, err := c.callOne(short, op, id, body)
			cancel()

			if !unanswered(err) {
				answer = got
				return err
			}

			if said != nil && !fresh {
				reason, fresh = said, true // those that are connected come first: they know best
			}
			// Members that are connected come first, so the first error says most.
			if i == 0 {
				first = err
			}
		}

		if reason != nil {
			return reason
		}
		return first
	})
	return answer, err
}

// inTurn returns the members that may be asked. It begins with another member each time. Members without a connection come last, and
// so do silent members that owe answers.
func (c *Client) inTurn() []wire.ID {
	members := c.serving()

	// The turn is kept small enough for an int of 32 bits.
	start, now := int(c.turn.Add(1)%(1<<30)), c.clock.now()
	var first, last []wire.ID

	for i := range members {
		id := members[(start+i)%len(members)].ID
		if p := c.peer(id); p != nil {
			// A connected member may still hang. One that owes an answer for long is asked after the others.
			if conn := p.live(); conn != nil && conn.Owes(now) < ownAnswer {
				first = append(first, id)
				continue
			}
		}
		last = append(last, id)
	}
	return append(first, last...)
}

// ask is callMember with askTime at most.
func (c *Client) ask(ctx context.Context, op wire.Op, member wire.ID, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return c.callMember(ctx, op, member, body)
}

// unanswered reports whether err says that a member did not answer, so that another may be asked, or all once more.
func unanswered(err error) bool {
	return errors.Is(err, ErrMemberLeft) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTimeout)
}

// repeatedly calls f until it ends with something else than members that did not answer, or time is up: then the error is
// ErrUnavailable. Between two rounds it waits for the table or a connection to change.
func (c *Client) repeatedly(ctx context.Context, op wire.Op, f func(context.Context) error) error {
	// ctx is kept beside within: only its own error belongs into the result.
	within := ctx
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, c.cfg.timeout)
		defer cancel()
	}

	pause := time.NewTimer(maxBackoff)
	defer pause.Stop()
	for {
		// Taken before f runs, so that a change during f ends the pause.
		changed := c.changed.wait()
		err := f(within)
		if err == nil || !unanswered(err) {
			return err
		}

		// An old table may be the reason why nobody answered.
		c.refresh(nil)
		pause.Reset(maxBackoff)
		select {
		case <-changed:
		case <-pause.C:
		case <-c.life.Done():
			return &Error{Op: op.String(), Partition: -1, Err: ErrClosed}
		case <-within.Done():
		}

		if within.Err() != nil {
			return gaveUp(op, ctx.Err(), err)
		}
	}
}

// gaveUp returns the error of an operation that was repeated until its time was up. last is the error of the last attempt. The result
// names operation and member once.
func gaveUp(op wire.Op, ended, last error) error {
	e := &Error{Op: op.String(), Partition: -1, Err: because(ErrUnavailable, ended), Hint: last.Error()}
	if l, ok := errors.AsType[*Error](last); ok && l.Op == e.Op {
		// The inner error names the same operation, so only what it adds is taken over.
		e.Member, e.Hint = l.Member, l.said()
		if !errors.Is(l.Err, ErrUnavailable) || e.Hint == "" {
			e.Hint = strings.TrimSuffix(l.Err.Error()+": "+e.Hint, ": ")
		}
	}
	return e
}

// members returns the members as the client knows them. The slice is shared and must not be changed.
func (c *Client) members() []wire.MemberInfo { return c.table.Load().members }

// serving returns the members that may be asked, that is, those that have not left or died.
func (c *Client) serving() []wire.MemberInfo {
	var out []wire.MemberInfo
	for _, m := range c.members() {
		if s := MemberState(m.State); s != MemberLeft && s != MemberDead && s != MemberJoining {
			out = append(out, m)
		}
	}
	return out
}

// peer returns how to reach a member, nil if there is none with that ID.
func (c *Client) peer(id wire.ID) *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.peers[id]
}

// partitionCount returns how many partitions the cluster has.
func (c *Client) partitionCount() int { return len(c.table.Load().routes) }

// partitionOf returns the partition of an encoded routing key.
func (c *Client) partitionOf(encoded []byte) int {
	return wire.PartitionOf(encoded, c.partitionCount())
}

// dialPlane makes a connection of its own to a member for a plane, with TLS and hello done. The connection belongs to the caller,
// who must close it: the client's Close does not know of it.
func (c *Client) dialPlane(ctx context.Context, member wire.ID, plane wire.Plane) (net.Conn, error) {
	m := c.table.Load().member(member)
	if m == nil {
		return nil, &Error{Op: "dial", Partition: -1, Member: member.String(), Err: ErrMemberLeft, Hint: "no such member"}
	}

	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	stop := context.AfterFunc(c.life, cancel)
	defer stop()

	nc, answer, err := c.greet(ctx, m.Addr, plane)
	if err == nil && answer.Member != member {
		_ = nc.Close()
		err = errors.New("another member answers there")
	}

	if err != nil {
		// The end of life cancels ctx too, and is told apart here.
		sentinel := ErrUnavailable
		if c.life.Err() != nil {
			sentinel = ErrClosed
		}
		return nil, &Error{Op: "dial", Partition: -1, Member: member.String(), Err: because(sentinel, ctx.Err()), Hint: err.Error()}
	}
	return nc, nil
}
