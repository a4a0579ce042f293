package state

import (
	"bytes"
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// item is one entry of a map: a pointer to a single allocation without pointers. The allocation holds key, value and meta one after the
// other, in big-endian order as in a snapshot. These bytes are never changed. Behind them, at the next word, stands the entry's use, which
// may change. The zero item is no entry.
type item struct {
	data  *byte
	key   uint32 // length of the key
	value uint32 // length of the value; itemLong marks the long form of the meta
}

// meta is what an entry knows beside its key and value. Times are milliseconds of cluster time.
type meta struct {
	version uint64
	created int64
	updated int64 // last write of the value

	// The long form, left out where there is neither a TTL nor a max-idle.
	ttl     uint64 // as it was given; 0: none
	end     int64  // when the TTL ends. Invariant: 0 if and only if ttl is 0.
	maxIdle uint64 // 0: none
	touched int64  // from when the max-idle runs. Invariant: 0 if maxIdle is 0.
}

const (
	itemLong  = 1 << 31
	shortMeta = 3 * 8
	longMeta  = 7 * 8
	// itemCost is what an entry is counted with beside its key, value and meta: its use, its place in the tree, and what
	// the allocator rounds up.
	itemCost = useSize + 28
	// expiryCost is what an entry that expires is counted with on top: its place in the order of expiry.
	expiryCost = 40
)

// newItem returns an entry. It copies key and value.
func newItem(key, value []byte, m *meta) item {
	size, long := shortMeta, uint32(0)
	if m.ttl|m.maxIdle != 0 {
		size, long = longMeta, itemLong
	}

	// One allocation holds everything, and the room for the use lies behind what is written here.
	b := make([]byte, 0, allocation(len(key)+len(value)+size))
	b = append(append(b, key...), value...)
	b = wire.AppendU64(b, m.version)
	b = wire.AppendI64(wire.AppendI64(b, m.created), m.updated)
	if long != 0 {
		b = wire.AppendI64(wire.AppendU64(b, m.ttl), m.end)
		b = wire.AppendI64(wire.AppendU64(b, m.maxIdle), m.touched)
	}

	return item{data: unsafe.SliceData(b), key: uint32(len(key)), value: uint32(len(value)) | long}
}

// allocation returns the size of the allocation of an entry whose key, value and meta take n bytes.
func allocation(n int) int { return useOffset(n) + useSize }

// itemOf returns the entry that holds b, which has the layout that newItem makes and the capacity that allocation says. It
// keeps b.
func itemOf(b []byte, key, value int, long bool) item {
	e := item{data: unsafe.SliceData(b), key: uint32(key), value: uint32(value)}
	if long {
		e.value |= itemLong
	}
	return e
}

// probe returns an item that has nothing but a key, to look entries up with. It aliases key.
func probe(key []byte) item { return item{data: unsafe.SliceData(key), key: uint32(len(key))} }

// metaSize returns how many bytes the meta takes.
func (e item) metaSize() int {
	if e.value&itemLong != 0 {
		return longMeta
	}
	return shortMeta
}

func (e item) valueLen() int { return int(e.value &^ itemLong) }

// size returns how many bytes key, value and meta take.
func (e item) size() int { return int(e.key) + e.valueLen() + e.metaSize() }

// cost returns the bytes that the entry is counted with.
func (e item) cost() int {
	if e.value&itemLong != 0 {
		return e.size() + itemCost + expiryCost
	}
	return e.size() + itemCost
}

// all returns key, value and meta.
func (e item) all() []byte { return unsafe.Slice(e.data, e.size()) }

// keyBytes returns the key; nil for no entry.
func (e item) keyBytes() []byte { return unsafe.Slice(e.data, e.key) }

// valueBytes returns the value; nil where there is none.
func (e item) valueBytes() []byte {
	n := e.valueLen()
	if e.data == nil || n == 0 {
		return nil
	}
	return e.all()[e.key : int(e.key)+n : int(e.key)+n]
}

// meta reads the entry's meta.
func (e item) meta() meta {
	b := e.all()[int(e.key)+e.valueLen():]
	m := meta{version: binary.BigEndian.Uint64(b), created: int64(binary.BigEndian.Uint64(b[8:])), updated: int64(binary.BigEndian.Uint64(b[16:]))}
	if len(b) == longMeta {
		m.ttl, m.end = binary.BigEndian.Uint64(b[24:]), int64(binary.BigEndian.Uint64(b[32:]))
		m.maxIdle, m.touched = binary.BigEndian.Uint64(b[40:]), int64(binary.BigEndian.Uint64(b[48:]))
	}
	return m
}

// version reads the entry's version alone.
func (e item) version() uint64 { return binary.BigEndian.Uint64(e.all()[int(e.key)+e.valueLen():]) }

// expires returns when the entry is gone; 0: never.
func (e item) expires() int64 {
	if e.value&itemLong == 0 {
		return 0
	}

	m := e.meta()
	return m.expires()
}

// expires returns the earlier of the TTL's end and the end of the max-idle; 0: never.
func (m *meta) expires() int64 {
	idle := after(m.touched, m.maxIdle)
	if m.end == 0 || idle != 0 && idle < m.end {
		return idle
	}
	return m.end
}

// after returns when a time of d milliseconds that begins at start ends. It returns 0 for never: d is 0 or at least wire.Forever, or the
// clock cannot show the end.
func after(start int64, d uint64) int64 {
	if d == 0 || d >= wire.Forever || start > math.MaxInt64-int64(d) {
		return 0
	}
	return start + int64(d)
}

// keyOnly returns a copy of e without its value, so that the value's memory can go.
func (e item) keyOnly() item {
	m := e.meta()
	return newItem(e.keyBytes(), nil, &meta{version: m.version})
}

// lessKey orders entries by the bytes of their keys.
func lessKey(a, b item) bool { return bytes.Compare(a.keyBytes(), b.keyBytes()) < 0 }

// asString returns b as a string without copying, for lookups that end before b can change.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
