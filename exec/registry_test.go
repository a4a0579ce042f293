package exec

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk"
)

func noop(context.Context, TaskContext, any) (any, error) { return nil, nil }

func TestRegisterTaskPanics(t *testing.T) {
	r := NewRegistry()
	RegisterTask(r, "taken", noop)
	for _, c := range []struct{ name, text string }{
		{"", "is empty"}, {"taken", "twice"}, {strings.Repeat("x", 256), "256 bytes"}, {"a\x00", "control"}, {"\xff", "UTF-8"},
	} {
		text := panicText(func() { RegisterTask(r, c.name, noop) })
		if !strings.Contains(text, c.text) {
			t.Errorf("name %q: panic %q, want %q", c.name, text, c.text)
		}
	}
	if text := panicText(func() { RegisterTask[any, any](r, "nil", nil) }); !strings.Contains(text, "no function") {
		t.Errorf("nil function: panic %q", text)
	}
	RegisterTask(r, strings.Repeat("é", 127), noop)
	if got := r.Tasks(); len(got) != 2 || got[0] != "taken" {
		t.Errorf("tasks %v", got)
	}
}

func panicText(f func()) (text string) {
	defer func() { text, _ = recover().(string) }()
	f()
	return ""
}

type foreignContext struct{ TaskContext }

func TestLocalNeedsATask(t *testing.T) {
	n := 0
	for _, err := range Local[string, int](foreignContext{}, "m") {
		n++
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("a foreign context: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d elements", n)
	}
}
