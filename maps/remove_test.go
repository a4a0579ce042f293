package maps

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// textKey is the encoding of a string key.
func textKey(t *testing.T, s string) string {
	t.Helper()
	b, err := codec.EncodeKey(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// removeStep runs one step of a removal.
func (o *owner) removeStep(p int, name, glob string, after []byte) wire.RemoveResult {
	o.t.Helper()
	r, err := wire.DecodeRemoveResult(o.call(p, wire.OpRemoveAll, removeBody(name, glob, after)))
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

func removeBody(name, glob string, after []byte) []byte {
	return wire.AppendRemoveBody(nil, &wire.RemoveBody{Map: []byte(name), After: after, Where: wire.Predicate{Kind: wire.PredicateGlob, Glob: glob}})
}

// A removal goes in steps that are bounded, and removes what matches and nothing else.
func TestRemoveAllInSteps(t *testing.T) {
	o := newOwner(t, 1)
	const n = removeMax + removeMax/2
	many := wire.ManyBody{Map: []byte("m")}
	for i := range n {
		many.Keys = append(many.Keys, []byte(textKey(t, fmt.Sprintf("user:%04d", i))), []byte(textKey(t, fmt.Sprintf("other:%d", i))))
		many.Values = append(many.Values, []byte("v"), []byte("v"))
	}
	o.call(0, wire.OpSetMany, wire.AppendManyBody(nil, &many))
	first := o.removeStep(0, "m", "user:*", nil)
	if first.Removed != removeMax || len(first.Next) == 0 {
		t.Fatalf("first step: %+v", first)
	}
	second := o.removeStep(0, "m", "user:*", first.Next)
	if second.Removed != n-removeMax || len(second.Next) != 0 {
		t.Fatalf("second step: %+v", second)
	}
	if st := o.stats("m"); st.Entries != n {
		t.Fatalf("%d entries are left, want %d", st.Entries, n)
	}
	if r := o.removeStep(0, "m", "user:*", nil); r.Removed != 0 || len(r.Next) != 0 {
		t.Fatalf("again: %+v", r)
	}
	if r := o.removeStep(0, "none", "*", nil); r.Removed != 0 || len(r.Next) != 0 {
		t.Fatalf("of a map that is not there: %+v", r)
	}
}

// A copy of a step gets what the first got, and removes nothing, though there is more to choose by then.
func TestRemoveAllOnce(t *testing.T) {
	o := newOwner(t, 1)
	o.set("m", textKey(t, "a"), "1")
	req := &wire.Request{ID: 1, Op: wire.OpRemoveAll, Deadline: o.now() + 30_000, Client: wire.ID{9}, Seq: 1, Lowest: 1, Body: removeBody("m", "*", nil)}
	for range 2 {
		a := make(answers, 1)
		if o.Handle(req, a) {
			o.host.Flush(0)
		}
		got := o.wait(a)
		if r, err := wire.DecodeRemoveResult(got.body); got.code != wire.CodeOK || err != nil || r.Removed != 1 {
			t.Fatalf("%v %q: %+v, %v", got.code, got.body, r, err)
		}
		o.set("m", textKey(t, "b"), "2")
	}
	o.remove("m", textKey(t, "b"))
	req.Flags = wire.FlagRetry
	a := make(answers, 1)
	if o.Handle(req, a) {
		o.host.Flush(0)
	}
	if r, err := wire.DecodeRemoveResult(o.wait(a).body); err != nil || r.Removed != 1 {
		t.Fatalf("a copy that finds nothing to remove: %+v, %v", r, err)
	}
	o.set("m", textKey(t, "b"), "2")
	if o.Handle(req, a) {
		o.host.Flush(0)
	}
	o.wait(a)
	if o.get("m", textKey(t, "b")) != "2" {
		t.Fatal("a copy of the call removed what was written after the first")
	}
}

// An entry that was written after it had been chosen stays.
func TestRemoveAllComparesVersions(t *testing.T) {
	o := newOwner(t, 1)
	key := textKey(t, "a")
	o.set("m", key, "1")
	v, _ := o.stored("m", key)
	old := v.Version
	o.set("m", key, "2")
	req := &wire.Request{ID: 1, Op: wire.OpRemoveAll, Deadline: o.now() + 30_000, Client: wire.ID{9}, Seq: 1, Lowest: 1, Body: removeBody("m", "*", nil)}
	a := make(answers, 1)
	c := newCall(o.Service, req, a)
	c.removal = &removal{chosen: wire.RemovalBody{Map: []byte("m"), Keys: [][]byte{[]byte(key)}, Versions: []uint64{old}}}
	c.removal.op.Code, c.removal.op.Client, c.removal.op.Seq, c.removal.op.Lowest, c.removal.op.Deadline = req.Op, req.Client, 1, 1, req.Deadline
	c.Finish()
	if r, err := wire.DecodeRemoveResult(o.wait(a).body); err != nil || r.Removed != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if o.get("m", key) != "2" {
		t.Fatal("what was written after the choice is gone")
	}
}

// Globs are for texts, and a removal that makes no sense removes nothing.
func TestRemoveAllRefuses(t *testing.T) {
	o := newOwner(t, 1)
	o.set("m", textKey(t, "a"), "1")
	o.set("n", "\x07", "1") // the key 7
	for _, c := range []struct{ name, glob string }{{"m", "[a"}, {"n", "*"}, {"", "*"}} {
		if got := o.wait(o.begin(0, wire.OpRemoveAll, removeBody(c.name, c.glob, nil))); got.code != wire.CodeInvalid || len(got.body) == 0 {
			t.Errorf("%+v: %v %q", c, got.code, got.body)
		}
	}
	if o.get("m", textKey(t, "a")) == "" || o.get("n", "\x07") == "" {
		t.Error("something was removed")
	}
}
