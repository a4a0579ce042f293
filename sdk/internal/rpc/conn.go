// Package rpc owns one connection of the calls plane to one member: its hello, its frames, and the table of calls that wait
// for answers on it. It must not know what the operations mean, which member is right for one, or when to try again.
//
// The package keeps the cost of a call low. In the steady state a call allocates nothing and starts no goroutine. All callers append
// their frames to one buffer, and the first of them writes for all. One goroutine reads whatever has arrived and completes all of it
// at once.
package rpc

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
	"github.com/gridiron-io/gridiron/sdk/wire/socket"
)

var (
	// ErrAbandoned ends a call whose caller stopped waiting.
	ErrAbandoned = errors.New("abandoned")
	// ErrExpired ends a call whose time was up.
	ErrExpired = errors.New("expired")
	// ErrMoved ends a call whose partition has another owner, where the one that was asked did not answer.
	ErrMoved = errors.New("the partition has another owner")
	// ErrQueueFull refuses a request because the member does not take what is queued for it.
	ErrQueueFull = errors.New("the connection's queue is full")
	// ErrSilent ends a connection whose member answers nothing any more.
	ErrSilent = errors.New("the member does not answer")
)

// TableID is the request ID under which tables are asked for. Answers to it go to Config.OnView, as pushed tables do.
const TableID = uint64(1) << 63

// pingID is the request ID of pings; the answer itself is the point.
const pingID = TableID + 1

const (
	maxQueued    = 16 << 20 // bytes that may wait to be written
	maxKeptWrite = 1 << 20  // largest write buffer that is kept
	flushRounds  = 8        // writes that a caller does for others before the writer goroutine takes over
)

// Config is what a connection tells its owner. The functions are called on the connection's goroutines: they must not
// block, and must not wait for a call on the same connection.
type Config struct {
	// MaxFrame bounds one answer in bytes; wire.MaxFrame if zero.
	MaxFrame int
	// Silence is how long an answer may be due, while nothing is read at all, before the member is pinged; 1 s if zero.
	Silence time.Duration
	// PongWait is how long nothing may be read after a ping before the connection is ended; 2 s if zero.
	PongWait time.Duration
	// Now is the clock in nanoseconds; it never goes backwards.
	Now func() int64
	// OnView receives the body of each table that the member sends. The body is valid until it returns.
	OnView func(c *Conn, body []byte)
	// OnTime is told the member's cluster time as an answer carried it, when the request was queued and when the answer
	// was read. It is called for some answers, not for all.
	OnTime func(clusterMs, sent, received int64)
	// OnClose is called once, when the connection has ended and all its calls have been told.
	OnClose func(err error)
	// Batcher is shared by all connections of a client. May be nil.
	Batcher *Batcher
	// Goroutines counts the connection's goroutines, so that its owner can wait for them. May be nil.
	Goroutines *sync.WaitGroup
}

// Conn is one connection after its hello. All methods are safe for concurrent use.
type Conn struct {
	nc  net.Conn
	raw *socket.Writer // nil: only the writer goroutine writes
	cfg Config

	alive    atomic.Bool
	lastRead atomic.Int64 // when anything was read last, on cfg.Now's clock

	ended chan struct{}   // closed when the connection ends
	wake  chan struct{}   // one signal for the writer goroutine: rest and flushing are its own now
	wg    *sync.WaitGroup // the reader and the writer
	rest  []byte          // REQUIRES flushing held: what the writer goroutine begins with
	chans sync.Pool       // of chan struct{}, for calls that wait here

	mu struct {
		sync.Mutex
		err        error  // why the connection ended
		out        []byte // frames that wait to be written
		parts      int    // where in out the frame begins that takes further parts; -1: none
		spare      []byte // the other buffer
		queued     uint64 // bytes ever appended to out
		handed     uint64 // of these, bytes handed to the network
		flushing   bool   // somebody writes
		slots      []slot
		free       []uint32
		waiting    int   // slots in use
		unanswered int64 // when the first request was queued since an answer came; 0: nothing is due
		pingAt     int64 // when the ping under way was queued; 0: none
		watch      watch
		asked      bool // a table is asked for and not answered yet
		seen       uint64
		announced  uint64 // newest table version that an answer carried
	}
}

// slot holds one waiting call. A request ID is gen<<32 | index, so that an answer that comes late finds nobody.
type slot struct {
	call *Call
	gen  uint32
}

// New returns a connection over nc, on which Greet has succeeded, and starts its two goroutines: a reader and a writer.
// Both end with the connection, soon after Fail.
func New(nc net.Conn, cfg Config) *Conn {
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = wire.MaxFrame
	}
	if cfg.Silence == 0 {
		cfg.Silence = time.Second
	}
	if cfg.PongWait == 0 {
		cfg.PongWait = 2 * time.Second
	}
	if cfg.Goroutines == nil {
		cfg.Goroutines = new(sync.WaitGroup)
	}

	c := &Conn{nc: nc, raw: socket.NewWriter(nc), cfg: cfg, ended: make(chan struct{}), wake: make(chan struct{}, 1), wg: cfg.Goroutines}
	c.alive.Store(true)
	c.mu.parts = -1
	c.wg.Add(2)
	// The reader owns the read buffer. Fail ends it by closing the socket.
	go c.readLoop()
	// The writer owns what callers leave in rest. Fail ends it by closing ended.
	go c.writeLoop()
	return c
}

// Alive reports whether the connection has not ended.
func (c *Conn) Alive() bool { return c.alive.Load() }

// Fail ends the connection and tells its calls err, which may not be nil. It does not wait for the connection's goroutines.
func (c *Conn) Fail(err error) {
	c.mu.Lock()
	// The first reason counts. Reader, writer and owner may all notice the end.
	if c.mu.err != nil {
		c.mu.Unlock()
		return
	}
	c.mu.err = err
	// From here on no call can be queued, so the slots taken below are all that wait.
	c.alive.Store(false)
	slots, handed := c.mu.slots, c.mu.handed
	c.mu.slots, c.mu.free, c.mu.waiting = nil, nil, 0
	c.mu.out, c.mu.spare = nil, nil
	c.mu.Unlock()

	close(c.ended)
	_ = c.nc.Close()

	// Bytes that were handed to the network may have arrived. What still waited here has never left this process.
	for _, s := range slots {
		if s.call != nil {
			s.call.finish(nil, err, s.call.offset < handed)
		}
	}

	if c.cfg.OnClose != nil {
		c.cfg.OnClose(err)
	}
}

// Start queues req for call and has it written. expireAt, if not zero, is the time on the connection's clock after which Tick ends
// the call. req.Body is not kept. An error means that nothing was queued: ErrQueueFull, or the reason why the connection ended.
// Without an error, Wait must be called, or Finished waited for.
func (c *Conn) Start(req *wire.Request, call *Call, now, expireAt int64) error {
	write, busy, err := c.queue(req, call, now, expireAt, true)
	// The batcher takes over where callers have been woken that are about to queue too.
	if write && !c.cfg.Batcher.leave(c) {
		c.flush(busy)
	}
	return err
}

// Queue is Start without writing: Flush must follow. Requests that are queued one after the other share a frame where they can.
func (c *Conn) Queue(req *wire.Request, call *Call, now, expireAt int64) error {
	_, _, err := c.queue(req, call, now, expireAt, false)
	return err
}

// Flush sees to it that what was queued is written.
func (c *Conn) Flush() {
	c.mu.Lock()
	// Whoever holds flushing writes these frames as well.
	write := !c.mu.flushing && len(c.mu.out) > 0 && c.mu.err == nil
	if write {
		c.mu.flushing = true
	}
	c.mu.Unlock()
	if write {
		c.flush(false)
	}
}

// queue reports in write whether the caller must call flush, and in busy whether others wait for answers too.
func (c *Conn) queue(req *wire.Request, call *Call, now, expireAt int64, flush bool) (write, busy bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return false, false, c.mu.err
	}

	// A request always fits into an empty queue, however large.
	if len(c.mu.out) > 0 && len(c.mu.out)+len(req.Body) > maxQueued {
		return false, false, ErrQueueFull
	}

	var i uint32
	if n := len(c.mu.free); n > 0 {
		i, c.mu.free = c.mu.free[n-1], c.mu.free[:n-1]
	} else {
		// The table grows to as many slots as calls ever waited at once, and stays so.
		i = uint32(len(c.mu.slots))
		c.mu.slots = append(c.mu.slots, slot{})
	}

	s := &c.mu.slots[i]
	s.gen = (s.gen + 1) & (1<<31 - 1) // request IDs stay below TableID
	s.call = call
	c.mu.waiting++
	req.ID = uint64(s.gen)<<32 | uint64(i)

	// A call that tells Finished needs no channel of its own.
	if call.Finished == nil {
		if call.done, _ = c.chans.Get().(chan struct{}); call.done == nil {
			call.done = make(chan struct{}, 1)
		}
	}
	call.id, call.offset, call.sentAt, call.expireAt, call.partition = req.ID, c.mu.queued, now, expireAt, req.Partition
	call.watched = call.Done != nil && c.watchLocked(call.Done)

	c.appendLocked(req, now, !flush && req.Partition != wire.NoPartition)

	// The first caller becomes the writer. Others leave their frames to it.
	if write = flush && !c.mu.flushing; write {
		c.mu.flushing = true
	}
	return write, c.mu.waiting > 1, nil
}

// appendLocked appends a request to what waits to be written, in a frame of its own or as a part. REQUIRES mu.
func (c *Conn) appendLocked(req *wire.Request, now int64, part bool) {
	before := len(c.mu.out)
	if part {
		c.mu.out, c.mu.parts = wire.AppendPart(c.mu.out, c.mu.parts, req)
	} else {
		c.mu.out, c.mu.parts = wire.AppendRequest(c.mu.out, req), -1
	}
	c.mu.queued += uint64(len(c.mu.out) - before)
	if c.mu.unanswered == 0 {
		c.mu.unanswered = now
	}
}

// Wait waits until call, which was queued here, has its results or done is closed; done may be nil.
func (c *Conn) Wait(done <-chan struct{}, call *Call) {
	// Where the context can never end, or somebody watches it, a plain receive is enough, and cheaper than a select.
	if done == nil || call.watched {
		// Whoever took the call out of the table finishes it, with its answer if that came first.
		<-call.done
	} else {
		select {
		case <-call.done:
		case <-done:
			c.Abandon(call)
			<-call.done
		}
	}

	// The channel is empty again, so the next call may have it.
	c.chans.Put(call.done)
	call.done = nil

	if call.woken {
		call.woken = false
		c.cfg.Batcher.arrive()
	}
}

// Abandon ends call with ErrAbandoned unless its results are on their way already.
func (c *Conn) Abandon(call *Call) {
	c.mu.Lock()
	taken := c.takeLocked(call.id) == call
	c.mu.Unlock()
	if taken {
		call.finish(nil, ErrAbandoned, true) // the request was queued, so it may still be written
	}
}

// takeLocked takes the call that waits under id out of the table; nil if there is none. REQUIRES mu.
func (c *Conn) takeLocked(id uint64) *Call {
	i := uint32(id)
	// The connection has ended and has dropped its table.
	if int(i) >= len(c.mu.slots) {
		return nil
	}
	s := &c.mu.slots[i]

	// The slot is used by a later call, or by none: this answer came too late.
	if s.call == nil || s.gen != uint32(id>>32) {
		return nil
	}
	call := s.call
	s.call = nil
	c.mu.free = append(c.mu.free, i)
	c.mu.waiting--
	if call.watched {
		c.mu.watch.calls--
	}
	return call
}

// AskTable asks the member for its table, unless that is asked for already. OnView gets it.
func (c *Conn) AskTable(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.asked || c.mu.err != nil {
		return
	}
	c.mu.asked = true
	c.controlLocked(wire.OpTable, TableID, now)
}

// controlLocked queues a request of the connection's own and leaves writing to the writer goroutine. REQUIRES mu.
func (c *Conn) controlLocked(op wire.Op, id uint64, now int64) {
	c.appendLocked(&wire.Request{ID: id, Op: op, Partition: wire.NoPartition}, now, false)
	if !c.mu.flushing {
		c.mu.flushing = true
		// There is room for the signal: only the caller that has set flushing sends it.
		c.wake <- struct{}{}
	}
}

// Tick does what is due. It ends calls that have expired, and pings a member that owes an answer. It ends the connection if the
// member does not answer the ping. It asks for a table that is newer than the last one seen.
func (c *Conn) Tick(now int64) {
	var expired []*Call
	c.mu.Lock()
	if c.mu.err != nil {
		c.mu.Unlock()
		return
	}

	for i := range c.mu.slots {
		// Outcomes are handed out below, without the lock.
		if call := c.mu.slots[i].call; call != nil && call.expireAt != 0 && now >= call.expireAt {
			expired = append(expired, c.takeLocked(call.id))
		}
	}

	gone, last := false, c.lastRead.Load()
	// Whatever was read since the ping shows that the member is there.
	if last >= c.mu.pingAt {
		c.mu.pingAt = 0
	}

	switch {
	case c.mu.pingAt != 0:
		// The ping is under way, and nothing was read since it was queued.
		gone = now-c.mu.pingAt >= int64(c.cfg.PongWait)
	case c.mu.unanswered != 0 && now-max(c.mu.unanswered, last) >= int64(c.cfg.Silence):
		// An answer is due, and the member has said nothing for long. It may only be slow, so it is asked for a sign of life.
		c.mu.pingAt = now
		c.controlLocked(wire.OpPing, pingID, now)
	}

	if c.mu.announced > c.mu.seen && !c.mu.asked {
		c.mu.asked = true
		c.controlLocked(wire.OpTable, TableID, now)
	}
	c.mu.Unlock()

	for _, call := range expired {
		call.finish(nil, ErrExpired, true)
	}

	if gone {
		c.Fail(ErrSilent)
	}
}

// Release ends repeatable calls with ErrMoved. It ends those that have waited since before the given time and whose partition the
// member no longer owns, as moved reports. moved is called under the connection's lock and must not call the connection.
func (c *Conn) Release(before int64, moved func(partition uint32) bool) {
	var released []*Call
	c.mu.Lock()
	for i := range c.mu.slots {
		if call := c.mu.slots[i].call; call != nil && call.Repeatable && call.sentAt < before && moved(call.partition) {
			released = append(released, c.takeLocked(call.id))
		}
	}
	c.mu.Unlock()

	// Without the lock: a caller that is woken may use the connection at once.
	for _, call := range released {
		call.finish(nil, ErrMoved, true)
	}
}

// Owes returns for how long the member has said nothing at all although an answer is due.
func (c *Conn) Owes(now int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.unanswered == 0 {
		return 0
	}
	return time.Duration(now - max(c.mu.unanswered, c.lastRead.Load()))
}

// Saw tells the connection the version of a table that its member sent.
func (c *Conn) Saw(version uint64) {
	c.mu.Lock()
	c.mu.seen = max(c.mu.seen, version)
	c.mu.Unlock()
}

// flush writes until nothing waits. The caller has set flushing, which makes it the only writer. With busy, other callers
// are about to queue too: they run first, so that one write carries them all.
func (c *Conn) flush(busy bool) {
	// Such a connection cannot say whether a write would block, and callers must not block.
	if c.raw == nil {
		c.wake <- struct{}{}
		return
	}

	// One yield costs less than the system calls that it saves.
	if busy {
		runtime.Gosched()
	}

	// A caller must come back to its own answer, so it does not write for others without end.
	for range flushRounds {
		buf := c.take()
		if buf == nil {
			return
		}
		n, err := c.raw.TryWrite(buf)
		if err != nil {
			c.Fail(fmt.Errorf("write: %w", err))
			return
		}
		if n < len(buf) { // the network is full: the caller does not wait for it
			c.rest = buf[n:]
			break
		}
		c.recycle(buf)
	}

	// The writer goroutine goes on, still as the only writer. The caller has its own call to wait for.
	c.wake <- struct{}{}
}

// take returns what waits to be written, nil if there is nothing or the connection has ended: then it ends the caller's
// turn as the writer. REQUIRES flushing held.
func (c *Conn) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.out) == 0 || c.mu.err != nil {
		// Under the lock, so that a caller that queues next becomes the writer itself.
		c.mu.flushing = false
		return nil
	}

	buf := c.mu.out
	c.mu.out, c.mu.spare, c.mu.parts = c.mu.spare, nil, -1

	// From here on the requests count as sent: a write that fails may have sent some of them.
	c.mu.handed = c.mu.queued
	return buf
}

// recycle keeps buf for later frames.
func (c *Conn) recycle(buf []byte) {
	// One burst must not keep its buffer for the life of the connection.
	if cap(buf) > maxKeptWrite {
		return
	}

	c.mu.Lock()
	if c.mu.spare == nil && c.mu.err == nil {
		c.mu.spare = buf[:0]
	}
	c.mu.Unlock()
}

// writeLoop is the writer goroutine. It writes where callers must not: when the network is full, and on connections that
// cannot say whether a write would block. It ends with the connection.
func (c *Conn) writeLoop() {
	defer c.wg.Done()
	for {
		// A signal in wake hands the right to write to this goroutine.
		select {
		case <-c.ended:
			return
		case <-c.wake:
		}

		// What the caller could not write goes out first, or frames would be mixed.
		buf := c.rest
		c.rest = nil
		for {
			if buf == nil {
				if c.raw == nil {
					runtime.Gosched() // others queue first, as in flush
				}
				if buf = c.take(); buf == nil {
					break
				}
			}

			if _, err := c.nc.Write(buf); err != nil {
				c.Fail(fmt.Errorf("write: %w", err))
				return
			}
			c.recycle(buf)
			buf = nil
		}
	}
}
