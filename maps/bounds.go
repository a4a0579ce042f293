package maps

import (
	"sync"
	"sync/atomic"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// bound is what this member knows of a map that has a bound. The entries of all partitions that this member owns count together, so a bound
// below the number of partitions is kept too.
type bound struct {
	name []byte
	// entries and bytes are how much there is room for, by the last measure, less what was written since. Below zero the map must be
	// measured again.
	entries, bytes atomic.Int64
	// last is the entry that was written last. It stays until another is written, whatever the policy says.
	last atomic.Pointer[lastWrite]
}

// lastWrite names an entry by its version.
type lastWrite struct {
	partition uint32
	version   uint64
}

// wrote notes that a write was applied and reports whether the map may be too large now. body is the operation's, r its result.
func (b *bound) wrote(partition uint32, op wire.Op, bytes int, r entry.Result) (full bool) {
	if r.Code != wire.CodeOK {
		return false
	}

	n := int64(1)
	if op == wire.OpSetMany {
		// A bulk write may have stored some keys and been refused for others. Only what was stored takes room.
		res, err := wire.DecodeBulkResult(r.Body)
		if err != nil || res.Applied == 0 {
			return false
		}
		n = int64(res.Applied)
	} else {
		res, err := wire.DecodeWriteResult(r.Body)
		if err != nil || res.Flags&wire.ResultApplied == 0 {
			return false
		}
		b.last.Store(&lastWrite{partition, res.Version})
	}

	// Both counters go down, even where the first one shows already that the map is too large.
	entries := b.entries.Add(-n)
	return b.bytes.Add(-int64(bytes)) < 0 || entries < 0
}

// isLast reports whether an entry is the one written last.
func (b *bound) isLast(partition int, version uint64) bool {
	l := b.last.Load()
	return l != nil && int(l.partition) == partition && l.version == version
}

// bounds finds bounds by the maps' names.
type bounds struct{ byName sync.Map } // *bound by string

// each calls f for each bound.
func (t *bounds) each(f func(b *bound)) {
	t.byName.Range(func(_, b any) bool {
		f(b.(*bound))
		return true
	})
}

// get returns the bound of a map. A new bound has no room, so that the first write makes the evictor measure the map.
func (t *bounds) get(name []byte) *bound {
	if b, ok := t.byName.Load(string(name)); ok {
		return b.(*bound)
	}
	// Two writers may come here at once: both must count on the same bound. The name is copied, for it is part of a request.
	b, _ := t.byName.LoadOrStore(string(name), &bound{name: []byte(string(name))})
	return b.(*bound)
}

// forget drops the bound of a map that has none any more.
func (t *bounds) forget(b *bound) { t.byName.CompareAndDelete(string(b.name), b) }
