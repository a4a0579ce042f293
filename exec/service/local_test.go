package service

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

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
		"ages": {{Key: encode(t, "ann"), Value: encode(t, 30)}, {Key: encode(t, "bob"), Value: encode(t, "forty")}, {Key: encode(t, 7), Value: encode(t, 1)}, {Key: encode(t, "cid"), Value: encode(t, 50)}},
	}
	h := newHarness(t, func(c *Config) { c.LocalEntries = localMaps(entries, sdk.ErrUnavailable) })
	exec.RegisterTask(h.reg, "ages", func(_ context.Context, tc exec.TaskContext, name string) (string, error) {
		var seen []string
		for e, err := range exec.Local[string, int](tc, name) {
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
		c.LocalEntries = localMaps(map[string][]RawEntry{"m": {{Key: encode(t, "a"), Value: encode(t, 1)}, {Key: encode(t, "b"), Value: encode(t, 2)}}}, nil)
	})
	got := make(chan error, 1)
	seen := make(chan string)
	resume := make(chan struct{})
	exec.RegisterTask(h.reg, "walk", func(ctx context.Context, tc exec.TaskContext, _ any) (any, error) {
		for e, err := range exec.Local[string, int](tc, "m") {
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
