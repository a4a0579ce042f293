package wire

import (
	"fmt"
	"unicode/utf8"
)

// CheckMapName returns an error wrapping ErrMalformed or ErrTooLarge unless name is 1 to 255 bytes of UTF-8 without
// control characters.
func CheckMapName[T string | []byte](name T) error {
	if len(name) == 0 {
		return fmt.Errorf("%w: the map name is empty", ErrMalformed)
	}
	if len(name) > MaxMapName {
		return fmt.Errorf("%w: a map name of %d bytes, the limit is %d", ErrTooLarge, len(name), MaxMapName)
	}
	for i := 0; i < len(name); {
		c, n := rune(name[i]), 1
		if c >= utf8.RuneSelf {
			// As many bytes as a rune may have: converting the whole name would allocate.
			c, n = utf8.DecodeRuneInString(string(name[i:min(i+utf8.UTFMax, len(name))]))
		}
		if c == utf8.RuneError && n == 1 {
			return fmt.Errorf("%w: the map name is not UTF-8", ErrMalformed)
		}
		if c < 0x20 || c >= 0x7f && c <= 0x9f {
			return fmt.Errorf("%w: the map name has a control character", ErrMalformed)
		}
		i += n
	}
	return nil
}

// checkKey returns an error unless the encoded key's length is in bounds.
func checkKey(key []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("%w: the key is empty", ErrMalformed)
	}
	if len(key) > MaxKey {
		return fmt.Errorf("%w: a key of %d bytes, the limit is %d", ErrTooLarge, len(key), MaxKey)
	}
	return nil
}

// checkKeys returns an error unless an operation may have so many keys.
func checkKeys(n int) error {
	if n > MaxKeys {
		return fmt.Errorf("%w: an operation on %d keys, the limit is %d", ErrTooLarge, n, MaxKeys)
	}
	return nil
}

func checkValue(v []byte) error {
	if len(v) == 0 {
		return fmt.Errorf("%w: a value without an encoding", ErrMalformed)
	}
	if len(v) > MaxValueHard {
		return fmt.Errorf("%w: a value of %d bytes, the limit is %d", ErrTooLarge, len(v), MaxValueHard)
	}
	return nil
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

// MapOf returns the name of the map that an operation on a partition is about, with which every body begins; nil if it does not.
// The name aliases body.
func MapOf(body []byte) []byte {
	r := NewReader(body)
	return r.Bytes()
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
func DecodeKeysBody(b []byte) (k KeysBody, err error) {
	r := NewReader(b)
	k.Map = r.Bytes()
	n := r.Count(2)
	if err := checkKeys(n); err != nil {
		return KeysBody{}, err
	}
	k.Keys = make([][]byte, n)
	for i := range k.Keys {
		k.Keys[i] = r.Bytes()
		if err := checkKey(k.Keys[i]); r.Err() == nil && err != nil {
			return KeysBody{}, err
		}
	}
	if err := r.Done(); err != nil {
		return KeysBody{}, err
	}
	return k, CheckMapName(k.Map)
}

// WriteFlags tell which optional fields a WriteBody carries.
type WriteFlags uint8

const (
	WriteTTL     WriteFlags = 1 << 0 // TTL is given; without it the map's default holds
	WriteMaxIdle WriteFlags = 1 << 1 // MaxIdle is given
	WriteKeepTTL WriteFlags = 1 << 2 // an existing entry keeps its expiry and max-idle, whatever else is given
	WriteVersion WriteFlags = 1 << 3 // IfVersion is given
	WriteFence   WriteFlags = 1 << 4 // Fence is given
	WriteValue   WriteFlags = 1 << 5 // Value is given
	WriteExpect  WriteFlags = 1 << 6 // Expected is given
	WriteNoStore WriteFlags = 1 << 7 // Transient: not written to a store
)

// Forever is the TTL or max-idle that never ends, as is 0.
const Forever = uint64(1) << 62

// WriteOptions are what a write may carry beside its keys and values.
type WriteOptions struct {
	Flags     WriteFlags
	TTL       uint64 // milliseconds; 0 or ≥ Forever: never
	MaxIdle   uint64 // milliseconds; 0 or ≥ Forever: none
	IfVersion uint64
	Fence     uint64
}

func (o *WriteOptions) append(dst []byte) []byte {
	dst = append(dst, byte(o.Flags))
	if o.Flags&WriteTTL != 0 {
		dst = AppendUvarint(dst, o.TTL)
	}
	if o.Flags&WriteMaxIdle != 0 {
		dst = AppendUvarint(dst, o.MaxIdle)
	}
	if o.Flags&WriteVersion != 0 {
		dst = AppendU64(dst, o.IfVersion)
	}
	if o.Flags&WriteFence != 0 {
		dst = AppendU64(dst, o.Fence)
	}
	return dst
}

func (o *WriteOptions) decode(r *Reader) {
	o.Flags = WriteFlags(r.U8())
	if o.Flags&WriteTTL != 0 {
		o.TTL = r.Uvarint()
	}
	if o.Flags&WriteMaxIdle != 0 {
		o.MaxIdle = r.Uvarint()
	}
	if o.Flags&WriteVersion != 0 {
		o.IfVersion = r.U64()
	}
	if o.Flags&WriteFence != 0 {
		o.Fence = r.U64()
	}
}

// CheckRequest returns an error unless a client may ask for the options. In the log, KeepTTL stands beside the map's own TTL
// and max-idle, which the owner has put there for an entry that does not exist.
func (o *WriteOptions) CheckRequest() error {
	if o.Flags&WriteKeepTTL != 0 && o.Flags&(WriteTTL|WriteMaxIdle) != 0 {
		return fmt.Errorf("%w: KeepTTL together with a TTL or max-idle", ErrMalformed)
	}
	return nil
}

// WriteBody is the body of a write of one key. Which fields an operation needs is said by CheckWrite.
type WriteBody struct {
	Map []byte
	Key []byte
	WriteOptions
	Value    []byte // the new value's encoding
	Expected []byte // ReplaceIfSame, RemoveIfSame: the old value's encoding
}

// AppendWriteBody appends w. Value and Expected are written when not nil, and their flags set.
func AppendWriteBody(dst []byte, w *WriteBody) []byte {
	dst = AppendBytes(dst, w.Map)
	dst = AppendBytes(dst, w.Key)
	o := w.WriteOptions
	o.Flags &^= WriteValue | WriteExpect
	if w.Value != nil {
		o.Flags |= WriteValue
	}
	if w.Expected != nil {
		o.Flags |= WriteExpect
	}
	dst = o.append(dst)
	if w.Value != nil {
		dst = AppendBytes(dst, w.Value)
	}
	if w.Expected != nil {
		dst = AppendBytes(dst, w.Expected)
	}
	return dst
}

// DecodeWriteBody reads what AppendWriteBody wrote. All slices alias b.
func DecodeWriteBody(b []byte) (w WriteBody, err error) {
	r := NewReader(b)
	w.Map, w.Key = r.Bytes(), r.Bytes()
	w.WriteOptions.decode(&r)
	if w.Flags&WriteValue != 0 {
		if w.Value = r.Bytes(); w.Value == nil {
			r.Fail("a value without an encoding")
		}
	}
	if w.Flags&WriteExpect != 0 {
		if w.Expected = r.Bytes(); w.Expected == nil {
			r.Fail("an expected value without an encoding")
		}
	}
	if err := r.Done(); err != nil {
		return WriteBody{}, err
	}
	if err := CheckMapName(w.Map); err != nil {
		return WriteBody{}, err
	}
	return w, checkKey(w.Key)
}

// CheckWrite returns an error unless w has exactly the fields that op needs, within their hard limits.
func CheckWrite(op Op, w *WriteBody) error {
	var value, expected, ttl bool
	switch op {
	case OpSet, OpPut, OpPutIfAbsent, OpReplace:
		value = true
	case OpReplaceIfSame:
		value, expected = true, true
	case OpRemoveIfSame:
		expected = true
	case OpSetTTL:
		ttl = true
	case OpRemove, OpDelete, OpEvict:
	default:
		return fmt.Errorf("%w: %v is no write of one key", ErrMalformed, op)
	}
	if (w.Value != nil) != value || (w.Expected != nil) != expected || ttl && w.Flags&WriteTTL == 0 {
		return fmt.Errorf("%w: %v with the wrong fields", ErrMalformed, op)
	}
	if w.Flags&WriteVersion != 0 && w.IfVersion == 0 {
		return fmt.Errorf("%w: IfVersion(0)", ErrMalformed)
	}
	if value {
		if err := checkValue(w.Value); err != nil {
			return err
		}
	}
	if expected {
		return checkValue(w.Expected)
	}
	return nil
}

// ManyBody is the body of OpSetMany and OpDeleteMany: writes of several keys of one partition under one identity.
type ManyBody struct {
	Map []byte
	WriteOptions
	Keys   [][]byte
	Values [][]byte // OpSetMany: one for each key; else nil
}

// AppendManyBody appends m.
func AppendManyBody(dst []byte, m *ManyBody) []byte {
	dst = AppendBytes(dst, m.Map)
	o := m.WriteOptions
	o.Flags &^= WriteValue | WriteExpect
	if m.Values != nil {
		o.Flags |= WriteValue
	}
	dst = o.append(dst)
	dst = AppendUvarint(dst, uint64(len(m.Keys)))
	for i, k := range m.Keys {
		dst = AppendBytes(dst, k)
		if m.Values != nil {
			dst = AppendBytes(dst, m.Values[i])
		}
	}
	return dst
}

// DecodeManyBody reads what AppendManyBody wrote and checks keys and values against their hard limits. All slices alias b.
func DecodeManyBody(b []byte) (m ManyBody, err error) {
	r := NewReader(b)
	m.Map = r.Bytes()
	m.WriteOptions.decode(&r)
	if m.Flags&WriteExpect != 0 {
		r.Fail("an expected value for several keys")
	}
	least := 2 // a length and one byte
	if m.Flags&WriteValue != 0 {
		least = 4
	}
	n := r.Count(least)
	if err := checkKeys(n); err != nil {
		return ManyBody{}, err
	}
	m.Keys = make([][]byte, n)
	if m.Flags&WriteValue != 0 {
		m.Values = make([][]byte, n)
	}
	for i := range m.Keys {
		m.Keys[i] = r.Bytes()
		if m.Values != nil {
			m.Values[i] = r.Bytes()
		}
		if r.Err() != nil {
			break
		}
		if err := checkKey(m.Keys[i]); err != nil {
			return ManyBody{}, err
		}
		if m.Values != nil {
			if err := checkValue(m.Values[i]); err != nil {
				return ManyBody{}, err
			}
		}
	}
	if err := r.Done(); err != nil {
		return ManyBody{}, err
	}
	return m, CheckMapName(m.Map)
}

// Parts of a ScanBody.What.
const (
	ScanKeys   uint8 = 1
	ScanValues uint8 = 2
)

// ScanBody asks for one page of a partition's entries in the order of their keys' encoded bytes.
type ScanBody struct {
	Map   []byte
	After []byte // the last key of the page before; nil to begin
	Limit uint32 // entries at most; 0 is the member's choice, which also bounds a page in bytes
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
