// Package builtin is not API: it is for the grid binary, and it may change in any version.
//
// It owns the tasks that every grid binary brings along, so that an executor can be tried without writing
// code. Programs that embed a member start with an empty registry and may add them.
package builtin

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
)

// WhoAmI is the result of the task "whoami".
type WhoAmI struct {
	ID      string `msgpack:"id" json:"id"`
	Name    string `msgpack:"name" json:"name"`
	Addr    string `msgpack:"addr" json:"addr"`
	PID     int    `msgpack:"pid" json:"pid"`
	Version string `msgpack:"version" json:"version"`
}

// Register adds the tasks to reg. It panics where one of their names is taken.
//
//   - whoami returns the WhoAmI of the member that runs it;
//   - echo returns its argument;
//   - sleep takes a duration such as "300ms" and returns it after that time, or an error as soon as the task is to end;
//   - fail returns an error whose text is its argument;
//   - sum-map takes a map's name and returns the sum of the numbers among the values of the entries that the member owns. It is
//     exact as long as all of them are integers and the sum is in the range of int64 or uint64. Otherwise it is a float64.
func Register(reg *exec.Registry) {
	exec.RegisterTask(reg, "whoami", whoAmI)
	exec.RegisterTask(reg, "echo", echo)
	exec.RegisterTask(reg, "sleep", sleep)
	exec.RegisterTask(reg, "fail", fail)
	exec.RegisterTask(reg, "sum-map", sumMap)
}

func whoAmI(_ context.Context, tc exec.TaskContext, _ any) (WhoAmI, error) {
	m := tc.Member()
	return WhoAmI{ID: m.ID, Name: m.Name, Addr: m.Addr, PID: os.Getpid(), Version: m.Version}, nil
}

func echo(_ context.Context, _ exec.TaskContext, arg any) (any, error) { return arg, nil }

func sleep(ctx context.Context, _ exec.TaskContext, text string) (string, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return "", fmt.Errorf("%w: sleep takes a duration such as \"300ms\", not %q", sdk.ErrInvalid, text)
	}

	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return text, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

func fail(_ context.Context, _ exec.TaskContext, text any) (any, error) {
	return nil, errors.New(fmt.Sprint(text))
}

func sumMap(_ context.Context, tc exec.TaskContext, name string) (any, error) {
	var sum total
	for entry, err := range exec.Local[any, any](tc, name) {
		if err != nil {
			return nil, fmt.Errorf("sum-map: %w", err)
		}
		sum.add(entry.Value)
	}
	return sum.value(), nil
}

// total adds integers without loss, however many, and floats beside them.
type total struct {
	integers big.Int
	floats   float64
	hasFloat bool
}

// add adds v if it is a number, as values decode into an any.
func (t *total) add(v any) {
	switch v := v.(type) {
	case int64:
		t.integers.Add(&t.integers, big.NewInt(v))
	case uint64:
		t.integers.Add(&t.integers, new(big.Int).SetUint64(v))
	case float64:
		t.floats += v
		t.hasFloat = true
	}
}

// value returns the sum as an int64, a uint64 where it is above its range, or a float64.
func (t *total) value() any {
	switch {
	case !t.hasFloat && t.integers.IsInt64():
		return t.integers.Int64()
	case !t.hasFloat && t.integers.IsUint64():
		return t.integers.Uint64()
	}

	f, _ := new(big.Float).SetInt(&t.integers).Float64()
	return f + t.floats
}
