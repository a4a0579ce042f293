package exec

import (
	"context"
	"fmt"

	"github.com/gridiron-io/gridiron/exec/internal/tasks"
	"github.com/gridiron-io/gridiron/sdk/codec"
)

// Registry holds functions that members run, by name. Make one with [NewRegistry]. Fill it before a member starts, or while it
// runs. Several members may share it. It is safe for concurrent use.
type Registry tasks.Registry // package exec/service, which runs the functions, converts it back

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return (*Registry)(tasks.New()) }

// Tasks returns the names of all tasks, sorted. The slice belongs to the caller.
func (r *Registry) Tasks() []string { return (*tasks.Registry)(r).Names() }

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
	// These are mistakes in the program, which every start shows. A panic names them before a member serves.
	if fn == nil {
		panic(fmt.Sprintf("exec: task %q has no function", name))
	}
	if problem := tasks.CheckName(name); problem != "" {
		panic(fmt.Sprintf("exec: the name of task %q %s", name, problem))
	}

	// From here on the types are hidden: members handle all tasks alike, as bytes.
	run := func(ctx context.Context, tc tasks.Context, arg []byte) ([]byte, tasks.Stage, error) {
		var in In
		// A caller without an argument sends nil, which is the zero value of every type.
		if !isNil(arg) {
			if err := (codec.Msgpack{}).Decode(arg, &in); err != nil {
				return nil, tasks.StageArg, err
			}
		}

		out, err := fn(ctx, tc, in)
		if err != nil {
			return nil, tasks.StageTask, err
		}

		value, err := codec.Msgpack{}.Encode(nil, out)
		if err != nil {
			return nil, tasks.StageResult, err
		}
		return value, 0, nil
	}
	(*tasks.Registry)(r).Add(name, run)
}

// isNil reports whether b is no value, or the encoding of nil.
func isNil(b []byte) bool { return len(b) == 0 || len(b) == 1 && b[0] == 0xc0 }
