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
	// answerTime is how long before its deadline a parked call is answered: the answer must reach the caller in time.
	answerTime = 100 * time.Millisecond
	// orphanTime is how long a caller whose connection has ended may take to ask again on another. Then the owner gives up its lock, or
	// its place in the queue, for it.
	orphanTime = time.Second
	// returnTime is how long who has a place may take to ask a new owner. So long the state keeps every place after an owner has begun.
	returnTime = state.ResumeLease * time.Millisecond
)

// waitQueue holds the calls that wait for locks of partitions that this member owns. Some wait for their turn. Others have renewed a lease
// and wait for the loss of the lock. The log decides who is next, and the waiters stand in the replicated state. The wait queue only
// answers calls. It may forget a call at any time: the client makes it again and finds its place. It owns one goroutine, which looks at a
// partition with parked calls after operations were applied there, or its owner changed.
type waitQueue struct {
	host  owned
	now   func() int64    // cluster time in milliseconds
	count []atomic.Int32  // by partition: how many calls are parked
	taken []atomic.Uint64 // by partition: the epoch under which this owner has noted the places that it found
	total atomic.Int32    // all of them
	wake  chan struct{}   // one slot
	stop  chan struct{}   // closed by close
	done  chan struct{}   // closed when the goroutine has ended; nil before it is started

	mu      sync.Mutex // guards the following
	parked  []map[lockKey]map[wire.ID]*parked
	grants  map[claim]*grant  // answers that grant a lock, until the network has taken them
	orphans map[claim]*orphan // claims of callers whose connections have ended
	dirty   map[int]bool      // partitions to look at; true: even if no lock has moved there
	closed  bool

	seen map[int]moves // by partition: the moves at the last look. It belongs to the goroutine
}

// owned is what the wait queue needs of partition.Host.
type owned interface {
	Serving(partition int) uint64
	Inspect(partition int, f func(m partition.Machine)) bool
	Submit(partition int, op *entry.Op, c partition.Completion)
	Flush(partition int)
	Unapplied(partition int) int64
}

// moves is how often locks had moved in a state at some look.
type moves struct {
	st weak.Pointer[state.State]
	n  uint64
}

// lockKey names a lock in its partition, or the load of a key.
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

// claimOf returns the claim that a call is about. b is its body.
func claimOf(c *call, b *wire.LockBody) claim {
	return claim{int(c.partition), lockKey{string(b.Map), string(b.Key), c.op == wire.OpLoad}, b.ID}
}

// parked is a call that waits.
type parked struct {
	c      *call
	key    lockKey
	id     wire.ID
	holds  bool        // it waits for the loss of the lock, and not for the lock
	copy   bool        // its result says that it has the lock: it waits for a look at whether it still has
	renews bool        // of copies: it has renewed the lease, and asks for no lock
	still  []byte      // the answer when its time is up; nil: nothing is known
	timer  *time.Timer // answers it then
}

func (w *parked) claim() claim { return claim{int(w.c.partition), w.key, w.id} }

func newWaitQueue(host owned, now func() int64, partitions int) *waitQueue {
	return &waitQueue{host: host, now: now, count: make([]atomic.Int32, partitions), taken: make([]atomic.Uint64, partitions), wake: make(chan struct{}, 1), stop: make(chan struct{}),
		parked: make([]map[lockKey]map[wire.ID]*parked, partitions), grants: make(map[claim]*grant), orphans: make(map[claim]*orphan),
		dirty: make(map[int]bool), seen: make(map[int]moves)}
}

// start starts the goroutine.
func (q *waitQueue) start() {
	q.done = make(chan struct{})
	go q.run() // ends with close
}

// close ends the goroutine. Calls that are parked, now or later, are told to ask again. It may be called twice, and before start.
func (q *waitQueue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.stop)
	}

	var all []*parked
	// All of them are taken out under the lock, so no timer answers one a second time.
	for i := range q.parked {
		all = q.clearLocked(i, all)
	}

	for _, o := range q.orphans {
		o.timer.Stop()
	}
	clear(q.orphans) // the leaving ones too: no call is answered any more
	q.mu.Unlock()

	// Answers go out without the lock: nothing of a caller is called under it.
	for _, w := range all {
		w.fail(partition.NotProposed)
	}
	if q.done != nil {
		<-q.done
	}
}

// touched is called when operations of a partition were applied here, or its owner has changed. It does not block.
func (q *waitQueue) touched(part int) {
	epoch := q.host.Serving(part)
	begins := epoch != 0 && q.taken[part].Load() != epoch
	// Most partitions have no parked calls, and this runs after every entry of the log.
	if !begins && q.count[part].Load() == 0 {
		return
	}

	q.mu.Lock()
	// A look that must be taken in any case stays one.
	if _, known := q.dirty[part]; !known {
		q.dirty[part] = false
	}
	q.mu.Unlock()

	q.wakeUp()
}

func (q *waitQueue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// applied answers a call of OpLock, OpRenew or OpLoad that was applied, or parks it if it must wait.
func (q *waitQueue) applied(c *call, r entry.Result) {
	b, _ := wire.DecodeLockBody(c.body) // was checked when it arrived
	l, err := wire.DecodeLockResult(r.Body)

	// The call has neither a lock nor a place: there is nothing to wait for.
	if r.Code != wire.CodeOK || err != nil {
		c.reply(r.Code, r.Body)
		return
	}

	held, w := l.Flags&wire.LockHeld != 0, &parked{c: c, still: r.Body}
	switch {
	case c.op == wire.OpRenew || b.Flags&wire.LockAgain != 0:
		// The caller that has renewed may wait for the loss of the lock, unless there is no memory for a parked call.
		if w.holds = c.op == wire.OpRenew && held && b.Flags&wire.LockWait != 0 && !c.hurry; w.holds {
			q.park(w, &b)
			return
		}

		// The claim is being given up just now: the caller must not hear that it holds a lock that it may have lost.
		if alive := q.returned(claimOf(c, &b)); held && !alive {
			w.renews = true
			q.recheck(w, &b)
			return
		}
		c.reply(r.Code, r.Body)
	case held && c.retry:
		// The log has answered the copy with the result of the first call. The lock may have been given up since.
		q.recheck(w, &b)
	case held && !q.returned(claimOf(c, &b)):
		// The caller has come back while its claim is being given up. The log says which came first.
		q.recheck(w, &b)
	case held:
		q.grant(claimOf(c, &b), c, r.Body)
	case l.Flags&wire.LockQueued != 0 && b.Flags&wire.LockWait != 0:
		q.park(w, &b)
	default:
		c.reply(r.Code, r.Body)
	}
}

// recheck parks a call whose result says that it has the lock, until a look at the state shows whether it still has.
func (q *waitQueue) recheck(w *parked, b *wire.LockBody) {
	w.copy, w.still = true, nil
	q.park(w, b)
}

// shows reports whether a claim stands in the state.
func (q *waitQueue) shows(c claim) (has bool) {
	q.host.Inspect(c.part, func(m partition.Machine) {
		has = hasClaim(stateOf(m), []byte(c.key.name), []byte(c.key.key), c.key.load, c.id)
	})
	return has
}

// hasClaim reports whether id holds a lock or waits for it. With load set, it looks at the load of the key instead.
func hasClaim(st *state.State, name, key []byte, load bool, id wire.ID) bool {
	if load {
		v, _ := st.Loader(name, key)
		return v.Holder == id || st.WaitsForLoad(name, key, id)
	}
	return st.Lock(name, key).Holder == id || st.WaitsForLock(name, key, id)
}

// park holds a call that has a lease, or a place in the queue of a lock. It holds the call until the call gets the lock or loses what it
// has. When the time of the call is up, its answer is still. The partition is looked at once in any case: the call may be a copy, and the
// lock may have moved already. b is the call's body.
func (q *waitQueue) park(w *parked, b *wire.LockBody) {
	c, mine := w.c, claimOf(w.c, b)
	w.key, w.id = mine.key, mine.id

	left := time.Duration(c.deadline-q.now()) * time.Millisecond
	// A call with little time left still waits for half of it.
	left = max(left-answerTime, left/2)

	part := mine.part
	epoch := q.host.Serving(part)
	q.mu.Lock()
	q.returnedLocked(mine)
	if q.closed || left <= 0 {
		q.mu.Unlock()
		w.stay()
		return
	}

	// A connection that ends later calls gone, which finds the parked call.
	if ended(c.caller) {
		if !w.holds {
			q.orphanLocked(mine, epoch, orphanTime)
		}
		q.mu.Unlock()
		w.fail(partition.NotProposed)
		return
	}

	// Two calls of one claim: the earlier is a copy on a connection that the client has given up.
	before := q.parked[part][w.key][w.id]
	if before != nil {
		q.removeLocked(part, before)
	}

	if q.parked[part] == nil {
		q.parked[part] = make(map[lockKey]map[wire.ID]*parked)
	}
	byKey := q.parked[part]
	if byKey[w.key] == nil {
		byKey[w.key] = make(map[wire.ID]*parked)
	}
	byKey[w.key][w.id] = w

	// touched asks count without the lock. It is raised before the look that park itself asks for.
	q.count[part].Add(1)
	q.total.Add(1)

	// The timer starts under the lock, so giveUp finds the call parked.
	w.timer = time.AfterFunc(left, func() { q.giveUp(part, w) })
	q.dirty[part] = true
	q.mu.Unlock()

	q.wakeUp()
	if before != nil {
		before.stay()
	}
}

// giveUp answers a call whose time is nearly up: nothing has changed for it.
func (q *waitQueue) giveUp(part int, w *parked) {
	q.mu.Lock()
	mine := q.removeLocked(part, w)
	q.mu.Unlock()
	// Whoever has taken the call out of the queue before answers it.
	if mine {
		w.stay()
	}
}

// origin returns the connection behind callers that wrap it, such as a traced one.
func origin(c Caller) Caller {
	for {
		w, ok := c.(interface{ Unwrap() Caller })
		if !ok {
			return c
		}
		c = w.Unwrap()
	}
}

// ended reports whether a caller's connection has ended.
func ended(c Caller) bool {
	conn, ok := origin(c).(Connection)
	return ok && conn.Ended()
}

// removeLocked takes a call out and reports whether it was there. Then the caller of removeLocked answers it. REQUIRES q.mu.
func (q *waitQueue) removeLocked(part int, w *parked) bool {
	byKey := q.parked[part]
	// The call is answered already, or a copy has taken its place.
	if byKey[w.key][w.id] != w {
		return false
	}

	w.timer.Stop()
	q.count[part].Add(-1)
	q.total.Add(-1)

	// Empty maps are dropped, since keys that were locked once may never be locked again.
	if delete(byKey[w.key], w.id); len(byKey[w.key]) == 0 {
		if delete(byKey, w.key); len(byKey) == 0 {
			q.parked[part] = nil
		}
	}
	return true
}

// clearLocked takes out all calls of a partition and appends them to out. REQUIRES q.mu.
func (q *waitQueue) clearLocked(part int, out []*parked) []*parked {
	for _, calls := range q.parked[part] {
		for _, w := range calls {
			q.removeLocked(part, w)
			out = append(out, w)
		}
	}
	return out
}

// run looks at dirty partitions until the wait queue is closed.
func (q *waitQueue) run() {
	defer close(q.done)
	for {
		select {
		case <-q.stop:
			return
		case <-q.wake:
		}

		q.mu.Lock()
		dirty := q.dirty
		q.dirty = make(map[int]bool)
		q.mu.Unlock()

		// Looking takes partitions' locks, so q.mu is free meanwhile.
		for part, fresh := range dirty {
			q.look(part, fresh)
		}
	}
}

// news is the answer to a parked call.
type news struct {
	w       *parked
	code    wire.Code
	body    []byte
	granted bool // it has its lock
}

// look answers the calls of a partition that have got their lock, or have lost their lock or place. Unless fresh is set it does nothing if no
// lock has moved since the last look.
func (q *waitQueue) look(part int, fresh bool) {
	epoch := q.host.Serving(part)
	if epoch == 0 {
		// Only the owner can say who is next. The callers go to the next owner and find their places there.
		q.mu.Lock()
		all := q.clearLocked(part, nil)
		q.mu.Unlock()
		for _, w := range all {
			w.fail(partition.Moved)
		}
		return
	}

	// The places that the owner before left are noted once for each epoch.
	if q.taken[part].Swap(epoch) != epoch {
		q.takeOver(part, epoch)
	}

	// Most entries of the log move no lock. The state is compared too: a restored one counts from zero.
	var now moves
	q.host.Inspect(part, func(m partition.Machine) { now = moves{weak.Make(stateOf(m)), stateOf(m).LockMoves()} })
	if !fresh && now == q.seen[part] {
		return
	}
	q.seen[part] = now

	// Calls first, then the state: a call that is parked later makes the partition dirty again.
	keys := q.waiting(part)
	var list []news
	q.host.Inspect(part, func(m partition.Machine) {
		for key, calls := range keys {
			list = tell(list, stateOf(m), key, calls)
		}
	})

	// Only calls that are still parked: others were answered meanwhile.
	q.mu.Lock()
	mine := list[:0]
	for _, n := range list {
		if q.removeLocked(part, n.w) {
			mine = append(mine, n)
		}
	}
	q.mu.Unlock()

	// Answers go out without q.mu, since they call into connections.
	for _, n := range mine {
		if n.granted {
			q.grant(n.w.claim(), n.w.c, n.body)
			continue
		}
		n.w.c.reply(n.code, n.body)
	}
}

// waiting returns the calls of a partition by their locks. It leaves out callers that came back too late: the log has not decided yet what
// becomes of their claims.
func (q *waitQueue) waiting(part int) map[lockKey][]*parked {
	q.mu.Lock()
	defer q.mu.Unlock()
	keys := make(map[lockKey][]*parked, len(q.parked[part]))
	for key, calls := range q.parked[part] {
		list := make([]*parked, 0, len(calls))
		for _, w := range calls {
			// Most of the time there are none, and no claims need be made to look them up.
			if len(q.orphans) > 0 {
				if o := q.orphans[w.claim()]; o != nil && o.leaving {
					continue
				}
			}
			list = append(list, w)
		}
		keys[key] = list
	}
	return keys
}

// tell appends the answers to the calls of one lock that can be answered now.
func tell(list []news, st *state.State, key lockKey, calls []*parked) []news {
	v, waits := st.Lock([]byte(key.name), []byte(key.key)), st.WaitsForLock
	if key.load {
		var loaded bool
		if v, loaded = st.Loader([]byte(key.name), []byte(key.key)); loaded {
			// Every caller that waits to load finds the value now.
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

		// The caller still has its lock, so the call waits on for the loss.
		case w.holds:

		// A caller that has renewed knows of its lock. Any other caller must be told, and the answer is watched until it is delivered.
		case mine:
			list = append(list, news{w: w, granted: !w.renews,
				body: wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockHeld, Fence: v.Fence, Ends: v.Ends, Waiting: uint64(v.Waiting)})})
		case w.renews:
			list = append(list, news{w: w, code: wire.CodeLockNotHeld, body: []byte("the lock was given up")})

		// The first copy got the lock, and the caller has lost the lock since. The caller must ask again, and not wait.
		case w.copy:
			list = append(list, news{w: w, body: wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockLapsed})})
		default:
			waiting++
		}
	}
	// The common case, without a search for each call: all of them have a place.
	if waiting <= v.Waiting {
		return list
	}

	// A call without a place would wait for nothing: its caller must ask again.
	for _, w := range calls {
		if !w.holds && !w.copy && v.Holder != w.id && !waits([]byte(key.name), []byte(key.key), w.id) {
			list = append(list, news{w: w, body: wire.AppendLockResult(nil, &wire.LockResult{})})
		}
	}
	return list
}

// stay answers a call whose time is up: nothing has changed for it.
func (w *parked) stay() {
	if w.still == nil {
		w.fail(partition.NotProposed)
		return
	}
	w.c.reply(wire.CodeOK, w.still)
}

// fail answers a call of which nothing more is known here.
func (w *parked) fail(o partition.Outcome) {
	w.c.s.answerOutcome(o, w.c.partition, w.c.id, w.c.caller)
	w.c.free()
}
