package sdk

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// bubble runs a test on a clock of its own, with a cluster of three members. It fails when a goroutine is left over.
func bubble(t *testing.T, f func(t *testing.T, cl *taskCluster, c *Client)) {
	t.Helper()
	// Pooled calls carry channels, which belong to one bubble.
	fresh := func() { calls = sync.Pool{New: calls.New} }
	fresh()
	t.Cleanup(fresh)
	synctest.Test(t, func(t *testing.T) {
		cl, c := newTaskCluster(t, 3)
		synctest.Wait() // connected to all
		f(t, cl, c)
	})
}

func get[R any](t *testing.T, f *Future[R], err error) R {
	t.Helper()
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	v, err := f.Get(t.Context())
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return v
}

func TestSubmitSpreadsOverReadyMembers(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		cl.change(func() { cl.members[1].info.State = string(MemberDraining) })
		synctest.Wait()
		ex := c.Executor("ex")
		for range 40 {
			f, err := Submit[string](t.Context(), ex, "echo", "x")
			if got := get(t, f, err); got != "x" {
				t.Fatalf("echo = %q", got)
			}
		}
		if a, b, d := len(cl.bodies(0)), len(cl.bodies(2)), len(cl.bodies(1)); a == 0 || b == 0 || d != 0 || a+b != 40 {
			t.Errorf("tasks by member: %d, %d, and %d on the draining one", a, b, d)
		}
		b := cl.bodies(0)[0]
		if b.Executor != "ex" || b.Task != "echo" || b.Attempt != 1 || b.Timeout != 0 || b.Keyed {
			t.Errorf("%+v", b)
		}
	})
}

func TestSubmitGoesOnWhereNothingWasAccepted(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		cl.mu.Lock()
		for _, m := range cl.members[:2] { // about to stop
			m.answer = func(*wire.Request) (wire.Code, []byte, verdict) { return wire.CodeClosed, nil, instead }
		}
		cl.mu.Unlock()
		ex := c.Executor("ex")
		for range 10 {
			f, err := Submit[int](t.Context(), ex, "echo", 5)
			get(t, f, err)
		}
		if n := len(cl.bodies(2)); n != 10 {
			t.Errorf("%d of 10 tasks ran", n)
		}
		cl.kill(2)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Submit[int](ctx, ex, "echo", 5); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with nobody to run it: %v", err)
		}
	})
}

func TestSubmitReportsRefusals(t *testing.T) {
	for code, want := range map[wire.Code]error{
		wire.CodeRejected: ErrRejected, wire.CodeOverloaded: ErrOverloaded, wire.CodeUnknownTask: ErrUnknownTask, wire.CodeForbidden: ErrForbidden,
	} {
		t.Run(code.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
				cl.once(1, wire.OpTaskSubmit, code, instead)
				_, err := SubmitToMember[int](t.Context(), c.Executor("ex"), "m1", "echo", 5)
				var e *Error
				if !errors.Is(err, want) || !errors.As(err, &e) || e.Member != cl.id(1) || e.Name != "ex" || e.Code != Code(code) || !strings.Contains(err.Error(), "as the test says") {
					t.Errorf("%v: %+v", err, e)
				}
			})
		})
	}
}

type tenantKey struct{ Tenant, User string }

func (k tenantKey) PartitionKey() any { return k.Tenant }

func TestSubmitToKeyOwner(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ex := c.Executor("ex")
		for _, key := range []any{"user:1001", 42, tenantKey{"acme", "ann"}} {
			routing := key
			if k, ok := key.(tenantKey); ok {
				routing = k.Tenant
			}
			partition := wire.PartitionOf(mustEncode(t, routing), 12)
			owner := partition % 3
			f, err := SubmitToKeyOwner[string](t.Context(), ex, key, "echo", "x")
			get(t, f, err)
			reqs := cl.requests(owner, wire.OpTaskSubmit)
			if len(reqs) == 0 {
				t.Fatalf("key %v: member %d was not asked", key, owner)
			}
			b := cl.bodies(owner)[len(reqs)-1]
			if req := reqs[len(reqs)-1]; req.Partition != uint32(partition) || !b.Keyed || !reflect.DeepEqual(b.Key, mustEncode(t, key)) {
				t.Errorf("key %v: partition %d, body %+v", key, req.Partition, b)
			}
		}

		// The key has moved, and the client does not know.
		partition := wire.PartitionOf(mustEncode(t, "user:1001"), 12)
		cl.mu.Lock()
		cl.owners[partition] = (partition + 1) % 3
		cl.mu.Unlock()
		before := len(cl.bodies((partition + 1) % 3))
		f, err := SubmitToKeyOwner[string](t.Context(), ex, "user:1001", "echo", "moved")
		if got := get(t, f, err); got != "moved" || len(cl.bodies((partition+1)%3)) != before+1 {
			t.Errorf("the task did not follow its key: %q", got)
		}
	})
}

func mustEncode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := encodeForTest(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSubmitToMember(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ex := c.Executor("ex")
		for _, member := range []string{"m1", cl.id(1)} {
			f, err := SubmitToMember[string](t.Context(), ex, member, "echo", "x")
			get(t, f, err)
		}
		if n := len(cl.bodies(1)); n != 2 {
			t.Errorf("%d tasks on m1", n)
		}
		for _, member := range []string{"", "m9", wire.ID{9}.String()} {
			if _, err := SubmitToMember[string](t.Context(), ex, member, "echo", "x"); !errors.Is(err, ErrNotFound) {
				t.Errorf("member %q: %v", member, err)
			}
		}
		cl.kill(1)
		cl.change(func() { cl.members[1].info.State = string(MemberDead) })
		synctest.Wait()
		if _, err := SubmitToMember[string](t.Context(), ex, "m1", "echo", "x"); !errors.Is(err, ErrMemberLeft) {
			t.Errorf("a dead member: %v", err)
		}
	})
}

func TestSubmitToMembers(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ex := c.Executor("ex")
		tagged := func(m Member) bool { return m.Tags["n"] != "1" }
		f, err := SubmitToMembers[string](t.Context(), ex, tagged, "echo", "x")
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Wait(t.Context())
		want := map[string]MemberResult[string]{cl.id(0): {Member: cl.id(0), Value: "x"}, cl.id(2): {Member: cl.id(2), Value: "x"}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v", got, err)
		}
		if a, b := cl.bodies(0)[0].ID, cl.bodies(2)[0].ID; a == b {
			t.Error("two members' tasks have one ID")
		}
		if _, err := SubmitToMembers[string](t.Context(), ex, func(Member) bool { return false }, "echo", "x"); !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody chosen: %v", err)
		}
		if _, err := SubmitToMembers[string](t.Context(), ex, nil, "echo", "x"); !errors.Is(err, ErrInvalid) {
			t.Errorf("nil selector: %v", err)
		}
	})
}

// A member that is known not to have the task keeps it from being submitted anywhere.
func TestUnknownTaskBeforeAnythingRuns(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ex := c.Executor("ex")
		cl.mu.Lock()
		delete(cl.members[1].tasks, "hold")
		cl.mu.Unlock()
		_, err := SubmitToAllMembers[string](t.Context(), ex, "hold", nil)
		var e *Error
		if !errors.Is(err, ErrUnknownTask) || !errors.As(err, &e) || e.Member != cl.id(1) {
			t.Fatalf("%v", err)
		}
		for i := range 3 {
			if n := len(cl.bodies(i)); n != 0 {
				t.Errorf("member %d ran %d tasks", i, n)
			}
		}

		// Absence is asked again, presence is remembered until the member restarts.
		cl.mu.Lock()
		cl.members[1].tasks["hold"] = cl.members[0].tasks["hold"]
		cl.mu.Unlock()
		lists := func() (n int) {
			for i := range 3 {
				n += len(cl.requests(i, wire.OpTaskList))
			}
			return n
		}
		for _, asked := range []int{4, 4} {
			if _, err := SubmitToAllMembers[string](t.Context(), ex, "hold", nil); err != nil {
				t.Fatal(err)
			}
			if lists() != asked {
				t.Errorf("%d lists were asked for, want %d", lists(), asked)
			}
		}
		cl.kill(2)
		cl.restart(2)
		time.Sleep(time.Second)
		if _, err := SubmitToAllMembers[string](t.Context(), ex, "hold", nil); err != nil || lists() != 5 {
			t.Errorf("%v after %d lists", err, lists())
		}
	})
}

func TestOneOfAllLeaves(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f, err := SubmitToAllMembers[string](t.Context(), c.Executor("ex"), "hold", nil)
		if err != nil {
			t.Fatal(err)
		}
		cl.kill(1)
		cl.finish(0, "zero")
		time.Sleep(lostAfter + time.Second)
		cl.finish(2, "two")
		var order []string
		for r, err := range f.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			order = append(order, r.Member)
			if r.Member == cl.id(1) && !errors.Is(r.Err, ErrMemberLeft) || r.Member != cl.id(1) && r.Err != nil {
				t.Errorf("%+v", r)
			}
		}
		if !reflect.DeepEqual(order, []string{cl.id(0), cl.id(1), cl.id(2)}) {
			t.Errorf("results in the order %v", order)
		}
	})
}

// A suspect member counts while it is connected or owns data, and no longer.
func TestAllMembersAreThoseThatWork(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		suspect := func() { cl.members[1].info.State = string(MemberSuspect) }
		ex := c.Executor("ex")
		cl.change(suspect)
		synctest.Wait()
		count := func() int {
			f, err := SubmitToAllMembers[string](t.Context(), ex, "echo", nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return len(got)
		}
		if n := count(); n != 3 {
			t.Errorf("%d members while the suspect one is connected", n)
		}
		cl.kill(1)
		synctest.Wait()
		if n := count(); n != 3 {
			t.Errorf("%d members while the suspect one owns partitions", n)
		}
		cl.change(func() {
			for p, o := range cl.owners {
				if o == 1 {
					cl.owners[p] = 0
				}
			}
		})
		synctest.Wait()
		if n := count(); n != 2 {
			t.Errorf("%d members though the suspect one is as good as gone", n)
		}
	})
}

func TestExecuteOnAllMembers(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ex := c.Executor("ex")
		if err := ex.ExecuteOnAllMembers(t.Context(), "echo", 1); err != nil {
			t.Fatal(err)
		}
		cl.mu.Lock()
		cl.members[1].tasks["echo"] = func([]byte) *wire.TaskResult {
			return &wire.TaskResult{Code: wire.CodeTaskFailed, Message: "no cheese", Sentinel: wire.CodeConflict}
		}
		cl.mu.Unlock()
		err := ex.ExecuteOnAllMembers(t.Context(), "echo", 1)
		var multi *MultiError
		if !errors.As(err, &multi) || len(multi.Errs) != 1 || !errors.Is(multi.Errs[cl.id(1)], ErrConflict) || !strings.Contains(err.Error(), "no cheese") {
			t.Errorf("%v", err)
		}
	})
}

// The client's timeout does not end the waiting; the end of ctx does, and ends the tasks too.
func TestExecuteEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ex := c.Executor("ex")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- ex.ExecuteOnAllMembers(ctx, "hold", 1) }()
		time.Sleep(time.Minute)
		select {
		case err := <-ended:
			t.Fatalf("ended in %v by itself", err)
		default:
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		go func() { ended <- ex.ExecuteOnKeyOwner(deadlineIn(t, time.Minute), "key", "hold", 1) }()
		begin := time.Now()
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		synctest.Wait()
		cancelled := 0
		for i := range 3 {
			for _, task := range cl.members[i].running {
				if task.result.Code != wire.CodeCancelled {
					t.Errorf("a task goes on: %+v", task)
				}
				cancelled++
				if want := uint64(time.Minute / time.Millisecond); task.body.Keyed && task.body.Timeout != want {
					t.Errorf("the member was told %d ms, want %d", task.body.Timeout, want)
				}
			}
		}
		if cancelled != 4 {
			t.Errorf("%d tasks cancelled", cancelled)
		}
	})
}

// A task may run already when nobody has heard yet that it was accepted. The end of ctx ends it too.
func TestExecuteEndsWithItsContextWhileSubmitting(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		for i := range 3 {
			cl.silence(i, wire.OpTaskSubmit, muted)
		}
		ex := c.Executor("ex")
		for name, execute := range map[string]func(context.Context) error{
			"all": func(ctx context.Context) error { return ex.ExecuteOnAllMembers(ctx, "hold", 1) },
			"key": func(ctx context.Context) error { return ex.ExecuteOnKeyOwner(ctx, "key", "hold", 1) },
		} {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- execute(ctx) }()
			synctest.Wait()
			cancel()
			if err := <-ended; !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
			cancelled := 0
			for i := range 3 {
				for _, task := range cl.members[i].running {
					if task.result.Code != wire.CodeCancelled {
						t.Errorf("%s: a task goes on: %+v", name, task)
					}
					cancelled++
				}
			}
			if want := map[string]int{"all": 3, "key": 1}[name]; cancelled != want {
				t.Errorf("%s: %d tasks cancelled", name, cancelled)
			}
			cl.mu.Lock()
			for i := range 3 {
				clear(cl.members[i].running)
			}
			cl.mu.Unlock()
		}
	})
}

func deadlineIn(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestTasks(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		cl.mu.Lock()
		delete(cl.members[1].tasks, "hold")
		cl.mu.Unlock()
		ex := c.Executor("ex")
		got, err := ex.Tasks(t.Context())
		want := []TaskInfo{{"echo", []string{cl.id(0), cl.id(1), cl.id(2)}}, {"hold", []string{cl.id(0), cl.id(2)}}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v, %v", got, err)
		}
		cl.kill(0)
		got, err = ex.Tasks(t.Context())
		if err != nil || len(got) != 2 || len(got[0].Members) != 2 {
			t.Errorf("with a member gone: %v, %v", got, err)
		}
		cl.once(1, wire.OpTaskList, wire.CodeForbidden, instead)
		var multi *MultiError
		if _, err = ex.Tasks(t.Context()); !errors.As(err, &multi) || !errors.Is(multi.Errs[cl.id(1)], ErrForbidden) {
			t.Errorf("with a member that refuses: %v", err)
		}
	})
}

func TestSubmitChecksItsArguments(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ex := c.Executor("ex")
		long := strings.Repeat("x", 256)
		for name, check := range map[string]struct {
			err  error
			want error
		}{
			"no executor":    {second(Submit[int](t.Context(), c.Executor(""), "echo", 1)), ErrInvalid},
			"long executor":  {second(Submit[int](t.Context(), c.Executor(long), "echo", 1)), ErrTooLarge},
			"control":        {second(Submit[int](t.Context(), c.Executor("a\x00"), "echo", 1)), ErrInvalid},
			"not UTF-8":      {second(Submit[int](t.Context(), ex, "\xff", 1)), ErrInvalid},
			"no task":        {second(Submit[int](t.Context(), ex, "", 1)), ErrInvalid},
			"long task":      {second(SubmitToAllMembers[int](t.Context(), ex, long, 1)), ErrTooLarge},
			"argument":       {second(SubmitToMember[int](t.Context(), ex, "m0", "echo", func() {})), ErrInvalid},
			"large argument": {second(Submit[int](t.Context(), ex, "echo", make([]byte, wire.MaxValue))), ErrTooLarge},
			"nil key":        {second(SubmitToKeyOwner[int](t.Context(), ex, nil, "echo", 1)), ErrInvalid},
			"large key":      {second(SubmitToKeyOwner[int](t.Context(), ex, strings.Repeat("x", wire.MaxKey), "echo", 1)), ErrTooLarge},
			"nil option":     {second(Submit[int](t.Context(), ex, "echo", 1, nil)), ErrInvalid},
			"timeout 0":      {second(Submit[int](t.Context(), ex, "echo", 1, Timeout(0))), ErrInvalid},
			"tasks":          {second(c.Executor("").Tasks(t.Context())), ErrInvalid},
		} {
			if !errors.Is(check.err, check.want) {
				t.Errorf("%s: %v, want %v", name, check.err, check.want)
			}
		}
		for i := range 3 {
			if n := len(cl.members[i].got); n != 0 {
				t.Errorf("member %d was asked %d times", i, n)
			}
		}
	})
}

func second[A any](_ A, err error) error { return err }

func TestTimeoutRoundsUp(t *testing.T) {
	for d, want := range map[time.Duration]uint64{1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000, math.MaxInt64: math.MaxInt64/1_000_000 + 1} {
		var cfg submitConfig
		if err := Timeout(d).applySubmit(&cfg); err != nil || cfg.timeoutMs != want {
			t.Errorf("%v is %d ms, %v; want %d", d, cfg.timeoutMs, err, want)
		}
	}
}
