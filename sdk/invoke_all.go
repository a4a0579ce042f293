package sdk

import (
	"context"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
)

const (
	// maxBurst bounds the bodies, in bytes, of the calls that a group has under way. So a large bulk call leaves room for others in
	// the connections' queues.
	maxBurst = 4 << 20
	// minUnderWay is how many calls a group may have under way at least.
	minUnderWay = 64
)

// invokeAll carries several calls through at the same time, without a goroutine for each. Each call's outcome is in its err.
func (c *Client) invokeAll(ctx context.Context, all []*call) { c.invokeEach(ctx, all, nil) }

// invokeEach is invokeAll with a callback: ended gets each call as soon as it has ended, whatever the others do. It runs on the
// caller's goroutine and returns further calls to carry through as well. A nil ended does nothing.
func (c *Client) invokeEach(ctx context.Context, all []*call, ended func(*call) []*call) {
	g := group{c: c, ctx: ctx, ended: ended, finished: make(chan int, max(len(all), minUnderWay)), calls: make([]*call, 0, len(all)),
		waiting: make([]int, 0, len(all))}
	// Calls that begin together have one deadline, so they can share frames. One that cannot even begin has ended already and is handed on
	// at once.
	together := c.scheduleOf(ctx, 0)
	for _, cl := range all {
		g.add(cl, together)
	}

	for g.underWay > 0 || len(g.waiting) > 0 {
		// Taken before the calls are looked at, so that a change between the look and the wait is not missed.
		changed := c.changed.wait()
		if next := g.send(); g.underWay > 0 || len(g.waiting) > 0 {
			g.wait(changed, next)
		}
	}

	if g.timer != nil {
		g.timer.Stop()
	}
}

// group is several calls that are carried through together. Each is made again when its own time has come.
type group struct {
	c     *Client
	ctx   context.Context // that of the invokeEach which owns the group
	ended func(*call) []*call

	calls    []*call // all calls that were ever added; nil: the call has ended. A call's place is its tag
	waiting  []int   // tags of the calls that are to be sent, now or later
	underWay int
	bytes    int         // of the bodies of calls under way
	finished chan int    // tags of calls under way that have their results. It has room for all of them.
	conns    []*rpc.Conn // on which calls were queued, and not written yet
	timer    *time.Timer
}

// add takes in a call, which s was made for unless it is part of a longer wait.
func (g *group) add(cl *call, s schedule) {
	// An operation must not be done half in one cluster and half in its successor.
	if cl.bound == nil {
		cl.bound = ErrUnavailable
	}

	if cl.slice != s.slice {
		s = g.c.scheduleOf(g.ctx, cl.slice)
	}
	if err := g.c.begin(g.ctx, cl, s); err != nil {
		cl.end(err)
		g.hand(cl)
		return
	}

	// A tag is a place in calls for ever, so a late result cannot reach another call.
	g.calls = append(g.calls, cl)
	g.waiting = append(g.waiting, len(g.calls)-1)
}

// finish ends the group's part in a call that has ended.
func (g *group) finish(tag int) {
	cl := g.calls[tag]
	g.calls[tag] = nil // the call may be used for something else from now on
	g.c.finish(g.ctx, cl)
	g.hand(cl)
}

func (g *group) hand(cl *call) {
	if g.ended != nil {
		for _, more := range g.ended(cl) {
			g.add(more, g.c.scheduleOf(g.ctx, more.slice))
		}
	}
}

// send sends the calls that are due, as far as there is room, ends those whose time is up, and returns when to look again.
func (g *group) send() (next int64) {
	c := g.c
	next = never

	// Calls that cannot go yet are put back below, in their order.
	list := g.waiting
	g.waiting = nil

	now := c.clock.now()
	for _, tag := range list {
		cl := g.calls[tag]
		if g.ctx.Err() != nil || now >= cl.limit || c.life.Err() != nil {
			cl.end(c.outcome(cl, c.cause(g.ctx, cl, now)))
			g.finish(tag)
			continue
		}

		// One call may always go, however large, or the group would stand still.
		room := g.underWay == 0 || g.underWay < cap(g.finished) && g.bytes <= maxBurst
		if room && c.due(cl) {
			cl.Finished, cl.Tag = g.finished, tag
			sent, done := c.send(cl, now, false)
			// A call of a group is queued without a write. The flush at the end carries all of them, as parts of few frames.
			if sent {
				cl.queued = true
				g.underWay++
				g.bytes += len(cl.body)
				if !slices.Contains(g.conns, cl.conn) {
					g.conns = append(g.conns, cl.conn)
				}
				continue
			}
			if done {
				g.finish(tag)
				continue
			}
		}

		// A call that only lacks room needs no alarm: it goes when another has ended.
		next = min(next, cl.limit)
		if room || cl.notBefore > now {
			next = min(next, cl.notBefore)
			c.refresh(cl.peer)
		}
		g.waiting = append(g.waiting, tag)
	}

	// One write per connection for all calls that were queued above.
	for _, conn := range g.conns {
		conn.Flush()
	}
	clear(g.conns)
	g.conns = g.conns[:0]
	return next
}

// wait waits until a call has its results or another call may be due. It settles all calls that have their results.
func (g *group) wait(changed <-chan struct{}, next int64) {
	var alarm <-chan time.Time
	if next != never {
		d := time.Duration(next - g.c.clock.now())
		if g.timer == nil {
			g.timer = time.NewTimer(d)
		} else {
			g.timer.Reset(d)
		}
		alarm = g.timer.C
	}

	if len(g.waiting) == 0 {
		changed = nil // changes concern only calls that are still to be sent
	}

	select {
	case tag := <-g.finished:
		g.settle(tag)
	case <-changed:
	case <-alarm:
	case <-g.ctx.Done():
		g.abandon()
		return
	}

	// Results come in bursts: those that are there already cost no further wait.
	for {
		select {
		case tag := <-g.finished:
			g.settle(tag)
		default:
			return
		}
	}
}

// settle judges an attempt that has its results.
func (g *group) settle(tag int) {
	cl := g.calls[tag]
	cl.queued = false
	g.underWay--
	g.bytes -= len(cl.body)

	if g.c.settle(g.ctx, cl) {
		g.finish(tag)
		return
	}

	// The call needs another attempt. It gives up its room meanwhile, so a slow owner does not hold back the others.
	g.waiting = append(g.waiting, tag)
}

// abandon settles all calls under way, with or without results: the context has ended, and nothing is sent any more.
func (g *group) abandon() {
	for _, cl := range g.calls {
		if cl != nil && cl.queued {
			cl.conn.Abandon(cl.Call)
		}
	}
	// Each of them has been finished, or is being finished by the one who took it from its connection.
	for g.underWay > 0 {
		g.settle(<-g.finished)
	}
}
