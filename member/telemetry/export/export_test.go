package export

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
)

// receiver takes what is sent by OTLP over HTTP.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]string // last body by path
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{seen: make(map[string]string)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.seen[req.URL.Path] = string(body)
		r.mu.Unlock()
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got(path string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[path]
}

// clean unsets what the environment of the test may say.
func clean(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

func started(t *testing.T) *Exporters {
	t.Helper()
	e, err := Start(t.Context(), Config{Service: "gridiron", Version: "v1", Instance: "m1", LookupEnv: os.LookupEnv, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return e
}

// count adds to a counter.
func count(t *testing.T, e *Exporters) {
	t.Helper()
	c, err := e.MeterProvider().Meter("test").Int64Counter("gridiron.test.things", metric.WithUnit("{thing}"))
	require.NoError(t, err)
	c.Add(t.Context(), 3)
}

func page(e *Exporters) string {
	w := httptest.NewRecorder()
	e.Page().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func shutdown(t *testing.T, e *Exporters) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, e.Shutdown(ctx))
}

func TestPage(t *testing.T) {
	clean(t)
	e := started(t)
	require.Nil(t, e.TracerProvider(), "spans go nowhere")
	count(t, e)
	text := page(e)
	for _, want := range []string{"gridiron_test_things_total{", "} 3\n", `service_name="gridiron"`, `service_instance_id="m1"`, "go_goroutines ", "process_start_time_seconds "} {
		require.Contains(t, text, want)
	}
	shutdown(t, e)
}

// What is left is sent at the end, to where the environment says.
func TestSent(t *testing.T) {
	clean(t)
	r := newReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	t.Setenv("OTEL_SERVICE_NAME", "shop")
	e := started(t)
	count(t, e)
	_, span := e.TracerProvider().Tracer("test").Start(t.Context(), "a-span")
	span.End()
	shutdown(t, e)
	require.Contains(t, r.got("/v1/metrics"), "gridiron.test.things")
	require.Contains(t, r.got("/v1/metrics"), "shop")
	require.Contains(t, r.got("/v1/traces"), "a-span")
}

func TestNotSent(t *testing.T) {
	for name, vars := range map[string]map[string]string{
		"disabled": {"OTEL_SDK_DISABLED": "true"},
		"none":     {"OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			r := newReceiver(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
			for k, v := range vars {
				t.Setenv(k, v)
			}
			e := started(t)
			require.Nil(t, e.TracerProvider())
			count(t, e)
			require.Contains(t, page(e), "gridiron_test_things_total{")
			shutdown(t, e)
			require.Empty(t, r.got("/v1/metrics"))
		})
	}
}

func TestUnknownExporter(t *testing.T) {
	for _, name := range []string{"OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER"} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			t.Setenv(name, "pigeon")
			_, err := Start(t.Context(), Config{Service: "gridiron", LookupEnv: os.LookupEnv})
			require.ErrorContains(t, err, "pigeon")
		})
	}
}
