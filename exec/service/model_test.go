package service

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// modelTask is what the model knows of one accepted task.
type modelTask struct {
	id       wire.ID
	executor string
	state    string // waiting, running, done, cancelled, stubborn (cancelled, its function still runs), returned (no longer)
}

// TestServiceAgainstModel submits, repeats, cancels and lets tasks return in random order, and compares after each step who
// runs, who waits and what outcomes are known.
func TestServiceAgainstModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(rt *rapid.T) { checkServiceAgainstModel(t, rt) })
	})
}

// inBubble hides from rapid that it has a *testing.T, which it would ask for its deadline: a bubble has none.
type inBubble struct{ *testing.T }

func checkServiceAgainstModel(t *testing.T, rt *rapid.T) {
	const poolSize, depth = 2, 3
	release := map[wire.ID]chan struct{}{}
	runs := map[wire.ID]int{}
	running := make(chan wire.ID, 1024)
	h := newHarness(t, func(c *Config) { c.Pool, c.Queue = poolSize, depth })
	defer h.Stop()
	let := map[wire.ID]func(){} // let the task return
	defer func() {
		for _, f := range let {
			f()
		}
	}()
	exec.RegisterTask(h.reg, "held", func(_ context.Context, _ exec.TaskContext, n uint64) (uint64, error) {
		running <- taskID(n)
		<-release[taskID(n)]
		return n, nil
	})

	var model []*modelTask
	count := func(executor string, states ...string) (n int) {
		for _, m := range model {
			if m.executor == executor && slices.Contains(states, m.state) {
				n++
			}
		}
		return n
	}
	// advance gives free places to those that have waited longest.
	advance := func() {
		for _, m := range model {
			if m.state == "waiting" && count(m.executor, "running", "stubborn") < poolSize {
				m.state = "running"
			}
		}
	}
	pick := func(rt *rapid.T) *modelTask {
		if len(model) == 0 {
			rt.Skip("no tasks yet")
		}
		return model[rapid.IntRange(0, len(model)-1).Draw(rt, "task")]
	}

	rt.Repeat(map[string]func(*rapid.T){
		"submit": func(rt *rapid.T) {
			n := uint64(len(release) + 1)
			m := &modelTask{id: taskID(n), executor: fmt.Sprint("ex", rapid.IntRange(0, 1).Draw(rt, "executor")), state: "waiting"}
			c := make(chan struct{})
			release[m.id], let[m.id] = c, sync.OnceFunc(func() { close(c) })
			want := wire.CodeOK
			if count(m.executor, "running", "stubborn") == poolSize && count(m.executor, "waiting") == depth {
				want = wire.CodeRejected
			} else {
				model = append(model, m)
			}
			code, text := h.Submit(wire.TaskBody{ID: m.id, Executor: m.executor, Task: "held", Arg: encode(t, n), Attempt: 1})
			if code != want {
				rt.Fatalf("submit %v: %v (%s), want %v", m.id, code, text, want)
			}
		},
		"repeat": func(rt *rapid.T) {
			m := pick(rt)
			if code, text := h.Submit(wire.TaskBody{ID: m.id, Executor: m.executor, Task: "held", Attempt: 1}); code != wire.CodeOK {
				rt.Fatalf("repeat %v: %v (%s)", m.id, code, text)
			}
		},
		"cancel": func(rt *rapid.T) {
			m := pick(rt)
			want := m.state == "waiting" || m.state == "running"
			if got := h.Cancel(m.id); got != want {
				rt.Fatalf("cancel %v, which is %s: %v", m.id, m.state, got)
			}
			switch m.state {
			case "waiting":
				m.state = "cancelled"
			case "running":
				m.state = "stubborn"
			}
		},
		"return": func(rt *rapid.T) {
			m := pick(rt)
			switch m.state {
			case "running":
				m.state = "done"
			case "stubborn":
				m.state = "returned"
			default:
				rt.Skip("does not run")
			}
			let[m.id]()
		},
		"": func(rt *rapid.T) {
			advance()
			synctest.Wait()
			for len(running) > 0 {
				runs[<-running]++
			}
			for _, e := range h.Stats().Executors {
				if e.Running != count(e.Name, "running", "stubborn") || e.Waiting != count(e.Name, "waiting") {
					rt.Fatalf("%+v, want %d and %d", e, count(e.Name, "running", "stubborn"), count(e.Name, "waiting"))
				}
			}
			ended, end := context.WithCancel(t.Context())
			end()
			for _, m := range model {
				var want wire.TaskResult
				wantRuns := 1
				switch m.state {
				case "waiting":
					wantRuns = 0
				case "cancelled":
					want.Done, want.Code, wantRuns = true, wire.CodeCancelled, 0
				case "done":
					want.Done = true
				case "stubborn", "returned":
					want.Done, want.Code = true, wire.CodeCancelled
				}
				if got := h.Wait(ended, m.id); got.Done != want.Done || got.Code != want.Code {
					rt.Fatalf("%v, which is %s: %+v", m.id, m.state, got)
				}
				if runs[m.id] != wantRuns {
					rt.Fatalf("%v, which is %s, ran %d times", m.id, m.state, runs[m.id])
				}
			}
		},
	})
}
