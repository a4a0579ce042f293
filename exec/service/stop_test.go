package service

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestStopEndsTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *Config) { c.Pool = 2 })
		g := registerGate(h.reg)
		exec.RegisterTask(h.reg, "finish", func(ctx context.Context, _ exec.TaskContext, _ any) (string, error) {
			<-ctx.Done()
			return "saved", nil
		})
		heeds, finishes, waits := h.submit("gate", "a"), h.submit("finish", nil), h.submit("gate", "never")
		<-g.started
		begin := time.Now()
		h.Stop()
		if took := time.Since(begin); took != 0 {
			t.Errorf("Stop took %v although every task heeded it", took)
		}
		if err := <-g.ended; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopping") {
			t.Errorf("the ctx ended by %v", err)
		}
		h.wantCode(heeds, wire.CodeMemberLeft)
		h.wantCode(waits, wire.CodeMemberLeft)
		if got := decode[string](t, h.wantCode(finishes, wire.CodeOK).Value); got != "saved" {
			t.Errorf("a task that ended well has %q", got)
		}
		if len(g.started) != 0 {
			t.Error("a waiting task ran during Stop")
		}
		if code, _ := h.Submit(h.body("gate", "late")); code != wire.CodeClosed {
			t.Errorf("Submit after Stop: %v", code)
		}
		if code, _ := h.Submit(wire.TaskBody{ID: waits, Executor: "ex", Task: "gate", Attempt: 1}); code != wire.CodeOK {
			t.Errorf("a copy of what was accepted before Stop: %v", code)
		}
		h.Stop()
		if err := h.Start(t.Context()); !errors.Is(err, sdk.ErrClosed) {
			t.Errorf("Start after Stop: %v", err)
		}
		if st := h.Stats(); len(st.Executors) != 0 || st.ArgBytes != 0 {
			t.Errorf("%+v after Stop", st)
		}
	})
}

func TestStopDoesNotWaitForStubbornTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *Config) { c.StopTimeout = 3 * time.Second })
		g := registerGate(h.reg)
		id := h.submit("stubborn", "a")
		<-g.started
		begin := time.Now()
		second := make(chan time.Duration)
		go func() {
			synctest.Wait()
			h.Stop()
			second <- time.Since(begin)
		}()
		h.Stop()
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("Stop took %v", took)
		}
		if took := <-second; took != 3*time.Second {
			t.Errorf("the second Stop returned after %v, before the first had done its work", took)
		}
		h.wantCode(id, wire.CodeMemberLeft)
		if !strings.Contains(h.log.String(), "stubborn") {
			t.Errorf("the log does not name the task:\n%s", h.log)
		}
		close(g.release)
		synctest.Wait()
		h.wantCode(id, wire.CodeMemberLeft)
	})
}

func TestStopBeforeStart(t *testing.T) {
	h := newHarness(t, nil)
	s, err := New(h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	exec.RegisterTask(h.reg, "x", func(context.Context, exec.TaskContext, any) (any, error) { return nil, nil })
	if code, _ := s.Submit(h.body("x", nil)); code != wire.CodeNotReady {
		t.Errorf("Submit before Start: %v", code)
	}
	s.Stop()
	s.Stop()
	if err := s.Start(t.Context()); !errors.Is(err, sdk.ErrClosed) {
		t.Errorf("Start after Stop: %v", err)
	}
	if err := h.Start(t.Context()); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("second Start: %v", err)
	}
}

// The end of Start's ctx does not reach tasks, its values do.
func TestStartContext(t *testing.T) {
	h := newHarness(t, nil)
	s, err := New(h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	cancel()
	exec.RegisterTask(h.reg, "value", func(ctx context.Context, _ exec.TaskContext, _ any) (any, error) { return ctx.Value(key{}), ctx.Err() })
	b := h.body("value", nil)
	if code, text := s.Submit(b); code != wire.CodeOK {
		t.Fatal(code, text)
	}
	if r := s.Wait(t.Context(), b.ID); r.Code != wire.CodeOK || decode[string](t, r.Value) != "v" {
		t.Errorf("%+v", r)
	}
}
