package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// An error says once what it is, whichever sentinel it wraps and however often the errors below it say so too.
func TestErrorsSayOnceWhatTheyAre(t *testing.T) {
	for code, sentinel := range sentinels {
		if sentinel == nil {
			continue
		}
		text := sentinel.Error()
		inner := &Error{Op: "get", Partition: -1, Err: sentinel, Hint: "no reply"}
		for _, e := range []*Error{
			{Op: "set", Partition: -1, Err: sentinel, Hint: text},
			{Op: "set", Partition: -1, Err: sentinel, Hint: text + ": the reason"},
			{Op: "set", Name: "m", Partition: 3, Err: sentinel, Hint: "key: " + fmt.Errorf("%w: the reason", sentinel).Error()},
			{Op: "set", Partition: -1, Err: because(sentinel, context.Canceled), Hint: inner.Error()},
			{Op: "set", Partition: -1, Err: because(sentinel, context.Canceled), Hint: (&Error{Op: "get", Partition: -1, Err: because(sentinel, context.Canceled), Hint: "x"}).Error()},
			{Op: "set", Partition: -1, Err: fmt.Errorf("encode: %w", sentinel), Hint: text + ": " + text + ": the reason"},
		} {
			if twice := saidTwice(e); twice != "" || strings.Count(e.Error(), text) != 1 {
				t.Errorf("code %v: %v", wire.Code(code), e)
			}
			if strings.Contains(e.Hint, "the reason") && !strings.Contains(e.Error(), "the reason") {
				t.Errorf("code %v: the reason is gone: %v", wire.Code(code), e)
			}
		}
	}
}

// The same of the errors that callers meet.
func TestRefusalsSayOnceWhatTheyAre(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	c := connected(t, g)
	ctx := t.Context()
	m := opened[string, string](t, c, "m")
	long := strings.Repeat("x", 2<<20)
	refusals := map[string]func() error{
		"map name too long":   func() error { _, err := OpenMap[string, string](c, strings.Repeat("x", 256)); return err },
		"map name empty":      func() error { _, err := OpenMap[string, string](c, ""); return err },
		"map name of control": func() error { _, err := OpenMap[string, string](c, "a\nb"); return err },
		"key too large":       func() error { return m.Set(ctx, long, "v") },
		"value too large":     func() error { return m.Set(ctx, "a", long) },
		"value of no kind": func() error {
			return opened[string, any](t, c, "m").Set(ctx, "a", func() {})
		},
		"key of no kind": func() error {
			return opened[any, string](t, c, "m").Set(ctx, struct{ C chan int }{}, "a")
		},
		"negative TTL":    func() error { return m.Set(ctx, "a", "v", WithTTL(-1)) },
		"nil option":      func() error { return m.Set(ctx, "a", "v", nil) },
		"no such version": func() error { return m.Set(ctx, "a", "v", IfVersion(9)) },
		"another type": func() error {
			noErr(t, m.Set(ctx, "typed", "text"))
			_, _, err := opened[string, int](t, c, "m").Get(ctx, "typed")
			return err
		},
		"executor": func() error { _, err := Submit[int](ctx, c.Executor(""), "t", 1); return err },
		"executor too long": func() error {
			_, err := Submit[int](ctx, c.Executor(strings.Repeat("x", 300)), "t", 1)
			return err
		},
		"no such member":    func() error { _, err := SubmitToMember[int](ctx, c.Executor("e"), "nobody", "t", 1); return err },
		"glob":              func() error { _, err := m.RemoveAll(ctx, KeyGlob("[")); return err },
		"map configuration": func() error { return c.SetMapConfig(ctx, "m", MapConfig{TTL: new(-time.Second)}) },
		"pattern":           func() error { return c.SetMapConfig(ctx, "[", MapConfig{}) },
		"another cluster":   func() error { _, err := Connect(ctx, g.Addrs(), WithClusterName("other")); return err },
		"bad option":        func() error { _, err := Connect(ctx, g.Addrs(), WithTimeout(-1), WithTLS(nil)); return err },
		"nobody there": func() error {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			_, err := Connect(short, []string{"127.0.0.1:1"})
			return err
		},
		"recover": func() error {
			_, err := RecoverCluster(ctx, g.Addr(0), []string{"m9"}, WithClusterName("other"))
			return err
		},
	}
	for name, refused := range refusals {
		err := refused()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if _, known := CodeOf(err); !known {
			t.Errorf("%s: %v wraps no sentinel", name, err)
		}
		if twice := saidTwice(err); twice != "" {
			t.Errorf("%s: %q is said more than once: %v", name, twice, err)
		}
	}

	// What members answer is said after the sentinel, and may begin with its text.
	for code := range sentinels {
		code := wire.Code(code)
		sentinel := sentinelOf(code)
		if sentinel == nil {
			continue
		}
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op != wire.OpSet {
				return fakegrid.Verdict{}
			}
			return fakegrid.Verdict{Code: code, Body: []byte(sentinel.Error() + ": the reason")}
		})
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		err := m.Set(short, "a", "v")
		cancel()
		if twice := saidTwice(err); twice != "" {
			t.Errorf("%v: %q is said more than once: %v", code, twice, err)
		}
	}
	if err := (codec.Msgpack{}).Decode([]byte{0xc1}, new(string)); errors.Is(err, ErrInvalid) {
		t.Error("codec knows of this package")
	}
}

// What was repeated until its time was up names operation, member and reason once.
func TestGivingUpSaysOnceWhatItIs(t *testing.T) {
	for text, last := range map[string]error{
		"remove_member at member m: unavailable (context deadline exceeded): nobody leads":                &Error{Op: "remove_member", Partition: -1, Member: "m", Err: ErrUnavailable, Hint: "UNAVAILABLE: nobody leads"},
		"remove_member: unavailable (context deadline exceeded)":                                          &Error{Op: "remove_member", Partition: -1, Err: ErrUnavailable},
		"remove_member at member m: unavailable (context deadline exceeded): member left":                 &Error{Op: "remove_member", Partition: -1, Member: "m", Err: ErrMemberLeft},
		"remove_member at member m: unavailable (context deadline exceeded): member left: it is stopping": &Error{Op: "remove_member", Partition: -1, Member: "m", Err: ErrMemberLeft, Hint: "it is stopping"},
		"remove_member: unavailable (context deadline exceeded): another":                                 errors.New("another"),
	} {
		e := gaveUp(wire.OpRemoveMember, context.DeadlineExceeded, last)
		if e.Error() != text {
			t.Errorf("%v, want %s", e, text)
		}
		if !errors.Is(e, ErrUnavailable) || !errors.Is(e, context.DeadlineExceeded) {
			t.Errorf("%v is neither", e)
		}
	}
}

// A refused value tells what to change, and a refused configuration does not repeat the words of the wire.
func TestRefusalsTellWhatToDo(t *testing.T) {
	c := connected(t, fakegrid.New(t, 1, 3))
	err := opened[string, string](t, c, "m").Set(t.Context(), "a", strings.Repeat("x", 2<<20))
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "WithMaxValue") || !strings.Contains(err.Error(), "limits.max_value") {
		t.Errorf("a value too large: %v", err)
	}

	err = c.SetMapConfig(t.Context(), "a[", MapConfig{})
	if !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "malformed") || !strings.Contains(err.Error(), "glob") {
		t.Errorf("a pattern that is none: %v", err)
	}
}
