package state

import (
	"bytes"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// keyWrite is what a write of one key does. The zero keyWrite is none.
type keyWrite struct {
	when     condition
	change   change
	previous bool // the answer has the value that the entry had
	voids    bool // where it changes nothing, a load of the key's value is void: the key is to have no entry
}

// condition says when a write of one key is carried out.
type condition uint8

const (
	always    condition = iota
	ifAbsent            // there is no entry
	ifPresent           // there is an entry
	ifSame              // there is an entry with the expected value
)

// change is what a write of one key does to the entry.
type change uint8

const (
	noChange change = iota
	stores
	retimes
	removes
	evicts
)

// keyWrites are the writes of one key, by operation.
var keyWrites = [256]keyWrite{
	wire.OpSet:           {when: always, change: stores},
	wire.OpPut:           {when: always, change: stores, previous: true},
	wire.OpPutIfAbsent:   {when: ifAbsent, change: stores, previous: true},
	wire.OpReplace:       {when: ifPresent, change: stores, previous: true},
	wire.OpReplaceIfSame: {when: ifSame, change: stores},
	wire.OpRemove:        {when: ifPresent, change: removes, previous: true, voids: true},
	wire.OpRemoveIfSame:  {when: ifSame, change: removes},
	wire.OpDelete:        {when: ifPresent, change: removes, voids: true},
	wire.OpSetTTL:        {when: ifPresent, change: retimes},
	wire.OpEvict:         {when: ifPresent, change: evicts, voids: true},
}

// keyWriteOperations registers all of keyWrites.
var keyWriteOperations = func() (list []operation) {
	for code, w := range keyWrites {
		if w.change != noChange {
			list = append(list, operation{wire.Op(code), (*State).applyWrite})
		}
	}
	return list
}()

func (s *State) applyWrite(op *entry.Op) outcome {
	w, err := wire.DecodeWriteBody(op.Body)
	if err == nil {
		err = wire.CheckWrite(op.Code, &w)
	}
	if err != nil {
		return malformed(err)
	}
	return s.write(&keyWrites[op.Code], &w)
}

// checkOptions returns why a removal cannot carry the options that it has, or "".
func checkOptions(o *wire.WriteOptions) string {
	if o.Flags&(wire.WriteTTL|wire.WriteMaxIdle|wire.WriteKeepTTL) != 0 {
		return textLifetime
	}
	return ""
}

// write executes a write of one key, whose fields wire.CheckWrite has checked. WriteNoStore changes nothing here: it concerns the owner, which
// writes to stores.
func (s *State) write(does *keyWrite, w *wire.WriteBody) outcome {
	if does.change == removes || does.change == evicts {
		if text := checkOptions(&w.WriteOptions); text != "" {
			return refused(wire.CodeInvalid, text)
		}
	}

	// A former holder of the lock is refused whatever has become of the entry.
	if text := s.fenced(w.Map, w.Key, &w.WriteOptions); text != "" {
		return refused(wire.CodeFenced, text)
	}

	// current removes an expired entry first, so the conditions below are about what is visible.
	at := s.current(w.Map, w.Key)
	cur := at.cur
	if text := checkVersion(&w.WriteOptions, cur); text != "" {
		return refused(wire.CodeConflict, text)
	}

	var o outcome
	found := cur.data != nil
	if found {
		o.flags = wire.ResultFound
		if does.previous {
			o.flags |= wire.ResultValue
			// The value is kept by reference, since nobody changes it.
			o.data = cur.valueBytes()
		}
	}

	if !does.when.holds(cur, w.Expected) {
		// A value that is being loaded is as old as the entry that was to go: it must not come after the removal.
		if does.voids {
			s.voidLoad(w.Map, w.Key)
		}
		return o
	}

	o.flags |= wire.ResultApplied
	switch does.change {
	case retimes:
		o.version = s.retime(&at, &w.WriteOptions)
	case evicts:
		o.version = s.remove(at.m, cur, wire.EventEvicted)
	case removes:
		o.version = s.remove(at.m, cur, wire.EventRemoved)
	default: // stores
		o.version = s.store(&at, w.Map, w.Value, &w.WriteOptions)
	}
	return o
}

// holds reports whether the condition holds for the entry of a key, which may be none.
func (c condition) holds(cur item, expected []byte) bool {
	found := cur.data != nil
	switch c {
	case ifAbsent:
		return !found
	case ifPresent:
		return found
	case ifSame:
		return found && bytes.Equal(cur.valueBytes(), expected)
	}
	return true
}

// checkVersion returns why IfVersion does not hold for the entry, or "".
func checkVersion(o *wire.WriteOptions, cur item) string {
	if o.Flags&wire.WriteVersion == 0 {
		return ""
	}
	// The texts differ, so that the caller can tell a removal from another write.
	if cur.data == nil {
		return textNoKey
	}
	if cur.version() != o.IfVersion {
		return textVersion
	}
	return ""
}

// place is where a key stands, or is to stand. It is good until the state is changed.
type place struct {
	key  item      // a probe
	m    *mapState // nil: the map does not exist
	path path      // in m
	cur  item      // the entry; it may be none
}

// current returns the place of a key in the map with the given name. It first removes an expired entry, with its event. It aliases key.
func (s *State) current(name, key []byte) place {
	at := place{key: probe(key), m: s.find(name)}
	if at.m == nil {
		return at
	}
	e, found := at.m.entries.Find(at.key, &at.path)
	if !found {
		return at
	}

	// Every write meets an expired entry as none. The removal comes first, so that listeners hear EXPIRED before the event of
	// the write.
	if expired(e, s.clock) {
		s.remove(at.m, e, wire.EventExpired)
		// The removal has changed the tree. It may have copied the map, or ended it.
		if at.m = s.find(name); at.m != nil {
			at.m.entries.Find(at.key, &at.path)
		}
		return at
	}

	at.cur = e
	return at
}

// expired reports whether e has expired at the given time.
func expired(e item, at int64) bool {
	expires := e.expires()
	return expires != 0 && expires <= at
}

// store writes value at a place in the map with the given name. It returns the entry's version.
func (s *State) store(at *place, name, value []byte, o *wire.WriteOptions) uint64 {
	v := s.nextVersion()
	m, cur := at.m, at.cur
	if m == nil {
		// The write's version names the instance that begins with it.
		m = s.create(name, v)
	}
	m = s.own(m)

	next := meta{version: v, created: s.clock, updated: s.clock}
	kind, flags := wire.EventAdded, o.Flags
	if cur.data != nil {
		kind = wire.EventUpdated
		was := cur.meta()
		next.created = was.created
		if flags&wire.WriteKeepTTL != 0 {
			next.ttl, next.end, next.maxIdle = was.ttl, was.end, was.maxIdle
			flags &^= wire.WriteTTL | wire.WriteMaxIdle // the owner gives them for an entry that does not exist
		}
	}

	s.setLifetime(&next, flags, o)

	e := newItem(at.key, value, &next)
	e.inherit(cur)
	s.put(m, e, &at.path)

	s.emit(m, kind, v, cur, e)
	// A loader read the store before this write. Its value must not replace the newer one.
	s.endLoad(name, at.key.keyBytes())
	return v
}

// setLifetime gives an entry written now the TTL and the max-idle of the options, as far as the flags name them. The max-idle runs from now.
func (s *State) setLifetime(e *meta, flags wire.WriteFlags, o *wire.WriteOptions) {
	if flags&wire.WriteTTL != 0 {
		e.ttl, e.end = 0, after(s.clock, o.TTL)
		// A TTL that never ends is stored as none, which keeps the entry's head short.
		if e.end != 0 {
			e.ttl = o.TTL
		}
	}

	if flags&wire.WriteMaxIdle != 0 {
		e.maxIdle = 0
		if o.MaxIdle < wire.Forever {
			e.maxIdle = o.MaxIdle
		}
	}

	// The time of the last use stands in an entry only where a max-idle needs it.
	e.touched = 0
	if e.maxIdle != 0 {
		e.touched = s.clock
	}
}

// retime gives the entry another TTL, and another max-idle if the options carry one. It does not write the value, but it uses the entry: the
// max-idle runs from now. It returns the entry's new version.
func (s *State) retime(at *place, o *wire.WriteOptions) uint64 {
	v := s.nextVersion()
	m, cur := s.own(at.m), at.cur

	next := cur.meta()
	next.version = v
	s.setLifetime(&next, o.Flags, o)

	// The value stays, and with it what reads have kept of the entry.
	e := newItem(cur, cur.valueBytes(), &next)
	e.inherit(cur)

	s.put(m, e, &at.path)
	s.emit(m, wire.EventTTL, v, cur, e)
	return v
}

// remove takes the entry out of m and returns the version of the change.
func (s *State) remove(m *mapState, cur item, kind wire.EventKind) uint64 {
	v := s.nextVersion()
	m = s.own(m)
	s.drop(m, cur)

	// These counts belong to the process: a replica that was restored counts from zero.
	switch kind {
	case wire.EventExpired:
		m.expired++
		m.lag = max(m.lag, s.clock-cur.expires())
	case wire.EventEvicted:
		m.evicted++
	}

	s.emit(m, kind, v, cur, item{})
	return v
}
