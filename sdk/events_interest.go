package sdk

import (
	"context"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// interest is what the stream asked of one member.
type interest struct {
	conn      *rpc.Conn // the connection on which the member knows of the stream; nil: none
	busy      bool      // a call to the member is under way
	notBefore int64     // when to ask a member again that has refused
}

// lookLocked asks all members that the client is connected to where their partitions stand. REQUIRES s.mu.
func (s *eventStream) lookLocked() {
	s.lookedAt = s.c.clock.now()
	s.enlistLocked(true)
}

// enlistLocked tells members of the stream, unless they know of it on their present connection. With look it asks all members where
// they stand. It dials members without a connection. REQUIRES s.mu.
func (s *eventStream) enlistLocked(look bool) {
	for _, m := range s.c.serving() {
		p := s.c.peer(m.ID)
		if p == nil {
			continue
		}
		conn := p.live()
		in := s.interest[m.ID]
		if in == nil {
			in = &interest{}
			s.interest[m.ID] = in
		}
		// Nothing can be told without a connection. The worker comes back once there is one.
		if conn == nil {
			s.c.dial(p)
			continue
		}

		// A member counts interest on each connection. One call at a time keeps its count right.
		if in.busy || in.conn == conn && !look || s.c.clock.now() < in.notBefore {
			continue
		}
		in.busy = true
		s.spawn(func() { s.enlist(in, conn) })
	}
}

// enlist makes one member say where it stands, and publish what comes afterwards.
func (s *eventStream) enlist(in *interest, conn *rpc.Conn) {
	ctx, cancel := context.WithTimeout(s.ctx, lookTimeout)
	defer cancel()

	answer, err := s.call(ctx, conn, wire.OpInterest)
	var list []wire.Position
	if err == nil {
		list, err = wire.DecodePositions(answer)
	}

	if err != nil && s.ctx.Err() == nil {
		s.c.cfg.logger.Debug("gridiron: a member was not told of a listener", "map", s.name, "error", err)
	}

	// What the member said counts even if this call turns out to be one too many.
	s.stand(list, 0)

	s.mu.Lock()
	known := in.conn == conn
	// Only a refusal says that the member does not know of the stream. Otherwise leave must take the interest back.
	if in.busy = false; !refused(err) {
		in.conn = conn
	} else {
		in.notBefore = s.c.clock.now() + int64(lookEvery)
	}
	s.mu.Unlock()

	// This call only asked where the member stands, but the member has counted the stream once more.
	if known && !refused(err) {
		if _, err := s.call(ctx, conn, wire.OpUninterest); err != nil && s.ctx.Err() == nil {
			s.c.cfg.logger.Debug("gridiron: a member counts a listener twice", "map", s.name, "error", err)
		}
	}
}

// refusal is a call that a member did not execute.
type refusal struct{ error }

func refused(err error) bool {
	_, ok := err.(refusal)
	return ok
}

// call makes a call on one connection, since members remember interest by connection and a connection's calls are executed
// in order. An error that is no refusal leaves open whether the call was executed.
func (s *eventStream) call(ctx context.Context, conn *rpc.Conn, op wire.Op) ([]byte, error) {
	cl := newCall(op, s.name, wire.NoPartition)
	defer cl.release()

	// The call does not go through invoke, which would follow the member to its next connection.
	now := s.c.clock.now()
	cl.req.Client = s.c.id
	cl.req.Deadline = s.c.deadline(now + int64(lookTimeout))
	cl.body = wire.AppendMapBody(cl.body[:0], s.name)
	cl.req.Body = cl.body

	if err := conn.Start(&cl.req, cl.Call, now, 0); err != nil {
		return nil, refusal{err}
	}

	conn.Wait(ctx.Done(), cl.Call)
	switch {
	case cl.Err != nil && !cl.Sent:
		return nil, refusal{cl.Err}
	case cl.Err != nil:
		return nil, cl.Err
	case cl.Answer.Code != wire.CodeOK:
		return nil, refusal{fmt.Errorf("%v: %s", cl.Answer.Code, cl.Answer.Body)}
	}
	return append([]byte(nil), cl.Answer.Body...), nil
}
