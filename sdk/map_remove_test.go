package sdk

import (
	"fmt"
	"path"
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
