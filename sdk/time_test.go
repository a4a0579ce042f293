package sdk

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// in runs f with a grid of two members, one partition and a map in it, on a clock that moves when everybody waits.
func in(t *testing.T, f func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := fakegrid.NewPiped(t, 2, 1)
		c := connected(t, g, WithDialer(g.Dial))
		c.nearOnce.Do(func() {}) // no call but those of the test
		f(t, g, c, opened[string, string](t, c, "m"))
	})
}

func lasting(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A write lives no longer than members accept its identity, however long its context lasts; what became of it is unknown.
func TestLongWriteEnds(t *testing.T) {
	in(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			return fakegrid.Verdict{Ignore: req.Op == wire.OpSet}
		})
		g.Record()
		start := time.Now()
		err := m.Set(lasting(t, time.Hour), "a", "v")
		wantErr(t, err, ErrUnknownOutcome)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context has not ended: %v", err)
		}
		if d := time.Since(start); d < maxCall-clockMargin || d > maxCall {
			t.Errorf("after %v", d)
		}
		if n := len(g.Requests(wire.OpSet)); n != 1 {
			t.Errorf("%d copies", n)
		}
		g.Move(0, -1, true)
		start = time.Now()
		wantErr(t, m.Set(lasting(t, time.Hour), "a", "v"), ErrUnavailable)
		if d := time.Since(start); d < maxCall-clockMargin || d > maxCall {
			t.Errorf("without an owner after %v", d)
		}
	})
}

// A read is asked again when the deadline of its first copy has passed, for as long as its context lasts.
func TestLongReadIsAskedAgain(t *testing.T) {
	in(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		noErr(t, m.Set(t.Context(), "a", "v"))
		asked := 0
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op == wire.OpGet {
				asked++
			}
			return fakegrid.Verdict{Ignore: req.Op == wire.OpGet && asked < 3}
		})
		start := time.Now()
		v, _, err := m.Get(lasting(t, time.Hour), "a")
		if v != "v" || err != nil || asked != 3 {
			t.Errorf("%q %v after %d copies", v, err, asked)
		}
		if d := time.Since(start); d < 2*(maxCall-clockMargin) || d > 2*maxCall {
			t.Errorf("after %v", d)
		}
		asked = -1000
		start = time.Now()
		_, _, err = m.Get(lasting(t, 90*time.Second), "a")
		wantErr(t, err, ErrTimeout, context.DeadlineExceeded)
		if d := time.Since(start); d != 90*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// A member that stops without closing its connections is given up after one second of silence and two more after a ping.
func TestSilentMemberIsGivenUp(t *testing.T) {
	in(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		noErr(t, m.Set(t.Context(), "a", "v"))
		thaw := g.Freeze(0)
		defer thaw()
		time.AfterFunc(500*time.Millisecond, func() { g.Move(0, 1, false) }) // others know, but the client does not ask while it waits
		start := time.Now()
		if v, _, err := m.Get(t.Context(), "a"); v != "v" || err != nil {
			t.Fatal(v, err)
		}
		if d := time.Since(start); d < 3*time.Second || d > 3*time.Second+500*time.Millisecond {
			t.Errorf("after %v", d)
		}
	})
}

// The client's timeout is kept to within a tenth of a second, and a shorter context ends the call on the spot.
func TestTimeoutIsKept(t *testing.T) {
	in(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			return fakegrid.Verdict{Ignore: req.Partition != wire.NoPartition}
		})
		start := time.Now()
		_, _, err := m.Get(context.Background(), "a")
		wantErr(t, err, ErrTimeout)
		if d := time.Since(start); d < 10*time.Second || d > 10*time.Second+100*time.Millisecond {
			t.Errorf("after %v", d)
		}
		start = time.Now()
		_, _, err = m.Get(lasting(t, 1234*time.Millisecond), "a")
		wantErr(t, err, ErrTimeout, context.DeadlineExceeded)
		if d := time.Since(start); d != 1234*time.Millisecond {
			t.Errorf("after %v", d)
		}
	})
}
