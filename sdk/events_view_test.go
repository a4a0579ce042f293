package sdk

import (
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// everyKind is what a listener to all kinds hears of.
const everyKind = allKinds | 1<<wire.EventTTL

// A listener that does what the events of a view say has the entries that match. Where values are left out it learns which keys it does
// not know of, and of no others.
func TestViewAgainstModel(t *testing.T) {
	v, err := viewOf("watch", "m", SQL("this >= 5 AND __key <> 'never' OR __key = 'always'"), reflect.TypeFor[string]())
	noErr(t, err)
	matches := func(key string, value int) bool { return key == "always" || value >= 5 && key != "never" }
	encoded := func(n int) []byte {
		b, err := codec.Msgpack{}.Encode(nil, n)
		noErr(t, err)
		return b
	}

	rapid.Check(t, func(t *rapid.T) {
		all, seen, unsure := map[string]int{}, map[string]int{}, map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			key := rapid.SampledFrom([]string{"a", "b", "always", "never"}).Draw(t, "key")
			k, err := codec.EncodeKey(nil, key)
			if err != nil {
				t.Fatal(err)
			}
			e := wire.Event{Key: k}
			old, existed := all[key]
			if existed {
				e.Old = encoded(old)
			}
			switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
			case what == 0:
				e = wire.Event{Kind: wire.EventCleared}
				clear(all)
			case what == 1 && existed:
				e.Kind, e.New = wire.EventTTL, e.Old
			case what < 4 && existed:
				e.Kind = rapid.SampledFrom([]wire.EventKind{wire.EventRemoved, wire.EventExpired, wire.EventEvicted}).Draw(t, "end")
				delete(all, key)
			default:
				all[key] = rapid.IntRange(0, 9).Draw(t, "value")
				e.New = encoded(all[key])
				e.Kind = wire.EventAdded
				if existed {
					e.Kind = wire.EventUpdated
				}
			}
			omitted := e.Kind != wire.EventCleared && rapid.IntRange(0, 9).Draw(t, "omit") == 0
			if omitted {
				e.Flags |= wire.EventOmitted
				if e.Old = nil; rapid.Bool().Draw(t, "both") || e.Kind == wire.EventTTL {
					e.New = nil
				}
			}

			out, sure, heard := v.see(&e, everyKind)
			if heard && !v.may(&e) {
				t.Fatalf("%+v is heard of, and was ruled out by its key", e)
			}
			if !sure && (!omitted || key == "always" || key == "never") {
				t.Fatalf("%+v is unsure", e)
			}
			_, had := seen[key]
			switch {
			case !heard:
			case out.Kind == wire.EventCleared:
				clear(seen)
				clear(unsure)
			case out.Kind == wire.EventLost:
				t.Fatalf("%+v is told of as lost", e)
			case !sure && (out.Kind == wire.EventAdded || out.Kind == wire.EventUpdated) && out.New == nil:
				unsure[key] = true
			case out.Kind == wire.EventAdded || out.Kind == wire.EventUpdated || out.Kind == wire.EventTTL:
				if sure && !unsure[key] && had != (out.Kind != wire.EventAdded) {
					t.Fatalf("%+v comes as %+v; the view has it: %t", e, out, had)
				}
				if out.Kind == wire.EventAdded && out.Old != nil {
					t.Fatalf("%+v comes with the old value", out)
				}
				// An event without its value says only that the entry is in the view.
				if unsure[key] = out.New == nil; out.New != nil {
					var n int
					if err := (codec.Msgpack{}).Decode(out.New, &n); err != nil {
						t.Fatal(err)
					}
					seen[key] = n
				} else {
					seen[key] = all[key]
				}
			default:
				if sure && !unsure[key] && !had {
					t.Fatalf("%+v leaves a view that has it not", e)
				}
				if out.New != nil {
					t.Fatalf("%+v comes with the new value", out)
				}
				delete(seen, key)
				delete(unsure, key)
			}

			want := map[string]int{}
			for k, n := range all {
				if matches(k, n) && !unsure[k] {
					want[k] = n
				}
			}
			got := maps.Clone(seen)
			for k := range unsure {
				if unsure[k] {
					delete(got, k)
				}
			}
			if !maps.Equal(got, want) {
				t.Fatalf("after %+v, seen as %+v: the view is %v, want %v", e, out, got, want)
			}
		}
	})
}

// What cannot be decided reaches also a listener that hears of no updates: as LOST.
func TestViewOfWhatNobodyKnows(t *testing.T) {
	v, err := viewOf("watch", "m", Gt("this", 5), reflect.TypeFor[string]())
	noErr(t, err)
	e := wire.Event{Pos: 7, Version: 9, Kind: wire.EventUpdated, Flags: wire.EventOmitted, Key: []byte("\xa1a")}
	added, updated, removed := uint16(1<<wire.EventAdded), uint16(1<<wire.EventUpdated), uint16(1<<wire.EventRemoved)
	for _, c := range []struct {
		kinds uint16
		now   []byte
		want  wire.EventKind
	}{
		{everyKind, nil, wire.EventUpdated}, {updated, nil, wire.EventUpdated}, {added, nil, wire.EventLost}, {removed, nil, wire.EventLost},
		{everyKind, []byte{7}, wire.EventUpdated}, {added, []byte{7}, wire.EventLost}, {removed, []byte{3}, wire.EventRemoved}, {added, []byte{3}, 0},
		{1 << wire.EventExpired, nil, 0},
	} {
		e.New = c.now
		out, _, heard := v.see(&e, c.kinds)
		if !heard {
			out.Kind = 0
		}
		if out.Kind != c.want || out.Kind == wire.EventLost && (out.Key != nil || out.Pos != 7 || out.Version != 9) {
			t.Errorf("kinds %b, new %v: %+v, want %d", c.kinds, c.now, out, c.want)
		}
	}
}

func TestMatchingRefuses(t *testing.T) {
	g := newEventGrid(t, 1, 3, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	m := opened[int, string](t, c, "m")
	for _, opts := range [][]ListenerOption{{Matching(nil)}, {Matching(SQL("a >"))}, {Matching(KeyGlob("*"))}, {Matching(Eq("a", 1)), Matching(Eq("a", 1))},
		{Matching(Not(And(KeyGlob("*"), Eq("a", 1))))}} {
		_, err := m.AddEntryListener(t.Context(), EntryListener[int, string]{}, opts...)
		wantErr(t, err, ErrInvalid)
	}
}
