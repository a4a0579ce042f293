package server

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// traced returns where the answer to a request goes. Where a tracer is configured and the request carries a trace context, the answer also ends the
// spans of the request. Else it goes to the caller alone.
func (s *Server) traced(caller maps.Caller, req *wire.Request) maps.Caller {
	if s.cfg.Tracer == nil || req.Flags&wire.FlagTrace == 0 {
		return caller
	}

	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(req.Trace[:16]), SpanID: trace.SpanID(req.Trace[16:24]), TraceFlags: trace.TraceFlags(req.Trace[24]),
		Remote: true,
	})

	// The names are those of OpenTelemetry's conventions for databases, so that tools know them.
	attrs := trace.WithAttributes(
		attribute.String("db.system.name", "gridiron"),
		attribute.String("db.operation.name", req.Op.String()),
		attribute.String("db.namespace", s.cfg.ClusterName),
		attribute.Int64("grid.partition", int64(req.Partition)))
	ctx, span := s.cfg.Tracer.Start(trace.ContextWithRemoteSpanContext(s.ctx, parent), req.Op.String(),
		trace.WithSpanKind(trace.SpanKindServer), attrs)
	t := &tracedCall{caller: caller, span: span}
	if req.Op.IsWrite() {
		// A write spends its time in the log, so that part has a span of its own.
		_, t.propose = s.cfg.Tracer.Start(ctx, "propose", trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(attribute.Int64("grid.partition", int64(req.Partition))))
	}

	return t
}

// tracedCall ends the spans of a request when it is answered.
type tracedCall struct {
	caller  maps.Caller
	span    trace.Span
	propose trace.Span // nil for reads
}

// Unwrap returns who asked.
func (t *tracedCall) Unwrap() maps.Caller { return t.caller }

// Answer ends the spans and answers.
func (t *tracedCall) Answer(id uint64, code wire.Code, body []byte) {
	t.end(code)
	t.caller.Answer(id, code, body)
}

// Ended reports whether the caller's connection has ended.
func (t *tracedCall) Ended() bool {
	c, ok := t.caller.(maps.Connection)
	return ok && c.Ended()
}

// Deliver ends the spans and answers.
func (t *tracedCall) Deliver(id uint64, code wire.Code, body []byte, told func(bool)) {
	t.end(code)
	if c, ok := t.caller.(maps.Connection); ok {
		c.Deliver(id, code, body, told)
		return
	}

	// Only a connection can lose an answer. Any other caller has it now.
	t.caller.Answer(id, code, body)
	told(true)
}

func (t *tracedCall) end(code wire.Code) {
	// The inner span ends before the one that contains it.
	if t.propose != nil {
		t.propose.End()
	}

	t.span.SetAttributes(attribute.String("db.response.status_code", code.String()))
	if code != wire.CodeOK {
		t.span.SetStatus(codes.Error, code.String())
	}

	t.span.End()
}
