package maps

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
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

// removeWhere removes what matches a text, step by step, and returns how many entries that were.
func (o *owner) removeWhere(p int, name, text string) (removed, steps int) {
	o.t.Helper()
	for after := []byte(nil); ; {
		r, err := wire.DecodeRemoveResult(o.call(p, wire.OpRemoveAll, wire.AppendRemoveBody(nil, &wire.RemoveBody{Map: []byte(name), After: after,
			Where: wire.Predicate{Kind: wire.PredicateText, Text: text}})))
		if err != nil {
			o.t.Fatal(err)
		}
		removed += int(r.Removed)
		steps++
		if after = r.Next; len(after) == 0 {
			return removed, steps
		}
	}
}

func removeBody(name, glob string, after []byte) []byte {
	return wire.AppendRemoveBody(nil, &wire.RemoveBody{Map: []byte(name), After: after, Where: wire.Predicate{Kind: wire.PredicateGlob, Text: glob}})
}

// A removal goes in steps that are bounded, and removes what matches and nothing else.
func TestRemoveAllInSteps(t *testing.T) {
	o := newOwner(t, 1)
	const n = removeMax + removeMax/2
	many := wire.ManyBody{Map: []byte("m")}
	for i := range n {
		many.Keys = append(many.Keys, []byte(textKey(t, fmt.Sprintf("user:%04d", i))))
		many.Values = append(many.Values, []byte("v"))
	}
	const others = 100 // so few that a step ends by what it removes, and not by what it looks at
	for i := range others {
		many.Keys = append(many.Keys, []byte(textKey(t, fmt.Sprintf("other:%d", i))))
		many.Values = append(many.Values, []byte("v"))
	}
	o.call(0, wire.OpSetMany, wire.AppendManyBody(nil, &many))
	removed, steps := uint64(0), 0
	for after := []byte(nil); ; {
		r := o.removeStep(0, "m", "user:*", after)
		removed += r.Removed
		if steps++; r.Removed > removeMax {
			t.Fatalf("step %d: %+v", steps, r)
		}
		if after = r.Next; len(after) == 0 {
			break
		}
	}
	if removed != n || steps < 2 {
		t.Fatalf("%d of %d removed in %d steps", removed, n, steps)
	}
	if st := o.stats("m"); st.Entries != others {
		t.Fatalf("%d entries are left, want %d", st.Entries, others)
	}
	if r := o.removeStep(0, "m", "user:*", nil); r.Removed != 0 {
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
		if o.Handle(req, a, o.Moment()) {
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
	if o.Handle(req, a, o.Moment()) {
		o.host.Flush(0)
	}
	if r, err := wire.DecodeRemoveResult(o.wait(a).body); err != nil || r.Removed != 1 {
		t.Fatalf("a copy that finds nothing to remove: %+v, %v", r, err)
	}
	o.set("m", textKey(t, "b"), "2")
	if o.Handle(req, a, o.Moment()) {
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
	c := newCall(o.Service, req, a, o.Service.Moment())
	c.removal = &removal{chosen: wire.RemovalBody{Map: []byte("m"), Keys: [][]byte{[]byte(key)}, Versions: []uint64{old}}}
	c.removal.op.Code, c.removal.op.Client, c.removal.op.Seq, c.removal.op.Lowest, c.removal.op.Deadline = req.Op, req.Client, 1, 1, req.Deadline
	c.remove()
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

// What one step takes note of, and for how long it chooses, is bounded; steps go on where the one before ended, over keys with entries and
// those whose values are being loaded alike, and come to all of them.
func TestRemoveAllGoesOn(t *testing.T) {
	t.Parallel()
	st := state.New(1, state.Limits{LockBytes: 64 << 20})
	const entries, loads = 2*removeLook + 5, removeLook + 3
	want := map[string]bool{}
	add := func(key string, loading bool) {
		key = textKey(t, key)
		op := &entry.Op{Code: wire.OpSet, Body: wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("m"), Key: []byte(key), Value: []byte("v")})}
		if loading {
			op = &entry.Op{Code: wire.OpLoad, Body: wire.AppendLockBody(nil, &wire.LockBody{Map: []byte("m"), Key: []byte(key), ID: wire.ID{1}, Lease: 60_000})}
		}
		if r := st.Apply(op); r.Code != wire.CodeOK {
			t.Fatalf("%v %s", r.Code, r.Body)
		}
		want[key] = true
	}
	for i := range entries {
		add(fmt.Sprintf("e%05d", i), false)
	}
	for i := range loads {
		add(fmt.Sprintf("%c%05dx", "ef"[i%2], i), true)
	}
	for name, late := range map[string]func() bool{"never late": func() bool { return false }, "always late": func() bool { return true }} {
		got, steps := map[string]bool{}, 0
		for after := []byte(nil); ; {
			r := &removal{name: []byte("m"), after: after, where: wire.Predicate{Kind: wire.PredicateGlob, Text: "*"}}
			r.look(st)
			if len(r.seen) > 2*removeLook {
				t.Fatalf("%s: %d keys at once", name, len(r.seen))
			}
			r.choose(late)
			if r.code != wire.CodeOK || len(r.chosen.Keys) > removeMax {
				t.Fatalf("%s: %v, %d keys", name, r.code, len(r.chosen.Keys))
			}
			for i, key := range r.chosen.Keys {
				if got[string(key)] || (r.chosen.Versions[i] == 0) != (key[len(key)-1] == 'x') {
					t.Fatalf("%s: %s came twice, or as what it is not", name, key)
				}
				got[string(key)] = true
			}
			if steps++; len(r.chosen.Next) == 0 {
				break
			}
			after = r.chosen.Next
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d of %d keys came in %d steps", name, len(got), len(want), steps)
		}
		if name == "always late" && steps != len(want) {
			t.Errorf("%s: %d steps for %d keys", name, steps, len(want))
		}
	}
}

// Where nothing but expired entries was looked at, a step says where to go on.
func TestRemoveAllPastExpired(t *testing.T) {
	st := state.New(1, state.Limits{})
	for i := range 6000 {
		st.Apply(&entry.Op{Code: wire.OpSet, Body: wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("m"), Key: []byte(textKey(t, keyOf(i))), Value: []byte("v"),
			WriteOptions: wire.WriteOptions{Flags: wire.WriteTTL, TTL: 1}})})
	}
	st.Advance(10, 0)
	r := &removal{name: []byte("m"), where: wire.Predicate{Kind: wire.PredicateGlob, Text: "*"}}
	r.look(st)
	r.choose(func() bool { return true })
	if len(r.chosen.Keys) != 0 || len(r.chosen.Next) == 0 {
		t.Fatalf("%d keys, next %q", len(r.chosen.Keys), r.chosen.Next)
	}
	after := r.chosen.Next
	r = &removal{name: []byte("m"), after: after, where: r.where}
	r.look(st)
	if r.choose(func() bool { return true }); len(r.chosen.Next) != 0 {
		t.Fatalf("next %q after %q", r.chosen.Next, after)
	}
	// A page of a scan says so too.
	scan := state.Reading{Op: wire.OpScan, Body: wire.AppendScanBody(nil, &wire.ScanBody{Map: []byte("m"), What: wire.ScanKeys})}
	if !st.Read(&scan, &state.ReadPoint{}) {
		t.Fatal("not read")
	}
	if page, err := wire.DecodeScanResult(scan.Append(nil)); err != nil || !page.More || len(page.Keys) != 0 || len(page.Next) == 0 {
		t.Fatalf("%+v, %v", page, err)
	}
}

// Requests on more keys than an operation may have are refused.
func TestRequestsOfManyKeys(t *testing.T) {
	o := newOwner(t, 1)
	var keys [][]byte
	for i := range wire.MaxKeys + 1 {
		keys = append(keys, []byte(keyOf(i)))
	}
	for op, body := range map[wire.Op][]byte{
		wire.OpSetMany:    wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: keys, Values: keys}),
		wire.OpDeleteMany: wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: keys}),
		wire.OpGetMany:    wire.AppendKeysBody(nil, "m", keys),
	} {
		if got := o.wait(o.begin(0, op, body)); got.code != wire.CodeTooLarge {
			t.Errorf("%v: %v %s", op, got.code, got.body)
		}
	}
}

// A text chooses by keys and values. Values that are malformed for it, and keys that are no strings, stay.
func TestRemoveAllByText(t *testing.T) {
	o := newOwner(t, 1)
	encoded := func(v any) string {
		b, err := codec.Msgpack{}.Encode(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	fill := func() {
		for i := range 100 {
			o.set("m", textKey(t, fmt.Sprintf("user:%02d", i)), encoded(map[string]any{"age": i, "name": fmt.Sprint("n", i%10)}))
		}
		o.set("m", textKey(t, "json"), `{"age": 40.5}`)
		o.set("m", textKey(t, "malformed"), "\x81\xa3ag")
		o.set("m", "\x07", encoded(map[string]any{"age": 40})) // the key 7
	}
	for _, c := range []struct {
		text string
		want int
	}{
		{"age >= 90", 10},
		{"age BETWEEN 40 AND 41", 4}, // user:40, user:41, json, 7
		{"__key GLOB 'user:*' AND age < 5", 5},
		{"NOT __key GLOB 'user:9?'", 90 + 2}, // the key 7 is neither
		{"age IS NULL", 0},                   // nobody knows what the malformed value has
		{"age IS NULL OR __key = 'malformed'", 1},
		{"__key = 7", 1},
		{"name IN ('n1', 'n2')", 20},
		{"__key IS NOT NULL", 103},
	} {
		fill()
		if n, _ := o.removeWhere(0, "m", c.text); n != c.want {
			t.Errorf("%s: %d removed, want %d", c.text, n, c.want)
		}
		if left := int(o.stats("m").Entries); left != 103-c.want {
			t.Errorf("%s: %d are left", c.text, left)
		}
	}

	for text, want := range map[string]wire.Code{"age >": wire.CodeInvalid, "": wire.CodeInvalid, strings.Repeat(" ", wire.MaxPredicate+1): wire.CodeTooLarge} {
		body := wire.AppendRemoveBody(nil, &wire.RemoveBody{Map: []byte("m"), Where: wire.Predicate{Kind: wire.PredicateText, Text: text}})
		if got := o.wait(o.begin(0, wire.OpRemoveAll, body)); got.code != want || len(got.body) == 0 {
			t.Errorf("%.20s: %v %q", text, got.code, got.body)
		}
	}
}

// A step notes a bounded amount of values, and the next one goes on behind them.
func TestRemoveAllReadsBounded(t *testing.T) {
	o := newOwner(t, 1)
	const n = 30
	for i := range n {
		o.set("m", textKey(t, keyOf(i)), "\xc6\x00\x01\x86\xa0"+strings.Repeat("x", 100_000))
	}
	if removed, steps := o.removeWhere(0, "m", "this > X'78'"); removed != n || steps < n*100_000/removeRead {
		t.Errorf("%d removed in %d steps", removed, steps)
	}
}

// A load is void if what it may bring matches.
func TestRemoveAllOfLoads(t *testing.T) {
	for text, want := range map[string]bool{
		"age > 3": true, "age IS NULL": true, "__key = 'a' AND age > 3": true, "NOT (__key = 'b' AND age > 3)": true, "__key GLOB '?'": true,
		"__key = 'b' AND age > 3": false, "__key <> 'a'": false, "__key = 7": false,
	} {
		where, err := selectorOf(&wire.Predicate{Kind: wire.PredicateText, Text: text})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := where.selects(&seenKey{key: []byte(textKey(t, "a"))}); got != want || err != nil {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
}
