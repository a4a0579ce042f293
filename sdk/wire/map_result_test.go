package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func drawGetResult(t *rapid.T, _ string) GetResult {
	g := GetResult{Flags: drawU8(t, "flags"), Version: drawU64(t, "version"), Expires: drawI64(t, "expires"), Instance: drawU64(t, "instance"),
		Seq: drawU64(t, "seq"), Value: drawBytes(t, "value")}
	if g.Flags&ResultIdle != 0 {
		g.MaxIdle = drawU64(t, "max idle")
	}
	return g
}

func drawBulkResult(t *rapid.T) BulkResult {
	b := BulkResult{Applied: drawU64(t, "applied")}
	if list := drawList(t, "failed", 10, func(t *rapid.T, _ string) BulkError { return BulkError{drawU32(t, "index"), drawCode(t, "code")} }); len(list) > 0 {
		b.Failed = list
	}
	return b
}

func drawScanResult(t *rapid.T) ScanResult {
	s := ScanResult{Keys: drawList(t, "key", 10, drawSome), More: drawBool(t, "more")}
	if drawBool(t, "with values") {
		s.Values = make([][]byte, len(s.Keys))
		for i := range s.Values {
			s.Values[i] = drawBytes(t, "value")
		}
	}
	return s
}

var goldenGetResults = []GetResult{
	{Flags: ResultFound | ResultValue, Version: 0x0102030405060708, Expires: -3, Instance: 0x1112131415161718, Seq: 300, Value: []byte("\xa1v")},
	{Flags: 0, Instance: 5, Seq: 1},
	{Flags: ResultFound | ResultIdle, Version: 1, MaxIdle: 300},
}

const (
	goldenFound  = "05 0102030405060708 05 1112131415161718 ac02 02 a176"
	goldenAbsent = "00 0000000000000000 00 0000000000000005 01 00"
	goldenIdle   = "09 0000000000000001 00 0000000000000000 00 00 ac02"
)

var mapResults = []*format{
	formatOf("WriteResult", pointed(AppendWriteResult), DecodeWriteResult,
		func(t *rapid.T) WriteResult {
			// All that is left is never nil, and a decoder needs not tell none from nothing.
			return WriteResult{drawU8(t, "flags"), drawU64(t, "version"), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")}
		},
		golden{"07 0102030405060708 a176", WriteResult{ResultFound | ResultApplied | ResultValue, 0x0102030405060708, []byte("\xa1v")}},
		golden{"00 0000000000000000", WriteResult{0, 0, []byte{}}}).ending(tail),
	formatOf("BulkResult", pointed(AppendBulkResult), DecodeBulkResult, drawBulkResult,
		golden{"ac02 02 00000001 0003 01020304 0102", BulkResult{300, []BulkError{{1, CodeConflict}, {0x01020304, 0x0102}}}},
		golden{"07 00", BulkResult{Applied: 7}}),
	formatOf("GetResult", pointed(AppendGetResult), DecodeGetResult, func(t *rapid.T) GetResult { return drawGetResult(t, "") },
		golden{goldenFound, goldenGetResults[0]}, golden{goldenAbsent, goldenGetResults[1]},
		golden{goldenIdle, goldenGetResults[2]}),
	formatOf("EntryViewResult", pointed(AppendEntryViewResult), DecodeEntryViewResult,
		func(t *rapid.T) EntryViewResult {
			return EntryViewResult{drawU8(t, "flags"), drawU64(t, "version"), drawI64(t, "created"), drawI64(t, "updated"), drawI64(t, "accessed"),
				drawI64(t, "expires"), drawI64(t, "end"), drawU64(t, "ttl"), drawU64(t, "max idle"), drawU64(t, "hits"), drawU64(t, "cost"), drawBytes(t, "value")}
		},
		golden{"01 0102030405060708 02 04 06 07 12 05 06 ac02 08 02 a176", EntryViewResult{Flags: ResultFound, Version: 0x0102030405060708, Created: 1,
			Updated: 2, Accessed: 3, Expires: -4, End: 9, TTL: 5, MaxIdle: 6, Hits: 300, Cost: 8, Value: []byte("\xa1v")}}),
	formatOf("ScanResult", pointed(AppendScanResult), DecodeScanResult, drawScanResult,
		golden{"03 02 01 07 01 08 02 a161 00", ScanResult{Keys: [][]byte{{7}, []byte("\xa1a")}, Values: [][]byte{{8}, nil}, More: true}},
		golden{"00 01 01 07", ScanResult{Keys: [][]byte{{7}}}},
		golden{"02 00", ScanResult{Keys: [][]byte{}, Values: [][]byte{}}}),
	formatOf("Moved", AppendMoved, DecodeMoved, func(t *rapid.T) Moved { return Moved{drawU64(t, "epoch"), drawID(t, "owner")} },
		golden{"0102030405060708 a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", Moved{0x0102030405060708, testID(0xa0)}}),
}

func TestMapResults(t *testing.T) { testFormats(t, mapResults) }

func FuzzMapResults(f *testing.F) { fuzzFormats(f, mapResults) }

func TestMapResultsAllocateByWhatIsThere(t *testing.T) {
	mapResults[1].testList(t, []byte{0}, make([]byte, 6), nil)
	mapResults[4].testList(t, []byte{0}, []byte{1, 7}, nil)
	mapResults[4].testList(t, []byte{2}, []byte{1, 7, 0}, nil)
}

func TestScanResultRefusesEmptyKeys(t *testing.T) {
	for _, s := range []ScanResult{
		{Keys: [][]byte{{7}, nil, []byte("long enough")}},
		{Keys: [][]byte{{7}, {}}, Values: [][]byte{{8}, []byte("long enough")}},
	} {
		if back, err := DecodeScanResult(AppendScanResult(nil, &s)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v, %v, want ErrMalformed", back, err)
		}
	}
}

// The number of results is known from the request: neither fewer nor more will do.
func TestGetResults(t *testing.T) {
	b := fromHex(t, goldenFound+goldenAbsent+goldenIdle)
	if list, err := DecodeGetResults(b, 3); err != nil || !reflect.DeepEqual(list, goldenGetResults) {
		t.Errorf("%+v, %v", list, err)
	}
	for n := range b {
		if list, err := DecodeGetResults(b[:n:n], 3); !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d bytes: %+v, %v, want ErrMalformed", n, list, err)
		}
	}
	for _, n := range []int{0, 1, 2, 4, 1 << 40} {
		if list, err := DecodeGetResults(b, n); !errors.Is(err, ErrMalformed) {
			t.Errorf("three results as %d: %+v, %v, want ErrMalformed", n, list, err)
		}
	}
	if list, err := DecodeGetResults(nil, 0); err != nil || len(list) != 0 {
		t.Errorf("none: %+v, %v", list, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		list := drawList(t, "result", 10, drawGetResult)
		var b []byte
		for i := range list {
			b = AppendGetResult(b, &list[i])
		}
		if back, err := DecodeGetResults(b, len(list)); err != nil || !reflect.DeepEqual(back, list) {
			t.Fatalf("%+v comes back as\n%+v, %v", list, back, err)
		}
	})
}

func TestCacheHead(t *testing.T) {
	head := CacheHead{Position: goldenPosition, Version: 0x1112131415161718, AsOf: 0x2122232425262728}
	want := fromHex(t, goldenPositionBytes+"1112131415161718 2122232425262728")
	if b := AppendCacheHead(nil, &head); !bytes.Equal(b, want) || len(b) > MaxCacheHead {
		t.Fatalf("%x, want %x", b, want)
	}
	if h, rest, err := DecodeCacheHead(append(want, "rest"...)); h != head || string(rest) != "rest" || err != nil {
		t.Fatalf("%+v, %q, %v", h, rest, err)
	}
	for n := range want {
		if h, _, err := DecodeCacheHead(want[:n:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d bytes: %+v, %v, want ErrMalformed", n, h, err)
		}
	}

	most := CacheHead{Position: Position{Pos: 1<<64 - 1, Quiet: 1<<64 - 1}}
	if n := len(AppendCacheHead(nil, &most)); n != MaxCacheHead {
		t.Errorf("%d bytes, want at most %d", n, MaxCacheHead)
	}
}

func FuzzDecodeGetResults(f *testing.F) {
	f.Add(uint16(2), fromHex(f, goldenFound+goldenAbsent))
	f.Add(uint16(60_000), fromHex(f, goldenFound))
	f.Add(uint16(0), []byte{})
	f.Fuzz(func(t *testing.T, n uint16, b []byte) {
		results := formatOf("GetResults", nil, func(b []byte) ([]GetResult, error) { return DecodeGetResults(b, int(n)) }, nil)
		v, err := results.decodeWithin(t, b, fuzzSlack+allocFactor*len(b))
		if err == nil && len(v.([]GetResult)) != int(n) {
			t.Fatalf("%d results instead of %d", len(v.([]GetResult)), n)
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%v is not ErrMalformed", err)
		}
	})
}
