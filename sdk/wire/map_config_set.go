package wire

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// MapConfigSet is a MapConfig as programs give it: in Go's types, and nil where a field is not set. It has the fields of sdk.MapConfig, so that one
// converts to the other.
type MapConfigSet[Eviction, Reads ~string] struct {
	TTL        *time.Duration
	MaxIdle    *time.Duration
	Eviction   *Eviction
	MaxEntries *int64
	MaxBytes   *int64
	Stats      *bool
	Reads      *Reads

	NearCache           *bool
	NearCacheMaxEntries *int64
	NearCacheMaxBytes   *int64
	NearCacheTTL        *time.Duration
	NearCacheMaxIdle    *time.Duration
	NearCacheEncoded    *bool
	NearCacheNegative   *bool
	NearCacheVerify     *float64

	EventsMaxEntries *int64
	EventsMaxBytes   *int64
}

// MapConfig returns s in the form that members use. The error lists all that is wrong with single fields. MapConfig.Check
// finds contradictions between fields.
func (s MapConfigSet[E, R]) MapConfig() (out MapConfig, err error) {
	var errs []error
	for _, d := range []struct {
		what  string
		bit   MapFields
		from  *time.Duration
		field *uint64
	}{{"ttl", MapTTL, s.TTL, &out.TTL}, {"max_idle", MapMaxIdle, s.MaxIdle, &out.MaxIdle},
		{"near_cache ttl", MapNearTTL, s.NearCacheTTL, &out.Near.TTL}, {"near_cache max_idle", MapNearMaxIdle, s.NearCacheMaxIdle, &out.Near.MaxIdle}} {
		// nil leaves the field as it is. A zero value sets it.
		if d.from == nil {
			continue
		}
		ms, err := Milliseconds(d.what, *d.from)
		if err != nil {
			errs = append(errs, err)
		}
		// A TTL that never ends is written in one way only: members compare configurations.
		if ms >= Forever {
			ms = 0
		}
		*d.field = ms
		out.Fields |= d.bit
	}

	if s.Eviction != nil {
		policy, err := ParseEvictionPolicy(string(*s.Eviction))
		if err != nil {
			errs = append(errs, err)
		}
		out.Eviction = policy
		out.Fields |= MapEviction
	}

	for _, n := range []struct {
		what  string
		bit   MapFields
		from  *int64
		field *uint64
	}{{"max_entries", MapMaxEntries, s.MaxEntries, &out.MaxEntries}, {"max_bytes", MapMaxBytes, s.MaxBytes, &out.MaxBytes},
		{"near_cache max_entries", MapNearEntries, s.NearCacheMaxEntries, &out.Near.MaxEntries},
		{"near_cache max_bytes", MapNearBytes, s.NearCacheMaxBytes, &out.Near.MaxBytes},
		{"events max_entries", MapEventEntries, s.EventsMaxEntries, &out.EventEntries},
		{"events max_bytes", MapEventBytes, s.EventsMaxBytes, &out.EventBytes}} {
		if n.from == nil {
			continue
		}
		if *n.from < 0 {
			errs = append(errs, fmt.Errorf("%s %d: want 0 or more", n.what, *n.from))
		}
		// A negative number has been reported, and must not become a huge one.
		*n.field = uint64(max(0, *n.from))
		out.Fields |= n.bit
	}

	for _, b := range []struct {
		bit   MapFields
		from  *bool
		field *bool
	}{{MapStats, s.Stats, &out.Stats}, {MapNearCache, s.NearCache, &out.Near.On}, {MapNearEncoded, s.NearCacheEncoded, &out.Near.Encoded},
		{MapNearNegative, s.NearCacheNegative, &out.Near.Negative}} {
		if b.from != nil {
			*b.field = *b.from
			out.Fields |= b.bit
		}
	}

	if s.Reads != nil {
		policy, err := ParseReadPolicy(string(*s.Reads))
		if err != nil {
			errs = append(errs, err)
		}
		out.Reads = policy
		out.Fields |= MapReads
	}

	if s.NearCacheVerify != nil {
		share, err := millionths(*s.NearCacheVerify)
		if err != nil {
			errs = append(errs, fmt.Errorf("near_cache verify %w", err))
		}
		out.Near.Verify = share
		out.Fields |= MapNearVerify
	}

	if len(errs) > 0 {
		return MapConfig{}, errors.Join(errs...)
	}
	return out, nil
}

// millionths returns a share in millionths.
func millionths(share float64) (uint32, error) {
	// A share that is rounded to none would be no longer what was asked for. Not-a-number is refused too.
	n := math.Round(share * 1e6)
	if !(share == 0 || n >= 1 && share <= 1) {
		return 0, fmt.Errorf("%v: want 0 for none, or a share from 0.000001 to 1", share)
	}
	return uint32(n), nil
}

// Milliseconds returns d in milliseconds, rounded up. The error for a negative d names what d is.
func Milliseconds(what string, d time.Duration) (uint64, error) {
	if d < 0 {
		return 0, fmt.Errorf("%s(%v): negative", what, d)
	}
	ms := uint64(d / time.Millisecond)
	if d%time.Millisecond != 0 {
		ms++
	}
	return ms, nil
}
