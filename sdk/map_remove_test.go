package sdk

import (
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Removal goes on until all partitions have been seen to the end, each step under an identity of its own.
func TestRemoveAll(t *testing.T) {
	g := fakegrid.New(t, 3, 7)
	m := opened[string, string](t, connected(t, g), "m")
	ctx := t.Context()
	entries := make(map[string]string)
	want := 0
	for i := range 200 {
		key := fmt.Sprintf("%s:%d", []string{"user", "order"}[i%2], i)
		if entries[key] = "v"; strings.HasPrefix(key, "user:") {
			want++
		}
	}
	noErr(t, m.SetAll(ctx, entries))
	g.Record()
	if n, err := m.RemoveAll(ctx, KeyGlob("user:*")); n != want || err != nil {
		t.Fatal(n, err)
	}
	seqs := make(map[uint64]bool)
	for _, r := range g.Requests(wire.OpRemoveAll) {
		if r.Seq == 0 || seqs[r.Seq] {
			t.Fatalf("the steps' identities: %+v", r)
		}
		seqs[r.Seq] = true
	}
	if len(seqs) <= 7 {
		t.Fatalf("%d steps for 7 partitions of some 28 entries", len(seqs))
	}
	for key, err := range m.Keys(ctx) {
		noErr(t, err)
		if ok, _ := path.Match("order:*", key); !ok {
			t.Fatalf("%s is left", key)
		}
		want++
	}
	if want != 200 {
		t.Fatalf("%d entries removed and left, of 200", want)
	}
}

func TestRemoveAllRefuses(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	c := connected(t, g)
	ctx := t.Context()
	texts, numbers := opened[string, string](t, c, "m"), opened[int, string](t, c, "n")
	for name, f := range map[string]func() (int, error){
		"nothing":          func() (int, error) { return texts.RemoveAll(ctx, nil) },
		"an open set":      func() (int, error) { return texts.RemoveAll(ctx, KeyGlob("[a")) },
		"a trailing slash": func() (int, error) { return texts.RemoveAll(ctx, KeyGlob(`a\`)) },
		"numbers":          func() (int, error) { return numbers.RemoveAll(ctx, KeyGlob("*")) },
	} {
		n, err := f()
		if n != 0 {
			t.Errorf("%s: %d removed", name, n)
		}
		wantErr(t, err, ErrInvalid)
		if !strings.Contains(err.Error(), "remove_all") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := texts.RemoveAll(ctx, KeyGlob(strings.Repeat("a", wire.MaxGlob+1)))
	wantErr(t, err, ErrTooLarge)
}

// Any predicate may choose. A text travels as it was written, what a program combines as its text.
func TestRemoveAllByPredicate(t *testing.T) {
	type user struct {
		Age  int      `json:"age"`
		Tags []string `json:"tags"`
	}
	g := fakegrid.New(t, 3, 7)
	c := connected(t, g)
	m := opened[string, user](t, c, "m")
	ctx := t.Context()
	for _, test := range []struct {
		p    Predicate
		want int
		text string
	}{
		{SQL("age>=50 or\ttags[any]='even'"), 75, "age>=50 or\ttags[any]='even'"},
		{And(KeyGlob("user:?"), Not(Eq("age", 3))), 9, "__key GLOB 'user:?' AND NOT age = 3"},
		{In("age", 1, 2, 200), 2, "age IN (1, 2, 200)"},
	} {
		entries := make(map[string]user)
		for i := range 100 {
			u := user{Age: i}
			if i%2 == 0 {
				u.Tags = []string{"first", "even"}
			}
			entries[fmt.Sprint("user:", i)] = u
		}
		noErr(t, m.SetAll(ctx, entries))
		if where, err := test.p.predicate(reflect.TypeFor[string]()); where != (wire.Predicate{Kind: wire.PredicateText, Text: test.text}) {
			t.Fatalf("travels as %+v, %v", where, err)
		}
		if n, err := m.RemoveAll(ctx, test.p); n != test.want || err != nil {
			t.Fatalf("%s: %d, %v", test.text, n, err)
		}
		if n, err := m.Size(ctx); n != 100-test.want || err != nil {
			t.Fatalf("%d are left, %v", n, err)
		}
	}

	// Keys that are numbers may be compared, but not with globs, however deep.
	numbers := opened[int, string](t, c, "n")
	noErr(t, numbers.Set(ctx, 7, "x"))
	g.Record()
	for _, p := range []Predicate{SQL("NOT (this = 'x' OR __key GLOB '7')"), Not(And(Eq("this", "x"), Or(KeyGlob("*"), Eq("a", 1))))} {
		_, err := numbers.RemoveAll(ctx, p)
		wantErr(t, err, ErrInvalid)
	}
	_, err := numbers.RemoveAll(ctx, SQL("__key >"))
	if wantErr(t, err, ErrInvalid); !strings.Contains(err.Error(), "position 8") {
		t.Error(err)
	}
	if n := len(g.Requests(wire.OpRemoveAll)); n != 0 {
		t.Errorf("%d requests for what is no predicate of the map", n)
	}
	if n, err := numbers.RemoveAll(ctx, Gt("__key", 6.5)); n != 1 || err != nil {
		t.Error(n, err)
	}
}
