package sdk

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func filled(t *testing.T, m *Map[string, int], n int) map[string]int {
	t.Helper()
	entries := make(map[string]int)
	for i := range n {
		entries[fmt.Sprintf("key-%d", i)] = i
	}
	noErr(t, m.SetAll(t.Context(), entries))
	return entries
}

func TestIteration(t *testing.T) {
	g := fakegrid.New(t, 3, 31)
	m := opened[string, int](t, connected(t, g), "m")
	for range m.Keys(t.Context()) {
		t.Fatal("something in an empty map")
	}
	want := filled(t, m, 5000)
	for _, opts := range [][]QueryOption{nil, {PageSize(7)}, {PageSize(1 << 20), Limit(1 << 30)}} {
		got := make(map[string]int)
		for e, err := range m.Entries(t.Context(), opts...) {
			noErr(t, err)
			if _, twice := got[e.Key]; twice {
				t.Fatalf("%s comes twice", e.Key)
			}
			got[e.Key] = e.Value
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%v: %d entries, want %d", opts, len(got), len(want))
		}
	}
	keys, sum := 0, 0
	for k, err := range m.Keys(t.Context()) {
		noErr(t, err)
		if _, ok := want[k]; !ok {
			t.Fatal(k)
		}
		keys++
	}
	for v, err := range m.Values(t.Context()) {
		noErr(t, err)
		sum += v
	}
	if keys != 5000 || sum != 5000*4999/2 {
		t.Fatal(keys, sum)
	}
}

// Looking at a few entries asks for a few.
func TestIterationEndsEarly(t *testing.T) {
	g := fakegrid.New(t, 3, 64)
	m := opened[string, int](t, connected(t, g), "m")
	filled(t, m, 1000)
	for _, limit := range []int{1, 5, 999, 1000, 2000} {
		n := 0
		for _, err := range m.Entries(t.Context(), Limit(limit), PageSize(3)) {
			noErr(t, err)
			n++
		}
		if n != min(limit, 1000) {
			t.Errorf("Limit(%d): %d", limit, n)
		}
	}
	g.Record()
	for _, err := range m.Keys(t.Context()) {
		noErr(t, err)
		break
	}
	if n := len(g.Requests(wire.OpScan)); n != 1 {
		t.Errorf("%d requests for one key", n)
	}
}

func TestIterationErrors(t *testing.T) {
	g := fakegrid.New(t, 2, 4)
	m := opened[string, int](t, connected(t, g), "m")
	for _, opt := range []QueryOption{Limit(0), Limit(-1), PageSize(0), nil} {
		n := 0
		for _, err := range m.Keys(t.Context(), opt) {
			wantErr(t, err, ErrInvalid)
			n++
		}
		if n != 1 {
			t.Errorf("%v: %d times", opt, n)
		}
	}
	filled(t, m, 1000)
	page := func(r wire.ScanResult) fakegrid.Verdict {
		return fakegrid.Verdict{Raw: wire.AppendScanResult(nil, &r)}
	}
	key := func(s string) []byte { return append([]byte{0xa0 | byte(len(s))}, s...) }
	for name, verdict := range map[string]fakegrid.Verdict{
		"forbidden":          {Code: wire.CodeForbidden},
		"undecodable":        {Raw: []byte{1, 2, 3}},
		"empty, more":        page(wire.ScanResult{More: true}),
		"the same key again": page(wire.ScanResult{Keys: [][]byte{key("b")}, Values: [][]byte{{1}}, More: true}),
		"no values":          page(wire.ScanResult{Keys: [][]byte{key("b")}}),
		"key of other type":  page(wire.ScanResult{Keys: [][]byte{{7}}, Values: [][]byte{{1}}}),
	} {
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op != wire.OpScan {
				return fakegrid.Verdict{}
			}
			v := verdict
			if v.Raw != nil {
				v.Raw = wire.AppendAnswer(nil, &wire.Answer{ID: req.ID, Body: verdict.Raw})
			}
			return v
		})
		var last error
		for _, err := range m.Entries(t.Context()) {
			if last != nil {
				t.Fatalf("%s: something after the error", name)
			}
			last = err
		}
		var e *Error
		if !errors.As(last, &e) || e.Op != "scan" || e.Partition < 0 {
			t.Errorf("%s: %v", name, last)
		}
	}
}

// Entries that are there throughout come exactly once while partitions move and members lose their connections.
func TestIterationDuringMoves(t *testing.T) {
	g := fakegrid.New(t, 3, 8)
	m := opened[string, int](t, connected(t, g), "m")
	want := filled(t, m, 2000)
	got := make(map[string]int)
	i := 0
	for e, err := range m.Entries(t.Context(), PageSize(10)) {
		noErr(t, err)
		if _, twice := got[e.Key]; twice {
			t.Fatalf("%s comes twice", e.Key)
		}
		got[e.Key] = e.Value
		if i++; i%50 == 0 {
			g.Move(i/50%8, i/50%3, i%100 == 0)
			if i%300 == 0 {
				g.Cut(i / 300 % 3)
			}
			noErr(t, m.Set(t.Context(), fmt.Sprint("new", i), -1)) // may come or not
		}
	}
	for k, v := range want {
		if got[k] != v {
			t.Fatalf("%s is missing", k)
		}
	}
}

// placedKey knows where it was found. What it is stored as chose its partition by its tenant alone.
type placedKey struct {
	text          string
	partition, of int
}

func (k *placedKey) UnmarshalText(b []byte) error {
	k.text = string(b)
	return nil
}
func (k placedKey) MarshalText() ([]byte, error)   { return []byte(k.text), nil }
func (k *placedKey) PlacedIn(partition, of int)    { k.partition, k.of = partition, of }
func (k tenantText) MarshalText() ([]byte, error)  { return []byte(k), nil }
func (k *tenantText) UnmarshalText(b []byte) error { *k = tenantText(b); return nil }
func (k tenantText) PartitionKey() any             { return string(k[:1]) }

type tenantText string

// A key is told the partition in which it lies, whatever its own bytes would say.
func TestKeysAreToldTheirPlace(t *testing.T) {
	g := fakegrid.New(t, 1, 31)
	c := connected(t, g)
	stored := opened[tenantText, int](t, c, "m")
	for i := range 50 {
		noErr(t, stored.Set(t.Context(), tenantText(fmt.Sprintf("%c%d", 'a'+i%5, i)), i))
	}
	n := 0
	for e, err := range opened[placedKey, int](t, c, "m").Entries(t.Context()) {
		noErr(t, err)
		tenant, err := codec.EncodeKey(nil, e.Key.text[:1])
		noErr(t, err)
		if want := wire.PartitionOf(tenant, 31); e.Key.partition != want || e.Key.of != 31 {
			t.Fatalf("%+v, want partition %d", e.Key, want)
		}
		n++
	}
	if n != 50 {
		t.Fatalf("%d keys", n)
	}
}
