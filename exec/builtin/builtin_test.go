package builtin_test

import (
	"context"
	"iter"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/exec/builtin"
	execsvc "github.com/gridiron-io/gridiron/exec/service"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var values = map[string][]any{
	"integers": {1, -5, int64(math.MaxInt64), "text", true, nil, []any{7}},
	"unsigned": {uint64(math.MaxUint64 - 1), 1},
	"huge":     {uint64(math.MaxUint64), 1},
	"back":     {int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MinInt64), 1},
	"floats":   {1.5, 2, float32(0.25)},
}

// member returns a started service with the built-in tasks, over maps with the values above.
func member(t *testing.T) *execsvc.Service {
	t.Helper()
	reg := exec.NewRegistry()
	builtin.Register(reg)
	s, err := execsvc.New(execsvc.Config{
		Registry: reg,
		Member:   func() sdk.Member { return sdk.Member{ID: "id-1", Name: "m1", Addr: "host:5701", Version: "1.2.3"} },
		Client:   func() *sdk.Client { return nil },
		LocalEntries: func(_ context.Context, name string) iter.Seq2[execsvc.RawEntry, error] {
			return func(yield func(execsvc.RawEntry, error) bool) {
				for i, v := range values[name] {
					if !yield(execsvc.RawEntry{Key: encode(t, i), Value: encode(t, v)}, nil) {
						return
					}
				}
				if name == "broken" {
					yield(execsvc.RawEntry{}, sdk.ErrUnavailable)
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func submit(t *testing.T, s *execsvc.Service, task string, arg any) wire.ID {
	t.Helper()
	id := wire.ID{15: byte(len(task)), 14: byte(s.Stats().Accepted + 1)}
	code, text := s.Submit(wire.TaskBody{ID: id, Executor: "ex", Task: task, Arg: encode(t, arg), Attempt: 1})
	if code != wire.CodeOK {
		t.Fatalf("%s: %v %s", task, code, text)
	}
	return id
}

func run(t *testing.T, s *execsvc.Service, task string, arg any) wire.TaskResult {
	t.Helper()
	return s.Wait(t.Context(), submit(t, s, task, arg))
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := codec.Msgpack{}.Encode(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func value(t *testing.T, r wire.TaskResult) (v any) {
	t.Helper()
	if r.Code != wire.CodeOK {
		t.Fatalf("ended in %v: %s", r.Code, r.Message)
	}
	if err := (codec.Msgpack{}).Decode(r.Value, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNames(t *testing.T) {
	if got := strings.Join(member(t).Names(), " "); got != "echo fail sleep sum-map whoami" {
		t.Errorf("tasks: %s", got)
	}
}

func TestWhoAmI(t *testing.T) {
	want := map[string]any{"id": "id-1", "name": "m1", "addr": "host:5701", "pid": int64(os.Getpid()), "version": "1.2.3"}
	if got := value(t, run(t, member(t), "whoami", nil)); !reflect.DeepEqual(got, want) {
		t.Errorf("whoami = %v, want %v", got, want)
	}
}

func TestEcho(t *testing.T) {
	s := member(t)
	for _, v := range []any{nil, "text", int64(-7), 1.5, []any{int64(1), "a"}, map[string]any{"age": int64(30)}} {
		if got := value(t, run(t, s, "echo", v)); !reflect.DeepEqual(got, v) {
			t.Errorf("echo(%v) = %v", v, got)
		}
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := member(t)
		begin := time.Now()
		if got := value(t, run(t, s, "sleep", "300ms")); got != "300ms" {
			t.Errorf("sleep returns %v", got)
		}
		if took := time.Since(begin); took != 300*time.Millisecond {
			t.Errorf("slept %v", took)
		}
		id := submit(t, s, "sleep", "10h")
		synctest.Wait()
		if !s.Cancel(id) {
			t.Error("not cancelled")
		}
		synctest.Wait()
		if len(s.Stats().Executors) != 0 || time.Since(begin) != 300*time.Millisecond {
			t.Error("a cancelled sleep goes on")
		}
		for _, bad := range []any{"soon", nil} {
			if r := run(t, s, "sleep", bad); r.Code != wire.CodeTaskFailed || r.Sentinel != wire.CodeInvalid {
				t.Errorf("sleep(%v): %+v", bad, r)
			}
		}
	})
}

func TestFail(t *testing.T) {
	s := member(t)
	for arg, want := range map[any]string{"out of cheese": "out of cheese", 5: "5"} {
		if r := run(t, s, "fail", arg); r.Code != wire.CodeTaskFailed || r.Message != want {
			t.Errorf("fail(%v): %+v", arg, r)
		}
	}
}

func TestSumMap(t *testing.T) {
	s := member(t)
	for name, want := range map[string]any{
		"integers": int64(math.MaxInt64 - 4),
		"unsigned": uint64(math.MaxUint64),
		"huge":     float64(1 << 64),
		"back":     int64(math.MaxInt64),
		"floats":   3.75,
		"empty":    int64(0),
	} {
		if got := value(t, run(t, s, "sum-map", name)); !reflect.DeepEqual(got, want) {
			t.Errorf("sum-map(%s) = %v (%T), want %v", name, got, got, want)
		}
	}
	if r := run(t, s, "sum-map", "broken"); r.Code != wire.CodeTaskFailed || r.Sentinel != wire.CodeUnavailable {
		t.Errorf("a map that cannot be read: %+v", r)
	}
}
