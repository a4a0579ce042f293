package sdk

import (
	"math"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// gapGrace is how long an event that is missing may take to come by itself before the owner is asked for it.
	gapGrace = 50 * time.Millisecond
	// askEvery is how often the owner of a partition is asked at most, unless it said that there is more, or keeps values back.
	askEvery = time.Second
	// silence is how long nothing needs to be heard of a partition before its owner is asked.
	silence = 4 * time.Second
	// maxHeld and maxHeldBytes bound the events of one partition that wait for an earlier one.
	maxHeld      = 256
	maxHeldBytes = 1 << 20

	never = int64(math.MaxInt64)
)

// place is how far the events of a map have come in one partition: everything up to seq of instance. The zero place is that
// of a map that does not exist there.
type place struct{ instance, seq uint64 }

// before reports whether p is an earlier place than q.
func (p place) before(q place) bool {
	return p.instance < q.instance || p.instance == q.instance && p.seq < q.seq
}

func placeOf(e *wire.Event) place { return place{e.Instance, e.Seq} }

// eventSink takes the events of partitions, of each in order.
type eventSink interface {
	// wants reports whether e is to be taken; an event that is not is passed over.
	wants(e *wire.Event) bool
	// take takes e. It reports false if there is no room: then e was not taken, and room must be told of by unblock.
	take(partition uint32, e *wire.Event) bool
}

// tracker brings the events of one map in one partition into order, out of what a fast channel that loses, repeats and
// reorders messages brings and what the owner answers when asked. It hands each event to the sink once, or an event of kind
// EventLost in place of those that cannot be had any more.
//
// It is pure: time is given to it, in nanoseconds of any clock that does not go back, and it says when the owner is to be
// asked rather than asking. Its methods must not be called concurrently.
type tracker struct {
	partition uint32
	sink      eventSink
	values    bool                              // events that were sent without their values are asked for
	spread    func(time.Duration) time.Duration // makes a pause longer by chance

	open  bool   // at is known; until then events are held
	at    place  // everything up to here was taken, passed over or told of as lost
	pos   uint64 // position in the partition of the event at which at is; 0: not known
	ended uint64 // while at is zero: instances up to this one have ended
	epoch uint64 // the newest that was heard of

	// Invariant: held is sorted by place, without duplicates; once open, all of it is after at.
	held      []wire.Event
	heldBytes int
	known     place // the farthest that the owner is known to have come

	asking  bool
	from    place // what the request under way asks for
	waiting place // of the first event held when it began; zero if there was none
	asked   int64 // when the last request began
	askAt   int64 // when to ask; never: there is no need
	must    bool  // ask even if all that is known comes by itself
	blocked bool  // the sink had no room: nothing is taken until unblock
	heard   int64 // when the owner was last heard of
}

func newTracker(partition uint32, sink eventSink, values bool, spread func(time.Duration) time.Duration) *tracker {
	return &tracker{partition: partition, sink: sink, values: values, spread: spread, asked: math.MinInt64 / 2, askAt: never}
}

// start says where the listener begins. What was held until now and comes later is taken.
func (t *tracker) start(now int64, at place) {
	t.open, t.at, t.heard = true, at, now
	t.release(now)
	t.review()
}

// batch takes in a message with events.
func (t *tracker) batch(now int64, b *wire.EventBatch) {
	t.hear(now, b.Epoch)
	for i := range b.Events {
		t.receive(now, &b.Events[i])
	}
	t.review()
}

// beat takes in where the owner under epoch says that the map stands.
func (t *tracker) beat(now int64, epoch uint64, p place) {
	if !t.open || !t.hear(now, epoch) {
		return
	}
	switch {
	case p == t.at:
	case p.instance == 0: // destroyed, as it seems; or created since
		t.must = true
		t.schedule(now, gapGrace)
	case t.at.before(p) && !t.over(p.instance):
		t.learn(p)
		t.schedule(now, gapGrace)
	}
	t.review()
}

// suspect makes the tracker ask within delay, or as soon as it may ask again, whatever else it hears.
func (t *tracker) suspect(now int64, delay time.Duration) {
	t.must = true
	t.schedule(now, delay)
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
	return min(t.askAt, max(t.heard+int64(silence), t.asked+int64(askEvery)))
}

// ask returns the place after which the owner is to be asked for events. Until answered, there is no other request.
func (t *tracker) ask(now int64) place {
	t.asking, t.from, t.asked = true, t.at, now
	t.must, t.askAt = false, never
	t.waiting = place{}
	if len(t.held) > 0 {
		t.waiting = placeOf(&t.held[0])
	}
	return t.at
}

// answered takes in what the owner answered to the request under way. A nil res is a request without an answer.
func (t *tracker) answered(now int64, res *wire.EventsResult) {
	t.asking = false
	if res == nil || res.More && len(res.Events) == 0 {
		t.suspect(now, askEvery)
		return
	}
	t.hear(now, res.Last.Epoch)
	if t.blocked {
		return
	}
	if t.missed(res) {
		if !t.blocked {
			t.release(now)
			t.must, t.askAt = true, now // what came after those
		}
		return
	}
	// The events of an answer follow each other without gaps, and from without a gap unless Lost says otherwise. Where from is
	// that of no map, they begin with the instance that there is then, after others maybe.
	end := t.from
	follow := t.at == t.from || !res.Lost && (t.from.instance != 0 || len(res.Events) > 0 && !t.at.before(place{res.Events[0].Instance, 0}))
	if res.Lost && follow {
		if !t.skip(res) {
			return
		}
		end = t.at
	}
	if n := len(res.Events); n > 0 {
		end = placeOf(&res.Events[n-1])
	}
	for i := range res.Events {
		e := &res.Events[i]
		switch order := t.order(e); {
		case order < 0:
		case order == 0 || follow:
			if !t.accept(e) {
				return
			}
		default:
			t.hold(now, e)
		}
	}
	switch {
	case res.More:
		t.must, t.askAt = true, now
	case t.at != end || !follow: // events that came meanwhile tell more than the answer
	case res.Last.Instance == 0:
		t.end()
	default:
		t.learn(place{res.Last.Instance, res.Last.Seq})
		t.schedule(now, gapGrace) // review takes it back where all that is known has come
	}
	t.release(now)
	t.review()
}

// missed deals with events held of an instance that began and ended while the place was that of no map: the owner, asked
// from there, does not tell of such an instance. It goes to before them, with a sign that those between are lost, and reports
// whether it did or wanted to.
func (t *tracker) missed(res *wire.EventsResult) bool {
	if t.at.instance != 0 || t.from.instance != 0 || len(t.held) == 0 {
		return false
	}
	p := placeOf(&t.held[0])
	switch {
	case len(res.Events) > 0:
		if p.instance >= res.Events[0].Instance {
			return false
		}
	case res.Last.Instance != 0 || t.waiting.before(p): // it may have begun after the owner answered
		return false
	}
	p.seq--
	held, bytes := t.held, t.heldBytes
	if t.offer(&wire.Event{Kind: wire.EventLost, Instance: p.instance, Seq: p.seq}) {
		t.at, t.pos = p, 0
	} else {
		t.held, t.heldBytes = held, bytes // nobody else tells of it
	}
	return true
}

// skip tells the sink of events that are lost, and goes on where the answer does. It reports whether the sink had room.
func (t *tracker) skip(res *wire.EventsResult) bool {
	next := place{res.Last.Instance, res.Last.Seq}
	if len(res.Events) > 0 {
		next = placeOf(&res.Events[0])
		next.seq--
	}
	if !t.offer(&wire.Event{Kind: wire.EventLost, Instance: next.instance, Seq: next.seq}) {
		return false
	}
	if next.instance == 0 {
		t.end()
		return true
	}
	t.at, t.pos = next, 0
	return true
}

// end goes to the place of a map that does not exist.
func (t *tracker) end() {
	t.ended = max(t.ended, t.at.instance)
	t.at, t.pos = place{}, 0
}

// over reports whether an instance is known to have ended.
func (t *tracker) over(instance uint64) bool {
	if t.at.instance == 0 {
		return instance <= t.ended
	}
	return instance < t.at.instance
}

// hear notes that the partition's owner was heard of. It reports false for one that is owner no more.
func (t *tracker) hear(now int64, epoch uint64) bool {
	if epoch < t.epoch {
		return false
	}
	t.epoch, t.heard = epoch, now
	return true
}

func (t *tracker) learn(p place) {
	if t.known.before(p) {
		t.known = p
	}
}

// schedule makes the tracker ask after a delay, or later where it has asked within askEvery.
func (t *tracker) schedule(now int64, delay time.Duration) {
	t.askAt = min(t.askAt, max(now+int64(delay), t.asked+int64(t.spread(askEvery))))
}

// review takes back the intent to ask if what it was for has come.
func (t *tracker) review() {
	if t.open && !t.must && len(t.held) == 0 && (t.over(t.known.instance) || !t.at.before(t.known)) {
		t.askAt = never
	}
}

// order compares e with the place: below zero it is past, zero says that it is surely the next one, above zero that it is
// not or may not be. An event of another instance is the next if nothing happened between in the partition; where there was
// no map, if no other instance is known of.
func (t *tracker) order(e *wire.Event) int {
	switch {
	case t.over(e.Instance):
		return -1
	case t.at.instance == e.Instance:
		switch {
		case e.Seq <= t.at.seq:
			return -1
		case e.Seq == t.at.seq+1:
			return 0
		}
	case e.Seq != 1:
	case t.at.instance == 0:
		if len(t.held) == 0 || t.held[0].Instance >= e.Instance {
			return 0
		}
	case t.pos != 0 && e.Pos == t.pos+1:
		return 0
	}
	return 1
}

// receive takes in one event of a message.
func (t *tracker) receive(now int64, e *wire.Event) {
	if !t.open {
		t.hold(now, e)
		return
	}
	switch order := t.order(e); {
	case order < 0:
	case t.blocked:
		t.learn(placeOf(e))
	case order > 0:
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
	t.learn(placeOf(e))
	t.askAt = now
	return true
}

// accept hands the next event on. It reports false if the sink has no room.
func (t *tracker) accept(e *wire.Event) bool {
	if t.sink.wants(e) && !t.offer(e) {
		return false
	}
	t.at, t.pos = placeOf(e), e.Pos
	return true
}

func (t *tracker) offer(e *wire.Event) bool {
	if t.sink.take(t.partition, e) {
		return true
	}
	t.blocked = true
	t.held, t.heldBytes = nil, 0
	return false
}

// hold keeps an event until those before it have come.
func (t *tracker) hold(now int64, e *wire.Event) {
	t.learn(placeOf(e))
	if t.open {
		t.schedule(now, gapGrace)
	}
	i, found := slices.BinarySearchFunc(t.held, placeOf(e), func(h wire.Event, p place) int {
		switch {
		case placeOf(&h).before(p):
			return -1
		case h.Instance == p.instance && h.Seq == p.seq:
			return 0
		}
		return 1
	})
	size := eventSize(e)
	if found {
		return
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
		*e = wire.Event{}
		t.held = t.held[1:]
	}
	if len(t.held) == 0 {
		t.held = nil
	} else if t.open {
		t.schedule(now, gapGrace)
	}
}

// eventSize is how many bytes an event is counted with.
func eventSize(e *wire.Event) int { return 128 + len(e.Key) + len(e.Old) + len(e.New) }
