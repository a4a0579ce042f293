package sdk

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
)

// measuredCalls returns how often each series of a reader was recorded to, by its attributes.
func measuredCalls(t *testing.T, r *sdkmetric.ManualReader) map[string]uint64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				counts[series(m.Name, p.Attributes)] = p.Count
			}
		}
	}
	return counts
}

// series names a series by its metric and its attributes.
func series(name string, with attribute.Set) string {
	for _, kv := range with.ToSlice() {
		name += " " + string(kv.Key) + "=" + kv.Value.String()
	}
	return name
}

// Every request is measured once, also those of bulk calls and those that fail.
func TestCallsAreMeasured(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	c := connected(t, fakegrid.New(t, 2, 4), WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	m := opened[string, int](t, c, "users")
	for range 3 {
		if err := m.Set(t.Context(), "a", 1); err != nil {
			t.Fatal(err)
		}
	}
	wantErr(t, m.Set(t.Context(), "a", 1, IfVersion(1<<40)), ErrConflict)
	if _, err := m.Size(t.Context()); err != nil { // asks four partitions
		t.Fatal(err)
	}
	if _, err := c.Cluster(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := measuredCalls(t, reader)
	const series = "db.client.operation.duration "
	for name, want := range map[string]uint64{
		series + "db.collection.name=users db.namespace=grid db.operation.name=set db.system.name=gridiron":                     3,
		series + "db.collection.name=users db.namespace=grid db.operation.name=set db.system.name=gridiron error.type=CONFLICT": 1,
		series + "db.collection.name=users db.namespace=grid db.operation.name=size db.system.name=gridiron":                    4,
		series + "db.namespace=grid db.operation.name=status db.system.name=gridiron":                                           1,
	} {
		if got[name] != want {
			t.Errorf("%s: %d, want %d", name, got[name], want)
		}
	}
	if t.Failed() {
		t.Logf("%v", got)
	}
}
