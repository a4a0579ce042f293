package grid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/exec/builtin"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// workshop is a cluster whose members run the tasks of the binary and the following:
//
//   - visit notes the member and its argument, and returns the member's name;
//   - hold says that it runs, and returns its argument once it may, or what ended its context;
//   - picky fails on the member whose name is its argument;
//   - conflict and panic fail, bytes returns so many of them, store writes into a map by the task's own client.
type workshop struct {
	*gridtest.Cluster
	client  *sdk.Client
	started chan string   // names of the members on which hold runs
	ended   chan error    // what ended the context of a hold
	release chan struct{} // closed: all holds return

	mu     sync.Mutex // guards the following
	visits map[string][]string
	log    bytes.Buffer
}

// Write takes the members' logs.
func (w *workshop) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

func (w *workshop) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// visited returns the names of the members on which visit ran with an argument, sorted.
func (w *workshop) visited(arg string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(slices.Values(w.visits[arg]))
}

func newWorkshop(t *testing.T, opts ...gridtest.Option) *workshop {
	t.Helper()
	w := &workshop{started: make(chan string, 64), ended: make(chan error, 64), release: make(chan struct{}), visits: make(map[string][]string)}
	reg := exec.NewRegistry()
	builtin.Register(reg)
	exec.RegisterTask(reg, "visit", func(_ context.Context, tc exec.TaskContext, arg string) (string, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.visits[arg] = append(w.visits[arg], tc.Member().Name)
		return tc.Member().Name, nil
	})
	exec.RegisterTask(reg, "hold", func(ctx context.Context, tc exec.TaskContext, arg string) (string, error) {
		w.started <- tc.Member().Name
		select {
		case <-w.release:
			return arg, nil
		case <-ctx.Done():
			w.ended <- context.Cause(ctx)
			return "", ctx.Err()
		}
	})
	exec.RegisterTask(reg, "picky", func(_ context.Context, tc exec.TaskContext, name string) (any, error) {
		if tc.Member().Name == name {
			return nil, fmt.Errorf("%s does not like it", name)
		}
		return nil, nil
	})
	exec.RegisterTask(reg, "conflict", func(context.Context, exec.TaskContext, any) (any, error) {
		return nil, fmt.Errorf("row 7: %w", sdk.ErrConflict)
	})
	exec.RegisterTask(reg, "panic", func(_ context.Context, _ exec.TaskContext, text string) (any, error) { panic(text) })
	exec.RegisterTask(reg, "bytes", func(_ context.Context, _ exec.TaskContext, n int) ([]byte, error) { return make([]byte, n), nil })
	exec.RegisterTask(reg, "store", func(ctx context.Context, tc exec.TaskContext, mapName string) (any, error) {
		m, err := sdk.OpenMap[string, string](tc.Client(), mapName)
		if err != nil {
			return nil, err
		}
		return nil, m.Set(ctx, tc.Key().(string), tc.Member().ID)
	})
	opts = append([]gridtest.Option{gridtest.WithRegistry(reg), gridtest.WithLogger(slog.New(slog.NewTextHandler(w, nil)))}, opts...)
	w.Cluster = gridtest.New(t, 3, opts...)
	w.client = w.Client()
	t.Cleanup(func() { close(w.release) })
	return w
}

// ids returns the members' IDs by their names.
func (w *workshop) ids(t *testing.T) map[string]string {
	t.Helper()
	members, err := w.client.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]string)
	for _, m := range members {
		ids[m.Name] = m.ID
	}
	return ids
}

// running waits until n more holds run, and returns on which members they do, sorted.
func (w *workshop) running(t *testing.T, ctx context.Context, n int) []string {
	t.Helper()
	var names []string
	for range n {
		select {
		case name := <-w.started:
			names = append(names, name)
		case <-ctx.Done():
			t.Fatalf("%d of %d tasks run", len(names), n)
		}
	}
	slices.Sort(names)
	return names
}

// endings waits until the contexts of n holds have ended, and returns by what.
func (w *workshop) endings(t *testing.T, ctx context.Context, n int) (causes []error) {
	t.Helper()
	for len(causes) < n {
		select {
		case err := <-w.ended:
			causes = append(causes, err)
		case <-ctx.Done():
			t.Fatalf("the contexts of %d of %d tasks have ended", len(causes), n)
		}
	}
	return causes
}

var everyone = []string{"m0", "m1", "m2"}

// TestExecutor tells of one cluster in which nothing fails but tasks.
func TestExecutor(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	ex := w.client.Executor("jobs")
	for _, c := range []struct {
		name string
		f    func(*testing.T, context.Context, *workshop, *sdk.Executor)
	}{
		{"on all members", testOnAllMembers}, {"on members", testOnMembers}, {"on the key's owner", testOnKeyOwner}, {"Local", testLocal},
		{"errors", testTaskErrors}, {"limits", testTaskLimits}, {"Cancel", testCancel}, {"Timeout", testTaskTimeout},
		{"contexts", testTaskContexts}, {"Tasks", testTaskList},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			c.f(t, ctx, w, ex)
		})
	}
}

func testOnAllMembers(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	must(t, ex.ExecuteOnAllMembers(ctx, "visit", "execute"))
	if got := w.visited("execute"); !slices.Equal(got, everyone) {
		t.Errorf("ExecuteOnAllMembers ran on %v", got)
	}

	f, err := sdk.SubmitToAllMembers[string](ctx, ex, "visit", "submit")
	must(t, err)
	results, err := f.Wait(ctx)
	must(t, err)
	for name, id := range w.ids(t) {
		if r, ok := results[id]; !ok || r.Member != id || r.Value != name || r.Err != nil {
			t.Errorf("the result of %s is %+v", name, r)
		}
	}
	if got := w.visited("submit"); len(results) != 3 || !slices.Equal(got, everyone) {
		t.Errorf("%d results, from %v", len(results), got)
	}

	// One that fails does not hide the others.
	err = ex.ExecuteOnAllMembers(ctx, "picky", "m1")
	var multi *sdk.MultiError
	if !errors.As(err, &multi) || len(multi.Errs) != 1 || !strings.Contains(fmt.Sprint(multi.Errs[w.ids(t)["m1"]]), "m1 does not like it") {
		t.Errorf("a failure on m1: %v", err)
	}
}

func testOnMembers(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	for name, id := range w.ids(t) {
		for _, member := range []string{name, id} {
			f, err := sdk.SubmitToMember[builtin.WhoAmI](ctx, ex, member, "whoami", nil)
			must(t, err)
			if who, err := f.Get(ctx); err != nil || who.ID != id || who.Name != name || who.Addr == "" || who.PID == 0 {
				t.Errorf("submitted to %s, run by %+v, %v", member, who, err)
			}
		}
	}
	if _, err := sdk.SubmitToMember[any](ctx, ex, "m9", "whoami", nil); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("a member that there is not: %v", err)
	}
	f, err := sdk.SubmitToMembers[string](ctx, ex, func(m sdk.Member) bool { return m.Name != "m1" }, "visit", "some")
	must(t, err)
	if results, err := f.Wait(ctx); err != nil || len(results) != 2 || !slices.Equal(w.visited("some"), []string{"m0", "m2"}) {
		t.Errorf("chosen members: %v, %v, on %v", results, err, w.visited("some"))
	}
	one, err := sdk.Submit[string](ctx, ex, "visit", "any")
	must(t, err)
	if name, err := one.Get(ctx); err != nil || !slices.Equal(w.visited("any"), []string{name}) {
		t.Errorf("Submit: %q, %v, on %v", name, err, w.visited("any"))
	}
}

func testOnKeyOwner(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	partitions, err := w.client.Partitions(ctx)
	must(t, err)
	homes := openMap[string, string](t, w.client, "homes")
	owners := make(map[string]bool)
	for i := range 60 {
		key := fmt.Sprint("key-", i)
		encoded, err := codec.EncodeKey(nil, key)
		must(t, err)
		owner := partitions[wire.PartitionOf(encoded, len(partitions))].Owner
		owners[owner] = true
		f, err := sdk.SubmitToKeyOwner[builtin.WhoAmI](ctx, ex, key, "whoami", nil)
		must(t, err)
		if who, err := f.Get(ctx); err != nil || who.ID != owner {
			t.Errorf("%s is owned by %s, its task was run by %s, %v", key, owner, who.ID, err)
		}
		must(t, ex.ExecuteOnKeyOwner(ctx, key, "store", "homes"))
		if home, _, err := homes.Get(ctx, key); err != nil || home != owner {
			t.Errorf("the task for %s has written %q, %v, its owner is %s", key, home, err, owner)
		}
	}
	if len(owners) < 2 {
		t.Errorf("60 keys have %d owners", len(owners))
	}
}

// The members' own entries are the map, each of them once.
func testLocal(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	m := openMap[string, int](t, w.client, "numbers")
	entries, total := make(map[string]int), int64(0)
	for i := range 1000 {
		entries[fmt.Sprint(i)] = i * i
		total += int64(i * i)
	}
	must(t, m.SetAll(ctx, entries))
	f, err := sdk.SubmitToAllMembers[int64](ctx, ex, "sum-map", "numbers")
	must(t, err)
	sum, shares := int64(0), 0
	for r, err := range f.All(ctx) {
		must(t, err, r.Err)
		if sum += r.Value; r.Value > 0 {
			shares++
		}
	}
	if sum != total || shares < 2 {
		t.Errorf("%d members have numbers that add up to %d, want %d", shares, sum, total)
	}
}

func testTaskErrors(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	submit := func(task string, arg any) error {
		t.Helper()
		f, err := sdk.SubmitToMember[int](ctx, ex, "m1", task, arg)
		must(t, err)
		_, err = f.Get(ctx)
		return err
	}
	var e *sdk.Error
	err := submit("conflict", nil)
	if !errors.Is(err, sdk.ErrConflict) || !errors.As(err, &e) || e.Code != sdk.CodeTaskFailed || e.Member != w.ids(t)["m1"] ||
		e.Name != "jobs" || !strings.Contains(err.Error(), "row 7: conflict") || sdk.Retryable(err) {
		t.Errorf("an error that wraps a sentinel: %v, %+v", err, e)
	}
	err = submit("fail", "no cheese")
	if !errors.As(err, &e) || e.Code != sdk.CodeTaskFailed || !strings.Contains(err.Error(), "no cheese") || errors.Is(err, sdk.ErrConflict) {
		t.Errorf("another error: %v, %+v", err, e)
	}
	err = submit("panic", "the sky falls")
	if !errors.As(err, &e) || e.Code != sdk.CodeTaskFailed || !strings.Contains(err.Error(), "the sky falls") {
		t.Errorf("a panic: %v, %+v", err, e)
	}
	if log := w.logged(); !strings.Contains(log, "the sky falls") || !strings.Contains(log, "exec_test.go") {
		t.Errorf("the log does not tell of the panic, with its stack: %s", log)
	}
	must(t, ex.ExecuteOnAllMembers(ctx, "visit", "after the panic"))

	if err := submit("bytes", "not a number"); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("an argument of another type: %v", err)
	}
	if err := submit("echo", "not a number"); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a result of another type: %v", err)
	}
	if _, err := sdk.Submit[any](ctx, ex, "no such task", nil); !errors.Is(err, sdk.ErrUnknownTask) {
		t.Errorf("an unknown task: %v", err)
	}
}

func testTaskLimits(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	if _, err := sdk.Submit[any](ctx, ex, "visit", strings.Repeat("x", wire.MaxValue)); !errors.Is(err, sdk.ErrTooLarge) {
		t.Errorf("an argument above the limit: %v", err)
	}
	for n, want := range map[int]error{wire.MaxValue - 5: nil, wire.MaxValue: sdk.ErrTooLarge} {
		f, err := sdk.Submit[[]byte](ctx, ex, "bytes", n)
		must(t, err)
		if b, err := f.Get(ctx); !errors.Is(err, want) || (err == nil) != (want == nil) || err == nil && len(b) != n {
			t.Errorf("a result of %d bytes: %d, %v, want %v", n, len(b), err, want)
		}
	}
	f, err := sdk.Submit[[]byte](ctx, ex, "echo", make([]byte, wire.MaxValue-5))
	must(t, err)
	if b, err := f.Get(ctx); err != nil || len(b) != wire.MaxValue-5 {
		t.Errorf("the largest argument: %d bytes, %v", len(b), err)
	}
	if got := len(w.visited(strings.Repeat("x", wire.MaxValue))); got != 0 {
		t.Errorf("a task that was refused ran %d times", got)
	}
}

func testCancel(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	f, err := sdk.Submit[string](ctx, ex, "hold", "one")
	must(t, err)
	w.running(t, ctx, 1)
	select {
	case <-f.Done():
		t.Error("done while it runs")
	default:
	}
	if took, err := f.Cancel(ctx); !took || err != nil {
		t.Errorf("Cancel: %v, %v", took, err)
	}
	if _, err := f.Get(ctx); !errors.Is(err, sdk.ErrCancelled) {
		t.Errorf("the outcome is %v", err)
	}
	if cause := w.endings(t, ctx, 1)[0]; !errors.Is(cause, context.Canceled) {
		t.Errorf("the task's context ended by %v", cause)
	}
	if took, err := f.Cancel(ctx); took || err != nil {
		t.Errorf("Cancel once more: %v, %v", took, err)
	}

	all, err := sdk.SubmitToAllMembers[string](ctx, ex, "hold", "all")
	must(t, err)
	w.running(t, ctx, 3)
	if n, err := all.Cancel(ctx); n != 3 || err != nil {
		t.Errorf("cancelled on %d members, %v", n, err)
	}
	results, err := all.Wait(ctx)
	must(t, err)
	for id, r := range results {
		if !errors.Is(r.Err, sdk.ErrCancelled) {
			t.Errorf("the outcome on %s is %+v", id, r)
		}
	}
	w.endings(t, ctx, 3)

	done, err := sdk.Submit[string](ctx, ex, "echo", "x")
	must(t, err)
	_, err = done.Get(ctx)
	must(t, err)
	if took, err := done.Cancel(ctx); took || err != nil {
		t.Errorf("Cancel of a task that is done: %v, %v", took, err)
	}
}

func testTaskTimeout(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	f, err := sdk.Submit[string](ctx, ex, "hold", "x", sdk.Timeout(20*time.Millisecond))
	must(t, err)
	w.running(t, ctx, 1)
	if _, err := f.Get(ctx); !errors.Is(err, context.DeadlineExceeded) || sdk.Retryable(err) {
		t.Errorf("the outcome is %v", err)
	}
	if cause := w.endings(t, ctx, 1)[0]; !errors.Is(cause, context.DeadlineExceeded) {
		t.Errorf("the task's context ended by %v", cause)
	}
	quick, err := sdk.Submit[string](ctx, ex, "echo", "x", sdk.Timeout(time.Minute))
	must(t, err)
	if got, err := quick.Get(ctx); got != "x" || err != nil {
		t.Errorf("in time: %q, %v", got, err)
	}
}

// What a context ends: a submission, the waiting for an outcome, and the tasks of the calls that wait.
func testTaskContexts(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	submission, cancel := context.WithCancel(ctx)
	f, err := sdk.Submit[string](submission, ex, "sleep", "50ms")
	must(t, err)
	cancel()
	if _, err := f.Get(submission); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Get under a context that has ended: %v", err)
	}
	if got, err := f.Get(ctx); got != "50ms" || err != nil {
		t.Errorf("a task whose submission's context has ended: %q, %v", got, err)
	}

	waiting, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- ex.ExecuteOnAllMembers(waiting, "hold", "x") }()
	if names := w.running(t, ctx, 3); !slices.Equal(names, everyone) {
		t.Errorf("ExecuteOnAllMembers runs on %v", names)
	}
	cancel()
	err = <-ended
	var multi *sdk.MultiError
	if !errors.As(err, &multi) || len(multi.Errs) != 3 || !errors.Is(err, context.Canceled) {
		t.Errorf("ExecuteOnAllMembers whose context has ended: %v", err)
	}
	for _, cause := range w.endings(t, ctx, 3) {
		if !errors.Is(cause, context.Canceled) {
			t.Errorf("the task's context ended by %v", cause)
		}
	}
}

func testTaskList(t *testing.T, ctx context.Context, w *workshop, ex *sdk.Executor) {
	tasks, err := ex.Tasks(ctx)
	must(t, err)
	var names []string
	for _, task := range tasks {
		names = append(names, task.Name)
		if len(task.Members) != 3 {
			t.Errorf("%s is registered on %v", task.Name, task.Members)
		}
	}
	if want := []string{"bytes", "conflict", "echo", "fail", "hold", "panic", "picky", "sleep", "store", "sum-map", "visit", "whoami"}; !slices.Equal(names, want) {
		t.Errorf("tasks %v, want %v", names, want)
	}
}

// A task that one member does not have runs nowhere, and the error says which member that is.
func TestUnknownTaskRunsNowhere(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, gridtest.WithConfig(func(i int, cfg *grid.Config) {
		if i == 1 {
			cfg.Registry = exec.NewRegistry()
			builtin.Register(cfg.Registry)
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ex, id := w.client.Executor("jobs"), w.ids(t)["m1"]
	var e *sdk.Error
	if err := ex.ExecuteOnAllMembers(ctx, "visit", "x"); !errors.Is(err, sdk.ErrUnknownTask) || !errors.As(err, &e) || e.Member != id || !strings.Contains(err.Error(), id) {
		t.Errorf("ExecuteOnAllMembers: %v", err)
	}
	if _, err := sdk.SubmitToAllMembers[string](ctx, ex, "visit", "x"); !errors.Is(err, sdk.ErrUnknownTask) || !errors.As(err, &e) || e.Member != id {
		t.Errorf("SubmitToAllMembers: %v", err)
	}
	if _, err := sdk.SubmitToMember[string](ctx, ex, "m1", "visit", "x"); !errors.Is(err, sdk.ErrUnknownTask) || !errors.As(err, &e) || e.Member != id {
		t.Errorf("SubmitToMember: %v", err)
	}
	if got := w.visited("x"); len(got) != 0 {
		t.Errorf("it ran on %v", got)
	}
	must(t, ex.ExecuteOnAllMembers(ctx, "echo", "x"))
	f, err := sdk.SubmitToMembers[string](ctx, ex, func(m sdk.Member) bool { return m.ID != id }, "visit", "y")
	must(t, err)
	if _, err := f.Wait(ctx); err != nil || !slices.Equal(w.visited("y"), []string{"m0", "m2"}) {
		t.Errorf("on the members that have it: %v, on %v", err, w.visited("y"))
	}
}

// A member that dies takes its tasks with it: they are ErrMemberLeft, run nowhere else, and the others' results are there.
func TestMemberKilledDuringTask(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ex, ids := w.client.Executor("jobs"), w.ids(t)
	all, err := sdk.SubmitToAllMembers[string](ctx, ex, "hold", "x")
	must(t, err)
	one, err := sdk.SubmitToMember[string](ctx, ex, "m1", "hold", "y")
	must(t, err)
	w.running(t, ctx, 4)
	executed := make(chan error, 1)
	go func() { executed <- ex.ExecuteOnAllMembers(ctx, "hold", "z") }()
	w.running(t, ctx, 3)

	w.Kill(1)
	if _, err := one.Get(ctx); !errors.Is(err, sdk.ErrMemberLeft) || sdk.Retryable(err) {
		t.Errorf("the dead member's task: %v", err)
	}
	for range 6 - 2 { // all that run on the living
		w.release <- struct{}{}
	}
	results, err := all.Wait(ctx)
	must(t, err)
	for name, id := range ids {
		r, ok := results[id]
		if name == "m1" && !errors.Is(r.Err, sdk.ErrMemberLeft) || name != "m1" && (r.Err != nil || r.Value != "x") || !ok {
			t.Errorf("the result of %s is %+v", name, r)
		}
	}
	err = <-executed
	var multi *sdk.MultiError
	if !errors.As(err, &multi) || len(multi.Errs) != 1 || !errors.Is(multi.Errs[ids["m1"]], sdk.ErrMemberLeft) {
		t.Errorf("ExecuteOnAllMembers: %v", err)
	}
	select {
	case name := <-w.started:
		t.Errorf("a task ran once more, on %s", name)
	default:
	}
	for range 20 { // and whoever submits goes on
		f, err := sdk.Submit[string](ctx, ex, "visit", "after")
		must(t, err)
		if name, err := f.Get(ctx); err != nil || name == "m1" {
			t.Errorf("after the kill: %q, %v", name, err)
		}
	}
}

// TestExecutorsAreConfigured gives one executor a pool and a queue of its own: a third task has no place.
func TestExecutorsAreConfigured(t *testing.T) {
	t.Parallel()
	reg := exec.NewRegistry()
	hold, started := make(chan struct{}), make(chan struct{}, 4)
	exec.RegisterTask(reg, "hold", func(ctx context.Context, _ exec.TaskContext, _ int) (int, error) {
		started <- struct{}{}
		select {
		case <-hold:
			return 0, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	cl := gridtest.New(t, 1, gridtest.WithRegistry(reg), gridtest.WithConfig(func(_ int, cfg *grid.Config) {
		cfg.Executors = map[string]exec.PoolConfig{"small": {Pool: 1, Queue: 1}}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	defer close(hold)
	for name, want := range map[string]error{"small": sdk.ErrRejected, "other": nil} {
		ex := cl.Client().Executor(name)
		if _, err := sdk.Submit[int](ctx, ex, "hold", 1); err != nil {
			t.Fatal(err)
		}
		<-started // it has left the queue
		if _, err := sdk.Submit[int](ctx, ex, "hold", 2); err != nil {
			t.Fatal(err)
		}
		if _, err := sdk.Submit[int](ctx, ex, "hold", 3); !errors.Is(err, want) {
			t.Errorf("%s: a third task: %v, want %v", name, err, want)
		}
	}
}
