package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTaskRunsAndReturns(t *testing.T) {
	h := newHarness(t, nil)
	exec.RegisterTask(h.reg, "double", func(_ context.Context, _ exec.TaskContext, n int) (int, error) { return 2 * n, nil })
	r := h.wantCode(h.submit("double", 21), wire.CodeOK)
	if got := decode[int](t, r.Value); got != 42 {
		t.Errorf("double(21) = %d", got)
	}
	if r.Sentinel != wire.CodeOK || r.Message != "" {
		t.Errorf("result %+v carries an error", r)
	}
}

func TestTaskContextSaysWhereAndFor(t *testing.T) {
	h := newHarness(t, nil)
	type seen struct {
		member  sdk.Member
		key     any
		attempt int
		fence   uint64
	}
	got := make(chan seen, 1)
	exec.RegisterTask(h.reg, "look", func(_ context.Context, tc exec.TaskContext, _ any) (any, error) {
		got <- seen{tc.Member(), tc.Key(), tc.Attempt(), tc.Fence()}
		return nil, nil
	})
	b := h.body("look", nil)
	b.Keyed, b.Key, b.Attempt = true, encode(t, "user:7"), 3
	h.wantCode(h.submitBody(b), wire.CodeOK)
	if s := <-got; s.member.ID != testMember.ID || s.key != "user:7" || s.attempt != 3 || s.fence != 0 {
		t.Errorf("keyed task saw %+v", s)
	}
	h.wantCode(h.submit("look", nil), wire.CodeOK)
	if s := <-got; s.key != nil || s.attempt != 1 {
		t.Errorf("task without a key saw %+v", s)
	}
}

func TestSubmitCopiesItsBody(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Pool = 1 })
	g := registerGate(h.reg)
	exec.RegisterTask(h.reg, "echo", func(_ context.Context, tc exec.TaskContext, s string) (string, error) {
		return fmt.Sprint(tc.Key(), s), nil
	})
	first := h.submit("gate", "first")
	<-g.started
	b := h.body("echo", "argument")
	b.Keyed, b.Key = true, encode(t, "key")
	id := h.submitBody(b)
	clear(b.Arg)
	clear(b.Key)
	close(g.release)
	h.wantCode(first, wire.CodeOK)
	if got := decode[string](t, h.wantCode(id, wire.CodeOK).Value); got != "keyargument" {
		t.Errorf("the task saw %q: the body's memory was kept", got)
	}
}

// Copies of one submission, before, while and after the task runs, have one effect.
func TestSubmitIsIdempotent(t *testing.T) {
	h := newHarness(t, nil)
	g := registerGate(h.reg)
	var runs atomic.Int32
	exec.RegisterTask(h.reg, "count", func(ctx context.Context, _ exec.TaskContext, _ any) (int32, error) {
		n := runs.Add(1)
		g.started <- ""
		<-g.release
		return n, nil
	})
	b := h.body("count", nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if code, text := h.Submit(b); code != wire.CodeOK {
				t.Errorf("a copy got %v: %s", code, text)
			}
		})
	}
	wg.Wait()
	<-g.started
	h.submitBody(b)
	close(g.release)
	first := h.wantCode(b.ID, wire.CodeOK)
	h.submitBody(b)
	second := h.wantCode(b.ID, wire.CodeOK)
	if runs.Load() != 1 || string(first.Value) != string(second.Value) {
		t.Errorf("%d runs, results %x and %x", runs.Load(), first.Value, second.Value)
	}

	other := b
	other.Task = "gate"
	if code, _ := h.Submit(other); code != wire.CodeInvalid {
		t.Errorf("the ID of another task: %v", code)
	}
}

func TestSubmitRefuses(t *testing.T) {
	h := newHarness(t, nil)
	registerGate(h.reg)
	for _, c := range []struct {
		name   string
		change func(*wire.TaskBody)
		want   wire.Code
		text   string
	}{
		{"zero ID", func(b *wire.TaskBody) { b.ID = wire.ID{} }, wire.CodeInvalid, "ID"},
		{"attempt 0", func(b *wire.TaskBody) { b.Attempt = 0 }, wire.CodeInvalid, "attempts"},
		{"no executor", func(b *wire.TaskBody) { b.Executor = "" }, wire.CodeInvalid, "empty"},
		{"control characters", func(b *wire.TaskBody) { b.Executor = "a\nb" }, wire.CodeInvalid, "control"},
		{"long executor", func(b *wire.TaskBody) { b.Executor = strings.Repeat("x", 256) }, wire.CodeInvalid, "256"},
		{"no task", func(b *wire.TaskBody) { b.Task = "" }, wire.CodeInvalid, "empty"},
		{"unknown task", func(b *wire.TaskBody) { b.Task = "nope" }, wire.CodeUnknownTask, testMember.ID},
		{"large argument", func(b *wire.TaskBody) { b.Arg = make([]byte, wire.MaxValue+1) }, wire.CodeTooLarge, "1048577"},
		{"large key", func(b *wire.TaskBody) { b.Keyed, b.Key = true, make([]byte, wire.MaxKey+1) }, wire.CodeTooLarge, "65537"},
		{"malformed key", func(b *wire.TaskBody) { b.Keyed, b.Key = true, []byte{0xdd, 0xff, 0xff, 0xff, 0xff} }, wire.CodeInvalid, "key"},
	} {
		b := h.body("gate", "x")
		c.change(&b)
		code, text := h.Submit(b)
		if code != c.want || !strings.Contains(text, c.text) {
			t.Errorf("%s: %v %q, want %v with %q", c.name, code, text, c.want, c.text)
		}
		if r := h.Wait(t.Context(), b.ID); r.Code != wire.CodeNotFound {
			t.Errorf("%s: the refused task is known: %+v", c.name, r)
		}
	}
}

func TestArguments(t *testing.T) {
	h := newHarness(t, nil)
	type in struct{ N int }
	exec.RegisterTask(h.reg, "n", func(_ context.Context, _ exec.TaskContext, v in) (int, error) { return v.N, nil })
	exec.RegisterTask(h.reg, "text", func(_ context.Context, _ exec.TaskContext, s string) (string, error) { return s, nil })
	if got := decode[int](t, h.wantCode(h.submit("n", in{7}), wire.CodeOK).Value); got != 7 {
		t.Errorf("got %d", got)
	}
	if got := decode[int](t, h.wantCode(h.submit("n", nil), wire.CodeOK).Value); got != 0 {
		t.Errorf("nil as a struct: %d", got)
	}
	none := h.body("text", nil)
	none.Arg = nil
	if got := decode[string](t, h.wantCode(h.submitBody(none), wire.CodeOK).Value); got != "" {
		t.Errorf("no argument as a string: %q", got)
	}
	if r := h.wantCode(h.submit("text", 5), wire.CodeInvalid); !strings.Contains(r.Message, `"text"`) {
		t.Errorf("message %q does not name the task", r.Message)
	}
	bomb := h.body("text", nil)
	bomb.Arg = []byte{0xdd, 0xff, 0xff, 0xff, 0xff}
	h.wantCode(h.submitBody(bomb), wire.CodeInvalid)
}

func TestQueueIsBoundedAndFair(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Pool, c.Queue = 2, 3 })
	g := registerGate(h.reg)
	var ids []wire.ID
	for i := range 5 {
		ids = append(ids, h.submit("gate", fmt.Sprint(i)))
	}
	if code, text := h.Submit(h.body("gate", "one too many")); code != wire.CodeRejected || !strings.Contains(text, "2 tasks run and 3 wait") {
		t.Fatalf("sixth task: %v %s", code, text)
	}
	// Another executor has its own places.
	other := h.body("gate", "other")
	other.Executor = "other"
	h.submitBody(other)

	seen := map[string]bool{}
	for range 3 {
		seen[<-g.started] = true
	}
	if !seen["0"] || !seen["1"] || !seen["other"] {
		t.Fatalf("running at once: %v", seen)
	}
	st := h.Stats()
	if st.Accepted != 6 || st.Rejected != 1 || len(st.Executors) != 2 || st.Executors[0] != (ExecutorStats{"ex", 2, 3}) || st.Executors[1] != (ExecutorStats{"other", 1, 0}) {
		t.Errorf("stats %+v", st)
	}
	for range 6 {
		g.release <- struct{}{}
	}
	for _, id := range ids {
		h.wantCode(id, wire.CodeOK)
	}
	h.wantCode(other.ID, wire.CodeOK)
}

// With one place, tasks run in the order in which they arrived.
func TestQueueKeepsOrder(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Executors = map[string]exec.PoolConfig{"ex": {Pool: 1}} })
	g := registerGate(h.reg)
	for i := range 20 {
		h.submit("gate", fmt.Sprint(i))
	}
	for i := range 20 {
		if got := <-g.started; got != fmt.Sprint(i) {
			t.Fatalf("task %s ran in place %d", got, i)
		}
		g.release <- struct{}{}
	}
}

func TestExecutorsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *Config) { c.MaxExecutors = 2 })
		g := registerGate(h.reg)
		for i := range 2 {
			b := h.body("gate", "")
			b.Executor = fmt.Sprint("ex", i)
			h.submitBody(b)
		}
		third := h.body("gate", "")
		third.Executor = "ex2"
		if code, _ := h.Submit(third); code != wire.CodeOverloaded {
			t.Fatalf("third executor: %v", code)
		}
		g.release <- struct{}{} // one of the two has no work any more
		synctest.Wait()
		h.submitBody(third)
		close(g.release)
		h.wantCode(third.ID, wire.CodeOK)
		synctest.Wait()
		if st := h.Stats(); len(st.Executors) != 0 || st.ArgBytes != 0 {
			t.Errorf("idle executors stay: %+v", st)
		}
	})
}

func TestArgumentsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *Config) { c.MaxArgBytes, c.Pool = 10, 1 })
		g := registerGate(h.reg)
		h.submit("gate", "1234")           // 5 bytes encoded, runs
		waiting := h.submit("gate", "123") // 4 bytes, waits
		if code, _ := h.Submit(h.body("gate", "1")); code != wire.CodeRejected {
			t.Fatalf("11 bytes of arguments: %v", code)
		}
		if !h.Cancel(waiting) {
			t.Fatal("the waiting task could not be cancelled")
		}
		h.submit("gate", "1")
		close(g.release)
		synctest.Wait()
		if st := h.Stats(); st.ArgBytes != 0 {
			t.Errorf("%d bytes of arguments are never given back", st.ArgBytes)
		}
	})
}

type badError struct{}

func (badError) Error() string { panic("the error's text") }

func TestPanicsAndGoexitAreErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *Config) { c.Pool = 1 })
		exec.RegisterTask(h.reg, "panic", func(context.Context, exec.TaskContext, any) (any, error) { panic("out of cheese") })
		exec.RegisterTask(h.reg, "nil", func(context.Context, exec.TaskContext, any) (int, error) { var p *int; return *p, nil })
		exec.RegisterTask(h.reg, "goexit", func(context.Context, exec.TaskContext, any) (any, error) { runtime.Goexit(); return nil, nil })
		exec.RegisterTask(h.reg, "error", func(context.Context, exec.TaskContext, any) (any, error) { return nil, badError{} })
		for _, c := range []struct{ task, text string }{
			{"panic", `task "panic" panicked: out of cheese`}, {"nil", "nil pointer"}, {"goexit", "ended its goroutine"}, {"error", "the error's text"},
		} {
			r := h.wantCode(h.submit(c.task, nil), wire.CodeTaskFailed)
			if !strings.Contains(r.Message, c.text) || r.Value != nil {
				t.Errorf("%s: %+v", c.task, r)
			}
		}
		synctest.Wait()
		if st := h.Stats(); len(st.Executors) != 0 || st.Failed != 4 {
			t.Errorf("places are lost: %+v", st)
		}
		for _, want := range []string{"out of cheese", "service_test.go", "task.name=panic", "task.id="} {
			if !strings.Contains(h.log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, h.log)
			}
		}
	})
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	h := newHarness(t, nil)
	var fail error
	exec.RegisterTask(h.reg, "fail", func(context.Context, exec.TaskContext, any) (any, error) { return nil, fail })
	for _, c := range []struct {
		err      error
		sentinel wire.Code
		text     string
	}{
		{errors.New("plain"), wire.CodeOK, "plain"},
		{fmt.Errorf("while saving: %w", sdk.ErrConflict), wire.CodeConflict, "while saving: conflict"},
		{&sdk.Error{Op: "set", Name: "users", Partition: 3, Err: sdk.ErrFenced}, wire.CodeFenced, "fenced"},
		{errors.New("not \xff text"), wire.CodeOK, "not \uFFFD text"},
		{errors.New(strings.Repeat("é", maxMessage)), wire.CodeOK, "éééé"},
	} {
		fail = c.err
		r := h.wantCode(h.submit("fail", nil), wire.CodeTaskFailed)
		if r.Sentinel != c.sentinel || !strings.Contains(r.Message, c.text) {
			t.Errorf("%v arrives as %v %q", c.err, r.Sentinel, r.Message)
		}
		if len(r.Message) > maxMessage+8 || !utf8.ValidString(r.Message) {
			t.Errorf("a message of %d bytes, UTF-8: %v", len(r.Message), utf8.ValidString(r.Message))
		}
	}
}

func TestResultSizes(t *testing.T) {
	h := newHarness(t, nil)
	exec.RegisterTask(h.reg, "bytes", func(_ context.Context, _ exec.TaskContext, n int) ([]byte, error) { return make([]byte, n), nil })
	exec.RegisterTask(h.reg, "func", func(context.Context, exec.TaskContext, any) (any, error) { return func() {}, nil })
	const header = 5
	if r := h.wantCode(h.submit("bytes", wire.MaxValue-header), wire.CodeOK); len(r.Value) != wire.MaxValue {
		t.Errorf("a result of %d bytes", len(r.Value))
	}
	if r := h.wantCode(h.submit("bytes", wire.MaxValue-header+1), wire.CodeTooLarge); r.Value != nil {
		t.Error("a value that is too large is kept")
	}
	if r := h.wantCode(h.submit("func", nil), wire.CodeTaskFailed); !strings.Contains(r.Message, "result of task") {
		t.Errorf("a result without encoding: %q", r.Message)
	}
}

func TestCancelEndsTheContextOnce(t *testing.T) {
	h := newHarness(t, nil)
	g := registerGate(h.reg)
	id := h.submit("gate", "x")
	<-g.started
	if !h.Cancel(id) {
		t.Fatal("Cancel had no effect")
	}
	if err := <-g.ended; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("the ctx ended by %v", err)
	}
	h.wantCode(id, wire.CodeCancelled)
	if h.Cancel(id) || h.Cancel(taskID(99)) {
		t.Error("Cancel of a task that is over, or unknown, claims an effect")
	}
	close(g.release)
	done := h.submit("gate", "y")
	h.wantCode(done, wire.CodeOK)
	if h.Cancel(done) {
		t.Error("Cancel of a task that is done claims an effect")
	}
	h.wantCode(done, wire.CodeOK)
}

// The outcome of a cancelled task does not wait for its function; the function's place in the pool does.
func TestCancelOfAStubbornTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *Config) { c.Pool = 1 })
		g := registerGate(h.reg)
		id := h.submit("stubborn", "a")
		never := h.submit("gate", "b")
		after := h.submit("gate", "c")
		if <-g.started != "a" || !h.Cancel(id) {
			t.Fatal("not running, or not cancelled")
		}
		h.wantCode(id, wire.CodeCancelled)
		if !h.Cancel(never) {
			t.Fatal("a waiting task could not be cancelled")
		}
		h.wantCode(never, wire.CodeCancelled)
		synctest.Wait()
		if st := h.Stats(); st.Executors[0] != (ExecutorStats{"ex", 1, 1}) {
			t.Fatalf("%+v: the place of a running function was given away", st)
		}
		close(g.release)
		h.wantCode(after, wire.CodeOK)
		if got := <-g.started; got != "c" {
			t.Errorf("task %q ran after it was cancelled", got)
		}
		h.wantCode(id, wire.CodeCancelled)
	})
}

func TestTimeout(t *testing.T) {
	for _, task := range []string{"gate", "stubborn"} {
		t.Run(task, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, nil)
				g := registerGate(h.reg)
				b := h.body(task, "x")
				b.Timeout = 1500
				begin := time.Now()
				r := h.wantCode(h.submitBody(b), wire.CodeTimeout)
				if took := time.Since(begin); took != 1500*time.Millisecond {
					t.Errorf("timed out after %v", took)
				}
				if !strings.Contains(r.Message, "1.5s") {
					t.Errorf("message %q", r.Message)
				}
				if task == "gate" {
					if err := <-g.ended; !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the ctx ended by %v", err)
					}
				}
				close(g.release)
				h.wantCode(b.ID, wire.CodeTimeout)
			})
		})
	}
}

// The time that a task waits for a place does not count, and one that ends in time is not touched.
func TestTimeoutCountsFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, func(c *Config) { c.Pool = 1 })
		g := registerGate(h.reg)
		h.submit("gate", "first")
		b := h.body("gate", "second")
		b.Timeout = 1000
		h.submitBody(b)
		endless := h.body("gate", "third")
		endless.Timeout = math.MaxUint64
		h.submitBody(endless)
		time.Sleep(time.Hour)
		g.release <- struct{}{}
		time.Sleep(999 * time.Millisecond)
		g.release <- struct{}{}
		h.wantCode(b.ID, wire.CodeOK)
		time.Sleep(time.Hour)
		g.release <- struct{}{}
		h.wantCode(endless.ID, wire.CodeOK)
	})
}

// What a task returns after its time was up does not count, also where it returns at once.
func TestTimeoutGoesBeforeTheResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		exec.RegisterTask(h.reg, "late", func(ctx context.Context, _ exec.TaskContext, _ any) (string, error) {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the ctx has no deadline")
			}
			<-ctx.Done()
			return "made it", nil
		})
		for range 20 {
			b := h.body("late", nil)
			b.Timeout = 1
			h.wantCode(h.submitBody(b), wire.CodeTimeout)
		}

		// The function may have returned before anybody was told that its time is up.
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errTimeUp)
		defer cancel()
		<-ctx.Done()
		if r := h.outcome(ctx, &job{task: "late"}, []byte{5}, 0, nil); r.Code != wire.CodeTimeout {
			t.Errorf("what is returned late counts: %+v", r)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	h := newHarness(t, nil)
	g := registerGate(h.reg)
	id := h.submit("gate", "x")
	<-g.started
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := h.Wait(ctx, id); r.Done || r.Code != wire.CodeOK {
		t.Errorf("Wait for a running task with an ended ctx: %+v", r)
	}
	close(g.release)
	h.wantCode(id, wire.CodeOK)
	if r := h.Wait(ctx, id); !r.Done {
		t.Error("a result that is there is not returned for an ended ctx")
	}
}

func TestResultsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, nil)
		var runs atomic.Int32
		exec.RegisterTask(h.reg, "count", func(context.Context, exec.TaskContext, any) (int32, error) { return runs.Add(1), nil })
		fetched, unfetched := h.body("count", nil), h.body("count", nil)
		h.submitBody(fetched)
		h.submitBody(unfetched)
		h.wantCode(fetched.ID, wire.CodeOK)
		time.Sleep(30 * time.Second)
		h.wantCode(fetched.ID, wire.CodeOK) // asked again: there, but not kept any longer for that
		h.submitBody(fetched)
		time.Sleep(29 * time.Second)
		h.wantCode(fetched.ID, wire.CodeOK)
		time.Sleep(17 * time.Second)
		h.wantCode(fetched.ID, wire.CodeNotFound)
		time.Sleep(3 * time.Minute)
		h.wantCode(unfetched.ID, wire.CodeOK)
		time.Sleep(76 * time.Second)
		h.wantCode(unfetched.ID, wire.CodeNotFound)
		if st := h.Stats(); st.Results != 0 || st.ResultBytes != 0 || runs.Load() != 2 {
			t.Errorf("%+v after %d runs", st, runs.Load())
		}
		if h.Service.mu.jobs[fetched.ID] != nil || len(h.Service.mu.jobs) != 0 {
			t.Errorf("%d jobs stay", len(h.Service.mu.jobs))
		}
	})
}

func TestResultsAreBounded(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.MaxResultBytes = 3 * (resultOverhead + 100) })
	exec.RegisterTask(h.reg, "bytes", func(_ context.Context, _ exec.TaskContext, n int) ([]byte, error) { return make([]byte, n), nil })
	first := h.submit("bytes", 90)
	<-h.Service.job(first).done
	for range 2 {
		h.wantCode(h.submit("bytes", 90), wire.CodeOK)
	}
	h.wantCode(h.submit("bytes", 90), wire.CodeOK)
	if st := h.Stats(); st.Results != 3 || st.ResultBytes > 3*(resultOverhead+100) {
		t.Errorf("%+v", st)
	}
	h.wantCode(first, wire.CodeOK) // unfetched, so a fetched one went for the fourth
}

// job returns what the service knows of a task.
func (s *Service) job(id wire.ID) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.jobs[id]
}

func TestNames(t *testing.T) {
	h := newHarness(t, nil)
	if got := h.Names(); len(got) != 0 {
		t.Errorf("an empty registry has %v", got)
	}
	registerGate(h.reg)
	if got := strings.Join(h.Names(), " "); got != "gate stubborn" {
		t.Errorf("names %q", got)
	}
}
