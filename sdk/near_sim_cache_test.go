package sdk

import "github.com/gridiron-io/gridiron/sdk/internal/nearcache"

// simCache is the real cache of one client, and where its rules are broken from outside: by calls that are left out, or by other arguments than
// the truth.
type simCache struct {
	*nearcache.Cache
	bug     simBug
	session int // grows when the stream begins again
	loads   map[*simLoad]struct{}
}

// simLoad is a load under way.
type simLoad struct {
	*nearcache.Load
	key     string
	from    place
	session int
	kept    bool // a bug has it go on
}

// simCopy is a value in the cache.
type simCopy struct {
	value string
	at    int64 // true time at which it was installed
	ahead int64 // by how many milliseconds the client took that for later than it was
}

func newSimCache(s *nearSim) *simCache {
	cfg := nearcache.Config{Partitions: simPartition + 1, MaxEntries: 100, Negative: s.negative}
	return &simCache{Cache: nearcache.New(cfg), bug: s.bug, loads: make(map[*simLoad]struct{})}
}

// begin begins a load of a key at a place of the stream.
func (c *simCache) begin(key string, at place) *simLoad {
	l := &simLoad{Load: c.Begin(simPartition, []byte(key)), key: key, from: at, session: c.session}
	from := nearcache.Place{Generation: at.generation, Pos: at.pos}
	if c.bug == simSequenceIgnored {
		from.Pos = 0
	}
	l.From(from)
	c.loads[l] = struct{}{}
	return l
}

// install ends a load, and reports whether its answer is served from now on.
func (c *simCache) install(l *simLoad, a *simAnswer, now, at int64, whole bool) bool {
	if c.bug == simInvalidationsIgnored || c.bug == simKeptOverReconnect && l.session != c.session || l.kept {
		c.cancel(l)
		l = c.begin(l.key, l.from)
	}
	delete(c.loads, l)
	answer := nearcache.Answer{Place: nearcache.Place{Generation: a.at.generation, Pos: a.at.pos}, AsOf: a.asOf, Found: a.found, Version: a.version,
		Expires: a.expires, MaxIdle: a.maxIdle, Value: &simCopy{a.value, at, max(0, now-at/millisecond)}, Size: len(a.value)}
	switch c.bug {
	case simExpiryIgnored:
		answer.Expires = 0
	case simMaxIdleIgnored:
		answer.MaxIdle = 0
	}
	return c.Install(l.Load, &answer, now, !whole)
}

// cancel ends a load without an answer.
func (c *simCache) cancel(l *simLoad) {
	delete(c.loads, l)
	c.Cancel(l.Load)
}

// wrote says that a write of the client has ended. The empty key is the whole map.
func (c *simCache) wrote(key string, version uint64, known bool) {
	if c.bug == simUnknownKeepsLoads && !known {
		for l := range c.loads {
			l.kept = l.kept || l.key == key || key == ""
		}
	}
	switch {
	case c.bug == simOwnWriteNotCounted, c.bug == simUnknownIsNothing && !known:
	case key == "":
		c.Forget(simPartition)
	default:
		c.Wrote(simPartition, []byte(key), version)
	}
}

// restart says that the stream begins again.
func (c *simCache) restart() {
	c.session++
	if c.bug != simReconnectForgetsNothing {
		c.Forget(simPartition)
	}
}

// get returns what is cached, or nil if nothing may be served.
func (c *simCache) get(key string, now, fresh int64) (e *simCopy, found bool) {
	e0, _ := c.Get(simPartition, []byte(key), nearcache.Moment{Now: now, Fresh: fresh})
	if e0 == nil {
		return nil, false
	}
	return e0.Value.(*simCopy), e0.Found
}
