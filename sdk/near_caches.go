package sdk

import (
	"maps"
	"reflect"
	"sync/atomic"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// nearCaches are a client's near caches by the names of their maps. A set does not change: another one takes its place.
type nearCaches struct {
	byName  map[string]*nearCache
	configs wire.MapConfigs // what the cluster has configured; nil: nothing about near caches
}

// with returns a set with n in place of what it has under its name.
func (s *nearCaches) with(n *nearCache) *nearCaches {
	next := &nearCaches{byName: make(map[string]*nearCache)}
	if s != nil {
		next.configs = s.configs
		maps.Copy(next.byName, s.byName)
	}
	next.byName[n.name] = n
	return next
}

// nearView is how a Map finds its near cache.
type nearView struct {
	own   bool // opened WithNearCache
	codec any  // see codecIdentity
	seen  atomic.Pointer[nearSeen]
}

// nearSeen is what a Map has found in a set.
type nearSeen struct {
	in *nearCaches
	n  *nearCache
}

// near returns the near cache that the Map's reads go through; nil if they go to the owners.
func (m *Map[K, V]) near() *nearCache {
	all := m.c.nears.Load()
	if all == nil {
		return nil
	}

	// Sets change when maps are opened, so the name is looked up once and not with each read.
	s := m.view.seen.Load()
	if s == nil || s.in != all {
		s = &nearSeen{all, all.byName[m.name]}
		if !m.view.own {
			// The option was not given, so it is the cluster's configuration that counts.
			if s.n = nil; all.configs != nil {
				s.n = m.c.centralNear(all, m.name)
			}
		}
		m.view.seen.Store(s)
	}
	return s.n
}

// centralNear returns the near cache that the cluster wants of a map, nil if it wants none. It begins here unless there is one.
func (c *Client) centralNear(all *nearCaches, name string) *nearCache {
	cfg := all.configOf(name)
	if cfg == nil {
		return nil
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	all = c.nears.Load()
	// What WithNearCache has asked for goes before the cluster's configuration.
	if all != nil && all.byName[name] != nil {
		return all.byName[name]
	}
	if c.mu.closed {
		return nil
	}
	n := c.beginNearLocked(name, *cfg)
	n.central = true
	return n
}

// openNear gives the Map its near cache, which begins here unless there is one already. A nil cfg is a Map without the option.
func (m *Map[K, V]) openNear(cfg *NearCacheConfig) error {
	if cfg == nil {
		m.c.nearOnce.Do(func() { m.c.spawn(m.c.followNearConfigs) })
		return nil
	}

	n, begun, err := m.c.nearCache(m.name, *cfg)
	if err == nil && begun && cfg.Preload != "" {
		m.c.spawn(func() { m.preload(n) })
	}
	return err
}

// nearCache returns the client's near cache of a map, and reports whether it begins here.
func (c *Client) nearCache(name string, cfg NearCacheConfig) (n *nearCache, begun bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, false, &Error{Op: "open_map", Name: name, Partition: -1, Err: ErrClosed}
	}

	all := c.nears.Load()
	if all != nil && all.byName[name] != nil {
		n = all.byName[name]
		switch {
		case n.cfg == cfg:
			n.central = false
			return n, false, nil
		case !n.central:
			return nil, false, invalidf("open_map", name, "WithNearCache: this client has a near cache of the map with another configuration")
		}
		n.close() // the program goes before the cluster
	}
	return c.beginNearLocked(name, cfg), true, nil
}

// beginNearLocked begins a near cache. REQUIRES c.mu, and that the client is open.
func (c *Client) beginNearLocked(name string, cfg NearCacheConfig) *nearCache {
	n := newNearCache(c, name, cfg)
	c.nears.Store(c.nears.Load().with(n))
	c.wg.Go(n.run)
	if cfg.Verify > 0 {
		c.wg.Go(n.verify)
	}
	return n
}

// codecIdentity returns what tells a codec from others, so that values which one has decoded are not served where another is wanted.
func codecIdentity(cd codec.Codec) any {
	if cd == nil || reflect.ValueOf(cd).Comparable() {
		return cd
	}
	return new(byte)
}

// wrote takes in the end of a write of the client, whatever its outcome.
func (s *nearCaches) wrote(cl *call) {
	n := s.byName[cl.name]
	if n == nil {
		return
	}

	p, version := int(cl.req.Partition), wroteVersion(cl)
	// Whoever has got a lock is to see what its holder before has written, so that counts as a write of its key too.
	if !cl.req.Op.EachWritten(cl.body, func(key []byte) { n.cache.Wrote(p, key, version) }) {
		n.cache.Forget(p)
	}
}

// wroteVersion returns the version that a write of one key has given it, 0 if nobody knows.
func wroteVersion(cl *call) uint64 {
	if cl.err != nil || !cl.req.Op.GivesVersion() {
		return 0
	}
	r, err := wire.DecodeWriteResult(cl.Answer.Body)
	if err != nil {
		return 0
	}
	return r.Version
}
