package state

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/tidwall/btree"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A snapshot is
//
//	"GRDS" · version (1)
//	blocks: length (4, big-endian, 1 to 64 KB) · that many bytes · checksum (4)
//	end: length 0 (4) · checksum (4)
//
// where a checksum is the CRC-32C of all blocks' bytes so far, for which processors have an instruction. The blocks' bytes together are, integers as in package wire:
//
//	generation (8) · counter (8) · clock (8) · published (8)
//	position at which the last of the forgotten maps ended (8) · whether operations may be missing (1) · generations (uvarint), in order:
//	    generation (8) · position at which it began (8) · whether operations of the one before may be missing (1)
//	maps that have ended lately (uvarint), in that order: name · position of the last event (uvarint) · clock when it ended (8)
//	maps (uvarint), by name: name · instance (8) · seq (uvarint) · position of the last event (uvarint) · entries (uvarint), in the order of
//	    CompareKeys: key's length (uvarint) · length of the rest (uvarint) · key · rest: head and value, see item
//	windows (uvarint), by client: client (16) · floor (uvarint) · until (8) · look (8) · records (uvarint), by seq:
//	    seq (uvarint) · deadline (8) · version (8) · code (2) · flags (1) · whole (1) · data
//	clock of the last sweep of locks (8) · locks (uvarint), by map and key: map · key · fence (8) · freed (8) · if that is 0, who holds it: holder (16) · lease (uvarint) ·
//	    ends (8) · waiters (uvarint), in their order: ID (16) · lease (uvarint) · until (8)
//	the same of who loads values, where freed is always 0
//	bounds of the ring, 0 for the default, from version 3 on: events (uvarint) · bytes (uvarint)
//	last position (8) · events (uvarint), by position:
//	    map · instance (8) · seq (uvarint) · position of the map's event before (uvarint) · version (8) · time (8) · expires (8) · kind (1) · flags (1) · parts (1) · key · old · new
//
// Nothing in it depends on how the state came about, only on what it is: equal states have equal snapshots. Snapshots of every
// version ever released stay readable.
const (
	snapshotMagic   = "GRDS"
	snapshotVersion = 3
	snapshotOldest  = 2 // that is still read
	snapshotBlock   = 64 << 10
)

// Parts of an event in a snapshot.
const (
	partKey uint8 = 1 << 0
	partOld uint8 = 1 << 1
	partNew uint8 = 1 << 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const crcSize = 4

var errClosed = errors.New("maps/state: the snapshot is closed")

// Snapshot is a view of a State that stays as it was when Freeze made it. It needs no lock: its methods may be called at any
// time, whatever is done to the State meanwhile, but Close not beside WriteTo.
type Snapshot struct {
	generation, counter uint64
	clock               int64
	published           uint64
	ended               uint64
	loss                bool
	starts              []generationStart
	recent              []endedMap
	maps                *btree.BTreeG[mapSlot]
	windows             *btree.BTreeG[windowSlot]
	locks               *btree.BTreeG[lockSlot]
	swept               int64
	loads               *btree.BTreeG[lockSlot]
	loadsSwept          int64
	ring                ring
}

// Freeze returns a view of the state in constant time; afterwards what is changed is copied first, a tree node at a time.
// The view keeps the memory of what it shows until it is closed and nothing refers to it. Freeze REQUIRES exclusive use of the state.
func (s *State) Freeze() *Snapshot {
	s.stamp++

	// The view carries the stamp before this one. From here on own and take copy what the view shows before they change it.
	img := s.snapshot()
	img.maps, img.windows = s.maps.Copy(), s.calls.share()
	img.locks, img.loads, img.ring, img.recent = s.locks.share(), s.loads.share(), s.ring.share(), s.recent.share()

	return img
}

// snapshot returns a view that is good until the state is changed.
func (s *State) snapshot() *Snapshot {
	return &Snapshot{generation: s.generation, counter: s.counter, clock: s.clock, published: s.published, ended: s.ended, loss: s.loss, starts: s.starts, recent: s.recent.list,
		maps: s.maps, windows: s.calls.windows, locks: s.locks.byKey,
		swept: s.locks.swept, loads: s.loads.byKey, loadsSwept: s.loads.swept, ring: s.ring}
}

// Hash returns a checksum of the whole state. It is equal on all replicas at the same place in the log, and for a state and
// its restored snapshot. It takes as long as writing a snapshot. It only reads.
func (s *State) Hash() uint64 {
	h := crc64.New(crc64.MakeTable(crc64.ECMA)) // whose own errors are none
	w := blockWriter{w: h}

	s.snapshot().encode(&w)
	w.end()
	return h.Sum64()
}

// Close releases the view's memory. It may be called again and returns nil.
func (i *Snapshot) Close() error {
	*i = Snapshot{}
	return nil
}

// WriteTo writes the snapshot, in the form that Restore reads, and returns how many bytes were written. Its errors are w's, and
// one after Close. It may be called again.
func (i *Snapshot) WriteTo(w io.Writer) (int64, error) {
	if i.maps == nil {
		return 0, errClosed
	}

	// The head stands before all blocks, so a reader knows the version before it reads any.
	b := blockWriter{w: w}
	b.raw(append([]byte(snapshotMagic), snapshotVersion))
	i.encode(&b)
	b.end()

	return b.n, b.err
}

func (i *Snapshot) encode(w *blockWriter) {
	// What later parts are checked against comes first: see decoder.state.
	w.u64(i.generation)
	w.u64(i.counter)
	w.u64(uint64(i.clock))
	w.u64(i.published)

	i.encodeHistory(w)
	i.encodeEnded(w)

	w.uvarint(uint64(i.maps.Len()))
	i.maps.Scan(func(slot mapSlot) bool {
		encodeMap(w, slot.m)
		return w.err == nil
	})

	w.uvarint(uint64(i.windows.Len()))
	i.windows.Scan(func(slot windowSlot) bool {
		encodeWindow(w, slot.w)
		return w.err == nil
	})

	w.u64(uint64(i.swept))
	encodeLocks(w, i.locks)
	w.u64(uint64(i.loadsSwept))
	encodeLocks(w, i.loads)

	// The ring comes last, since its events belong to maps that the reader must know.
	w.uvarint(i.ring.set.Entries)
	w.uvarint(i.ring.set.Bytes)
	w.u64(i.ring.last)
	w.uvarint(uint64(i.ring.n))
	for n := range i.ring.n {
		encodeEvent(w, i.ring.at(n))
	}
}

func encodeMap(w *blockWriter, m *mapState) {
	w.bytes([]byte(m.ref.name))
	w.u64(m.ref.instance)
	w.uvarint(m.seq)
	w.uvarint(m.pos)

	w.uvarint(uint64(m.entries.Len()))
	m.entries.Scan(func(e item) bool {
		// Key, head and value lie in memory as the snapshot has them, so they are copied as one.
		b := e.all()
		w.uvarint(uint64(e.key))
		w.uvarint(uint64(len(b)) - uint64(e.key))
		w.write(b)
		return w.err == nil
	})
}

func encodeWindow(w *blockWriter, c *requestWindow) {
	w.write(c.client[:])
	w.uvarint(c.floor)
	w.u64(uint64(c.until))
	w.u64(uint64(c.look))

	w.uvarint(uint64(len(c.records())))
	for i := range c.records() {
		r := &c.records()[i]
		w.uvarint(r.seq)
		w.u64(uint64(r.deadline))
		w.u64(r.version)
		w.write(wire.AppendU16(w.tmp[:0], uint16(r.code)))
		whole := byte(0)
		if r.whole {
			whole = 1
		}
		w.write(append(w.tmp[:0], r.flags, whole))

		w.bytes(r.data)
		if w.err != nil {
			return
		}
	}
}

func encodeEvent(w *blockWriter, e *ringEvent) {
	w.bytes([]byte(e.ref.name))
	w.u64(e.ref.instance)
	w.uvarint(e.seq)
	w.uvarint(e.since)
	w.u64(e.version)
	w.u64(uint64(e.time))
	w.u64(uint64(e.expires))

	key, old, after := e.key(), e.old.valueBytes(), e.new.valueBytes()
	// Key and values may each be missing, and only those that are there take bytes.
	var parts uint8
	if key != nil {
		parts |= partKey
	}
	if old != nil {
		parts |= partOld
	}
	if after != nil {
		parts |= partNew
	}

	// parts stands before what it announces.
	w.write(append(w.tmp[:0], byte(e.kind), e.flags, parts))
	for _, b := range [...][]byte{key, old, after} {
		if b != nil {
			w.bytes(b)
		}
	}
}

// blockWriter writes blocks. The first error ends it.
type blockWriter struct {
	w   io.Writer
	buf []byte
	crc uint32
	n   int64 // bytes written to w
	err error
	tmp [binary.MaxVarintLen64]byte
}

// raw writes b outside all blocks.
func (w *blockWriter) raw(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(b)
	w.n += int64(n)
	w.err = err
}

func (w *blockWriter) write(b []byte) {
	// The room for the length stands before the block, and the room for the checksum behind it.
	if w.buf == nil {
		w.buf = make([]byte, 4, 4+snapshotBlock+crcSize)
	}

	for len(b) > 0 {
		n := min(len(b), 4+snapshotBlock-len(w.buf))
		w.buf = append(w.buf, b[:n]...)
		if b = b[n:]; len(w.buf) == 4+snapshotBlock {
			w.flush()
		}
	}
}

// flush writes the block that was gathered.
func (w *blockWriter) flush() {
	binary.BigEndian.PutUint32(w.buf, uint32(len(w.buf)-4))
	w.crc = crc32.Update(w.crc, castagnoli, w.buf[4:])
	// The buffer was made with room for the checksum, so nothing is allocated here.
	w.raw(wire.AppendU32(w.buf, w.crc))
	w.buf = w.buf[:4]
}

// end writes the last block and the end.
func (w *blockWriter) end() {
	if len(w.buf) > 4 {
		w.flush()
	}

	// An empty block is the end. Its checksum covers all blocks, so a snapshot that was cut off is noticed.
	w.buf = append(w.buf[:0], 0, 0, 0, 0)
	w.flush()
}

func (w *blockWriter) flag(set bool) {
	b := byte(0)
	if set {
		b = 1
	}
	w.write(append(w.tmp[:0], b))
}

func (w *blockWriter) u64(v uint64)     { w.write(wire.AppendU64(w.tmp[:0], v)) }
func (w *blockWriter) uvarint(v uint64) { w.write(wire.AppendUvarint(w.tmp[:0], v)) }
func (w *blockWriter) bytes(b []byte)   { w.uvarint(uint64(len(b))); w.write(b) }
