package sdk

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A write that was sent and not answered has an unknown outcome; a read has not, whatever became of it.
func TestUnanswered(t *testing.T) {
	g, c, m := one(t)
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		return fakegrid.Verdict{Ignore: req.Partition != wire.NoPartition}
	})
	err := m.Set(short(t), "a", "v")
	wantErr(t, err, ErrUnknownOutcome, context.DeadlineExceeded)
	if Retryable(err) {
		t.Error("retryable")
	}
	_, _, err = m.Get(short(t), "a")
	wantErr(t, err, ErrTimeout, context.DeadlineExceeded)
	if errors.Is(err, ErrUnknownOutcome) || !Retryable(err) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	wantErr(t, m.Set(ctx, "a", "v"), context.Canceled)
	wantErr(t, m.Set(ctx, "a", "v"), ErrTimeout, context.Canceled) // not even sent
	if low := (*c.writes.Load())[0].lowest(); low != 0 {
		t.Errorf("seq %d is still waited for", low)
	}
}

// The client's own timeout ends calls whose context has none.
func TestDefaultTimeout(t *testing.T) {
	g, _, m := one(t, WithTimeout(30*time.Millisecond))
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		return fakegrid.Verdict{Ignore: req.Partition != wire.NoPartition}
	})
	start := time.Now()
	err := m.Set(context.Background(), "a", "v")
	wantErr(t, err, ErrUnknownOutcome)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no context ended: %v", err)
	}
	_, _, err = m.Get(context.Background(), "a")
	wantErr(t, err, ErrTimeout)
	err = m.SetAll(context.Background(), map[string]string{"a": "v"})
	wantErr(t, err, ErrUnknownOutcome)
	if d := time.Since(start); d < 90*time.Millisecond || d > 5*time.Second {
		t.Errorf("three timeouts of 30 ms took %v", d)
	}
	g.OnRequest(nil)
	g.Move(0, -1, true)
	wantErr(t, m.Set(context.Background(), "a", "v"), ErrUnavailable)
}

// Deadlines are cluster time, which may be anything, and are the same in all copies of a write.
func TestDeadlineIsClusterTime(t *testing.T) {
	g := fakegrid.New(t, 1, 1)
	g.Skew(-300 * 24 * time.Hour)
	m := opened[string, string](t, connected(t, g), "m")
	g.Record()
	for timeout, want := range map[time.Duration]time.Duration{time.Second: time.Second, 30 * time.Second: 30 * time.Second, time.Hour: maxCall - clockMargin} {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		for _, op := range []wire.Op{wire.OpSet, wire.OpGet} {
			before := g.Now()
			if op == wire.OpSet {
				noErr(t, m.Set(ctx, "a", "v"))
			} else if _, _, err := m.Get(ctx, "a"); err != nil {
				t.Fatal(err)
			}
			seen := g.Requests(op)
			ahead := time.Duration(seen[len(seen)-1].Deadline-before) * time.Millisecond
			if ahead < want-200*time.Millisecond || ahead > want+200*time.Millisecond {
				t.Errorf("%v: with %v the deadline is %v ahead", op, timeout, ahead)
			}
		}
		cancel()
	}
}

// What members answer, and what that is to the caller: of a first attempt, and of one after an attempt of unknown outcome.
func TestAnswersAndOutcomes(t *testing.T) {
	type outcome struct{ first, later error }
	always := func(err error) outcome { return outcome{err, err} }
	for code, want := range map[wire.Code]outcome{
		wire.CodeConflict:        always(ErrConflict),
		wire.CodeTooLarge:        always(ErrTooLarge),
		wire.CodeInvalid:         always(ErrInvalid),
		wire.CodeLockNotHeld:     always(ErrLockNotHeld),
		wire.CodeFenced:          always(ErrFenced),
		wire.CodeNotFound:        always(ErrNotFound),
		wire.CodeStale:           always(ErrUnknownOutcome),
		wire.CodeInternal:        always(ErrUnknownOutcome),
		wire.Code(999):           always(ErrUnknownOutcome),
		wire.CodeExpired:         {ErrTimeout, ErrUnknownOutcome},
		wire.CodeTimeout:         {ErrTimeout, ErrUnknownOutcome},
		wire.CodeForbidden:       {ErrForbidden, ErrUnknownOutcome},
		wire.CodeUnauthenticated: {ErrUnauthenticated, ErrUnknownOutcome},
		wire.CodeOverloaded:      {ErrOverloaded, ErrUnknownOutcome},
		wire.CodeNotReady:        {ErrUnavailable, ErrUnknownOutcome},
		wire.CodeUnavailable:     {ErrUnavailable, ErrUnknownOutcome},
		wire.CodeClosed:          {ErrUnavailable, ErrUnknownOutcome},
		wire.CodeUnknown:         always(ErrUnknownOutcome),
	} {
		t.Run(code.String(), func(t *testing.T) {
			g, _, m := one(t)
			for _, later := range []bool{false, true} {
				lost := !later
				g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
					switch {
					case req.Op != wire.OpSet:
						return fakegrid.Verdict{}
					case !lost:
						lost = true
						return fakegrid.Verdict{Code: wire.CodeUnknown}
					}
					return fakegrid.Verdict{Code: code, Body: []byte("because")}
				})
				expect := want.first
				if later {
					expect = want.later
				}
				ctx := lasting(t, 30*time.Second)
				if slices.Contains([]error{ErrUnknownOutcome, ErrUnavailable, ErrTimeout}, expect) {
					ctx = short(t) // asked again until the time is up
				}
				err := m.Set(ctx, "a", "v")
				if !errors.Is(err, expect) {
					t.Errorf("later %v: %v, want %v", later, err, expect)
				}
				if open := errors.Is(err, ErrUnknownOutcome); open != (expect == ErrUnknownOutcome) {
					t.Errorf("later %v: %v", later, err)
				}
			}
		})
	}
}

// A read that the owner calls late is asked again while there is time: only its caller's clock counts.
func TestLateReadIsAskedAgain(t *testing.T) {
	g, _, m := one(t)
	noErr(t, m.Set(t.Context(), "a", "v"))
	for _, code := range []wire.Code{wire.CodeExpired, wire.CodeTimeout, wire.CodeUnknown, wire.CodeUnavailable, wire.CodeNotReady, wire.CodeClosed} {
		asked := 0
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op == wire.OpGet {
				if asked++; asked < 3 {
					return fakegrid.Verdict{Code: code}
				}
			}
			return fakegrid.Verdict{}
		})
		if v, _, err := m.Get(t.Context(), "a"); v != "v" || err != nil || asked != 3 {
			t.Errorf("%v: %q %v after %d", code, v, err, asked)
		}
	}
}
