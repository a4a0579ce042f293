package app

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk"
)

// looks are what a command that waits sees, one after the other and the last for ever.
type looks []struct {
	done bool
	err  error
}

func (l looks) wait(t *testing.T, within time.Duration) (seen int, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		inv := &invocation{Process: &Process{Err: new(bytes.Buffer)}}
		err = inv.waitFor(ctx, "drain m1", func(context.Context) (bool, string, error) {
			at := l[min(seen, len(l)-1)]
			seen++
			return at.done, fmt.Sprintf("look %d", seen), at.err
		})
	})
	return seen, err
}

// What was begun is waited for although no member can answer for a while, as when they elect another leader. A refusal ends the wait at
// any time, and so does that nobody answers where nothing was begun.
func TestWaitFor(t *testing.T) {
	silent := fmt.Errorf("x: %w", sdk.ErrUnavailable)
	late := fmt.Errorf("x: %w", sdk.ErrTimeout)
	refused := fmt.Errorf("x: %w", sdk.ErrConflict)
	for name, c := range map[string]struct {
		looks looks
		seen  int
		err   error
		text  string
	}{
		"done":                      {looks: looks{{}, {}, {done: true}}, seen: 3},
		"done in the end":           {looks: looks{{}, {err: silent}, {err: late}, {}, {done: true}}, seen: 5},
		"nobody answers":            {looks: looks{{err: silent}}, seen: 1, err: sdk.ErrUnavailable},
		"refused":                   {looks: looks{{err: refused}}, seen: 1, err: sdk.ErrConflict},
		"refused later":             {looks: looks{{}, {err: refused}}, seen: 2, err: sdk.ErrConflict},
		"not done":                  {looks: looks{{}, {}}, seen: 40, text: "drain m1: the time is up before it is done; the cluster goes on by itself: look 40"},
		"nobody answers in the end": {looks: looks{{}, {}, {err: silent}}, seen: 40, text: "drain m1: the time is up before it is done; the cluster goes on by itself: look 2"},
	} {
		seen, err := c.looks.wait(t, 10*time.Second-time.Millisecond)
		require.Equal(t, c.seen, seen, name)
		switch {
		case c.text != "":
			require.EqualError(t, err, c.text, name)
			require.Equal(t, exitTimeout, exitCode(err), name)
		case c.err != nil:
			require.ErrorIs(t, err, c.err, name)
		default:
			require.NoError(t, err, name)
		}
	}
}
