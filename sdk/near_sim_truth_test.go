package sdk

import (
	"sort"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/internal/nearcache"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// simTruth is what has really happened, and when anybody was told of it. It applies the log as it is committed.
type simTruth struct {
	s     *nearSim
	st    *state.State
	group simGroup
	ord   uint64 // counts the entries of all generations, and the recoveries

	maps map[string]*simHistory
	keys map[string][]simValue // of the cached map: what stood under a key, one after the other

	tellings []simTelling // in order
}

// simHistory has the events of a map, also those that were lost.
type simHistory struct {
	events []simHappened
	live   int            // index of the last one that was not lost; -1: none
	index  map[uint64]int // by version
}

// simHappened is one event.
type simHappened struct {
	version, pos, ord uint64
	kind              wire.EventKind
	before            int    // index of the event before it in its history
	lostAt            uint64 // the generation that began without it; 0: none
}

// simValue is what stood under a key from an entry of the log on.
type simValue struct {
	value   string // "": no entry
	expires int64  // cluster time; 0: never
	ord     uint64
}

// simTelling is when somebody was first told of an entry, or of one after it.
type simTelling struct {
	ord uint64
	at  int64 // true time
}

func newSimTruth(s *nearSim) *simTruth {
	t := &simTruth{s: s, st: state.New(1, s.limits()), maps: make(map[string]*simHistory), keys: make(map[string][]simValue)}
	t.group = simGroup{owner: simNobody, epoch: uint64(wire.StampOf(1, 0))}
	for _, name := range simMaps {
		t.maps[name] = &simHistory{live: -1, index: make(map[uint64]int)}
	}
	return t
}

// told returns the last entry that anybody was told of.
func (t *simTruth) told() uint64 {
	if len(t.tellings) == 0 {
		return 0
	}
	return t.tellings[len(t.tellings)-1].ord
}

// tell notes that somebody is told of an entry now.
func (t *simTruth) tell(ord uint64) {
	if ord > t.told() {
		t.tellings = append(t.tellings, simTelling{ord, t.s.now})
	}
}

// toldAt returns when somebody was first told of an entry, or of one after it; never if nobody was.
func (t *simTruth) toldAt(ord uint64) int64 {
	i := sort.Search(len(t.tellings), func(i int) bool { return t.tellings[i].ord >= ord })
	if i == len(t.tellings) {
		return never
	}
	return t.tellings[i].at
}

// tellEvent notes that somebody is told of an event now.
func (t *simTruth) tellEvent(name string, version uint64) {
	h := t.maps[name]
	for i := len(h.events) - 1; i >= 0; i-- {
		if h.events[i].version == version {
			t.tell(h.events[i].ord)
			return
		}
	}
}

// commit takes in the next entry of the log and returns its number.
func (t *simTruth) commit(e *simEntry) uint64 {
	t.ord++
	accepted, _, _ := t.group.apply(e, t.s.log.epochAt(len(t.s.log.entries)))
	t.st.Advance(e.now, e.published)
	if !accepted {
		t.s.counts.Refused++
		return t.ord
	}
	if e.op == nil {
		return t.ord
	}

	before := t.st.LastPos()
	res := t.st.Apply(e.op)
	if e.write != nil && changed(res) {
		e.write.ord = t.ord
	}
	events, _ := t.st.EventsFrom(before, nil)
	for i := range events {
		t.happen(events[i].Map, &events[i].Event)
	}
	return t.ord
}

// changed reports whether a write has changed something.
func changed(res entry.Result) bool {
	out, err := wire.DecodeWriteResult(res.Body)
	return err == nil && out.Version != 0
}

// happen takes in an event.
func (t *simTruth) happen(name string, e *wire.Event) {
	t.s.tracef("%s: kind %d at %d, version %x, %s = %x until %d", name, e.Kind, e.Pos, e.Version, e.Key, e.New, e.Expires)
	h := t.maps[name]
	h.index[e.Version] = len(h.events)
	h.events = append(h.events, simHappened{version: e.Version, pos: e.Pos, ord: t.ord, kind: e.Kind, before: h.live})
	h.live = len(h.events) - 1

	switch e.Kind {
	case wire.EventExpired:
		t.s.counts.Expired++
	case wire.EventCleared:
		t.s.counts.Clears++
	}
	if name != simMaps[0] {
		return
	}
	now := simValue{ord: t.ord}
	switch e.Kind {
	case wire.EventAdded, wire.EventUpdated, wire.EventTTL:
		now.value, now.expires = string(e.New), e.Expires
		if e.Kind == wire.EventTTL {
			now.value = t.last(string(e.Key)).value
		}
	case wire.EventCleared:
		for k := range t.s.keys {
			t.stand(simKey(k), now)
		}
		return
	}
	t.stand(string(e.Key), now)
}

func (t *simTruth) last(key string) simValue {
	list := t.keys[key]
	if len(list) == 0 {
		return simValue{}
	}
	return list[len(list)-1]
}

func (t *simTruth) stand(key string, v simValue) { t.keys[key] = append(t.keys[key], v) }

// recover goes over to the next generation, which begins with everything up to an entry. It returns the number of that beginning.
func (t *simTruth) recover(from uint64, st *state.State) uint64 {
	t.ord++
	t.st = st
	t.group = simGroup{owner: simNobody, epoch: uint64(wire.StampOf(st.Generation(), 0))}
	for _, name := range simMaps {
		h := t.maps[name]
		for i := len(h.events) - 1; i >= 0 && h.events[i].ord > from; i-- {
			if h.events[i].lostAt == 0 {
				h.events[i].lostAt = st.Generation()
			}
		}
		for h.live >= 0 && h.events[h.live].lostAt != 0 {
			h.live--
		}
	}
	for k := range t.s.keys {
		key := simKey(k)
		list := t.keys[key]
		i := len(list)
		for i > 0 && list[i-1].ord > from {
			i--
		}
		if i < len(list) {
			v := simValue{}
			if i > 0 {
				v = list[i-1]
			}
			v.ord = t.ord
			t.stand(key, v)
		}
	}
	return t.ord
}

// indexAt returns the index of the last event up to a place; -1 if there is none.
func (t *simTruth) indexAt(name string, at place) int {
	h := t.maps[name]
	for i := len(h.events) - 1; i >= 0; i-- {
		e := &h.events[i]
		if wire.Stamp(e.version).Generation() <= at.generation && (e.lostAt == 0 || e.lostAt > at.generation) && e.pos <= at.pos {
			return i
		}
	}
	return -1
}

// judgeEvent checks the next event that a stream takes.
func (t *simTruth) judgeEvent(st *simStream, e *wire.Event) {
	if e.Kind == wire.EventLost {
		t.s.counts.Lost++
		st.lost = true
		return
	}
	t.s.counts.Events++
	h := t.maps[st.name]
	i, ok := h.index[e.Version]
	switch {
	case !ok:
		t.s.fail("client %d hears of an event of %s that never was: %x at %d", st.c.id, st.name, e.Version, e.Pos)
		return
	case st.taken[i]:
		t.s.fail("client %d hears of the event %x of %s again", st.c.id, e.Version, st.name)
	case i <= st.last:
		t.s.fail("client %d hears of the event %x of %s after a later one", st.c.id, e.Version, st.name)
	case !st.lost && h.wantedBefore(st, i) != st.last:
		t.s.fail("client %d hears of the event %x of %s, and of none between that and the last, without LOST", st.c.id, e.Version, st.name)
	}
	st.taken[i], st.last, st.lost = true, i, false
}

// wantedBefore returns the index of the event before another one of which a stream wants to hear, or at which it began.
func (h *simHistory) wantedBefore(st *simStream, i int) int {
	for i = h.events[i].before; i >= 0 && i != st.last && h.events[i].kind == wire.EventTTL && !st.near; {
		i = h.events[i].before
	}
	return i
}

// judgeEnd checks that a stream has heard of everything.
func (t *simTruth) judgeEnd(st *simStream) {
	h := t.maps[st.name]
	i := h.live
	for i >= 0 && i != st.last && h.events[i].kind == wire.EventTTL && !st.near {
		i = h.events[i].before
	}
	if !st.lost && i != st.last {
		t.s.fail("in the end client %d has heard of event %d of %s, and not of %d", st.c.id, st.last, st.name, i)
	}
}

// judgeRead checks what an owner answers: whatever anybody was told of before must be in it.
func (t *simTruth) judgeRead(m *simMember, key string, a *simAnswer, told uint64) {
	if a.ord < told && !t.s.bug.followers() {
		t.s.fail("member %d reads a state of entry %d after %d was told of", m.id, a.ord, told)
	}
	t.tell(a.ord)
}

// judgeHit checks what a client is served from its cache.
func (t *simTruth) judgeHit(c *simClient, key string, e *simCopy, found bool) {
	s := t.s
	now := s.now / millisecond
	behind := max(0, now-c.latest()) + 1 // by how much the client takes the time for earlier than it is
	oldest := s.now - (nearcache.FreshFor.Milliseconds()+s.skew+behind+1)*millisecond

	list := t.keys[key]
	why := "there never was such a value"
	if len(list) == 0 && !found {
		return
	}
	for i := len(list) - 1; i >= -1; i-- {
		var v simValue
		if i >= 0 {
			v = list[i]
		}
		mortal := v.value != "" && v.expires != 0
		switch {
		case found && v.value != e.value, !found && v.value != "" && (!mortal || v.expires > now+s.skew+1):
			continue
		case i+1 < len(list) && list[i+1].ord <= c.floor[key]:
			why = "the client has written since, or been told so"
		case i+1 < len(list) && t.toldAt(list[i+1].ord) < oldest:
			why = "it is too old"
		case found && mortal && v.expires+behind+s.skew <= now && s.maxIdle == 0:
			why = "it has expired"
			continue
		case found && s.maxIdle != 0 && e.at+(s.maxIdle/2+e.ahead+behind)*millisecond < s.now:
			why = "nobody has told the owner that it is in use"
		default:
			if i+1 < len(list) {
				s.stalest = max(s.stalest, s.now-t.toldAt(list[i+1].ord))
			}
			return
		}
		break
	}
	s.fail("client %d is served %x for %s: %s", c.id, e.value, key, why)
}

// judgeClock checks that a client's clock is no further off than it says.
func (t *simTruth) judgeClock(c *simClient) {
	if off := c.latest() - t.s.now/millisecond; off < -t.s.skew-1 {
		t.s.fail("cluster time at client %d is %d ms late", c.id, -off)
	}
}
