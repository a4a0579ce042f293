package state

import (
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// cached reads keys of the map "m" as a near cache does.
func (s *script) cached(code wire.Op, body []byte, n int) (wire.CacheHead, []wire.GetResult) {
	s.t.Helper()
	r := Reading{Op: code, Body: body, Cache: true}
	if !s.Read(&r, &ReadPoint{Partition: 7, Epoch: uint64(wire.StampOf(1, 3)), Now: s.Clock(), AsOf: 55}) || r.Code != wire.CodeOK {
		s.t.Fatalf("%v: %v", code, r.Code)
	}
	head, rest, err := wire.DecodeCacheHead(r.Append(nil))
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := wire.DecodeGetResults(rest, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return head, list
}

func (s *script) cachedGet(key string) (wire.CacheHead, wire.GetResult) {
	s.t.Helper()
	head, list := s.cached(wire.OpGet, wire.AppendKeyBody(nil, "m", []byte(key)), 1)
	return head, list[0]
}

func TestReadsForCaches(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "v", maxIdle(500))
	s.do(wire.OpSet, "other", "k", "v")

	want := wire.CacheHead{Position: wire.Position{Partition: 7, Epoch: uint64(wire.StampOf(1, 3)), Pos: 2, Quiet: 1}, Version: uint64(wire.StampOf(1, 2)), AsOf: 55}
	head, g := s.cachedGet("k")
	if head != want || string(g.Value) != "v" || g.MaxIdle != 500 || g.Version != uint64(wire.StampOf(1, 1)) {
		t.Errorf("%+v, %+v", head, g)
	}
	head, list := s.cached(wire.OpContains, wire.AppendKeyBody(nil, "m", []byte("k")), 1)
	if head != want || list[0].Flags != wire.ResultFound|wire.ResultIdle || list[0].Value != nil {
		t.Errorf("%+v, %+v", head, list)
	}
	head, list = s.cached(wire.OpGetMany, wire.AppendKeysBody(nil, "m", [][]byte{[]byte("none"), []byte("k")}), 2)
	if head != want || list[0].Flags != 0 || list[1].MaxIdle != 500 {
		t.Errorf("%+v, %+v", head, list)
	}

	// Whoever keeps nothing pays nothing.
	r := Reading{Op: wire.OpGet, Body: wire.AppendKeyBody(nil, "m", []byte("k"))}
	if !s.Read(&r, &ReadPoint{Now: s.Clock()}) {
		t.Fatal("not read")
	}
	if g, err := wire.DecodeGetResult(r.Append(nil)); err != nil || g.Flags&wire.ResultIdle != 0 {
		t.Errorf("%+v, %v", g, err)
	}
	r.Cache = true
	if r.Forget(); r.Cache {
		t.Error("the next use of the Reading is for a cache")
	}
}

// Whatever changes a value or its expiry makes an event that a cache can tell from what it has read: the read before knows of an earlier
// version, and the read after knows of the event's.
func TestChangesForCaches(t *testing.T) {
	write := func(code wire.Op, value string, edit ...func(*wire.WriteBody)) func(*script) {
		return func(s *script) { s.do(code, "m", "k", value, edit...) }
	}
	expected := func(w *wire.WriteBody) { w.Expected = []byte("v") }
	for name, change := range map[string]func(*script){
		"set":             write(wire.OpSet, "w"),
		"put":             write(wire.OpPut, "w"),
		"replace":         write(wire.OpReplace, "w"),
		"replace if same": write(wire.OpReplaceIfSame, "w", expected),
		"remove":          write(wire.OpRemove, ""),
		"remove if same":  write(wire.OpRemoveIfSame, "", expected),
		"delete":          write(wire.OpDelete, ""),
		"set TTL":         write(wire.OpSetTTL, "", ttl(40)),
		"evict":           write(wire.OpEvict, ""),
		"set all": func(s *script) {
			s.raw(&entry.Op{Code: wire.OpSetMany, Body: wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: [][]byte{[]byte("k")}, Values: [][]byte{[]byte("w")}})})
		},
		"delete all": func(s *script) {
			s.raw(&entry.Op{Code: wire.OpDeleteMany, Body: wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: [][]byte{[]byte("k")}})})
		},
		"clear":   func(s *script) { s.whole(wire.OpClear, "m") },
		"destroy": func(s *script) { s.whole(wire.OpDestroy, "m") },
		"expiry": func(s *script) {
			s.at(s.Clock() + 60_000)
			s.sweepUp(10)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, Limits{})
			s.do(wire.OpSet, "m", "k", "v", ttl(60_000))
			pos := s.LastPos()
			before, _ := s.cachedGet("k")
			change(s)
			after, _ := s.cachedGet("k")

			events, _ := s.EventsFrom(pos, nil)
			if len(events) != 1 {
				t.Fatalf("%d events", len(events))
			}
			e := events[0]
			if string(e.Key) != "k" && e.Kind != wire.EventCleared {
				t.Errorf("%+v is not about the key", e)
			}
			if e.Version <= before.Version || e.Version > after.Version || e.Pos <= before.Position.Pos || e.Pos > after.Position.Pos {
				t.Errorf("%+v is not between %+v and %+v", e, before, after)
			}
		})
	}
}
