package app

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestCheckNames(t *testing.T) {
	for _, name := range []string{"a", "users:eu/1", "köln", strings.Repeat("x", wire.MaxMapName)} {
		require.NoError(t, checkMap(name))
		require.NoError(t, checkName(name, "name"))
	}
	for _, name := range []string{"", "a\nb", "\x1b[2J", "\xff", "a\u0085", strings.Repeat("x", wire.MaxMapName+1)} {
		require.Equal(t, exitUsage, exitCode(checkMap(name)), "%q", name)
		require.Equal(t, exitUsage, exitCode(checkName(name, "name")), "%q", name)
		require.NotContains(t, oneLine(checkMap(name)), "\x1b")
	}
}

// Keys are limited by their encoding, which for one of this length begins with five bytes.
func TestCheckKeys(t *testing.T) {
	longest := strings.Repeat("k", wire.MaxKey-5)
	require.NoError(t, checkKeys("", "a", longest[:wire.MaxKey-8]))
	require.Equal(t, exitUsage, exitCode(checkKeys("a", longest+"12345")))
	require.NoError(t, checkKeys())
}

func TestValue(t *testing.T) {
	for in, want := range map[string]any{
		"1": int64(1), "-5": int64(-5), "1.0": 1.0, "x": "x", `"x"`: "x", "": "", "null": nil, "[1]": []any{int64(1)}, "{": "{",
	} {
		inv := &invocation{Process: &Process{}}
		got, err := inv.value(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, want, got, "%q", in)
	}
	for in, want := range map[string]any{"5\n": int64(5), "a\n": "a", "a\r\n": "a", "a\n\n": "a\n", "": "", "-": "-", " x ": " x "} {
		inv := &invocation{Process: &Process{In: strings.NewReader(in)}}
		got, err := inv.value(t.Context(), "-")
		require.NoError(t, err)
		require.Equal(t, want, got, "%q", in)
	}
	for _, in := range []string{"10769150350006150715113082367", `{"a":[1e400]}`, "0.10000000000000000001", `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\""} {
		inv := &invocation{Process: &Process{In: strings.NewReader(in + "\n")}}
		_, err := inv.value(t.Context(), in)
		require.Equal(t, exitUsage, exitCode(err), "%q", in)
		_, err = inv.value(t.Context(), "-")
		require.Equal(t, exitUsage, exitCode(err), "%q", in)
	}
	inv := &invocation{Process: &Process{In: strings.NewReader(strings.Repeat("x", wire.MaxValueHard+1))}}
	_, err := inv.value(t.Context(), "-")
	require.Equal(t, exitUsage, exitCode(err))
	inv.In = io.LimitReader(zeros{}, maxInput+1)
	_, err = inv.value(t.Context(), "-")
	require.ErrorContains(t, err, "standard input: more than")
	require.Equal(t, exitUsage, exitCode(err))
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Who waits for standard input can be interrupted.
func TestValueInterrupted(t *testing.T) {
	in, silent := io.Pipe()
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	inv := &invocation{Process: &Process{In: in}}
	_, err := inv.value(ctx, "-")
	require.ErrorIs(t, err, errInterrupted)
}

func TestParseTTL(t *testing.T) {
	for in, want := range map[string]time.Duration{"0": 0, "30s": 30 * time.Second, "1h30m": 90 * time.Minute, "1ns": 1} {
		got, err := parseTTL("--ttl", in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"", "30", "-1s", "soon", "1d", "99999999h"} {
		_, err := parseTTL("--ttl", in)
		require.Equal(t, exitUsage, exitCode(err), "%q", in)
	}
}

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]target{"any": {"any", ""}, "all": {"all", ""}, "key=a=b": {"key", "a=b"}, "key=": {"key", ""}, "member=m1": {"member", "m1"},
		"tag=a:b": {"tag", "a:b"}, "tag=a:": {"tag", "a:"}, "tag=a:b=c:d": {"tag", "a:b=c:d"}} {
		got, err := parseTarget(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, in := range []string{"", "some", "any=1", "all=", "key", "member", "member=", "tag", "tag=", "tag=a", "tag=:b"} {
		_, err := parseTarget(in)
		require.Equal(t, exitUsage, exitCode(err), "%q", in)
	}
}

// Strings come in the order of their bytes, and before keys of other types, which keep an order of their own.
func TestSortByKey(t *testing.T) {
	keys := []any{"b", int64(3), "a", true, "", int64(-1), "a\x00", 2.5}
	require.NoError(t, sortByKey(keys, func(k any) any { return k }))
	require.Equal(t, []any{"", "a", "a\x00", "b"}, keys[:4])

	key := rapid.OneOf(rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.Int64(), func(n int64) any { return n }))
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfDistinct(key, func(k any) any { return k }).Draw(t, "keys")
		shuffled := rapid.Permutation(list).Draw(t, "shuffled")
		sorted := append([]any{}, list...)
		require.NoError(t, sortByKey(sorted, func(k any) any { return k }))
		require.ElementsMatch(t, list, sorted)
		require.NoError(t, sortByKey(shuffled, func(k any) any { return k }))
		require.Equal(t, sorted, append([]any{}, shuffled...), "the order does not depend on that of the input")
		for i := 1; i < len(sorted); i++ {
			a, isText := sorted[i-1].(string)
			if b, ok := sorted[i].(string); ok {
				require.True(t, isText && a < b, "%v before %v", sorted[i-1], sorted[i])
			}
		}
	})
	require.Error(t, sortByKey([]any{errors.New}, func(k any) any { return k }))
}
