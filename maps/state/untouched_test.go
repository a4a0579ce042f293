package state

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// untouched asks about a read of one key.
func untouched(s *State, name, key string, pos uint64) bool {
	return s.Untouched(wire.OpGet, wire.AppendKeyBody(nil, name, []byte(key)), pos, s.Clock())
}

func TestUntouched(t *testing.T) {
	s := newScript(t, Limits{RingEvents: 4})
	s.do(wire.OpSet, "m", "old", "v")
	s.do(wire.OpSet, "other", "k", "v")
	pos := s.LastPos()
	s.do(wire.OpSet, "m", "new", "v")

	for _, c := range []struct {
		name, key string
		want      bool
	}{{"m", "old", true}, {"m", "none", true}, {"m", "new", false}, {"other", "new", true}, {"none", "k", true}} {
		if got := untouched(s.State, c.name, c.key, pos); got != c.want {
			t.Errorf("%s of %s: %v", c.key, c.name, got)
		}
	}

	many := func(keys ...string) []byte {
		var b [][]byte
		for _, k := range keys {
			b = append(b, []byte(k))
		}
		return wire.AppendKeysBody(nil, "m", b)
	}
	if !s.Untouched(wire.OpGetMany, many("old", "none"), pos, 0) || s.Untouched(wire.OpGetMany, many("old", "new"), pos, 0) {
		t.Error("keys together")
	}
	if s.Untouched(wire.OpGetMany, many(make([]string, maxTouchLook/2)...), pos-2, 0) {
		t.Error("too many keys")
	}
	if s.Untouched(wire.OpSize, wire.AppendMapBody(nil, "m"), pos, 0) {
		t.Error("a read of all keys")
	}

	s.Apply(&entry.Op{Code: wire.OpClear, Body: wire.AppendMapBody(nil, "m")})
	if untouched(s.State, "m", "none", pos) || !untouched(s.State, "other", "k", pos) {
		t.Error("after a clear")
	}

	for range 3 {
		s.do(wire.OpSet, "m", "new", "v")
	}
	if untouched(s.State, "other", "k", pos) || !untouched(s.State, "other", "k", s.LastPos()) || untouched(s.State, "other", "k", s.LastPos()+1) {
		t.Error("where the ring begins and ends")
	}
}

// An entry that has expired and was not removed yet may be visible where the log's clock was not that far.
func TestUntouchedAndExpired(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "v", ttl(50))
	pos := s.LastPos()
	body, ends := wire.AppendKeyBody(nil, "m", []byte("k")), s.Clock()+50

	if !s.Untouched(wire.OpGet, body, pos, ends-1) || s.Untouched(wire.OpGet, body, pos, ends) {
		t.Error("by cluster time")
	}
	s.Advance(ends, 0)
	if s.Untouched(wire.OpGet, body, pos, 0) {
		t.Error("by the log's clock")
	}
}

// What a key is said to hold since a position, it held in each state since then.
func TestUntouchedIsTheSameSince(t *testing.T) {
	said := 0
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		var before []*State
		for range rapid.IntRange(1, 40).Draw(t, "operations") {
			if rapid.IntRange(0, 3).Draw(t, "keep") == 0 {
				var b bytes.Buffer
				f := m.state.Freeze()
				if _, err := f.WriteTo(&b); err != nil {
					t.Fatal(err)
				}
				_ = f.Close()
				was, err := Restore(&b, machineLimits)
				if err != nil {
					t.Fatal(err)
				}
				before = append(before, was)
			}

			now := m.model.clock + int64(rapid.SampledFrom([]int{0, 0, 1, 5, 30}).Draw(t, "later"))
			m.model.advance(now, 0)
			m.state.Advance(now, 0)
			m.replica.Advance(now, 0)
			m.apply(t, m.drawOp(t))

			for _, was := range before {
				for _, name := range machineMaps {
					for _, key := range machineKeys {
						if !untouched(m.state, name, key, was.LastPos()) {
							continue
						}
						said++
						a, inA := was.Get([]byte(name), []byte(key))
						b, inB := m.state.Get([]byte(name), []byte(key))
						if inA != inB || a.Version != b.Version || !bytes.Equal(a.Value, b.Value) {
							t.Fatalf("%s of %s at %d was %v %d %q, and is %v %d %q", key, name, was.LastPos(), inA, a.Version, a.Value, inB, b.Version, b.Value)
						}
					}
				}
			}
		}
	})
	if said == 0 {
		t.Fatal("nothing was untouched")
	}
}
