package state

import (
	"bytes"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// removal reports whether an operation leaves no entry.
func removal(code wire.Op) bool {
	switch code {
	case wire.OpRemove, wire.OpRemoveIfSame, wire.OpDelete, wire.OpDeleteMany, wire.OpEvict:
		return true
	}
	return false
}

// checkOptions returns why an operation cannot carry the options that it has, or "".
func checkOptions(code wire.Op, o *wire.WriteOptions) string {
	if removal(code) && o.Flags&(wire.WriteTTL|wire.WriteMaxIdle|wire.WriteKeepTTL) != 0 {
		return textLifetime
	}
	return ""
}

// write executes a write of one key, whose fields wire.CheckWrite has found in order. WriteNoStore concerns the owner, which
// writes to stores, and changes nothing here.
func (s *State) write(code wire.Op, w *wire.WriteBody) outcome {
	if text := checkOptions(code, &w.WriteOptions); text != "" {
		return refused(wire.CodeInvalid, text)
	}
	if text := s.fenced(w.Map, w.Key, &w.WriteOptions); text != "" {
		return refused(wire.CodeFenced, text)
	}
	m, cur := s.current(w.Map, w.Key)
	if text := checkVersion(&w.WriteOptions, cur); text != "" {
		return refused(wire.CodeConflict, text)
	}
	var o outcome
	found := cur.data != nil
	if found {
		o.flags = wire.ResultFound
		switch code {
		case wire.OpPut, wire.OpPutIfAbsent, wire.OpReplace, wire.OpRemove:
			o.flags |= wire.ResultValue
			o.data = cur.valueBytes()
		}
	}
	var apply bool
	switch code {
	case wire.OpSet, wire.OpPut:
		apply = true
	case wire.OpPutIfAbsent:
		apply = !found
	case wire.OpReplaceIfSame, wire.OpRemoveIfSame:
		apply = found && bytes.Equal(cur.valueBytes(), w.Expected)
	default:
		apply = found
	}
	if !apply {
		switch code {
		case wire.OpRemove, wire.OpDelete, wire.OpEvict:
			s.voidLoad(w.Map, w.Key)
		}
		return o
	}
	o.flags |= wire.ResultApplied
	switch code {
	case wire.OpSetTTL:
		o.version = s.retime(m, cur, &w.WriteOptions)
	case wire.OpEvict:
		o.version = s.remove(m, cur, wire.EventEvicted)
	case wire.OpRemove, wire.OpRemoveIfSame, wire.OpDelete:
		o.version = s.remove(m, cur, wire.EventRemoved)
	default:
		o.version = s.store(m, cur, w.Map, w.Key, w.Value, &w.WriteOptions)
	}
	return o
}

// writeMany executes SetMany and DeleteMany: the keys in their order, each as if it were written alone. A key for which
// IfVersion does not hold fails with CodeConflict, one whose fence is another with CodeFenced; the others are done.
func (s *State) writeMany(code wire.Op, b *wire.ManyBody) outcome {
	if (b.Values != nil) != (code == wire.OpSetMany) {
		return refused(wire.CodeInvalid, code.String()+" with the wrong fields")
	}
	if b.Flags&wire.WriteVersion != 0 && b.IfVersion == 0 {
		return refused(wire.CodeInvalid, "IfVersion(0)")
	}
	if text := checkOptions(code, &b.WriteOptions); text != "" {
		return refused(wire.CodeInvalid, text)
	}
	var res wire.BulkResult
	for i, key := range b.Keys {
		if s.fenced(b.Map, key, &b.WriteOptions) != "" {
			res.Failed = append(res.Failed, wire.BulkError{Index: uint32(i), Code: wire.CodeFenced})
			continue
		}
		m, cur := s.current(b.Map, key)
		switch {
		case checkVersion(&b.WriteOptions, cur) != "":
			res.Failed = append(res.Failed, wire.BulkError{Index: uint32(i), Code: wire.CodeConflict})
		case code == wire.OpSetMany:
			s.store(m, cur, b.Map, key, b.Values[i], &b.WriteOptions)
			res.Applied++
		case cur.data != nil:
			s.remove(m, cur, wire.EventRemoved)
			res.Applied++
		default:
			s.voidLoad(b.Map, key)
		}
	}
	return outcome{data: wire.AppendBulkResult(nil, &res), whole: true}
}

// checkVersion returns why IfVersion does not hold for the entry, or "".
func checkVersion(o *wire.WriteOptions, cur item) string {
	if o.Flags&wire.WriteVersion == 0 {
		return ""
	}
	if cur.data == nil {
		return textNoKey
	}
	if cur.version() != o.IfVersion {
		return textVersion
	}
	return ""
}

// current returns the map with the given name, if there is one, and its entry under key, if there is one. An entry that has
// expired is removed first, with its event.
func (s *State) current(name, key []byte) (*mapState, item) {
	m := s.find(name)
	if m == nil {
		return nil, item{}
	}
	e, ok := m.entries.Get(probe(key))
	if !ok {
		return m, item{}
	}
	if expired(e, s.clock) {
		s.remove(m, e, wire.EventExpired)
		return s.find(name), item{}
	}
	return m, e
}

// expired reports whether e is gone at the given time.
func expired(e item, at int64) bool {
	expires := e.expires()
	return expires != 0 && expires <= at
}

// store writes value under key of m, which is nil if the map does not exist yet; cur is what stands there. It returns the
// entry's version.
func (s *State) store(m *mapState, cur item, name, key, value []byte, o *wire.WriteOptions) uint64 {
	v := s.nextVersion()
	if m == nil {
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
			flags &^= wire.WriteTTL | wire.WriteMaxIdle // those are for an entry that does not exist
		}
	}
	s.setLifetime(&next, flags, o)
	e := newItem(key, value, &next)
	e.inherit(cur)
	s.put(m, e)
	s.emit(m, kind, v, cur, e)
	s.endLoad(name, key)
	return v
}

// setLifetime gives an entry written now those of the options' TTL and max-idle that the flags name. The max-idle runs from
// now.
func (s *State) setLifetime(e *meta, flags wire.WriteFlags, o *wire.WriteOptions) {
	if flags&wire.WriteTTL != 0 {
		e.ttl, e.end = 0, after(s.clock, o.TTL)
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
	e.touched = 0
	if e.maxIdle != 0 {
		e.touched = s.clock
	}
}

// retime gives the entry another TTL, and another max-idle if the options carry one. It is no write of the value, but it is
// a use of the entry: the max-idle runs from now. It returns the entry's new version.
func (s *State) retime(m *mapState, cur item, o *wire.WriteOptions) uint64 {
	v := s.nextVersion()
	m = s.own(m)
	next := cur.meta()
	next.version = v
	s.setLifetime(&next, o.Flags, o)
	e := newItem(cur.keyBytes(), cur.valueBytes(), &next)
	e.inherit(cur)
	s.put(m, e)
	s.emit(m, wire.EventTTL, v, cur, e)
	return v
}

// remove takes the entry out of m and returns the version of the change.
func (s *State) remove(m *mapState, cur item, kind wire.EventKind) uint64 {
	v := s.nextVersion()
	m = s.own(m)
	s.drop(m, cur)
	switch kind {
	case wire.EventExpired:
		m.expired++
	case wire.EventEvicted:
		m.evicted++
	}
	s.emit(m, kind, v, cur, item{})
	return v
}
