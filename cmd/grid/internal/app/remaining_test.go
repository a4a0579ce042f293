package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/member"
)

// run returns what a command prints that must succeed. The environment is empty.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	p := &Process{Args: args, In: strings.NewReader(""), Out: &out, Err: &errs, LookupEnv: func(string) (string, bool) { return "", false }}
	require.Zero(t, p.Run(t.Context()), "grid %v: %s", args, &errs)
	return out.String()
}

// The time that an entry has left is shown and exported by the cluster's time, however wrong that is by the command's clock.
func TestRemainingByClusterTime(t *testing.T) {
	for name, skew := range map[string]time.Duration{"behind": -time.Hour, "ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			m, err := member.Start(t.Context(), member.Config{Settings: member.Settings{Partitions: 2, NoHTTP: true}, Wall: func() time.Time { return time.Now().Add(skew) }})
			require.NoError(t, err)
			t.Cleanup(m.Kill)
			server := "--server=" + m.Addr()
			run(t, "map", "set", "e", "a", "1", "--ttl=10m", server)

			check := func(line, field string) {
				t.Helper()
				var fields map[string]any
				require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
				left, ok := fields[field].(float64)
				require.True(t, ok, line)
				require.Greater(t, left, 0.0, line)
				require.LessOrEqual(t, left, 600_000.0, line)
				require.Greater(t, left, 300_000.0, line)
			}
			check(run(t, "map", "ttl", "e", "a", "-o=json", server), "remaining_ms")
			check(run(t, "map", "ttl", "e", "a", "10m", "-o=json", server), "remaining_ms")

			file := filepath.Join(t.TempDir(), "e.jsonl")
			run(t, "map", "export", "e", file, server)
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			check(string(text), "ttl_ms")
		})
	}
}

// Flags of the longest duration there is are taken for what they are.
func TestFlagsOfTheFarFuture(t *testing.T) {
	m, err := grid.Start(t.Context(), grid.Config{Partitions: 2, NoHTTP: true})
	require.NoError(t, err)
	t.Cleanup(m.Kill)
	server, long := "--server="+m.Addr(), "2562047h47m16s"
	run(t, "map", "set", "e", "a", "1", "--ttl="+long, "--max-idle="+long, "--timeout="+long, server)
	run(t, "map", "ttl", "e", "a", long, "--timeout="+long, server)
	run(t, "map", "lock", "e", "a", "--wait="+long, "--lease="+long, server)
	require.Equal(t, "1\n", run(t, "map", "get", "e", "a", server))
}
