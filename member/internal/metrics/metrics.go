package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Config is what Metrics are made of.
type Config struct {
	Provider metric.MeterProvider // nil: nothing is measured
	Name     string               // of the member: a provider may have several
	Version  string
	Logger   *slog.Logger
	Read     func() Reading // called whenever a reader of the metrics asks, between Start and Close
}

// Metrics are a member's instruments. They are made by New, observed from Start, and end with Close.
type Metrics struct {
	cfg        Config
	registered metric.Registration // nil: nothing is observed
}

// New returns Metrics that are not observed yet.
func New(cfg Config) *Metrics { return &Metrics{cfg: cfg} }

func (ms *Metrics) meter() metric.Meter {
	return ms.cfg.Provider.Meter(meterName, metric.WithInstrumentationVersion(ms.cfg.Version))
}

// itself names the member in what it measures.
func (ms *Metrics) itself() attribute.KeyValue {
	return attribute.String("gridiron.member.name", ms.cfg.Name)
}

// Latency returns what makes the recorder of an operation on a map; nil where nothing is measured. ctx ends with the member.
func (ms *Metrics) Latency(ctx context.Context) (func(name string, op wire.Op) func(time.Duration), error) {
	if ms.cfg.Provider == nil {
		return nil, nil
	}

	h, err := ms.meter().Float64Histogram(latencyMetric.name, metric.WithUnit(latencyMetric.unit), metric.WithDescription(latencyMetric.text),
		metric.WithExplicitBucketBoundaries(latencyBounds...))
	if err != nil {
		return nil, fmt.Errorf("register the metric %s: %w", latencyMetric.name, err)
	}

	// The attributes are made once for each map and operation, since Record is called for every call.
	return func(name string, op wire.Op) func(time.Duration) {
		with := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(mapName(name), attribute.String("gridiron.operation", op.String()),
			ms.itself()))}
		return func(took time.Duration) { h.Record(ctx, took.Seconds(), with...) }
	}, nil
}

// Start registers the instruments with the provider, if there is one. They are observed until Close.
func (ms *Metrics) Start() error {
	if ms.cfg.Provider == nil {
		return nil
	}

	meter := ms.meter()
	all := make([]metric.Observable, len(instruments))
	for i, in := range instruments {
		var err error
		unit, text := metric.WithUnit(in.unit), metric.WithDescription(in.text)
		switch in.kind {
		case gauge:
			all[i], err = meter.Float64ObservableGauge(in.name, unit, text)
		case level:
			all[i], err = meter.Float64ObservableUpDownCounter(in.name, unit, text)
		default:
			all[i], err = meter.Float64ObservableCounter(in.name, unit, text)
		}
		if err != nil {
			return fmt.Errorf("register the metric %s: %w", in.name, err)
		}
	}

	// Each value names its member: several members of one process may share a provider.
	mine := ms.itself()
	registered, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		// All values come from one reading, so that they fit together.
		r := ms.cfg.Read()
		for i := range instruments {
			instruments[i].values(&r, func(v float64, attrs ...attribute.KeyValue) {
				o.ObserveFloat64(all[i].(metric.Float64Observable), v, metric.WithAttributes(append(attrs, mine)...))
			})
		}
		return nil
	}, all...)
	if err != nil {
		return fmt.Errorf("register the metrics: %w", err)
	}
	ms.registered = registered
	return nil
}

// Close ends what Start began. It may be called before Start.
func (ms *Metrics) Close() {
	if ms.registered == nil {
		return
	}
	if err := ms.registered.Unregister(); err != nil {
		ms.cfg.Logger.Warn("the metrics were not unregistered", "err", err)
	}
}
