package maps

import (
	"bytes"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Bounds of one answer to a read of many entries or events.
const (
	pageBytes   = 256 << 10
	pageEntries = 1000
	pageKeys    = 8192 // of a page without values
	maxAnswer   = wire.MaxFrame - wire.AnswerHeader
	// maxResultHead bounds what a result takes in an answer beside its value.
	maxResultHead = 1 + 8 + 8 + 3*10
)

func (s *Service) read(req *wire.Request, caller Caller) bool {
	if _, err := req.Op.Descriptor().Check(req.Op, req.Body); err != nil {
		refuse(req.ID, caller, err)
		return false
	}

	c := newCall(s, req, caller)
	c.body = append(c.body[:0], req.Body...)
	s.cfg.Host.Read(int(req.Partition), c)
	return false
}

// readers are how operations are read from the state of a partition, by operation. A reader reports false if something must be committed
// before the read may answer; see partition.Reader. The body was checked when the call arrived.
var readers = [256]func(c *call, st *state.State, at partition.ReadPoint) bool{
	wire.OpGet:       (*call).get,
	wire.OpContains:  (*call).contains,
	wire.OpGetMany:   (*call).getMany,
	wire.OpEntryView: (*call).entryView,
	wire.OpIsLocked:  (*call).isLocked,
	wire.OpSize:      (*call).size,
	wire.OpScan:      (*call).scan,
	wire.OpEvents:    (*call).events,
	wire.OpRemoveAll: (*call).lookForRemoval,
}

// Read carries the read out on the partition's state.
func (c *call) Read(m partition.Machine, at partition.ReadPoint) bool {
	c.code, c.found, c.out = wire.CodeOK, c.found[:0], c.out[:0]
	return readers[c.op](c, stateOf(m), at)
}

func (c *call) get(st *state.State, at partition.ReadPoint) bool {
	name, key, _ := wire.DecodeKeyBody(c.body)
	return c.readKeys(st, at, name, true, key)
}

func (c *call) contains(st *state.State, at partition.ReadPoint) bool {
	name, key, _ := wire.DecodeKeyBody(c.body)
	return c.readKeys(st, at, name, false, key)
}

func (c *call) getMany(st *state.State, at partition.ReadPoint) bool {
	k, _ := wire.DecodeKeysBody(c.body)
	return c.readKeys(st, at, k.Map, true, k.Keys...)
}

func (c *call) isLocked(st *state.State, at partition.ReadPoint) bool {
	name, key, _ := wire.DecodeKeyBody(c.body)
	r, ok := st.IsLocked(name, key, at.Now)
	c.out = wire.AppendLockResult(c.out, &r)
	return ok
}

func (c *call) size(st *state.State, at partition.ReadPoint) bool {
	name, _ := wire.DecodeMapBody(c.body)
	if due(st, name, at) {
		return false
	}

	c.out = wire.AppendUvarint(c.out, uint64(st.Size(name)))
	return true
}

// lookForRemoval is the first step of OpRemoveAll: it reads what may be removed.
func (c *call) lookForRemoval(st *state.State, _ partition.ReadPoint) bool {
	c.removal.look(st)
	return true
}

// readKeys looks keys up. It notes the use of the entries it finds, unless something must be committed before the read may answer.
func (c *call) readKeys(st *state.State, at partition.ReadPoint, name []byte, values bool, keys ...[]byte) bool {
	// The read may come for the second time, after a commit.
	c.idle, c.views = wire.TouchBody{}, c.views[:0]
	instance, seq := st.Position(name)

	due, size := false, 0
	for _, key := range keys {
		g := wire.GetResult{Instance: instance, Seq: seq}
		v, ok := st.Get(name, key)
		if ok {
			due = due || v.Expires != 0 && v.Expires <= at.Now
			if longIdle(&v, at.Now) {
				c.idle.Map, c.idle.Keys, c.idle.At = name, append(c.idle.Keys, key), append(c.idle.At, at.Now)
			}
			g.Flags, g.Version, g.Expires = wire.ResultFound, v.Version, v.Expires
			if values {
				g.Flags |= wire.ResultValue
				g.Value = v.Value
			}
		}
		c.found, c.views = append(c.found, g), append(c.views, v)

		if size += len(g.Value) + maxResultHead; size > maxAnswer {
			c.code, c.found = wire.CodeTooLarge, c.found[:0]
			c.out = append(c.out[:0], "the values do not fit in one answer: ask for fewer keys"...)
			return true
		}
	}

	if due || len(c.idle.Keys) > 0 {
		return false // the read comes again, and counts the uses then
	}

	for i := range c.views {
		v := &c.views[i]
		if v.Use == nil {
			continue
		}

		used(v, at.Now)
		// Other uses are for eviction alone, and need not be in the log.
		if v.MaxIdle != 0 && v.Touched < at.Now {
			full := c.s.touches[c.partition].add(name, keys[i], at.Now)
			c.flush = c.flush || full || v.Expires-at.Now <= touchSoon
		}
	}
	return true
}

// longIdle reports whether the entry v was idle, as far as the log knows, for more than half of its max-idle. Then its use must be in the log
// before the answer, so that no later owner removes the entry too early.
func longIdle(v *state.Entry, now int64) bool {
	return v.MaxIdle != 0 && now > v.Touched && uint64(now-v.Touched) > v.MaxIdle/2
}

// Commit returns the operation that Read needs first: the use of entries, or nil if only the clock must go on.
func (c *call) Commit() *entry.Op {
	if len(c.idle.Keys) == 0 {
		return nil
	}
	return &entry.Op{Code: wire.OpTouch, Body: wire.AppendTouchBody(nil, &c.idle)}
}

// due reports whether an entry of the map has expired by cluster time, but not yet by the log's clock.
func due(st *state.State, name []byte, at partition.ReadPoint) bool {
	t, ok := st.MinExpires(name)
	return ok && t <= at.Now && st.Clock() < at.Now
}

func (c *call) entryView(st *state.State, at partition.ReadPoint) bool {
	name, key, _ := wire.DecodeKeyBody(c.body)
	var e wire.EntryViewResult
	if v, ok := st.Get(name, key); ok {
		if v.Expires != 0 && v.Expires <= at.Now {
			return false
		}

		e = wire.EntryViewResult{Flags: wire.ResultFound, Version: v.Version, Created: v.Created, Updated: v.Updated,
			Accessed: accessed(&v), Expires: v.Expires, End: v.End, TTL: v.TTL, MaxIdle: v.MaxIdle, Hits: hits(&v), Cost: uint64(v.Cost), Value: v.Value}
	}

	c.out = wire.AppendEntryViewResult(c.out, &e)
	return true
}

func (c *call) scan(st *state.State, at partition.ReadPoint) bool {
	b, _ := wire.DecodeScanBody(c.body)
	if due(st, b.Map, at) {
		return false
	}

	values := b.What&wire.ScanValues != 0
	limit, most := pageEntries, pageBytes
	var res wire.ScanResult
	if values {
		res.Values = [][]byte{}
	} else {
		limit, most = pageKeys, 0 // values are not looked at: their bytes must not end the page
	}
	if b.Limit > 0 {
		limit = min(limit, int(b.Limit))
	}

	size := 0
	var last []byte
	next := st.Scan(b.Map, b.After, limit, most, func(key []byte, v state.Entry) bool {
		last = key
		res.Keys = append(res.Keys, key)
		if values {
			res.Values = append(res.Values, v.Value)
		}
		size += len(key)

		// Without values the state counts no bytes for the page, so the keys end it here.
		return values || size < pageBytes
	})

	if res.More = next != nil; !bytes.Equal(next, last) {
		res.Next = next
	}

	c.out = wire.AppendScanResult(c.out, &res)
	return true
}

func (c *call) events(st *state.State, at partition.ReadPoint) bool {
	b, _ := wire.DecodeEventsBody(c.body)
	limit := pageEntries
	if b.Limit > 0 {
		limit = min(limit, int(b.Limit))
	}

	res := wire.EventsResult{AsOf: at.AsOf, Last: st.Standing(b.Map)}
	res.Last.Partition, res.Last.Epoch = c.partition, at.Epoch

	from := state.Place{Generation: b.Generation, Pos: b.Pos}
	res.Events, res.More = st.Events(b.Map, from, limit, pageBytes, c.s.cfg.Dropped.of(int(c.partition)))
	c.out = wire.AppendEventsResult(c.out, &res)
	return true
}
