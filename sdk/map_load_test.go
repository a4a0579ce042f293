package sdk

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
)

func TestGetOrLoad(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	ctx := t.Context()
	loads := 0
	load := func(_ context.Context, key string) (string, error) {
		loads++
		return "value of " + key, nil
	}
	for range 3 {
		if v, err := m.GetOrLoad(ctx, "k", load, WithTTL(time.Hour)); v != "value of k" || err != nil {
			t.Fatal(v, err)
		}
	}
	if loads != 1 {
		t.Fatalf("loaded %d times", loads)
	}
	if v, found, err := m.EntryView(ctx, "k"); !found || err != nil || v.TTL != time.Hour {
		t.Fatalf("%+v, %v, %v", v, found, err)
	}

	// An error is the caller's, as it is, and nothing is stored.
	broken := errors.New("the database is away")
	if v, err := m.GetOrLoad(ctx, "e", func(context.Context, string) (string, error) { return "x", broken }); v != "" || err != broken { //nolint:errorlint // as it is
		t.Fatal(v, err)
	}
	if v, err := m.GetOrLoad(ctx, "e", load); v != "value of e" || err != nil {
		t.Fatal(v, err)
	}

	// A value that was written meanwhile is the one.
	v, err := m.GetOrLoad(ctx, "w", func(context.Context, string) (string, error) { return "loaded", m.Set(ctx, "w", "written") })
	if v != "written" || err != nil {
		t.Fatal(v, err)
	}

	// One that cannot be stored comes all the same.
	long := strings.Repeat("x", 2<<20)
	v, err = m.GetOrLoad(ctx, "l", func(context.Context, string) (string, error) { return long, nil })
	if wantErr(t, err, ErrTooLarge); v != long {
		t.Fatalf("%d bytes", len(v))
	}
	if v, err := m.GetOrLoad(ctx, "l", load); v != "value of l" || err != nil {
		t.Fatal(v, err)
	}
}

// A load that panics lets the next caller load.
func TestGetOrLoadPanics(t *testing.T) {
	m := opened[string, string](t, connected(t, fakegrid.New(t, 1, 3)), "m")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
		}()
		_, _ = m.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) { panic("load") })
	}()
	if v, err := m.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) { return "v", nil }); v != "v" || err != nil {
		t.Fatal(v, err)
	}
}

func TestGetOrLoadRefuses(t *testing.T) {
	m := opened[string, string](t, connected(t, fakegrid.New(t, 1, 3)), "m")
	load := func(context.Context, string) (string, error) {
		t.Error("loaded")
		return "", nil
	}
	for _, o := range []WriteOption{IfVersion(1), WithTTL(-1), nil} {
		_, err := m.GetOrLoad(t.Context(), "k", load, o)
		wantErr(t, err, ErrInvalid)
	}
	_, err := m.GetOrLoad(t.Context(), "k", nil)
	wantErr(t, err, ErrInvalid)
	_, err = m.GetOrLoad(t.Context(), strings.Repeat("k", 70_000), load)
	wantErr(t, err, ErrTooLarge)
}
