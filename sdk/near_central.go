package sdk

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// nearConfigsAfter is how long after the first OpenMap, and after a change of the metadata, a client reads the configuration of near caches. Programs
// that end before that do not ask.
const nearConfigsAfter = time.Second

// followNearConfigs is the goroutine that knows for which maps the cluster wants clients to have near caches. It ends with the client.
func (c *Client) followNearConfigs() {
	timer := time.NewTimer(nearConfigsAfter)
	defer timer.Stop()
	var seen *table
	for {
		select {
		case <-c.life.Done():
			return
		case <-timer.C:
		}

		// Taken before the table is looked at, so that a change in between is not missed.
		changed := c.changed.wait()
		t := c.table.Load()
		if seen == nil || t.meta != seen.meta || t.cluster != seen.cluster {
			res, err := c.mapConfigs(c.life)
			if err != nil {
				c.cfg.logger.Debug("gridiron: the configuration of near caches is not known", "error", err)
				timer.Reset(nearConfigsAfter)
				continue
			}
			seen = t
			c.setNearConfigs(res.List)
		}

		// Most changes are of owners or connections. Several that come together are looked at once.
		select {
		case <-c.life.Done():
			return
		case <-changed:
		}
		timer.Reset(nearConfigsAfter)
	}
}

// setNearConfigs takes in the configuration of maps. Near caches that it has made, and says something else of now, end.
func (c *Client) setNearConfigs(list wire.MapConfigs) {
	wanted := false
	for i := range list {
		wanted = wanted || list[i].Fields&wire.MapNearFields != 0
	}
	if !wanted {
		list = nil
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.nears.Load()
	if all == nil && list == nil {
		return // nothing is configured: the usual case, in which reads and writes look at nothing
	}

	next := &nearCaches{byName: make(map[string]*nearCache), configs: list}
	if all != nil {
		for name, n := range all.byName {
			if cfg := next.configOf(name); n.central && (cfg == nil || *cfg != n.cfg) {
				n.close()
				continue
			}
			next.byName[name] = n
		}
	}
	if len(next.byName) == 0 && list == nil {
		next = nil
	}
	c.nears.Store(next)
}

// configOf returns the near cache that the cluster wants of a map, or nil for none.
func (s *nearCaches) configOf(name string) *NearCacheConfig {
	if s.configs == nil {
		return nil
	}
	r := s.configs.Resolve(name)
	cfg := nearCacheConfig(&r.Near)
	if cfg == nil {
		return nil
	}
	// What members accept is valid here too.
	out, err := cfg.withDefaults()
	if err != nil {
		return nil
	}
	return &out
}
