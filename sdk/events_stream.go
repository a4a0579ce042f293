package sdk

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// maxAsking bounds the partitions whose owners one stream asks at the same time, and askTimeout each request.
	maxAsking  = 64
	askTimeout = 3 * time.Second
	// lookTimeout bounds how long a member may take to say where its partitions stand.
	lookTimeout = time.Second
	// quiet is how long nothing needs to be heard of a partition before the members are asked where theirs stand.
	quiet = 2500 * time.Millisecond
	// lookEvery is how often they are asked for that reason, and while NATS is out of reach.
	lookEvery = time.Second
	// maxPending and maxPendingBytes bound what NATS keeps for a stream that does not keep up; what is above is asked for.
	maxPending      = 8192
	maxPendingBytes = 16 << 20
)

// settle is when the members are asked where they stand after a subscription was made. Their NATS servers hear of the subscription
// from one another, and what they publish before that is not sent to this client.
var settle = [...]time.Duration{10 * time.Millisecond, 100 * time.Millisecond}

// eventStream is what one listener hears of one map: events of each partition in order, each once, or a sign that some were
// lost. NATS brings them; what it does not bring is asked of the owners.
//
// It owns one goroutine, worker, and a few more for the calls that it makes. All end with close.
type eventStream struct {
	c    *Client
	hub  *eventHub
	name string
	op   string // for errors
	streamConfig

	ctx   context.Context // ends with close
	end   context.CancelFunc
	wake  chan struct{}  // one slot: the worker has something to look at
	ready chan struct{}  // one slot: the queue is not empty
	calls sync.WaitGroup // goroutines of calls

	subs []*nats.Subscription // set by start

	mu       sync.Mutex // guards the following
	err      error      // why the stream was closed; nil while it is open
	trackers []*tracker // by partition; nil where nobody listens
	blocked  bool       // a tracker found the queue full
	queue    eventQueue
	queued   []int   // by partition: its events in queue
	shown    []place // by partition: the place of the event that was last taken from queue
	token    *tokenWriter
	asking   int // requests under way
	interest map[wire.ID]*interest
	baseline map[uint32]wire.Position // what members said before the trackers were started; nil afterwards
	seen     *table                   // the table from which the trackers know the owners
	agenda
	standing
}

// agenda is when the worker of a stream looks at what. It belongs to the stream's mu.
type agenda struct {
	wakeAt   int64   // when the worker wakes
	looks    []int64 // when to look
	lookedAt int64
}

// streamConfig says what a stream brings.
type streamConfig struct {
	kinds     uint16        // bit set of the kinds wanted; EventLost always is
	sparse    bool          // many events are not wanted: a queued event must not keep its whole message in memory
	values    bool          // events come with their values
	key       []byte        // if not nil: only events of this key
	partition int           // the partition of key; -1: all partitions
	view      *view         // if not nil: what the listener sees of the map; kinds are those of its view
	from      map[int]place // if not nil: where to begin
	// deliver, if not nil, takes the events in place of the queue: those of a partition in order, LOST among them. It is called with the
	// stream locked, must be quick and must not call the stream. Somebody then relies on how fresh the stream is: owners are asked before
	// that is too old.
	deliver func(partition uint32, e *wire.Event)
	repairs *atomic.Uint64 // with deliver: counts gaps that had to be closed by asking owners
}

// newEventStream returns a stream that start makes flow. If it is not started, or not with success, close it.
func (c *Client) newEventStream(op, name string, cfg streamConfig) *eventStream {
	partitions := c.partitionCount()
	s := &eventStream{
		c: c, hub: c.events(), name: name, op: op, streamConfig: cfg,
		wake: make(chan struct{}, 1), ready: make(chan struct{}, 1),
		trackers: make([]*tracker, partitions), queued: make([]int, partitions), shown: make([]place, partitions),
		interest: make(map[wire.ID]*interest), baseline: make(map[uint32]wire.Position), agenda: agenda{wakeAt: never}, seen: c.table.Load(),
	}

	// The stream ends with the client's life, not with the context of the call that opens it.
	s.ctx, s.end = context.WithCancel(c.life)
	if cfg.deliver != nil {
		s.fresh = newFreshnesses(partitions)
	}
	listened := 0
	for i := range s.trackers {
		if cfg.partition < 0 || cfg.partition == i {
			listened++
			s.trackers[i] = s.newTracker(i)
		}
	}

	s.token = newTokenWriter(tokenMap(s.seen.cluster, name), partitions, listened)
	s.of.Store(&s.seen.cluster)
	return s
}

func (s *eventStream) newTracker(partition int) *tracker {
	// Pauses differ by chance, so that the streams of many clients do not ask an owner at the same moment.
	t := newTracker(uint32(partition), s, s.values || s.view != nil && s.view.query.UsesValue(), func(d time.Duration) time.Duration { return d + rand.N(d/4) })
	if s.deliver != nil {
		t.cluster = s.c.clock.cluster
	}
	return t
}

// close ends the stream. What is queued is dropped. It does not wait for anything and may be called more than once, from
// anywhere.
func (s *eventStream) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err, s.closedAt = err, s.c.clock.now()
		s.queue = eventQueue{}
		for i := range s.fresh {
			s.fresh[i].asOf.Store(0) // nothing is delivered any more
		}
		s.end()
	}
}

// open reports whether the stream is open. A callback that begins right after that counts as begun before close.
func (s *eventStream) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && s.c.life.Err() == nil
}

// leave takes back what start did. It is called once, after close.
func (s *eventStream) leave() {
	s.hub.remove(s)
	// A call under way may still make a member count the stream. What it did is taken back below.
	s.calls.Wait()

	for id, in := range s.interest { // interest needs no lock: no other goroutine of the stream is left
		// Members forget the interest of a connection that has ended, so only live ones need to be told.
		if in.conn != nil && in.conn.Alive() && s.c.life.Err() == nil {
			ctx, cancel := context.WithTimeout(s.c.life, lookTimeout)
			if _, err := s.call(ctx, in.conn, wire.OpUninterest); err != nil {
				s.c.cfg.logger.Debug("gridiron: a member was not told that a listener is gone", "map", s.name, "member", id, "error", err)
			}
			cancel()
		}
	}

	for _, sub := range s.subs {
		_ = sub.Unsubscribe() // an error says that the connection is closed
	}
}

// next takes the oldest event, waiting for one if need be, with a token that leads to right after it. The error is
// context's, or why the stream was closed.
func (s *eventStream) next(ctx context.Context) (queuedEvent, ResumeToken, error) {
	for {
		if err := ctx.Err(); err != nil {
			return queuedEvent{}, "", err
		}

		s.mu.Lock()

		// A closed stream gives out nothing more, not even what is queued.
		if s.err != nil {
			defer s.mu.Unlock()
			return queuedEvent{}, "", s.err
		}

		if s.queue.len() > 0 {
			e := s.queue.pop()
			s.queued[e.partition]--
			s.shown[e.partition] = placeOf(&e.Event)

			// The trackers wait for room for many events: each of them then asks its owner once, and not once for each event.
			if s.blocked && s.queue.roomy() {
				s.unblockLocked()
			}

			// The token is made under the lock, or it could name places beyond this event.
			token := s.token.next(s.c.clock.now(), int(e.partition), s.shown[e.partition], s.eachPlaceLocked)

			s.mu.Unlock()
			if e.Kind == wire.EventLost {
				s.c.cfg.logger.Warn("gridiron: events were lost", "map", s.name, "partition", e.partition)
			}
			return e, token, nil
		}
		s.mu.Unlock()

		// Whoever takes the signal looks at the queue again, so one signal may stand for many events.
		select {
		case <-s.ready:
		case <-ctx.Done():
		case <-s.ctx.Done():
			s.close(ErrClosed) // the client was closed, or the stream was closed before
		}
	}
}

// eachPlaceLocked calls f with how far each partition has come in what was taken from the queue. REQUIRES s.mu.
func (s *eventStream) eachPlaceLocked(f func(int, place)) {
	for i, t := range s.trackers {
		switch {
		case t == nil:
		case s.queued[i] > 0:
			// Events of the partition are still queued. A token must not lead past them.
			f(i, s.shown[i])
		default:
			// Nothing is queued, so the listener has come as far as the tracker has.
			f(i, t.at)
		}
	}
}

// unblockLocked makes the trackers ask for what the queue had no room for. REQUIRES s.mu.
func (s *eventStream) unblockLocked() {
	now := s.c.clock.now()
	for _, t := range s.trackers {
		// A tracker that was not blocked ignores this.
		if t != nil {
			t.unblock(now)
		}
	}
	s.blocked = false
	signal(s.wake)
}

// wants reports whether the listener is to hear of e. It is part of eventSink, REQUIRES s.mu.
func (s *eventStream) wants(e *wire.Event) bool {
	if s.key != nil && e.Kind != wire.EventCleared && string(e.Key) != string(s.key) {
		return false
	}
	// In a view a change may be of another kind. Only take knows, once the values are there.
	if s.view != nil {
		return s.view.may(e)
	}
	return s.kinds&(1<<min(e.Kind, 15)) != 0
}

// take queues e. It is part of eventSink, REQUIRES s.mu.
func (s *eventStream) take(partition uint32, e *wire.Event) bool {
	if s.err != nil {
		return true // nobody reads the queue any more
	}

	q, sure := *e, true
	if s.view != nil {
		var heard bool
		if q, sure, heard = s.view.see(e, s.kinds); !heard {
			return true
		}
	}
	// A LOST is no change at any owner, so it has the time at which the client learned of it.
	if q.Kind == wire.EventLost {
		q.Time = s.c.clock.cluster(s.c.clock.now())
	}
	if !s.values {
		q.Old, q.New = nil, nil
		// The flag says that values were too large, but this listener wants none, unless one would have told what it sees.
		if sure {
			q.Flags &^= wire.EventOmitted
		}
	}
	if s.deliver != nil {
		s.deliver(partition, &q)
		return true
	}

	// Keys and values alias the whole message. A listener to few events would keep all of that in memory for them.
	if s.sparse {
		q.Key, q.Old, q.New = bytes.Clone(q.Key), bytes.Clone(q.Old), bytes.Clone(q.New)
	}
	// As long as an event of the partition is queued, tokens name the place before that event.
	if s.queued[partition] == 0 {
		s.shown[partition] = s.trackers[partition].at
	}

	if q.Kind == wire.EventLost {
		q.Seq = s.losses.queued + 1 // has no other meaning in a LOST
	}
	if !s.queue.push(partition, &q) {
		s.blocked = true
		return false
	}
	if q.Kind == wire.EventLost {
		s.losses.add(s.c.clock.now())
	}

	s.queued[partition]++
	signal(s.ready)
	return true
}

// onEvents takes in a message of events. It runs on a goroutine of NATS.
func (s *eventStream) onEvents(m *nats.Msg) {
	// Most messages are of other partitions. Their first bytes tell, so they need no decoding.
	if s.partition >= 0 {
		if r := wire.NewReader(m.Data); r.U32() != uint32(s.partition) {
			return
		}
	}

	b, err := wire.DecodeEventBatch(m.Data)
	if err != nil {
		s.unreadable(err)
		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	// The partition's number comes from the network, so it is not trusted as an index.
	if int64(b.Partition) < int64(len(s.trackers)) && s.err == nil {
		t := s.trackers[b.Partition]
		t.batch(s.c.clock.now(), &b)
		s.heardLocked(t)
	}
}

// onWatermark takes in a member's watermark. It runs on a goroutine of NATS.
func (s *eventStream) onWatermark(m *nats.Msg) {
	b, err := wire.DecodeWatermark(m.Data)
	if err != nil {
		s.unreadable(err)
		return
	}
	s.stand(b.Positions, b.AsOf)
}

func (s *eventStream) unreadable(err error) {
	s.c.cfg.logger.Warn("gridiron: a message of events cannot be read", "map", s.name, "error", err)
}

// stand takes in where partitions stand, as their owner says, who vouches for that as of a cluster time; 0 if it does not.
func (s *eventStream) stand(list []wire.Position, asOf int64) {
	s.mu.Lock()
	defer s.mu.Unlock()

	now := s.c.clock.now()
	for _, p := range list {
		// Nobody listens to this partition, or the number is damaged.
		if int64(p.Partition) >= int64(len(s.trackers)) || s.trackers[p.Partition] == nil {
			continue
		}

		// The trackers have not started. Of two members that both claim the partition, the one with the later epoch is right.
		if s.baseline != nil {
			if b, ok := s.baseline[p.Partition]; !ok || b.Epoch <= p.Epoch {
				s.baseline[p.Partition] = p
			}
			continue
		}

		// Once the trackers run, where an owner stands is as good as a watermark.
		t := s.trackers[p.Partition]
		t.watermark(now, &p, asOf)
		s.heardLocked(t)
	}
}

// heardLocked follows up what a tracker has taken in. REQUIRES s.mu.
func (s *eventStream) heardLocked(t *tracker) {
	if s.fresh != nil && s.err == nil {
		f := &s.fresh[t.partition]
		// What was read in one generation may have been lost in the next, without an event that says so.
		if g := t.generation(); g != f.generation {
			f.generation = g
			s.deliver(t.partition, &wire.Event{Kind: wire.EventLost})
		}
		if t.wholeAt != f.wholeAt && s.repairs != nil {
			f.wholeAt = t.wholeAt
			s.repairs.Add(1)
		}
		f.asOf.Store(t.fresh)
	}
	s.wakeLocked(t.next())
}

// wakeLocked sees to it that the worker is awake at a time. REQUIRES s.mu.
func (s *eventStream) wakeLocked(at int64) {
	if at < s.wakeAt {
		s.wakeAt = at
		signal(s.wake)
	}
}

// lookSoon makes the stream find out what it has missed: NATS was interrupted.
func (s *eventStream) lookSoon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.clock.now()
	s.looks = append(s.looks[:0], now)
	s.settleLocked(now)
	signal(s.wake)
}

func (s *eventStream) settleLocked(now int64) {
	for _, d := range settle {
		s.looks = append(s.looks, now+int64(d))
	}
}

// worker is the goroutine that asks for what is missing. It ends with the stream.
func (s *eventStream) worker() {
	defer s.leave()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		changed := s.c.changed.wait() // the table, or a connection

		s.mu.Lock()
		now := s.c.clock.now()
		s.wakeAt = s.reconcileLocked(now)
		pause := time.Duration(s.wakeAt - now)
		s.mu.Unlock()

		// The least pause keeps a request that is always due from making the loop spin.
		timer.Reset(max(pause, time.Millisecond))
		select {
		case <-s.ctx.Done():
			s.close(ErrClosed) // the client was closed, or the stream was closed before
			return
		case <-s.wake:
		case <-timer.C:
		case <-changed:
		}

		if other := s.c.replaced.Load(); other != nil {
			s.close(s.fail(because(ErrInvalid, other), "")) // nothing more will come
			return
		}
	}
}

// reconcileLocked starts all calls that are due and returns when the next will be. REQUIRES s.mu.
func (s *eventStream) reconcileLocked(now int64) int64 {
	s.followLocked(now)

	// heard is the moment up to which every partition was heard of.
	next, heard := now+int64(lookEvery), now
	for i, t := range s.trackers {
		if t == nil {
			continue
		}
		heard = min(heard, t.heard)
		at := t.next()
		if at > now {
			next = min(next, at)
			// What is due but finds no room is asked when an earlier request has ended and wakes the worker.
		} else if s.asking < maxAsking {
			s.askLocked(i, t.ask(now))
		}
	}

	// NATS brings a watermark each second, unless it is interrupted or loses messages. Members are then asked directly.
	if (now-heard >= int64(quiet) || !s.hub.up.Load()) && now-s.lookedAt >= int64(lookEvery) {
		s.looks = append(s.looks[:0], now)
	}

	// Looks that are due at the same time need only one question.
	if len(s.looks) > 0 && s.looks[0] <= now {
		for len(s.looks) > 0 && s.looks[0] <= now {
			s.looks = s.looks[1:]
		}
		s.lookLocked()
	} else {
		// A member that was connected again has forgotten the stream.
		s.enlistLocked(false)
	}

	if len(s.looks) > 0 {
		next = min(next, s.looks[0])
	}
	return next
}

// followLocked makes trackers ask the new owners of their partitions. REQUIRES s.mu.
func (s *eventStream) followLocked(now int64) {
	cur := s.c.table.Load()
	if cur == s.seen {
		return
	}

	// Positions of two clusters cannot be compared.
	if cur.cluster != s.seen.cluster {
		s.restartLocked(now, cur)
		return
	}

	// An owner may have ended before it published its last events. Its successor is asked, by each stream after another pause.
	for i, t := range s.trackers {
		if t != nil && cur.routes[i].epoch != s.seen.routes[i].epoch && cur.routes[i].epoch > t.epoch {
			t.suspect(now, gapWait+rand.N(2*gapWait))
		}
	}

	s.seen = cur
}

// restartLocked begins again in the successor of the stream's cluster, whose events have nothing to do with the earlier ones. It drops
// what is queued, since tokens could not say from which cluster it came. The listener hears LOST. REQUIRES s.mu.
func (s *eventStream) restartLocked(now int64, cur *table) {
	s.seen, s.queue, s.blocked, s.baseline = cur, eventQueue{}, false, nil
	s.losses.tell(now, s.losses.queued) // those that were queued are dropped

	lost := &wire.Event{Kind: wire.EventLost, Version: uint64(wire.StampOf(1, 0))}
	listened, first := 0, -1
	for i, t := range s.trackers {
		if t == nil {
			continue
		}
		if listened++; first < 0 {
			first = i
		}
		// From its beginning, so that the listener gets the new cluster's events as far as owners still have them.
		other := s.newTracker(i)
		other.start(now, place{generation: 1})
		other.suspect(now, 0)
		s.trackers[i], s.queued[i], s.shown[i] = other, 0, place{}
		s.heardLocked(other)

		// Whoever keeps what was delivered keeps it by partition.
		if s.deliver != nil {
			s.take(uint32(i), lost)
		}
	}

	s.token = newTokenWriter(tokenMap(cur.cluster, s.name), len(s.trackers), listened)
	s.of.Store(&cur.cluster)

	// One LOST is enough for all partitions of a listener. It must name one of them, and names the first.
	if first >= 0 && s.deliver == nil {
		s.take(uint32(first), lost)
	}

	// The new cluster's members know nothing of the stream yet.
	s.looks = append(s.looks[:0], now)
	s.settleLocked(now)
}

// askLocked asks a partition's owner for the events after a place. REQUIRES s.mu.
func (s *eventStream) askLocked(partition int, after place) {
	s.asking++
	t := s.trackers[partition]
	// The call runs outside the lock, under which messages must go on to be taken in.
	s.spawn(func() {
		ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
		defer cancel()

		body := wire.AppendEventsBody(nil, &wire.EventsBody{Map: []byte(s.name), Generation: after.generation, Pos: after.pos})
		answer, err := s.c.callPartition(ctx, wire.OpEvents, s.name, partition, body)

		var res *wire.EventsResult
		if err == nil {
			var r wire.EventsResult
			if r, err = wire.DecodeEventsResult(answer); err == nil {
				res = &r
			}
		}

		// Nothing is lost by a failure: the tracker asks again a little later.
		if err != nil && s.ctx.Err() == nil {
			s.c.cfg.logger.Debug("gridiron: events were not answered", "map", s.name, "partition", partition, "error", err)
		}

		s.mu.Lock()
		s.asking--
		if s.trackers[partition] == t { // otherwise the answer is that of an earlier cluster
			t.answered(s.c.clock.now(), res)
			s.heardLocked(t)
		}
		s.mu.Unlock()
		signal(s.wake)
	})
}

// spawn runs f on a goroutine that leave and the client's Close wait for. f must return soon after the stream was closed.
func (s *eventStream) spawn(f func()) {
	s.calls.Add(1)
	if !s.c.spawn(func() { defer s.calls.Done(); f() }) {
		s.calls.Done()
	}
}

// signal puts a signal into a channel of one slot, unless there is one.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
