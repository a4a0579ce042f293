package sdk

import "time"

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
