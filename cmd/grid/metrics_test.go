package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A member shows its metrics as a page, and sends what is left of them when it leaves.
func TestMetrics(t *testing.T) {
	t.Parallel()
	var sent atomic.Bool
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1/metrics" && strings.Contains(string(body), "gridiron.map.entries") {
			sent.Store(true)
		}
	}))
	defer collector.Close()
	dir, env := scratch(t)
	env = append(env, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="+collector.URL+"/v1/metrics", "OTEL_METRICS_EXPORTER=otlp", "OTEL_METRIC_EXPORT_INTERVAL=3600000")
	port := freePort(t)
	m := start(t, env, "start", "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--partitions", "8", "--data-dir", filepath.Join(dir, "data"))
	addr := m.line()
	output(t, env, "map", "set", "users", "a", "1", "--server", addr)
	output(t, env, "map", "get", "users", "a", "--server", addr)

	res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port+79))
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	for _, want := range []string{
		`gridiron_map_entries{gridiron_map_name="users",`, `gridiron_map_hits_total{gridiron_map_name="users",`, `gridiron_map_operation_duration_seconds_bucket{`,
		`gridiron_operation="set"`, `gridiron_member_partitions_owned{`, `gridiron_cluster_members{`, `service_name="gridiron"`, "go_goroutines",
	} {
		require.Contains(t, string(text), want)
	}
	m.interrupt(syscall.SIGTERM)
	code, _ := m.end()
	require.Zero(t, code, "%s", m.stderr.String())
	require.True(t, sent.Load(), "what was left was not sent")
}
