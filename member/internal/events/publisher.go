package events

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	mapsvc "github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// maxEventValues is how large an event may be to be sent over NATS with its values; a larger one is fetched by those who
	// want it.
	maxEventValues = 256 << 10
	// maxMessage bounds one message of events, unless it holds one event only.
	maxMessage = 512 << 10
	// publishPause is the least time from one look at what was applied to the next. What comes meanwhile goes out together: each
	// look costs system calls on every member and client that it reaches.
	publishPause = 2 * time.Millisecond
)

// Publisher sends the events of the partitions owned here over NATS, for the maps that somebody listens to. The log is the
// truth: what NATS loses, the subscriber sees missing and asks for. It owns one goroutine.
type Publisher struct {
	self       wire.ID
	bus        *bus
	now        func() int64 // cluster time in milliseconds
	partitions Partitions   // set by Events.Publish
	log        *slog.Logger
	dropped    *mapsvc.DroppedEvents

	listeners atomic.Int64 // all maps together: with none, nothing is done

	interests struct {
		sync.RWMutex
		listeners map[string]int // by map
	}

	mu     sync.Mutex // guards the following
	dirty  []bool
	list   []int
	looked []*survey // that have ended, and whose watermarks are not sent yet

	// The following belong to the goroutine.
	epochs []uint64    // under which positions were read
	pos    []uint64    // published up to
	again  []time.Time // when a partition is looked at again that must not be told of yet
	found  found
	look   func(*state.State) // takes found; made once, for it is needed with every look
	round  watermarkRound
	spare  []int // memory for list

	wake chan struct{} // one slot
}

// found is what a look at a partition's state has found.
type found struct {
	part         int
	epoch        uint64 // under which it was looked at
	after, first uint64 // the position before the events, and that of the first event of the ring
	events       []state.MapEvent
}

// Partitions are the partitions of this process, of which the publisher reads those that are owned here.
type Partitions interface {
	// Serving returns the epoch under which this process owns a partition now, or 0.
	Serving(partition int) uint64
	// AnswersIn returns for how long this process must not tell anybody what stands in a partition that it owns.
	AnswersIn(partition int) time.Duration
	// Inspect runs f on the state of a partition under its read lock. f must not block.
	Inspect(partition int, f func(*state.State)) bool
	// Vouch has f run on the state of a partition that this process owns, once it is shown that the state holds whatever anybody had been
	// told by asOf. See mapsvc.Service.
	Vouch(partition int, majority bool, f func(st *state.State, epoch uint64, asOf int64), done func(vouched bool))
	// Majority reports whether a map's reads insist on asking a majority.
	Majority(name string) bool
	// SetPublished tells up to which position the events of a partition were published by this process.
	SetPublished(partition int, pos uint64)
	// Published counts events of a map that were sent.
	Published(name string, events int)
}

var _ Partitions = (*mapsvc.Service)(nil)

// newPublisher returns a publisher of a cluster with so many partitions. It takes interest from Events.Publish on.
func newPublisher(self wire.ID, partitions int, bus *bus, now func() int64, log *slog.Logger) *Publisher {
	p := &Publisher{self: self, bus: bus, now: now, log: log, dirty: make([]bool, partitions), epochs: make([]uint64, partitions),
		pos: make([]uint64, partitions), again: make([]time.Time, partitions), wake: make(chan struct{}, 1)}
	p.interests.listeners = make(map[string]int)
	p.look = p.take
	p.dropped = mapsvc.NewDroppedEvents(p.wanted)
	return p
}

// Dropped keeps the events that rings have lost, for listeners, for a little while.
func (p *Publisher) Dropped() *mapsvc.DroppedEvents { return p.dropped }

// Applied is called by Raft's workers when operations of a partition were applied here.
func (p *Publisher) Applied(partition int) {
	// Nobody listens: writes must not pay for events.
	if p.listeners.Load() == 0 {
		return
	}

	p.mu.Lock()
	// A partition stands in the list once, however many entries are applied before the goroutine looks.
	if !p.dirty[partition] {
		p.dirty[partition] = true
		p.list = append(p.list, partition)
	}
	p.mu.Unlock()
	p.notify()
}

// notify wakes the publisher's goroutine. It never blocks.
func (p *Publisher) notify() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Interest adds a listener of a map and returns where its events stand in the partitions owned here. Events after these
// positions are published.
func (p *Publisher) Interest(name string) []wire.Position {
	p.interests.Lock()
	p.interests.listeners[name]++
	p.interests.Unlock()

	// Positions are read after the interest is known: what is applied in between is published, and no event falls into a gap.
	p.listeners.Add(1)
	return p.positions(name)
}

// Uninterest removes a listener of a map.
func (p *Publisher) Uninterest(name string) {
	p.interests.Lock()
	if p.interests.listeners[name]--; p.interests.listeners[name] <= 0 {
		delete(p.interests.listeners, name)
	}
	p.interests.Unlock()
	p.listeners.Add(-1)
}

// wanted reports whether somebody listens to a map.
func (p *Publisher) wanted(name string) bool {
	if p.listeners.Load() == 0 {
		return false
	}
	p.interests.RLock()
	defer p.interests.RUnlock()
	return p.interests.listeners[name] > 0
}

// Listeners returns how many subscriptions of clients there are of a map.
func (p *Publisher) Listeners(name string) int {
	p.interests.RLock()
	defer p.interests.RUnlock()
	return p.interests.listeners[name]
}

func (p *Publisher) positions(name string) []wire.Position {
	var out []wire.Position
	for i := range len(p.dirty) {
		epoch := p.partitions.Serving(i)
		// Its owner says so. One that may not answer yet says nothing either: who hears the place reads what was written before it.
		if epoch == 0 || p.partitions.AnswersIn(i) > 0 {
			continue
		}

		var pos wire.Position
		p.partitions.Inspect(i, func(st *state.State) { pos = st.Standing([]byte(name)) })
		if p.partitions.Serving(i) != epoch {
			continue // the place may be of a later owner
		}
		pos.Partition, pos.Epoch = uint32(i), epoch
		out = append(out, pos)
	}
	return out
}

// run publishes until ctx ends. Events go before watermarks.
func (p *Publisher) run(ctx context.Context) {
	next := time.NewTimer(watermarkEvery)
	defer next.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	wake := p.wake // nil during a pause
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			p.publishDirty()
			p.sendWatermarks()
			pause.Reset(publishPause)
			wake = nil
		case <-pause.C:
			wake = p.wake
		case <-next.C:
			// The watermarks of many maps are spread over the second, so the wait differs each time.
			next.Reset(p.survey(time.Now()))
		}
	}
}

// publishDirty publishes what has come of the partitions in which something was applied.
func (p *Publisher) publishDirty() {
	p.mu.Lock()
	list := p.list
	p.list, p.spare = p.spare[:0], list // the one before was gone through
	for _, i := range list {
		p.dirty[i] = false
	}
	p.mu.Unlock()

	// Publishing reads partitions and writes to NATS, so Raft's workers must not wait for it at p.mu.
	for _, i := range list {
		p.publish(i)
	}
}

// publish sends what a partition has not sent yet. A new owner begins where the log says that the one before had got to.
func (p *Publisher) publish(part int) {
	epoch := p.partitions.Serving(part)
	if epoch == 0 {
		return // the next owner goes on where the log says that this one had got to
	}
	// Whoever hears of a write must not read what was before it. An owner before this one may still read that under its lease.
	if wait := p.partitions.AnswersIn(part); wait > 0 {
		p.later(part, wait)
		return
	}

	// Before the look: a state's clock that runs ahead of this process's must not vouch for what is still to come.
	now := p.now()
	p.found = found{part: part, epoch: epoch}
	p.partitions.Inspect(part, p.look)
	if p.partitions.Serving(part) != epoch {
		return // what was found may be of a later owner, which must wait in turn
	}

	// What the ring has lost and nobody has kept is a gap to the subscriber, who asks.
	events := p.dropped.Complete(part, p.found.after, p.found.first, p.found.events)
	p.found.events = nil // nothing is kept until the next look

	// Each map has its own subject, so neighbours of one map go out in one message.
	for len(events) > 0 {
		name := events[0].Map
		n := 1
		for n < len(events) && events[n].Map == name {
			n++
		}
		p.send(part, epoch, name, now, events[:n])
		events = events[n:]
	}

	// The position goes into the log with later entries: the next owner begins behind it.
	p.partitions.SetPublished(part, p.pos[part])
}

// take takes the events of a partition that are to be published next.
func (p *Publisher) take(st *state.State) {
	f := &p.found
	if p.epochs[f.part] != f.epoch {
		p.epochs[f.part], p.pos[f.part] = f.epoch, st.Published()
	}
	// Who begins to listen while this view holds back all writes has a position that covers what is passed over here.
	f.after, f.first = p.pos[f.part], st.FirstPos()
	f.events, _ = st.EventsFrom(f.after, p.wanted)
	p.pos[f.part] = st.LastPos()
}

// later has a partition looked at again after a while, unless it is about to be.
func (p *Publisher) later(part int, wait time.Duration) {
	now := time.Now()
	if p.again[part].After(now) {
		return
	}
	p.again[part] = now.Add(wait)
	time.AfterFunc(wait, func() { p.Applied(part) })
}

// send sends events of one map. A message vouches for the time of its last event: what anybody was told of before that stands in the log
// before the event. It does not need a lease for that, nor to be of the present owner.
func (p *Publisher) send(part int, epoch uint64, name string, now int64, events []state.MapEvent) {
	batch := wire.EventBatch{Partition: uint32(part), Epoch: epoch}
	size := 0

	flush := func() {
		if n := len(batch.Events); n > 0 {
			batch.AsOf = min(batch.Events[n-1].Time, now)
			if err := p.bus.publish(wire.EventSubject(name), wire.AppendEventBatch(nil, &batch)); err != nil {
				p.log.Debug("events were not published", "map", name, "partition", part, "err", err)
			}
			p.partitions.Published(name, n)
			batch.Events, size = batch.Events[:0], 0
		}
	}

	for i := range events {
		e := events[i].Event
		// One large value must not hold the other subscribers' messages back. Who wants it fetches it.
		if len(e.Old)+len(e.New) > maxEventValues {
			e.Old, e.New, e.Flags = nil, nil, e.Flags|wire.EventFetch
		}

		n := len(e.Key) + len(e.Old) + len(e.New) + 64
		// A message of many events must stay below what the server takes at once.
		if size+n > maxMessage {
			flush()
		}
		batch.Events = append(batch.Events, e)
		size += n
	}
	flush()
}
