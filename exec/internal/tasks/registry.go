package tasks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Registry holds functions by name. Its methods are safe for concurrent use.
type Registry struct {
	mu struct {
		sync.RWMutex
		tasks map[string]Runner
	}
}

// Runner runs a task whose types it hides. It returns the encoded result, or the stage that failed and why.
type Runner func(ctx context.Context, tc Context, arg []byte) ([]byte, Stage, error)

// Stage names where a Runner failed.
type Stage uint8

// The zero Stage is success.
const (
	StageArg    Stage = iota + 1 // the argument is not what the task takes; the function did not run
	StageTask                    // the function's own error
	StageResult                  // the function's result has no encoding
)

// New returns an empty Registry.
func New() *Registry {
	r := &Registry{}
	r.mu.tasks = make(map[string]Runner)
	return r
}

// Add registers a function. It panics if the name is taken.
func (r *Registry) Add(name string, run Runner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.mu.tasks[name]; taken {
		panic(fmt.Sprintf("exec: task %q is registered twice", name))
	}
	r.mu.tasks[name] = run
}

// Lookup returns the function of a name, and whether there is one.
func (r *Registry) Lookup(name string) (Runner, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	run, ok := r.mu.tasks[name]
	return run, ok
}

// Names returns all names, sorted. The slice belongs to the caller.
func (r *Registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.mu.tasks))
}

// CheckName returns what is wrong with the name of a task or an executor, "" if nothing.
func CheckName(name string) string {
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
