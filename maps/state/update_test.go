package state

import (
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func updateOp(p wire.Processor, key, arg string, edit ...func(*wire.UpdateBody)) *entry.Op {
	u := wire.UpdateBody{Map: []byte("m"), Key: []byte(key), Processor: p, Arg: []byte(arg), WriteOptions: wire.WriteOptions{Flags: wire.WriteKeepTTL}}
	for _, f := range edit {
		f(&u)
	}
	return &entry.Op{Code: wire.OpUpdate, Body: wire.AppendUpdateBody(nil, &u)}
}

// add applies an increment of "k" as a call, and returns its result.
func (s *script) add(seq uint64, delta string) (wire.Code, wire.WriteResult) {
	s.t.Helper()
	r := s.raw(call(1, seq, 1, s.Clock()+100, updateOp(wire.ProcessIncrement, "k", delta)))
	if r.Code != wire.CodeOK {
		return r.Code, wire.WriteResult{}
	}
	w, err := wire.DecodeWriteResult(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Code, w
}

// A processor changes the value where it stands, once for all copies of its call. It is a write for expiry, events, versions and loads.
func TestUpdate(t *testing.T) {
	s := newScript(t, Limits{})
	if code, w := s.add(1, "\x05"); code != wire.CodeOK || w.Flags != wire.ResultApplied|wire.ResultValue || string(w.Value) != "\x05" || w.Version == 0 {
		t.Fatalf("the first: %v, %+v", code, w)
	}
	s.do(wire.OpSetTTL, "m", "k", "", ttl(50))
	first := s.raw(call(1, 2, 1, s.Clock()+100, updateOp(wire.ProcessIncrement, "k", "\x05")))
	copied := s.raw(call(1, 2, 1, s.Clock()+100, updateOp(wire.ProcessIncrement, "k", "\x05")))
	if string(first.Body) != string(copied.Body) || s.value("m", "k") != "\x0a" {
		t.Fatalf("a copy: %x, %x, the value is %x", first.Body, copied.Body, s.value("m", "k"))
	}
	if v, _ := s.Get([]byte("m"), []byte("k")); v.Expires != s.Clock()+50 {
		t.Errorf("the entry expires at %d", v.Expires)
	}
	if got := s.kinds("m"); got != "ATU" {
		t.Errorf("events %s", got)
	}

	// An entry whose time is up counts as none.
	s.at(s.Clock() + 50)
	if _, w := s.add(3, "\x01"); string(w.Value) != "\x01" || w.Flags&wire.ResultFound != 0 {
		t.Errorf("after the expiry: %+v", w)
	}
	if got := s.kinds("m"); got != "ATUXA" {
		t.Errorf("events %s", got)
	}

	// With a TTL of its own it gives the entry another.
	s.raw(updateOp(wire.ProcessIncrement, "k", "\x01", func(u *wire.UpdateBody) { u.Flags, u.TTL = wire.WriteTTL, 7 }))
	if v, _ := s.Get([]byte("m"), []byte("k")); v.Expires != s.Clock()+7 {
		t.Errorf("the entry expires at %d, want in 7 ms", v.Expires)
	}
}

// What the entry had decided stays so for all copies of the call, also if the entry is another when they come.
func TestUpdateRemembersRefusals(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "\xa1x")
	before := s.Counter()
	if code, _ := s.add(1, "\x01"); code != wire.CodeInvalid || s.Counter() != before {
		t.Fatalf("an increment of a string: %v, %d changes", code, s.Counter()-before)
	}
	long := func(u *wire.UpdateBody) { u.Most = 3 }
	grow := func() *entry.Op {
		return call(1, 2, 1, s.Clock()+100, updateOp(wire.ProcessAppend, "k", "\xa2yz", long))
	}
	if r := s.raw(grow()); r.Code != wire.CodeTooLarge {
		t.Fatalf("a string that would be too long: %v", r.Code)
	}
	s.do(wire.OpSet, "m", "k", "\x01")
	if code, _ := s.add(1, "\x01"); code != wire.CodeInvalid {
		t.Errorf("a copy of the increment that was refused: %v", code)
	}
	s.do(wire.OpRemove, "m", "k", "")
	if r := s.raw(grow()); r.Code != wire.CodeTooLarge {
		t.Errorf("a copy of the append that was refused: %v", r.Code)
	}
	// The same holds in a replica that was built from a state snapshot.
	restored, err := Restore(bytesOf(t, s.State), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if r := restored.Apply(grow()); r.Code != wire.CodeTooLarge || restored.Hash() != s.Hash() {
		t.Errorf("a copy at another replica: %v", r.Code)
	}
}

// Versions and fences are asked before the processor, and what changes nothing takes no version.
func TestUpdateConditions(t *testing.T) {
	s := newScript(t, Limits{})
	version := s.do(wire.OpSet, "m", "k", "\x91\x01").Version
	with := func(v uint64) func(*wire.UpdateBody) {
		return func(u *wire.UpdateBody) { u.Flags, u.IfVersion = u.Flags|wire.WriteVersion, v }
	}
	for name, c := range map[string]struct {
		op   *entry.Op
		want wire.Code
	}{
		"another version": {updateOp(wire.ProcessSetAdd, "k", "\x02", with(version+1)), wire.CodeConflict},
		"no entry":        {updateOp(wire.ProcessSetAdd, "l", "\x02", with(version)), wire.CodeConflict},
		"another fence":   {updateOp(wire.ProcessSetAdd, "k", "\x02", func(u *wire.UpdateBody) { u.Flags, u.Fence = u.Flags|wire.WriteFence, 9 }), wire.CodeFenced},
		"nothing to do":   {updateOp(wire.ProcessSetAdd, "k", "\x01", with(version)), wire.CodeOK},
		"no processor":    {updateOp(0, "k", "\x01"), wire.CodeInvalid},
		"no body":         {&entry.Op{Code: wire.OpUpdate}, wire.CodeInvalid},
	} {
		if r := s.raw(c.op); r.Code != c.want {
			t.Errorf("%s: %v %s", name, r.Code, r.Body)
		}
	}
	if v, _ := s.Get([]byte("m"), []byte("k")); v.Version != version || s.kinds("m") != "A" {
		t.Errorf("version %d, want %d; events %s", v.Version, version, s.kinds("m"))
	}

	// What is written here is newer than what is being loaded.
	s.raw(lockOp(wire.OpLoad, "m", "n", 1, 1000))
	if s.raw(updateOp(wire.ProcessIncrement, "n", "\x01")); s.loading("n") {
		t.Error("a load goes on though its key was written")
	}
}

// loading reports whether the value of a key is being loaded.
func (s *script) loading(key string) (loading bool) {
	s.EachLoad([]byte("m"), nil, func(k []byte) bool {
		loading = loading || string(k) == key
		return true
	})
	return loading
}
