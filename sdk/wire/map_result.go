package wire

// Flags of results.
const (
	ResultFound   uint8 = 1 << 0 // the key had a value before the operation
	ResultApplied uint8 = 1 << 1 // the operation changed something
	ResultValue   uint8 = 1 << 2 // a value follows
	ResultIdle    uint8 = 1 << 3 // a max-idle follows: only with FlagCache
)

// WriteResult answers a write of one key, and OpClear and OpDestroy.
type WriteResult struct {
	Flags   uint8  // ResultFound, ResultApplied, ResultValue
	Version uint64 // of the entry after the write; of the operation where no entry is left; 0 if nothing changed
	Value   []byte // Put, Replace, Remove: the previous value; PutIfAbsent: the existing one
}

// AppendWriteResult appends w.
func AppendWriteResult(dst []byte, w *WriteResult) []byte {
	dst = append(dst, w.Flags)
	dst = AppendU64(dst, w.Version)
	return append(dst, w.Value...)
}

// DecodeWriteResult reads what AppendWriteResult wrote. Value aliases b.
func DecodeWriteResult(b []byte) (WriteResult, error) {
	r := NewReader(b)
	w := WriteResult{Flags: r.U8(), Version: r.U64(), Value: r.Rest()}
	return w, r.Err()
}

// BulkResult answers OpSetMany and OpDeleteMany.
type BulkResult struct {
	Applied uint64      // keys that were stored or deleted
	Failed  []BulkError // keys that were refused, by their place in the request
}

// BulkError says why one key of a bulk operation was refused.
type BulkError struct {
	Index uint32
	Code  Code
}

// AppendBulkResult appends b.
func AppendBulkResult(dst []byte, b *BulkResult) []byte {
	dst = AppendUvarint(dst, b.Applied)
	dst = AppendUvarint(dst, uint64(len(b.Failed)))
	for _, f := range b.Failed {
		dst = AppendU16(AppendU32(dst, f.Index), uint16(f.Code))
	}
	return dst
}

// DecodeBulkResult reads what AppendBulkResult wrote.
func DecodeBulkResult(b []byte) (BulkResult, error) {
	r := NewReader(b)
	res := BulkResult{Applied: r.Uvarint()}
	// Most parts have no failures, and allocate nothing for them.
	if n := r.Count(6); n > 0 {
		res.Failed = make([]BulkError, n)
		for i := range res.Failed {
			res.Failed[i] = BulkError{Index: r.U32(), Code: Code(r.U16())}
		}
	}
	return res, r.Done()
}

// GetResult answers a read of one key.
type GetResult struct {
	Flags    uint8  // ResultFound, ResultValue, ResultIdle
	Version  uint64 // of the entry; 0 if not found
	Expires  int64  // cluster time in milliseconds; 0: never
	Instance uint64 // of the map in this partition; 0 if there is none
	Seq      uint64 // of the instance's last event
	Value    []byte
	MaxIdle  uint64 // of the entry in milliseconds, with ResultIdle
}

// AppendGetResult appends g.
func AppendGetResult(dst []byte, g *GetResult) []byte {
	dst = append(dst, g.Flags)
	dst = AppendU64(dst, g.Version)
	dst = AppendVarint(dst, g.Expires)
	dst = AppendU64(dst, g.Instance)
	dst = AppendUvarint(dst, g.Seq)
	dst = AppendBytes(dst, g.Value)
	if g.Flags&ResultIdle != 0 {
		dst = AppendUvarint(dst, g.MaxIdle)
	}
	return dst
}

func (g *GetResult) decode(r *Reader) {
	*g = GetResult{Flags: r.U8(), Version: r.U64(), Expires: r.Varint(), Instance: r.U64(), Seq: r.Uvarint(), Value: r.Bytes()}
	if g.Flags&ResultIdle != 0 {
		g.MaxIdle = r.Uvarint()
	}
}

// DecodeGetResult reads what AppendGetResult wrote. Value aliases b.
func DecodeGetResult(b []byte) (g GetResult, err error) {
	r := NewReader(b)
	g.decode(&r)
	return g, r.Done()
}

// DecodeGetResults reads n results that were appended one after the other. Values alias b.
func DecodeGetResults(b []byte, n int) ([]GetResult, error) {
	return AppendGetResults(make([]GetResult, 0, min(n, len(b)/20+1)), b, n)
}

// AppendGetResults is DecodeGetResults, and appends the results to out.
func AppendGetResults(out []GetResult, b []byte, n int) ([]GetResult, error) {
	r := NewReader(b)
	for range n {
		var g GetResult
		g.decode(&r)
		// The rest would be zero results, which look like keys without entries.
		if r.Err() != nil {
			break
		}
		out = append(out, g)
	}
	return out, r.Done()
}

// CacheHead says where a partition stood when keys were read there. Without it a near cache cannot tell which changes the read knows of.
type CacheHead struct {
	Position Position // of the map's events, at the read
	Version  uint64   // of the partition's last change, at the read
	AsOf     int64    // cluster time: whatever anybody had been told by then, the read knows of
}

// AppendCacheHead appends h.
func AppendCacheHead(dst []byte, h *CacheHead) []byte {
	return AppendI64(AppendU64(h.Position.append(dst), h.Version), h.AsOf)
}

// MaxCacheHead bounds a CacheHead in bytes.
const MaxCacheHead = 4 + 8 + 2*10 + 8 + 8

// DecodeCacheHead reads what AppendCacheHead wrote at the start of b, and returns what follows.
func DecodeCacheHead(b []byte) (h CacheHead, rest []byte, err error) {
	r := NewReader(b)
	h.Position.decode(&r)
	h.Version, h.AsOf = r.U64(), r.I64()
	rest = r.Rest()
	return h, rest, r.Err()
}

// EntryViewResult answers OpEntryView. Times are cluster time in milliseconds.
type EntryViewResult struct {
	Flags    uint8 // ResultFound
	Version  uint64
	Created  int64
	Updated  int64
	Accessed int64
	Expires  int64 // 0: never
	End      int64 // when the TTL ends, if no max-idle ends the entry earlier; 0: never
	TTL      uint64
	MaxIdle  uint64
	Hits     uint64
	Cost     uint64 // bytes of memory that the entry is counted with
	Value    []byte
}

// AppendEntryViewResult appends e.
func AppendEntryViewResult(dst []byte, e *EntryViewResult) []byte {
	dst = append(dst, e.Flags)
	dst = AppendU64(dst, e.Version)
	for _, t := range [...]int64{e.Created, e.Updated, e.Accessed, e.Expires, e.End} {
		dst = AppendVarint(dst, t)
	}
	for _, u := range [...]uint64{e.TTL, e.MaxIdle, e.Hits, e.Cost} {
		dst = AppendUvarint(dst, u)
	}
	return AppendBytes(dst, e.Value)
}

// DecodeEntryViewResult reads what AppendEntryViewResult wrote. Value aliases b.
func DecodeEntryViewResult(b []byte) (EntryViewResult, error) {
	r := NewReader(b)
	e := EntryViewResult{Flags: r.U8(), Version: r.U64(), Created: r.Varint(), Updated: r.Varint(), Accessed: r.Varint(),
		Expires: r.Varint(), End: r.Varint(), TTL: r.Uvarint(), MaxIdle: r.Uvarint(), Hits: r.Uvarint(), Cost: r.Uvarint(), Value: r.Bytes()}
	return e, r.Done()
}

// ScanResult answers OpScan. Values is nil unless they were asked for. No key is empty.
type ScanResult struct {
	Keys   [][]byte
	Values [][]byte
	More   bool // there may be entries after the last key
	// Next is the key after which to go on, if that is not the last of Keys: the scan has looked at expired entries behind it.
	Next []byte
}

// AppendScanResult appends s.
func AppendScanResult(dst []byte, s *ScanResult) []byte {
	// The flags say which parts follow.
	var flags uint8
	if s.More {
		flags |= 1
	}
	if s.Values != nil {
		flags |= 2
	}
	if s.Next != nil {
		flags |= 4
	}

	dst = append(dst, flags)
	if s.Next != nil {
		dst = AppendBytes(dst, s.Next)
	}

	dst = AppendUvarint(dst, uint64(len(s.Keys)))
	for i, k := range s.Keys {
		dst = AppendBytes(dst, k)
		if s.Values != nil {
			dst = AppendBytes(dst, s.Values[i])
		}
	}
	return dst
}

// DecodeScanResult reads what AppendScanResult wrote. All slices alias b.
func DecodeScanResult(b []byte) (ScanResult, error) {
	r := NewReader(b)
	flags := r.U8()
	s := ScanResult{More: flags&1 != 0}
	if flags&4 != 0 {
		s.Next = r.Bytes()
	}
	least := 2 // a key's length and one byte
	if flags&2 != 0 {
		least = 3
	}

	// Count compares the number with the bytes that are left, so it may be trusted for make.
	n := r.Count(least)
	s.Keys = make([][]byte, n)
	if flags&2 != 0 {
		s.Values = make([][]byte, n)
	}

	for i := range s.Keys {
		if s.Keys[i] = r.Bytes(); s.Keys[i] == nil {
			r.Fail("an empty key")
		}
		if s.Values != nil {
			s.Values[i] = r.Bytes()
		}
	}
	return s, r.Done()
}

// Moved is the body of CodeMoved: the partition's owner as far as the member knows.
type Moved struct {
	Epoch uint64 // 0 if it knows nothing
	Owner ID     // member; zero if nobody owns the partition under Epoch
}

// AppendMoved appends m.
func AppendMoved(dst []byte, m Moved) []byte { return append(AppendU64(dst, m.Epoch), m.Owner[:]...) }

// DecodeMoved reads what AppendMoved wrote.
func DecodeMoved(b []byte) (Moved, error) {
	r := NewReader(b)
	m := Moved{Epoch: r.U64(), Owner: r.ID()}
	return m, r.Done()
}
