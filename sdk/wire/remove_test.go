package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var removeFormats = []*format{
	formatOf("RemoveBody", pointed(AppendRemoveBody), DecodeRemoveBody,
		func(t *rapid.T) RemoveBody {
			glob := rapid.StringMatching(`([a-z日*?]|\[\^?[a-c]\]|\\.){0,20}`).Filter(func(s string) bool { return CheckGlob(s) == nil })
			where := rapid.OneOf(
				rapid.Map(glob, func(s string) Predicate { return Predicate{PredicateGlob, s} }),
				rapid.Map(rapid.String(), func(s string) Predicate { return Predicate{PredicateText, s} }))
			return RemoveBody{drawMapName(t), drawBytes(t, "after"), where.Draw(t, "where")}
		},
		golden{"01 6d 02 a161 01 02 612a", RemoveBody{[]byte("m"), []byte("\xa1a"), Predicate{PredicateGlob, "a*"}}},
		golden{"01 6d 00 02 07 61203d202778 27", RemoveBody{Map: []byte("m"), Where: Predicate{PredicateText, "a = 'x'"}}},
		golden{"01 6d 00 01 00", RemoveBody{Map: []byte("m"), Where: Predicate{Kind: PredicateGlob}}}),
	formatOf("RemovalBody", pointed(AppendRemovalBody), DecodeRemovalBody,
		func(t *rapid.T) RemovalBody {
			r := RemovalBody{Map: drawMapName(t), Next: drawBytes(t, "next"), Keys: drawList(t, "key", 10, drawSome)}
			r.Versions = make([]uint64, len(r.Keys))
			for i := range r.Versions {
				r.Versions[i] = drawU64(t, "version")
			}
			return r
		},
		golden{"01 6d 02 a162 01 02 a161 0102030405060708", RemovalBody{[]byte("m"), []byte("\xa1b"), [][]byte{[]byte("\xa1a")}, []uint64{0x0102030405060708}}},
		golden{"01 6d 00 00", RemovalBody{Map: []byte("m"), Keys: [][]byte{}, Versions: []uint64{}}}),
	formatOf("RemoveResult", pointed(AppendRemoveResult), DecodeRemoveResult,
		func(t *rapid.T) RemoveResult { return RemoveResult{drawU64(t, "removed"), drawBytes(t, "next")} },
		golden{"ac02 02 a161", RemoveResult{300, []byte("\xa1a")}},
		golden{"00 00", RemoveResult{}}),
}

func TestRemoveFormats(t *testing.T) { testFormats(t, removeFormats) }

func FuzzRemoveFormats(f *testing.F) { fuzzFormats(f, removeFormats) }

// What a removal refuses: nothing of it may be found out only once it stands in the log.
func TestRemoveBodyRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		body RemoveBody
		want error
	}{
		{"no map", RemoveBody{Where: Predicate{PredicateGlob, "a"}}, ErrMalformed},
		{"no predicate", RemoveBody{Map: []byte("m")}, ErrMalformed},
		{"another predicate", RemoveBody{Map: []byte("m"), Where: Predicate{3, "a"}}, ErrMalformed},
		{"no glob", RemoveBody{Map: []byte("m"), Where: Predicate{PredicateGlob, "[a"}}, ErrMalformed},
		{"a long glob", RemoveBody{Map: []byte("m"), Where: Predicate{PredicateGlob, strings.Repeat("a", MaxGlob+1)}}, ErrTooLarge},
		{"a long text", RemoveBody{Map: []byte("m"), Where: Predicate{PredicateText, strings.Repeat("a", MaxPredicate+1)}}, ErrTooLarge},
		{"a long key", RemoveBody{Map: []byte("m"), After: bytes.Repeat([]byte{1}, MaxKey+1), Where: Predicate{PredicateGlob, "a"}}, ErrTooLarge},
	} {
		if _, err := DecodeRemoveBody(AppendRemoveBody(nil, &c.body)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}
