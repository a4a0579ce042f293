package sdk

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func encodeForTest(v any) ([]byte, error) { return codec.Msgpack{}.Encode(nil, v) }

// held submits the task "hold" to a member.
func held(t *testing.T, c *Client, member string) *Future[string] {
	t.Helper()
	f, err := SubmitToMember[string](t.Context(), c.Executor("ex"), member, "hold", nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantPending[R any](t *testing.T, f *Future[R]) {
	t.Helper()
	select {
	case <-f.Done():
		_, err := f.Get(t.Context())
		t.Fatalf("done already: %v", err)
	default:
	}
}

// Waiting goes far beyond the client's timeout, in calls of 20 seconds at most, one at a time.
func TestGetWaitsInSlices(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f := held(t, c, "m1")
		begin := time.Now()
		time.Sleep(90 * time.Second)
		wantPending(t, f)
		cl.finish(1, "late")
		if got := get(t, f, nil); got != "late" || time.Since(begin) != 90*time.Second {
			t.Errorf("%q after %v", got, time.Since(begin))
		}
		<-f.Done()
		waits := cl.requests(1, wire.OpTaskWait)
		if len(waits) < 5 || len(waits) > 8 {
			t.Errorf("%d calls for 90 seconds", len(waits))
		}
		for _, req := range waits {
			ref, err := wire.DecodeTaskRef(req.Body)
			if err != nil || ref.ID.String() != f.ID() {
				t.Errorf("asked for %v, not %v", ref.ID, f.ID())
			}
		}
	})
}

func TestGetEndsWithItsContextOnly(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f := held(t, c, "m0")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Get(ctx); !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		wantPending(t, f)
		cl.finish(0, "x")
		get(t, f, nil)
		if got, err := f.Get(ctx); err != nil || got != "x" { // known: an ended ctx does not matter
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The context of a submission bounds the submission alone.
func TestTaskOutlivesItsSubmission(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ctx, cancel := context.WithCancel(t.Context())
		f, err := SubmitToMember[string](ctx, c.Executor("ex"), "m0", "hold", nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		wantPending(t, f)
		cl.finish(0, "x")
		get(t, f, nil)
	})
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name   string
		result wire.TaskResult
		want   []error
		not    []error
		text   string
	}{
		{"own error", wire.TaskResult{Code: wire.CodeTaskFailed, Message: "out of cheese"}, nil, []error{ErrConflict, ErrInvalid}, "out of cheese"},
		{"sentinel", wire.TaskResult{Code: wire.CodeTaskFailed, Message: "saving: conflict", Sentinel: wire.CodeConflict}, []error{ErrConflict}, nil, "saving: conflict"},
		{"its time", wire.TaskResult{Code: wire.CodeTimeout, Message: "1s"}, []error{context.DeadlineExceeded}, []error{ErrTimeout}, "1s"},
		{"cancelled", wire.TaskResult{Code: wire.CodeCancelled}, []error{ErrCancelled}, []error{ErrTimeout}, "cancelled"},
		{"too large", wire.TaskResult{Code: wire.CodeTooLarge}, []error{ErrTooLarge}, nil, ""},
		{"argument", wire.TaskResult{Code: wire.CodeInvalid, Message: "not an int"}, []error{ErrInvalid}, nil, "not an int"},
		{"stop", wire.TaskResult{Code: wire.CodeMemberLeft}, []error{ErrMemberLeft}, nil, ""},
		{"dropped", wire.TaskResult{Code: wire.CodeNotFound}, []error{ErrNotFound}, []error{ErrMemberLeft}, "keep"},
		{"a code of later versions", wire.TaskResult{Code: 999}, nil, []error{ErrInvalid}, "task_wait"},
		{"other type", wire.TaskResult{Value: []byte{5}}, []error{ErrInvalid}, nil, "string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, cl *taskCluster, client *Client) {
				cl.mu.Lock()
				cl.members[0].tasks["it"] = func([]byte) *wire.TaskResult { return &c.result }
				cl.mu.Unlock()
				f, err := SubmitToMember[string](t.Context(), client.Executor("ex"), "m0", "it", nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := f.Get(t.Context())
				var e *Error
				if got != "" || !errors.As(err, &e) || e.Member != cl.id(0) || e.Name != "ex" || e.Code != Code(c.result.Code) || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("%q, %v", got, err)
				}
				for _, want := range c.want {
					if !errors.Is(err, want) {
						t.Errorf("%v is not %v", err, want)
					}
				}
				for _, not := range c.not {
					if errors.Is(err, not) {
						t.Errorf("%v is %v", err, not)
					}
				}
			})
		})
	}
}

func TestNilIsTheZeroResult(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		type out struct{ N int }
		f, err := Submit[out](t.Context(), c.Executor("ex"), "echo", nil)
		if got := get(t, f, err); got.N != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// A member that dies with the task: known at once where others suspect it, else when it cannot be reached for a while.
func TestMemberDies(t *testing.T) {
	for _, suspected := range []bool{true, false} {
		bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
			f := held(t, c, "m1")
			begin := time.Now()
			cl.kill(1)
			if suspected {
				cl.change(func() { cl.members[1].info.State = string(MemberSuspect) })
			}
			_, err := f.Get(t.Context())
			took := time.Since(begin)
			if !errors.Is(err, ErrMemberLeft) || suspected && took > time.Second || !suspected && (took < lostAfter || took > lostAfter+time.Second) {
				t.Errorf("suspected %v: %v after %v", suspected, err, took)
			}
		})
	}
}

// A member that restarted does not know the task: it is lost, and not run again.
func TestMemberRestarts(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f := held(t, c, "m1")
		cl.kill(1)
		cl.restart(1)
		if _, err := f.Get(t.Context()); !errors.Is(err, ErrMemberLeft) {
			t.Errorf("%v", err)
		}
		if n := len(cl.bodies(1)); n != 1 {
			t.Errorf("submitted %d times", n)
		}
	})
}

// A connection that breaks costs nothing but a moment.
func TestConnectionBreaksWhileWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f := held(t, c, "m1")
		for range 3 {
			synctest.Wait()
			cl.cut(1)
			time.Sleep(time.Second)
		}
		wantPending(t, f)
		cl.finish(1, "x")
		get(t, f, nil)
	})
}

// A submission whose answer is lost is not made again, to nobody: the member that got it is asked for the result.
func TestConnectionBreaksWhileSubmitting(t *testing.T) {
	submissions := map[string]func(context.Context, *Executor) (*Future[string], error){
		"any": func(ctx context.Context, ex *Executor) (*Future[string], error) {
			return Submit[string](ctx, ex, "echo", "x")
		},
		"key": func(ctx context.Context, ex *Executor) (*Future[string], error) {
			return SubmitToKeyOwner[string](ctx, ex, "k", "echo", "x")
		},
		"member": func(ctx context.Context, ex *Executor) (*Future[string], error) {
			return SubmitToMember[string](ctx, ex, "m1", "echo", "x")
		},
	}
	for name, submit := range submissions {
		for _, v := range []verdict{cutFirst, cutAfter} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
					for i := range 3 {
						cl.once(i, wire.OpTaskSubmit, 0, v)
					}
					f, err := submit(t.Context(), c.Executor("ex"))
					if err != nil {
						t.Fatal(err)
					}
					got, err := f.Get(t.Context())
					if v == cutAfter && (err != nil || got != "x") {
						t.Errorf("accepted: %q, %v", got, err)
					}
					if v == cutFirst && !errors.Is(err, ErrMemberLeft) {
						t.Errorf("not accepted: %q, %v", got, err)
					}
					if n := len(cl.bodies(0)) + len(cl.bodies(1)) + len(cl.bodies(2)); n != 1 {
						t.Errorf("submitted %d times", n)
					}
				})
			})
		}
	}
}

// A submission whose context ends before the answer may have been accepted.
func TestContextEndsWhileSubmitting(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		ctx, cancel := context.WithCancel(t.Context())
		cl.mu.Lock()
		cl.members[1].answer = func(*wire.Request) (wire.Code, []byte, verdict) { cancel(); return wire.CodeNotReady, nil, instead }
		cl.mu.Unlock()
		_, err := SubmitToMember[string](ctx, c.Executor("ex"), "m1", "echo", "x")
		if err == nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}

		silent := make(chan struct{})
		cl.mu.Lock()
		cl.members[1].answer = nil
		cl.members[1].tasks["echo"] = func([]byte) *wire.TaskResult { <-silent; return &wire.TaskResult{} }
		cl.mu.Unlock()
		_, err = SubmitToMember[string](deadlineIn(t, time.Second), c.Executor("ex"), "m1", "echo", "x")
		if !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		close(silent)
	})
}

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f := held(t, c, "m2")
		if took, err := f.Cancel(t.Context()); !took || err != nil {
			t.Fatalf("%v, %v", took, err)
		}
		if _, err := f.Get(t.Context()); !errors.Is(err, ErrCancelled) {
			t.Errorf("%v", err)
		}
		if took, err := f.Cancel(t.Context()); took || err != nil {
			t.Errorf("a second time: %v, %v", took, err)
		}
		done := held(t, c, "m2")
		cl.finish(2, "x")
		get(t, done, nil)
		if took, err := done.Cancel(t.Context()); took || err != nil {
			t.Errorf("a task that is done: %v, %v", took, err)
		}
	})
}

// A cancellation whose answer is lost is repeated, and tells the truth.
func TestCancelOverABrokenConnection(t *testing.T) {
	for _, v := range []verdict{cutFirst, cutAfter} {
		bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
			f := held(t, c, "m2")
			cl.once(2, wire.OpTaskCancel, 0, v)
			if took, err := f.Cancel(t.Context()); !took || err != nil {
				t.Errorf("%v, %v", took, err)
			}
			if _, err := f.Get(t.Context()); !errors.Is(err, ErrCancelled) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCancelOfADeadMember(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f := held(t, c, "m2")
		cl.kill(2)
		if took, err := f.Cancel(t.Context()); took {
			t.Errorf("%v, %v", took, err)
		}
		if _, err := f.Get(t.Context()); !errors.Is(err, ErrMemberLeft) {
			t.Errorf("%v", err)
		}
	})
}

// Close ends all futures, and their goroutines with it: the bubble would not end otherwise.
func TestCloseEndsFutures(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f := held(t, c, "m0")
		all, err := SubmitToAllMembers[string](t.Context(), c.Executor("ex"), "hold", nil)
		if err != nil {
			t.Fatal(err)
		}
		cl.kill(1)
		_ = c.Close()
		<-f.Done()
		if _, err := f.Get(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
		results, err := all.Wait(t.Context())
		if err != nil || len(results) != 3 {
			t.Fatalf("%v, %v", results, err)
		}
		for _, r := range results {
			if !errors.Is(r.Err, ErrClosed) {
				t.Errorf("%+v", r)
			}
		}
		if _, err := Submit[string](t.Context(), c.Executor("ex"), "echo", 1); !errors.Is(err, ErrClosed) {
			t.Errorf("Submit after Close: %v", err)
		}
	})
}

func TestMultiFutureEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		f, err := SubmitToAllMembers[string](t.Context(), c.Executor("ex"), "hold", nil)
		if err != nil {
			t.Fatal(err)
		}
		cl.finish(1, "one")
		results, err := f.Wait(deadlineIn(t, time.Minute))
		if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || len(results) != 1 || results[cl.id(1)].Value != "one" {
			t.Errorf("%v, %v", results, err)
		}
		for r, err := range f.All(t.Context()) {
			if err != nil || r.Member != cl.id(1) {
				t.Errorf("first %+v, %v", r, err)
			}
			break
		}
		if n, err := f.Cancel(t.Context()); n != 2 || err != nil {
			t.Errorf("%d cancelled, %v", n, err)
		}
		results, err = f.Wait(t.Context())
		if err != nil || !errors.Is(results[cl.id(0)].Err, ErrCancelled) || results[cl.id(1)].Err != nil {
			t.Errorf("%v, %v", results, err)
		}
	})
}

// A member that refuses the task has its error in the result; the others run.
func TestOneOfAllRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		cl.once(2, wire.OpTaskSubmit, wire.CodeRejected, instead)
		cl.mu.Lock()
		only := cl.members[2].answer
		cl.mu.Unlock()
		if only == nil {
			t.Fatal("no answer prepared")
		}
		f, err := SubmitToAllMembers[string](t.Context(), c.Executor("ex"), "echo", "x")
		if err != nil {
			t.Fatal(err)
		}
		results, err := f.Wait(t.Context())
		if err != nil || !errors.Is(results[cl.id(2)].Err, ErrRejected) || results[cl.id(0)].Value != "x" {
			t.Errorf("%v, %v", results, err)
		}
	})
}
