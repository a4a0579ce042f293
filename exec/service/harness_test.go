package service

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"log/slog"
	"sync"
	"testing"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var testMember = sdk.Member{ID: "6d1f8f0c-0000-0000-0000-000000000001", Name: "m1", Addr: "127.0.0.1:5701", Version: "1.2.3"}

// harness is a Service that has started, with what a test needs around it.
type harness struct {
	*Service
	t    *testing.T
	reg  *exec.Registry
	log  *lockedBuffer
	next uint64
}

// newHarness returns a started service over a registry with the task "block"; it is stopped at the end of the test.
func newHarness(t *testing.T, change func(*Config)) *harness {
	t.Helper()
	h := &harness{t: t, reg: exec.NewRegistry(), log: &lockedBuffer{}}
	cfg := Config{
		Registry:     h.reg,
		Member:       func() sdk.Member { return testMember },
		Client:       func() *sdk.Client { return nil },
		LocalEntries: func(context.Context, string) iter.Seq2[RawEntry, error] { return func(func(RawEntry, error) bool) {} },
		Logger:       slog.New(slog.NewTextHandler(h.log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	h.Service = s
	if err := s.Start(t.Context()); err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(s.Stop)
	return h
}

// body returns a new task body with its own ID.
func (h *harness) body(task string, arg any) wire.TaskBody {
	h.t.Helper()
	h.next++
	return wire.TaskBody{ID: taskID(h.next), Executor: "ex", Task: task, Arg: encode(h.t, arg), Attempt: 1}
}

// submit submits a new task and returns its ID.
func (h *harness) submit(task string, arg any) wire.ID {
	h.t.Helper()
	return h.submitBody(h.body(task, arg))
}

func (h *harness) submitBody(b wire.TaskBody) wire.ID {
	h.t.Helper()
	if code, text := h.Submit(b); code != wire.CodeOK {
		h.t.Fatalf("Submit(%s): %v: %s", b.Task, code, text)
	}
	return b.ID
}

// result waits for a task's result.
func (h *harness) result(id wire.ID) wire.TaskResult {
	h.t.Helper()
	r := h.Wait(h.t.Context(), id)
	if !r.Done {
		h.t.Fatalf("task %v: not done at the end of the test", id)
	}
	return r
}

// wantCode waits for a task's result and checks its code.
func (h *harness) wantCode(id wire.ID, want wire.Code) wire.TaskResult {
	h.t.Helper()
	r := h.result(id)
	if r.Code != want {
		h.t.Fatalf("task %v ended in %v (%s), want %v", id, r.Code, r.Message, want)
	}
	return r
}

// gate is a task that tells when it runs and returns when it is released, heeding its ctx or not.
type gate struct {
	started chan string   // gets the argument of each call
	release chan struct{} // closed or sent to: one call returns
	ended   chan error    // gets what ended the ctx of a call that heeded it
}

// registerGate registers the task "gate", which heeds its ctx, and "stubborn", which does not.
func registerGate(r *exec.Registry) *gate {
	g := &gate{started: make(chan string, 64), release: make(chan struct{}), ended: make(chan error, 64)}
	exec.RegisterTask(r, "gate", func(ctx context.Context, _ exec.TaskContext, name string) (string, error) {
		g.started <- name
		select {
		case <-g.release:
			return name, nil
		case <-ctx.Done():
			g.ended <- context.Cause(ctx)
			return "", ctx.Err()
		}
	})
	exec.RegisterTask(r, "stubborn", func(_ context.Context, _ exec.TaskContext, name string) (string, error) {
		g.started <- name
		<-g.release
		return name, nil
	})
	return g
}

func taskID(n uint64) (id wire.ID) {
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := codec.Msgpack{}.Encode(nil, v)
	if err != nil {
		t.Fatalf("encode %v: %v", v, err)
	}
	return b
}

func decode[T any](t testing.TB, b []byte) (v T) {
	t.Helper()
	if err := (codec.Msgpack{}).Decode(b, &v); err != nil {
		t.Fatalf("decode %x: %v", b, err)
	}
	return v
}

// lockedBuffer is a log that tests can read.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
