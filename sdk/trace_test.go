package sdk

import (
	"context"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// spans is a tracer provider that keeps what is reported to it.
type spans struct {
	embedded.TracerProvider
	mu   sync.Mutex
	list []*span
}

// spanTracer makes the spans.
type spanTracer struct {
	embedded.Tracer
	*spans
}

type span struct {
	noop.Span
	name   string
	kind   trace.SpanKind
	attrs  map[attribute.Key]string
	sc     trace.SpanContext
	status codes.Code
	ended  int
}

func (s *spans) Tracer(string, ...trace.TracerOption) trace.Tracer { return spanTracer{spans: s} }

func (s spanTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	cfg := trace.NewSpanStartConfig(opts...)
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := &span{name: name, kind: cfg.SpanKind(), attrs: make(map[attribute.Key]string)}
	sp.SetAttributes(cfg.Attributes()...)
	sp.sc = trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1, 2}, SpanID: trace.SpanID{3, byte(len(s.list) + 1)}, TraceFlags: trace.FlagsSampled})
	s.list = append(s.list, sp)
	return trace.ContextWithSpan(ctx, sp), sp
}

func (s *span) SpanContext() trace.SpanContext { return s.sc }

func (s *span) SetAttributes(list ...attribute.KeyValue) {
	for _, kv := range list {
		s.attrs[kv.Key] = kv.Value.AsString()
	}
}

func (s *span) SetStatus(c codes.Code, _ string) { s.status = c }

func (s *span) End(...trace.SpanEndOption) { s.ended++ }

func TestSpans(t *testing.T) {
	g := fakegrid.New(t, 1, 1)
	rec := &spans{}
	c := connected(t, g, WithTracerProvider(rec))
	m := opened[string, string](t, c, "users")
	ctx := t.Context()
	g.Record()
	noErr(t, m.Set(ctx, "a", "v"))
	_, _, err := m.PutIfAbsent(ctx, "a", "v")
	noErr(t, err)
	wantErr(t, m.Set(ctx, "a", "v", IfVersion(99)), ErrConflict)
	noErr(t, m.SetAll(ctx, map[string]string{"b": "c", "d": "e"}))
	_, err = m.Size(ctx)
	noErr(t, err)
	for range m.Keys(ctx) {
		break
	}
	_, err = c.Members(ctx)
	noErr(t, err)

	want := []struct {
		name   string
		status codes.Code
	}{{"set users", codes.Unset}, {"put_if_absent users", codes.Unset}, {"set users", codes.Error}, {"set_all users", codes.Unset}, {"size users", codes.Unset}, {"scan users", codes.Unset}, {"members", codes.Unset}}
	if len(rec.list) < len(want) {
		t.Fatalf("%d spans", len(rec.list))
	}
	byID := make(map[byte]string)
	for i, w := range want {
		s := rec.list[i]
		if s.name != w.name || s.status != w.status || s.kind != trace.SpanKindClient || s.ended != 1 {
			t.Errorf("span %d: %+v, want %+v", i, s, w)
		}
		if s.attrs["db.system.name"] != "gridiron" || s.attrs["db.namespace"] != "grid" || s.attrs["db.operation.name"] == "" ||
			(s.attrs["db.collection.name"] == "users") != (w.name != "members") {
			t.Errorf("span %d: %v", i, s.attrs)
		}
		byID[byte(i+1)] = s.attrs["db.operation.name"]
	}
	if rec.list[2].attrs["db.response.status_code"] != "CONFLICT" {
		t.Errorf("%v", rec.list[2].attrs)
	}
	for _, s := range g.Requests() {
		if s.Flags&wire.FlagTrace == 0 || s.Trace[0] != 1 || s.Trace[1] != 2 || s.Trace[16] != 3 || s.Trace[24] != 1 || byID[s.Trace[17]] != s.Op.String() {
			t.Errorf("%+v does not belong to the span of %q", s, byID[s.Trace[17]])
		}
	}
}

// Without a tracer provider calls carry no trace context, whatever the context holds.
func TestNoSpans(t *testing.T) {
	g := fakegrid.New(t, 1, 1)
	m := opened[string, string](t, connected(t, g), "m")
	g.Record()
	ctx, _ := spanTracer{spans: &spans{}}.Start(t.Context(), "outer")
	noErr(t, m.Set(ctx, "a", "v"))
	if s := g.Requests(wire.OpSet); len(s) != 1 || s[0].Flags != 0 {
		t.Fatalf("%+v", s)
	}
}
