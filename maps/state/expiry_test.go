package state

import (
	"math"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestExpiryOfWrites(t *testing.T) {
	for _, c := range []struct {
		name    string
		edit    []func(*wire.WriteBody)
		expires int64
	}{
		{"none", nil, 0},
		{"TTL", []func(*wire.WriteBody){ttl(5)}, 1005},
		{"TTL 0", []func(*wire.WriteBody){ttl(0)}, 0},
		{"TTL forever", []func(*wire.WriteBody){ttl(wire.Forever)}, 0},
		{"TTL beyond forever", []func(*wire.WriteBody){ttl(math.MaxUint64)}, 0},
		{"longest TTL", []func(*wire.WriteBody){ttl(wire.Forever - 1)}, 1000 + int64(wire.Forever) - 1},
		{"max-idle", []func(*wire.WriteBody){maxIdle(7)}, 1007},
		{"max-idle before TTL", []func(*wire.WriteBody){ttl(9), maxIdle(7)}, 1007},
		{"TTL before max-idle", []func(*wire.WriteBody){ttl(6), maxIdle(7)}, 1006},
		{"KeepTTL of nothing", []func(*wire.WriteBody){keepTTL}, 0},
	} {
		s := newScript(t, Limits{})
		s.do(wire.OpSet, "m", "k", "v", c.edit...)
		v, ok := s.Get([]byte("m"), []byte("k"))
		if !ok || v.Expires != c.expires {
			t.Errorf("%s: expires at %d, %v, want %d", c.name, v.Expires, ok, c.expires)
		}
	}
}

func TestTTLBeyondTheClockNeverEnds(t *testing.T) {
	s := newScript(t, Limits{})
	s.at(math.MaxInt64 - 10)
	s.do(wire.OpSet, "m", "k", "v", ttl(11))
	if v, ok := s.Get([]byte("m"), []byte("k")); !ok || v.Expires != 0 || v.TTL != 0 {
		t.Fatalf("%+v, %v", v, ok)
	}
	s.do(wire.OpSet, "m", "k", "v", ttl(10))
	if v, _ := s.Get([]byte("m"), []byte("k")); v.Expires != math.MaxInt64 {
		t.Fatalf("%+v", v)
	}
}

// KeepTTL keeps the TTL's end where it was, while the max-idle runs from the write.
func TestKeepTTL(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "v", ttl(100), maxIdle(30))
	s.at(1020)
	s.do(wire.OpSet, "m", "k", "w", keepTTL)
	v, _ := s.Get([]byte("m"), []byte("k"))
	if v.Expires != 1050 || v.TTL != 100 || v.MaxIdle != 30 || v.Created != 1000 || v.Updated != 1020 {
		t.Fatalf("%+v", v)
	}
	s.at(1049)
	s.do(wire.OpSet, "m", "k", "w", keepTTL)
	s.at(1078)
	s.do(wire.OpSet, "m", "k", "w", keepTTL)
	if v, _ := s.Get([]byte("m"), []byte("k")); v.Expires != 1100 {
		t.Fatalf("%+v", v)
	}
	s.do(wire.OpSet, "m", "k", "x")
	if v, _ := s.Get([]byte("m"), []byte("k")); v.Expires != 0 || v.MaxIdle != 0 {
		t.Fatalf("a plain write kept an expiry: %+v", v)
	}
}

func TestSetTTL(t *testing.T) {
	s := newScript(t, Limits{})
	if r := s.do(wire.OpSetTTL, "m", "k", "", ttl(5)); r.Flags != 0 || r.Version != 0 || s.LastPos() != 0 {
		t.Fatalf("SetTTL of a missing key: %+v", r)
	}
	set := s.do(wire.OpSet, "m", "k", "v", ttl(50))
	s.at(1010)
	r := s.do(wire.OpSetTTL, "m", "k", "", ttl(5))
	v, _ := s.Get([]byte("m"), []byte("k"))
	if r.Flags != wire.ResultFound|wire.ResultApplied || r.Version <= set.Version || v.Version != r.Version || v.Expires != 1015 || v.Updated != 1000 || string(v.Value) != "v" {
		t.Fatalf("%+v: %+v", r, v)
	}
	s.do(wire.OpSetTTL, "m", "k", "", ttl(0))
	if v, _ := s.Get([]byte("m"), []byte("k")); v.Expires != 0 || v.TTL != 0 {
		t.Fatalf("SetTTL(0) leaves %+v", v)
	}
	if _, ok := s.NextDue(); ok {
		t.Fatal("an entry that stays is still to expire")
	}
	if got := s.kinds("m"); got != "ATT" {
		t.Fatalf("events %s", got)
	}
	events, _ := s.EventsFrom(1, nil)
	if e := events[0]; string(e.New) != "v" || string(e.Old) != "v" || e.Expires != 1015 || e.Version != r.Version {
		t.Fatalf("%+v", e)
	}
}

// An entry is gone when the clock reaches its expiry; the count is right before anything was removed.
func TestExpiredIsInvisibleBeforeItIsSwept(t *testing.T) {
	s := newScript(t, Limits{})
	for i, key := range []string{"a", "b", "c", "d", "e"} {
		s.do(wire.OpSet, "m", key, "v", ttl(uint64(10*(i+1))))
	}
	s.do(wire.OpSet, "m", "f", "v")
	for _, c := range []struct {
		clock int64
		size  int
		next  int64
	}{{1009, 6, 1010}, {1010, 5, 1020}, {1029, 4, 1030}, {1030, 3, 1040}, {1050, 1, 0}} {
		if s.at(c.clock); s.Size([]byte("m")) != c.size {
			t.Errorf("size at %d is %d, want %d", c.clock, s.Size([]byte("m")), c.size)
		}
		if at, ok := s.MinExpires([]byte("m")); at != c.next || ok != (c.next != 0) {
			t.Errorf("next expiry at %d is %d, want %d", c.clock, at, c.next)
		}
	}
	if at, ok := s.NextDue(); !ok || at != 1010 {
		t.Errorf("NextDue = %d, %v: what waits for the sweep is due", at, ok)
	}
	if info := s.infos(); len(info) != 1 || info[0].Entries != 1 || info[0].Name != "m" {
		t.Errorf("%+v", info)
	}
	if s.value("m", "a") != "" || s.value("m", "f") != "v" {
		t.Error("wrong entries are visible")
	}
	if s.kinds("m") != "AAAAAA" {
		t.Errorf("events %s before the sweep", s.kinds("m"))
	}
}

func TestDue(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "v", ttl(10))
	for _, c := range []struct {
		now  int64
		want bool
	}{{1009, false}, {1010, true}} {
		if got := s.Due([]byte("m"), []byte("k"), c.now); got != c.want {
			t.Errorf("due at %d: %v", c.now, got)
		}
	}
	if s.Due([]byte("m"), []byte("x"), 5000) || s.Due([]byte("n"), []byte("k"), 5000) {
		t.Error("what is not there is due")
	}
	s.at(1010)
	if s.Due([]byte("m"), []byte("k"), 5000) {
		t.Error("what the clock has hidden is due")
	}
}

func TestSweepGoesByExpiryMapKey(t *testing.T) {
	s := newScript(t, Limits{})
	for _, e := range []struct {
		name, key string
		ttl       uint64
	}{{"n", "a", 10}, {"m", "b", 10}, {"m", "a", 10}, {"m", "c", 5}, {"n", "z", 7}, {"m", "stay", 100}} {
		s.do(wire.OpSet, e.name, e.key, "v", ttl(e.ttl))
	}
	from := s.LastPos()
	s.at(1004)
	if n := s.sweepUp(10); n != 0 {
		t.Fatalf("%d swept too early", n)
	}
	s.at(1010)
	if n := s.sweepUp(3); n != 3 {
		t.Fatalf("%d swept, the limit is 3", n)
	}
	if n := s.sweepUp(100); n != 2 {
		t.Fatalf("%d swept at last", n)
	}
	events, _ := s.EventsFrom(from, nil)
	got := ""
	for _, e := range events {
		got += e.Map + string(e.Key) + " "
		if e.Kind != wire.EventExpired || string(e.Old) != "v" || e.New != nil || e.Time != 1010 {
			t.Errorf("%+v", e)
		}
	}
	if got != "mc nz ma mb na " {
		t.Fatalf("swept %s", got)
	}
}

// A write of a key whose entry has expired finds nothing, and the old entry's event comes first and once.
func TestWriteOverExpired(t *testing.T) {
	for _, c := range []struct {
		code  wire.Op
		value string
		want  string
	}{
		{wire.OpSet, "w", "AXA"}, {wire.OpPut, "w", "AXA"}, {wire.OpPutIfAbsent, "w", "AXA"}, {wire.OpReplace, "w", "AX"},
		{wire.OpRemove, "", "AX"}, {wire.OpDelete, "", "AX"}, {wire.OpEvict, "", "AX"},
	} {
		s := newScript(t, Limits{})
		first := s.do(wire.OpSet, "m", "k", "v", ttl(10))
		s.at(1010)
		r := s.do(c.code, "m", "k", c.value)
		if r.Flags&(wire.ResultFound|wire.ResultValue) != 0 || len(r.Value) > 0 {
			t.Errorf("%v found an expired entry: %+v", c.code, r)
		}
		if n := s.sweepUp(10); n != 0 {
			t.Errorf("%v: %d left to sweep", c.code, n)
		}
		if got := s.kinds("m"); got != c.want {
			t.Errorf("%v: events %s, want %s", c.code, got, c.want)
		}
		events, _ := s.EventsFrom(1, nil)
		if e := events[0]; string(e.Old) != "v" || e.Version <= first.Version {
			t.Errorf("%v: %+v", c.code, e)
		}
	}
}

func TestKeepTTLOfExpiredKeepsNothing(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "v", ttl(10))
	s.at(1010)
	s.do(wire.OpSet, "m", "k", "w", keepTTL)
	if v, ok := s.Get([]byte("m"), []byte("k")); !ok || v.Expires != 0 || v.Created != 1010 {
		t.Fatalf("%+v, %v", v, ok)
	}
}
