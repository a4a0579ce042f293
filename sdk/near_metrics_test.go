package sdk

import (
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// nearCounts returns what a reader collects of near caches, by the end of the metric's name and the attributes.
func nearCounts(t testing.TB, r *sdkmetric.ManualReader) map[string]int64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	noErr(t, r.Collect(t.Context(), &rm))
	counts := make(map[string]int64)
	for _, s := range rm.ScopeMetrics {
		for _, m := range s.Metrics {
			name, near := strings.CutPrefix(m.Name, "gridiron.client.near_cache.")
			if !near {
				continue
			}
			var points []metricdata.DataPoint[int64]
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				points = data.DataPoints
			case metricdata.Gauge[int64]:
				points, name = data.DataPoints, name+" now"
			}
			for _, p := range points {
				counts[series(name, p.Attributes)] = p.Value
			}
		}
	}
	return counts
}

// What a near cache counts is read when a provider collects, and no more once the client is closed.
func TestNearCachesAreMeasured(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	g := newNearGrid(t, WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	if got := nearCounts(t, reader); len(got) != 0 {
		t.Errorf("without a near cache: %v", got)
	}

	g.set("k", "v")
	m := g.open(NearCacheConfig{Verify: -1})
	settles(t, m, "k", "v")
	g.set("k", "w")
	g.publish()
	poll(t, "the change is heard", func() bool { return m.NearCacheStats().Invalidations > 0 })
	settles(t, m, "k", "w")
	for range 7 {
		gets(t, m, "none", "")
	}
	for range 30 {
		gets(t, m, "k", "w")
	}

	// What is rare has numbers that nothing else has.
	n := m.near()
	n.repairs.Add(100)
	n.verified.Add(200)
	n.stale.Add(300)
	got, s := nearCounts(t, reader), m.NearCacheStats()
	for name, want := range map[string]uint64{
		"hits": s.Hits, "misses": s.Misses, "bypasses": s.Bypasses, "invalidations": s.Invalidations, "repairs": s.Repairs,
		"verified": s.Verified, "stale": s.Stale, "entries now": uint64(s.Entries), "bytes now": uint64(s.Bytes),
	} {
		if count, there := got[name+" db.collection.name=m db.namespace=grid"]; count != int64(want) || !there {
			t.Errorf("%s: %d, %v; want %d", name, count, there, want)
		}
	}
	if len(got) != 9 || s.Hits < 30 || s.Misses < 7 || s.Invalidations == 0 || s.Entries != 1 || s.Bytes != 4 || s.Stale != 300 {
		t.Errorf("%v of %+v", got, s)
	}

	noErr(t, g.c.Close())
	poll(t, "the series end", func() bool { return len(nearCounts(t, reader)) == 0 })
}
