package nearcache

import "sync/atomic"

// Copy is what was read of one key: a value, or that there is none. Its fields do not change.
type Copy struct {
	Found   bool
	Version uint64 // of the entry; 0: not found
	// AsOf is the version of the last change of the partition that the read knew of. The copy reflects all changes up to it.
	AsOf  uint64
	Value any // what Install was given

	partition int
	forgotten uint64       // the partition's, when the copy was installed
	deadline  int64        // cluster time from which on it is not served
	size      int64        // bytes of key and value
	used      atomic.Int64 // cluster time of the last hit; only kept with a max-idle
}

// Place is how far a partition's events have come: up to a position in a generation.
type Place struct{ Generation, Pos uint64 }

// Answer is what an owner has answered to a linearizable read of one key.
type Answer struct {
	Place          // up to where the owner had come
	AsOf    uint64 // version of the partition's last change that the read knows of
	Found   bool
	Version uint64 // of the entry; 0: not found
	Expires int64  // of the entry, in cluster time; 0: never
	MaxIdle int64  // of the entry, in milliseconds; 0: none
	Value   any    // what a hit is to get
	Size    int    // bytes of the encoded value
}
