package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ErrSnapshot is wrapped by the errors of Restore for bytes that are no snapshot, not whole, or not intact.
var ErrSnapshot = errors.New("bad snapshot")

// maxResult bounds the bytes of one remembered result. A result is one value, or an error for each key of a bulk operation. A key takes at
// least two bytes of the operation.
const maxResult = 3 * wire.MaxOperation

// Restore reads a snapshot, and nothing beyond its end, and returns the state that it shows. It accepts any bytes. It allocates no more
// than a small multiple of what it has read, plus the bound of one field. With an error it returns no state. Errors wrap ErrSnapshot, or
// are r's own.
func Restore(r io.Reader, lim Limits) (*State, error) {
	var head [len(snapshotMagic) + 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, readError(err)
	}

	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("%w: it does not begin like one", ErrSnapshot)
	}

	// A snapshot of a later build may have fields that this build would lose, so it is refused.
	v := head[len(snapshotMagic)]
	if v < snapshotOldest || v > snapshotVersion {
		return nil, fmt.Errorf("%w: version %d, this build reads %d to %d", ErrSnapshot, v, snapshotOldest, snapshotVersion)
	}

	d := decoder{blockReader: blockReader{r: r}, version3: v >= 3}
	s := d.state(lim)

	// Bytes that are cut off may look whole up to there. Only the end shows that nothing is missing.
	d.finish()
	if d.err != nil {
		return nil, d.err
	}

	s.verify()
	return s, nil
}

// readError says what an error of a reader means for the snapshot.
func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrSnapshot)
	}
	return err
}

// decoder reads what Snapshot.encode wrote.
type decoder struct {
	blockReader
	s        *State
	version3 bool // the snapshot has the ring's bounds
}

func (d *decoder) state(lim Limits) *State {
	s := New(d.u64(), lim)
	d.s = s

	// Counter and clock come first: what follows is checked against them.
	s.counter, s.clock, s.published = d.u64(), d.i64(), d.u64()
	d.must(s.clock >= 0, "a clock of %d", s.clock)
	d.history(s)
	d.endedMaps(s)

	// Maps come before the ring, since events share the mapRef of a map that lives.
	for n, prev := d.uvarint(), ""; n > 0 && d.err == nil; n-- {
		m := d.mapState()
		d.must(prev < m.ref.name, "map %q after %q", m.ref.name, prev)
		prev = m.ref.name
		s.maps.Load(mapSlot{name: prev, m: m})
		s.bytes += m.bytes
		s.named += m.cost()
		s.reindex(m, 0)
	}

	// Each window brings its records, which must not outlive it.
	for n, prev := d.uvarint(), (wire.ID{}); n > 0 && d.err == nil; n-- {
		prev = d.window(prev)
	}

	// Locks and loads have one form. They differ in that no released load is kept.
	d.locks(&s.locks)
	d.locks(&s.loads)
	d.must(s.loads.free.Len() == 0, "%d values that nobody loads", s.loads.free.Len())

	d.ring(&s.ring)

	// These checks compare parts with each other, so they can only follow when all parts are read.
	if d.err == nil {
		if err := s.checkHistory(); err != nil {
			d.must(false, "%v", err)
		}
	}
	if d.err == nil {
		d.checkEnds(s)
	}

	for before := -1; d.err == nil && before != len(s.recent.list); s.trimEnded() { // a snapshot of other limits
		before = len(s.recent.list)
	}
	return s
}

// version reads the version of a change.
func (d *decoder) version() uint64 {
	v := d.u64()
	d.must(v <= d.s.version(), "version %d in a state of version %d", v, d.s.version())
	return v
}

func (d *decoder) mapState() *mapState {
	name := d.name()
	m := newMapState(name, d.version(), d.s.stamp)
	m.seq, m.pos = d.uvarint(), d.uvarint()
	// A map begins with a write, which has a version and an event.
	d.must(m.ref.instance > 0 && m.seq > 0, "map %q without a beginning", name)

	prev := item{}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		e := d.item()
		if d.err != nil {
			break
		}
		// Equal states have equal snapshots, so the order is fixed. A key that came twice would also be counted twice.
		d.must(prev.data == nil || lessKey(prev, e), "keys of map %q out of order", name)
		prev = e

		m.entries.Load(e)
		m.bytes += e.cost()
		m.index(e.expires(), e)
	}
	return m
}

// flag reads a yes or no.
func (d *decoder) flag() bool {
	b := d.array(1)[0]
	d.must(b <= 1, "a flag of %d", b)
	return b == 1
}

func (d *decoder) name() string {
	name := d.bytes(wire.MaxMapName)
	if err := wire.CheckMapName(name); err != nil {
		d.must(false, "%v", err)
	}
	return string(name)
}

func (d *decoder) item() item {
	key, rest := d.uvarint(), d.uvarint()
	d.must(0 < key && key <= wire.MaxKey && 0 < rest && rest <= maxHead+wire.MaxValueHard, "an entry of %d and %d bytes", key, rest)

	// A length that was refused must not decide how much memory is taken.
	if d.err != nil {
		return item{}
	}

	size := int(key + rest)
	b := d.takeInto(size, allocation(size))
	if d.err != nil {
		return item{}
	}

	e, ok := itemOf(b, int(key))
	if d.must(ok, "an entry that is not whole"); !ok {
		return item{}
	}

	m, value := e.meta(), e.valueLen()
	// Empty values are not stored. An item without a value only stands in the ring, as a key.
	d.must(0 < value && value <= wire.MaxValueHard, "a value of %d bytes", value)
	d.must(0 < m.version && m.version <= d.s.version() && m.updated <= d.s.clock, "an entry's meta %+v", m)
	// Equal entries are equal bytes, so the long form stands only where there is a lifetime.
	d.must(e.isLong() == m.long() && (m.ttl == 0) == (m.end == 0) && m.ttl < wire.Forever && m.maxIdle < wire.Forever, "an entry's lifetime %+v", m)
	d.must(m.touched <= d.s.clock && (m.maxIdle != 0 || m.touched == 0), "an entry's times %+v", m)

	return e
}

// window reads a client's window, whose client comes after prev.
func (d *decoder) window(prev wire.ID) wire.ID {
	w := &requestWindow{client: d.id(), stamp: d.s.calls.stamp}
	w.floor, w.until, w.look = d.uvarint(), d.i64(), d.i64()
	n := d.uvarint()

	d.must(bytes.Compare(prev[:], w.client[:]) < 0, "client %v after %v", w.client, prev)
	d.must(0 <= w.until && w.until < math.MaxInt64 && 0 < w.look && w.look <= w.until+1, "a window until %d, looked at by %d", w.until, w.look)

	// Records come by seq, and each seq once: a second record of a call would answer its copies differently.
	last := uint64(0)
	for ; n > 0 && d.err == nil; n-- {
		r := record{seq: d.uvarint()}
		r.deadline, r.version = d.i64(), d.version()
		r.code = wire.Code(binary.BigEndian.Uint16(d.array(2)))
		b := d.array(2)
		r.flags, r.whole = b[0], b[1] == 1
		r.data = d.bytes(maxResult)

		// A record beyond its window's end would stay behind when the window is forgotten.
		d.must(last < r.seq && b[1] <= 1, "call %d after %d", r.seq, last)
		d.must(r.deadline <= w.until || r.deadline == math.MaxInt64, "a call until %d in a window until %d", r.deadline, w.until)

		last = r.seq
		w.add(r)
	}

	// From here on the window is known to fit, so it enters the accounts.
	if d.err == nil {
		d.s.calls.insert(w)
	}
	return w.client
}

func (d *decoder) ring(r *ring) {
	if d.version3 {
		r.set = wire.BoundRingBody{Entries: d.uvarint(), Bytes: d.uvarint()}
		d.must(r.set.Entries <= wire.MaxEventEntries && r.set.Bytes <= wire.MaxEventBytes, "a ring of %d events and %d bytes", r.set.Entries, r.set.Bytes)
	}

	r.last = d.u64()
	n := d.uvarint()

	// Positions begin at 1, so no more events can be held than were given out.
	d.must(n <= r.last, "%d events up to position %d", n, r.last)

	refs := map[mapID]*ringEvent{}
	for ; n > 0 && d.err == nil; n-- {
		e := d.event()
		if d.err != nil {
			return
		}

		prev := refs[e.ref.mapID]
		d.must(e.since <= r.last-n, "an event at %d that follows one at %d", r.last-n+1, e.since)
		d.must(prev == nil || prev.seq+1 == e.seq, "event %d of map %q out of order", e.seq, e.ref.name)

		// Events of one instance share one mapRef, and share it with the map if that instance still lives.
		if prev != nil {
			e.ref = prev.ref
		} else if m := d.s.find([]byte(e.ref.name)); m != nil && m.ref.mapID == e.ref.mapID {
			e.ref = m.ref
		}

		refs[e.ref.mapID] = e
		e.ref.last = r.last - n + 1
		r.push(*e)
	}

	// Maps and ring tell of the same events, so they must agree on how far each map has come.
	d.s.maps.Scan(func(slot mapSlot) bool {
		e := refs[slot.m.ref.mapID]
		d.must(e == nil || e.seq == slot.m.seq, "map %q has come to event %d", slot.name, slot.m.seq)
		d.must(slot.m.pos <= r.last, "map %q has come to position %d", slot.name, slot.m.pos)
		return d.err == nil
	})

	// The snapshot may come from a state with other limits.
	if d.err == nil {
		r.trim()
	}
}

func (d *decoder) event() *ringEvent {
	e := &ringEvent{ref: &mapRef{mapID: mapID{d.name(), d.version()}}}
	e.seq, e.since, e.version, e.time, e.expires = d.uvarint(), d.uvarint(), d.version(), d.i64(), d.i64()

	b := d.array(3)
	e.kind, e.flags = wire.EventKind(b[0]), b[1]
	parts := b[2]

	d.must(wire.EventAdded <= e.kind && e.kind <= wire.EventTTL && e.flags&^wire.EventOmitted == 0, "an event of kind %d with flags %x", e.kind, e.flags)
	d.must(e.ref.instance > 0 && e.seq > 0 && parts <= partKey|partOld|partNew, "event %d of map %q of parts %x", e.seq, e.ref.name, parts)

	// A CLEARED event is about all keys of its map.
	if parts&partKey == 0 {
		d.must(parts == 0, "an event's values without a key")
		return e
	}

	key := d.bytes(wire.MaxKey)
	d.must(len(key) > 0, "an event's empty key")

	for _, part := range [...]struct {
		bit uint8
		to  *item
	}{{partOld, &e.old}, {partNew, &e.new}} {
		if parts&part.bit == 0 {
			continue
		}

		// The values are copied into memory of their own, apart from the map's entries.
		value := d.bytes(wire.MaxValueHard)
		d.must(len(value) > 0, "an event's empty value")
		*part.to = newItem(probe(key), value, &meta{})
	}

	// Without values the key stands in new, as strip leaves it.
	if parts == partKey {
		e.new = newItem(probe(key), nil, &meta{})
	}

	return e
}

// blockReader reads the bytes of blocks. The first thing that does not fit is remembered; every later read gives zeros.
type blockReader struct {
	r   io.Reader
	mem []byte
	buf []byte // what is left of the current block
	crc uint32
	err error
	tmp [16]byte // for array
	len [4]byte  // of the next block: it may begin while tmp is being filled
}

// must records an error unless ok.
func (b *blockReader) must(ok bool, format string, args ...any) {
	if !ok && b.err == nil {
		b.err = fmt.Errorf("%w: "+format, append([]any{ErrSnapshot}, args...)...)
	}
}

// next reads a block and returns its length, 0 for the end.
func (b *blockReader) next() int {
	if b.mem == nil {
		b.mem = make([]byte, snapshotBlock+crcSize)
	}

	if _, err := io.ReadFull(b.r, b.len[:]); err != nil {
		b.err = readError(err)
		return 0
	}

	n := binary.BigEndian.Uint32(b.len[:])
	// A damaged length must not reach beyond the buffer.
	if b.must(n <= snapshotBlock, "a block of %d bytes", n); b.err != nil {
		return 0
	}

	// The block is read whole before anything of it is used, since its checksum stands behind it.
	if _, err := io.ReadFull(b.r, b.mem[:n+crcSize]); err != nil {
		b.err = readError(err)
		return 0
	}

	b.buf = b.mem[:n]
	// The checksum goes on from block to block, so a block that is missing or comes twice is noticed.
	b.crc = crc32.Update(b.crc, castagnoli, b.buf)
	b.must(b.crc == binary.BigEndian.Uint32(b.mem[n:]), "a checksum does not match")
	return int(n)
}

// fill makes sure that there is at least one byte.
func (b *blockReader) fill() bool {
	if b.err == nil && len(b.buf) == 0 && b.next() == 0 {
		b.must(false, "it ends before all was said")
	}
	return b.err == nil
}

// finish reads the end.
func (b *blockReader) finish() {
	if b.err == nil {
		b.must(len(b.buf) == 0 && b.next() == 0, "more than the whole")
	}
}

func (b *blockReader) read(dst []byte) {
	for len(dst) > 0 && b.fill() {
		n := copy(dst, b.buf)
		dst, b.buf = dst[n:], b.buf[n:]
	}
}

// take reads n bytes into memory of their own; nil after an error.
func (b *blockReader) take(n int) []byte { return b.takeInto(n, n) }

// takeInto is take with room behind the bytes, which is zero.
func (b *blockReader) takeInto(n, capacity int) []byte {
	if b.err != nil {
		return nil
	}

	// The length was checked by the caller, so it bounds the memory that damaged bytes can take.
	p := make([]byte, n, capacity)
	if b.read(p); b.err != nil {
		return nil
	}
	return p
}

// array reads up to 16 bytes, which are good until the next read.
func (b *blockReader) array(n int) []byte {
	p := b.tmp[:n]
	if b.read(p); b.err != nil {
		// After an error the caller gets zeros, and not the bytes of an earlier field.
		clear(p)
	}

	return p
}

func (b *blockReader) id() (id wire.ID) {
	b.read(id[:])
	return id
}

func (b *blockReader) u64() uint64 { return binary.BigEndian.Uint64(b.array(8)) }
func (b *blockReader) i64() int64  { return int64(b.u64()) }

// uvarint reads an integer in its shortest form: equal states have equal snapshots.
func (b *blockReader) uvarint() uint64 {
	var v uint64
	for shift := 0; b.fill(); shift += 7 {
		c := b.buf[0]
		b.buf = b.buf[1:]

		// Nine bytes hold 63 bits, so the tenth has room for one.
		if b.must(shift < 63 || c <= 1 && shift == 63, "an integer of more than 64 bits"); b.err != nil {
			return 0
		}

		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			b.must(c != 0 || shift == 0, "an integer with leading zeros")
			return v
		}
	}
	return 0
}

// bytes reads a length and that many bytes, at most limit, into memory of their own; nil for length 0.
func (b *blockReader) bytes(limit int) []byte {
	n := b.uvarint()
	b.must(n <= uint64(limit), "%d bytes where %d are the limit", n, limit)

	if n == 0 {
		return nil
	}
	return b.take(int(n))
}
