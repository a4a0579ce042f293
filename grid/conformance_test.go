package grid_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// person is a value with fields of every kind that programs put into maps.
type person struct {
	Name    string            `msgpack:"name"`
	Age     int               `msgpack:"age"`
	Score   float64           `msgpack:"score"`
	Tags    []string          `msgpack:"tags"`
	Notes   map[string]string `msgpack:"notes"`
	Born    time.Time         `msgpack:"born"`
	Picture []byte            `msgpack:"picture"`
}

func newPerson(i int) person {
	return person{Name: fmt.Sprintf("person %d", i), Age: i, Score: float64(i) / 2, Tags: []string{"a", fmt.Sprint(i)},
		Notes: map[string]string{"z": "1", "a": fmt.Sprint(i)}, Born: time.Date(1990, 1, 1, 0, 0, i, 0, time.UTC), Picture: []byte{1, byte(i)}}
}

// newAny returns values of all kinds that can be in a map of any.
func newAny(i int) any {
	switch i % 6 {
	case 0:
		return int64(i)
	case 1:
		return fmt.Sprintf("text %d", i)
	case 2:
		return []any{int64(i), "x", 1.5, true}
	case 3:
		return map[string]any{"b": int64(i), "a": []byte{1}}
	case 4:
		return float64(i) + 0.25
	default:
		return time.Date(2020, 1, 1, 0, 0, i, 0, time.UTC)
	}
}

// TestConformance holds the map to its contract: every operation, on values of every kind, by a client in a member's process and
// by one over the network, on one member and on three.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d members", n), func(t *testing.T) {
			cl := gridtest.New(t, n)
			for where, c := range map[string]*sdk.Client{"embedded": cl.Member(n - 1).Client(), "remote": cl.Client()} {
				t.Run(where+"/string", func(t *testing.T) { conform(t, c, where, func(i int) string { return fmt.Sprintf("value %d", i) }) })
				t.Run(where+"/int", func(t *testing.T) { conform(t, c, where, func(i int) int { return i * 1000 }) })
				t.Run(where+"/struct", func(t *testing.T) { conform(t, c, where, newPerson) })
				t.Run(where+"/any", func(t *testing.T) { conform(t, c, where, newAny) })
				t.Run(where+"/keys", func(t *testing.T) { conformKeys(t, c, where) })
			}
		})
	}
}

// suite is one map under test.
type suite[V any] struct {
	*testing.T
	m     *sdk.Map[string, V]
	value func(i int) V
}

func conform[V any](t *testing.T, c *sdk.Client, where string, value func(i int) V) {
	t.Helper()
	m, err := sdk.OpenMap[string, V](c, fmt.Sprintf("%s/%T", where, *new(V)))
	if err != nil {
		t.Fatal(err)
	}
	s := &suite[V]{t, m, value}
	for name, f := range map[string]func(t *testing.T, ctx context.Context, s *suite[V]){
		"get and set": conformGetSet[V], "conditional": conformConditional[V], "remove": conformRemove[V], "TTL": conformTTL[V],
		"IfVersion": conformVersion[V], "bulk": conformBulk[V], "whole": conformWhole[V], "iteration": conformIteration[V],
		"RemoveAll": conformRemoveAll[V],
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			sub := &suite[V]{t, s.m, s.value}
			sub.ok(s.m.Clear(ctx))
			f(t, ctx, sub)
		})
	}
}

func (s *suite[V]) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// is checks a value that came with whether there was one.
func (s *suite[V]) is(what string, got V, there bool, err error, want V, wantThere bool) {
	s.Helper()
	if err != nil || there != wantThere || !reflect.DeepEqual(got, want) {
		s.Fatalf("%s: %v, %t, %v; want %v, %t", what, got, there, err, want, wantThere)
	}
}

// holds checks what the map has under a key; i < 0: nothing.
func (s *suite[V]) holds(ctx context.Context, key string, i int) {
	s.Helper()
	var want V
	if i >= 0 {
		want = s.value(i)
	}
	v, found, err := s.m.Get(ctx, key)
	s.is("Get "+key, v, found, err, want, i >= 0)
	there, err := s.m.ContainsKey(ctx, key)
	s.yes("ContainsKey "+key, there, err, i >= 0)
}

func (s *suite[V]) yes(what string, got bool, err error, want bool) {
	s.Helper()
	if err != nil || got != want {
		s.Fatalf("%s: %t, %v; want %t", what, got, err, want)
	}
}

func conformGetSet[V any](_ *testing.T, ctx context.Context, s *suite[V]) {
	var none V
	s.holds(ctx, "k", -1)
	s.ok(s.m.Set(ctx, "k", s.value(1)))
	s.holds(ctx, "k", 1)
	s.ok(s.m.Set(ctx, "k", s.value(2)))
	s.holds(ctx, "k", 2)
	v, existed, err := s.m.Put(ctx, "k", s.value(3))
	s.is("Put over 2", v, existed, err, s.value(2), true)
	v, existed, err = s.m.Put(ctx, "new", s.value(4))
	s.is("Put of a new key", v, existed, err, none, false)
	s.holds(ctx, "new", 4)
	s.ok(s.m.Set(ctx, "", s.value(5)))
	s.holds(ctx, "", 5)
	long := strings.Repeat("ö", 30_000)
	s.ok(s.m.Set(ctx, long, s.value(6)))
	s.holds(ctx, long, 6)
}

func conformConditional[V any](_ *testing.T, ctx context.Context, s *suite[V]) {
	var none V
	v, existed, err := s.m.Replace(ctx, "k", s.value(1))
	s.is("Replace of nothing", v, existed, err, none, false)
	s.holds(ctx, "k", -1)
	v, existed, err = s.m.PutIfAbsent(ctx, "k", s.value(1))
	s.is("PutIfAbsent", v, existed, err, none, false)
	v, existed, err = s.m.PutIfAbsent(ctx, "k", s.value(2))
	s.is("PutIfAbsent again", v, existed, err, s.value(1), true)
	s.holds(ctx, "k", 1)
	v, existed, err = s.m.Replace(ctx, "k", s.value(2))
	s.is("Replace", v, existed, err, s.value(1), true)

	did, err := s.m.ReplaceIfSame(ctx, "k", s.value(1), s.value(3))
	s.yes("ReplaceIfSame of another value", did, err, false)
	did, err = s.m.ReplaceIfSame(ctx, "missing", s.value(1), s.value(3))
	s.yes("ReplaceIfSame of nothing", did, err, false)
	s.holds(ctx, "missing", -1)
	got, _, err := s.m.Get(ctx, "k") // what Get returned is the same
	s.ok(err)
	did, err = s.m.ReplaceIfSame(ctx, "k", got, s.value(3))
	s.yes("ReplaceIfSame of what Get returned", did, err, true)
	s.holds(ctx, "k", 3)

	did, err = s.m.RemoveIfSame(ctx, "k", s.value(1))
	s.yes("RemoveIfSame of another value", did, err, false)
	s.holds(ctx, "k", 3)
	did, err = s.m.RemoveIfSame(ctx, "k", s.value(3))
	s.yes("RemoveIfSame", did, err, true)
	did, err = s.m.RemoveIfSame(ctx, "k", s.value(3))
	s.yes("RemoveIfSame of nothing", did, err, false)
	s.holds(ctx, "k", -1)
}

func conformRemove[V any](_ *testing.T, ctx context.Context, s *suite[V]) {
	var none V
	for _, k := range []string{"a", "b", "c"} {
		s.ok(s.m.Set(ctx, k, s.value(1)))
	}
	v, existed, err := s.m.Remove(ctx, "a")
	s.is("Remove", v, existed, err, s.value(1), true)
	v, existed, err = s.m.Remove(ctx, "a")
	s.is("Remove again", v, existed, err, none, false)
	did, err := s.m.Delete(ctx, "b")
	s.yes("Delete", did, err, true)
	did, err = s.m.Delete(ctx, "b")
	s.yes("Delete again", did, err, false)
	did, err = s.m.Evict(ctx, "c")
	s.yes("Evict", did, err, true)
	did, err = s.m.Evict(ctx, "c")
	s.yes("Evict again", did, err, false)
	for _, k := range []string{"a", "b", "c"} {
		s.holds(ctx, k, -1)
	}
}

func conformTTL[V any](t *testing.T, ctx context.Context, s *suite[V]) {
	ttl := func(key string) (sdk.EntryView[string, V], time.Duration) {
		t.Helper()
		e, found, err := s.m.EntryView(ctx, key)
		s.yes("EntryView "+key, found, err, true)
		if e.Expires.IsZero() {
			return e, 0
		}
		return e, e.Expires.Sub(e.Updated)
	}
	s.ok(s.m.Set(ctx, "k", s.value(1)))
	if _, d := ttl("k"); d != 0 {
		t.Fatalf("without options: a TTL of %v", d)
	}
	s.ok(s.m.Set(ctx, "k", s.value(2), sdk.WithTTL(time.Hour)))
	if e, d := ttl("k"); d != time.Hour || e.TTL != time.Hour {
		t.Fatalf("WithTTL(1h): %v, %v", d, e.TTL)
	}
	before, _ := ttl("k")
	s.ok(s.m.Set(ctx, "k", s.value(3), sdk.KeepTTL()))
	if e, _ := ttl("k"); !e.Expires.Equal(before.Expires) || e.TTL != time.Hour {
		t.Fatalf("KeepTTL: expires %v, it was %v", e.Expires, before.Expires)
	}
	s.holds(ctx, "k", 3)
	s.ok(s.m.Set(ctx, "k", s.value(4)))
	if _, d := ttl("k"); d != 0 {
		t.Fatalf("Set without options keeps a TTL of %v", d)
	}
	s.ok(s.m.Set(ctx, "fresh", s.value(1), sdk.KeepTTL()))
	if _, d := ttl("fresh"); d != 0 {
		t.Fatalf("KeepTTL of a new entry: %v", d)
	}
	for name, d := range map[string]time.Duration{"0": 0, "1<<63-1": 1<<63 - 1} {
		s.ok(s.m.Set(ctx, "k", s.value(5), sdk.WithTTL(time.Hour)))
		s.ok(s.m.Set(ctx, "k", s.value(5), sdk.WithTTL(d)))
		if e, left := ttl("k"); left != 0 && left < 200*365*24*time.Hour {
			t.Fatalf("WithTTL(%s): expires %v", name, e.Expires)
		}
	}
	if err := s.m.Set(ctx, "k", s.value(6), sdk.WithTTL(-1)); !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("a negative TTL: %v", err)
	}
	if err := s.m.Set(ctx, "k", s.value(6), sdk.WithTTL(1), sdk.KeepTTL()); !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("WithTTL and KeepTTL: %v", err)
	}
	s.holds(ctx, "k", 5)

	did, err := s.m.SetTTL(ctx, "k", time.Minute)
	s.yes("SetTTL", did, err, true)
	if e, _ := ttl("k"); e.TTL != time.Minute {
		t.Fatalf("after SetTTL(1m): %v", e.TTL)
	}
	did, err = s.m.SetTTL(ctx, "k", 0)
	s.yes("SetTTL(0)", did, err, true)
	if e, _ := ttl("k"); !e.Expires.IsZero() {
		t.Fatalf("after SetTTL(0): expires %v", e.Expires)
	}
	did, err = s.m.SetTTL(ctx, "missing", time.Minute)
	s.yes("SetTTL of nothing", did, err, false)
	if _, err := s.m.SetTTL(ctx, "k", -time.Second); !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("SetTTL(-1s): %v", err)
	}
	s.holds(ctx, "k", 5)

	// A TTL below a millisecond is one of a millisecond: the entry goes, and soon.
	s.ok(s.m.Set(ctx, "k", s.value(7), sdk.WithTTL(time.Nanosecond)))
	for {
		_, found, err := s.m.Get(ctx, "k")
		s.ok(err)
		if !found {
			break
		}
	}
	v, existed, err := s.m.PutIfAbsent(ctx, "k", s.value(8))
	var none V
	s.is("PutIfAbsent after expiry", v, existed, err, none, false)
}

func conformVersion[V any](t *testing.T, ctx context.Context, s *suite[V]) {
	version := func() uint64 {
		t.Helper()
		e, found, err := s.m.EntryView(ctx, "k")
		s.yes("EntryView", found, err, true)
		return e.Version
	}
	s.ok(s.m.Set(ctx, "k", s.value(1)))
	one := version()
	s.ok(s.m.Set(ctx, "k", s.value(2), sdk.IfVersion(one)))
	two := version()
	if two <= one {
		t.Fatalf("version %d follows %d", two, one)
	}
	if err := s.m.Set(ctx, "k", s.value(3), sdk.IfVersion(one)); !errors.Is(err, sdk.ErrConflict) {
		t.Fatalf("Set at an old version: %v", err)
	}
	if _, _, err := s.m.Put(ctx, "missing", s.value(3), sdk.IfVersion(one)); !errors.Is(err, sdk.ErrConflict) {
		t.Fatalf("Put at a version of nothing: %v", err)
	}
	if err := s.m.Set(ctx, "k", s.value(3), sdk.IfVersion(0)); !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("IfVersion(0): %v", err)
	}
	s.holds(ctx, "k", 2)
	s.holds(ctx, "missing", -1)
	if version() != two {
		t.Fatal("refused writes changed the version")
	}
	_, err := s.m.Delete(ctx, "k")
	s.ok(err)
	s.ok(s.m.Set(ctx, "k", s.value(1)))
	if v := version(); v <= two {
		t.Fatalf("after Delete and Set the version is %d, it was %d", v, two)
	}
}

func conformBulk[V any](t *testing.T, ctx context.Context, s *suite[V]) {
	entries := make(map[string]V)
	keys := make([]string, 0, 300)
	for i := range 300 {
		entries[fmt.Sprintf("k%d", i)] = s.value(i)
		keys = append(keys, fmt.Sprintf("k%d", i))
	}
	s.ok(s.m.SetAll(ctx, nil))
	s.ok(s.m.SetAll(ctx, entries))
	got, err := s.m.GetAll(ctx, append(slices.Clone(keys), "missing", "k1")...)
	if err != nil || !reflect.DeepEqual(got, entries) {
		t.Fatalf("GetAll: %d of %d entries, %v", len(got), len(entries), err)
	}
	n, err := s.m.Size(ctx)
	if n != 300 || err != nil {
		t.Fatalf("Size: %d, %v", n, err)
	}

	// A key that is too large fails alone.
	long := strings.Repeat("x", 70_000)
	err = s.m.SetAll(ctx, map[string]V{"fits": s.value(1), long: s.value(2)})
	var bulk *sdk.BulkError
	if !errors.As(err, &bulk) || len(bulk.Errs) != 1 || !errors.Is(bulk.Errs[long], sdk.ErrTooLarge) {
		t.Fatalf("SetAll with a key that is too large: %.100v", err)
	}
	s.holds(ctx, "fits", 1)
	err = s.m.SetAll(ctx, map[string]V{"k1": s.value(9), "k2": s.value(9)}, sdk.WithTTL(time.Hour))
	s.ok(err)
	e, found, err := s.m.EntryView(ctx, "k1")
	if !found || err != nil || e.TTL != time.Hour {
		t.Fatalf("SetAll with a TTL: %v, %v", e.TTL, err)
	}

	gone, err := s.m.DeleteAll(ctx, "k0", "k1", "missing", "k0")
	if gone != 2 || err != nil {
		t.Fatalf("DeleteAll: %d, %v", gone, err)
	}
	s.holds(ctx, "k0", -1)
	s.holds(ctx, "k3", 3)
}

func conformWhole[V any](t *testing.T, ctx context.Context, s *suite[V]) {
	empty := func(want bool) {
		t.Helper()
		got, err := s.m.IsEmpty(ctx)
		s.yes("IsEmpty", got, err, want)
		n, err := s.m.Size(ctx)
		if err != nil || (n == 0) != want {
			t.Fatalf("Size: %d, %v", n, err)
		}
	}
	for name, end := range map[string]func(context.Context) error{"Clear": s.m.Clear, "Destroy": s.m.Destroy} {
		empty(true)
		for i := range 50 {
			s.ok(s.m.Set(ctx, fmt.Sprint(i), s.value(i)))
		}
		empty(false)
		if err := end(ctx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		empty(true)
		s.holds(ctx, "1", -1)
		s.ok(end(ctx)) // of an empty map
	}
	s.ok(s.m.Set(ctx, "again", s.value(1)))
	s.holds(ctx, "again", 1)
}

func conformRemoveAll[V any](t *testing.T, ctx context.Context, s *suite[V]) {
	entries := make(map[string]V)
	for i := range 300 {
		entries[fmt.Sprintf("%s/%d:%d", []string{"user", "order", `us*r`}[i%3], i%7, i)] = s.value(i)
	}
	for glob, match := range map[string]func(key string) bool{
		"none*":          func(string) bool { return false },
		"user":           func(string) bool { return false },
		"user/*":         func(key string) bool { return strings.HasPrefix(key, "user/") },
		`us\*r/*`:        func(key string) bool { return strings.HasPrefix(key, "us*r/") },
		"*/[1-3]:*":      func(key string) bool { at := key[strings.Index(key, "/")+1]; return at >= '1' && at <= '3' },
		"?????/[0]:*[4]": func(key string) bool { return strings.HasPrefix(key, "order/0:") && strings.HasSuffix(key, "4") },
		"*":              func(string) bool { return true },
	} {
		s.ok(s.m.SetAll(ctx, entries))
		want := 0
		for key := range entries {
			if match(key) {
				want++
			}
		}
		if n, err := s.m.RemoveAll(ctx, sdk.KeyGlob(glob)); n != want || err != nil {
			t.Fatalf("RemoveAll(%s): %d, %v; want %d", glob, n, err, want)
		}
		left := 0
		for key, err := range s.m.Keys(ctx) {
			if s.ok(err); match(key) {
				t.Fatalf("RemoveAll(%s) left %s", glob, key)
			}
			left++
		}
		if left != len(entries)-want {
			t.Fatalf("RemoveAll(%s) left %d of %d", glob, left, len(entries)-want)
		}
	}
	if n, err := s.m.RemoveAll(ctx, sdk.KeyGlob("[a")); n != 0 || !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("RemoveAll of no glob: %d, %v", n, err)
	}
}

func conformIteration[V any](t *testing.T, ctx context.Context, s *suite[V]) {
	const n = 700
	entries := make(map[string]V)
	for i := range n {
		entries[fmt.Sprintf("k%03d", i)] = s.value(i)
	}
	s.ok(s.m.SetAll(ctx, entries))
	for _, opts := range [][]sdk.QueryOption{nil, {sdk.PageSize(1)}, {sdk.PageSize(7)}} {
		got := make(map[string]V)
		for e, err := range s.m.Entries(ctx, opts...) {
			s.ok(err)
			if _, twice := got[e.Key]; twice {
				t.Fatalf("%s came twice", e.Key)
			}
			got[e.Key] = e.Value
		}
		if !reflect.DeepEqual(got, entries) {
			t.Fatalf("Entries: %d of %d", len(got), n)
		}
	}
	var keys []string
	for k, err := range s.m.Keys(ctx) {
		s.ok(err)
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if !slices.Equal(keys, slices.Sorted(maps.Keys(entries))) {
		t.Fatalf("Keys: %d of %d", len(keys), n)
	}
	values := 0
	for _, err := range s.m.Values(ctx) {
		s.ok(err)
		values++
	}
	if values != n {
		t.Fatalf("Values: %d of %d", values, n)
	}
	limited := 0
	for _, err := range s.m.Keys(ctx, sdk.Limit(10)) {
		s.ok(err)
		limited++
	}
	if limited != 10 {
		t.Fatalf("Keys with Limit(10): %d", limited)
	}

	// What is there throughout comes exactly once, whatever else is written and deleted meanwhile.
	seen := make(map[string]int)
	i := 0
	for k, err := range s.m.Keys(ctx, sdk.PageSize(5)) {
		s.ok(err)
		seen[k]++
		if i++; i%20 == 0 {
			s.ok(s.m.Set(ctx, fmt.Sprintf("other %d", i), s.value(i)))
			_, err := s.m.Delete(ctx, fmt.Sprintf("other %d", i-40))
			s.ok(err)
			s.ok(s.m.Set(ctx, fmt.Sprintf("k%03d", i), s.value(i+1))) // updated is still there
		}
	}
	for k := range entries {
		if seen[k] != 1 {
			t.Fatalf("%s came %d times", k, seen[k])
		}
	}
}

// conformKeys checks that keys are the same key whatever their Go type, and values of another type than asked for an error.
func conformKeys(t *testing.T, c *sdk.Client, where string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	name := where + "/keys"
	ints, err1 := sdk.OpenMap[int, string](c, name)
	small, err2 := sdk.OpenMap[uint8, string](c, name)
	anys, err3 := sdk.OpenMap[any, any](c, name)
	if err := errors.Join(err1, err2, err3, ints.Clear(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := ints.Set(ctx, 200, "x"); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := small.Get(ctx, 200); v != "x" || !ok || err != nil {
		t.Errorf("under uint8(200): %q, %t, %v", v, ok, err)
	}
	if v, ok, err := anys.Get(ctx, int64(200)); v != "x" || !ok || err != nil {
		t.Errorf("under any(int64(200)): %v, %t, %v", v, ok, err)
	}
	if v, ok, err := anys.Get(ctx, "200"); ok || err != nil {
		t.Errorf("under a text: %v, %t, %v", v, ok, err)
	}
	wrong, err := sdk.OpenMap[int, int](c, name)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok, err := wrong.Get(ctx, 200); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a text as an int: %d, %t, %v", v, ok, err)
	}
	if err := ints.Set(ctx, 1, strings.Repeat("x", 1<<20)); !errors.Is(err, sdk.ErrTooLarge) {
		t.Errorf("a value above 1 MB: %v", err)
	}
	if _, err := sdk.OpenMap[int, int](c, "a\nb"); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a map name with a line feed: %v", err)
	}
	// The largest values, many at once: answers stay within a frame.
	large := make(map[int]string)
	for i := range 40 {
		large[i] = strings.Repeat(string(rune('a'+i%26)), 400<<10)
	}
	if err := ints.SetAll(ctx, large); err != nil {
		t.Fatalf("SetAll of 16 MB: %.200v", err)
	}
	got, err := ints.GetAll(ctx, slices.Collect(maps.Keys(large))...)
	if err != nil || !reflect.DeepEqual(got, large) {
		t.Fatalf("GetAll of 16 MB: %d of %d, %.200v", len(got), len(large), err)
	}
	if err := ints.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
}
