package sdk

import (
	"errors"
	"fmt"
	"time"
)

// NearCacheConfig says what a client keeps of a map that it has read.
type NearCacheConfig struct {
	MaxEntries int           // 0: 10,000
	MaxBytes   int64         // of encoded keys and values; 0: no bound
	TTL        time.Duration // of what is kept; 0: none. A value never outlives its entry either
	MaxIdle    time.Duration // likewise
	Encoded    bool          // keep encoded values: each hit decodes. Else hits share one decoded value, which callers must not change
	Negative   bool          // remember absent keys too
	Preload    string        // file that remembers the keys of the last session; "": none
	Verify     float64       // share of hits that is checked against the owner in the background; 0: 0.0001, negative: none
}

// WithNearCache keeps what Get and GetAll read of the map in this process, and serves Get, GetAll and ContainsKey from there. Every other operation
// goes to the owners. One near cache serves all Maps of a client with the same name that were opened with it, also where their types differ.
// OpenMap with another configuration for the same name is ErrInvalid.
//
// A read that begins after a write of any Map of the same client has ended sees that write. Writes of others are seen within milliseconds,
// usually, and within 3.5 seconds whatever messages are lost: a near cache that cannot tell that it is fresh asks the owners. It never serves a
// value beyond its TTL.
//
// The cluster may be configured to have clients keep a near cache of a map, see MapConfig. A Map that is opened without WithNearCache then uses it.
// A client reads that configuration one second after its first OpenMap without the option, and one second after each change.
// WithNearCache goes before it.
//
// NOTE: unless Encoded is set, hits share one decoded value. Callers must not change what it points to, such as maps and slices. Reads from a
// near cache are no uses of an entry, unless they are verified: a value of an entry with a max-idle is kept for half of that at most. What a lock protects is
// read from the owner once the lock was got if it is the value of the locked key; other keys may be as stale as said.
func WithNearCache(cfg NearCacheConfig) MapOption {
	return mapOption(func(c *mapConfig) error {
		cfg, err := cfg.withDefaults()
		if err != nil {
			return fmt.Errorf("WithNearCache: %w", err)
		}
		if c.near != nil && *c.near != cfg {
			return errors.New("WithNearCache: given twice, and not alike")
		}
		c.near = &cfg
		return nil
	})
}

// withDefaults returns c with its defaults filled in. The error lists all that is wrong.
func (c NearCacheConfig) withDefaults() (NearCacheConfig, error) {
	var errs []error
	for _, n := range []struct {
		name  string
		value int64
	}{{"MaxEntries", int64(c.MaxEntries)}, {"MaxBytes", c.MaxBytes}, {"TTL", int64(c.TTL)}, {"MaxIdle", int64(c.MaxIdle)}} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s is negative", n.name))
		}
	}
	if c.Verify > 1 || c.Verify != c.Verify {
		errs = append(errs, fmt.Errorf("%s is %v, want a share of at most 1", "Verify", c.Verify))
	}

	if c.MaxEntries == 0 {
		c.MaxEntries = 10_000
	}
	switch {
	case c.Verify == 0:
		c.Verify = 0.0001
	case c.Verify < 0:
		c.Verify = -1
	}
	return c, errors.Join(errs...)
}

// NearCacheStats is what a near cache holds and has done. Hits and Misses together are the keys that were asked for.
type NearCacheStats struct {
	Entries       int
	Bytes         int64         // of encoded keys and values
	Hits          uint64        // known absences among them
	Misses        uint64        // keys for which the owner had to be asked, bypasses among them
	Invalidations uint64        // copies that a change has dropped; where all copies in a partition were dropped together, they count once
	Repairs       uint64        // how often owners had to be asked for events that were missing in a partition
	Bypasses      uint64        // misses for lack of freshness
	Verified      uint64        // hits that were checked against the owner
	Stale         uint64        // hits, of those checked, whose value was served for longer than promised
	MaxStaleness  time.Duration // how old hits may have been at most
}

// NearCacheStats returns what the map's near cache holds and has done since it was made; zeros if this Map has none. It does no I/O.
func (m *Map[K, V]) NearCacheStats() NearCacheStats {
	if n := m.near(); n != nil {
		return n.stats()
	}
	return NearCacheStats{}
}
