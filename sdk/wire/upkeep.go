package wire

// Operations of the log alone: the owner of a partition proposes them, and no caller may ask for them.
const (
	OpSweep     Op = 64 // SweepBody: removes entries, and ends leases of locks, whose time has come by the clock of the log -> uvarint, how many
	OpEvictMany Op = 65 // EvictBody: removes entries to make room -> uvarint, how many
	OpTouch     Op = 66 // TouchBody: entries were used, so that their max-idle runs from then -> uvarint, how many
	OpBoundRing Op = 68 // BoundRingBody: how many events the partition keeps, and bytes of them -> empty
	OpResume    Op = 67 // no body: the resume marker. An owner begins to serve; leases of locks go on for at least a while
)

var upkeepOps = []Descriptor{
	{Op: OpSweep, Name: "sweep", Kind: KindLogged},
	{Op: OpEvictMany, Name: "evict_many", Kind: KindLogged},
	{Op: OpTouch, Name: "touch", Kind: KindLogged},
	{Op: OpBoundRing, Name: "bound_ring", Kind: KindLogged},
	{Op: OpResume, Name: "resume", Kind: KindLogged},
}

// SweepBody is the body of OpSweep: remove at most Limit entries of the partition whose time has come by the log's clock.
type SweepBody struct{ Limit uint32 }

// AppendSweepBody appends s.
func AppendSweepBody(dst []byte, s SweepBody) []byte { return AppendU32(dst, s.Limit) }

// DecodeSweepBody reads what AppendSweepBody wrote.
func DecodeSweepBody(b []byte) (SweepBody, error) {
	r := NewReader(b)
	s := SweepBody{Limit: r.U32()}
	return s, r.Done()
}

// BoundRingBody is the body of OpBoundRing. 0 stands for the default.
type BoundRingBody struct{ Entries, Bytes uint64 }

// AppendBoundRingBody appends b.
func AppendBoundRingBody(dst []byte, b BoundRingBody) []byte {
	return AppendUvarint(AppendUvarint(dst, b.Entries), b.Bytes)
}

// DecodeBoundRingBody reads what AppendBoundRingBody wrote.
func DecodeBoundRingBody(b []byte) (BoundRingBody, error) {
	r := NewReader(b)
	out := BoundRingBody{Entries: r.Uvarint(), Bytes: r.Uvarint()}
	// A replica's memory, and the time of one operation, depend on these.
	if out.Entries > MaxEventEntries || out.Bytes > MaxEventBytes {
		r.Fail("%d events of %d bytes, at most %d of %d are kept", out.Entries, out.Bytes, MaxEventEntries, MaxEventBytes)
	}
	return out, r.Done()
}

// EvictBody is the body of OpEvictMany: entries of one map that the owner chose to make room. An entry is removed if it still has its version.
type EvictBody struct {
	Map      []byte
	Keys     [][]byte
	Versions []uint64 // one for each key
}

// AppendEvictBody appends e.
func AppendEvictBody(dst []byte, e *EvictBody) []byte {
	dst = AppendBytes(dst, e.Map)
	dst = AppendUvarint(dst, uint64(len(e.Keys)))
	for i, k := range e.Keys {
		dst = AppendU64(AppendBytes(dst, k), e.Versions[i])
	}
	return dst
}

// DecodeEvictBody reads what AppendEvictBody wrote. All slices but Versions alias b.
func DecodeEvictBody(b []byte) (e EvictBody, err error) {
	r := NewReader(b)
	e.Map = r.Bytes()
	n := r.Count(2 + 8) // a key's length and one byte, a version
	if err := checkKeys(n); err != nil {
		return EvictBody{}, err
	}

	e.Keys, e.Versions = make([][]byte, n), make([]uint64, n)
	for i := range e.Keys {
		e.Keys[i], e.Versions[i] = r.Bytes(), r.U64()
	}

	return e, endKeys(&r, e.Map, e.Keys)
}

// TouchBody is the body of OpTouch: uses of entries of one map. The max-idle of each runs from its use.
type TouchBody struct {
	Map  []byte
	Keys [][]byte
	At   []int64 // for each key, cluster time in milliseconds
}

// AppendTouchBody appends t.
func AppendTouchBody(dst []byte, t *TouchBody) []byte {
	dst = AppendBytes(dst, t.Map)
	dst = AppendUvarint(dst, uint64(len(t.Keys)))
	for i, k := range t.Keys {
		dst = AppendVarint(AppendBytes(dst, k), t.At[i])
	}
	return dst
}

// DecodeTouchBody reads what AppendTouchBody wrote. All slices but At alias b.
func DecodeTouchBody(b []byte) (t TouchBody, err error) {
	r := NewReader(b)
	t.Map = r.Bytes()
	n := r.Count(2 + 1) // a key's length and one byte, a time
	if err := checkKeys(n); err != nil {
		return TouchBody{}, err
	}

	t.Keys, t.At = make([][]byte, n), make([]int64, n)
	for i := range t.Keys {
		t.Keys[i], t.At[i] = r.Bytes(), r.Varint()
	}

	return t, endKeys(&r, t.Map, t.Keys)
}

// endKeys returns an error unless the body ends here and the map's name and the keys are valid.
func endKeys(r *Reader, name []byte, keys [][]byte) error {
	if err := r.Done(); err != nil {
		return err
	}

	for _, k := range keys {
		if err := checkKey(k); err != nil {
			return err
		}
	}
	return CheckMapName(name)
}
