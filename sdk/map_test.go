package sdk

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

type user struct {
	Name string
	Age  int
}

func TestMapOperations(t *testing.T) {
	g := fakegrid.New(t, 3, 27)
	m := opened[string, user](t, connected(t, g), "users")
	ctx := t.Context()
	alice, bob, carol := user{"alice", 30}, user{"bob", 40}, user{"carol", 50}

	if v, found, err := m.Get(ctx, "a"); v != (user{}) || found || err != nil {
		t.Errorf("Get of nothing: %v %v %v", v, found, err)
	}
	noErr(t, m.Set(ctx, "a", alice))
	if v, found, err := m.Get(ctx, "a"); v != alice || !found || err != nil {
		t.Errorf("Get: %v %v %v", v, found, err)
	}
	if prev, existed, err := m.Put(ctx, "a", bob); prev != alice || !existed || err != nil {
		t.Errorf("Put: %v %v %v", prev, existed, err)
	}
	if prev, existed, err := m.Put(ctx, "b", bob); prev != (user{}) || existed || err != nil {
		t.Errorf("Put of a new key: %v %v %v", prev, existed, err)
	}
	if v, existed, err := m.PutIfAbsent(ctx, "a", carol); v != bob || !existed || err != nil {
		t.Errorf("PutIfAbsent: %v %v %v", v, existed, err)
	}
	if v, existed, err := m.PutIfAbsent(ctx, "c", carol); v != (user{}) || existed || err != nil {
		t.Errorf("PutIfAbsent of a new key: %v %v %v", v, existed, err)
	}
	if prev, existed, err := m.Replace(ctx, "a", alice); prev != bob || !existed || err != nil {
		t.Errorf("Replace: %v %v %v", prev, existed, err)
	}
	if prev, existed, err := m.Replace(ctx, "x", alice); prev != (user{}) || existed || err != nil {
		t.Errorf("Replace of a missing key: %v %v %v", prev, existed, err)
	}
	for i, want := range []bool{false, true, false} {
		old, now := []user{bob, alice, alice}[i], bob
		if ok, err := m.ReplaceIfSame(ctx, "a", old, now); ok != want || err != nil {
			t.Errorf("ReplaceIfSame %d: %v %v", i, ok, err)
		}
	}
	if ok, err := m.ContainsKey(ctx, "a"); !ok || err != nil {
		t.Errorf("ContainsKey: %v %v", ok, err)
	}
	if ok, err := m.RemoveIfSame(ctx, "a", alice); ok || err != nil {
		t.Errorf("RemoveIfSame with another value: %v %v", ok, err)
	}
	if ok, err := m.RemoveIfSame(ctx, "a", bob); !ok || err != nil {
		t.Errorf("RemoveIfSame: %v %v", ok, err)
	}
	if ok, err := m.ContainsKey(ctx, "a"); ok || err != nil {
		t.Errorf("ContainsKey of a removed key: %v %v", ok, err)
	}
	if prev, existed, err := m.Remove(ctx, "b"); prev != bob || !existed || err != nil {
		t.Errorf("Remove: %v %v %v", prev, existed, err)
	}
	if prev, existed, err := m.Remove(ctx, "b"); prev != (user{}) || existed || err != nil {
		t.Errorf("Remove of a missing key: %v %v %v", prev, existed, err)
	}
	if n, err := m.Size(ctx); n != 1 || err != nil {
		t.Errorf("Size: %v %v", n, err)
	}
	for i, want := range []bool{true, false} {
		if existed, err := m.Delete(ctx, "c"); existed != want || err != nil {
			t.Errorf("Delete %d: %v %v", i, existed, err)
		}
	}
	if empty, err := m.IsEmpty(ctx); !empty || err != nil {
		t.Errorf("IsEmpty: %v %v", empty, err)
	}
	noErr(t, m.Set(ctx, "d", carol))
	if ok, err := m.Evict(ctx, "d"); !ok || err != nil {
		t.Errorf("Evict: %v %v", ok, err)
	}
	for _, end := range []func() error{func() error { return m.Clear(ctx) }, func() error { return m.Destroy(ctx) }} {
		for _, k := range []string{"1", "2", "3", "4", "5"} {
			noErr(t, m.Set(ctx, k, alice))
		}
		noErr(t, end())
		if n, err := m.Size(ctx); n != 0 || err != nil {
			t.Errorf("Size after Clear or Destroy: %v %v", n, err)
		}
	}
}

func TestEntryViewAndExpiry(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	m := opened[string, string](t, connected(t, g), "m")
	ctx := t.Context()
	if _, found, err := m.EntryView(ctx, "a"); found || err != nil {
		t.Fatal(found, err)
	}
	view := func() EntryView[string, string] {
		t.Helper()
		v, found, err := m.EntryView(ctx, "a")
		if !found || err != nil {
			t.Fatal(found, err)
		}
		return v
	}
	before := time.UnixMilli(g.Now()).UTC()
	noErr(t, m.Set(ctx, "a", "v", WithTTL(time.Hour), WithMaxIdle(time.Minute)))
	v := view()
	if v.Key != "a" || v.Value != "v" || v.TTL != time.Hour || v.MaxIdle != time.Minute || v.Version == 0 || v.Hits != 7 || v.Cost != 2 ||
		v.Created.Before(before) || v.Updated.Before(before) || v.Accessed.Before(v.Updated) || !v.Expires.Equal(v.Updated.Add(time.Hour)) {
		t.Errorf("%+v", v)
	}
	noErr(t, m.Set(ctx, "a", "w", KeepTTL()))
	if w := view(); !w.Expires.Equal(v.Expires) || w.Version <= v.Version || w.TTL != time.Hour {
		t.Errorf("KeepTTL: %+v", w)
	}
	for ttl, want := range map[time.Duration]time.Duration{
		time.Nanosecond: time.Millisecond, time.Microsecond * 999: time.Millisecond, time.Millisecond: time.Millisecond, 0: 0,
		1500 * time.Microsecond: 2 * time.Millisecond, time.Hour: time.Hour,
	} {
		ms, err := wire.Milliseconds("", ttl)
		if err != nil || ms != uint64(want/time.Millisecond) {
			t.Errorf("a TTL of %v is %d ms, %v", ttl, ms, err)
		}
	}
	if ms, err := wire.Milliseconds("", math.MaxInt64); err != nil || ms != math.MaxInt64/1_000_000+1 {
		t.Errorf("the longest TTL: %d, %v", ms, err)
	}
	if ok, err := m.SetTTL(ctx, "a", 1500*time.Millisecond); !ok || err != nil || view().TTL != 1500*time.Millisecond {
		t.Errorf("SetTTL: %v %v %v", ok, err, view().TTL)
	}
	if ok, err := m.SetTTL(ctx, "a", 0); !ok || err != nil || !view().Expires.IsZero() {
		t.Errorf("SetTTL(0): %v %v %v", ok, err, view().Expires)
	}
	if ok, err := m.SetTTL(ctx, "b", time.Hour); ok || err != nil {
		t.Errorf("SetTTL of a missing key: %v %v", ok, err)
	}
	_, err := m.SetTTL(ctx, "a", -1)
	wantErr(t, err, ErrInvalid)
	if duration(wire.Forever) != 0 || duration(5) != 5*time.Millisecond {
		t.Error("durations")
	}
}

// What an entry has left, and the cluster's time, have nothing to do with this machine's clock.
func TestRemainingTimeIsTheClusters(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, 0, time.Hour, 50 * 365 * 24 * time.Hour} {
		g := fakegrid.New(t, 1, 3)
		g.Skew(skew)
		c := connected(t, g)
		m := opened[string, string](t, c, "m")
		noErr(t, m.Set(t.Context(), "a", "v", WithTTL(10*time.Minute)))
		v, _, err := m.EntryView(t.Context(), "a")
		noErr(t, err)
		if v.Remaining <= 5*time.Minute || v.Remaining > 10*time.Minute {
			t.Errorf("skew %v: %v remain of 10 minutes", skew, v.Remaining)
		}
		if left := v.Expires.Sub(c.Now()); left <= 5*time.Minute || left > 10*time.Minute+time.Second {
			t.Errorf("skew %v: %v remain by Now of 10 minutes", skew, left)
		}
		noErr(t, m.Set(t.Context(), "a", "v"))
		if v, _, err = m.EntryView(t.Context(), "a"); v.Remaining != 0 || err != nil {
			t.Errorf("skew %v: %v remain of an entry that does not expire, %v", skew, v.Remaining, err)
		}
	}
	g := fakegrid.New(t, 1, 3)
	m := opened[string, string](t, connected(t, g), "m")
	noErr(t, m.Set(t.Context(), "a", "v", WithTTL(10*time.Minute)))
	if v, _, err := m.EntryView(t.Context(), "a"); v.RemainingTTL <= 5*time.Minute || v.RemainingTTL > 10*time.Minute || err != nil {
		t.Errorf("%v remain of a TTL of 10 minutes, %v", v.RemainingTTL, err)
	}
	if got := remaining(5, 10); got != time.Millisecond {
		t.Errorf("an entry that was found has %v left", got)
	}
	if got := remaining(math.MaxInt64, 0); got <= 0 {
		t.Errorf("an entry without an end has %v left", got)
	}
}

func TestIfVersion(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	m := opened[string, string](t, connected(t, g), "m")
	ctx := t.Context()
	wantErr(t, m.Set(ctx, "a", "1", IfVersion(5)), ErrConflict)
	noErr(t, m.Set(ctx, "a", "1"))
	v, _, err := m.EntryView(ctx, "a")
	noErr(t, err)
	noErr(t, m.Set(ctx, "a", "2", IfVersion(v.Version)))
	err = m.Set(ctx, "a", "3", IfVersion(v.Version))
	wantErr(t, err, ErrConflict)
	var e *Error
	if !errors.As(err, &e) || e.Op != "set" || e.Name != "m" || e.Partition < 0 || e.Member != g.MemberID(0).String() || e.Code != CodeConflict || e.Hint != "the version is another" {
		t.Errorf("%+v", e)
	}
	if Retryable(err) {
		t.Error("a conflict is retryable")
	}
}

// What contradicts itself or is too large is refused before anything is sent.
func TestRefusedBeforeSending(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	ctx := t.Context()
	g.Record()
	long := strings.Repeat("x", wire.MaxKey)
	big := strings.Repeat("x", wire.MaxValue)
	_, _, getErr := m.Get(ctx, long)
	_, _, ifAbsent := m.PutIfAbsent(ctx, "a", "v", IfVersion(1))
	floats := opened[float64, string](t, c, "f")
	_, _, nan := floats.Get(ctx, math.NaN())
	funcs := opened[string, func()](t, c, "g")
	for name, c := range map[string]struct{ err, want error }{
		"long key":            {getErr, ErrTooLarge},
		"long key to set":     {m.Set(ctx, long, "v"), ErrTooLarge},
		"large value":         {m.Set(ctx, "a", big), ErrTooLarge},
		"negative TTL":        {m.Set(ctx, "a", "v", WithTTL(-time.Nanosecond)), ErrInvalid},
		"negative idle":       {m.Set(ctx, "a", "v", WithMaxIdle(-1)), ErrInvalid},
		"KeepTTL and TTL":     {m.Set(ctx, "a", "v", KeepTTL(), WithTTL(1)), ErrInvalid},
		"KeepTTL and MaxIdle": {m.Set(ctx, "a", "v", WithMaxIdle(1), KeepTTL()), ErrInvalid},
		"version 0":           {m.Set(ctx, "a", "v", IfVersion(0)), ErrInvalid},
		"nil option":          {m.Set(ctx, "a", "v", nil), ErrInvalid},
		"if absent, version":  {ifAbsent, ErrInvalid},
		"NaN":                 {nan, ErrInvalid},
		"a func":              {funcs.Set(ctx, "a", func() {}), ErrInvalid},
		"SetAll":              {m.SetAll(ctx, map[string]string{"a": "b"}, IfVersion(0)), ErrInvalid},
	} {
		if !errors.Is(c.err, c.want) || Retryable(c.err) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
	if sent := g.Requests(); len(sent) != 0 {
		t.Errorf("%d requests were sent: %+v", len(sent), sent)
	}
	noErr(t, m.Set(ctx, long[5:], big[8:])) // just within the limits
	for name, want := range map[string]error{"": ErrInvalid, "a\x00b": ErrInvalid, "\xff": ErrInvalid, strings.Repeat("x", 256): ErrTooLarge} {
		if _, err := OpenMap[string, string](c, name); !errors.Is(err, want) {
			t.Errorf("map name %q: %v", name, err)
		}
	}
	for name, opt := range map[string]MapOption{"nil": nil, "codec": WithCodec(nil), "reads": WithReads(ReadMode{mode: 9})} {
		if _, err := OpenMap[string, string](c, "m", opt); !errors.Is(err, ErrInvalid) {
			t.Errorf("option %s: %v", name, err)
		}
	}
}

// WithMaxValue raises the client's own limit; the member's stays.
func TestMaxValue(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	m := opened[string, string](t, connected(t, g, WithMaxValue(wire.MaxValueHard)), "m")
	noErr(t, m.Set(t.Context(), "a", strings.Repeat("x", 2<<20)))
	v, _, err := m.Get(t.Context(), "a")
	noErr(t, err)
	if len(v) != 2<<20 {
		t.Fatalf("%d bytes", len(v))
	}
	// Two values that are each within the limit are too much for one request.
	g.Record()
	_, err = m.ReplaceIfSame(t.Context(), "a", strings.Repeat("x", 3<<20), strings.Repeat("y", 3<<20))
	wantErr(t, err, ErrTooLarge)
	if n := len(g.Requests()); n != 0 {
		t.Fatalf("%d requests", n)
	}
}

// A value of another type is an error that says so, and what is written meanwhile is written.
func TestValueOfAnotherType(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	c := connected(t, g)
	texts, numbers := opened[string, string](t, c, "m"), opened[string, int](t, c, "m", WithReads(Linearizable), WithCodec(codec.Msgpack{}))
	ctx := t.Context()
	noErr(t, texts.Set(ctx, "a", "text"))
	_, found, err := numbers.Get(ctx, "a")
	wantErr(t, err, ErrInvalid, codec.ErrType)
	if found {
		t.Error("found")
	}
	_, existed, err := numbers.Put(ctx, "a", 7)
	wantErr(t, err, ErrInvalid)
	if !existed {
		t.Error("it did exist")
	}
	if v, _, err := numbers.Get(ctx, "a"); v != 7 || err != nil {
		t.Error(v, err)
	}
	_, _, err = texts.EntryView(ctx, "a")
	wantErr(t, err, ErrInvalid)
	for _, err := range texts.Values(ctx) {
		wantErr(t, err, ErrInvalid)
	}
	_, err = texts.GetAll(ctx, "a")
	var bulk *BulkError
	if !errors.As(err, &bulk) || !errors.Is(bulk.Errs["a"], ErrInvalid) {
		t.Error(err)
	}
}

// upper is a codec of its own.
type upper struct{ codec.Msgpack }

func (upper) Name() string { return "upper" }

func (upper) Encode(dst []byte, v any) ([]byte, error) {
	return append(dst, strings.ToUpper(v.(string))...), nil
}

func (upper) Decode(b []byte, v any) error {
	*v.(*string) = string(b)
	return nil
}

func TestCodecAndKeyTypes(t *testing.T) {
	g := fakegrid.New(t, 2, 7)
	c := connected(t, g)
	ctx := t.Context()
	m := opened[string, string](t, c, "m", WithCodec(upper{}))
	noErr(t, m.Set(ctx, "a", "text"))
	if v, _, err := m.Get(ctx, "a"); v != "TEXT" || err != nil {
		t.Error(v, err)
	}
	wantErr(t, m.Set(ctx, "a", ""), ErrInvalid) // no encoding at all

	// An integer is one key whatever its type; so is a string.
	type name string
	noErr(t, opened[int8, string](t, c, "n").Set(ctx, 7, "seven"))
	for _, get := range []func() (string, bool, error){
		func() (string, bool, error) { return opened[uint64, string](t, c, "n").Get(ctx, 7) },
		func() (string, bool, error) { return opened[any, string](t, c, "n").Get(ctx, int32(7)) },
	} {
		if v, _, err := get(); v != "seven" || err != nil {
			t.Error(v, err)
		}
	}
	noErr(t, opened[name, string](t, c, "n").Set(ctx, "x", "y"))
	if v, _, err := opened[string, string](t, c, "n").Get(ctx, "x"); v != "y" || err != nil {
		t.Error(v, err)
	}
	type point struct{ X, Y int }
	points := opened[point, int](t, c, "p")
	noErr(t, points.Set(ctx, point{1, 2}, 3))
	for k, err := range points.Keys(ctx) {
		if k != (point{1, 2}) || err != nil {
			t.Error(k, err)
		}
	}
}

// order lives in its customer's partition.
type order struct {
	Customer string
	Number   int
}

func (o order) PartitionKey() any { return o.Customer }

func TestPartitionKey(t *testing.T) {
	g := fakegrid.New(t, 2, 61)
	c := connected(t, g)
	ctx := t.Context()
	orders, anys, customers := opened[order, string](t, c, "orders"), opened[any, string](t, c, "orders"), opened[string, string](t, c, "c")
	g.Record()
	noErr(t, customers.Set(ctx, "alice", "x"))
	for i := range 10 {
		noErr(t, orders.Set(ctx, order{"alice", i}, "x"))
	}
	if v, _, err := anys.Get(ctx, order{"alice", 3}); v != "x" || err != nil {
		t.Error(v, err)
	}
	if n, err := orders.DeleteAll(ctx, order{"alice", 1}, order{"alice", 2}); n != 2 || err != nil {
		t.Error(n, err)
	}
	seen := g.Requests()
	for _, s := range seen {
		if s.Partition != seen[0].Partition {
			t.Fatalf("partition %d, the customer's is %d", s.Partition, seen[0].Partition)
		}
	}
}

func TestRetryable(t *testing.T) {
	for err, want := range map[error]bool{
		ErrUnavailable: true, ErrOverloaded: true, ErrRejected: true, ErrTimeout: true, ErrUnknownOutcome: false, ErrConflict: false,
		ErrInvalid: false, ErrClosed: false, ErrMemberLeft: false, errors.New("else"): false,
	} {
		wrapped := &Error{Op: "get", Partition: 3, Err: err}
		if Retryable(err) != want || Retryable(wrapped) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
	if Retryable(nil) || Retryable(because(ErrUnknownOutcome, ErrTimeout)) {
		t.Error("nil or an unknown outcome is retryable")
	}
	bulk := &BulkError{Errs: map[any]error{"a": ErrTimeout, "b": ErrConflict}}
	if Retryable(bulk) {
		t.Error("a conflict among others is retryable")
	}
	delete(bulk.Errs, "b")
	if !Retryable(bulk) || !Retryable(&MultiError{Errs: map[string]error{"m": ErrRejected}}) {
		t.Error("not retryable")
	}
}

// Codes and sentinels stand for each other, and every code that can reach a caller has its meaning.
func TestCodesAndSentinels(t *testing.T) {
	for code := range wire.Code(40) {
		s := sentinelOf(code)
		if s == nil {
			continue
		}
		if back, ok := CodeOf(&Error{Err: s}); !ok || back != Code(code) {
			t.Errorf("%v: %v becomes %v", code, s, back)
		}
	}

	// The two packages name the same numbers, and no code of the protocol lacks a name here.
	public := [...]Code{CodeOK, CodeMoved, CodeNotReady, CodeConflict, CodeTimeout, CodeUnknownOutcome, CodeUnavailable, CodeOverloaded,
		CodeNotFound, CodeUnauthenticated, CodeForbidden, CodeTooLarge, CodeInvalid, CodeLockNotHeld, CodeFenced, CodeUnknownTask,
		CodeUnknownProcessor, CodeRejected, CodeMemberLeft, CodeCancelled, CodeEventsLost, CodeExpired, CodeStale, CodeTaskFailed,
		CodeClosed, CodeInternal}
	formats := [...]wire.Code{wire.CodeOK, wire.CodeMoved, wire.CodeNotReady, wire.CodeConflict, wire.CodeTimeout, wire.CodeUnknown,
		wire.CodeUnavailable, wire.CodeOverloaded, wire.CodeNotFound, wire.CodeUnauthenticated, wire.CodeForbidden, wire.CodeTooLarge,
		wire.CodeInvalid, wire.CodeLockNotHeld, wire.CodeFenced, wire.CodeUnknownTask, wire.CodeUnknownProcessor, wire.CodeRejected,
		wire.CodeMemberLeft, wire.CodeCancelled, wire.CodeEventsLost, wire.CodeExpired, wire.CodeStale, wire.CodeTaskFailed,
		wire.CodeClosed, wire.CodeInternal}
	for i, code := range formats {
		if public[i] != Code(code) || int(code) != i {
			t.Errorf("code %d of the protocol is %d here, and stands at place %d", code, public[i], i)
		}
	}
	if next := wire.Code(len(formats)).String(); !strings.HasPrefix(next, "code ") {
		t.Errorf("the protocol has the code %s, which has no name here", next)
	}

	if _, ok := CodeOf(errors.New("x")); ok {
		t.Error("a code for nothing")
	}
	err := &Error{Op: "set", Name: "users", Partition: 12, Member: "m2", Err: because(ErrTimeout, errors.New("why")), Hint: "hint"}
	if got, want := err.Error(), `set "users" partition 12 at member m2: timeout (why): hint`; got != want {
		t.Errorf("%s", got)
	}
	many := &BulkError{Errs: map[any]error{1: ErrTimeout, 2: ErrTimeout, 3: ErrTimeout, 4: ErrTimeout}}
	if got, want := many.Error(), "1: timeout; 2: timeout; 3: timeout; and 1 more keys"; got != want {
		t.Errorf("%s", got)
	}
}
