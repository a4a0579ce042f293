package exec

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
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

func TestConfigReportsEverything(t *testing.T) {
	_, err := New(Config{Pool: -1, Queue: -2, MaxExecutors: -1, MaxArgBytes: -1, MaxResults: -1, MaxResultBytes: -1, ResultTTL: -1, FetchedTTL: time.Microsecond,
		StopTimeout: -1, Executors: map[string]PoolConfig{"": {}, "x": {Pool: -3}}})
	if !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("New: %v", err)
	}
	for _, want := range []string{"no Registry", "no Member", "no Client", "no LocalEntries", "Pool is -1", "Queue is -2", "MaxExecutors", "MaxArgBytes", "MaxResults",
		"MaxResultBytes", "ResultTTL", "FetchedTTL is 1µs", "StopTimeout", "is empty", "pool -3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if c := (Config{Pool: 4, Executors: map[string]PoolConfig{"own": {Queue: 5}}}).WithDefaults(); true {
		if p, q := c.bounds("own"); p != 4 || q != 5 {
			t.Errorf("bounds of its own: %d, %d", p, q)
		}
		if p, q := c.bounds("other"); p != 4 || q != DefaultQueue {
			t.Errorf("bounds of another: %d, %d", p, q)
		}
	}
}

// localMaps yields fixed entries, as a member would.
func localMaps(entries map[string][]RawEntry, failure error) func(context.Context, string) iter.Seq2[RawEntry, error] {
	return func(ctx context.Context, name string) iter.Seq2[RawEntry, error] {
		return func(yield func(RawEntry, error) bool) {
			for _, e := range entries[name] {
				if ctx.Err() != nil {
					yield(RawEntry{}, ctx.Err())
					return
				}
				if !yield(e, nil) {
					return
				}
			}
			if failure != nil {
				yield(RawEntry{}, failure)
			}
		}
	}
}

func TestLocal(t *testing.T) {
	entries := map[string][]RawEntry{
		"ages": {{encode(t, "ann"), encode(t, 30)}, {encode(t, "bob"), encode(t, "forty")}, {encode(t, 7), encode(t, 1)}, {encode(t, "cid"), encode(t, 50)}},
	}
	h := newHarness(t, func(c *Config) { c.LocalEntries = localMaps(entries, sdk.ErrUnavailable) })
	RegisterTask(h.reg, "ages", func(_ context.Context, tc TaskContext, name string) (string, error) {
		var seen []string
		for e, err := range Local[string, int](tc, name) {
			switch {
			case errors.Is(err, sdk.ErrInvalid):
				seen = append(seen, "invalid")
			case errors.Is(err, sdk.ErrUnavailable):
				seen = append(seen, "unavailable")
			case err != nil:
				return "", err
			default:
				seen = append(seen, e.Key)
			}
			if e.Value == 50 && name == "stop" {
				break
			}
		}
		return strings.Join(seen, " "), nil
	})
	if got := decode[string](t, h.wantCode(h.submit("ages", "ages"), wire.CodeOK).Value); got != "ann invalid invalid cid unavailable" {
		t.Errorf("Local yields %q", got)
	}
	if got := decode[string](t, h.wantCode(h.submit("ages", "none"), wire.CodeOK).Value); got != "unavailable" {
		t.Errorf("Local of an empty map yields %q", got)
	}
}

// Local reads under the task's own ctx.
func TestLocalEndsWithTheTask(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.LocalEntries = localMaps(map[string][]RawEntry{"m": {{encode(t, "a"), encode(t, 1)}, {encode(t, "b"), encode(t, 2)}}}, nil)
	})
	got := make(chan error, 1)
	seen := make(chan string)
	resume := make(chan struct{})
	RegisterTask(h.reg, "walk", func(ctx context.Context, tc TaskContext, _ any) (any, error) {
		for e, err := range Local[string, int](tc, "m") {
			if err != nil {
				got <- err
				return nil, err
			}
			seen <- e.Key
			<-resume
		}
		got <- nil
		return nil, nil
	})
	b := h.body("walk", nil)
	b.Timeout = uint64(time.Hour / time.Millisecond) // a ctx of its own, below the one that Cancel ends
	id := h.submitBody(b)
	<-seen
	h.Cancel(id)
	close(resume)
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("Local went on after the task's end: %v", err)
	}
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
