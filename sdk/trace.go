package sdk

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// tracer makes spans for calls. A nil *tracer makes none and costs nothing.
type tracer struct {
	otel    trace.Tracer
	cluster attribute.KeyValue // set once the client is connected
}

func newTracer(cfg *clientConfig) *tracer {
	if cfg.tracers == nil {
		return nil
	}
	return &tracer{otel: cfg.tracers.Tracer("github.com/gridiron-io/gridiron/sdk")}
}

// start begins the span of a call. The span is nil where there is no tracer; end takes that too.
func (t *tracer) start(ctx context.Context, op, name string) (context.Context, trace.Span) {
	if t == nil {
		return ctx, nil
	}

	title := op
	if name != "" {
		title += " " + name
	}
	attrs := []attribute.KeyValue{attribute.String("db.system.name", "gridiron"), attribute.String("db.operation.name", op), t.cluster}
	if name != "" {
		attrs = append(attrs, attribute.String("db.collection.name", name))
	}
	return t.otel.Start(ctx, title, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
}

// endSpan ends span with what the call came to.
func endSpan(span trace.Span, err error) {
	if span == nil {
		return
	}
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
		if code, ok := CodeOf(err); ok {
			span.SetAttributes(attribute.String("db.response.status_code", code.String()), attribute.String("error.type", code.String()))
		}
	}
	span.End()
}

// carry puts ctx's span into the request, so that the member's spans hang below it.
func (t *tracer) carry(ctx context.Context, req *wire.Request) {
	if t == nil {
		return
	}
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return
	}

	// The order is that of a W3C traceparent: trace ID, span ID, flags.
	id, span := sc.TraceID(), sc.SpanID()
	copy(req.Trace[:16], id[:])
	copy(req.Trace[16:24], span[:])
	req.Trace[24] = byte(sc.TraceFlags())
	req.Flags |= wire.FlagTrace
}
