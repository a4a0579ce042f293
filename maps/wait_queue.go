package maps

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// answerTime is what the answer to a call that waited gets to reach its caller before that one stops waiting.
	answerTime = 100 * time.Millisecond
	// orphanTime is how long a caller whose connection has ended may take to ask again on another before its lock, or its place in
	// the wait queue of a lock, is given up for it.
	orphanTime = time.Second
)

// waitQueue holds the calls that wait for locks of partitions owned here: for their turn, or, once they have renewed a lease, for
// the loss of the lock. Who is next is decided in the log, where the waiters stand: the wait queue only tells, and may forget a call
// at any time, which then is made again and finds its place. It owns one goroutine, which looks at a partition after operations
// were applied, or its owner changed, while calls are parked there.
type waitQueue struct {
	host  owned
	now   func() int64   // cluster time in milliseconds
	count []atomic.Int32 // by partition: how many calls are parked, for those who have nothing to tell
	total atomic.Int32   // all of them
	wake  chan struct{}  // one slot
	stop  chan struct{}  // closed by close
	done  chan struct{}  // closed when the goroutine has ended; nil before it is started

	mu      sync.Mutex // guards the following
	parked  []map[lockKey]map[wire.ID]*parked
	grants  map[claim]*grant  // answers that say that a caller has its lock, until they have left
	orphans map[claim]*orphan // what callers have whose connections have ended
	dirty   map[int]bool      // partitions to look at; true: also if no lock has moved there
	closed  bool

	seen map[int]moves // by partition: what was looked at last. It belongs to the goroutine
}

// owned is what the wait queue wants to know of the partitions: partition.Host, but in tests.
type owned interface {
	Serving(partition int) uint64
	Inspect(partition int, f func(m partition.Machine)) bool
	Submit(partition int, op *entry.Op, c partition.Completion)
	Flush(partition int)
}

// moves is how often locks had moved in a state when it was looked at.
type moves struct {
	st weak.Pointer[state.State]
	n  uint64
}

// lockKey names a lock in its partition, or the task to load the value of a key.
type lockKey struct {
	name, key string
	load      bool
}

// claim is a lock, or a place in its wait queue, that a caller has under an ID.
type claim struct {
	part int
	key  lockKey
	id   wire.ID
}

// claimOf returns what a call is about. b is its body.
func claimOf(c *call, b *wire.LockBody) claim {
	return claim{int(c.partition), lockKey{string(b.Map), string(b.Key), c.op == wire.OpLoad}, b.ID}
}

// grant is an answer on its way that says that a caller has its lock. A later one for the same claim takes its place.
type grant struct{ _ byte }

// orphan is a claim whose caller can be answered no more, until the caller asks again or orphanTime is over.
type orphan struct {
	epoch   uint64 // under which the partition was owned here
	timer   *time.Timer
	leaving bool // orphanTime is over: the claim is being given up in the log, and it is not known yet whether it was
}

// parked is a call that waits.
type parked struct {
	c      *call
	key    lockKey
	id     wire.ID
	holds  bool        // it waits for the loss of the lock, and not for the lock
	copy   bool        // it has a result that says that it has the lock: it only waits for a look at whether that is still so
	renews bool        // of copies: it has renewed the lease, and asks for no lock
	still  []byte      // what it is answered when its time is up; nil: nothing is known
	timer  *time.Timer // answers it then
}

func (w *parked) claim() claim { return claim{int(w.c.partition), w.key, w.id} }

func newWaitQueue(host owned, now func() int64, partitions int) *waitQueue {
	return &waitQueue{host: host, now: now, count: make([]atomic.Int32, partitions), wake: make(chan struct{}, 1), stop: make(chan struct{}),
		parked: make([]map[lockKey]map[wire.ID]*parked, partitions), grants: make(map[claim]*grant), orphans: make(map[claim]*orphan),
		dirty: make(map[int]bool), seen: make(map[int]moves)}
}

// start starts the goroutine.
func (p *waitQueue) start() {
	p.done = make(chan struct{})
	go p.run() // ends with close
}

// close ends the goroutine; calls that are parked, now or later, are told to ask again. It may be called twice, and before start.
func (p *waitQueue) close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
	}
	var all []*parked
	for i := range p.parked {
		all = p.clearLocked(i, all)
	}
	for _, o := range p.orphans {
		o.timer.Stop()
	}
	clear(p.orphans) // those that are being given up too: nobody is told anything any more
	p.mu.Unlock()
	for _, w := range all {
		w.fail(partition.NotProposed)
	}
	if p.done != nil {
		<-p.done
	}
}

// touched is called when operations of a partition were applied here, or its owner is another. It does not block.
func (p *waitQueue) touched(part int) {
	if p.count[part].Load() == 0 {
		return
	}
	p.mu.Lock()
	if _, known := p.dirty[part]; !known {
		p.dirty[part] = false
	}
	p.mu.Unlock()
	p.wakeUp()
}

func (p *waitQueue) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// applied answers a call of OpLock, OpRenew or OpLoad that was applied, or parks it if it waits: for a lock that another has, or for
// the loss of one that it has renewed.
func (p *waitQueue) applied(c *call, r entry.Result) {
	b, _ := wire.DecodeLockBody(c.body) // was checked when it arrived
	l, err := wire.DecodeLockResult(r.Body)
	if r.Code != wire.CodeOK || err != nil {
		c.reply(r.Code, r.Body)
		return
	}

	held, w := l.Flags&wire.LockHeld != 0, &parked{c: c, still: r.Body}
	switch {
	case c.op == wire.OpRenew || b.Flags&wire.LockAgain != 0:
		if w.holds = c.op == wire.OpRenew && held && b.Flags&wire.LockWait != 0 && !c.hurry; w.holds {
			p.park(w, &b)
			return
		}
		if alive := p.returned(claimOf(c, &b)); held && !alive {
			w.renews = true
			p.recheck(w, &b)
			return
		}
		c.reply(r.Code, r.Body)
	case held && c.retry:
		// The result is the one that the first copy got. The lock may have been given up for its caller since.
		p.recheck(w, &b)
	case held && !p.returned(claimOf(c, &b)):
		// The caller has come back just when it was given up: which of the two came first the log says.
		p.recheck(w, &b)
	case held:
		p.grant(claimOf(c, &b), c, r.Body)
	case l.Flags&wire.LockQueued != 0 && b.Flags&wire.LockWait != 0:
		p.park(w, &b)
	default:
		c.reply(r.Code, r.Body)
	}
}

// recheck parks a call whose result says that it has the lock until a look at the state has told whether it still has.
func (p *waitQueue) recheck(w *parked, b *wire.LockBody) {
	w.copy, w.still = true, nil
	p.park(w, b)
}

// unknown answers a call of OpLock, OpRenew or OpLoad of which it is not known whether it will be applied.
func (p *waitQueue) unknown(c *call) {
	if c.op != wire.OpRenew && ended(c.caller) {
		b, _ := wire.DecodeLockBody(c.body)
		mine, epoch := claimOf(c, &b), p.host.Serving(int(c.partition))
		p.mu.Lock()
		before := p.orphans[mine]
		p.orphanLocked(mine, epoch)
		o := p.orphans[mine]
		p.mu.Unlock()
		// What a copy got on a connection that lives must not be given up. Either that copy was applied before, and the state shows it,
		// or it will be, and its result says that the caller has returned.
		if o != before && p.shows(mine) {
			p.keep(mine, o)
		}
	}
	c.s.answerOutcome(partition.Unknown, c.partition, c.id, c.caller)
	c.free()
}

// keep takes back that a claim is given up.
func (p *waitQueue) keep(c claim, o *orphan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.orphans[c] == o && !o.leaving {
		o.timer.Stop()
		delete(p.orphans, c)
	}
}

// shows reports whether a claim stands in the state.
func (p *waitQueue) shows(c claim) (has bool) {
	p.host.Inspect(c.part, func(m partition.Machine) {
		has = hasClaim(StateOf(m), []byte(c.key.name), []byte(c.key.key), c.key.load, c.id)
	})
	return has
}

// hasClaim reports whether who has an ID has a lock, or is to load a value, or waits for that.
func hasClaim(st *state.State, name, key []byte, load bool, id wire.ID) bool {
	if load {
		v, _ := st.Loader(name, key)
		return v.Holder == id || st.WaitsForLoad(name, key, id)
	}
	return st.Lock(name, key).Holder == id || st.WaitsForLock(name, key, id)
}

// park keeps a call whose place in the queue of a lock, or whose lease, is in the log until it has the lock, no longer has the
// place or the lock, or its time is up: then it is answered with still. That the lock has moved already is looked at before
// anything else, for the call may be a copy. b is the call's body.
func (p *waitQueue) park(w *parked, b *wire.LockBody) {
	c, mine := w.c, claimOf(w.c, b)
	w.key, w.id = mine.key, mine.id
	left := time.Duration(c.deadline-p.now()) * time.Millisecond
	left = max(left-answerTime, left/2)
	part := mine.part
	epoch := p.host.Serving(part)
	p.mu.Lock()
	p.returnedLocked(mine)
	if p.closed || left <= 0 {
		p.mu.Unlock()
		w.stay()
		return
	}
	if ended(c.caller) { // else gone will find it
		if !w.holds {
			p.orphanLocked(mine, epoch)
		}
		p.mu.Unlock()
		w.fail(partition.NotProposed)
		return
	}
	before := p.parked[part][w.key][w.id] // an earlier copy, on a connection that its client has given up
	if before != nil {
		p.removeLocked(part, before)
	}
	if p.parked[part] == nil {
		p.parked[part] = make(map[lockKey]map[wire.ID]*parked)
	}
	lot := p.parked[part]
	if lot[w.key] == nil {
		lot[w.key] = make(map[wire.ID]*parked)
	}
	lot[w.key][w.id] = w
	p.count[part].Add(1)
	p.total.Add(1)
	w.timer = time.AfterFunc(left, func() { p.giveUp(part, w) })
	p.dirty[part] = true
	p.mu.Unlock()
	p.wakeUp()
	if before != nil {
		before.stay()
	}
}

// grant tells a call that it has its lock. Should its connection end before the answer has left, nobody knows of that.
func (p *waitQueue) grant(mine claim, c *call, body []byte) {
	conn, ok := c.caller.(Connection)
	if !ok {
		p.returned(mine)
		c.reply(wire.CodeOK, body)
		return
	}
	epoch, g := p.host.Serving(mine.part), new(grant)
	p.mu.Lock()
	p.returnedLocked(mine)
	p.grants[mine] = g
	p.mu.Unlock()
	conn.Deliver(c.id, wire.CodeOK, body, func(delivered bool) { p.told(mine, g, epoch, delivered) })
	c.free()
}

// told takes in what became of the answer to a caller that has its lock.
func (p *waitQueue) told(mine claim, g *grant, epoch uint64, delivered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grants[mine] != g { // the caller has asked again since
		return
	}
	delete(p.grants, mine)
	if !delivered {
		p.orphanLocked(mine, epoch)
	}
}

// returned notes that a caller has shown that it lives. It reports false where that is too late: what the caller has is being given
// up, and only when that was applied it is known whether it was before what the caller was told now.
func (p *waitQueue) returned(mine claim) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.returnedLocked(mine)
}

// returnedLocked is returned. REQUIRES p.mu.
func (p *waitQueue) returnedLocked(mine claim) bool {
	delete(p.grants, mine)
	o := p.orphans[mine]
	switch {
	case o == nil:
		return true
	case o.leaving:
		return false
	}
	o.timer.Stop()
	delete(p.orphans, mine)
	return true
}

// orphanLocked gives up a claim in orphanTime, unless its caller asks again. REQUIRES p.mu.
func (p *waitQueue) orphanLocked(c claim, epoch uint64) {
	if p.closed || p.orphans[c] != nil {
		return
	}
	o := &orphan{epoch: epoch}
	o.timer = time.AfterFunc(orphanTime, func() { p.abandon(c, o) })
	p.orphans[c] = o
}

// abandon gives up the claim of a caller that has not come back. Under another owner it may have come back there.
func (p *waitQueue) abandon(c claim, o *orphan) {
	current := o.epoch != 0 && p.host.Serving(c.part) == o.epoch
	p.mu.Lock()
	mine := p.orphans[c] == o
	switch {
	case mine && current:
		o.leaving = true // from here on, who comes back is told nothing before the log has decided
	case mine:
		delete(p.orphans, c)
	}
	p.mu.Unlock()
	if !mine || !current {
		return
	}
	op := &entry.Op{Code: wire.OpUnlock, Body: wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte(c.key.name), Key: []byte(c.key.key), ID: c.id})}
	if c.key.load {
		op = &entry.Op{Code: wire.OpLoaded, Body: wire.AppendLoadedBody(nil, &wire.LoadedBody{Map: []byte(c.key.name), Key: []byte(c.key.key), ID: c.id})}
	}
	p.host.Submit(c.part, op, &abandoned{p, c, o})
	p.host.Flush(c.part)
}

// abandoned is told what became of the operation that gives up a claim.
type abandoned struct {
	p *waitQueue
	c claim
	o *orphan
}

// Complete has the partition looked at for callers that came back meanwhile. What could not be proposed is tried again.
func (a *abandoned) Complete(o partition.Outcome, _ entry.Result) {
	p := a.p
	epoch := p.host.Serving(a.c.part)
	p.mu.Lock()
	if p.orphans[a.c] == a.o {
		delete(p.orphans, a.c)
		// Where the outcome is not known, the operation may still be applied: who has come back is not told to have the lock.
		waits := p.parked[a.c.part][a.c.key][a.c.id] != nil
		if o != partition.Applied && o != partition.Moved && !waits && epoch == a.o.epoch {
			p.orphanLocked(a.c, epoch)
		}
	}
	p.dirty[a.c.part] = true
	p.mu.Unlock()
	p.wakeUp()
}

// giveUp answers a call whose time is nearly up: all is as it was.
func (p *waitQueue) giveUp(part int, w *parked) {
	p.mu.Lock()
	mine := p.removeLocked(part, w)
	p.mu.Unlock()
	if mine {
		w.stay()
	}
}

// gone is called when a connection has ended. Who waited there for a lock has orphanTime to ask again before the place is given
// up in its name, and the lock if it was granted meanwhile: else nobody would have it for a whole lease.
func (p *waitQueue) gone(caller Caller) {
	var all []*parked
	p.mu.Lock()
	if p.total.Load() == 0 { // under the lock: a call is just being parked that has not seen the connection end
		p.mu.Unlock()
		return
	}
	for part, lot := range p.parked {
		for _, calls := range lot {
			for _, w := range calls {
				if origin(w.c.caller) != caller {
					continue
				}
				p.removeLocked(part, w)
				if !w.holds {
					p.orphanLocked(w.claim(), p.host.Serving(part))
				}
				all = append(all, w)
			}
		}
	}
	p.mu.Unlock()
	for _, w := range all {
		w.fail(partition.NotProposed)
	}
}

// origin returns the caller behind those that only look on.
func origin(c Caller) Caller {
	for {
		w, ok := c.(interface{ Unwrap() Caller })
		if !ok {
			return c
		}
		c = w.Unwrap()
	}
}

// ended reports whether a caller can be answered no more.
func ended(c Caller) bool {
	conn, ok := origin(c).(Connection)
	return ok && conn.Ended()
}

// removeLocked takes a call out and reports whether it was there: then the caller answers it. REQUIRES p.mu.
func (p *waitQueue) removeLocked(part int, w *parked) bool {
	lot := p.parked[part]
	if lot[w.key][w.id] != w {
		return false
	}
	w.timer.Stop()
	p.count[part].Add(-1)
	p.total.Add(-1)
	if delete(lot[w.key], w.id); len(lot[w.key]) == 0 {
		if delete(lot, w.key); len(lot) == 0 {
			p.parked[part] = nil
		}
	}
	return true
}

// clearLocked takes out all calls of a partition and appends them to out. REQUIRES p.mu.
func (p *waitQueue) clearLocked(part int, out []*parked) []*parked {
	for _, calls := range p.parked[part] {
		for _, w := range calls {
			p.removeLocked(part, w)
			out = append(out, w)
		}
	}
	return out
}

// run looks at the partitions where something has happened, until the wait queue is closed.
func (p *waitQueue) run() {
	defer close(p.done)
	for {
		select {
		case <-p.stop:
			return
		case <-p.wake:
		}
		p.mu.Lock()
		dirty := p.dirty
		p.dirty = make(map[int]bool)
		p.mu.Unlock()
		for part, fresh := range dirty {
			p.look(part, fresh)
		}
	}
}

// news is what a parked call is answered.
type news struct {
	w       *parked
	code    wire.Code
	body    []byte
	granted bool // it has its lock
}

// look answers the calls of a partition that have their lock, or no longer their lock or place. Unless fresh is set it has
// nothing to do where no lock has moved since it last looked.
func (p *waitQueue) look(part int, fresh bool) {
	if p.host.Serving(part) == 0 {
		p.mu.Lock()
		all := p.clearLocked(part, nil)
		p.mu.Unlock()
		for _, w := range all {
			w.fail(partition.Moved)
		}
		return
	}
	var now moves
	p.host.Inspect(part, func(m partition.Machine) { now = moves{weak.Make(StateOf(m)), StateOf(m).LockMoves()} })
	if !fresh && now == p.seen[part] {
		return
	}
	p.seen[part] = now
	keys := p.waiting(part)
	var list []news
	p.host.Inspect(part, func(m partition.Machine) {
		for key, calls := range keys {
			list = tell(list, StateOf(m), key, calls)
		}
	})
	p.mu.Lock()
	mine := list[:0]
	for _, n := range list {
		if p.removeLocked(part, n.w) {
			mine = append(mine, n)
		}
	}
	p.mu.Unlock()
	for _, n := range mine {
		if n.granted {
			p.grant(n.w.claim(), n.w.c, n.body)
			continue
		}
		n.w.c.reply(n.code, n.body)
	}
}

// waiting returns the calls of a partition by their locks, without those of callers who came back too late: what becomes of
// their claims is not known yet.
func (p *waitQueue) waiting(part int) map[lockKey][]*parked {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := make(map[lockKey][]*parked, len(p.parked[part]))
	for key, calls := range p.parked[part] {
		list := make([]*parked, 0, len(calls))
		for _, w := range calls {
			if len(p.orphans) > 0 {
				if o := p.orphans[w.claim()]; o != nil && o.leaving {
					continue
				}
			}
			list = append(list, w)
		}
		keys[key] = list
	}
	return keys
}

// tell appends what there is to tell to the calls of one lock.
func tell(list []news, st *state.State, key lockKey, calls []*parked) []news {
	v, waits := st.Lock([]byte(key.name), []byte(key.key)), st.WaitsForLock
	if key.load {
		var loaded bool
		if v, loaded = st.Loader([]byte(key.name), []byte(key.key)); loaded {
			for _, w := range calls {
				list = append(list, news{w: w, body: wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockLoaded})})
			}
			return list
		}
		waits = st.WaitsForLoad
	}
	waiting := 0
	for _, w := range calls {
		switch mine := v.Holder == w.id; {
		case w.holds && !mine:
			list = append(list, news{w: w, code: wire.CodeLockNotHeld, body: []byte("the lock was lost")})
		case w.holds:
		case mine:
			list = append(list, news{w: w, granted: !w.renews,
				body: wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockHeld, Fence: v.Fence, Ends: v.Ends, Waiting: uint64(v.Waiting)})})
		case w.renews:
			list = append(list, news{w: w, code: wire.CodeLockNotHeld, body: []byte("the lock was given up")})
		case w.copy:
			list = append(list, news{w: w, body: wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockLapsed})})
		default:
			waiting++
		}
	}
	if waiting <= v.Waiting { // all have a place
		return list
	}
	for _, w := range calls {
		if !w.holds && !w.copy && v.Holder != w.id && !waits([]byte(key.name), []byte(key.key), w.id) {
			list = append(list, news{w: w, body: wire.AppendLockResult(nil, &wire.LockResult{})})
		}
	}
	return list
}

// stay tells a call whose time is up that all is as it was.
func (w *parked) stay() {
	if w.still == nil {
		w.fail(partition.NotProposed)
		return
	}
	w.c.reply(wire.CodeOK, w.still)
}

// fail tells that nothing more is known here.
func (w *parked) fail(o partition.Outcome) {
	w.c.s.answerOutcome(o, w.c.partition, w.c.id, w.c.caller)
	w.c.free()
}
