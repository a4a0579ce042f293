package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"math"
	"unsafe"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// item is one entry of a map: a pointer to a single allocation without pointers. The allocation holds the key, a head, and the value. These
// bytes are never changed, and stand so in a snapshot. Behind them, at the next word, stands the entry's use, which may change. The zero item
// is no entry.
//
// A head is, integers in the shortest form of package wire:
//
//	length of the head (1) · value's length times two, plus one for the long form · the long form's own: end · maxIdle · touched · ttl
//	generation and count of the version · created · updated less created
//
// What decides when an entry expires stands first, for every look-up asks for that.
type item struct {
	data *byte
	hash uint32 // of the key
	key  uint32 // length of the key
}

// meta is what an entry knows beside its key and value. Times are milliseconds of cluster time.
type meta struct {
	version uint64
	created int64
	updated int64 // last write of the value. Invariant: not before created.

	// The long form, left out where there is neither a TTL nor a max-idle.
	ttl     uint64 // as it was given; 0: none
	end     int64  // when the TTL ends. Invariant: 0 if and only if ttl is 0.
	maxIdle uint64 // 0: none
	touched int64  // from when the max-idle runs. Invariant: 0 if maxIdle is 0.
}

const (
	// maxHead bounds the bytes of a head.
	maxHead = 1 + 9*binary.MaxVarintLen64
	// itemCost is what an entry is counted with beside its key, head and value: its use, its place in the tree, and what the allocator
	// rounds up.
	itemCost = useSize + 28
	// expiryCost is what an entry that expires is counted with on top: its place in the order of expiry.
	expiryCost = 40
)

// long reports whether m takes the long form.
func (m *meta) long() bool { return m.ttl|m.maxIdle != 0 }

// appendHead appends the head of an entry whose value has so many bytes.
func appendHead(dst []byte, m *meta, value int) []byte {
	first := uint64(value) << 1
	if m.long() {
		first |= 1
	}

	begin := len(dst)
	dst = wire.AppendUvarint(append(dst, 0), first)
	if m.long() {
		dst = wire.AppendUvarint(wire.AppendUvarint(dst, uint64(m.end)), m.maxIdle)
		dst = wire.AppendUvarint(wire.AppendUvarint(dst, uint64(m.touched)), m.ttl)
	}

	// Generation and counter are short apart. The version as one integer would take seven bytes at least.
	generation := wire.Stamp(m.version).Generation()
	dst = wire.AppendUvarint(wire.AppendUvarint(dst, generation), m.version-uint64(wire.StampOf(generation, 0)))
	// The distance between the two times is short, and zero for an entry that was written once.
	dst = wire.AppendUvarint(wire.AppendUvarint(dst, uint64(m.created)), uint64(m.updated-m.created))

	// The length is known only now. It fits in its byte, since maxHead is below 256.
	dst[begin] = byte(len(dst) - begin)
	return dst
}

// newItem returns an entry with the key of another one, or of a probe. It copies key and value.
func newItem(key item, value []byte, m *meta) item {
	var buf [maxHead]byte
	h := appendHead(buf[:0], m, len(value))

	// One allocation holds everything, and the room for the use lies behind what is written here.
	b := make([]byte, 0, allocation(int(key.key)+len(h)+len(value)))
	b = append(append(append(b, key.keyBytes()...), h...), value...)
	return item{data: unsafe.SliceData(b), hash: key.hash, key: key.key}
}

// allocation returns the size of the allocation of an entry whose key, head and value take n bytes.
func allocation(n int) int { return useOffset(n) + useSize }

// itemOf returns the entry that holds b, whose first bytes are the key. It keeps b. b is what all returned, and has the capacity that
// allocation says. It reports false if b is nothing that newItem makes.
func itemOf(b []byte, key int) (e item, ok bool) {
	if key >= len(b) {
		return item{}, false
	}

	length, rest := int(b[key]), b[key+1:]
	ok = true
	next := func() uint64 {
		v, n := binary.Uvarint(rest)
		// The form is the shortest: equal entries are equal bytes.
		if n <= 0 || n > 1 && rest[n-1] == 0 {
			ok, rest = false, nil
			return 0
		}
		rest = rest[n:]
		return v
	}

	// Whoever reads the head later checks nothing. So the bounds here must keep sums and shifts from overflowing.
	first := next()
	if first&1 != 0 {
		end, _, touched, _ := next(), next(), next(), next()
		ok = ok && max(end, touched) <= math.MaxInt64
	}

	generation, count := next(), next()
	created, age := next(), next()
	ok = ok && generation <= wire.MaxGeneration && count < uint64(wire.StampOf(1, 0)) && created <= math.MaxInt64 && age <= math.MaxInt64-created

	// Head and value must fill the bytes exactly: later reads trust the lengths in the head.
	if !ok || uint64(len(rest)) != first>>1 || len(b)-len(rest) != key+length {
		return item{}, false
	}
	return item{data: unsafe.SliceData(b), hash: hashOf(b[:key]), key: uint32(key)}, true
}

// probe returns an item that has nothing but a key, to look entries up with. It aliases key.
func probe(key []byte) item {
	return item{data: unsafe.SliceData(key), hash: hashOf(key), key: uint32(len(key))}
}

// hashOf returns the hash by which keys are ordered. It is the same in every process. Only keys with equal hashes are compared, so keys
// that were chosen to collide cost what keys without hashes would cost.
func hashOf(key []byte) uint32 { return crc32.Checksum(key, castagnoli) }

// headReader reads integers of a head, which is known to be whole.
type headReader struct{ at unsafe.Pointer }

// uvarint reads the next integer. Behind a head there are more bytes of the allocation, so the place behind it is one too.
func (r *headReader) uvarint() uint64 {
	v := uint64(*(*byte)(r.at))
	r.at = unsafe.Add(r.at, 1)
	// Lengths and generations mostly fit in one byte.
	if v < 0x80 {
		return v
	}

	v &= 0x7f

	// The head was checked when it was made, so the loop needs no bound.
	for shift := 7; ; shift += 7 {
		c := *(*byte)(r.at)
		r.at = unsafe.Add(r.at, 1)
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
}

// length returns the length of the head.
func (e item) length() int { return int(*(*byte)(unsafe.Add(unsafe.Pointer(e.data), e.key))) }

// reader returns a headReader behind the head's length.
func (e item) reader() headReader { return headReader{unsafe.Add(unsafe.Pointer(e.data), e.key+1)} }

// meta reads the entry's meta.
func (e item) meta() (m meta) {
	r := e.reader()
	if r.uvarint()&1 != 0 {
		m.end, m.maxIdle = int64(r.uvarint()), r.uvarint()
		m.touched, m.ttl = int64(r.uvarint()), r.uvarint()
	}

	generation := r.uvarint()
	m.version = uint64(wire.StampOf(generation, r.uvarint()))
	m.created = int64(r.uvarint())
	// updated stands in the head as its distance from created: see appendHead.
	m.updated = m.created + int64(r.uvarint())
	return m
}

// valueLen returns the value's length; 0 for no entry.
func (e item) valueLen() int {
	if e.data == nil {
		return 0
	}
	r := e.reader()
	return int(r.uvarint() >> 1)
}

// size returns how many bytes key, head and value take.
func (e item) size() int { return int(e.key) + e.length() + e.valueLen() }

// cost returns the bytes that the entry is counted with.
func (e item) cost() int {
	if e.isLong() {
		return e.size() + itemCost + expiryCost
	}
	return e.size() + itemCost
}

// all returns key, head and value.
func (e item) all() []byte { return unsafe.Slice(e.data, e.size()) }

// keyBytes returns the key; nil for no entry.
func (e item) keyBytes() []byte { return unsafe.Slice(e.data, e.key) }

// valueBytes returns the value; nil where there is none.
func (e item) valueBytes() []byte {
	n := e.valueLen()
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(e.data), int(e.key)+e.length())), n)
}

// version reads the entry's version alone.
func (e item) version() uint64 {
	r := e.reader()
	if r.uvarint()&1 != 0 {
		_, _, _, _ = r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()
	}
	generation := r.uvarint()
	return uint64(wire.StampOf(generation, r.uvarint()))
}

// isLong reports whether the head has the long form. The byte behind its length says so.
func (e item) isLong() bool { return *(*byte)(unsafe.Add(unsafe.Pointer(e.data), e.key+1))&1 != 0 }

// expires returns when the entry is gone; 0: never.
func (e item) expires() int64 {
	if !e.isLong() {
		return 0
	}

	r := e.reader()
	r.uvarint()
	m := meta{end: int64(r.uvarint()), maxIdle: r.uvarint(), touched: int64(r.uvarint())}
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
	return newItem(e, nil, &meta{version: m.version})
}

// lessKey orders entries by the hashes of their keys, and by the bytes of keys with equal hashes.
func lessKey(a, b item) bool {
	if a.hash != b.hash {
		return a.hash < b.hash
	}
	return bytes.Compare(a.keyBytes(), b.keyBytes()) < 0
}

// CompareKeys compares keys in the order in which the entries of a map stand. The order means nothing, and is the same in every process.
func CompareKeys(a, b []byte) int {
	return cmp.Or(cmp.Compare(hashOf(a), hashOf(b)), bytes.Compare(a, b))
}

// asString returns b as a string without copying, for lookups that end before b can change.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
