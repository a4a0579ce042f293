package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keyBody is what a read of one key says.
type keyBody struct{ name, key []byte }

func drawOptions(t *rapid.T) (o WriteOptions) {
	o.Flags = WriteFlags(drawU8(t, "flags")) &^ (WriteValue | WriteExpect)
	if o.Flags&WriteTTL != 0 {
		o.TTL = drawU64(t, "ttl")
	}
	if o.Flags&WriteMaxIdle != 0 {
		o.MaxIdle = drawU64(t, "max idle")
	}
	if o.Flags&WriteVersion != 0 {
		o.IfVersion = drawU64(t, "if version")
	}
	if o.Flags&WriteFence != 0 {
		o.Fence = drawU64(t, "fence")
	}
	return o
}

func drawWriteBody(t *rapid.T) WriteBody {
	w := WriteBody{Map: drawMapName(t), Key: drawSome(t, "key"), WriteOptions: drawOptions(t)}
	if drawBool(t, "with value") {
		w.Value = drawSome(t, "value")
		w.Flags |= WriteValue
	}
	if drawBool(t, "with expected") {
		w.Expected = drawSome(t, "expected")
		w.Flags |= WriteExpect
	}
	return w
}

func drawManyBody(t *rapid.T) ManyBody {
	m := ManyBody{Map: drawMapName(t), WriteOptions: drawOptions(t), Keys: drawList(t, "key", 10, drawSome)}
	if drawBool(t, "with values") {
		m.Flags |= WriteValue
		m.Values = make([][]byte, len(m.Keys))
		for i := range m.Values {
			m.Values[i] = drawSome(t, "value")
		}
	}
	return m
}

var mapBodies = []*format{
	formatOf("MapBody", func(dst, name []byte) []byte { return AppendMapBody(dst, string(name)) }, DecodeMapBody, drawMapName,
		golden{"05 7573657273", []byte("users")}),
	formatOf("KeyBody",
		func(dst []byte, k keyBody) []byte { return AppendKeyBody(dst, string(k.name), k.key) },
		func(b []byte) (k keyBody, err error) { k.name, k.key, err = DecodeKeyBody(b); return k, err },
		func(t *rapid.T) keyBody { return keyBody{drawMapName(t), drawSome(t, "key")} },
		golden{"05 7573657273 02 a161", keyBody{[]byte("users"), []byte("\xa1a")}}),
	formatOf("KeysBody",
		func(dst []byte, k KeysBody) []byte { return AppendKeysBody(dst, string(k.Map), k.Keys) }, DecodeKeysBody,
		func(t *rapid.T) KeysBody { return KeysBody{drawMapName(t), drawList(t, "key", 10, drawSome)} },
		golden{"01 6d 02 02 a161 01 07", KeysBody{[]byte("m"), [][]byte{[]byte("\xa1a"), {7}}}},
		golden{"01 6d 00", KeysBody{[]byte("m"), [][]byte{}}}),
	formatOf("WriteBody", pointed(AppendWriteBody), DecodeWriteBody, drawWriteBody,
		golden{"01 6d 01 07 00", WriteBody{Map: []byte("m"), Key: []byte{7}}},
		golden{"01 6d 01 07 7b ac02 05 0102030405060708 1112131415161718 02 a176 02 a175",
			WriteBody{Map: []byte("m"), Key: []byte{7}, Value: []byte("\xa1v"), Expected: []byte("\xa1u"), WriteOptions: WriteOptions{
				Flags: WriteTTL | WriteMaxIdle | WriteVersion | WriteFence | WriteValue | WriteExpect,
				TTL:   300, MaxIdle: 5, IfVersion: 0x0102030405060708, Fence: 0x1112131415161718}}},
		golden{"01 6d 01 07 a4 01 09", WriteBody{Map: []byte("m"), Key: []byte{7}, Value: []byte{9},
			WriteOptions: WriteOptions{Flags: WriteKeepTTL | WriteNoStore | WriteValue}}}),
	formatOf("ManyBody", pointed(AppendManyBody), DecodeManyBody, drawManyBody,
		golden{"01 6d 21 ac02 02 01 07 01 08 02 a161 01 09", ManyBody{Map: []byte("m"), WriteOptions: WriteOptions{Flags: WriteTTL | WriteValue, TTL: 300},
			Keys: [][]byte{{7}, []byte("\xa1a")}, Values: [][]byte{{8}, {9}}}},
		golden{"01 6d 00 01 01 07", ManyBody{Map: []byte("m"), Keys: [][]byte{{7}}}}),
	formatOf("ScanBody", pointed(AppendScanBody), DecodeScanBody,
		func(t *rapid.T) ScanBody {
			return ScanBody{drawMapName(t), drawBytes(t, "after"), drawU32(t, "limit"), drawU8(t, "what")}
		},
		golden{"01 6d 02 a161 01020304 03", ScanBody{Map: []byte("m"), After: []byte("\xa1a"), Limit: 0x01020304, What: ScanKeys | ScanValues}},
		golden{"01 6d 00 00000000 01", ScanBody{Map: []byte("m"), What: ScanKeys}}),
	formatOf("SweepBody", AppendSweepBody, DecodeSweepBody, func(t *rapid.T) SweepBody { return SweepBody{drawU32(t, "limit")} },
		golden{"01020304", SweepBody{0x01020304}}),
	formatOf("EvictBody", pointed(AppendEvictBody), DecodeEvictBody, func(t *rapid.T) EvictBody {
		e := EvictBody{Map: drawMapName(t), Keys: drawList(t, "key", 10, drawSome)}
		e.Versions = make([]uint64, len(e.Keys))
		for i := range e.Versions {
			e.Versions[i] = drawU64(t, "version")
		}
		return e
	}, golden{"01 6d 02 02 a161 0102030405060708 01 07 0000000000000009",
		EvictBody{[]byte("m"), [][]byte{[]byte("\xa1a"), {7}}, []uint64{0x0102030405060708, 9}}},
		golden{"01 6d 00", EvictBody{[]byte("m"), [][]byte{}, []uint64{}}}),
	formatOf("BoundRingBody", func(dst []byte, b BoundRingBody) []byte { return AppendBoundRingBody(dst, b) }, DecodeBoundRingBody, func(t *rapid.T) BoundRingBody {
		return BoundRingBody{drawU64(t, "entries") % (MaxEventEntries + 1), drawU64(t, "bytes") % (MaxEventBytes + 1)}
	}, golden{"07 8008", BoundRingBody{7, 1024}}),
	formatOf("TouchBody", pointed(AppendTouchBody), DecodeTouchBody, func(t *rapid.T) TouchBody {
		b := TouchBody{Map: drawMapName(t), Keys: drawList(t, "key", 10, drawSome)}
		b.At = make([]int64, len(b.Keys))
		for i := range b.At {
			b.At[i] = int64(drawU64(t, "at"))
		}
		return b
	}, golden{"01 6d 02 02 a161 d804 01 07 01", TouchBody{[]byte("m"), [][]byte{[]byte("\xa1a"), {7}}, []int64{300, -1}}},
		golden{"01 6d 00", TouchBody{[]byte("m"), [][]byte{}, []int64{}}}),
}

func TestMapBodies(t *testing.T) { testFormats(t, mapBodies) }

func FuzzMapBodies(f *testing.F) { fuzzFormats(f, mapBodies) }

func TestMapBodiesAllocateByWhatIsThere(t *testing.T) {
	name := []byte("\x01m")
	mapBodies[2].testList(t, name, []byte{1, 7}, nil)
	mapBodies[4].testList(t, append(bytes.Clone(name), 0), []byte{1, 7}, nil)
	mapBodies[4].testList(t, append(bytes.Clone(name), byte(WriteValue)), []byte{1, 7, 1, 8}, nil)
}

func TestCheckMapName(t *testing.T) {
	for _, c := range []struct {
		name string
		want error
	}{
		{"users", nil}, {" ", nil}, {"a.b/c:*>", nil}, {"köln", nil}, {"日本", nil}, {"😀", nil}, {"\u00a0", nil}, {"\ufffd", nil},
		{strings.Repeat("x", 255), nil}, {strings.Repeat("é", 127), nil}, {strings.Repeat("日", 85), nil},
		{"", ErrMalformed}, {"a\x00", ErrMalformed}, {"\n", ErrMalformed}, {"a\x1f", ErrMalformed}, {"\x7f", ErrMalformed},
		{"\u0080", ErrMalformed}, {"a\u009f", ErrMalformed}, {"\xff", ErrMalformed}, {"a\xc3", ErrMalformed}, {"\xed\xa0\x80", ErrMalformed},
		{"\xc0\x80", ErrMalformed}, {strings.Repeat("é", 20) + "\xe6\x97", ErrMalformed},
		{strings.Repeat("x", 256), ErrTooLarge}, {strings.Repeat("é", 128), ErrTooLarge},
	} {
		if err := CheckMapName(c.name); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("CheckMapName(%q) = %v, want %v", c.name, err, c.want)
		}
		if err := CheckMapName([]byte(c.name)); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("CheckMapName of the bytes %q = %v, want %v", c.name, err, c.want)
		}
	}
}

// What every body refuses, whatever else it says.
func TestMapBodiesRefuse(t *testing.T) {
	longName, longKey := strings.Repeat("x", MaxMapName+1), bytes.Repeat([]byte{1}, MaxKey+1)
	longValue := bytes.Repeat([]byte{1}, MaxValueHard+1)
	key, value := []byte{7}, []byte{8}
	write := func(w WriteBody) []byte { return AppendWriteBody(nil, &w) }
	many := func(m ManyBody) []byte { return AppendManyBody(nil, &m) }
	m := []byte("m")
	for _, c := range []struct {
		name string
		body []byte
		f    int // in mapBodies
		want error
	}{
		{"no map", AppendMapBody(nil, ""), 0, ErrMalformed},
		{"long map", AppendMapBody(nil, longName), 0, ErrTooLarge},
		{"no map", AppendKeyBody(nil, "", key), 1, ErrMalformed},
		{"no key", AppendKeyBody(nil, "m", nil), 1, ErrMalformed},
		{"long key", AppendKeyBody(nil, "m", longKey), 1, ErrTooLarge},
		{"no map", AppendKeysBody(nil, "", [][]byte{key}), 2, ErrMalformed},
		{"no key", AppendKeysBody(nil, "m", [][]byte{key, key, nil}), 2, ErrMalformed},
		{"long key", AppendKeysBody(nil, "m", [][]byte{longKey}), 2, ErrTooLarge},
		{"no map", write(WriteBody{Key: key}), 3, ErrMalformed},
		{"long map", write(WriteBody{Map: []byte(longName), Key: key}), 3, ErrTooLarge},
		{"no key", write(WriteBody{Map: m}), 3, ErrMalformed},
		{"long key", write(WriteBody{Map: m, Key: longKey}), 3, ErrTooLarge},
		{"empty value", write(WriteBody{Map: m, Key: key, Value: []byte{}}), 3, ErrMalformed},
		{"empty expected value", write(WriteBody{Map: m, Key: key, Expected: []byte{}}), 3, ErrMalformed},
		{"no map", many(ManyBody{Keys: [][]byte{key}}), 4, ErrMalformed},
		{"no key", many(ManyBody{Map: m, Keys: [][]byte{key, nil, key, key}}), 4, ErrMalformed},
		{"long key", many(ManyBody{Map: m, Keys: [][]byte{longKey}}), 4, ErrTooLarge},
		{"empty value", many(ManyBody{Map: m, Keys: [][]byte{key, key}, Values: [][]byte{value, {}}}), 4, ErrMalformed},
		{"long value", many(ManyBody{Map: m, Keys: [][]byte{key}, Values: [][]byte{longValue}}), 4, ErrTooLarge},
		{"expected value", fromHex(t, "01 6d 40 01 01 07"), 4, ErrMalformed},
		{"no map", AppendScanBody(nil, &ScanBody{}), 5, ErrMalformed},
		{"long map", AppendScanBody(nil, &ScanBody{Map: []byte(longName)}), 5, ErrTooLarge},
	} {
		f := mapBodies[c.f]
		if v, err := f.decode(c.body); !errors.Is(err, c.want) {
			t.Errorf("%s: %s: %+.100v, %v, want %v", f.name, c.name, v, err, c.want)
		}
	}
}

// Which fields an operation needs: any other set of them is refused.
func TestCheckWrite(t *testing.T) {
	needs := map[Op]WriteFlags{
		OpSet: WriteValue, OpPut: WriteValue, OpPutIfAbsent: WriteValue, OpReplace: WriteValue, OpReplaceIfSame: WriteValue | WriteExpect,
		OpRemoveIfSame: WriteExpect, OpSetTTL: WriteTTL, OpRemove: 0, OpDelete: 0, OpEvict: 0,
	}
	for i := range 256 {
		op := Op(i)
		need, known := needs[op]
		for given := range WriteFlags(1 << 7) {
			if given&^(WriteValue|WriteExpect|WriteTTL) != 0 {
				continue
			}
			w := WriteBody{Map: []byte("m"), Key: []byte{7}, WriteOptions: WriteOptions{Flags: given}}
			if given&WriteValue != 0 {
				w.Value = []byte{1}
			}
			if given&WriteExpect != 0 {
				w.Expected = []byte{1}
			}
			const exact = WriteValue | WriteExpect
			want := known && given&exact == need&exact && given&need == need
			if err := CheckWrite(op, &w); (err == nil) != want || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%v with the fields %08b: %v, want accepted: %v", op, given, err, want)
			}
		}
	}
}

func TestCheckWriteLimits(t *testing.T) {
	largest, tooLarge := make([]byte, MaxValueHard), make([]byte, MaxValueHard+1)
	for _, c := range []struct {
		name string
		op   Op
		w    WriteBody
		want error
	}{
		{"the largest value", OpSet, WriteBody{Value: largest}, nil},
		{"a larger value", OpSet, WriteBody{Value: tooLarge}, ErrTooLarge},
		{"an empty value", OpSet, WriteBody{Value: []byte{}}, ErrMalformed},
		{"the largest expected value", OpRemoveIfSame, WriteBody{Expected: largest}, nil},
		{"a larger expected value", OpRemoveIfSame, WriteBody{Expected: tooLarge}, ErrTooLarge},
		{"an empty expected value", OpReplaceIfSame, WriteBody{Value: largest, Expected: []byte{}}, ErrMalformed},
		{"IfVersion(0)", OpDelete, WriteBody{WriteOptions: WriteOptions{Flags: WriteVersion}}, ErrMalformed},
		{"IfVersion(1)", OpDelete, WriteBody{WriteOptions: WriteOptions{Flags: WriteVersion, IfVersion: 1}}, nil},
	} {
		if err := CheckWrite(c.op, &c.w); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// The flags of value and expected value are set by what there is, whatever the caller has put there.
func TestWriteBodyFlagsFollowTheFields(t *testing.T) {
	w := WriteBody{Map: []byte("m"), Key: []byte{7}, WriteOptions: WriteOptions{Flags: WriteValue | WriteExpect | WriteNoStore}}
	back, err := DecodeWriteBody(AppendWriteBody(nil, &w))
	if err != nil || back.Flags != WriteNoStore || back.Value != nil || back.Expected != nil {
		t.Errorf("%+v, %v", back, err)
	}
	if w.Flags != WriteValue|WriteExpect|WriteNoStore {
		t.Error("AppendWriteBody has changed what it was given")
	}
	m := ManyBody{Map: []byte("m"), Keys: [][]byte{{7}}, WriteOptions: WriteOptions{Flags: WriteValue | WriteExpect}}
	if back, err := DecodeManyBody(AppendManyBody(nil, &m)); err != nil || back.Flags != 0 || back.Values != nil {
		t.Errorf("%+v, %v", back, err)
	}
}

// All slices alias the input and none can be appended into what follows.
func TestWriteBodyAliases(t *testing.T) {
	w := WriteBody{Map: []byte("m"), Key: []byte{7}, Value: []byte{8}, Expected: []byte{9}}
	b := AppendWriteBody(nil, &w)
	got, err := DecodeWriteBody(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i]++
	}
	want := WriteBody{Map: []byte("n"), Key: []byte{8}, Value: []byte{9}, Expected: []byte{10}, WriteOptions: got.WriteOptions}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v does not alias its input", got)
	}
	for _, s := range [][]byte{got.Map, got.Key, got.Value, got.Expected} {
		if cap(s) != len(s) {
			t.Errorf("%x has room for %d bytes", s, cap(s))
		}
	}
}

func TestCheckRequest(t *testing.T) {
	for flags, ok := range map[WriteFlags]bool{
		0: true, WriteKeepTTL: true, WriteTTL | WriteMaxIdle: true, WriteKeepTTL | WriteVersion: true,
		WriteKeepTTL | WriteTTL: false, WriteKeepTTL | WriteMaxIdle: false,
	} {
		o := WriteOptions{Flags: flags}
		if err := o.CheckRequest(); (err == nil) != ok || !ok && !errors.Is(err, ErrMalformed) {
			t.Errorf("flags %b: %v", flags, err)
		}
	}
}

// The check of a body of keys, which lists nothing, says what reading the body says.
func TestCheckOfKeys(t *testing.T) {
	body := AppendKeysBody(nil, "map", [][]byte{[]byte("a"), []byte("key"), make([]byte, 300)})
	agree := func(b []byte) {
		t.Helper()
		k, want := DecodeKeysBody(b)
		c, err := OpGetMany.Descriptor().Check(OpGetMany, b)
		if (err == nil) != (want == nil) || err == nil && (c.Keys != len(k.Keys) || !bytes.Equal(c.Map, k.Map)) {
			t.Fatalf("%x: %d keys of %q, %v; read as %d keys of %q, %v", b, c.Keys, c.Map, err, len(k.Keys), k.Map, want)
		}
	}
	for i := range body {
		agree(body[:i])
		for _, to := range []byte{0, 1, 2, 0x7f, 0x80, 0xff} {
			changed := bytes.Clone(body)
			changed[i] = to
			agree(changed)
		}
	}
	agree(append(body, 0))
	agree(AppendKeysBody(nil, "map", nil))
	agree(AppendKeysBody(nil, "map", make([][]byte, MaxKeys+1)))
}
