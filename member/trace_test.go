package member

import (
	"context"
	"slices"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/gridiron-io/gridiron/sdk"
)

// recorder is a trace.TracerProvider that keeps the spans that have ended.
type recorder struct {
	embedded.TracerProvider

	mu    sync.Mutex
	next  byte
	spans []*recorded
}

// recorded is one span.
type recorded struct {
	noop.Span
	r            *recorder
	name         string
	kind         trace.SpanKind
	self, parent trace.SpanContext
	attrs        []attribute.KeyValue // guarded by r.mu
}

func (r *recorder) Tracer(string, ...trace.TracerOption) trace.Tracer { return recordingTracer{r: r} }

type recordingTracer struct {
	embedded.Tracer
	r *recorder
}

func (rt recordingTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	r := rt.r
	cfg := trace.NewSpanStartConfig(opts...)
	parent := trace.SpanContextFromContext(ctx)
	r.mu.Lock()
	r.next++
	id := trace.SpanContextConfig{TraceID: parent.TraceID(), SpanID: trace.SpanID{r.next}, TraceFlags: trace.FlagsSampled}
	r.mu.Unlock()
	if !parent.IsValid() {
		id.TraceID = trace.TraceID{id.SpanID[0]}
	}
	s := &recorded{r: r, name: name, kind: cfg.SpanKind(), self: trace.NewSpanContext(id), parent: parent, attrs: cfg.Attributes()}
	return trace.ContextWithSpan(ctx, s), s
}

func (s *recorded) SpanContext() trace.SpanContext { return s.self }
func (s *recorded) IsRecording() bool              { return true }

func (s *recorded) SetAttributes(kv ...attribute.KeyValue) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.attrs = append(s.attrs, kv...)
}

func (s *recorded) End(...trace.SpanEndOption) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.r.spans = append(s.r.spans, s)
}

// named returns the spans of a name that have ended.
func (r *recorder) named(name string, kind trace.SpanKind) []*recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*recorded
	for _, s := range r.spans {
		if s.name == name && s.kind == kind {
			out = append(out, s)
		}
	}
	return out
}

// One write is three spans of one trace: the client's call, the member's work on it, and the proposal in that.
func TestTrace(t *testing.T) {
	t.Parallel()
	rec := new(recorder)
	m := runningMember(t, Config{Settings: Settings{TracerProvider: rec}})
	c, err := sdk.Connect(testContext(t), []string{m.Addr()}, sdk.WithTracerProvider(rec))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	words, err := sdk.OpenMap[string, int](c, "words")
	if err != nil {
		t.Fatal(err)
	}
	if err := words.Set(testContext(t), "a", 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := words.Get(testContext(t), "a"); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"set", "get"} {
		var client, server []*recorded
		eventually(t, "the spans of "+op, func() bool {
			server = rec.named(op, trace.SpanKindServer)
			client = rec.named(op+" words", trace.SpanKindClient)
			return len(server) == 1 && len(client) == 1
		})
		if server[0].parent.SpanID() != client[0].self.SpanID() || server[0].parent.TraceID() != client[0].self.TraceID() || !server[0].parent.IsRemote() {
			t.Errorf("%s: the member's span is a child of %v, the client's is %v", op, server[0].parent, client[0].self)
		}
		want := map[attribute.Key]string{"db.operation.name": op, "db.system.name": "gridiron", "db.namespace": "grid", "db.response.status_code": "OK"}
		for _, kv := range server[0].attrs {
			if v, ok := want[kv.Key]; ok && kv.Value.AsString() != v {
				t.Errorf("%s: %s is %q, want %q", op, kv.Key, kv.Value.AsString(), v)
			}
			delete(want, kv.Key)
		}
		if len(want) > 0 {
			t.Errorf("%s: the member's span lacks %v", op, want)
		}
		proposals := slices.DeleteFunc(rec.named("propose", trace.SpanKindInternal), func(s *recorded) bool { return s.parent.SpanID() != server[0].self.SpanID() })
		if wantN := map[string]int{"set": 1, "get": 0}[op]; len(proposals) != wantN {
			t.Errorf("%s: %d proposals under it, want %d", op, len(proposals), wantN)
		}
	}
}
