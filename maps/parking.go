package maps

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// answerTime is what the answer to a call that waited gets to reach its caller before that one stops waiting.
const answerTime = 100 * time.Millisecond

// parking holds the calls that wait for locks of partitions owned here. Who is next is decided in the log, where the waiters
// stand: the parking only tells, and may forget a call at any time, which then is made again and finds its place. It owns one
// goroutine, which looks at a partition after operations were applied, or its owner changed, while calls are parked there.
type parking struct {
	host  owned
	now   func() int64   // cluster time in milliseconds
	count []atomic.Int32 // by partition: how many calls are parked, for those who have nothing to tell
	wake  chan struct{}  // one slot
	stop  chan struct{}  // closed by close
	done  chan struct{}  // closed when the goroutine has ended; nil before it is started

	mu     sync.Mutex // guards the following
	lots   []map[lockKey]map[wire.ID]*parked
	dirty  map[int]struct{}
	closed bool
}

// owned is what the parking wants to know of the partitions: partition.Host, but in tests.
type owned interface {
	Serving(partition int) uint64
	View(partition int, f func(m partition.Machine)) bool
}

// lockKey names a lock in its partition.
type lockKey struct{ name, key string }

// parked is a call that waits for a lock.
type parked struct {
	c     *call
	key   lockKey
	id    wire.ID
	timer *time.Timer // answers the call before its time is up
}

func newParking(host owned, now func() int64, partitions int) *parking {
	return &parking{host: host, now: now, count: make([]atomic.Int32, partitions), wake: make(chan struct{}, 1), stop: make(chan struct{}),
		lots: make([]map[lockKey]map[wire.ID]*parked, partitions), dirty: make(map[int]struct{})}
}

// start starts the goroutine.
func (p *parking) start() {
	p.done = make(chan struct{})
	go p.run() // ends with close
}

// close ends the goroutine; calls that are parked, now or later, are told to ask again. It may be called twice, and before start.
func (p *parking) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
	var all []*parked
	for i := range p.lots {
		all = p.clearLocked(i, all)
	}
	p.mu.Unlock()
	for _, w := range all {
		w.c.Complete(partition.NotProposed, entry.Result{})
	}
	if p.done != nil {
		<-p.done
	}
}

// touched is called when operations of a partition were applied here, or its owner is another. It does not block.
func (p *parking) touched(part int) {
	if p.count[part].Load() == 0 {
		return
	}
	p.mu.Lock()
	p.dirty[part] = struct{}{}
	p.mu.Unlock()
	p.wakeUp()
}

func (p *parking) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// park keeps a call whose place in the queue of a lock is in the log until it has the lock, no longer has the place, or its
// time is up. Whether it has the lock already is looked at before anything else, for the call may be a copy.
func (p *parking) park(c *call) {
	b, _ := wire.DecodeLockBody(c.body) // was checked when it arrived
	w := &parked{c: c, key: lockKey{string(b.Map), string(b.Key)}, id: b.ID}
	left := time.Duration(c.deadline-p.now()) * time.Millisecond
	left = max(left-answerTime, left/2)
	part := int(c.partition)
	p.mu.Lock()
	if p.closed || left <= 0 {
		p.mu.Unlock()
		w.answer(wire.LockResult{Flags: wire.LockQueued})
		return
	}
	before := p.lots[part][w.key][w.id] // an earlier copy, on a connection that its client has given up
	if before != nil {
		p.removeLocked(part, before)
	}
	if p.lots[part] == nil {
		p.lots[part] = make(map[lockKey]map[wire.ID]*parked)
	}
	lot := p.lots[part]
	if lot[w.key] == nil {
		lot[w.key] = make(map[wire.ID]*parked)
	}
	lot[w.key][w.id] = w
	p.count[part].Add(1)
	w.timer = time.AfterFunc(left, func() { p.giveUp(part, w) })
	p.dirty[part] = struct{}{}
	p.mu.Unlock()
	p.wakeUp()
	if before != nil {
		before.answer(wire.LockResult{Flags: wire.LockQueued})
	}
}

// giveUp answers a call whose time is nearly up: it still waits.
func (p *parking) giveUp(part int, w *parked) {
	p.mu.Lock()
	mine := p.removeLocked(part, w)
	p.mu.Unlock()
	if mine {
		w.answer(wire.LockResult{Flags: wire.LockQueued})
	}
}

// removeLocked takes a call out and reports whether it was there: then the caller answers it. REQUIRES p.mu.
func (p *parking) removeLocked(part int, w *parked) bool {
	lot := p.lots[part]
	if lot[w.key][w.id] != w {
		return false
	}
	w.timer.Stop()
	p.count[part].Add(-1)
	if delete(lot[w.key], w.id); len(lot[w.key]) == 0 {
		if delete(lot, w.key); len(lot) == 0 {
			p.lots[part] = nil
		}
	}
	return true
}

// clearLocked takes out all calls of a partition and appends them to out. REQUIRES p.mu.
func (p *parking) clearLocked(part int, out []*parked) []*parked {
	for _, calls := range p.lots[part] {
		for _, w := range calls {
			p.removeLocked(part, w)
			out = append(out, w)
		}
	}
	return out
}

// run looks at the partitions where something has happened, until the parking is closed.
func (p *parking) run() {
	defer close(p.done)
	for {
		select {
		case <-p.stop:
			return
		case <-p.wake:
		}
		p.mu.Lock()
		dirty := p.dirty
		p.dirty = make(map[int]struct{})
		p.mu.Unlock()
		for part := range dirty {
			p.look(part)
		}
	}
}

// told is what a parked call is answered.
type told struct {
	w *parked
	r wire.LockResult
}

// look answers the calls of a partition that have their lock, or no longer their place.
func (p *parking) look(part int) {
	if p.host.Serving(part) == 0 {
		p.mu.Lock()
		all := p.clearLocked(part, nil)
		p.mu.Unlock()
		for _, w := range all {
			w.c.Complete(partition.Moved, entry.Result{})
		}
		return
	}
	p.mu.Lock()
	keys := make(map[lockKey][]*parked, len(p.lots[part]))
	for key, calls := range p.lots[part] {
		list := make([]*parked, 0, len(calls))
		for _, w := range calls {
			list = append(list, w)
		}
		keys[key] = list
	}
	p.mu.Unlock()
	var news []told
	p.host.View(part, func(m partition.Machine) {
		st := StateOf(m)
		for key, calls := range keys {
			v := st.Lock([]byte(key.name), []byte(key.key))
			// Those who are not told now all have a place, unless there are fewer places: then each is looked up.
			all := len(calls) <= v.Waiting
			for _, w := range calls {
				switch {
				case v.Holder == w.id:
					news = append(news, told{w, wire.LockResult{Flags: wire.LockHeld, Fence: v.Fence, Ends: v.Ends, Waiting: uint64(v.Waiting)}})
				case !all && !st.WaitsForLock([]byte(key.name), []byte(key.key), w.id):
					news = append(news, told{w, wire.LockResult{}})
				}
			}
		}
	})
	p.mu.Lock()
	mine := news[:0]
	for _, n := range news {
		if p.removeLocked(part, n.w) {
			mine = append(mine, n)
		}
	}
	p.mu.Unlock()
	for _, n := range mine {
		n.w.answer(n.r)
	}
}

func (w *parked) answer(r wire.LockResult) {
	w.c.caller.Answer(w.c.id, wire.CodeOK, wire.AppendLockResult(nil, &r))
	w.c.free()
}
