package state

import "github.com/gridiron-io/gridiron/sdk/wire"

// Limits bounds what a partition keeps beside its entries. Zero means the default.
//
// NOTE: the limits decide what the state holds, so they must be equal on all replicas of a partition.
type Limits struct {
	// RingBytes and RingEvents are how many bytes of events, and how many events, are kept unless OpBoundRing says otherwise. By default
	// 64 KB and 1,024.
	RingBytes  int
	RingEvents int
	// EventValues is how many bytes the two values of an event may have together, by default 16 KB. Larger values are the first to go when
	// the ring is full.
	EventValues int
	// EndedBytes is what ended maps may take, by default 64 KB: some 600 of them. Up to 16 times as many are kept for ten seconds.
	EndedBytes int
	// LockWaiters is how many may wait for one lock, by default 1,024.
	LockWaiters int
	// LockBytes is what held locks may take with their waiters, by default 8 MB: some 30,000 locks of short keys.
	LockBytes int
	// FreeLockBytes is what released locks may take, by default 256 KB. They are kept for the last holder, who may still write under its
	// fence.
	FreeLockBytes int
}

// WithDefaults returns l with defaults in place of what is not positive.
func (l Limits) WithDefaults() Limits {
	if l.RingBytes <= 0 {
		l.RingBytes = wire.DefaultEventBytes
	}
	if l.RingEvents <= 0 {
		l.RingEvents = wire.DefaultEventEntries
	}
	if l.EventValues <= 0 {
		l.EventValues = 16 << 10
	}
	if l.EndedBytes <= 0 {
		l.EndedBytes = 64 << 10
	}
	if l.LockWaiters <= 0 {
		l.LockWaiters = 1024
	}
	if l.LockBytes <= 0 {
		l.LockBytes = 8 << 20
	}
	if l.FreeLockBytes <= 0 {
		l.FreeLockBytes = 256 << 10
	}
	return l
}
