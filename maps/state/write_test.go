package state

import (
	"slices"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Every operation on a missing key and on one that holds "old": flags, value of the answer, value left, event.
func TestWrites(t *testing.T) {
	const f, a, v = wire.ResultFound, wire.ResultApplied, wire.ResultValue
	same := func(x string) []func(*wire.WriteBody) { return []func(*wire.WriteBody){expect(x)} }
	for _, c := range []struct {
		code         wire.Op
		value        string
		edit         []func(*wire.WriteBody)
		exists       bool
		flags        uint8
		answer, left string
		event        string
	}{
		{wire.OpSet, "new", nil, false, a, "", "new", "A"},
		{wire.OpSet, "new", nil, true, f | a, "", "new", "U"},
		{wire.OpPut, "new", nil, false, a, "", "new", "A"},
		{wire.OpPut, "new", nil, true, f | a | v, "old", "new", "U"},
		{wire.OpPutIfAbsent, "new", nil, false, a, "", "new", "A"},
		{wire.OpPutIfAbsent, "new", nil, true, f | v, "old", "old", ""},
		{wire.OpReplace, "new", nil, false, 0, "", "", ""},
		{wire.OpReplace, "new", nil, true, f | a | v, "old", "new", "U"},
		{wire.OpReplaceIfSame, "new", same("old"), false, 0, "", "", ""},
		{wire.OpReplaceIfSame, "new", same("old"), true, f | a, "", "new", "U"},
		{wire.OpReplaceIfSame, "new", same("older"), true, f, "", "old", ""},
		{wire.OpRemove, "", nil, false, 0, "", "", ""},
		{wire.OpRemove, "", nil, true, f | a | v, "old", "", "R"},
		{wire.OpRemoveIfSame, "", same("old"), false, 0, "", "", ""},
		{wire.OpRemoveIfSame, "", same("old"), true, f | a, "", "", "R"},
		{wire.OpRemoveIfSame, "", same("ol"), true, f, "", "old", ""},
		{wire.OpDelete, "", nil, false, 0, "", "", ""},
		{wire.OpDelete, "", nil, true, f | a, "", "", "R"},
		{wire.OpEvict, "", nil, false, 0, "", "", ""},
		{wire.OpEvict, "", nil, true, f | a, "", "", "E"},
	} {
		s := newScript(t, Limits{})
		if c.exists {
			s.do(wire.OpSet, "m", "k", "old")
		}
		before, counter := s.LastPos(), s.Counter()
		r := s.do(c.code, "m", "k", c.value, c.edit...)
		if r.Flags != c.flags || string(r.Value) != c.answer {
			t.Errorf("%v, exists %v: %+v", c.code, c.exists, r)
		}
		if got := s.value("m", "k"); got != c.left {
			t.Errorf("%v, exists %v: %q is left, want %q", c.code, c.exists, got, c.left)
		}
		events, _ := s.EventsFrom(before, nil)
		if c.event == "" {
			if len(events) != 0 || r.Version != 0 || s.Counter() != counter {
				t.Errorf("%v, exists %v: changed something: %+v, %v", c.code, c.exists, r, events)
			}
			continue
		}
		if len(events) != 1 || !strings.HasSuffix(s.kinds("m"), c.event) {
			t.Fatalf("%v, exists %v: events %v", c.code, c.exists, events)
		}
		e := events[0]
		old := ""
		if c.exists {
			old = "old"
		}
		if string(e.Key) != "k" || string(e.Old) != old || string(e.New) != c.left || e.Version != r.Version || r.Version != 1<<44+counter+1 {
			t.Errorf("%v, exists %v: event %+v, answer %+v", c.code, c.exists, e, r)
		}
	}
}

func TestIfVersion(t *testing.T) {
	s := newScript(t, Limits{})
	version := func(v uint64) func(*wire.WriteBody) {
		return func(w *wire.WriteBody) { w.Flags |= wire.WriteVersion; w.IfVersion = v }
	}
	if r := s.raw(writeOp(wire.OpSet, "m", "k", "v", version(1))); r.Code != wire.CodeConflict || string(r.Body) != textNoKey {
		t.Fatalf("no such key: %v %s", r.Code, r.Body)
	}
	first := s.do(wire.OpSet, "m", "k", "v").Version
	second := s.do(wire.OpSet, "m", "k", "w", version(first)).Version
	for _, code := range []wire.Op{wire.OpSet, wire.OpPut, wire.OpReplace} {
		if r := s.raw(writeOp(code, "m", "k", "x", version(first))); r.Code != wire.CodeConflict || string(r.Body) != textVersion {
			t.Errorf("%v: %v %s", code, r.Code, r.Body)
		}
	}
	if r := s.raw(writeOp(wire.OpRemove, "m", "k", "", version(first))); r.Code != wire.CodeConflict {
		t.Errorf("remove: %v", r.Code)
	}
	s.do(wire.OpRemove, "m", "k", "", version(second))
	if s.value("m", "k") != "" {
		t.Error("not removed")
	}
}

func TestBulk(t *testing.T) {
	s := newScript(t, Limits{})
	many := func(code wire.Op, m wire.ManyBody) (wire.Code, wire.BulkResult) {
		m.Map = []byte("m")
		r := s.raw(&entry.Op{Code: code, Body: wire.AppendManyBody(nil, &m)})
		if r.Code != wire.CodeOK {
			return r.Code, wire.BulkResult{}
		}
		b, err := wire.DecodeBulkResult(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.Code, b
	}
	list := func(l ...string) (out [][]byte) {
		for _, x := range l {
			out = append(out, []byte(x))
		}
		return out
	}
	if code, r := many(wire.OpSetMany, wire.ManyBody{Keys: list("a", "b", "a"), Values: list("1", "2", "3")}); code != wire.CodeOK || r.Applied != 3 || r.Failed != nil {
		t.Fatalf("%v %+v", code, r)
	}
	events, _ := s.EventsFrom(0, nil)
	if s.kinds("m") != "AAU" || s.value("m", "a") != "3" || events[0].Version >= events[1].Version || events[1].Version >= events[2].Version {
		t.Fatalf("%s %+v", s.kinds("m"), events)
	}
	// One version cannot fit all keys: those of another fail, the others are done.
	b, _ := s.Get([]byte("m"), []byte("b"))
	code, r := many(wire.OpDeleteMany, wire.ManyBody{WriteOptions: wire.WriteOptions{Flags: wire.WriteVersion, IfVersion: b.Version}, Keys: list("a", "b", "c")})
	if code != wire.CodeOK || r.Applied != 1 || len(r.Failed) != 2 || r.Failed[0] != (wire.BulkError{Index: 0, Code: wire.CodeConflict}) || r.Failed[1].Index != 2 {
		t.Fatalf("%v %+v", code, r)
	}
	if code, r := many(wire.OpDeleteMany, wire.ManyBody{Keys: list("a", "b")}); code != wire.CodeOK || r.Applied != 1 || r.Failed != nil {
		t.Fatalf("%v %+v", code, r)
	}
	if code, _ := many(wire.OpDeleteMany, wire.ManyBody{Keys: list("a"), Values: list("1")}); code != wire.CodeInvalid {
		t.Fatalf("DeleteMany with values: %v", code)
	}
	if code, _ := many(wire.OpSetMany, wire.ManyBody{Keys: list("a")}); code != wire.CodeInvalid {
		t.Fatalf("SetMany without values: %v", code)
	}
	if code, _ := many(wire.OpSetMany, wire.ManyBody{WriteOptions: wire.WriteOptions{Flags: wire.WriteVersion}, Keys: list("a"), Values: list("1")}); code != wire.CodeInvalid {
		t.Fatalf("IfVersion(0): %v", code)
	}
}

func TestClearAndDestroy(t *testing.T) {
	s := newScript(t, Limits{})
	if r := s.whole(wire.OpClear, "m"); r.Flags != 0 || s.LastPos() != 0 {
		t.Fatalf("Clear of nothing: %+v", r)
	}
	created := s.do(wire.OpSet, "m", "a", "v").Version
	s.do(wire.OpSet, "m", "b", "v", ttl(10))
	s.do(wire.OpSet, "other", "a", "v", ttl(20))
	if r := s.whole(wire.OpClear, "m"); r.Flags != wire.ResultFound|wire.ResultApplied || r.Version == 0 {
		t.Fatalf("%+v", r)
	}
	if s.whole(wire.OpClear, "m").Flags != 0 || s.kinds("m") != "AAC" || s.Size([]byte("m")) != 0 || s.value("other", "a") != "v" {
		t.Fatalf("%s, %d", s.kinds("m"), s.Size([]byte("m")))
	}
	if at, _ := s.NextDue(); at != 1020 {
		t.Fatalf("the next expiry is %d after Clear", at)
	}
	if instance, seq := s.Position([]byte("m")); instance != created || seq != 3 {
		t.Fatalf("Clear began another instance: %d, %d", instance, seq)
	}
	s.do(wire.OpSet, "m", "a", "v", ttl(5))
	if r := s.whole(wire.OpDestroy, "m"); r.Flags != wire.ResultFound|wire.ResultApplied {
		t.Fatalf("%+v", r)
	}
	if instance, seq := s.Position([]byte("m")); instance != 0 || seq != 0 || s.kinds("m") != "AACAC" {
		t.Fatalf("%d, %d, %s", instance, seq, s.kinds("m"))
	}
	if r := s.whole(wire.OpDestroy, "m"); r.Flags != 0 || r.Version != 0 {
		t.Fatalf("Destroy of nothing: %+v", r)
	}
	again := s.do(wire.OpSet, "m", "a", "v").Version
	if instance, seq := s.Position([]byte("m")); instance != again || seq != 1 {
		t.Fatalf("%d, %d, want %d, 1", instance, seq, again)
	}
}

// Entries that have expired and wait: alone they are no reason to clear, and go with what is cleared or destroyed.
func TestClearWithExpiredEntries(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "a", "v", ttl(10))
	s.at(1010)
	if r := s.whole(wire.OpClear, "m"); r.Flags != 0 || s.kinds("m") != "A" {
		t.Fatalf("%+v, %s", r, s.kinds("m"))
	}
	s.do(wire.OpSet, "m", "b", "v")
	if s.whole(wire.OpClear, "m"); s.kinds("m") != "AAC" || s.sweepUp(10) != 0 {
		t.Fatalf("%s", s.kinds("m"))
	}
	s.do(wire.OpSet, "m", "a", "v", ttl(10))
	s.at(1020)
	if r := s.whole(wire.OpDestroy, "m"); r.Flags != wire.ResultApplied || s.kinds("m") != "AACAC" || s.sweepUp(10) != 0 {
		t.Fatalf("%+v, %s", r, s.kinds("m"))
	}
	// A destroyed map without entries has nothing to say.
	s.do(wire.OpSet, "n", "a", "v")
	s.do(wire.OpDelete, "n", "a", "")
	if r := s.whole(wire.OpDestroy, "n"); r.Flags != wire.ResultApplied || s.kinds("n") != "AR" {
		t.Fatalf("%+v, %s", r, s.kinds("n"))
	}
}

func TestRefusedOperations(t *testing.T) {
	big := strings.Repeat("x", wire.MaxKey+1)
	for _, c := range []struct {
		name string
		op   *entry.Op
		code wire.Code
	}{
		{"unknown", &entry.Op{Code: 200}, wire.CodeInvalid},
		{"a read", &entry.Op{Code: wire.OpGet, Body: wire.AppendKeyBody(nil, "m", []byte("k"))}, wire.CodeInvalid},
		{"no body", &entry.Op{Code: wire.OpSet}, wire.CodeInvalid},
		{"no name", writeOp(wire.OpSet, "", "k", "v"), wire.CodeInvalid},
		{"no value", writeOp(wire.OpSet, "m", "k", ""), wire.CodeInvalid},
		{"a value too many", writeOp(wire.OpRemove, "m", "k", "v"), wire.CodeInvalid},
		{"a large key", writeOp(wire.OpSet, "m", big, "v"), wire.CodeTooLarge},
		{"a removal that lives", writeOp(wire.OpDelete, "m", "k", "", ttl(1)), wire.CodeInvalid},
		{"clear nothing", &entry.Op{Code: wire.OpClear}, wire.CodeInvalid},
		{"sweep nothing", &entry.Op{Code: wire.OpSweep}, wire.CodeInvalid},
		{"many nothing", &entry.Op{Code: wire.OpSetMany}, wire.CodeInvalid},
		{"lock nothing", &entry.Op{Code: wire.OpLock}, wire.CodeInvalid},
		{"unlock nothing", &entry.Op{Code: wire.OpUnlock}, wire.CodeInvalid},
		{"force nothing", &entry.Op{Code: wire.OpForceUnlock}, wire.CodeInvalid},
		{"renew and wait", lockOp(wire.OpRenew, "m", "k", 1, 5, 7), wire.CodeInvalid},
		{"resume something", &entry.Op{Code: wire.OpResume, Body: []byte{1}}, wire.CodeInvalid},
	} {
		s := newScript(t, Limits{})
		call(1, 1, 0, 5000, c.op)
		r := s.raw(c.op)
		if r.Code != c.code || len(r.Body) == 0 {
			t.Errorf("%s: %v %q, want %v", c.name, r.Code, r.Body, c.code)
		}
		if s.RecordBytes() != windowCost || s.Counter() != 0 {
			t.Errorf("%s was recorded or counted", c.name)
		}
	}
}

// A map that a write did not come to create does not exist.
func TestRefusedWriteCreatesNoMap(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpReplace, "m", "k", "v")
	s.do(wire.OpDelete, "m", "k", "")
	if maps := s.infos(); len(maps) != 0 {
		t.Fatalf("%+v", maps)
	}
}

func TestScanBounds(t *testing.T) {
	s := newScript(t, Limits{})
	for _, k := range []string{"a", "b", "c", "d"} {
		s.do(wire.OpSet, "m", k, "12345")
	}
	read := func(after string, limit, maxBytes, stop int) (string, bool) {
		got := ""
		next := s.Scan([]byte("m"), []byte(after), limit, maxBytes, func(key []byte, v Entry) bool {
			got += string(key)
			return len(got) != stop
		})
		return got, next != nil
	}
	// The key x has no entry; a walk goes on behind the place where it would stand.
	keys := []string{"a", "b", "c", "d", "x"}
	slices.SortFunc(keys, func(a, b string) int { return CompareKeys([]byte(a), []byte(b)) })
	gap := slices.Index(keys, "x")
	keys = slices.Delete(keys, gap, gap+1)
	all := strings.Join(keys, "")
	for _, c := range []struct {
		after                 string
		limit, maxBytes, stop int
		want                  string
		more                  bool
	}{
		{"", 0, 0, 0, all, false}, {keys[1], 0, 0, 0, all[2:], false}, {"x", 0, 0, 0, all[gap:], false}, {keys[3], 0, 0, 0, "", false},
		{"", 2, 0, 0, all[:2], true}, {"", 4, 0, 0, all, false}, {"", 0, 12, 0, all[:2], true}, {"", 0, 1, 0, all[:1], true},
		{"", 0, 0, 3, all[:3], true},
	} {
		if got, more := read(c.after, c.limit, c.maxBytes, c.stop); got != c.want || more != c.more {
			t.Errorf("%+v: %q, %v", c, got, more)
		}
	}
}
