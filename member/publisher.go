package member

import (
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
	// beatEvery is how often the members say where the events of a map stand that somebody listens to.
	beatEvery = time.Second
	// maxEventValues is how large an event may be to be sent over NATS with its values; a larger one is fetched by those who
	// want it.
	maxEventValues = 256 << 10
	// maxMessage bounds one message of events, unless it holds one event only.
	maxMessage = 512 << 10
)

// publisher sends the events of the partitions owned here over NATS, for the maps that somebody listens to. The log is the
// truth: what NATS loses, the subscriber sees missing and asks for. It owns one goroutine.
type publisher struct {
	m    *Member
	conn *nats.Conn

	listeners atomic.Int64 // all maps together: with none, nothing is done

	mu        sync.Mutex // guards the following
	interests map[string]int
	dirty     []bool
	list      []int

	// The following belong to the goroutine.
	epochs []uint64 // under which positions were read
	pos    []uint64 // published up to

	wake chan struct{} // one slot
}

func newPublisher(m *Member, partitions int, conn *nats.Conn) *publisher {
	return &publisher{m: m, conn: conn, interests: make(map[string]int), dirty: make([]bool, partitions),
		epochs: make([]uint64, partitions), pos: make([]uint64, partitions), wake: make(chan struct{}, 1)}
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

// interest adds a listener of a map and returns where its events stand in the partitions owned here. Events after these
// positions are published.
func (p *publisher) interest(name string) []wire.Position {
	p.mu.Lock()
	p.interests[name]++
	p.mu.Unlock()
	p.listeners.Add(1)
	return p.positions(name)
}

func (p *publisher) uninterest(name string) {
	p.mu.Lock()
	if p.interests[name]--; p.interests[name] <= 0 {
		delete(p.interests, name)
	}
	p.mu.Unlock()
	p.listeners.Add(-1)
}

func (p *publisher) positions(name string) []wire.Position {
	var out []wire.Position
	for i := range p.m.partitions() {
		epoch := p.m.host.Serving(i)
		if epoch == 0 {
			continue
		}
		pos := wire.Position{Partition: uint32(i), Epoch: epoch}
		p.m.host.View(i, func(m partition.Machine) {
			pos.Instance, pos.Seq = mapsvc.StateOf(m).Position([]byte(name))
		})
		out = append(out, pos)
	}
	return out
}

// run publishes until the member stops.
func (p *publisher) run() {
	defer p.m.wg.Done()
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.m.ctx.Done():
			return
		case <-tick.C:
			p.beat()
		case <-p.wake:
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
	}
}

// publish sends what a partition has not sent yet. A new owner begins where the log says that the one before had got to.
func (p *publisher) publish(part int) {
	epoch := p.m.host.Serving(part)
	if epoch == 0 {
		return
	}
	var events []state.MapEvent
	p.m.host.View(part, func(m partition.Machine) {
		st := mapsvc.StateOf(m)
		if p.epochs[part] != epoch {
			p.epochs[part], p.pos[part] = epoch, st.Published()
		}
		events, _ = st.EventsFrom(p.pos[part]) // what is gone from the ring is a gap to the subscriber, who asks
		p.pos[part] = st.LastPos()
	})
	for len(events) > 0 {
		name := events[0].Map
		n := 1
		for n < len(events) && events[n].Map == name {
			n++
		}
		if p.wanted(name) {
			p.send(part, epoch, name, events[:n])
		}
		events = events[n:]
	}
	p.m.host.SetPublished(part, p.pos[part])
}

// wanted reports whether somebody listens to a map. It is asked after the events were read: whoever registers later has a
// position that covers them.
func (p *publisher) wanted(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.interests[name] > 0
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

// beat says where the maps stand that somebody listens to.
func (p *publisher) beat() {
	if p.listeners.Load() == 0 {
		return
	}
	p.mu.Lock()
	names := make([]string, 0, len(p.interests))
	for n := range p.interests {
		names = append(names, n)
	}
	p.mu.Unlock()
	for _, n := range names {
		b := wire.Beat{Member: p.m.id, Positions: p.positions(n)}
		if err := p.conn.Publish(wire.BeatSubject(n), wire.AppendBeat(nil, &b)); err != nil {
			p.m.log.Debug("a beat was not published", "map", n, "err", err)
		}
	}
}
