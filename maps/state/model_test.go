package state

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"slices"
	"sort"

	"github.com/gridiron-io/gridiron/sdk/update"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// model is a partition's state as one would write it without a thought for speed: Go maps, linear scans, and all events
// that ever were. The state machine is compared with it.
type model struct {
	lim                 Limits
	generation, counter uint64
	clock               int64
	published           uint64
	maps                map[string]*modelMap
	clients             map[wire.ID]*modelClient
	ring                []modelEvent
	pos, ended          uint64 // of the last event; of the last event of maps that have ended and are forgotten
	endings             []modelEnding
	locks               map[modelKey]*modelLock

	bounds     wire.BoundRingBody
	swept      int64 // clock at the last OpSweep that was not a tick
	sweptLoads int64 // and did not end with the locks

	granted     []uint64 // all fences that were given out
	resumed     int64    // clock at the last OpResume
	everResumed bool
}

type modelMap struct {
	instance, seq uint64
	pos           uint64 // of the last event, or that of maps that had ended before
	entries       map[string]modelEntry
}

type modelEntry struct {
	value            []byte
	version          uint64
	created, updated int64
	ttl              uint64
	end              int64
	maxIdle          uint64
	touched          int64
}

type modelClient struct {
	floor   uint64
	until   int64
	records map[uint64]modelRecord
}

type modelRecord struct {
	deadline int64
	code     wire.Code
	body     []byte
	data     int // bytes that are remembered: all of the body, or its value
}

type modelEvent struct {
	name string
	wire.Event
}

// modelOp is an operation before it is encoded.
type modelOp struct {
	code     wire.Op
	client   wire.ID
	seq      uint64
	lowest   uint64
	deadline int64
	write    wire.WriteBody
	many     wire.ManyBody
	name     string // OpClear, OpDestroy
	limit    uint32 // OpSweep, OpBoundRing
	lock     wire.LockBody
	unlock   wire.UnlockBody
	evict    wire.EvictBody
	touch    wire.TouchBody
	removal  wire.RemovalBody
	loaded   wire.LoadedBody
	update   wire.UpdateBody
}

// bounds are those of OpBoundRing: none set, or few events of not many bytes.
func (op *modelOp) bounds() wire.BoundRingBody {
	return wire.BoundRingBody{Entries: 3 * uint64(op.limit), Bytes: 250 * uint64(op.limit)}
}

func newModel(generation uint64, lim Limits) *model {
	return &model{lim: lim, generation: generation, maps: map[string]*modelMap{}, clients: map[wire.ID]*modelClient{},
		locks: map[modelKey]*modelLock{}}
}

func (m *model) next() uint64 {
	m.counter++
	return uint64(wire.StampOf(m.generation, m.counter))
}

func (e modelEntry) expires() int64 {
	var at int64
	if e.end != 0 {
		at = e.end
	}
	if e.maxIdle != 0 && uint64(e.touched)+e.maxIdle <= math.MaxInt64 {
		if idle := e.touched + int64(e.maxIdle); at == 0 || idle < at {
			at = idle
		}
	}
	return at
}

func (m *model) gone(e modelEntry, at int64) bool { return e.expires() != 0 && e.expires() <= at }

func (m *model) advance(now int64, published uint64) {
	m.clock, m.published = max(m.clock, now), max(m.published, published)
	for id, c := range m.clients {
		for seq, r := range c.records {
			if r.deadline < m.clock {
				delete(c.records, seq)
			}
		}
		if c.until+1 < m.clock {
			delete(m.clients, id)
		}
	}
	m.trimEndings()
}

// modelEnding is a map that has ended.
type modelEnding struct {
	name string
	pos  uint64
	at   int64
}

// end ends a map.
func (m *model) end(name string) {
	m.endings = append(m.endings, modelEnding{name, m.maps[name].pos, m.clock})
	delete(m.maps, name)
	m.trimEndings()
}

func (m *model) trimEndings() {
	for {
		bytes := 0
		for _, e := range m.endings {
			bytes += 96 + len(e.name)
		}
		if bytes <= m.lim.EndedBytes || bytes <= 16*m.lim.EndedBytes && m.clock-m.endings[0].at < 10_000 {
			return
		}
		first := m.endings[0]
		m.endings = m.endings[1:]
		if _, later := m.endedAt(first.name); !later && m.maps[first.name] == nil {
			m.ended = max(m.ended, first.pos)
		}
	}
}

// endedAt returns the position of the last event of a map that has ended, and whether it is known.
func (m *model) endedAt(name string) (pos uint64, known bool) {
	pos = m.ended
	for _, e := range m.endings {
		if e.name == name {
			pos, known = e.pos, true
		}
	}
	return pos, known
}

// forget drops the oldest event, and its map if that was the last there was to say of it.
func (m *model) forget() {
	e := m.ring[0]
	m.ring = m.ring[1:]
	if mm := m.maps[e.name]; mm != nil && mm.instance == e.Instance && mm.pos == e.Pos && len(mm.entries) == 0 {
		m.end(e.name)
	}
}

func (m *model) emit(name string, kind wire.EventKind, version uint64, key string, old, after []byte, expires int64) {
	mm := m.maps[name]
	mm.seq++
	m.pos++
	since := mm.pos
	mm.pos = m.pos
	e := modelEvent{name: name, Event: wire.Event{Pos: m.pos, Instance: mm.instance, Seq: mm.seq, Version: version, Time: m.clock,
		Expires: expires, Kind: kind, Old: old, New: after}}
	if key != "" {
		e.Key = []byte(key)
	}
	e.Since = since
	m.ring = append(m.ring, e)
	m.trim()
}

func (m *model) trim() {
	for len(m.ring) > cmp.Or(int(m.bounds.Entries), m.lim.RingEvents) {
		m.forget()
	}
	for len(m.ring) > 1 && m.ringBytes() > cmp.Or(int(m.bounds.Bytes), m.lim.RingBytes) {
		if !m.strip() {
			m.forget()
		}
	}
}

func (m *model) large(e modelEvent) bool { return len(e.Old)+len(e.New) > m.lim.EventValues }

// shown returns an event with what the entry still has of its values.
func (m *model) shown(e modelEvent) modelEvent {
	mm := m.maps[e.name]
	if e.Flags&wire.EventOmitted == 0 || mm == nil || mm.instance != e.Instance {
		return e
	}
	if entry, ok := mm.entries[string(e.Key)]; ok && entry.version == e.Version {
		e.New = entry.value
		if e.Kind == wire.EventTTL {
			e.Old = e.New
		}
		if e.Kind != wire.EventUpdated {
			e.Flags = 0
		}
	}
	return e
}

func (m *model) ringBytes() int {
	n := 0
	for i, e := range m.ring {
		n += 32 + len(e.Key)
		if i < len(m.ring)-1 || !m.large(e) {
			n += len(e.Old) + len(e.New)
		}
	}
	return n
}

func (m *model) strip() bool {
	for i, e := range m.ring[:len(m.ring)-1] {
		if m.large(e) {
			m.ring[i].Old, m.ring[i].New, m.ring[i].Flags = nil, nil, wire.EventOmitted
			return true
		}
	}
	return false
}

// apply returns what the operation must answer.
func (m *model) apply(op *modelOp) (wire.Code, []byte) {
	if op.client.IsZero() || op.seq == 0 {
		return m.execute(op)
	}
	if op.deadline < m.clock {
		return wire.CodeExpired, nil
	}
	c := m.clients[op.client]
	if c == nil {
		c = &modelClient{records: map[uint64]modelRecord{}}
		m.clients[op.client] = c
	}
	c.until = max(c.until, op.deadline, m.clock+120_000)
	c.floor = max(c.floor, op.lowest)
	for seq := range c.records {
		if seq < c.floor {
			delete(c.records, seq)
		}
	}
	if op.seq < c.floor {
		return wire.CodeStale, nil
	}
	if r, ok := c.records[op.seq]; ok {
		return r.code, r.body
	}
	code, body := m.execute(op)
	// What the entry has decided is remembered, whatever it was.
	if code != wire.CodeInvalid || op.code == wire.OpUpdate {
		data := len(body)
		switch op.code {
		case wire.OpSetMany, wire.OpDeleteMany, wire.OpSweep, wire.OpLock, wire.OpRenew, wire.OpResume, wire.OpEvictMany, wire.OpTouch,
			wire.OpRemoveAll, wire.OpLoad, wire.OpBoundRing:
		default:
			if code == wire.CodeOK {
				data -= len(result(0, 0, nil))
			}
		}
		c.records[op.seq] = modelRecord{op.deadline, code, body, data}
	}
	return code, body
}

func (m *model) execute(op *modelOp) (wire.Code, []byte) {
	switch op.code {
	case wire.OpSetMany, wire.OpDeleteMany:
		return m.many(op)
	case wire.OpClear:
		var loads []string
		for k := range m.locks {
			if k.load && k.name == op.name {
				loads = append(loads, k.key)
			}
		}
		sort.Strings(loads)
		for _, key := range loads {
			m.void(op.name, key)
		}
		mm := m.maps[op.name]
		if mm == nil || m.size(op.name) == 0 {
			return wire.CodeOK, result(0, 0, nil)
		}
		v := m.next()
		mm.entries = map[string]modelEntry{}
		m.emit(op.name, wire.EventCleared, v, "", nil, nil, 0)
		return wire.CodeOK, result(wire.ResultFound|wire.ResultApplied, v, nil)
	case wire.OpDestroy:
		mm, locked := m.maps[op.name], m.destroyLocks(op.name)
		if mm == nil && !locked {
			return wire.CodeOK, result(0, 0, nil)
		}
		v, flags := m.next(), wire.ResultApplied
		if mm == nil {
			return wire.CodeOK, result(flags, v, nil)
		}
		if m.size(op.name) > 0 {
			flags |= wire.ResultFound
		}
		if len(mm.entries) > 0 {
			m.emit(op.name, wire.EventCleared, v, "", nil, nil, 0)
		}
		m.end(op.name)
		return wire.CodeOK, result(flags, v, nil)
	case wire.OpSweep:
		return m.sweep(int(op.limit))
	case wire.OpBoundRing:
		m.bounds = op.bounds()
		m.trim()
		return wire.CodeOK, nil
	case wire.OpLock, wire.OpRenew, wire.OpUnlock, wire.OpForceUnlock, wire.OpResume, wire.OpLoad, wire.OpLoaded:
		return m.executeLock(op)
	case wire.OpEvictMany:
		n := uint64(0)
		for i, key := range op.evict.Keys {
			if e, found := m.visible(string(op.evict.Map), string(key)); found && e.version == op.evict.Versions[i] && !m.locked(string(op.evict.Map), string(key)) {
				m.remove(string(op.evict.Map), string(key), wire.EventEvicted)
				n++
			}
		}
		return wire.CodeOK, wire.AppendUvarint(nil, n)
	case wire.OpRemoveAll:
		res, name := wire.RemoveResult{Next: op.removal.Next}, string(op.removal.Map)
		for i, key := range op.removal.Keys {
			if op.removal.Versions[i] == 0 {
				m.void(name, string(key))
				continue
			}
			if e, found := m.visible(name, string(key)); found && e.version == op.removal.Versions[i] {
				m.remove(name, string(key), wire.EventRemoved)
				res.Removed++
			}
		}
		return wire.CodeOK, wire.AppendRemoveResult(nil, &res)
	case wire.OpUpdate:
		return m.update(&op.update)
	case wire.OpTouch:
		n := uint64(0)
		for i, key := range op.touch.Keys {
			name := string(op.touch.Map)
			e, found := m.visible(name, string(key))
			if at := min(op.touch.At[i], m.clock); found && e.maxIdle != 0 && at > e.touched {
				e.touched = at
				m.maps[name].entries[string(key)] = e
				n++
			}
		}
		return wire.CodeOK, wire.AppendUvarint(nil, n)
	}
	return m.write(op)
}

func result(flags uint8, version uint64, value []byte) []byte {
	return wire.AppendWriteResult(nil, &wire.WriteResult{Flags: flags, Version: version, Value: value})
}

func (m *model) sweep(limit int) (wire.Code, []byte) {
	passed := m.sweepLocks(limit, false)
	passed += m.sweepLocks(limit-passed, true)
	limit -= passed
	type due struct {
		at        int64
		name, key string
	}
	var list []due
	for name, mm := range m.maps {
		for key, e := range mm.entries {
			if m.gone(e, m.clock) {
				list = append(list, due{e.expires(), name, key})
			}
		}
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.at != b.at {
			return a.at < b.at
		}
		if a.name != b.name {
			return a.name < b.name
		}
		return CompareKeys([]byte(a.key), []byte(b.key)) < 0
	})
	list = list[:min(len(list), limit)]
	for _, d := range list {
		m.expire(d.name, d.key)
	}
	return wire.CodeOK, wire.AppendUvarint(nil, uint64(passed+len(list)))
}

func (m *model) expire(name, key string) {
	e := m.maps[name].entries[key]
	delete(m.maps[name].entries, key)
	m.emit(name, wire.EventExpired, m.next(), key, e.value, nil, 0)
}

// locked reports whether the key's lock is held or, as far as anybody has looked, not yet passed on.
func (m *model) locked(name, key string) bool {
	l := m.locks[modelKey{name, key, false}]
	return l != nil && l.freed == 0
}

// visible returns the entry under key if its time has not come.
func (m *model) visible(name, key string) (modelEntry, bool) {
	if m.maps[name] == nil {
		return modelEntry{}, false
	}
	e, ok := m.maps[name].entries[key]
	return e, ok && !m.gone(e, m.clock)
}

// get returns the entry under key after removing it if its time has come.
func (m *model) get(name, key string) (modelEntry, bool) {
	if m.maps[name] == nil {
		return modelEntry{}, false
	}
	e, ok := m.maps[name].entries[key]
	if ok && m.gone(e, m.clock) {
		m.expire(name, key)
		return modelEntry{}, false
	}
	return e, ok
}

func (m *model) many(op *modelOp) (wire.Code, []byte) {
	o := &op.many.WriteOptions
	if op.code == wire.OpDeleteMany && o.Flags&(wire.WriteTTL|wire.WriteMaxIdle|wire.WriteKeepTTL) != 0 {
		return wire.CodeInvalid, nil
	}
	var res wire.BulkResult
	name := string(op.many.Map)
	for i, k := range op.many.Keys {
		if m.fenced(o, name, string(k)) {
			res.Failed = append(res.Failed, wire.BulkError{Index: uint32(i), Code: wire.CodeFenced})
			continue
		}
		e, found := m.get(name, string(k))
		if o.Flags&wire.WriteVersion != 0 && (!found || e.version != o.IfVersion) {
			res.Failed = append(res.Failed, wire.BulkError{Index: uint32(i), Code: wire.CodeConflict})
			continue
		}
		if op.code == wire.OpSetMany {
			m.store(name, string(k), op.many.Values[i], o)
			res.Applied++
		} else if found {
			m.remove(name, string(k), wire.EventRemoved)
			res.Applied++
		} else {
			m.void(name, string(k))
		}
	}
	return wire.CodeOK, wire.AppendBulkResult(nil, &res)
}

func (m *model) write(op *modelOp) (wire.Code, []byte) {
	o, name, key := &op.write.WriteOptions, string(op.write.Map), string(op.write.Key)
	switch op.code {
	case wire.OpRemove, wire.OpRemoveIfSame, wire.OpDelete, wire.OpEvict:
		if o.Flags&(wire.WriteTTL|wire.WriteMaxIdle|wire.WriteKeepTTL) != 0 {
			return wire.CodeInvalid, nil
		}
	}
	if m.fenced(o, name, key) {
		return wire.CodeFenced, []byte(textFence)
	}
	e, found := m.get(name, key)
	if o.Flags&wire.WriteVersion != 0 && !found {
		return wire.CodeConflict, []byte(textNoKey)
	}
	if o.Flags&wire.WriteVersion != 0 && e.version != o.IfVersion {
		return wire.CodeConflict, []byte(textVersion)
	}
	var flags uint8
	if found {
		flags = wire.ResultFound
	}
	same := found && bytes.Equal(e.value, op.write.Expected)
	switch op.code {
	case wire.OpSet:
		return wire.CodeOK, result(flags|wire.ResultApplied, m.store(name, key, op.write.Value, o), nil)
	case wire.OpPut:
		if found {
			flags |= wire.ResultValue
		}
		return wire.CodeOK, result(flags|wire.ResultApplied, m.store(name, key, op.write.Value, o), e.value)
	case wire.OpPutIfAbsent:
		if found {
			return wire.CodeOK, result(flags|wire.ResultValue, 0, e.value)
		}
		return wire.CodeOK, result(wire.ResultApplied, m.store(name, key, op.write.Value, o), nil)
	case wire.OpReplace:
		if !found {
			return wire.CodeOK, result(0, 0, nil)
		}
		return wire.CodeOK, result(flags|wire.ResultApplied|wire.ResultValue, m.store(name, key, op.write.Value, o), e.value)
	case wire.OpReplaceIfSame:
		if !same {
			return wire.CodeOK, result(flags, 0, nil)
		}
		return wire.CodeOK, result(flags|wire.ResultApplied, m.store(name, key, op.write.Value, o), nil)
	case wire.OpRemove:
		if !found {
			m.void(name, key)
			return wire.CodeOK, result(0, 0, nil)
		}
		return wire.CodeOK, result(flags|wire.ResultApplied|wire.ResultValue, m.remove(name, key, wire.EventRemoved), e.value)
	case wire.OpRemoveIfSame:
		if !same {
			return wire.CodeOK, result(flags, 0, nil)
		}
		return wire.CodeOK, result(flags|wire.ResultApplied, m.remove(name, key, wire.EventRemoved), nil)
	case wire.OpDelete, wire.OpEvict:
		if !found {
			m.void(name, key)
			return wire.CodeOK, result(0, 0, nil)
		}
		kind := wire.EventRemoved
		if op.code == wire.OpEvict {
			kind = wire.EventEvicted
		}
		return wire.CodeOK, result(flags|wire.ResultApplied, m.remove(name, key, kind), nil)
	case wire.OpSetTTL:
		if !found {
			return wire.CodeOK, result(0, 0, nil)
		}
		v := m.next()
		e.version = v
		m.live(&e, o.Flags, o)
		m.maps[name].entries[key] = e
		m.emit(name, wire.EventTTL, v, key, e.value, e.value, e.expires())
		return wire.CodeOK, result(flags|wire.ResultApplied, v, nil)
	}
	panic("no such operation in the model")
}

// update leaves to package update, which has a model of its own, what a processor makes of a value.
func (m *model) update(u *wire.UpdateBody) (wire.Code, []byte) {
	name, key := string(u.Map), string(u.Key)
	if m.fenced(&u.WriteOptions, name, key) {
		return wire.CodeFenced, []byte(textFence)
	}
	e, found := m.get(name, key)
	if u.Flags&wire.WriteVersion != 0 && !found {
		return wire.CodeConflict, []byte(textNoKey)
	}
	if u.Flags&wire.WriteVersion != 0 && e.version != u.IfVersion {
		return wire.CodeConflict, []byte(textVersion)
	}
	flags := wire.ResultValue
	if found {
		flags |= wire.ResultFound
	}
	c, err := update.Run(u.Processor, e.value, e.version, u.Arg, int(u.Most))
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		return wire.CodeTooLarge, []byte(err.Error())
	case err != nil:
		return wire.CodeInvalid, []byte(err.Error())
	case c.Value == nil:
		return wire.CodeOK, result(flags, 0, c.Result)
	case c.Result == nil:
		c.Result = c.Value
	}
	return wire.CodeOK, result(flags|wire.ResultApplied, m.store(name, key, c.Value, &u.WriteOptions), c.Result)
}

func (m *model) live(e *modelEntry, flags wire.WriteFlags, o *wire.WriteOptions) {
	if flags&wire.WriteTTL != 0 {
		e.ttl, e.end = 0, 0
		if o.TTL > 0 && o.TTL < wire.Forever && uint64(m.clock)+o.TTL <= math.MaxInt64 {
			e.ttl, e.end = o.TTL, m.clock+int64(o.TTL)
		}
	}
	if flags&wire.WriteMaxIdle != 0 {
		e.maxIdle = o.MaxIdle
		if o.MaxIdle >= wire.Forever {
			e.maxIdle = 0
		}
	}
	e.touched = 0
	if e.maxIdle != 0 {
		e.touched = m.clock
	}
}

func (m *model) store(name, key string, value []byte, o *wire.WriteOptions) uint64 {
	v := m.next()
	mm := m.maps[name]
	if mm == nil {
		mm = &modelMap{instance: v, entries: map[string]modelEntry{}}
		mm.pos, _ = m.endedAt(name)
		m.maps[name] = mm
	}
	was, found := mm.entries[key]
	e := modelEntry{value: bytes.Clone(value), version: v, created: m.clock, updated: m.clock}
	kind, flags := wire.EventAdded, o.Flags
	if found {
		kind, e.created = wire.EventUpdated, was.created
		if flags&wire.WriteKeepTTL != 0 {
			e.ttl, e.end, e.maxIdle = was.ttl, was.end, was.maxIdle
			flags &^= wire.WriteTTL | wire.WriteMaxIdle
		}
	}
	m.live(&e, flags, o)
	mm.entries[key] = e
	m.emit(name, kind, v, key, was.value, e.value, e.expires())
	delete(m.locks, modelKey{name, key, true})
	return v
}

func (m *model) remove(name, key string, kind wire.EventKind) uint64 {
	v := m.next()
	e := m.maps[name].entries[key]
	delete(m.maps[name].entries, key)
	m.emit(name, kind, v, key, e.value, nil, 0)
	return v
}

// size counts the visible entries.
func (m *model) size(name string) int {
	n := 0
	if mm := m.maps[name]; mm != nil {
		for _, e := range mm.entries {
			if !m.gone(e, m.clock) {
				n++
			}
		}
	}
	return n
}

// keys returns the keys of the visible entries in order.
func (m *model) keys(name string) []string {
	var keys []string
	if mm := m.maps[name]; mm != nil {
		for k, e := range mm.entries {
			if !m.gone(e, m.clock) {
				keys = append(keys, k)
			}
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return CompareKeys([]byte(a), []byte(b)) })
	return keys
}
