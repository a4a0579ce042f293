package wire

import "fmt"

// Writes of one partition: WriteBody -> WriteResult, unless said otherwise.
const (
	OpSet           Op = 32
	OpPut           Op = 33
	OpPutIfAbsent   Op = 34
	OpReplace       Op = 35
	OpReplaceIfSame Op = 36
	OpRemove        Op = 37
	OpRemoveIfSame  Op = 38
	OpDelete        Op = 39
	OpSetTTL        Op = 40
	OpEvict         Op = 41
	OpSetMany       Op = 42 // ManyBody -> BulkResult
	OpDeleteMany    Op = 43 // ManyBody without values -> BulkResult
	OpClear         Op = 44 // MapBody -> WriteResult
	OpDestroy       Op = 45 // MapBody -> WriteResult
)

var writeOps = []Descriptor{
	{Op: OpSet, Name: "set", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, WithOptions: writeWithOptions, fields: needsKey | needsValue},
	{Op: OpPut, Name: "put", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, WithOptions: writeWithOptions, fields: needsKey | needsValue},
	{Op: OpPutIfAbsent, Name: "put_if_absent", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, WithOptions: writeWithOptions, fields: needsKey | needsValue},
	{Op: OpReplace, Name: "replace", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, WithOptions: writeWithOptions, fields: needsKey | needsValue},
	{Op: OpReplaceIfSame, Name: "replace_if_same", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, WithOptions: writeWithOptions, fields: needsKey | needsValue | needsExpected},
	{Op: OpRemove, Name: "remove", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, fields: needsKey},
	{Op: OpRemoveIfSame, Name: "remove_if_same", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, fields: needsKey | needsExpected},
	{Op: OpDelete, Name: "delete", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, fields: needsKey},
	{Op: OpSetTTL, Name: "set_ttl", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, fields: needsKey | needsTTL},
	{Op: OpEvict, Name: "evict", Kind: KindWrite, Repeatable: true, Check: checkWriteBody, fields: needsKey},
	{Op: OpSetMany, Name: "set_all", Kind: KindWrite, Repeatable: true, Check: checkManyBody, WithOptions: manyWithOptions, writes: writesKeys},
	{Op: OpDeleteMany, Name: "delete_all", Kind: KindWrite, Repeatable: true, Check: checkManyBody, writes: writesKeys},
	{Op: OpClear, Name: "clear", Kind: KindWrite, Repeatable: true, Check: checkMapBody},
	{Op: OpDestroy, Name: "destroy", Kind: KindWrite, Repeatable: true, Check: checkMapBody},
}

// writeFields are the fields of a WriteBody that a write of one key must have.
type writeFields uint8

const (
	needsKey      writeFields = 1 << iota // a write of one key; every such write has this
	needsValue                            // Value; without it the operation has none
	needsExpected                         // Expected; without it the operation has none
	needsTTL                              // TTL; without it the operation may have one
)

func checkWriteBody(op Op, body []byte) (Contents, error) {
	w, err := DecodeWriteBody(body)
	if err == nil {
		err = CheckWrite(op, &w)
	}
	if err != nil {
		return Contents{}, err
	}

	in := Contents{Map: w.Map, Options: w.WriteOptions, Largest: len(w.Value)}
	if w.Value != nil {
		in.Values = 1
	}
	return in, nil
}

func checkManyBody(op Op, body []byte) (Contents, error) {
	// Keys and values are looked at and not listed: members check many of these bodies.
	var m ManyBody
	in := Contents{}
	err := m.walk(body, func(n int, stores bool) error {
		in.Keys = n
		if stores {
			in.Values = n
		}
		return checkStores(op, stores)
	}, func(_ int, _, value []byte) { in.Largest = max(in.Largest, len(value)) })
	if err != nil {
		return Contents{}, err
	}

	in.Map, in.Options = m.Map, m.WriteOptions
	return in, nil
}

func writeWithOptions(dst, body []byte, o *WriteOptions) ([]byte, error) {
	w, err := DecodeWriteBody(body)
	w.WriteOptions = *o
	return AppendWriteBody(dst, &w), err
}

func manyWithOptions(dst, body []byte, o *WriteOptions) ([]byte, error) {
	m, err := DecodeManyBody(body)
	m.WriteOptions = *o
	return AppendManyBody(dst, &m), err
}

// WriteFlags say which optional fields a WriteBody has.
type WriteFlags uint8

const (
	WriteTTL     WriteFlags = 1 << 0 // TTL is given; without it the map's default holds
	WriteMaxIdle WriteFlags = 1 << 1 // MaxIdle is given
	WriteKeepTTL WriteFlags = 1 << 2 // an existing entry keeps its expiry and max-idle
	WriteVersion WriteFlags = 1 << 3 // IfVersion is given
	WriteFence   WriteFlags = 1 << 4 // Fence is given
	WriteValue   WriteFlags = 1 << 5 // Value is given
	WriteExpect  WriteFlags = 1 << 6 // Expected is given
	WriteNoStore WriteFlags = 1 << 7 // Transient: not written to a store
)

// Forever is a TTL or max-idle that never ends; 0 is another.
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
	// Without options a write pays one byte for them.
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
	// The order is that of append. A flag without its field leaves the reader with an error.
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

// CheckRequest returns an error unless a client may ask for the options. The log may have more: beside KeepTTL, the owner puts the map's TTL and
// max-idle there for an entry that does not exist.
func (o *WriteOptions) CheckRequest() error {
	if o.Flags&WriteKeepTTL != 0 && o.Flags&(WriteTTL|WriteMaxIdle) != 0 {
		return fmt.Errorf("%w: KeepTTL together with a TTL or max-idle", ErrMalformed)
	}
	return nil
}

// WriteBody is the body of a write of one key. CheckWrite knows which fields an operation needs.
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

	// Flags say what follows, so they are made from what is there and not taken from the caller.
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
		// Every value has at least one byte of encoding. nil stands for no value.
		if w.Value = r.Bytes(); w.Value == nil {
			r.Fail("a value without an encoding")
		}
	}
	if w.Flags&WriteExpect != 0 {
		if w.Expected = r.Bytes(); w.Expected == nil {
			r.Fail("an expected value without an encoding")
		}
	}

	// Done comes before the checks of content, since a body cut short has other faults than its sender's.
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
	need := descriptors[op].fields
	if need == 0 {
		return fmt.Errorf("%w: %v is no write of one key", ErrMalformed, op)
	}

	// A write with a field too many was meant for another operation, so it is refused like one that lacks a field.
	value, expected := need&needsValue != 0, need&needsExpected != 0
	if (w.Value != nil) != value || (w.Expected != nil) != expected || need&needsTTL != 0 && w.Flags&WriteTTL == 0 {
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

	// One set of options serves all keys.
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
	err = m.walk(b, func(n int, stores bool) error {
		// The number was checked before any memory is taken for it.
		m.Keys = make([][]byte, n)
		if stores {
			m.Values = make([][]byte, n)
		}
		return nil
	}, func(i int, key, value []byte) {
		m.Keys[i] = key
		if m.Values != nil {
			m.Values[i] = value
		}
	})
	if err != nil {
		return ManyBody{}, err
	}
	return m, nil
}

// walk reads all but the lists: count is told how many keys there are, and each gets them. value is nil where none is stored.
func (m *ManyBody) walk(b []byte, count func(n int, stores bool) error, each func(i int, key, value []byte)) error {
	r := NewReader(b)
	m.Map = r.Bytes()
	m.WriteOptions.decode(&r)
	if m.Flags&WriteExpect != 0 {
		r.Fail("an expected value for several keys")
	}

	stores := m.Flags&WriteValue != 0
	least := 2 // a length and one byte
	if stores {
		least = 4
	}

	n := r.Count(least)
	if err := checkKeys(n); err != nil {
		return err
	}
	if err := count(n, stores); err != nil {
		return err
	}

	for i := range n {
		key, value := r.Bytes(), []byte(nil)
		if stores {
			value = r.Bytes()
		}

		if r.Err() != nil {
			// Done reports what the reader has met.
			break
		}

		if err := checkKey(key); err != nil {
			return err
		}
		if stores {
			if err := checkValue(value); err != nil {
				return err
			}
		}
		each(i, key, value)
	}

	if err := r.Done(); err != nil {
		return err
	}
	return CheckMapName(m.Map)
}

// CheckMany returns an error unless m has the fields that op needs. DecodeManyBody has checked the limits.
func CheckMany(op Op, m *ManyBody) error {
	return checkStores(op, m.Values != nil)
}

func checkStores(op Op, stores bool) error {
	if stores != descriptors[op].StoresValues() {
		return fmt.Errorf("%w: %v with the wrong fields", ErrMalformed, op)
	}
	return nil
}
