package wire

import "slices"

// Reads of one partition.
const (
	OpGet       Op = 16 // KeyBody -> GetResult
	OpContains  Op = 17 // KeyBody -> GetResult without the value
	OpGetMany   Op = 18 // KeysBody -> []GetResult in the keys' order
	OpSize      Op = 19 // MapBody -> uvarint
	OpScan      Op = 20 // ScanBody -> ScanResult
	OpEntryView Op = 22 // KeyBody -> EntryViewResult
)

var readOps = []Descriptor{
	{Op: OpGet, Name: "get", Kind: KindRead, Repeatable: true, ByKey: true, Check: checkKeyBody},
	{Op: OpContains, Name: "contains_key", Kind: KindRead, Repeatable: true, ByKey: true, Check: checkKeyBody},
	{Op: OpGetMany, Name: "get_all", Kind: KindRead, Repeatable: true, ByKey: true, Check: checkKeysBody},
	{Op: OpSize, Name: "size", Kind: KindRead, Repeatable: true, Check: checkMapBody},
	{Op: OpScan, Name: "scan", Kind: KindRead, Repeatable: true, Check: checkScanBody},
	{Op: OpEntryView, Name: "entry_view", Kind: KindRead, Repeatable: true, ByKey: true, Check: checkKeyBody},
}

func checkMapBody(_ Op, body []byte) (Contents, error) {
	name, err := DecodeMapBody(body)
	return Contents{Map: name}, err
}

func checkKeyBody(_ Op, body []byte) (Contents, error) {
	name, _, err := DecodeKeyBody(body)
	return Contents{Map: name}, err
}

func checkKeysBody(_ Op, body []byte) (Contents, error) {
	// The keys are looked at and not listed: members check many of these bodies.
	r := NewReader(body)
	c := Contents{Map: r.Bytes(), Keys: r.Count(2)}

	// The number is checked before the loop that it drives.
	if err := checkKeys(c.Keys); err != nil {
		return Contents{}, err
	}

	for range c.Keys {
		if err := checkKey(r.Bytes()); r.Err() == nil && err != nil {
			return Contents{}, err
		}
	}

	if err := r.Done(); err != nil {
		return Contents{}, err
	}
	return c, CheckMapName(c.Map)
}

func checkScanBody(_ Op, body []byte) (Contents, error) {
	s, err := DecodeScanBody(body)
	return Contents{Map: s.Map}, err
}

// AppendMapBody appends the body of an operation on a whole map.
func AppendMapBody(dst []byte, name string) []byte { return AppendString(dst, name) }

// DecodeMapBody reads what AppendMapBody wrote. The name aliases b.
func DecodeMapBody(b []byte) (name []byte, err error) {
	r := NewReader(b)
	name = r.Bytes()
	if err := r.Done(); err != nil {
		return nil, err
	}
	return name, CheckMapName(name)
}

// AppendKeyBody appends the body of a read of one key.
func AppendKeyBody(dst []byte, name string, key []byte) []byte {
	return AppendBytes(AppendString(dst, name), key)
}

// DecodeKeyBody reads what AppendKeyBody wrote. Both results alias b.
func DecodeKeyBody(b []byte) (name, key []byte, err error) {
	r := NewReader(b)
	name, key = r.Bytes(), r.Bytes()
	if err := r.Done(); err != nil {
		return nil, nil, err
	}

	if err := CheckMapName(name); err != nil {
		return nil, nil, err
	}

	return name, key, checkKey(key)
}

// KeysBody is the body of OpGetMany.
type KeysBody struct {
	Map  []byte
	Keys [][]byte
}

// AppendKeysBody appends k.
func AppendKeysBody(dst []byte, name string, keys [][]byte) []byte {
	dst = AppendString(dst, name)
	dst = AppendUvarint(dst, uint64(len(keys)))
	for _, k := range keys {
		dst = AppendBytes(dst, k)
	}
	return dst
}

// DecodeKeysBody reads what AppendKeysBody wrote. All slices alias b.
func DecodeKeysBody(b []byte) (k KeysBody, err error) { return DecodeKeysInto([][]byte{}, b) }

// DecodeKeysInto is DecodeKeysBody and lists the keys in the memory of list, if that suffices.
func DecodeKeysInto(list [][]byte, b []byte) (k KeysBody, err error) {
	r := NewReader(b)
	k.Map = r.Bytes()
	n := r.Count(2)
	if err := checkKeys(n); err != nil {
		return KeysBody{}, err
	}

	// The number was checked before any memory is taken for it.
	k.Keys = slices.Grow(list[:0], n)[:n]
	for i := range k.Keys {
		k.Keys[i] = r.Bytes()
		// A key that could not be read is reported by Done.
		if err := checkKey(k.Keys[i]); r.Err() == nil && err != nil {
			return KeysBody{}, err
		}
	}

	if err := r.Done(); err != nil {
		return KeysBody{}, err
	}
	return k, CheckMapName(k.Map)
}

// Parts of a ScanBody.What.
const (
	ScanKeys   uint8 = 1
	ScanValues uint8 = 2
)

// ScanBody asks for one page of a partition's entries. Their order means nothing, and is the same at every member.
type ScanBody struct {
	Map   []byte
	After []byte // the last key of the page before; nil to begin
	Limit uint32 // entries at most; 0: the member chooses. The member also bounds a page in bytes
	What  uint8  // ScanKeys, ScanValues or both; keys are always sent, values only when asked for
}

// AppendScanBody appends s.
func AppendScanBody(dst []byte, s *ScanBody) []byte {
	dst = AppendBytes(dst, s.Map)
	dst = AppendBytes(dst, s.After)
	dst = AppendU32(dst, s.Limit)
	return append(dst, s.What)
}

// DecodeScanBody reads what AppendScanBody wrote. All slices alias b.
func DecodeScanBody(b []byte) (s ScanBody, err error) {
	r := NewReader(b)
	s = ScanBody{Map: r.Bytes(), After: r.Bytes(), Limit: r.U32(), What: r.U8()}
	if err := r.Done(); err != nil {
		return ScanBody{}, err
	}
	return s, CheckMapName(s.Map)
}
