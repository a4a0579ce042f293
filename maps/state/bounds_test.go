package state

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// manyKeys returns so many keys in their order.
func manyKeys(n int) (keys [][]byte) {
	for i := range n {
		keys = append(keys, fmt.Appendf(nil, "%06d", i))
	}
	return keys
}

// An operation on more keys than one may have is refused, by the state as well, and is no state's work.
func TestKeysOfOneOperation(t *testing.T) {
	s := New(1, Limits{})
	for n, want := range map[int]wire.Code{wire.MaxKeys: wire.CodeOK, wire.MaxKeys + 1: wire.CodeTooLarge} {
		keys := manyKeys(n)
		versions, at := make([]uint64, n), make([]int64, n)
		for code, body := range map[wire.Op][]byte{
			wire.OpSetMany:    wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: keys, Values: keys}),
			wire.OpDeleteMany: wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: keys}),
			wire.OpEvictMany:  wire.AppendEvictBody(nil, &wire.EvictBody{Map: []byte("m"), Keys: keys, Versions: versions}),
			wire.OpTouch:      wire.AppendTouchBody(nil, &wire.TouchBody{Map: []byte("m"), Keys: keys, At: at}),
			wire.OpRemoveAll:  wire.AppendRemovalBody(nil, &wire.RemovalBody{Map: []byte("m"), Keys: keys, Versions: versions}),
		} {
			if got := s.Apply(&entry.Op{Code: code, Body: body}); got.Code != want {
				t.Errorf("%v of %d keys: %v %s", code, n, got.Code, got.Body)
			}
		}
	}
	if st := s.Stats([]byte("m")); st.Held > wire.MaxKeys {
		t.Errorf("%+v", st)
	}
}

// A sweep removes no more than an operation may, whatever it is asked for; a page looks at a bounded number of entries, also where all have
// expired, and says where to go on.
func TestSweepsAndPagesAreBounded(t *testing.T) {
	const n = 3*wire.MaxKeys + 7
	s := newScript(t, Limits{})
	for keys := manyKeys(n); len(keys) > 0; {
		part := keys[:min(len(keys), wire.MaxKeys)]
		keys = keys[len(part):]
		s.Apply(&entry.Op{Code: wire.OpSetMany, Body: wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: part, Values: part,
			WriteOptions: wire.WriteOptions{Flags: wire.WriteTTL, TTL: 10}})})
	}
	s.do(wire.OpSet, "m", "z", "v")
	s.Advance(s.Clock()+10, 0)
	pages, seen := 0, ""
	for after := []byte(nil); ; pages++ {
		after = s.Scan([]byte("m"), after, 0, 0, func(key []byte, _ Entry) bool {
			seen += string(key)
			return true
		})
		if after == nil {
			break
		}
	}
	if seen != "z" || pages != n/scanLook {
		t.Errorf("%q after %d pages", seen, pages)
	}
	for left := n; left > 0; left -= wire.MaxKeys {
		if got := int(s.sweepUp(1 << 30)); got != min(left, wire.MaxKeys) {
			t.Fatalf("%d swept of %d", got, left)
		}
	}
}

// However many results a client no longer waits for, one call drops a bounded number of them; the next ones drop the rest. What is below
// the floor is stale all the same.
func TestResultsAreDroppedInParts(t *testing.T) {
	const n = 3 * forgetMax
	s := newScript(t, Limits{})
	call := func(seq, lowest uint64) wire.Code {
		op := writeOp(wire.OpSet, "m", "k", "v")
		op.Client, op.Seq, op.Lowest, op.Deadline = wire.ID{1}, seq, lowest, 1<<40
		return s.Apply(op).Code
	}
	for i := range n {
		call(uint64(i+1), 1)
	}
	for i, want := range []int{n - forgetMax + 1, n - 2*forgetMax + 2, 3, 4} {
		if got := call(uint64(n+1+i), n+1); got != wire.CodeOK {
			t.Fatalf("%v", got)
		}
		if got := len(s.calls.take(wire.ID{1}).records()); got != want {
			t.Errorf("after call %d %d results are kept, want %d", i, got, want)
		}
	}
	if got := call(n, 1); got != wire.CodeStale {
		t.Errorf("%v", got)
	}
}
