package grid_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// jsonCodec is a codec as programs may bring one.
type jsonCodec struct{}

func (jsonCodec) Encode(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Decode(b []byte, v any) error { return json.Unmarshal(b, v) }

// citizen is a value that predicates look into. Its encodings name the fields alike.
type citizen struct {
	Name    string   `json:"name" msgpack:"name"`
	Age     int      `json:"age" msgpack:"age"`
	Tags    []string `json:"tags" msgpack:"tags"`
	Address struct {
		City string `json:"city" msgpack:"city"`
	} `json:"address" msgpack:"address"`
}

func citizenOf(i int) citizen {
	p := citizen{Name: fmt.Sprintf("%c%d", 'A'+i%3, i), Age: i % 100}
	p.Address.City = []string{"Rome", "Oslo", "Lima"}[i%3]
	if i%4 == 0 {
		p.Tags = []string{"new", "vip"}
	}
	return p
}

// Members remove what a predicate chooses, in all partitions, and in all codecs that predicates read.
func TestRemoveAllByPredicate(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(7))
	ctx := t.Context()
	const n = 600
	for name, opts := range map[string][]sdk.MapOption{"MessagePack": nil, "JSON": {sdk.WithCodec(jsonCodec{})}} {
		t.Run(name, func(t *testing.T) {
			m, err := sdk.OpenMap[string, citizen](cl.Client(), name, opts...)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range []struct {
				p     sdk.Predicate
				match func(key string, p citizen) bool
			}{
				{sdk.SQL("age > 30 AND name LIKE 'A%' AND address.city IN ('Rome', 'Oslo')"), func(_ string, p citizen) bool { return p.Age > 30 && p.Name[0] == 'A' }},
				{sdk.Eq("tags[any]", "vip"), func(_ string, p citizen) bool { return len(p.Tags) > 0 }},
				{sdk.And(sdk.KeyGlob("k*7"), sdk.Not(sdk.Between("age", 20, 50))), func(key string, p citizen) bool {
					return key[len(key)-1] == '7' && (p.Age < 20 || p.Age > 50)
				}},
				{sdk.IsNull("nickname"), func(string, citizen) bool { return true }},
				{sdk.Gt("name", 3), func(string, citizen) bool { return false }},
			} {
				entries := make(map[string]citizen)
				want := 0
				for i := range n {
					key := fmt.Sprintf("k%d", i)
					entries[key] = citizenOf(i)
					if c.match(key, entries[key]) {
						want++
					}
				}
				if err := m.SetAll(ctx, entries); err != nil {
					t.Fatal(err)
				}
				if got, err := m.RemoveAll(ctx, c.p); got != want || err != nil {
					t.Errorf("%d: %d removed, %v; want %d", i, got, err, want)
				}
				left := 0
				for e, err := range m.Entries(ctx) {
					if err != nil {
						t.Fatal(err)
					}
					if left++; c.match(e.Key, e.Value) {
						t.Errorf("%d: %s is left", i, e.Key)
					}
				}
				if left != n-want {
					t.Errorf("%d: %d are left, want %d", i, left, n-want)
				}
			}
		})
	}
}

// A listener with a predicate sees the map through it, whatever the codec. It is told which entries enter and leave its view.
func TestMatching(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(7))
	ctx := t.Context()
	for name, opts := range map[string][]sdk.MapOption{"MessagePack": nil, "JSON": {sdk.WithCodec(jsonCodec{})}} {
		t.Run(name, func(t *testing.T) {
			m, err := sdk.OpenMap[string, citizen](cl.Client(), name, opts...)
			if err != nil {
				t.Fatal(err)
			}
			of := func(age int, name string) citizen { return citizen{Name: name, Age: age} }
			adults := sdk.And(sdk.Ge("age", 18), sdk.KeyGlob("p*"))
			all, _ := listen(t, m, sdk.Matching(adults))
			bare, _ := listen(t, m, sdk.Matching(adults), sdk.WithoutValues())
			one, _ := listen(t, m, sdk.Matching(adults), sdk.OnKey("p2"))

			large := strings.Repeat("x", 400<<10) // so large that events come without it, and are asked for
			var want []sdk.Event[string, citizen]
			set := func(key string, v citizen) {
				if err := m.Set(ctx, key, v); err != nil {
					t.Fatal(err)
				}
			}
			expect := func(kind sdk.EventKind, key string, old, now citizen) {
				want = append(want, sdk.Event[string, citizen]{Kind: kind, Key: key, Old: old, New: now})
				// The order of events of different partitions is not fixed, so that each is waited for.
				all.count(t, len(want))
				bare.count(t, len(want))
			}

			set("p1", of(17, "a"))
			set("x1", of(70, "no key of the view"))
			set("p2", of(30, large))
			expect(sdk.EventAdded, "p2", citizen{}, of(30, large))
			set("p1", of(18, "b"))
			expect(sdk.EventAdded, "p1", citizen{}, of(18, "b"))
			set("p1", of(19, "c"))
			expect(sdk.EventUpdated, "p1", of(18, "b"), of(19, "c"))
			set("p2", of(3, large))
			expect(sdk.EventRemoved, "p2", of(30, large), citizen{})
			set("p2", of(4, "d"))
			if _, err := m.Delete(ctx, "p2"); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Delete(ctx, "p1"); err != nil {
				t.Fatal(err)
			}
			expect(sdk.EventRemoved, "p1", of(19, "c"), citizen{})
			set("p2", of(44, "end"))
			expect(sdk.EventAdded, "p2", citizen{}, of(44, "end"))

			for i, e := range all.count(t, len(want)) {
				if w := want[i]; e.Kind != w.Kind || e.Key != w.Key || !reflect.DeepEqual(e.Old, w.Old) || !reflect.DeepEqual(e.New, w.New) || e.Omitted {
					t.Errorf("event %d: %s %s %.20v %.20v, want %s %s", i, e.Kind, e.Key, e.Old, e.New, w.Kind, w.Key)
				}
			}
			for i, e := range bare.count(t, len(want)) {
				if w := want[i]; e.Kind != w.Kind || e.Key != w.Key || !reflect.DeepEqual(e.Old, citizen{}) || !reflect.DeepEqual(e.New, citizen{}) || e.Omitted {
					t.Errorf("event %d without values: %+v, want %s %s", i, e, w.Kind, w.Key)
				}
			}
			var kinds []sdk.EventKind
			for _, e := range one.count(t, 3) {
				kinds = append(kinds, e.Kind)
			}
			if !slices.Equal(kinds, []sdk.EventKind{sdk.EventAdded, sdk.EventRemoved, sdk.EventAdded}) {
				t.Errorf("of one key: %v", kinds)
			}

			// Everybody hears of a Clear: nobody knows what the entries were.
			if err := m.Clear(ctx); err != nil {
				t.Fatal(err)
			}
			list := one.count(t, 4)
			if e := list[3]; e.Kind != sdk.EventCleared {
				t.Errorf("after Clear: %+v", e)
			}
		})
	}
}
