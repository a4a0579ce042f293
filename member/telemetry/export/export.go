// Package export is not API: it is for the grid binary, and it may change in any version.
//
// It sends a process's metrics and spans where the environment says, and shows the metrics as a page for
// Prometheus. It joins the OpenTelemetry SDK and its exporters to the providers that members take, and knows nothing of
// members. Programs that embed a member and have providers of their own do without it, and without what it imports.
package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config describes Exporters.
type Config struct {
	Service   string // service.name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise
	Version   string // service.version
	Instance  string // service.instance.id; "" for none
	LookupEnv func(string) (string, bool)
	Logger    *slog.Logger // told what could not be sent
}

// Exporters are where metrics and spans go. They end with Shutdown.
type Exporters struct {
	metrics *sdkmetric.MeterProvider
	spans   *sdktrace.TracerProvider // nil: spans go nowhere
	page    http.Handler
}

// Start makes exporters by the variables that OpenTelemetry defines: OTEL_METRICS_EXPORTER and OTEL_TRACES_EXPORTER (otlp, console,
// none; metrics also prometheus), OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL and its other variables,
// OTEL_METRIC_EXPORT_INTERVAL, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES. Where neither an exporter
// nor an endpoint of OTLP is named, or OTEL_SDK_DISABLED is true, nothing is sent anywhere: the page remains.
//
// It sets OpenTelemetry's error handler, of which a process has one.
func Start(ctx context.Context, cfg Config) (_ *Exporters, err error) {
	if log := cfg.Logger; log != nil {
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("telemetry was not sent", "err", err) }))
	}
	res, err := describe(ctx, &cfg)
	if err != nil {
		return nil, fmt.Errorf("describe the process to OpenTelemetry: %w", err)
	}
	e := &Exporters{}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(processorTime)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	pages, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return nil, fmt.Errorf("make the page of metrics: %w", err)
	}
	e.page = promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxPages, ErrorHandling: promhttp.ContinueOnError})
	opts := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(pages)}
	if cfg.sends("METRICS") {
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return nil, fmt.Errorf("make the exporter of metrics by %s: %w", cfg.named("METRICS"), err)
		}
		opts = append(opts, sdkmetric.WithReader(reader))
	}
	e.metrics = sdkmetric.NewMeterProvider(opts...)
	if cfg.sends("TRACES") {
		exporter, err := autoexport.NewSpanExporter(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make the exporter of spans by %s: %w", cfg.named("TRACES"), err), e.Shutdown(ctx))
		}
		e.spans = sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(exporter))
	}
	return e, nil
}

// processorTime are the runtime's figures of what the collector and the program have taken of the processors.
var processorTime = collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/cpu/classes/(gc/|user)")}

// maxPages bounds the pages that are made at the same time: each asks every partition.
const maxPages = 4

// sends reports whether the environment names a destination for a signal.
func (c *Config) sends(signal string) bool {
	get := func(name string) string {
		s, _ := c.LookupEnv(name)
		return s
	}
	if get("OTEL_SDK_DISABLED") == "true" {
		return false
	}
	switch get("OTEL_" + signal + "_EXPORTER") {
	case "none":
		return false
	case "":
		return get("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || get("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
	}
	return true
}

// named returns the variable that names the exporter of a signal, for people.
func (c *Config) named(signal string) string {
	name := "OTEL_" + signal + "_EXPORTER"
	value, _ := c.LookupEnv(name)
	return fmt.Sprintf("%s=%q", name, value)
}

// describe returns what is said of the process with all that it sends. What the environment says goes first.
func describe(ctx context.Context, cfg *Config) (*resource.Resource, error) {
	attrs := []attribute.KeyValue{attribute.String("service.name", cfg.Service), attribute.String("service.version", cfg.Version)}
	if cfg.Instance != "" {
		attrs = append(attrs, attribute.String("service.instance.id", cfg.Instance))
	}
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithAttributes(attrs...), resource.WithFromEnv())
}

// MeterProvider takes metrics.
func (e *Exporters) MeterProvider() metric.MeterProvider { return e.metrics }

// TracerProvider takes spans; nil if they would go nowhere.
func (e *Exporters) TracerProvider() trace.TracerProvider {
	if e.spans == nil {
		return nil
	}
	return e.spans
}

// Page answers with the metrics in the format of Prometheus.
func (e *Exporters) Page() http.Handler { return e.page }

// Flush sends what was measured so far. What is observed, not recorded, ends with the member: this is for the moment before.
func (e *Exporters) Flush(ctx context.Context) error { return e.metrics.ForceFlush(ctx) }

// Shutdown sends what is still to be sent, as long as ctx lets it, and ends the exporters.
func (e *Exporters) Shutdown(ctx context.Context) error {
	var errs []error
	if e.spans != nil {
		errs = append(errs, e.spans.Shutdown(ctx))
	}
	errs = append(errs, e.metrics.Shutdown(ctx))
	return errors.Join(errs...)
}
