package sdk

import (
	"maps"
	"reflect"
	"sync/atomic"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// nearCaches are a client's near caches by the names of their maps. A set does not change: another one takes its place.
type nearCaches struct{ byName map[string]*nearCache }

// with returns a set with n in place of what it has under its name.
func (s *nearCaches) with(n *nearCache) *nearCaches {
	next := &nearCaches{byName: make(map[string]*nearCache)}
	if s != nil {
		maps.Copy(next.byName, s.byName)
	}
	next.byName[n.name] = n
	return next
}

// without returns a set without n; nil if it would be empty.
func (s *nearCaches) without(n *nearCache) *nearCaches {
	next := &nearCaches{byName: maps.Clone(s.byName)}
	if next.byName[n.name] == n {
		delete(next.byName, n.name)
	}
	if len(next.byName) == 0 {
		return nil
	}
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
		m.view.seen.Store(s)
	}
	if s.n == nil || !m.view.own && !s.n.shared.Load() {
		return nil
	}
	return s.n
}

// openNear gives the Map its near cache, which begins here unless there is one already. A nil cfg is a Map without the option.
func (m *Map[K, V]) openNear(cfg *NearCacheConfig) error {
	if cfg == nil {
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
		if n.cfg != cfg {
			return nil, false, invalidf("open_map", name, "WithNearCache: this client has a near cache of the map with another configuration")
		}
		return n, false, nil
	}

	n = newNearCache(c, name, cfg)
	c.nears.Store(all.with(n))
	c.wg.Go(n.run)
	if cfg.Verify > 0 {
		c.wg.Go(n.verify)
	}
	return n, true, nil
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
