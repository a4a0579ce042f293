package sdk

import (
	"math"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
)

type (
	pointKey  struct{ X, Y float64 }
	placeKey  struct{ Y, X float64 }
	routedKey struct {
		Rate float64
		Name string
	}
	namedInt    int16
	namedString string
	namedFloat  float64
)

func (k routedKey) PartitionKey() any { return k.Rate }

// Which keys are one key, and which are two: docs/KEYS.md says the same.
func TestWhatIsOneKey(t *testing.T) {
	negative := math.Copysign(0, -1)
	now := time.Now()
	same := [][]any{
		{int(7), int8(7), int16(7), int32(7), int64(7), uint(7), uint8(7), uint16(7), uint32(7), uint64(7), namedInt(7)},
		{int(-7), int32(-7), int64(-7)},
		{7.0, float32(7)},
		{"a", namedString("a")},
		{[1]byte{'a'}},
		{1.5, float32(1.5)},
		{float32(0.1)},
		{0.1},
		{0.0, negative, float32(0), float32(negative), namedFloat(0), namedFloat(negative)},
		{0, int8(0), uint64(0)},
		{pointKey{1, 0}, pointKey{1, negative}, placeKey{0, 1}, placeKey{negative, 1}},
		{[2]float64{0, negative}, [2]float64{negative, 0}, [2]any{0.0, negative}},
		{routedKey{0, "a"}, routedKey{negative, "a"}},
		{now, now.UTC(), now.In(time.FixedZone("there", 3600))},
		{true},
	}
	g := fakegrid.New(t, 1, 31)
	m := opened[any, int](t, connected(t, g), "m")
	for class, keys := range same {
		noErr(t, m.Set(t.Context(), keys[0], class))
	}
	for class, keys := range same {
		for _, key := range keys {
			if v, found, err := m.Get(t.Context(), key); v != class || !found || err != nil {
				t.Errorf("%T %v: %v, %v, %v; want what is under %T %v", key, key, v, found, err, keys[0], keys[0])
			}
		}
	}
	if n, err := m.Size(t.Context()); n != len(same) || err != nil {
		t.Errorf("%d entries, %v; want %d", n, err, len(same))
	}
	bytesToo := opened[[1]byte, int](t, connected(t, g), "m")
	if _, found, err := bytesToo.Get(t.Context(), [1]byte{'a'}); !found || err != nil {
		t.Errorf("bytes: %v, %v", found, err)
	}

	for _, key := range []any{math.NaN(), float32(math.NaN()), pointKey{math.NaN(), 0}, [1]any{math.NaN()}, nil, (*int)(nil)} {
		wantErr(t, m.Set(t.Context(), key, 1), ErrInvalid)
		_, _, err := m.Get(t.Context(), key)
		wantErr(t, err, ErrInvalid)
	}

	// What is stored is the key without a sign.
	floats := opened[float64, int](t, connected(t, g), "floats")
	noErr(t, floats.SetAll(t.Context(), map[float64]int{negative: 1}))
	all, err := floats.GetAll(t.Context(), 0)
	if noErr(t, err); len(all) != 1 {
		t.Errorf("GetAll: %v", all)
	}
	for key, err := range floats.Keys(t.Context()) {
		if noErr(t, err); math.Signbit(key) {
			t.Error("the key is -0.0")
		}
	}
	if n, err := floats.DeleteAll(t.Context(), negative); n != 1 || err != nil {
		t.Errorf("DeleteAll: %v, %v", n, err)
	}

	// A map without entries is not listed.
	list, err := connected(t, g).Maps(t.Context())
	if noErr(t, err); len(list) != 1 || list[0].Name != "m" {
		t.Errorf("maps: %v", list)
	}
}
