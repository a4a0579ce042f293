package wire

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

var loadFormats = []*format{
	formatOf("LoadedBody", pointed(AppendLoadedBody), DecodeLoadedBody,
		func(t *rapid.T) LoadedBody {
			l := LoadedBody{Map: drawMapName(t), Key: drawSome(t, "key"), ID: drawID(t, "id")}
			l.ID[3] |= 1
			if drawBool(t, "value") {
				l.Fence, l.Value, l.Flags = max(1, drawU64(t, "fence")), drawSome(t, "value"), WriteValue
				if drawBool(t, "ttl") {
					l.Flags, l.TTL = l.Flags|WriteTTL, drawU64(t, "ttl")
				}
				if drawBool(t, "max-idle") {
					l.Flags, l.MaxIdle = l.Flags|WriteMaxIdle, drawU64(t, "max-idle")
				}
			}
			return l
		},
		golden{"01 6d 02 a161 " + goldenID + " 0102030405060708 21 ac02 01 09", LoadedBody{Map: []byte("m"), Key: []byte("\xa1a"),
			ID: ID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Fence: 0x0102030405060708,
			WriteOptions: WriteOptions{Flags: WriteTTL | WriteValue, TTL: 300}, Value: []byte{9}}},
		golden{"01 6d 01 07 " + goldenID + " 0000000000000000 00", LoadedBody{Map: []byte("m"), Key: []byte{7},
			ID: ID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}}),
}

func TestLoadFormats(t *testing.T) { testFormats(t, loadFormats) }

func FuzzLoadFormats(f *testing.F) { fuzzFormats(f, loadFormats) }

// What comes back from a load is a value under a fence, or nothing.
func TestLoadedBodyRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*LoadedBody)
	}{
		{"nobody", func(l *LoadedBody) { l.ID = ID{} }},
		{"no fence", func(l *LoadedBody) { l.Fence = 0 }},
		{"a fence without a value", func(l *LoadedBody) { l.Value = nil }},
		{"an empty value", func(l *LoadedBody) { l.Value = []byte{} }},
		{"a version", func(l *LoadedBody) { l.Flags = WriteVersion }},
		{"a fence of a lock", func(l *LoadedBody) { l.Flags = WriteFence }},
		{"a TTL without a value", func(l *LoadedBody) { l.Fence, l.Value, l.Flags = 0, nil, WriteTTL }},
		{"no map", func(l *LoadedBody) { l.Map = nil }},
		{"no key", func(l *LoadedBody) { l.Key = nil }},
	} {
		l := LoadedBody{Map: []byte("m"), Key: []byte{7}, ID: ID{1}, Fence: 9, Value: []byte{1}}
		c.change(&l)
		if _, err := DecodeLoadedBody(AppendLoadedBody(nil, &l)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
