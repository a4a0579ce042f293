package sdk

import (
	"errors"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A page that has no keys but says where to go on is no end; one that does not go on is an error.
func TestPagesWithoutKeys(t *testing.T) {
	g, _, m := one(t)
	noErr(t, m.Set(t.Context(), "b", "v"))
	next := [][]byte{[]byte("\xa1a"), []byte("\xa1aa")}
	asked := 0
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Op != wire.OpScan || asked >= len(next) || req.Partition != 0 {
			return fakegrid.Verdict{}
		}
		asked++
		a := wire.Answer{ID: req.ID, Time: g.Now(), Body: wire.AppendScanResult(nil, &wire.ScanResult{More: true, Next: next[asked-1]})}
		return fakegrid.Verdict{Raw: wire.AppendAnswer(nil, &a)}
	})
	got := ""
	for k, err := range m.Keys(t.Context()) {
		noErr(t, err)
		got += k
	}
	if got != "b" || asked != 2 {
		t.Errorf("%q after %d pages without keys", got, asked)
	}
}

// Pages that lead back to where an earlier page began end the walk with an error, also if there are others between.
func TestPagesInACircle(t *testing.T) {
	for length := 1; length <= 9; length++ {
		g, _, m := one(t)
		noErr(t, m.Set(t.Context(), "b", "v"))
		asked := 0
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op != wire.OpScan || req.Partition != 0 {
				return fakegrid.Verdict{}
			}
			// A walk that goes on for ever comes to an end, so that the test fails.
			if asked++; asked > 100 {
				return fakegrid.Verdict{}
			}
			next := []byte{0xa1, byte('a' + asked%length)}
			a := wire.Answer{ID: req.ID, Time: g.Now(), Body: wire.AppendScanResult(nil, &wire.ScanResult{More: true, Next: next})}
			return fakegrid.Verdict{Raw: wire.AppendAnswer(nil, &a)}
		})
		var last error
		for _, err := range m.Keys(t.Context()) {
			last = err
		}
		var e *Error
		if !errors.As(last, &e) || e.Partition != 0 || asked > 4*length {
			t.Errorf("a circle of %d pages: %v after %d pages", length, last, asked)
		}
	}
}
