package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Recovery says how far [RecoverCluster] is.
type Recovery struct {
	Done       bool
	Generation uint64        // of the metadata, which grows by one
	Wait       time.Duration // for how much longer nobody may lead them before it is done
}

// RecoverCluster is for a cluster whose metadata have no quorum any more and never will: so many of the members that vote on them are
// lost for good, a single one where there are two. It has the member at addr, "host:port", recover them with what it has of them. The
// lost members, named by their IDs or names, are confirmed dead from then on, as [Client.RemoveMember] with force has it: what they
// held is rebuilt from others, and acknowledged writes that only they had are lost. Members that are left join the new metadata by
// themselves. The member need not be ready.
//
// It may be called only where nobody leads the metadata for ten seconds: call it again, at least every few seconds, until it is done.
// Like every statement that somebody is dead it cannot be taken back. Nothing can be lost through it but what the lost members alone had,
// if they are: a voter that was said to be lost and is at work at another place goes on with those that it reaches until one of them hears of
// the new metadata.
//
// Errors: ErrConflict, with the reason in the hint, where the metadata have a leader or could elect one, a member that is said to be lost
// answers, another that is not does not, or another knows more and is the one to ask; ErrNotFound for an unknown member; ErrUnavailable
// where addr cannot be reached or its member has no metadata; ErrInvalid for contradictory options and a member of another cluster;
// ErrTimeout when ctx ends, or the client's timeout where ctx has no deadline.
func RecoverCluster(ctx context.Context, addr string, lost []string, opts ...Option) (Recovery, error) {
	op := wire.OpRecover
	fail := func(sentinel error, hint string) (Recovery, error) {
		return Recovery{}, &Error{Op: op.String(), Partition: -1, Err: sentinel, Hint: hint}
	}
	cfg, err := newClientConfig(opts)
	if err != nil {
		return fail(ErrInvalid, err.Error())
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.timeout)
		defer cancel()
	}
	c := &Client{cfg: cfg, clock: newClock()}
	_, _ = rand.Read(c.id[:]) // never fails
	nc, _, err := c.greet(ctx, addr, wire.PlaneAdmin)
	var refused *rpc.Refused
	other, isOther := errors.AsType[*OtherClusterError](err)
	switch {
	case isOther:
		return fail(because(ErrInvalid, other), "")
	case errors.As(err, &refused) && refused.Code == wire.CodeInvalid:
		return fail(ErrInvalid, err.Error())
	case err != nil && ctx.Err() != nil:
		return fail(because(ErrTimeout, ctx.Err()), err.Error())
	case err != nil:
		return fail(ErrUnavailable, err.Error())
	}
	conn := rpc.New(nc, rpc.Config{Now: c.clock.now, OnTime: func(int64, int64, int64) {}, Goroutines: &c.wg})
	defer c.wg.Wait()
	defer conn.Fail(ErrClosed)
	var call rpc.Call
	req := wire.Request{Op: op, Partition: wire.NoPartition, Body: wire.AppendRecoverBody(nil, wire.RecoverBody{Lost: lost})}
	if err := conn.Start(&req, &call, c.clock.now(), 0); err != nil {
		return fail(ErrUnavailable, err.Error())
	}
	conn.Wait(ctx.Done(), &call)
	switch {
	case errors.Is(call.Err, rpc.ErrAbandoned):
		return fail(because(ErrTimeout, ctx.Err()), "the member has not answered")
	case call.Err != nil:
		return fail(ErrUnavailable, call.Err.Error())
	case call.Answer.Code != wire.CodeOK:
		sentinel := SentinelOf(call.Answer.Code)
		if sentinel == nil {
			sentinel = ErrUnavailable
		}
		return fail(sentinel, string(call.Answer.Body))
	}
	res, err := wire.DecodeRecoverResult(call.Answer.Body)
	if err != nil {
		return Recovery{}, unreadable(op, "", -1, err)
	}
	return Recovery{Done: res.Done, Generation: res.Generation, Wait: time.Duration(res.Wait) * time.Millisecond}, nil
}
