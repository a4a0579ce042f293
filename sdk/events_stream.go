package sdk

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
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

// settle is when the members are asked where they stand after a subscription was made: their NATS servers hear of it from
// one another, and what they publish before is not sent to this client.
var settle = [...]time.Duration{10 * time.Millisecond, 100 * time.Millisecond}

// eventStream is what one listener hears of one map: events of each partition in order, each once, or a sign that some were
// lost. NATS brings them; what it does not bring is asked of the owners.
//
// It owns one goroutine, worker, and those of the calls that it makes, of which there are few. They end with close.
type eventStream struct {
	c    *Client
	hub  *eventHub
	name string
	op   string // for errors
	streamConfig

	ctx   context.Context // ends with close
	end   context.CancelFunc
	kick  chan struct{}  // one slot: the worker has something to look at
	ready chan struct{}  // one slot: the queue is not empty
	calls sync.WaitGroup // goroutines of calls

	conn  *nats.Conn // set by start, as the following
	subs  []*nats.Subscription
	hooks []func() // undo them

	mu       sync.Mutex // guards the following
	err      error      // why the stream was closed; nil while it is open
	trackers []*tracker // by partition; nil where nobody listens
	blocked  bool       // a tracker found the queue full
	queue    eventQueue
	queued   []int   // by partition: its events in queue
	shown    []place // by partition: of the event taken from queue last
	token    *tokenWriter
	asking   int // requests under way
	interest map[wire.ID]*interest
	baseline map[uint32]wire.Position // what members said before the trackers were started; nil afterwards
	seen     *table                   // whose owners the trackers know of
	wakeAt   int64                    // when the worker wakes
	looks    []int64                  // when to look
	lookedAt int64
}

// streamConfig says what a stream brings.
type streamConfig struct {
	kinds     uint16        // bit set of the kinds wanted; EventLost always is
	sparse    bool          // much is not wanted: what is queued must not keep whole messages in memory
	values    bool          // with their values
	key       []byte        // if not nil: events of this key alone
	partition int           // which is there; -1: all
	from      map[int]place // if not nil: where to begin
}

// interest is what the stream asked of one member.
type interest struct {
	conn      *rpc.Conn // on which the member knows of the stream; nil: none
	busy      bool      // it is being told
	notBefore int64     // when to tell it again after it has refused
}

// newEventStream returns a stream that start makes flow. If it is not started, or not with success, close it.
func (c *Client) newEventStream(op, name string, cfg streamConfig) *eventStream {
	partitions := c.partitionCount()
	s := &eventStream{
		c: c, hub: c.hub(), name: name, op: op, streamConfig: cfg,
		kick: make(chan struct{}, 1), ready: make(chan struct{}, 1),
		trackers: make([]*tracker, partitions), queued: make([]int, partitions), shown: make([]place, partitions),
		interest: make(map[wire.ID]*interest), baseline: make(map[uint32]wire.Position), wakeAt: never, seen: c.table.Load(),
	}
	s.ctx, s.end = context.WithCancel(c.life)
	listened := 0
	for i := range s.trackers {
		if cfg.partition < 0 || cfg.partition == i {
			listened++
			s.trackers[i] = newTracker(uint32(i), s, cfg.values, func(d time.Duration) time.Duration { return d + rand.N(d/4) })
		}
	}
	s.token = newTokenWriter(tokenMap(s.seen.cluster, name), partitions, listened)
	return s
}

// start makes the stream flow and returns once events from now on, or from where the stream is to begin, are covered.
func (s *eventStream) start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			s.close(err)
			s.leave()
		}
	}()
	stop := context.AfterFunc(ctx, s.end) // so that nothing here waits longer than ctx
	defer stop()
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	s.enlistAll()
	if err := s.begin(ctx); err != nil {
		return err
	}
	if !stop() {
		return s.stopped(ctx, "")
	}
	if !s.c.spawned(s.worker) {
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

// subscribe makes NATS send the map's events and beats, and members' connections be noticed.
func (s *eventStream) subscribe(ctx context.Context) error {
	if !s.hub.add(s) {
		return s.fail(ErrClosed, "")
	}
	wake := func() { signal(s.kick) }
	s.hooks = append(s.hooks, s.c.onTableChange(wake), s.c.onConnection(func(wire.ID) { wake() }))
	conn, err := s.hub.nats(ctx)
	if err != nil {
		return s.stopped(ctx, "no connection for events")
	}
	s.conn = conn
	for subject, take := range map[string]func(*nats.Msg){wire.EventSubject(s.name): s.onEvents, wire.BeatSubject(s.name): s.onBeat} {
		sub, err := conn.Subscribe(subject, take)
		if err == nil {
			s.subs = append(s.subs, sub)
			err = sub.SetPendingLimits(maxPending, maxPendingBytes)
		}
		if err != nil {
			return s.fail(because(ErrUnavailable, err), "subscribe")
		}
	}
	for {
		// Where the connection is interrupted, a flush waits in vain: it is tried again.
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
		switch {
		case given:
			at[i] = from
		case ok:
			at[i] = place{b.Instance, b.Seq}
			t.epoch = b.Epoch
		default:
			unknown = append(unknown, i)
		}
	}
	s.mu.Unlock()
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
		t.start(now, at[i])
		b, ok := s.baseline[uint32(i)]
		if _, given := s.from[i]; given && (!ok || at[i] != place{b.Instance, b.Seq}) {
			t.suspect(now, 0)
		}
	}
	s.baseline = nil
	s.settleLocked(now)
	return nil
}

// locate asks the owners of partitions where the map stands there, as long as ctx lets it.
func (s *eventStream) locate(ctx context.Context, partitions []int, at []place) error {
	for len(partitions) > 0 {
		list := make([]*call, len(partitions))
		for i, p := range partitions {
			list[i] = newCall(wire.OpEvents, s.name, uint32(p))
			// An instance that never comes: the owner answers with where it stands, and no events.
			list[i].body = wire.AppendEventsBody(list[i].body[:0], &wire.EventsBody{Map: []byte(s.name), Instance: 1<<64 - 1, Limit: 1})
		}
		s.c.invokeAll(ctx, list)
		var left []int
		var failed error
		for i, cl := range list {
			switch err := cl.err; {
			case err == nil:
				var r wire.EventsResult
				if r, err = wire.DecodeEventsResult(cl.Answer.Body); err == nil {
					at[partitions[i]] = place{r.Last.Instance, r.Last.Seq}
				} else {
					failed = unreadable(cl.req.Op, s.name, partitions[i], err)
				}
			case Retryable(err) && ctx.Err() == nil:
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

// close ends the stream. What is queued is dropped. It does not wait for anything and may be called more than once, from
// anywhere.
func (s *eventStream) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.queue = eventQueue{}
		s.end()
	}
}

// open reports whether the stream is open. A callback that begins right after it was is one that began before close.
func (s *eventStream) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && s.c.life.Err() == nil
}

// leave takes back what start did. It is called once, after close.
func (s *eventStream) leave() {
	for _, undo := range s.hooks {
		undo()
	}
	s.hub.remove(s)
	s.calls.Wait()
	for id, in := range s.interest { // no goroutine but this one is left
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
		if s.err != nil {
			defer s.mu.Unlock()
			return queuedEvent{}, "", s.err
		}
		if s.queue.len() > 0 {
			e := s.queue.pop()
			s.queued[e.partition]--
			s.shown[e.partition] = placeOf(&e.Event)
			if s.blocked && s.queue.roomy() {
				s.unblockLocked()
			}
			token := s.tokenLocked()
			s.mu.Unlock()
			if e.Kind == wire.EventLost {
				s.c.cfg.logger.Warn("gridiron: events were lost", "map", s.name, "partition", e.partition)
			}
			return e, token, nil
		}
		s.mu.Unlock()
		select {
		case <-s.ready:
		case <-ctx.Done():
		case <-s.ctx.Done():
			s.close(ErrClosed) // by the client, unless it was closed before
		}
	}
}

// tokenLocked returns the token of all that was taken from the queue. REQUIRES s.mu.
func (s *eventStream) tokenLocked() ResumeToken {
	s.token.begin()
	for i, t := range s.trackers {
		switch {
		case t == nil:
		case s.queued[i] > 0:
			s.token.add(i, s.shown[i])
		default:
			s.token.add(i, t.at)
		}
	}
	return s.token.finish()
}

// unblockLocked makes the trackers ask for what the queue had no room for. REQUIRES s.mu.
func (s *eventStream) unblockLocked() {
	now := s.c.clock.now()
	for _, t := range s.trackers {
		if t != nil {
			t.unblock(now)
		}
	}
	s.blocked = false
	signal(s.kick)
}

// wants reports whether the listener is to hear of e. It is part of eventSink, REQUIRES s.mu.
func (s *eventStream) wants(e *wire.Event) bool {
	if s.kinds&(1<<min(e.Kind, 15)) == 0 {
		return false
	}
	return s.key == nil || e.Kind == wire.EventCleared || string(e.Key) == string(s.key)
}

// take queues e. It is part of eventSink, REQUIRES s.mu.
func (s *eventStream) take(partition uint32, e *wire.Event) bool {
	if s.err != nil {
		return true // nobody will look
	}
	q := *e
	if q.Kind == wire.EventLost {
		q.Time = s.c.clock.cluster(s.c.clock.now())
	}
	if !s.values {
		q.Old, q.New = nil, nil
	}
	if s.sparse {
		q.Key, q.Old, q.New = bytes.Clone(q.Key), bytes.Clone(q.Old), bytes.Clone(q.New)
	}
	// The token of an event taken before needs to know where it was.
	if s.queued[partition] == 0 {
		s.shown[partition] = s.trackers[partition].at
	}
	if !s.queue.push(partition, &q) {
		s.blocked = true
		return false
	}
	s.queued[partition]++
	signal(s.ready)
	return true
}

// onEvents takes in a message of events. It runs on a goroutine of NATS.
func (s *eventStream) onEvents(m *nats.Msg) {
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
	if int64(b.Partition) < int64(len(s.trackers)) && s.err == nil {
		t := s.trackers[b.Partition]
		t.batch(s.c.clock.now(), &b)
		s.wakeLocked(t.next())
	}
}

// onBeat takes in a member's beat. It runs on a goroutine of NATS.
func (s *eventStream) onBeat(m *nats.Msg) {
	b, err := wire.DecodeBeat(m.Data)
	if err != nil {
		s.unreadable(err)
		return
	}
	s.stand(b.Positions)
}

func (s *eventStream) unreadable(err error) {
	s.c.cfg.logger.Warn("gridiron: a message of events cannot be read", "map", s.name, "error", err)
}

// stand takes in where partitions stand, as their owner says.
func (s *eventStream) stand(list []wire.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.clock.now()
	for _, p := range list {
		if int64(p.Partition) >= int64(len(s.trackers)) || s.trackers[p.Partition] == nil {
			continue
		}
		if s.baseline != nil {
			if b, ok := s.baseline[p.Partition]; !ok || b.Epoch <= p.Epoch {
				s.baseline[p.Partition] = p
			}
			continue
		}
		t := s.trackers[p.Partition]
		t.beat(now, p.Epoch, place{p.Instance, p.Seq})
		s.wakeLocked(t.next())
	}
}

// wakeLocked sees to it that the worker is awake at a time. REQUIRES s.mu.
func (s *eventStream) wakeLocked(at int64) {
	if at < s.wakeAt {
		s.wakeAt = at
		signal(s.kick)
	}
}

// lookSoon makes the stream find out what it has missed: NATS was interrupted.
func (s *eventStream) lookSoon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.clock.now()
	s.looks = append(s.looks[:0], now)
	s.settleLocked(now)
	signal(s.kick)
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
		select {
		case <-s.ctx.Done():
			s.close(ErrClosed) // by the client, unless it was closed before
			return
		case <-s.kick:
		case <-timer.C:
		}
		s.mu.Lock()
		now := s.c.clock.now()
		s.wakeAt = s.tendLocked(now)
		pause := time.Duration(s.wakeAt - now)
		s.mu.Unlock()
		timer.Reset(max(pause, time.Millisecond))
	}
}

// tendLocked starts all calls that are due and returns when the next will be. REQUIRES s.mu.
func (s *eventStream) tendLocked(now int64) int64 {
	s.followLocked(now)
	next, heard := now+int64(lookEvery), now
	for i, t := range s.trackers {
		if t == nil {
			continue
		}
		heard = min(heard, t.heard)
		at := t.next()
		if at > now {
			next = min(next, at)
		} else if s.asking < maxAsking {
			s.askLocked(i, t.ask(now))
		}
	}
	if (now-heard >= int64(quiet) || !s.hub.up.Load()) && now-s.lookedAt >= int64(lookEvery) {
		s.looks = append(s.looks[:0], now)
	}
	if len(s.looks) > 0 && s.looks[0] <= now {
		for len(s.looks) > 0 && s.looks[0] <= now {
			s.looks = s.looks[1:]
		}
		s.lookLocked()
	} else {
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
	for i, t := range s.trackers {
		if t != nil && cur.routes[i].epoch != s.seen.routes[i].epoch && cur.routes[i].epoch > t.epoch {
			t.suspect(now, gapGrace+rand.N(2*gapGrace))
		}
	}
	s.seen = cur
}

// askLocked asks a partition's owner for the events after a place. REQUIRES s.mu.
func (s *eventStream) askLocked(partition int, after place) {
	s.asking++
	s.spawn(func() {
		ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
		defer cancel()
		body := wire.AppendEventsBody(nil, &wire.EventsBody{Map: []byte(s.name), Instance: after.instance, Seq: after.seq})
		answer, err := s.c.callPartition(ctx, wire.OpEvents, s.name, partition, body)
		var res *wire.EventsResult
		if err == nil {
			var r wire.EventsResult
			if r, err = wire.DecodeEventsResult(answer); err == nil {
				res = &r
			}
		}
		if err != nil && s.ctx.Err() == nil {
			s.c.cfg.logger.Debug("gridiron: events were not answered", "map", s.name, "partition", partition, "error", err)
		}
		s.mu.Lock()
		s.asking--
		s.trackers[partition].answered(s.c.clock.now(), res)
		s.mu.Unlock()
		signal(s.kick)
	})
}

// lookLocked asks all members that the client is connected to where their partitions stand. REQUIRES s.mu.
func (s *eventStream) lookLocked() {
	s.lookedAt = s.c.clock.now()
	s.enlistLocked(true)
}

// enlistLocked tells members of the stream that do not know of it on their connection, and asks all where they stand if
// look is set. REQUIRES s.mu.
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
		if conn == nil || in.busy || in.conn == conn && !look || s.c.clock.now() < in.notBefore {
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
	s.stand(list)

	s.mu.Lock()
	known := in.conn == conn
	if in.busy = false; !refused(err) {
		in.conn = conn
	} else {
		in.notBefore = s.c.clock.now() + int64(lookEvery)
	}
	s.mu.Unlock()
	if known && !refused(err) { // it was to be asked only, and counts the stream once more now
		if _, err := s.call(ctx, conn, wire.OpUninterest); err != nil && s.ctx.Err() == nil {
			s.c.cfg.logger.Debug("gridiron: a member counts a listener twice", "map", s.name, "error", err)
		}
	}
}

// spawn runs f on a goroutine that leave and the client's Close wait for. f must return soon after the stream was closed.
func (s *eventStream) spawn(f func()) {
	s.calls.Add(1)
	if !s.c.spawned(func() { defer s.calls.Done(); f() }) {
		s.calls.Done()
	}
}

// spawned is spawn, and reports whether f runs.
func (c *Client) spawned(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.closed {
		c.wg.Go(f)
	}
	return !c.mu.closed
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

// signal puts a signal into a channel of one slot, unless there is one.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
