package sdk

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// start makes the stream flow and returns once events from now on, or from where the stream is to begin, are covered.
func (s *eventStream) start(ctx context.Context) (err error) {
	// After a failure everything that was begun is taken back: subscriptions, and the interest that members have counted.
	defer func() {
		if err != nil {
			if s.close(err); !s.c.spawn(s.leave) {
				s.leave()
			}
		}
	}()

	stop := context.AfterFunc(ctx, s.end) // nothing here waits longer than ctx
	defer stop()

	// The subscription comes first: what is published after members have said where they stand arrives, or shows as a gap.
	if err := s.subscribe(ctx); err != nil {
		return err
	}

	// Members publish a map's events only while somebody is interested, so they are told before the starting places are fixed.
	s.enlistAll()
	if err := s.begin(ctx); err != nil {
		return err
	}

	// ctx has ended, and has ended the stream with it.
	if !stop() {
		return s.stopped(ctx, "")
	}

	// From here on the worker owns the stream and takes it back when it ends.
	if !s.c.spawn(s.worker) {
		return s.fail(ErrClosed, "")
	}
	return nil
}

func (s *eventStream) fail(err error, hint string) error {
	return &Error{Op: s.op, Name: s.name, Partition: -1, Err: err, Hint: hint}
}

// stopped returns the error of a start that ctx or the client's end cut short.
func (s *eventStream) stopped(ctx context.Context, what string) error {
	if s.c.life.Err() != nil {
		return s.fail(ErrClosed, "")
	}
	return s.fail(because(ErrUnavailable, ctx.Err()), what)
}

// subscribe makes NATS send the map's events and watermarks.
func (s *eventStream) subscribe(ctx context.Context) error {
	// From here on the end of the client closes the stream, also while it waits below.
	if !s.hub.add(s) {
		return s.fail(ErrClosed, "")
	}

	conn, err := s.hub.nats(ctx)
	if err != nil {
		return s.stopped(ctx, "no connection for events")
	}

	// The bounds keep a slow listener from filling the memory. What NATS drops beyond them shows as a gap.
	for subject, take := range map[string]func(*nats.Msg){wire.EventSubject(s.name): s.onEvents, wire.WatermarkSubject(s.name): s.onWatermark} {
		sub, err := conn.Subscribe(subject, take)
		if err == nil {
			s.subs = append(s.subs, sub)
			err = sub.SetPendingLimits(maxPending, maxPendingBytes)
		}
		if err != nil {
			return s.fail(because(ErrUnavailable, err), "subscribe")
		}
	}

	// Until a flush has come back, the member's NATS server may not know of the subscription.
	for {
		// On an interrupted connection a flush only waits, so it gets little time and is tried again.
		within, cancel := context.WithTimeout(ctx, lookTimeout)
		err := conn.FlushWithContext(within)
		cancel()
		if err == nil {
			return nil
		}

		pause := time.NewTimer(maxBackoff)
		select {
		case <-pause.C:
		case <-s.ctx.Done():
		}
		pause.Stop()
		if s.ctx.Err() != nil {
			return s.stopped(ctx, "subscribe: "+err.Error())
		}
	}
}

// enlistAll tells the members that the client is connected to of the stream, and learns where they stand.
func (s *eventStream) enlistAll() {
	s.mu.Lock()
	s.lookLocked()
	s.mu.Unlock()
	s.calls.Wait()
}

// begin starts the trackers where the stream is told to begin, or else where their partitions' owners stand.
func (s *eventStream) begin(ctx context.Context) error {
	at := make([]place, len(s.trackers))
	var unknown []int
	s.mu.Lock()
	for i, t := range s.trackers {
		if t == nil {
			continue
		}
		from, given := s.from[i]
		b, ok := s.baseline[uint32(i)]
		// A resume token goes before what owners say now: the listener wants what has happened since.
		switch {
		case given:
			at[i] = from
		case ok:
			at[i] = placeAt(&b)
		default:
			// No member has said where the partition stands. Its owner may be out of reach, or the partition may be moving.
			unknown = append(unknown, i)
		}
	}
	s.mu.Unlock()

	// No lock is held during the calls. The trackers have not started, so messages only collect in them meanwhile.
	if err := s.locate(ctx, unknown, at); err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.clock.now()
	for i, t := range s.trackers {
		if t == nil {
			continue
		}
		// The epoch comes before the start: a tracker must know whether its place is of the newest generation.
		b, ok := s.baseline[uint32(i)]
		if ok {
			t.hear(now, b.Epoch)
		}

		t.start(now, at[i])
		if s.fresh != nil {
			s.fresh[i].generation = t.generation()
		}

		// The stream resumes. Unless the owner says that nothing has happened to the map since then, it must be asked.
		if _, given := s.from[i]; given && (!ok || at[i].generation != placeAt(&b).generation || at[i].pos < b.Quiet || at[i].pos > b.Pos) {
			t.suspect(now, 0)
		}
	}

	// From here on the trackers hear what members say.
	s.baseline, s.startedAt = nil, now
	s.settleLocked(now)
	return nil
}

// locate asks the owners of partitions where the map stands there, as long as ctx lets it.
func (s *eventStream) locate(ctx context.Context, partitions []int, at []place) error {
	for len(partitions) > 0 {
		// All partitions at once, since each may have another owner.
		list := make([]*call, len(partitions))
		for i, p := range partitions {
			list[i] = newCall(wire.OpEvents, s.name, uint32(p))
			list[i].body = wire.AppendEventsBody(list[i].body[:0], &wire.EventsBody{Map: []byte(s.name), Pos: wire.PosNow})
		}

		s.c.invokeAll(ctx, list)

		var left []int
		var failed error
		for i, cl := range list {
			switch err := cl.err; {
			case err == nil:
				var r wire.EventsResult
				if r, err = wire.DecodeEventsResult(cl.Answer.Body); err == nil {
					at[partitions[i]] = placeAt(&r.Last)
				} else {
					failed = unreadable(cl.req.Op, s.name, partitions[i], err)
				}
			case Retryable(err) && ctx.Err() == nil:
				// Without this place the stream could not tell what it misses, so only ctx ends the search.
				left = append(left, partitions[i])
			default:
				failed = err
			}
			cl.release()
		}

		if failed != nil {
			return failed
		}
		partitions = left
	}
	return nil
}
