package state

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// colliding are keys with equal hashes, two and two.
var colliding = [][]byte{[]byte("7c096a93"), []byte("e469eddd"), []byte("dd2563f4"), []byte("ada5a74f"), []byte("c21776b6"), []byte("3b492c72")}

// metas generates what an entry can know of itself.
var metas = rapid.Custom(func(t *rapid.T) meta {
	m := meta{version: uint64(wire.StampOf(rapid.Uint64Range(1, wire.MaxGeneration).Draw(t, "generation"), rapid.Uint64Range(0, 1<<44-1).Draw(t, "count")))}
	m.created = rapid.Int64Range(0, math.MaxInt64).Draw(t, "created")
	m.updated = rapid.Int64Range(m.created, math.MaxInt64).Draw(t, "updated")
	if rapid.Bool().Draw(t, "ttl") {
		m.ttl, m.end = rapid.Uint64Range(1, math.MaxUint64).Draw(t, "ttl"), rapid.Int64Range(1, math.MaxInt64).Draw(t, "end")
	}
	if rapid.Bool().Draw(t, "max-idle") {
		m.maxIdle, m.touched = rapid.Uint64Range(1, math.MaxUint64).Draw(t, "max-idle"), rapid.Int64Range(0, math.MaxInt64).Draw(t, "touched")
	}
	return m
})

// An entry has what it was made of, and is read back from its bytes.
func TestItem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "key")
		value := rapid.SliceOfN(rapid.Byte(), 0, 20_000).Draw(t, "value")
		m := metas.Draw(t, "meta")
		e := newItem(probe(key), value, &m)
		e.use().Count(0, 5)
		hits := e.use().Hits()

		check := func(e item) {
			t.Helper()
			if !bytes.Equal(e.keyBytes(), key) || !bytes.Equal(e.valueBytes(), value) || e.meta() != m || e.version() != m.version || e.expires() != m.expires() {
				t.Fatalf("%x %x %+v: version %d, expires %d", e.keyBytes(), e.valueBytes(), e.meta(), e.version(), e.expires())
			}
			if e.valueLen() != len(value) || e.isLong() != m.long() || e.hash != hashOf(key) || e.size() != len(e.all()) {
				t.Fatalf("%d bytes of value, %d in all, long %v, hash %x", e.valueLen(), e.size(), e.isLong(), e.hash)
			}
		}
		check(e)
		if hits != 1 {
			t.Fatalf("%d reads behind the entry, want 1", hits)
		}

		b := append(make([]byte, 0, allocation(e.size())), e.all()...)
		again, ok := itemOf(b, len(key))
		if !ok {
			t.Fatalf("%x is no entry", b)
		}
		check(again)
	})
}

// Only what newItem makes is an entry: equal entries are equal bytes.
func FuzzItemOf(f *testing.F) {
	for _, m := range []meta{{version: 1 << 44}, {version: 1<<45 + 7, created: 1000, updated: 1200, ttl: 10, end: 1210}} {
		f.Add(newItem(probe([]byte("key")), []byte("value"), &m).all(), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, key int) {
		if key < 0 {
			return
		}
		kept := append(make([]byte, 0, allocation(len(b))), b...)
		e, ok := itemOf(kept, key)
		if !ok {
			return
		}
		m := e.meta()
		if e.isLong() != m.long() {
			return // Restore refuses it
		}
		if again := newItem(e, e.valueBytes(), &m); !bytes.Equal(again.all(), b) {
			t.Fatalf("%x is read as %x", b, again.all())
		}
	})
}

// Keys with equal hashes are different keys, in the order of their bytes.
func TestKeysWithEqualHashes(t *testing.T) {
	s := newScript(t, Limits{})
	for i, key := range colliding {
		if hashOf(key) != hashOf(colliding[i^1]) {
			t.Fatalf("the hashes of %s and %s differ", key, colliding[i^1])
		}
		if i%2 == 0 {
			s.do(wire.OpSet, "m", string(key), string(key))
		}
	}
	for i, key := range colliding {
		if v := s.value("m", string(key)); (v != "") != (i%2 == 0) {
			t.Fatalf("%s has %q", key, v)
		}
		s.do(wire.OpSet, "m", string(key), string(key))
	}

	var got [][]byte
	for after, more := []byte(nil), true; more; more = after != nil {
		after = s.Scan([]byte("m"), after, 1, 0, func(key []byte, v Entry) bool {
			if !bytes.Equal(v.Value, key) {
				t.Errorf("%s has %s", key, v.Value)
			}
			got = append(got, key)
			return true
		})
	}
	if len(got) != len(colliding) || !slices.IsSortedFunc(got, CompareKeys) {
		t.Fatalf("scanned %s", got)
	}

	restored, err := Restore(bytes.NewReader(snapshotBytes(t, s.State)), Limits{})
	if err != nil || restored.Hash() != s.Hash() {
		t.Fatalf("restored with %v", err)
	}
	for i, key := range colliding {
		if i%2 == 0 {
			s.do(wire.OpDelete, "m", string(key), "")
		}
	}
	for i, key := range colliding {
		if v := s.value("m", string(key)); (v != "") != (i%2 != 0) {
			t.Fatalf("%s has %q after the deletions", key, v)
		}
	}
}
