package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// WithMeterProvider records the latency of the client's requests as db.client.operation.duration. Each request to a partition's
// owner or to a member counts by itself, from its start to its result, with all attempts. The default records nothing.
func WithMeterProvider(p metric.MeterProvider) Option {
	return clientOption(func(c *clientConfig) error {
		if p == nil {
			return errors.New("WithMeterProvider: the provider is nil")
		}
		c.meters = p
		return nil
	})
}

// meter measures calls.
type meter struct {
	latency metric.Float64Histogram
	cluster attribute.KeyValue // set once the client is connected
	kept    atomic.Int64
	with    sync.Map // measuredCall to []metric.RecordOption
}

// measuredCall is what tells one series from another.
type measuredCall struct {
	op   wire.Op
	name string
	code string // what went wrong; "": nothing
}

// maxMeasured bounds the sets of attributes that are kept to be used again.
const maxMeasured = 4096

// operationBounds are those that OpenTelemetry's conventions give for the metric, in seconds, and one more for a network nearby.
var operationBounds = []float64{0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

func newMeter(cfg *clientConfig) (*meter, error) {
	if cfg.meters == nil {
		return nil, nil
	}
	h, err := cfg.meters.Meter("github.com/gridiron-io/gridiron/sdk").Float64Histogram("db.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("How long requests of clients took, with all attempts."), metric.WithExplicitBucketBoundaries(operationBounds...))
	if err != nil {
		return nil, fmt.Errorf("WithMeterProvider: %w", err)
	}
	return &meter{latency: h}, nil
}

// record measures a call that has ended.
func (m *meter) record(ctx context.Context, cl *call, took time.Duration) {
	key := measuredCall{op: cl.req.Op, name: cl.name}
	if cl.err != nil {
		// The word that OpenTelemetry's conventions have for errors without a name.
		key.code = "_OTHER"
		if code, ok := CodeOf(cl.err); ok {
			key.code = code.String()
		}
	}
	m.latency.Record(ctx, max(0, took).Seconds(), m.options(key)...)
}

func (m *meter) options(key measuredCall) []metric.RecordOption {
	// Building the set costs more than the measurement itself.
	if with, ok := m.with.Load(key); ok {
		return with.([]metric.RecordOption)
	}

	attrs := []attribute.KeyValue{attribute.String("db.system.name", "gridiron"), attribute.String("db.operation.name", key.op.String()), m.cluster}
	if key.name != "" {
		attrs = append(attrs, attribute.String("db.collection.name", key.name))
	}
	if key.code != "" {
		attrs = append(attrs, attribute.String("error.type", key.code))
	}

	with := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attrs...))}
	// Names of maps come from the program, and there may be any number. Beyond the bound the set is built each time.
	if m.kept.Add(1) <= maxMeasured {
		m.with.Store(key, with)
	}
	return with
}
