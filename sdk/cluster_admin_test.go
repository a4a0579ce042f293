package sdk

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// What a member said why it cannot do what it is asked is what an operator is told when time is up, though nobody answered when it
// was asked last.
func TestReasonIsNotForgotten(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, _ *Map[string, string]) {
		var asked atomic.Int32
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op != wire.OpRebalance {
				return fakegrid.Verdict{}
			}
			if asked.Add(1) == 1 {
				return fakegrid.Verdict{Code: wire.CodeUnavailable, Body: []byte("no member leads the metadata group")}
			}
			return fakegrid.Verdict{Ignore: true}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*askTime)
		defer cancel()
		_, err := c.Rebalance(ctx)
		wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "no member leads the metadata group") {
			t.Errorf("%v", err)
		}
		if n := asked.Load(); n < 3 {
			t.Errorf("asked %d times", n)
		}
	})
}
