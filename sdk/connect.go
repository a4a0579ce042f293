package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Connect connects to the cluster that the members at addrs belong to, and learns the other members from them. An address is
// "host:port"; without a port it has 5701. Connect tries until a ready member answers, until ctx ends, or, if ctx has no
// deadline, until the client's timeout.
//
// Errors: ErrUnavailable if no member could be reached. ErrInvalid for contradictory options. ErrInvalid with an
// [OtherClusterError] if a member belongs to another cluster than [WithClusterName] or [WithClusterID] says. ErrUnauthenticated
// and ErrForbidden if members refuse the client.
func Connect(ctx context.Context, addrs []string, opts ...Option) (*Client, error) {
	cfg, err := newClientConfig(opts)
	if err != nil {
		return nil, invalidf("connect", "", "%v", err)
	}
	if len(addrs) == 0 {
		return nil, invalidf("connect", cfg.cluster, "no address is given")
	}

	c := &Client{cfg: cfg, addrs: append([]string(nil), addrs...), clock: newClock(), tracer: newTracer(&cfg)}
	if c.meter, err = newMeter(&cfg); err != nil {
		return nil, invalidf("connect", cfg.cluster, "%v", err)
	}

	// The ID is half of the identity of each write, so no two clients may share one.
	_, _ = rand.Read(c.id[:]) // never fails
	c.life, c.end = context.WithCancel(context.Background())
	c.batcher = rpc.NewBatcher(c.life, &c.wg)
	c.mu.peers = make(map[wire.ID]*peer)
	c.events = sync.OnceValue(func() *eventHub { return newHub(c) })

	// keepTime runs before connect, since its ticks end the connection to a member that has fallen silent before it sent a table.
	c.spawn(c.keepTime)
	if err := c.connect(ctx); err != nil {
		// Close waits for the dials that are still under way.
		_ = c.Close()
		return nil, err
	}

	// Only now is it known which cluster it is. Nobody has made a call yet.
	name := attribute.String("db.namespace", c.table.Load().name)
	if c.tracer != nil {
		c.tracer.cluster = name
	}
	if c.meter != nil {
		c.meter.cluster = name
		if err := c.watchNearCaches(); err != nil {
			_ = c.Close()
			return nil, invalidf("connect", cfg.cluster, "WithMeterProvider: %v", err)
		}
	}
	return c, nil
}

// connect tries the addresses until the client has a table.
func (c *Client) connect(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.timeout)
		defer cancel()
	}

	failed := func(sentinel, last error) error {
		e := &Error{Op: "connect", Name: c.cfg.cluster, Partition: -1, Err: sentinel}
		if last != nil {
			e.Hint = last.Error()
		}
		return e
	}

	for round := 0; ; round++ {
		// Taken before the addresses are tried, so that a table that comes during that is not missed.
		changed := c.changed.wait()
		err := c.seed(ctx)

		// A wrong cluster stays wrong: further attempts would only delay the error.
		if other, ok := errors.AsType[*OtherClusterError](err); ok {
			return failed(because(ErrInvalid, other), nil)
		}

		// A member that starts may be ready a moment later, and one that stops may start again. Other refusals stay.
		var refused *rpc.Refused
		if errors.As(err, &refused) && refused.Code != wire.CodeNotReady && refused.Code != wire.CodeClosed {
			sentinel := sentinelOf(refused.Code)
			if sentinel == nil {
				sentinel = ErrUnavailable
			}
			return failed(sentinel, err)
		}

		pause := time.NewTimer(backoff(round))

		// Not every change brings a table, so the pause goes on after the others.
		for waiting := true; waiting; {
			if c.table.Load() != nil {
				pause.Stop()
				return nil
			}
			select {
			case <-changed:
				changed = c.changed.wait()
			case <-pause.C:
				waiting = false
			case <-ctx.Done():
				pause.Stop()
				if err == nil {
					err = errors.New("connected, but the cluster has no partitions yet")
				}
				return failed(because(ErrUnavailable, ctx.Err()), err)
			}
		}

		// A connected member may have answered while its cluster had no partitions yet.
		c.askTables()
	}
}

// seed tries all addresses at once until one of them makes a connection. If none does, it returns the most important error: a
// refusal that stays, else a refusal as not ready, else all errors.
func (c *Client) seed(ctx context.Context) error {
	if c.anyLive() {
		return nil
	}

	// The first success ends the dials that are still under way.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.life, cancel)
	defer stop()

	// There is room for every result, so that no dial waits for a caller that has left.
	results := make(chan error, len(c.addrs))
	for _, addr := range c.addrs {
		c.spawn(func() { results <- c.open(ctx, addr, wire.ID{}) })
	}

	var errs []error
	var heeded error
	for range c.addrs {
		var err error
		select {
		case err = <-results:
		case <-c.life.Done():
			return ErrClosed
		}

		// Others that are still under way end with ctx, and their results stay in the buffer.
		if err == nil {
			return nil
		}

		// A refusal that stays must not be hidden behind an address that is merely down.
		var refused *rpc.Refused
		switch _, other := errors.AsType[*OtherClusterError](err); {
		case other, errors.As(err, &refused) && (heeded == nil || refused.Code != wire.CodeNotReady):
			heeded = err
		}
		errs = append(errs, err)
	}

	if heeded != nil {
		return heeded
	}
	return errors.Join(errs...)
}

// reseed tries the addresses given to Connect once more, for when no member is reachable under the address it announced.
func (c *Client) reseed() {
	c.mu.Lock()

	// One search at a time is enough, however many calls find nobody.
	if c.mu.seeding {
		c.mu.Unlock()
		return
	}
	c.mu.seeding = true
	c.mu.Unlock()

	c.spawn(func() {
		began := c.clock.now()
		err := c.seed(c.life)
		c.mu.Lock()
		c.mu.seeding = false
		// Its beginning counts. Only a search that began after another cluster was seen shows that the client's own does not answer.
		if err != nil {
			c.mu.seededFrom = began
		}
		c.mu.Unlock()
		c.changed.signal()
	})
}
