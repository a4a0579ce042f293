package sdk

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// watchNearCaches makes the client's provider read the counts of near caches, by map, whenever it collects.
func (c *Client) watchNearCaches() error {
	if c.cfg.meters == nil {
		return nil
	}

	var errs []error
	meter := c.cfg.meters.Meter("github.com/gridiron-io/gridiron/sdk")
	counter := func(name, unit, text string) metric.Int64ObservableCounter {
		m, err := meter.Int64ObservableCounter("gridiron.client.near_cache."+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return m
	}
	counters := []struct {
		metric.Int64ObservableCounter
		of func(*NearCacheStats) uint64
	}{
		{counter("hits", "{key}", "Keys that a near cache has answered."), func(s *NearCacheStats) uint64 { return s.Hits }},
		{counter("misses", "{key}", "Keys for which the owner was asked."), func(s *NearCacheStats) uint64 { return s.Misses }},
		{counter("bypasses", "{key}", "Misses because the near cache was not fresh."), func(s *NearCacheStats) uint64 { return s.Bypasses }},
		{counter("invalidations", "{copy}", "Copies that a change has dropped."), func(s *NearCacheStats) uint64 { return s.Invalidations }},
		{counter("repairs", "{repair}", "Gaps in the events that had to be closed."), func(s *NearCacheStats) uint64 { return s.Repairs }},
		{counter("verified", "{hit}", "Hits that were checked against the owner."), func(s *NearCacheStats) uint64 { return s.Verified }},
		{counter("stale", "{hit}", "Hits, of those checked, that were older than promised."), func(s *NearCacheStats) uint64 { return s.Stale }},
	}
	entries, err := meter.Int64ObservableGauge("gridiron.client.near_cache.entries", metric.WithUnit("{copy}"), metric.WithDescription("Copies in the near cache."))
	bytes, err2 := meter.Int64ObservableGauge("gridiron.client.near_cache.bytes", metric.WithUnit("By"), metric.WithDescription("Encoded keys and values in the near cache."))
	if err := errors.Join(append(errs, err, err2)...); err != nil {
		return err
	}

	all := []metric.Observable{entries, bytes}
	for _, m := range counters {
		all = append(all, m.Int64ObservableCounter)
	}
	reg, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		set := c.nears.Load()
		if set == nil {
			return nil
		}
		for name, n := range set.byName {
			s := n.stats()
			with := metric.WithAttributes(attribute.String("db.collection.name", name), c.meter.cluster)
			for _, m := range counters {
				o.ObserveInt64(m.Int64ObservableCounter, int64(m.of(&s)), with)
			}
			o.ObserveInt64(entries, int64(s.Entries), with)
			o.ObserveInt64(bytes, s.Bytes, with)
		}
		return nil
	}, all...)
	if err == nil {
		// A provider outlives its clients.
		context.AfterFunc(c.life, func() { _ = reg.Unregister() })
	}
	return err
}
