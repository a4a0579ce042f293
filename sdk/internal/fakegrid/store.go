package fakegrid

import (
	"bytes"
	"errors"
	"slices"
	"sort"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/query"
	"github.com/gridiron-io/gridiron/sdk/update"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

type partition struct {
	owner   int // -1: nobody
	epoch   uint64
	version uint64
	maps    map[string]*table
	locks   map[string]*lock // by map and key
}

// table is one map in one partition.
type table struct {
	entries map[string]*entry
	keys    []string // in order
}

type entry struct {
	value             []byte
	version           uint64
	ttl, idle         uint64
	expires           int64
	created, modified int64
}

type identity struct {
	client wire.ID
	seq    uint64
}

type record struct {
	code wire.Code
	body []byte
	runs int
}

// Runs returns how often the call with an identity was executed.
func (g *Grid) Runs(client wire.ID, seq uint64) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.records[identity{client, seq}].runs
}

// executeLocked does what a member does with a request. REQUIRES mu.
func (g *Grid) executeLocked(s *session, req *wire.Request) (wire.Code, []byte) {
	switch req.Op {
	case wire.OpPing:
		return wire.CodeOK, nil
	case wire.OpTable:
		// As at a real member, asking once is enough to get later tables too.
		s.subscribed = true
		return wire.CodeOK, g.viewLocked()
	case wire.OpStatus:
		return wire.CodeOK, wire.AppendStatus(nil, &wire.Status{ID: g.ID, Name: g.Name, State: "active", Safe: true, Tolerates: 1,
			Members: uint32(len(g.mu.members)), Ready: uint32(len(g.mu.members)), Partitions: uint32(len(g.mu.parts)), Replicas: 3, Versions: []string{"test"}})
	case wire.OpPartitions:
		return wire.CodeOK, g.partitionsLocked(s.m)
	case wire.OpMaps:
		return wire.CodeOK, g.mapsLocked(s.m)
	case wire.OpMapConfigs:
		return wire.CodeOK, wire.AppendMapConfigsResult(nil, &g.mu.configs)
	case wire.OpSetMapConfig:
		return g.setMapConfigLocked(req.Body)
	}

	if int(req.Partition) >= len(g.mu.parts) {
		return wire.CodeInvalid, []byte("no such partition")
	}

	p := &g.mu.parts[req.Partition]

	// Nothing is executed by a member that does not own the partition, and the answer says so for certain.
	if p.owner != s.m.Index {
		moved := wire.Moved{Epoch: p.epoch}
		if p.owner >= 0 {
			moved.Owner = g.mu.members[p.owner].Info.ID
		}
		return wire.CodeMoved, wire.AppendMoved(nil, moved)
	}

	if req.Op.IsRead() {
		code, body := p.read(req, g.nowLocked())
		if req.Flags&wire.FlagCache != 0 && code == wire.CodeOK {
			body = append(g.headLocked(req.Partition), body...)
		}
		return code, body
	}
	if !req.Op.IsWrite() {
		return wire.CodeInvalid, []byte("unknown operation")
	}

	now := g.nowLocked()

	switch {
	case req.Seq == 0 || req.Lowest == 0 || req.Lowest > req.Seq:
		return wire.CodeInvalid, []byte("seq and lowest contradict each other")
	case req.Deadline == 0 || req.Deadline > now+60_000:
		return wire.CodeInvalid, []byte("a deadline more than 60 s ahead")
	}

	// A copy of an executed call gets the first result, wherever it arrives: records are the grid's, not a member's.
	id := identity{req.Client, req.Seq}
	if r, ok := g.mu.records[id]; ok {
		return r.code, r.body
	}

	// Only after the records: a copy that comes late still gets its result.
	if req.Deadline < now {
		return wire.CodeExpired, nil
	}

	p.version++
	code, body := p.write(req, now)
	// A request that could not be read has executed nothing.
	if code != wire.CodeInvalid {
		g.mu.records[id] = record{code, body, g.mu.records[id].runs + 1}
	}
	return code, body
}

// headLocked returns what stands before an answer to a near cache. REQUIRES mu.
func (g *Grid) headLocked(partition uint32) []byte {
	p := &g.mu.parts[partition]
	h := wire.CacheHead{Position: wire.Position{Epoch: p.epoch}, Version: p.version, AsOf: g.nowLocked()}
	if g.mu.position != nil {
		h.Position = g.mu.position(partition)
	}
	h.Position.Partition = partition
	return wire.AppendCacheHead(nil, &h)
}

// Version returns the version of the last change in a partition.
func (g *Grid) Version(partition int) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.parts[partition].version
}

// OnCache makes f say where the events of a partition stand, for reads that a near cache makes. f must not call the grid.
func (g *Grid) OnCache(f func(partition uint32) wire.Position) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.position = f
}

func (p *partition) table(name []byte) *table {
	t := p.maps[string(name)]
	if t == nil {
		t = &table{entries: make(map[string]*entry)}
		p.maps[string(name)] = t
	}
	return t
}

func (t *table) get(key []byte, now int64) *entry {
	e := t.entries[string(key)]
	// Expired entries go when they are looked at. No sweep is needed in a test.
	if e != nil && e.expires != 0 && now >= e.expires {
		t.remove(string(key))
		return nil
	}
	return e
}

func (t *table) remove(key string) {
	if _, ok := t.entries[key]; ok {
		delete(t.entries, key)
		i := sort.SearchStrings(t.keys, key)
		t.keys = slices.Delete(t.keys, i, i+1)
	}
}

func (t *table) set(key []byte, value []byte, version uint64, o *wire.WriteOptions, now int64) {
	e := t.entries[string(key)]
	if e == nil {
		// The order of keys is kept on insertion, so that a scan can go on after any key.
		e = &entry{created: now}
		t.entries[string(key)] = e
		i := sort.SearchStrings(t.keys, string(key))
		t.keys = slices.Insert(t.keys, i, string(key))
	}

	e.value, e.version, e.modified = bytes.Clone(value), version, now

	if o.Flags&wire.WriteKeepTTL == 0 {
		e.ttl, e.idle, e.expires = o.TTL, o.MaxIdle, 0
		if o.TTL > 0 {
			e.expires = now + int64(o.TTL)
		}
	}
}

func result(e *entry) wire.GetResult {
	if e == nil {
		return wire.GetResult{}
	}
	return wire.GetResult{Flags: wire.ResultFound | wire.ResultValue, Version: e.version, Expires: e.expires, Value: e.value}
}

func (p *partition) read(req *wire.Request, now int64) (wire.Code, []byte) {
	invalid := func(err error) (wire.Code, []byte) { return wire.CodeInvalid, []byte(err.Error()) }
	switch req.Op {
	case wire.OpGet, wire.OpContains, wire.OpEntryView:
		name, key, err := wire.DecodeKeyBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		e := p.table(name).get(key, now)

		r := result(e)

		if req.Op == wire.OpEntryView {
			if e == nil {
				return wire.CodeOK, wire.AppendEntryViewResult(nil, &wire.EntryViewResult{})
			}
			return wire.CodeOK, wire.AppendEntryViewResult(nil, &wire.EntryViewResult{Flags: wire.ResultFound, Version: e.version, Created: e.created,
				Updated: e.modified, Accessed: now, Expires: e.expires, End: e.expires, TTL: e.ttl, MaxIdle: e.idle, Hits: 7, Cost: uint64(len(e.value)), Value: e.value})
		}

		if req.Op == wire.OpContains {
			r.Flags, r.Value = r.Flags&^wire.ResultValue, nil
		}
		return wire.CodeOK, wire.AppendGetResult(nil, &r)
	case wire.OpIsLocked:
		name, key, err := wire.DecodeKeyBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		// The zero ID asks whether anybody holds the lock.
		return p.lock(name, key).answer(wire.ID{}, now)
	case wire.OpGetMany:
		body, err := wire.DecodeKeysBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		var out []byte
		for _, k := range body.Keys {
			r := result(p.table(body.Map).get(k, now))
			out = wire.AppendGetResult(out, &r)
		}
		return wire.CodeOK, out
	case wire.OpSize:
		name, err := wire.DecodeMapBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		return wire.CodeOK, wire.AppendUvarint(nil, uint64(len(p.table(name).keys)))
	case wire.OpScan:
		body, err := wire.DecodeScanBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		t := p.table(body.Map)

		// Small pages, so that tests meet several of them.
		limit := int(body.Limit)
		if limit == 0 || limit > 100 {
			limit = 100
		}

		var r wire.ScanResult
		if body.What&wire.ScanValues != 0 {
			r.Values = [][]byte{}
		}

		at := sort.Search(len(t.keys), func(i int) bool { return t.keys[i] > string(body.After) })
		for _, k := range t.keys[at:min(at+limit, len(t.keys))] {
			r.Keys = append(r.Keys, []byte(k))
			if r.Values != nil {
				r.Values = append(r.Values, t.entries[k].value)
			}
		}

		r.More = at+limit < len(t.keys)
		return wire.CodeOK, wire.AppendScanResult(nil, &r)
	}
	return wire.CodeInvalid, []byte("unknown read")
}

func (p *partition) write(req *wire.Request, now int64) (wire.Code, []byte) {
	invalid := func(err error) (wire.Code, []byte) { return wire.CodeInvalid, []byte(err.Error()) }
	switch req.Op {
	case wire.OpClear, wire.OpDestroy:
		name, err := wire.DecodeMapBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		// Only this partition's part goes. The client clears each partition by a call of its own.
		delete(p.maps, string(name))
		return wire.CodeOK, wire.AppendWriteResult(nil, &wire.WriteResult{Flags: wire.ResultApplied, Version: p.version})
	case wire.OpSetMany, wire.OpDeleteMany:
		body, err := wire.DecodeManyBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		return wire.CodeOK, p.writeMany(&body, now)
	case wire.OpRemoveAll:
		body, err := wire.DecodeRemoveBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		selects, err := selector(&body.Where)
		if err != nil {
			return invalid(err)
		}
		return wire.CodeOK, p.removeAll(&body, selects, now)
	case wire.OpLock, wire.OpRenew, wire.OpUnlock, wire.OpForceUnlock, wire.OpLoad, wire.OpLoaded:
		return p.writeLock(req, now)
	case wire.OpUpdate:
		body, err := wire.DecodeUpdateBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		return p.update(&body, now)
	case wire.OpExecute:
		body, err := wire.DecodeExecuteBody(req.Body)
		if err != nil {
			return invalid(err)
		}
		proc, known := wire.ProcessorOf(body.Name)
		if !known {
			return wire.CodeUnknownProcessor, []byte(body.Name)
		}
		return p.update(&wire.UpdateBody{Map: body.Map, Key: body.Key, WriteOptions: wire.WriteOptions{Flags: wire.WriteKeepTTL}, Processor: proc, Arg: body.Arg}, now)
	}

	body, err := wire.DecodeWriteBody(req.Body)
	if err == nil {
		err = wire.CheckWrite(req.Op, &body)
	}
	if err != nil {
		return invalid(err)
	}

	// In a real member, too, the fence goes before the version: whoever has lost the lock must learn that.
	if body.Flags&wire.WriteFence != 0 && p.lock(body.Map, body.Key).fence != body.Fence {
		return wire.CodeFenced, []byte("another fence was given out")
	}

	t := p.table(body.Map)
	e := t.get(body.Key, now)

	if body.Flags&wire.WriteVersion != 0 && (e == nil || e.version != body.IfVersion) {
		return wire.CodeConflict, []byte("the version is another")
	}

	var r wire.WriteResult
	if e != nil {
		r.Flags |= wire.ResultFound
		if req.Op == wire.OpPut || req.Op == wire.OpPutIfAbsent || req.Op == wire.OpReplace || req.Op == wire.OpRemove {
			r.Flags |= wire.ResultValue
			r.Value = e.value
		}
	}

	apply := false
	switch req.Op {
	case wire.OpSet, wire.OpPut:
		apply = true
	case wire.OpPutIfAbsent:
		apply = e == nil
	case wire.OpReplace, wire.OpRemove, wire.OpDelete, wire.OpEvict, wire.OpSetTTL:
		apply = e != nil
	case wire.OpReplaceIfSame, wire.OpRemoveIfSame:
		apply = e != nil && bytes.Equal(e.value, body.Expected)
	}

	if apply {
		r.Flags |= wire.ResultApplied
		r.Version = p.version
		switch {
		case body.Value != nil:
			t.set(body.Key, body.Value, p.version, &body.WriteOptions, now)
		case req.Op == wire.OpSetTTL:
			if e.ttl, e.expires = body.TTL, 0; body.TTL > 0 {
				e.expires = now + int64(body.TTL)
			}
		default:
			t.remove(string(body.Key))
		}
	}
	return wire.CodeOK, wire.AppendWriteResult(nil, &r)
}

// update carries out a built-in processor.
func (p *partition) update(body *wire.UpdateBody, now int64) (wire.Code, []byte) {
	t := p.table(body.Map)
	e := t.get(body.Key, now)
	if body.Flags&wire.WriteVersion != 0 && (e == nil || e.version != body.IfVersion) {
		return wire.CodeConflict, []byte("the version is another")
	}

	r := wire.WriteResult{Flags: wire.ResultValue}
	var value []byte
	var version uint64
	if e != nil {
		r.Flags |= wire.ResultFound
		value, version = e.value, e.version
	}

	c, err := update.Run(body.Processor, value, version, body.Arg, wire.MaxValue)
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		return wire.CodeTooLarge, []byte(err.Error())
	case err != nil:
		return wire.CodeInvalid, []byte(err.Error())
	case c.Value != nil:
		t.set(body.Key, c.Value, p.version, &body.WriteOptions, now)
		r.Flags, r.Version = r.Flags|wire.ResultApplied, p.version
	}

	// Without a result of its own, the new value is the result.
	if r.Value = c.Result; r.Value == nil {
		r.Value = c.Value
	}
	return wire.CodeOK, wire.AppendWriteResult(nil, &r)
}

// selector returns what reports whether an entry matches p.
func selector(p *wire.Predicate) (func(key, value []byte) bool, error) {
	if p.Kind == wire.PredicateText {
		q, err := query.Parse(p.Text)
		if err != nil {
			return nil, err
		}
		return q.Matches, nil
	}
	return func(key, _ []byte) bool {
		text, ok := codec.KeyText(key)
		return ok && wire.MatchGlob(p.Text, string(text))
	}, nil
}

// removeAll looks at three keys at a time, so that every client meets steps.
func (p *partition) removeAll(body *wire.RemoveBody, selects func(key, value []byte) bool, now int64) []byte {
	t := p.table(body.Map)

	var r wire.RemoveResult
	at := sort.Search(len(t.keys), func(i int) bool { return t.keys[i] > string(body.After) })

	// A copy, since removing changes the list under the loop.
	step := slices.Clone(t.keys[at:min(at+3, len(t.keys))])
	if at+3 < len(t.keys) {
		r.Next = []byte(step[2])
	}

	for _, k := range step {
		if e := t.get([]byte(k), now); e != nil && selects([]byte(k), e.value) {
			t.remove(k)
			r.Removed++
		}
	}
	return wire.AppendRemoveResult(nil, &r)
}

func (p *partition) writeMany(body *wire.ManyBody, now int64) []byte {
	var r wire.BulkResult
	t := p.table(body.Map)
	for i, k := range body.Keys {
		e := t.get(k, now)
		// Each key succeeds or fails alone, as at a real member.
		switch {
		case body.Flags&wire.WriteVersion != 0 && (e == nil || e.version != body.IfVersion):
			r.Failed = append(r.Failed, wire.BulkError{Index: uint32(i), Code: wire.CodeConflict})
		case body.Values != nil && len(body.Values[i]) > wire.MaxValue:
			r.Failed = append(r.Failed, wire.BulkError{Index: uint32(i), Code: wire.CodeTooLarge})
		case body.Values != nil:
			t.set(k, body.Values[i], p.version, &body.WriteOptions, now)
			r.Applied++
		case e != nil:
			t.remove(string(k))
			r.Applied++
		}
	}
	return wire.AppendBulkResult(nil, &r)
}

func (g *Grid) partitionsLocked(m *Member) []byte {
	list := make([]wire.PartitionInfo, len(g.mu.parts))
	for i := range g.mu.parts {
		p := &g.mu.parts[i]
		list[i].Epoch = p.epoch
		if p.owner >= 0 {
			list[i].Owner = g.mu.members[p.owner].Info.ID
		}
		// Each owner tells an index of its own, so that tests see whose answer was taken.
		if p.owner == m.Index {
			list[i].Index = 1000 + uint64(i)
		}
		for _, o := range g.mu.members {
			list[i].Replicas = append(list[i].Replicas, o.Info.ID)
		}
	}
	return wire.AppendPartitionInfos(nil, list)
}

func (g *Grid) setMapConfigLocked(body []byte) (wire.Code, []byte) {
	b, err := wire.DecodeSetMapConfigBody(body)
	if err != nil {
		return wire.CodeInvalid, []byte(err.Error())
	}

	c := &g.mu.configs
	at, there := c.List.Find(b.Config.Pattern)
	switch set := b.Config.Fields != 0; {
	case there == set && (!set || c.List[at] == b.Config):
		// The change has been made already, perhaps by an earlier copy.
		return wire.CodeOK, nil
	case b.From != c.Version:
		return wire.CodeConflict, []byte("another version")
	case there && set:
		c.List[at] = b.Config
	case there:
		c.List = slices.Delete(c.List, at, at+1)
	default:
		c.List = slices.Insert(c.List, at, b.Config)
	}

	c.Version++
	return wire.CodeOK, nil
}

func (g *Grid) mapsLocked(m *Member) []byte {
	sums := make(map[string]*wire.MapInfo)
	for i := range g.mu.parts {
		// Only the owner counts a partition, or sums over members would count it several times.
		if g.mu.parts[i].owner != m.Index {
			continue
		}
		for name, t := range g.mu.parts[i].maps {
			if sums[name] == nil {
				sums[name] = &wire.MapInfo{Name: name}
			}
			for _, e := range t.entries {
				sums[name].Entries++
				sums[name].Bytes += uint64(len(e.value))
			}
		}
	}

	var list []wire.MapInfo
	for _, s := range sums {
		list = append(list, *s)
	}
	return wire.AppendMapInfos(nil, list)
}
