package grid_test

import (
	"encoding/json"
	"fmt"
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
