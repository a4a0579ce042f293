package grid_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// nest tells the task "nest" what to do: to submit "leaf", or itself to the next executors, and to wait for that.
type nest struct {
	Executors []string
	Together  bool          // it submits once as many others do so
	Within    time.Duration // how long it waits; 0: as long as its context lasts
	Aside     bool          // it waits on another goroutine
	All       bool          // it submits to all members
}

// A task that waits for a task which needs a place that its own wait keeps is told so; any other wait goes on.
func TestTasksThatWaitForTasks(t *testing.T) {
	t.Parallel()
	var together sync.WaitGroup // as many as the test says
	reg := exec.NewRegistry()
	exec.RegisterTask(reg, "leaf", func(context.Context, exec.TaskContext, int) (string, error) { return "leaf", nil })
	exec.RegisterTask(reg, "nest", func(ctx context.Context, tc exec.TaskContext, in nest) (string, error) {
		if in.Together {
			together.Done()
			together.Wait()
		}
		ex := tc.Client().Executor(in.Executors[0])
		task, arg := "leaf", any(0)
		if len(in.Executors) > 1 {
			task, arg = "nest", nest{Executors: in.Executors[1:]}
		}
		if in.Within > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, in.Within)
			defer cancel()
		}
		if in.All {
			f, err := sdk.SubmitToAllMembers[string](ctx, ex, task, arg)
			if err != nil {
				return "", err
			}
			all, err := f.Wait(ctx)
			for _, r := range all {
				return r.Value, r.Err
			}
			return "", err
		}
		f, err := sdk.SubmitToMember[string](ctx, ex, tc.Member().ID, task, arg)
		if err != nil {
			return "", err
		}
		if !in.Aside {
			v, err := f.Get(ctx)
			if errors.Is(err, sdk.ErrDeadlock) {
				return "deadlock", nil
			}
			return v, err
		}
		ended := make(chan error, 1)
		go func() { _, err := f.Get(ctx); ended <- err }()
		if err := <-ended; errors.Is(err, sdk.ErrTimeout) && !errors.Is(err, sdk.ErrDeadlock) {
			return "time", nil
		}
		return "", err
	})
	m, err := grid.Start(t.Context(), grid.Config{Partitions: 1, Registry: reg,
		Executors: map[string]exec.PoolConfig{"one": {Pool: 1}, "other": {Pool: 1}, "two": {Pool: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	submit := func(executor string, in nest) *sdk.Future[string] {
		t.Helper()
		f, err := sdk.Submit[string](ctx, m.Client().Executor(executor), "nest", in)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	want := func(f *sdk.Future[string], want string) {
		t.Helper()
		if v, err := f.Get(ctx); v != want || err != nil {
			t.Errorf("%q, %v, want %q", v, err, want)
		}
	}

	// Where there is a place, also one of the same pool, nothing is wrong.
	want(submit("two", nest{Executors: []string{"two"}}), "leaf")
	want(submit("one", nest{Executors: []string{"other"}}), "leaf")
	want(submit("one", nest{Executors: []string{"two", "two", "other"}}), "leaf")

	// A pool of one place, which its one task keeps.
	want(submit("one", nest{Executors: []string{"one"}}), "deadlock")
	want(submit("one", nest{Executors: []string{"one"}, Within: time.Hour}), "deadlock")
	if _, err := submit("one", nest{Executors: []string{"one"}, All: true}).Get(ctx); err == nil || errors.Is(err, sdk.ErrRejected) {
		t.Errorf("a wait for all members: %v", err)
	}
	want(submit("other", nest{Executors: []string{"one"}}), "leaf") // the place is free again

	// Two places and two tasks that wait: one wait ends, and that makes room for the other. It is the one that would have ended first.
	together.Add(2)
	first := submit("two", nest{Executors: []string{"two"}, Together: true, Within: time.Hour})
	second := submit("two", nest{Executors: []string{"two"}, Together: true})
	want(first, "deadlock")
	want(second, "leaf")

	// Two pools that wait for each other.
	v, err := submit("one", nest{Executors: []string{"other", "one"}}).Get(ctx)
	if err != nil || v != "deadlock" && v != "leaf" {
		t.Errorf("two pools: %q, %v", v, err)
	}

	// What another goroutine waits for may not be what the task waits for: time bounds it.
	want(submit("one", nest{Executors: []string{"one"}, Aside: true, Within: 20 * time.Millisecond}), "time")
}
