package state

import "github.com/gridiron-io/gridiron/sdk/wire"

var keyReads = []reader{
	{wire.OpGet, (*State).readGet},
	{wire.OpContains, (*State).readContains},
	{wire.OpGetMany, (*State).readGetMany},
	{wire.OpEntryView, (*State).readEntryView},
}

// maxResultHead bounds what a result takes in an answer beside its value.
const maxResultHead = 1 + 8 + 8 + 3*10

func (s *State) readGet(r *Reading, at *ReadPoint) bool {
	name, key, _ := wire.DecodeKeyBody(r.Body)
	return s.readKeys(r, at, name, true, key)
}

func (s *State) readContains(r *Reading, at *ReadPoint) bool {
	name, key, _ := wire.DecodeKeyBody(r.Body)
	return s.readKeys(r, at, name, false, key)
}

func (s *State) readGetMany(r *Reading, at *ReadPoint) bool {
	k, _ := wire.DecodeKeysInto(r.keys, r.Body)
	r.keys = k.Keys
	return s.readKeys(r, at, k.Map, true, k.Keys...)
}

// readKeys looks keys up. It notes the use of the entries it finds, unless something must be committed before the read may answer.
func (s *State) readKeys(r *Reading, at *ReadPoint, name []byte, values bool, keys ...[]byte) bool {
	m := s.find(name)
	var instance, seq uint64
	if m != nil {
		instance, seq, r.Known = m.ref.instance, m.seq, true
	}

	due, size := false, 0
	if r.Cache {
		r.head = wire.CacheHead{Position: s.Standing(name), Version: s.version(), AsOf: at.AsOf}
		// The state knows neither its partition's number nor its owner.
		r.head.Position.Partition, r.head.Position.Epoch = at.Partition, at.Epoch
		size = wire.MaxCacheHead
	}
	for _, key := range keys {
		g := wire.GetResult{Instance: instance, Seq: seq}
		var v Entry
		if e := s.visible(m, key); e.data != nil {
			v = entryOf(e)
			r.Hits++
			// The log's clock does not know yet that the entry has expired. Answered from here, a later owner might show the
			// entry again.
			due = due || v.Expires != 0 && v.Expires <= at.Now
			if longIdle(&v, at.Now) {
				r.Idle.Map, r.Idle.Keys, r.Idle.At = name, append(r.Idle.Keys, key), append(r.Idle.At, at.Now)
			}
			g.Flags, g.Version, g.Expires = wire.ResultFound, v.Version, v.Expires
			if values {
				g.Flags |= wire.ResultValue
				g.Value = v.Value
			}
			if r.Cache && v.MaxIdle != 0 {
				g.Flags |= wire.ResultIdle
				g.MaxIdle = v.MaxIdle
			}
		} else {
			r.Misses++
		}
		r.found, r.views = append(r.found, g), append(r.views, v)

		// A frame cannot be longer. What was found so far is no answer, and counts as no read.
		if size += len(g.Value) + maxResultHead; size > maxAnswer {
			r.Hits, r.Misses, r.found = 0, 0, r.found[:0]
			r.Code, r.text = wire.CodeTooLarge, append(r.text, "the values do not fit in one answer: ask for fewer keys"...)
			return true
		}
	}

	// The read comes again, and counts the uses then.
	if due || len(r.Idle.Keys) > 0 {
		return false
	}

	for i := range r.views {
		if v := &r.views[i]; v.Use != nil {
			v.Use.Count(v.Created, at.Now)
			r.noteUse(v, name, keys[i], at.Now)
		}
	}
	return true
}

// noteUse notes a use that should be in the log. Uses of entries without a max-idle are for eviction alone, and need not be there.
func (r *Reading) noteUse(v *Entry, name, key []byte, now int64) {
	if v.MaxIdle == 0 || v.Touched >= now {
		return
	}

	// The entry that ends first decides how soon the uses must be in the log.
	if len(r.Used.Keys) == 0 || v.Expires < r.UsedUntil {
		r.UsedUntil = v.Expires
	}
	r.Used.Map, r.Used.Keys, r.Used.At = name, append(r.Used.Keys, key), append(r.Used.At, now)
}

// longIdle reports whether the entry v was idle, as far as the log knows, for more than half of its max-idle. Then its use must be in the log
// before the answer, so that no later owner removes the entry too early.
func longIdle(v *Entry, now int64) bool {
	return v.MaxIdle != 0 && now > v.Touched && uint64(now-v.Touched) > v.MaxIdle/2
}

func (s *State) readEntryView(r *Reading, at *ReadPoint) bool {
	name, key, _ := wire.DecodeKeyBody(r.Body)
	var e wire.EntryViewResult
	if v, ok := s.Get(name, key); ok {
		// The log's clock must come to the expiry before the entry may be missing from an answer.
		if v.Expires != 0 && v.Expires <= at.Now {
			return false
		}

		// To look at an entry in this way is no use of it, so nothing is counted.
		e = wire.EntryViewResult{Flags: wire.ResultFound, Version: v.Version, Created: v.Created, Updated: v.Updated,
			Accessed: v.Accessed(), Expires: v.Expires, End: v.End, TTL: v.TTL, MaxIdle: v.MaxIdle, Hits: v.Hits(), Cost: uint64(v.Cost), Value: v.Value}
	}

	r.text = wire.AppendEntryViewResult(r.text, &e)
	return true
}
