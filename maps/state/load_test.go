package state

import (
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func loadedOp(name, key string, id byte, fence uint64, value string) *entry.Op {
	b := wire.LoadedBody{Map: []byte(name), Key: []byte(key), ID: wire.ID{id}, Fence: fence}
	if value != "" {
		b.Value = []byte(value)
	}
	return &entry.Op{Code: wire.OpLoaded, Body: wire.AppendLoadedBody(nil, &b)}
}

// load asks for the task to load a key's value.
func (s *script) load(key string, id byte) wire.LockResult {
	s.t.Helper()
	r := s.raw(lockOp(wire.OpLoad, "m", key, id, 1000, 10_000))
	l, err := wire.DecodeLockResult(r.Body)
	if r.Code != wire.CodeOK || err != nil {
		s.t.Fatalf("load: %v %q", r.Code, r.Body)
	}
	return l
}

// One loads, others wait; the value ends that, an error hands it on.
func TestLoad(t *testing.T) {
	s := newScript(t, Limits{})
	first := s.load("k", 1)
	if first.Flags != wire.LockHeld || s.load("k", 2).Flags != wire.LockQueued || s.load("k", 3).Flags != wire.LockQueued {
		t.Fatalf("%+v", first)
	}
	if r := s.raw(loadedOp("m", "k", 1, 0, "")); r.Code != wire.CodeOK {
		t.Fatalf("giving up: %v", r.Code)
	}
	v, _ := s.Loader([]byte("m"), []byte("k"))
	if v.Holder != (wire.ID{2}) || v.Fence <= first.Fence {
		t.Fatalf("the next to load: %+v", v)
	}
	if r := s.raw(loadedOp("m", "k", 1, first.Fence, "late")); r.Code != wire.CodeLockNotHeld {
		t.Fatalf("a late value: %v", r.Code)
	}
	if r := s.raw(loadedOp("m", "k", 2, v.Fence, "v")); r.Code != wire.CodeOK || s.value("m", "k") != "v" {
		t.Fatalf("the value: %v", r.Code)
	}
	if v, loaded := s.Loader([]byte("m"), []byte("k")); !loaded || v != (LockState{}) {
		t.Fatalf("after that: %+v, %v", v, loaded)
	}
	if r := s.load("k", 3); r.Flags != wire.LockLoaded {
		t.Fatalf("whoever asks later: %+v", r)
	}
}

// A lease that nobody renews passes to the next; one that is renewed does not.
func TestLoaderDies(t *testing.T) {
	s := newScript(t, Limits{})
	now := s.Clock()
	s.load("k", 1)
	s.load("k", 2)
	s.at(now + 999)
	again := wire.LockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{1}, Lease: 1000, Flags: wire.LockAgain}
	if r := s.raw(&entry.Op{Code: wire.OpLoad, Body: wire.AppendLockBody(nil, &again)}); r.Code != wire.CodeOK {
		t.Fatalf("renewing: %v", r.Code)
	}
	s.at(now + 1500)
	s.sweepUp(10)
	s.sweepUp(10)
	if v, _ := s.Loader([]byte("m"), []byte("k")); v.Holder != (wire.ID{1}) {
		t.Fatalf("a renewed lease: %+v", v)
	}
	s.at(now + 2000)
	s.sweepUp(10)
	s.sweepUp(10)
	if v, _ := s.Loader([]byte("m"), []byte("k")); v.Holder != (wire.ID{2}) {
		t.Fatalf("a lease that is over: %+v", v)
	}
	if r := s.raw(&entry.Op{Code: wire.OpLoad, Body: wire.AppendLockBody(nil, &again)}); r.Code != wire.CodeLockNotHeld {
		t.Fatalf("renewing too late: %v", r.Code)
	}
}

// What is written or deleted while it is loaded is newer than what is loaded.
func TestLoadIsVoid(t *testing.T) {
	for name, f := range map[string]func(s *script){
		"set":    func(s *script) { s.do(wire.OpSet, "m", "k", "new") },
		"delete": func(s *script) { s.do(wire.OpDelete, "m", "k", "") },
		"remove": func(s *script) { s.do(wire.OpRemove, "m", "k", "") },
		"evict":  func(s *script) { s.do(wire.OpEvict, "m", "k", "") },
		"delete many": func(s *script) {
			s.raw(&entry.Op{Code: wire.OpDeleteMany, Body: wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: [][]byte{[]byte("k")}})})
		},
		"remove all": func(s *script) {
			s.raw(&entry.Op{Code: wire.OpRemoveAll, Body: wire.AppendRemovalBody(nil, &wire.RemovalBody{Map: []byte("m"), Keys: [][]byte{[]byte("k")}, Versions: []uint64{0}})})
		},
		"clear":   func(s *script) { s.whole(wire.OpClear, "m") },
		"destroy": func(s *script) { s.whole(wire.OpDestroy, "m") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, Limits{})
			r := s.load("k", 1)
			f(s)
			want := s.value("m", "k")
			if got := s.raw(loadedOp("m", "k", 1, r.Fence, "old")); got.Code != wire.CodeLockNotHeld || s.value("m", "k") != want {
				t.Fatalf("%v, the map has %q", got.Code, s.value("m", "k"))
			}
		})
	}
}
