package sdk

import (
	"math/rand/v2"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/internal/nearcache"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// simCallTimeout is when a client gives a read up.
const simCallTimeout = 1500 * millisecond

// simClient is one client, with a cache of one map and a listener of another.
type simClient struct {
	s     *nearSim
	id    int
	clock clock // the real one, whose base is not used
	drift int64 // of its local clock, in parts in a million

	near     *simStream // feeds the cache
	listener *simStream
	cache    *simCache

	owner int               // that it believes in
	deaf  [simMembers]int64 // by member: true time until which its messages do not come
	mute  [simMembers]int64 // the same of calls
	floor map[string]uint64 // by key: the ord of what the client has been told itself of its writes
}

func newSimClient(s *nearSim, id int) *simClient {
	c := &simClient{s: s, id: id, clock: clock{bound: -1}, drift: s.between(-100, 100), owner: s.rnd.IntN(simMembers), floor: make(map[string]uint64)}
	c.cache = newSimCache(s)
	c.listen(true)
	c.listen(false)
	s.after(s.between(1, s.pace), c.turn)
	return c
}

// now returns the client's local time.
func (c *simClient) now() int64 { return c.s.now + (c.s.now-simOrigin)/1_000_000*c.drift }

// cluster returns the cluster time as the client knows it; 0 if it does not yet.
func (c *simClient) cluster() int64 { return c.clock.cluster(c.now()) }

// latest returns the latest cluster time that it may be, as far as the client knows.
func (c *simClient) latest() int64 { return c.clock.latest(c.now()) }

// look has the client look for another owner: most often it is the one that was elected last.
func (c *simClient) look() {
	if c.owner = c.s.log.elected; c.s.chance(40) {
		c.owner = c.s.rnd.IntN(simMembers)
	}
}

// listen begins a stream again.
func (c *simClient) listen(near bool) {
	name := simMaps[0]
	if !near && c.s.rnd.IntN(3) != 0 {
		name = simMaps[1]
	}
	st := newSimStream(c, name, near)
	if near {
		c.near = st
		c.cache.restart()
	} else {
		c.listener = st
	}
	st.locate()
}

// turn is one thing that the program does.
func (c *simClient) turn() {
	s := c.s
	if s.calm {
		return
	}
	s.after(s.between(1, s.pace), c.turn)

	name, key := simMaps[0], simKey(s.rnd.IntN(s.keys))
	if s.rnd.IntN(6) == 0 {
		name = simMaps[1+s.rnd.IntN(2)]
	}
	switch n := s.rnd.IntN(1000); {
	case n < s.restarts:
		s.tracef("client %d begins to listen again", c.id)
		c.listen(true)
	case n < 2*s.restarts:
		c.listen(false)
	case n < 2*s.restarts+s.clears:
		c.write(name, "", []wire.Op{wire.OpClear, wire.OpDestroy}[s.rnd.IntN(2)], 4)
	case s.rnd.IntN(100) < s.writes || name != simMaps[0]:
		op := wire.OpSet
		switch n := s.rnd.IntN(100); {
		case n < s.retimes:
			op = wire.OpSetTTL
		case n >= 90:
			op = wire.OpDelete
		case n >= 70:
			op = wire.OpPutIfAbsent
		}
		c.write(name, key, op, 4)
	default:
		c.get(key, false)
	}
}

// get reads a key of the cached map. With cached it looks at the cache alone.
func (c *simClient) get(key string, cached bool) {
	fresh := c.near.fresh()
	if e, found := c.cache.get(key, c.latest(), fresh); e != nil {
		if found {
			c.s.counts.Hits++
		} else {
			c.s.counts.AbsentHits++
		}
		c.s.truth.judgeClock(c)
		c.s.tracef("client %d hits %s: %x, fresh %d ms ago", c.id, key, e.value, c.cluster()-fresh)
		c.s.truth.judgeHit(c, key, e, found)
		return
	}
	if cached {
		return
	}
	if c.cluster()-fresh > nearcache.FreshFor.Milliseconds() {
		c.s.counts.Bypasses++
	} else {
		c.s.counts.Misses++
	}

	l := c.cache.begin(key, c.near.place())
	c.s.tracef("client %d loads %s at %v", c.id, key, c.near.place())
	c.load(l, key, c.s.truth.told(), c.near, 4)
}

// load asks for a key's value, of one member after the other.
func (c *simClient) load(l *simLoad, key string, told uint64, stream *simStream, tries int) {
	if tries == 0 {
		c.cache.cancel(l)
		return
	}
	m := c.s.members[c.owner]
	if c.s.bug.followers() {
		m = c.s.members[c.s.rnd.IntN(simMembers)]
	}
	again := func() {
		c.look()
		c.load(l, key, told, stream, tries-1)
	}

	c.call(m, simCallTimeout, func(answer func(func())) {
		m.read(key, func(a *simAnswer) {
			if a == nil {
				answer(again)
				return
			}
			c.s.truth.judgeRead(m, key, a, told)
			answer(func() { c.loaded(l, a) })
		})
	}, again)
}

// loaded takes in the answer to a load.
func (c *simClient) loaded(l *simLoad, a *simAnswer) {
	c.learn(a.stand.Epoch)
	// What a read tells of the partition counts as a watermark does.
	whole := c.near.whole()
	c.near.takeIn(func(now int64) { c.near.tr.watermark(now, &a.stand, a.read) })
	if c.cache.install(l, a, c.latest(), c.s.now, whole) {
		c.s.counts.Installs++
		c.s.tracef("client %d installs %s: %x, version %x, at %v", c.id, l.key, a.value, a.version, a.at)
	} else {
		c.s.counts.Rejected++
		c.s.tracef("client %d does not install %s: %x, version %x, at %v", c.id, l.key, a.value, a.version, a.at)
	}
}

// learn takes in the epoch that an answer tells. The owner that ended may not have published its last events.
func (c *simClient) learn(epoch uint64) {
	if !c.s.chance(c.s.learns) {
		return
	}
	for _, st := range []*simStream{c.near, c.listener} {
		if epoch > st.tr.epoch && st.tr.open {
			st.tr.suspect(c.now(), gapWait+time.Duration(c.s.rnd.Int64N(int64(2*gapWait))))
			st.follow()
		}
	}
}

// write writes a key, or a whole map, asking one member after the other as long as nothing was executed.
func (c *simClient) write(name, key string, code wire.Op, tries int) {
	s := c.s
	w := wire.WriteBody{Map: []byte(name), Key: []byte(key)}
	body := wire.AppendMapBody(nil, name)
	if key != "" {
		if code == wire.OpSet || code == wire.OpPutIfAbsent {
			s.values++
			w.Value = wire.AppendUvarint(nil, s.values)
			if s.maxIdle != 0 && name == simMaps[0] {
				w.Flags, w.MaxIdle = w.Flags|wire.WriteMaxIdle, uint64(s.maxIdle)
			}
		}
		if code == wire.OpSetTTL || code != wire.OpDelete && s.chance(s.ttls) {
			w.Flags, w.TTL = w.Flags|wire.WriteTTL, []uint64{30, 200, 1000, 4000, 0}[s.rnd.IntN(5)]
		}
		body = wire.AppendWriteBody(nil, &w)
	}
	s.counts.Writes++
	s.tracef("client %d: %v of %s %s, %x", c.id, code, name, key, w.Value)
	c.send(&simWrite{name: name, key: key, cached: name == simMaps[0], op: entry.Op{Code: code, Body: body}}, tries)
}

// simWrite is a write of a client.
type simWrite struct {
	name, key string // key is empty for the whole map
	cached    bool   // of the map that is cached
	op        entry.Op
	ord       uint64 // of its entry, once it stands in the log and has changed something
}

func (c *simClient) send(w *simWrite, tries int) {
	m := c.s.members[c.owner]
	refused := func() {
		c.look()
		if tries == 1 {
			c.written(w, false, 0)
			return
		}
		c.s.after(c.s.between(millisecond, 100*millisecond), func() { c.send(w, tries-1) })
	}
	c.call(m, c.s.patience, func(answer func(func())) {
		m.write(w, func(res *wire.WriteResult, ord uint64) {
			if res == nil {
				answer(refused)
				return
			}
			answer(func() {
				c.written(w, true, res.Version)
				c.floorAt(w, ord)
			})
		})
	}, func() { c.unknown(w) })
}

// written ends a write whose outcome is known. version is 0 if nothing was changed.
func (c *simClient) written(w *simWrite, executed bool, version uint64) {
	c.s.tracef("client %d: the write of %s %s has ended, executed %v, version %x", c.id, w.name, w.key, executed, version)
	if w.cached && executed {
		c.cache.wrote(w.key, version, true)
	}
}

// unknown ends a write whose outcome is not known.
func (c *simClient) unknown(w *simWrite) {
	c.s.counts.Unknown++
	c.s.tracef("client %d: the outcome of the write of %s %s is unknown", c.id, w.name, w.key)
	if !w.cached {
		return
	}
	c.cache.wrote(w.key, 0, false)
	// It has happened if anybody was told what came with it or after it.
	if w.ord != 0 && w.ord <= c.s.truth.told() {
		c.floorAt(w, w.ord)
	}
}

// floorAt notes what the client must see from now on.
func (c *simClient) floorAt(w *simWrite, ord uint64) {
	if !w.cached {
		return
	}
	if w.key != "" {
		c.floor[w.key] = max(c.floor[w.key], ord)
		return
	}
	for k := range c.s.keys {
		c.floor[simKey(k)] = max(c.floor[simKey(k)], ord)
	}
}

// simAnswer is what a member answers to a read of one key.
type simAnswer struct {
	found   bool
	value   string
	version uint64
	expires int64 // cluster time; 0: never
	maxIdle int64
	at      place         // of the state that was read
	asOf    uint64        // version of the last change in it
	stand   wire.Position // where the map stood
	read    int64         // cluster time for which that is known
	ord     uint64        // of the last entry in that state
}

// read reads a key of the cached map. The answer is nil if the member does not know.
func (m *simMember) read(key string, answer func(*simAnswer)) {
	if m.s.bug.followers() && !m.serves() {
		m.look(key, m.cluster(), answer)
		return
	}
	m.linear(func(asOf int64) bool { return m.look(key, asOf, answer) }, func() { answer(nil) })
}

// look reads a key of the state as it is here.
func (m *simMember) look(key string, asOf int64, answer func(*simAnswer)) bool {
	r := state.Reading{Op: wire.OpGet, Body: wire.AppendKeyBody(nil, simMaps[0], []byte(key))}
	if !m.st.Read(&r, &state.ReadPoint{Partition: simPartition, Epoch: m.group.epoch, Now: m.cluster()}) {
		if m.serves() {
			m.touch(&r.Idle)
		}
		return false
	}
	if len(r.Used.Keys) > 0 && m.serves() {
		m.touch(&r.Used)
	}
	g, err := wire.DecodeGetResult(r.Append(nil))
	if err != nil {
		panic(err)
	}
	a := &simAnswer{found: g.Flags&wire.ResultFound != 0, value: string(g.Value), version: g.Version, expires: g.Expires,
		at: place{m.s.log.generation, m.st.LastPos()}, asOf: uint64(wire.StampOf(m.st.Generation(), m.st.Counter())), stand: m.standing(simMaps[0]), read: asOf, ord: m.s.log.base}
	if a.found {
		a.maxIdle = m.s.maxIdle
	}
	if m.applied > 0 {
		a.ord = m.s.log.entries[m.applied-1].ord
	}
	m.s.counts.Reads++
	answer(a)
	return true
}

// touch commits uses of entries, or else the time.
func (m *simMember) touch(b *wire.TouchBody) {
	e := simEntry{epoch: m.group.epoch, op: &entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: 1})}}
	if len(b.Keys) > 0 {
		e.op = &entry.Op{Code: wire.OpTouch, Body: wire.AppendTouchBody(nil, b)}
	}
	m.propose(e)
}

// write proposes a write. The result is nil if it is known that it was not executed, and else comes with the entry's ord.
func (m *simMember) write(w *simWrite, answer func(res *wire.WriteResult, ord uint64)) {
	if !m.serves() {
		answer(nil, 0)
		return
	}
	m.propose(simEntry{epoch: m.group.epoch, write: w, op: &w.op, done: func(res entry.Result, ord uint64, accepted bool) {
		if !accepted {
			answer(nil, 0)
			return
		}
		out, err := wire.DecodeWriteResult(res.Body)
		if err != nil || res.Code != wire.CodeOK {
			panic(res.Code)
		}
		// Others may still read what was before.
		m.after(max(0, (m.serveAfter-m.clock())*100/m.rate)+1, func() {
			m.s.truth.tell(ord)
			answer(&out, ord)
		})
	}})
}

// position says where a map stands at a member that takes itself for the owner.
func (m *simMember) position(name string, answer func(*wire.Position)) {
	if !m.serves() || m.clock() < m.serveAfter {
		answer(nil)
		return
	}
	p := m.standing(name)
	answer(&p)
}

// events answers a request for events.
func (m *simMember) events(name string, from place, limit uint32, answer func(*wire.EventsResult)) {
	m.linear(func(asOf int64) bool {
		r := state.Reading{Op: wire.OpEvents, Body: wire.AppendEventsBody(nil, &wire.EventsBody{Map: []byte(name), Generation: from.generation,
			Pos: from.pos, Limit: limit})}
		if !m.st.Read(&r, &state.ReadPoint{Partition: simPartition, Epoch: m.group.epoch, Now: m.cluster(), AsOf: asOf}) {
			return false
		}
		res, err := wire.DecodeEventsResult(r.Append(nil))
		if err != nil {
			panic(err)
		}
		answer(&res)
		return true
	}, func() { answer(nil) })
}

// simSpread makes a pause longer by chance, as streams do.
func simSpread(rnd *rand.Rand) func(time.Duration) time.Duration {
	return func(d time.Duration) time.Duration { return d + time.Duration(rnd.Int64N(int64(d/4))) }
}
