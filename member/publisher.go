package member

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	mapsvc "github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// watermarkEvery is how often the members say where the events of a map stand that somebody listens to.
	watermarkEvery = time.Second
	// maxEventValues is how large an event may be to be sent over NATS with its values; a larger one is fetched by those who
	// want it.
	maxEventValues = 256 << 10
	// maxMessage bounds one message of events, unless it holds one event only.
	maxMessage = 512 << 10
	// watermarkPause is the least time between two looks at which watermarks are due.
	watermarkPause = 5 * time.Millisecond
)

// publisher sends the events of the partitions owned here over NATS, for the maps that somebody listens to. The log is the
// truth: what NATS loses, the subscriber sees missing and asks for. It owns one goroutine.
type publisher struct {
	m       *Member
	conn    *nats.Conn
	dropped *mapsvc.DroppedEvents

	listeners atomic.Int64 // all maps together: with none, nothing is done

	interests struct {
		sync.RWMutex
		listeners map[string]int // by map
	}

	mu    sync.Mutex // guards the following
	dirty []bool
	list  []int

	// The following belong to the goroutine.
	epochs []uint64 // under which positions were read
	pos    []uint64 // published up to
	round  watermarkRound

	wake chan struct{} // one slot
}

// watermarkRound is one second of watermarks: one map after the other, spread over it.
type watermarkRound struct {
	began time.Time
	names []string
	done  int // of them
}

// newPublisher returns a publisher for a member whose partitions there are so many. It is ready for interest; run needs conn.
func newPublisher(m *Member, partitions int, conn *nats.Conn) *publisher {
	p := &publisher{m: m, conn: conn, dirty: make([]bool, partitions), epochs: make([]uint64, partitions),
		pos: make([]uint64, partitions), wake: make(chan struct{}, 1)}
	p.interests.listeners = make(map[string]int)
	p.dropped = mapsvc.NewDroppedEvents(p.wanted)
	return p
}

// applied is called by Raft's workers when operations of a partition were applied here.
func (p *publisher) applied(partition int) {
	if p.listeners.Load() == 0 {
		return
	}
	p.mu.Lock()
	if !p.dirty[partition] {
		p.dirty[partition] = true
		p.list = append(p.list, partition)
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Interest adds a listener of a map and returns where its events stand in the partitions owned here. Events after these
// positions are published.
func (p *publisher) Interest(name string) []wire.Position {
	p.interests.Lock()
	p.interests.listeners[name]++
	p.interests.Unlock()
	p.listeners.Add(1)
	return p.positions(name)
}

func (p *publisher) Uninterest(name string) {
	p.interests.Lock()
	if p.interests.listeners[name]--; p.interests.listeners[name] <= 0 {
		delete(p.interests.listeners, name)
	}
	p.interests.Unlock()
	p.listeners.Add(-1)
}

// wanted reports whether somebody listens to a map.
func (p *publisher) wanted(name string) bool {
	if p.listeners.Load() == 0 {
		return false
	}
	p.interests.RLock()
	defer p.interests.RUnlock()
	return p.interests.listeners[name] > 0
}

func (p *publisher) positions(name string) []wire.Position {
	var out []wire.Position
	for i := range p.m.partitions() {
		epoch := p.m.host.Serving(i)
		if epoch == 0 {
			continue
		}
		var pos wire.Position
		p.m.host.Inspect(i, func(m partition.Machine) { pos = mapsvc.StateOf(m).Standing([]byte(name)) })
		pos.Partition, pos.Epoch = uint32(i), epoch
		out = append(out, pos)
	}
	return out
}

// run publishes until the member stops. Events go before watermarks, of which it sends one map's at a time.
func (p *publisher) run() {
	defer p.m.wg.Done()
	next := time.NewTimer(watermarkEvery)
	defer next.Stop()
	for {
		select {
		case <-p.m.ctx.Done():
			return
		case <-p.wake:
			p.publishDirty()
		case <-next.C:
			next.Reset(p.watermark(time.Now()))
		}
	}
}

// publishDirty publishes what has come of the partitions in which something was applied.
func (p *publisher) publishDirty() {
	p.mu.Lock()
	list := p.list
	p.list = nil
	for _, i := range list {
		p.dirty[i] = false
	}
	p.mu.Unlock()
	for _, i := range list {
		p.publish(i)
	}
}

// publish sends what a partition has not sent yet. A new owner begins where the log says that the one before had got to.
func (p *publisher) publish(part int) {
	epoch := p.m.host.Serving(part)
	if epoch == 0 {
		return
	}
	var events []state.MapEvent
	var after, first uint64
	p.m.host.Inspect(part, func(m partition.Machine) {
		st := mapsvc.StateOf(m)
		if p.epochs[part] != epoch {
			p.epochs[part], p.pos[part] = epoch, st.Published()
		}
		// Who begins to listen while this view holds back all writes has a position that covers what is passed over here.
		after, first = p.pos[part], st.FirstPos()
		events, _ = st.EventsFrom(after, p.wanted)
		p.pos[part] = st.LastPos()
	})
	// What the ring has lost and nobody has kept is a gap to the subscriber, who asks.
	events = p.dropped.Complete(part, after, first, events)
	for len(events) > 0 {
		name := events[0].Map
		n := 1
		for n < len(events) && events[n].Map == name {
			n++
		}
		p.send(part, epoch, name, events[:n])
		events = events[n:]
	}
	p.m.host.SetPublished(part, p.pos[part])
}

func (p *publisher) send(part int, epoch uint64, name string, events []state.MapEvent) {
	batch := wire.EventBatch{Partition: uint32(part), Epoch: epoch}
	size := 0
	flush := func() {
		if len(batch.Events) > 0 {
			if err := p.conn.Publish(wire.EventSubject(name), wire.AppendEventBatch(nil, &batch)); err != nil {
				p.m.log.Debug("events were not published", "map", name, "partition", part, "err", err)
			}
			batch.Events, size = batch.Events[:0], 0
		}
	}
	for i := range events {
		e := events[i].Event
		if len(e.Old)+len(e.New) > maxEventValues {
			e.Old, e.New, e.Flags = nil, nil, e.Flags|wire.EventFetch
		}
		n := len(e.Key) + len(e.Old) + len(e.New) + 64
		if size+n > maxMessage {
			flush()
		}
		batch.Events = append(batch.Events, e)
		size += n
	}
	flush()
}

// watermark says where the next maps stand that somebody listens to, as many as are due, and returns when to go on.
func (p *publisher) watermark(now time.Time) time.Duration {
	for {
		name, wait := p.round.next(now, p.listened)
		if name == "" {
			p.dropped.Expire()
			return wait
		}
		p.sendWatermark(name)
		if len(p.wake) > 0 { // events go first
			return 0
		}
	}
}

// next returns the next map of which to tell, if one is due, else how long to wait. All that listened returns at the beginning of a
// round are told of in its second, evenly, so that no event waits for more than one of them.
func (r *watermarkRound) next(now time.Time, listened func() []string) (name string, wait time.Duration) {
	if r.done == len(r.names) && now.Sub(r.began) >= watermarkEvery {
		*r = watermarkRound{began: now, names: listened()}
	}
	due := watermarkEvery
	if r.done < len(r.names) {
		due = watermarkEvery * time.Duration(r.done) / time.Duration(len(r.names))
	}
	if wait := due - now.Sub(r.began); r.done == len(r.names) || wait > 0 {
		return "", max(wait, watermarkPause)
	}
	r.done++
	return r.names[r.done-1], 0
}

// listened returns the maps that somebody listens to.
func (p *publisher) listened() []string {
	p.interests.RLock()
	defer p.interests.RUnlock()
	return slices.Collect(maps.Keys(p.interests.listeners))
}

func (p *publisher) sendWatermark(name string) {
	b := wire.Watermark{Member: p.m.id, Positions: p.positions(name)}
	if err := p.conn.Publish(wire.WatermarkSubject(name), wire.AppendWatermark(nil, &b)); err != nil {
		p.m.log.Debug("a watermark was not published", "map", name, "err", err)
	}
}
