package exec

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Registry holds functions that members run, by name. Fill it before a member starts, or while it runs. Several members may
// share it. Its methods are safe for concurrent use.
type Registry struct {
	mu struct {
		sync.RWMutex
		tasks map[string]runner
	}
}

// runner runs a task whose types it hides. It returns the encoded result, or the stage that failed and why.
type runner func(ctx context.Context, tc TaskContext, arg []byte) ([]byte, stage, error)

// stage names where a runner failed.
type stage uint8

const (
	stageArg    stage = iota + 1 // the argument is not what the task takes; the function did not run
	stageTask                    // the function's own error
	stageResult                  // the function's result has no encoding
)

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	r := &Registry{}
	r.mu.tasks = make(map[string]runner)
	return r
}

// RegisterTask makes members that were started with r run fn for tasks of the given name. The caller's argument must encode like
// an In. A nil argument is the zero In.
//
// fn is called from many goroutines at the same time, at most as many per executor as [PoolConfig] says. Its context ends when
// the task is cancelled, when its time is up, and when the member stops. A function that ignores the end of its context keeps
// its place in the pool.
//
// The caller gets fn's error with its text. If the error wraps one of package sdk's errors, it also matches that at the caller.
// A panic is an error with the panic's text.
//
// RegisterTask panics if fn is nil, and if the name is empty, longer than 255 bytes, not UTF-8, contains control characters, or
// is taken.
func RegisterTask[In, Out any](r *Registry, name string, fn func(ctx context.Context, tc TaskContext, in In) (Out, error)) {
	if fn == nil {
		panic(fmt.Sprintf("exec: task %q has no function", name))
	}
	if problem := checkName(name); problem != "" {
		panic(fmt.Sprintf("exec: the name of task %q %s", name, problem))
	}

	r.add(name, func(ctx context.Context, tc TaskContext, arg []byte) ([]byte, stage, error) {
		var in In
		if !isNil(arg) {
			if err := (codec.Msgpack{}).Decode(arg, &in); err != nil {
				return nil, stageArg, err
			}
		}

		out, err := fn(ctx, tc, in)
		if err != nil {
			return nil, stageTask, err
		}

		value, err := codec.Msgpack{}.Encode(nil, out)
		if err != nil {
			return nil, stageResult, err
		}
		return value, 0, nil
	})
}

// Tasks returns the names of all tasks, sorted. The slice belongs to the caller.
func (r *Registry) Tasks() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.mu.tasks))
}

func (r *Registry) add(name string, run runner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.mu.tasks[name]; taken {
		panic(fmt.Sprintf("exec: task %q is registered twice", name))
	}
	r.mu.tasks[name] = run
}

func (r *Registry) lookup(name string) (runner, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	run, ok := r.mu.tasks[name]
	return run, ok
}

// checkName returns what is wrong with the name of a task or an executor, "" if nothing.
func checkName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > wire.MaxTaskName:
		return fmt.Sprintf("has %d bytes, the limit is %d", len(name), wire.MaxTaskName)
	case !utf8.ValidString(name):
		return "is not UTF-8"
	}

	for _, c := range name {
		if unicode.IsControl(c) {
			return "contains control characters"
		}
	}
	return ""
}

// isNil reports whether b is no value, or the encoding of nil.
func isNil(b []byte) bool { return len(b) == 0 || len(b) == 1 && b[0] == 0xc0 }
