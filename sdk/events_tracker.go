package sdk

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// gapWait is how long a missing event may take to arrive by itself before the tracker asks the owner for it.
	gapWait = 50 * time.Millisecond
	// askEvery is the least time between two requests to the owner, unless it said that there is more, or left values out.
	askEvery = time.Second
	// silence is how long nothing may be heard of a partition before its owner is asked.
	silence = 4 * time.Second
	// staleAfter is how old a freshness may become before the owner is asked, where somebody relies on it.
	staleAfter = 2 * time.Second
	// maxHeld and maxHeldBytes bound the events of one partition that wait for an earlier one.
	maxHeld      = 256
	maxHeldBytes = 1 << 20

	never = int64(math.MaxInt64)
)

// place is how far the events of a map have come in one partition: everything up to a position in a generation of the
// partition. Positions count over all maps of the partition. A later generation gives positions out again that the one before
// has used, so that those of different generations cannot be compared.
type place struct{ generation, pos uint64 }

// placeOf returns the place right after an event.
func placeOf(e *wire.Event) place { return place{wire.Stamp(e.Version).Generation(), e.Pos} }

// placeAt returns the place that an owner has told of.
func placeAt(p *wire.Position) place { return place{wire.Stamp(p.Epoch).Generation(), p.Pos} }

// eventSink takes the events of partitions, of each in order.
type eventSink interface {
	// wants reports whether e is to be taken; an event that is not is passed over.
	wants(e *wire.Event) bool
	// take takes e. It reports false if there is no room: then e was not taken, and room must be told of by unblock.
	take(partition uint32, e *wire.Event) bool
}

// tracker brings the events of one map in one partition into order. They come by a fast channel, which loses, repeats and reorders
// messages, and in answers of the owner. The tracker hands each event to the sink once. In place of events that nobody has any more
// it hands on one event of kind EventLost.
//
// It is pure. Its caller gives it the time, in nanoseconds of any clock that does not go back. It does not ask the owner, but says
// when to ask. Its methods must not be called concurrently.
type tracker struct {
	partition uint32
	sink      eventSink
	values    bool                              // events that were sent without their values are asked for
	spread    func(time.Duration) time.Duration // makes a pause longer by chance

	open  bool   // at is known; until then events are held
	at    place  // everything up to here was taken, passed over or told of as lost
	epoch uint64 // the newest known. If its generation is later than that of at, the owner must be asked.

	// Invariant: held is sorted by position, without duplicates, and of the newest generation heard of; where that is at's, all of it
	// is after at.
	held      []wire.Event
	heldBytes int
	known     uint64 // the last position of the newest generation up to which there may be events

	asking  bool
	from    place // what the request under way asks for
	asked   int64 // when the last request began
	again   int64 // the earliest time of another one, unless the last one has left something to ask for
	askAt   int64 // when to ask; never: there is no need
	must    bool  // ask even if all known events come by themselves
	blocked bool  // the sink had no room: nothing is taken until unblock
	heard   int64 // when the owner was last heard of

	// fresh is the tracker's freshness, a cluster time in milliseconds: what anybody was told before that moment is taken in. 0: nothing is
	// known. vouched is the newest moment that was heard of, and awaited the one that is to be the freshness next. They differ where moments are
	// heard of more often than events take on their way: the newest moment alone would always be ahead of what has come.
	fresh            int64
	vouched, awaited vouch
	// cluster returns the cluster time at a local time. nil: nobody relies on the freshness, and it may become old.
	cluster func(now int64) int64
	freshAt int64 // the freshness as a local time
	broken  int64 // since when something is missing or may be; 0: nothing is
	wholeAt int64 // when the last gap ended that did not close by itself
}

// vouch is a moment as of which somebody has vouched for a partition, and up to which position of the newest generation it needs all events.
type vouch struct {
	asOf int64
	pos  uint64
}

func newTracker(partition uint32, sink eventSink, values bool, spread func(time.Duration) time.Duration) *tracker {
	return &tracker{partition: partition, sink: sink, values: values, spread: spread, asked: math.MinInt64 / 2, again: math.MinInt64 / 2,
		askAt: never}
}

// start says where the listener begins. What was held until now and comes later is taken.
func (t *tracker) start(now int64, at place) {
	t.open, t.at, t.heard, t.freshAt = true, at, now, now
	switch {
	case at.generation < t.generation():
		// The listener resumes from an earlier generation. Only the owner knows what has become of its place.
		t.suspect(now, 0)
	case at.generation > t.generation():
		// The listener resumes from a generation that nothing was heard of yet. What is held is of an earlier one.
		t.renew(uint64(wire.StampOf(at.generation, 0)))
	}

	t.release(now)
	t.review(now)
}

// generation returns the newest generation that was heard of.
func (t *tracker) generation() uint64 { return wire.Stamp(t.epoch).Generation() }

// current reports whether the place is of the newest generation that was heard of. If it is not, only the owner knows what has become
// of the place.
func (t *tracker) current() bool { return t.open && t.at.generation == t.generation() }

// batch takes in a message with events.
func (t *tracker) batch(now int64, b *wire.EventBatch) {
	// A message of a deposed owner is taken within a generation: its events stand in the same log, at the same positions.
	if !t.hear(now, b.Epoch) && wire.Stamp(b.Epoch).Generation() != t.generation() {
		return // what has survived of it is in the newest generation's history too
	}

	for i := range b.Events {
		t.receive(now, &b.Events[i])
	}
	if n := len(b.Events); n > 0 {
		t.vouch(b.AsOf, b.Events[n-1].Pos)
	}
	t.review(now)
}

// watermark takes in where the owner says that the map stands. It vouches for the position as of a cluster time; 0 if it does not.
func (t *tracker) watermark(now int64, p *wire.Position, asOf int64) {
	// A deposed owner may not know the last events of its partition.
	if !t.open || !t.hear(now, p.Epoch) {
		t.review(now)
		return
	}

	t.vouch(asOf, p.Quiet)
	switch {
	case !t.current() || p.Pos <= t.at.pos:
		// There is nothing to learn: only the owner's answer helps, or the watermark is behind.
	case p.Quiet <= t.at.pos: // nothing has happened since
		t.at = placeAt(p)
		t.release(now)
	default:
		// Events are missing. They may still come by themselves, so the tracker waits before it asks.
		t.learn(p.Quiet)
		t.schedule(now, gapWait)
	}
	t.review(now)
}

// vouch notes that there were no events after a position of the newest generation of which anybody had been told at a cluster time.
func (t *tracker) vouch(asOf int64, pos uint64) {
	if asOf > t.vouched.asOf {
		t.vouched = vouch{asOf, pos}
	}
}

// suspect makes the tracker ask within delay, or as soon as it may ask again, whatever else it hears.
func (t *tracker) suspect(now int64, delay time.Duration) {
	t.must = true
	t.schedule(now, delay)
	t.review(now)
}

// unblock says that the sink has room again. What it had no room for is asked for.
func (t *tracker) unblock(now int64) {
	if t.blocked {
		t.blocked, t.must, t.askAt = false, true, now
	}
}

// next returns when the owner is to be asked; never while it is asked already or the sink has no room.
func (t *tracker) next() int64 {
	if !t.open || t.asking || t.blocked {
		return never
	}

	due := t.heard + int64(silence)
	if t.cluster != nil {
		due = min(due, t.freshAt+int64(staleAfter))
	}
	return min(t.askAt, max(due, t.again))
}

// ask returns the place after which the owner is to be asked for events. Until answered, there is no other request.
func (t *tracker) ask(now int64) place {
	t.asking, t.from, t.asked, t.again = true, t.at, now, now+int64(t.spread(askEvery))
	t.must, t.askAt = false, never
	t.review(now)
	return t.at
}

// answered takes in what the owner answered to the request under way. A nil res is a request without an answer.
func (t *tracker) answered(now int64, res *wire.EventsResult) {
	t.asking = false
	t.take(now, res)
	t.review(now)
}

// take takes in an answer.
func (t *tracker) take(now int64, res *wire.EventsResult) {
	// No answer, an answer without progress, or one from before a recovery: ask again a little later.
	if res == nil || res.More && len(res.Events) == 0 || wire.Stamp(res.Last.Epoch).Generation() < t.generation() {
		t.suspect(now, askEvery)
		return
	}

	if wire.Stamp(res.Last.Epoch).Generation() > t.generation() {
		t.renew(res.Last.Epoch) // the answer tells what has become of the place
	}
	t.hear(now, res.Last.Epoch)
	if t.blocked {
		return // unblock asks again
	}

	last := placeAt(&res.Last)
	if last.generation > t.at.generation && t.at != t.from {
		t.must, t.askAt = true, now // events that came meanwhile may be missing from the new generation's history
		return
	}

	// The list is without gaps, from the place on that was asked for: it says where events are lost.
	for i := range res.Events {
		if !t.follow(&res.Events[i]) {
			return
		}
	}

	switch {
	case res.More:
		t.must, t.askAt = true, now
	case last.generation > t.at.generation || last.pos > t.at.pos:
		t.at = last
		fallthrough
	default:
		t.vouch(res.AsOf, last.pos)
	}

	// What came by message meanwhile may fit right behind the answer.
	t.release(now)
}

// follow takes in the next event of an answer. It reports false if the sink has no room.
func (t *tracker) follow(e *wire.Event) bool {
	p := placeOf(e)

	// A LOST may stand at the very place that was asked for. It counts, unless messages have led beyond that place since.
	if p.pos <= t.at.pos && p.generation <= t.at.generation && (e.Kind != wire.EventLost || t.at != t.from) {
		return true // the event came meanwhile, in a message
	}

	if e.Kind == wire.EventLost {
		if !t.offer(e) {
			return false
		}
		t.at = p
		return true
	}
	return t.accept(e)
}

// hear notes that the partition's owner was heard of. It reports false for a member that is no longer the owner.
func (t *tracker) hear(now int64, epoch uint64) bool {
	if epoch < t.epoch {
		return false
	}
	// The partition was recovered. Its history may have lost events that were taken here.
	if wire.Stamp(epoch).Generation() > t.generation() {
		t.renew(epoch)
		if t.open && t.at.generation < t.generation() {
			t.suspect(now, 0)
		}
	}

	t.epoch, t.heard = epoch, now
	return true
}

// renew goes over to the generation of an epoch. What is known of the one before need not be true of this one.
func (t *tracker) renew(epoch uint64) {
	t.epoch = epoch
	t.held, t.heldBytes, t.known = nil, 0, 0
	t.fresh, t.vouched, t.awaited = 0, vouch{}, vouch{}
}

func (t *tracker) learn(pos uint64) { t.known = max(t.known, pos) }

// schedule makes the tracker ask after a delay, or later where it has asked within askEvery.
func (t *tracker) schedule(now int64, delay time.Duration) {
	t.askAt = min(t.askAt, max(now+int64(delay), t.again))
}

// review draws the conclusions from what has come: whether there is anything left to ask for, and how fresh the tracker is.
func (t *tracker) review(now int64) {
	whole := t.current() && !t.must && len(t.held) == 0 && t.known <= t.at.pos
	if whole {
		t.askAt = never
	}

	switch whole = whole && !t.asking && !t.blocked; {
	case whole:
		if t.brokenSince(now) != 0 {
			t.wholeAt = now
		}
		t.broken = 0
	case t.broken == 0:
		t.broken = now
	}

	if t.current() {
		t.freshen(now, t.awaited)
		t.freshen(now, t.vouched)
	}
	if t.awaited.asOf <= t.fresh {
		t.awaited = t.vouched
	}
}

// freshen makes a moment the freshness if all events have come that it needs.
func (t *tracker) freshen(now int64, v vouch) {
	if v.asOf <= t.fresh || v.pos > t.at.pos {
		return
	}
	t.fresh = v.asOf
	if t.cluster != nil {
		t.freshAt = now - (t.cluster(now)-v.asOf)*int64(time.Millisecond)
	}
}

// brokenSince returns since when something is missing or nothing is heard; 0 if nothing is missing, or what is may still come by itself.
func (t *tracker) brokenSince(now int64) int64 {
	switch {
	case t.broken != 0 && now-t.broken >= int64(gapWait):
		return t.broken
	case now-t.heard >= int64(quiet):
		return t.heard
	}
	return 0
}

// order compares an event of the newest generation with the place. Below zero the event is past. Zero means that it is the next
// event. Above zero there may be other events before it.
func (t *tracker) order(e *wire.Event) int {
	switch {
	case !t.current():
		// Positions of another generation say nothing about this one.
		return 1
	case e.Pos <= t.at.pos:
		// The channel repeats messages, and answers overlap with them.
		return -1
	case e.Since <= t.at.pos: // nothing happened to the map before it
		return 0
	}
	return 1
}

// receive takes in one event of a message.
func (t *tracker) receive(now int64, e *wire.Event) {
	switch order := t.order(e); {
	case order < 0:
	case t.blocked:
		// Only the position is kept, so that the tracker asks once there is room.
		t.learn(e.Pos)
	case order > 0:
		// There may be others before it, and events of one key must come in order.
		t.hold(now, e)
	case t.fetch(now, e):
	case t.accept(e):
		t.release(now)
	}
}

// fetch reports whether e came without values that are wanted; the owner is asked for them then.
func (t *tracker) fetch(now int64, e *wire.Event) bool {
	if e.Flags&wire.EventFetch == 0 || !t.values || !t.sink.wants(e) {
		return false
	}
	t.learn(e.Pos)
	t.askAt = now
	return true
}

// accept hands the next event on. It reports false if the sink has no room.
func (t *tracker) accept(e *wire.Event) bool {
	if t.sink.wants(e) && !t.offer(e) {
		return false
	}
	p := placeOf(e)
	p.generation = max(p.generation, t.at.generation)
	t.at = p
	return true
}

func (t *tracker) offer(e *wire.Event) bool {
	if t.sink.take(t.partition, e) {
		return true
	}

	// A full sink may stay full for long. The owner keeps the events, so holding copies here gains nothing.
	t.blocked = true
	t.held, t.heldBytes = nil, 0
	return false
}

// hold keeps an event until those before it have come.
func (t *tracker) hold(now int64, e *wire.Event) {
	t.learn(e.Pos)
	// Before the start nobody is asked, since nobody knows yet from which place on.
	if t.open {
		t.schedule(now, gapWait)
	}

	i, found := slices.BinarySearchFunc(t.held, e.Pos, func(h wire.Event, pos uint64) int { return cmp.Compare(h.Pos, pos) })
	size := eventSize(e)
	if found {
		return // the channel repeats messages
	}
	if len(t.held) == maxHeld || t.heldBytes+size > maxHeldBytes {
		return // known remembers that there is something to ask for
	}

	t.held = slices.Insert(t.held, i, *e)
	t.heldBytes += size
}

// release takes what is held as far as there is no gap.
func (t *tracker) release(now int64) {
	for len(t.held) > 0 {
		e := &t.held[0]
		order := t.order(e)
		if order > 0 || order == 0 && t.fetch(now, e) {
			break
		}

		size := eventSize(e)
		if order == 0 && !t.accept(e) {
			return
		}

		t.heldBytes -= size
		// The array behind the slice must not keep the key and values in memory.
		*e = wire.Event{}
		t.held = t.held[1:]
	}

	// A gap is left. It may close by itself, so the owner is asked only after a while.
	if len(t.held) == 0 {
		t.held = nil
	} else if t.open {
		t.schedule(now, gapWait)
	}
}

// eventSize is how many bytes an event is counted with.
func eventSize(e *wire.Event) int { return 128 + len(e.Key) + len(e.Old) + len(e.New) }
