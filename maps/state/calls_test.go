package state

import (
	"math"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A copy of a call gets the first answer, whatever has happened since, and changes nothing.
func TestCallIsExecutedOnce(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "v0")
	first := s.raw(call(1, 1, 1, 9000, writeOp(wire.OpPut, "m", "k", "v1")))
	s.do(wire.OpSet, "m", "k", "v2")
	pos := s.LastPos()
	again := s.raw(call(1, 1, 1, 9000, writeOp(wire.OpPut, "m", "k", "v1")))
	if again.Code != wire.CodeOK || string(again.Body) != string(first.Body) || s.value("m", "k") != "v2" || s.LastPos() != pos {
		t.Fatalf("%v %x, first %x", again.Code, again.Body, first.Body)
	}
	w, _ := wire.DecodeWriteResult(again.Body)
	if string(w.Value) != "v0" {
		t.Fatalf("previous value %q", w.Value)
	}
	if r := s.raw(call(2, 1, 1, 9000, writeOp(wire.OpPut, "m", "k", "v3"))); r.Code != wire.CodeOK || s.value("m", "k") != "v3" {
		t.Fatal("another client's call with the same number was not executed")
	}
}

func TestConflictIsRemembered(t *testing.T) {
	s := newScript(t, Limits{})
	replace := func(w *wire.WriteBody) { w.Flags |= wire.WriteVersion; w.IfVersion = 1<<44 + 1 }
	if r := s.raw(call(1, 1, 1, 9000, writeOp(wire.OpSet, "m", "k", "v", replace))); r.Code != wire.CodeConflict {
		t.Fatalf("%v", r.Code)
	}
	s.do(wire.OpSet, "m", "k", "first")
	if r := s.raw(call(1, 1, 1, 9000, writeOp(wire.OpSet, "m", "k", "v", replace))); r.Code != wire.CodeConflict || string(r.Body) != textNoKey {
		t.Fatalf("the condition holds now, but the call was answered before: %v %s", r.Code, r.Body)
	}
}

func TestLateCallIsRefused(t *testing.T) {
	s := newScript(t, Limits{})
	if r := s.raw(call(1, 1, 1, 999, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeExpired || s.Counter() != 0 || s.RecordBytes() != 0 {
		t.Fatalf("%v, counter %d", r.Code, s.Counter())
	}
	if r := s.raw(call(1, 1, 1, 1000, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeOK {
		t.Fatalf("in time by a hair: %v", r.Code)
	}
	if r := s.raw(call(1, 1, 1, 1000, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeOK || s.Counter() != 1 {
		t.Fatalf("its copy: %v, counter %d", r.Code, s.Counter())
	}
	s.at(1001)
	if r := s.raw(call(1, 1, 1, 1000, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeExpired || s.Counter() != 1 {
		t.Fatalf("its late copy: %v, counter %d", r.Code, s.Counter())
	}
}

func TestLowestDropsRecords(t *testing.T) {
	s := newScript(t, Limits{})
	for seq := uint64(1); seq <= 5; seq++ {
		s.raw(call(1, seq, 1, 9000, writeOp(wire.OpSet, "m", "k", "v")))
	}
	if got := s.RecordBytes(); got != windowCost+5*recordCost {
		t.Fatalf("%d bytes of records", got)
	}
	s.raw(call(1, 6, 5, 9000, writeOp(wire.OpSet, "m", "k", "v")))
	if got := s.RecordBytes(); got != windowCost+2*recordCost {
		t.Fatalf("%d bytes of records", got)
	}
	counter := s.Counter()
	if r := s.raw(call(1, 4, 1, 9000, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeStale || s.Counter() != counter {
		t.Fatalf("below the floor: %v", r.Code)
	}
	if r := s.raw(call(1, 5, 1, 9000, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeOK || s.Counter() != counter {
		t.Fatalf("on the floor: %v", r.Code)
	}
	if r := s.raw(call(1, 7, 9, 9000, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeStale || s.Counter() != counter || s.RecordBytes() != windowCost {
		t.Fatalf("a call that its client does not wait for: %v", r.Code)
	}
}

// Records go when the clock has passed their deadline, not before; a client's floor later, when no copy can be in time.
func TestForget(t *testing.T) {
	s := newScript(t, Limits{})
	s.raw(call(1, 1, 1, 3000, writeOp(wire.OpSet, "m", "k", "v")))
	s.raw(call(1, 2, 1, 2000, writeOp(wire.OpSet, "m", "k", "v")))
	for _, c := range []struct {
		clock int64
		bytes int
	}{
		{2000, windowCost + 2*recordCost}, {2001, windowCost + recordCost}, {3000, windowCost + recordCost}, {3001, windowCost},
		{1000 + windowKeep + 1, windowCost}, {1000 + windowKeep + 2, 0},
	} {
		if s.at(c.clock); s.RecordBytes() != c.bytes {
			t.Errorf("at %d: %d bytes of records, want %d", c.clock, s.RecordBytes(), c.bytes)
		}
	}
}

// A client that goes on keeps its window.
func TestWindowIsKeptWhileInUse(t *testing.T) {
	s := newScript(t, Limits{})
	for now := int64(1000); now < 4*windowKeep; now += windowKeep / 3 {
		s.at(now)
		seq := uint64(now)
		s.raw(call(1, seq, seq, now+10, writeOp(wire.OpSet, "m", "k", "v")))
		if r := s.raw(call(1, seq-1, 1, now+10, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeStale {
			t.Fatalf("at %d: %v", now, r.Code)
		}
	}
}

// One entry forgets a bounded number of records; the rest follows with the next ones, and none is answered from meanwhile.
func TestForgetIsBounded(t *testing.T) {
	s := newScript(t, Limits{})
	const n = forgetMax + 10
	for seq := uint64(1); seq <= n; seq++ {
		s.Apply(call(1, seq, 1, 2000, writeOp(wire.OpSet, "m", "k", "v")))
	}
	s.at(3000)
	if got := s.RecordBytes(); got != windowCost+10*recordCost {
		t.Fatalf("%d bytes of records after one entry", got)
	}
	if r := s.raw(call(1, n, 1, 2000, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeExpired {
		t.Fatalf("%v", r.Code)
	}
	s.at(3000)
	if got := s.RecordBytes(); got != windowCost {
		t.Fatalf("%d bytes of records after two", got)
	}
}

// What one entry forgets does not depend on whether the state was restored: the windows wait in the same order.
func TestForgetIsEqualAfterRestore(t *testing.T) {
	s := newScript(t, Limits{})
	const clients = forgetMax + 200
	calls := func(seq uint64) {
		for i := range clients {
			op := call(1, seq, seq, s.Clock()+10, writeOp(wire.OpSet, "m", "k", "v"))
			op.Client[1], op.Client[2] = byte(i>>8), byte(i)
			s.Apply(op)
		}
	}
	calls(1)
	s.at(windowKeep / 2)
	calls(2)
	for s.RecordBytes() > clients*windowCost {
		s.at(windowKeep/2 + 100)
	}
	restored, err := Restore(bytesOf(t, s.State), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for s.RecordBytes() > 0 {
		s.at(2 * windowKeep)
		restored.Advance(2*windowKeep, 0)
		if s.RecordBytes() != restored.RecordBytes() || s.Hash() != restored.Hash() {
			t.Fatalf("%d bytes of records, %d where the state was restored", s.RecordBytes(), restored.RecordBytes())
		}
	}
}

func TestDeadlineAtTheEndOfTime(t *testing.T) {
	s := newScript(t, Limits{})
	s.raw(call(1, 1, 1, math.MaxInt64, writeOp(wire.OpSet, "m", "k", "v")))
	s.at(math.MaxInt64)
	if r := s.raw(call(1, 1, 1, math.MaxInt64, writeOp(wire.OpSet, "m", "k", "v"))); r.Code != wire.CodeOK || s.Counter() != 1 {
		t.Fatalf("%v, counter %d", r.Code, s.Counter())
	}
	r, err := Restore(bytesOf(t, s.State), Limits{})
	if err != nil || r.Hash() != s.Hash() {
		t.Fatal(err)
	}
}

// A remembered previous value is the entry's own memory, not a copy.
func TestRecordRefersToTheEntry(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "previous")
	v, _ := s.Get([]byte("m"), []byte("k"))
	s.raw(call(1, 1, 1, 9000, writeOp(wire.OpPut, "m", "k", "v")))
	if o := s.calls.take(wire.ID{1}).get(1); &o.data[0] != &v.Value[0] {
		t.Fatal("the record holds a copy")
	}
}
