package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Recovery is the progress of RecoverCluster.
type Recovery struct {
	Done       bool
	Generation uint64        // of the metadata; the recovery adds one
	Wait       time.Duration // how much longer the metadata must be without a leader
}

// RecoverCluster recovers a cluster whose metadata have lost their quorum for good: so many metadata voters are lost that no
// majority can ever answer. One lost voter of two is enough. The member at addr, "host:port", continues the metadata from its
// own copy. It need not be ready.
//
// The lost members, named by IDs or names, are confirmed dead from then on, as by [Client.RemoveMember] with force. Their
// replicas are rebuilt from others, and acknowledged writes that only they had are lost. Remaining members join the new metadata
// by themselves.
//
// The recovery works only after the metadata had no leader for ten seconds. Call RecoverCluster again, at least every few
// seconds, until Recovery.Done. It cannot be undone.
//
// Errors: ErrConflict if the metadata have a leader or can elect one, if a lost member answers, or if another member does not.
// ErrConflict also if another member knows more and must be asked instead; the hint tells the reason. ErrNotFound for an unknown
// member. ErrUnavailable if addr cannot be reached or its member has no metadata. ErrInvalid for contradictory options and for a
// member of another cluster. ErrTimeout when ctx, or without a deadline the client's timeout, ends.
//
// NOTE: make sure that the lost members are dead. A lost voter that still runs elsewhere goes on with the members that it
// reaches, until one of them learns of the new metadata.
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

	// This client has no table and no peers: the recovery talks to one member, which need not be ready.
	c := &Client{cfg: cfg, clock: newClock()}
	_, _ = rand.Read(c.id[:]) // never fails

	nc, _, err := c.greet(ctx, addr, wire.PlaneAdmin)
	var refused *rpc.Refused
	other, isOther := errors.AsType[*OtherClusterError](err)
	switch {
	case isOther:
		return fail(because(ErrInvalid, other), "")
	// The port, the cluster or the protocol version is wrong, so a repetition would not help.
	case errors.As(err, &refused) && refused.Code == wire.CodeInvalid:
		return fail(ErrInvalid, err.Error())
	case err != nil && ctx.Err() != nil:
		return fail(because(ErrTimeout, ctx.Err()), err.Error())
	case err != nil:
		return fail(ErrUnavailable, err.Error())
	}

	// No Tick runs for this connection: ctx alone bounds the wait for the answer.
	conn := rpc.New(nc, rpc.Config{Now: c.clock.now, OnTime: func(int64, int64, int64) {}, Goroutines: &c.wg})
	defer c.wg.Wait()
	defer conn.Fail(ErrClosed)

	// The request has no identity: RecoverCluster is made to be called again until the recovery is done.
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
		sentinel := sentinelOf(call.Answer.Code)
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
