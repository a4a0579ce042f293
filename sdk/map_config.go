package sdk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// EvictionPolicy says which entries a map evicts first once it reaches its bound.
type EvictionPolicy string

const (
	EvictNone EvictionPolicy = "none" // nothing is evicted
	EvictLRU  EvictionPolicy = "lru"  // the entries that were unused for the longest time
	EvictLFU  EvictionPolicy = "lfu"  // the entries that were used least
)

// ReadPolicy says how the owner of a partition makes sure, before it answers a read, that no other member owns the partition.
type ReadPolicy string

const (
	ReadLease  ReadPolicy = "lease"  // by a lease, which its writes renew; without one it asks a majority
	ReadQuorum ReadPolicy = "quorum" // by asking a majority each time: slower, and no clock matters
)

// MapConfig is the configuration of the maps whose names match a pattern. A nil field is not set: less specific patterns, and in
// the end the default, decide it.
type MapConfig struct {
	TTL     *time.Duration // of entries that are written without a TTL; 0, the default, means that they never expire
	MaxIdle *time.Duration // likewise

	// Eviction, MaxEntries and MaxBytes belong together: a pattern that sets one of them decides all three. Each member evicts
	// entries that it owns once they are more than MaxEntries, or take more than MaxBytes. 0 means no bound. The default is
	// EvictNone; a pattern that sets only a bound uses EvictLRU.
	Eviction   *EvictionPolicy
	MaxEntries *int64
	MaxBytes   *int64

	Stats *bool // whether members count the map's operations, by default true

	// Reads is ReadLease by default. Members that are configured with ReadQuorum have no leases, whatever Reads says of a map.
	Reads *ReadPolicy

	// NearCache says whether clients keep what they have read of the map; by default they do not. The fields after it are those of
	// NearCacheConfig, for every client. All of them belong together: a pattern that sets one of them decides all, and one that does
	// not set NearCache itself sets it to true. 0 means none. Unset, NearCacheMaxEntries is 10,000 and NearCacheVerify 0.0001.
	NearCache           *bool
	NearCacheMaxEntries *int64 // at least 1
	NearCacheMaxBytes   *int64
	NearCacheTTL        *time.Duration
	NearCacheMaxIdle    *time.Duration
	NearCacheEncoded    *bool
	NearCacheNegative   *bool
	NearCacheVerify     *float64 // to a millionth

	// How many events, and bytes of them, each partition keeps for listeners that are behind, by default 1,024 and 64 KB. All maps of a
	// partition share its events: it keeps what the one of them wants that wants most. From 1 to 65,536, and to 16 MB.
	EventsMaxEntries *int64
	EventsMaxBytes   *int64
}

// MapField names a field of a MapConfig, as configuration files and the command line do.
type MapField string

const (
	FieldTTL        MapField = "ttl"
	FieldMaxIdle    MapField = "max_idle"
	FieldEviction   MapField = "eviction"
	FieldMaxEntries MapField = "max_entries"
	FieldMaxBytes   MapField = "max_bytes"
	FieldStats      MapField = "stats"
	FieldReads      MapField = "reads"

	FieldNearCache           MapField = "near_cache" // with all fields below
	FieldNearCacheMaxEntries MapField = "near_cache_max_entries"
	FieldNearCacheMaxBytes   MapField = "near_cache_max_bytes"
	FieldNearCacheTTL        MapField = "near_cache_ttl"
	FieldNearCacheMaxIdle    MapField = "near_cache_max_idle"
	FieldNearCacheEncoded    MapField = "near_cache_encoded"
	FieldNearCacheNegative   MapField = "near_cache_negative"
	FieldNearCacheVerify     MapField = "near_cache_verify"

	FieldEventsMaxEntries MapField = "events_max_entries"
	FieldEventsMaxBytes   MapField = "events_max_bytes"
)

var mapFields = []struct {
	name MapField
	bits wire.MapFields
}{
	{FieldTTL, wire.MapTTL}, {FieldMaxIdle, wire.MapMaxIdle}, {FieldEviction, wire.MapEviction}, {FieldMaxEntries, wire.MapMaxEntries},
	{FieldMaxBytes, wire.MapMaxBytes}, {FieldStats, wire.MapStats}, {FieldReads, wire.MapReads},
	{FieldNearCache, wire.MapNearFields}, {FieldNearCacheMaxEntries, wire.MapNearEntries}, {FieldNearCacheMaxBytes, wire.MapNearBytes},
	{FieldNearCacheTTL, wire.MapNearTTL}, {FieldNearCacheMaxIdle, wire.MapNearMaxIdle}, {FieldNearCacheEncoded, wire.MapNearEncoded},
	{FieldNearCacheNegative, wire.MapNearNegative}, {FieldNearCacheVerify, wire.MapNearVerify},
	{FieldEventsMaxEntries, wire.MapEventEntries}, {FieldEventsMaxBytes, wire.MapEventBytes},
}

// PatternConfig is the configuration of a pattern: a map's name, or a glob. In a glob * stands for any characters, ? for one,
// [a-z] for one of a set, and \ takes the special meaning from the next character.
type PatternConfig struct {
	Pattern string
	MapConfig
}

// MapSettings is the resulting configuration of one map: what patterns set for it, and defaults for the rest. 0 means no limit.
type MapSettings struct {
	Patterns   []string // the patterns that match the map's name, the deciding one first
	TTL        time.Duration
	MaxIdle    time.Duration
	Eviction   EvictionPolicy
	MaxEntries int64
	MaxBytes   int64
	Stats      bool
	Reads      ReadPolicy

	// NearCache is nil unless clients are to have a near cache of the map. Preload is no part of it: each client has its own file.
	NearCache *NearCacheConfig

	EventsMaxEntries int64
	EventsMaxBytes   int64
}

// wire returns c in the form that members use. The error lists all that is wrong with single fields; contradictions between fields
// are found later.
func (c MapConfig) wire() (wire.MapConfig, error) {
	return wire.MapConfigSet[EvictionPolicy, ReadPolicy](c).MapConfig()
}

func mapConfigOf(c *wire.MapConfig) MapConfig {
	f, n := c.Fields, &c.Near
	return MapConfig{
		TTL: given(f, wire.MapTTL, duration(c.TTL)), MaxIdle: given(f, wire.MapMaxIdle, duration(c.MaxIdle)),
		Eviction:   given(f, wire.MapEviction, EvictionPolicy(c.Eviction.String())),
		MaxEntries: given(f, wire.MapMaxEntries, int64(c.MaxEntries)), MaxBytes: given(f, wire.MapMaxBytes, int64(c.MaxBytes)),
		Stats: given(f, wire.MapStats, c.Stats), Reads: given(f, wire.MapReads, ReadPolicy(c.Reads.String())),

		NearCache: given(f, wire.MapNearCache, n.On), NearCacheMaxEntries: given(f, wire.MapNearEntries, int64(n.MaxEntries)),
		NearCacheMaxBytes: given(f, wire.MapNearBytes, int64(n.MaxBytes)), NearCacheTTL: given(f, wire.MapNearTTL, duration(n.TTL)),
		NearCacheMaxIdle: given(f, wire.MapNearMaxIdle, duration(n.MaxIdle)), NearCacheEncoded: given(f, wire.MapNearEncoded, n.Encoded),
		NearCacheNegative: given(f, wire.MapNearNegative, n.Negative),
		NearCacheVerify:   given(f, wire.MapNearVerify, float64(n.Verify)/wire.MaxNearVerify),

		EventsMaxEntries: given(f, wire.MapEventEntries, int64(c.EventEntries)), EventsMaxBytes: given(f, wire.MapEventBytes, int64(c.EventBytes)),
	}
}

// given returns the value of a field, or nil if it is not set and other patterns decide. A zero value is a setting.
func given[T any](fields, field wire.MapFields, value T) *T {
	if fields&field == 0 {
		return nil
	}
	return &value
}

// nearCacheConfig returns the near cache that is set for a map, or nil for none.
func nearCacheConfig(n *wire.NearCache) *NearCacheConfig {
	if !n.On {
		return nil
	}

	out := &NearCacheConfig{MaxEntries: int(min(n.MaxEntries, math.MaxInt)), MaxBytes: int64(n.MaxBytes), TTL: duration(n.TTL),
		MaxIdle: duration(n.MaxIdle), Encoded: n.Encoded, Negative: n.Negative, Verify: float64(n.Verify) / wire.MaxNearVerify}
	// There 0 stands for the default.
	if n.Verify == 0 {
		out.Verify = -1
	}
	return out
}

// MapConfigs returns all configured patterns, the most specific first: names before globs, then globs with more literal
// characters, then those with more of these at their start, then in the order of their bytes.
func (c *Client) MapConfigs(ctx context.Context) (configs []PatternConfig, err error) {
	ctx, span := c.tracer.start(ctx, wire.OpMapConfigs.String(), "")
	defer func() { endSpan(span, err) }()
	res, err := c.mapConfigs(ctx)
	if err != nil {
		return nil, err
	}
	configs = make([]PatternConfig, len(res.List))
	for i := range res.List {
		configs[i] = PatternConfig{res.List[i].Pattern, mapConfigOf(&res.List[i].MapConfig)}
	}
	return configs, nil
}

// MapConfig returns the resulting configuration of the map with a name, whether or not it has entries.
func (c *Client) MapConfig(ctx context.Context, name string) (s MapSettings, err error) {
	ctx, span := c.tracer.start(ctx, wire.OpMapConfigs.String(), name)
	defer func() { endSpan(span, err) }()

	if err := wire.CheckMapName(name); err != nil {
		return s, wireError(wire.OpMapConfigs.String(), name, err)
	}

	res, err := c.mapConfigs(ctx)
	if err != nil {
		return s, err
	}

	// Resolved here by the rules that owners use, since both have them from package wire.
	r := res.List.Resolve(name)
	return MapSettings{Patterns: res.List.Matching(name), TTL: duration(r.TTL), MaxIdle: duration(r.MaxIdle),
		Eviction: EvictionPolicy(r.Eviction.String()), MaxEntries: int64(r.MaxEntries), MaxBytes: int64(r.MaxBytes), Stats: r.Stats,
		Reads: ReadPolicy(r.Reads.String()), NearCache: nearCacheConfig(&r.Near),
		EventsMaxEntries: int64(r.EventEntries), EventsMaxBytes: int64(r.EventBytes)}, nil
}

func (c *Client) mapConfigs(ctx context.Context) (wire.MapConfigsResult, error) {
	body, err := c.callAny(ctx, wire.OpMapConfigs, nil)
	if err != nil {
		return wire.MapConfigsResult{}, err
	}
	res, err := wire.DecodeMapConfigsResult(body)
	if err != nil {
		return wire.MapConfigsResult{}, unreadable(wire.OpMapConfigs, "", -1, err)
	}
	return res, nil
}

// SetMapConfig changes the configuration of a pattern. It sets the fields that set has, and unsets those named by unset, which
// other patterns then decide. All other fields stay. A pattern without any field is no longer configured. Owners apply the
// change to later writes, as soon as they learn of it; entries keep their expiry.
//
// Errors: ErrInvalid, listing all that is wrong with the pattern, the change and its result. ErrTooLarge for a pattern that is
// too long. ErrOverloaded if too many patterns are configured. ErrUnknownOutcome if the change may or may not have taken
// effect.
func (c *Client) SetMapConfig(ctx context.Context, pattern string, set MapConfig, unset ...MapField) (err error) {
	op := wire.OpSetMapConfig
	ctx, span := c.tracer.start(ctx, op.String(), pattern)
	defer func() { endSpan(span, err) }()

	values, err := set.wire()
	gone, bad := fieldsOf(unset)
	if both := values.Fields & gone; both != 0 {
		bad = append(bad, errors.New("a field is both set and unset"))
	}
	if err == nil && values.Fields|gone == 0 {
		bad = append(bad, errors.New("nothing is set and nothing unset"))
	}

	// All that is wrong is reported at once, before anything is asked.
	if err = errors.Join(append(bad, err, wire.CheckMapPattern(pattern))...); err != nil {
		return wireError(op.String(), pattern, err)
	}
	return c.changeMapConfig(ctx, pattern, func(was wire.MapConfig) wire.MapConfig { return was.Without(gone).With(values) })
}

// DropMapConfig removes the configuration of a pattern and reports whether there was one. Errors are those of SetMapConfig.
func (c *Client) DropMapConfig(ctx context.Context, pattern string) (existed bool, err error) {
	op := wire.OpSetMapConfig
	ctx, span := c.tracer.start(ctx, op.String(), pattern)
	defer func() { endSpan(span, err) }()

	if err := wire.CheckMapPattern(pattern); err != nil {
		return false, wireError(op.String(), pattern, err)
	}
	err = c.changeMapConfig(ctx, pattern, func(was wire.MapConfig) wire.MapConfig {
		// This may run again after a conflict. The conflict may be with an earlier copy of the same change.
		existed = existed || was.Fields != 0
		return wire.MapConfig{}
	})
	return existed, err
}

// fieldsOf returns the bits of named fields, and what is wrong with the names.
func fieldsOf(names []MapField) (bits wire.MapFields, bad []error) {
next:
	for _, n := range names {
		known := make([]string, 0, len(mapFields))
		for _, f := range mapFields {
			if f.name == n {
				bits |= f.bits
				continue next
			}
			known = append(known, string(f.name))
		}
		bad = append(bad, fmt.Errorf("unknown field %q: there are %s", n, strings.Join(known, ", ")))
	}
	return bits, bad
}

// changeMapConfig replaces the configuration of a pattern by what change makes of it. It begins again whenever another change came
// first. A late copy of a change finds another version of the configurations and has no effect.
func (c *Client) changeMapConfig(ctx context.Context, pattern string, change func(was wire.MapConfig) wire.MapConfig) error {
	op, caller := wire.OpSetMapConfig, ctx
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.timeout)
		defer cancel()
	}

	for {
		now, err := c.mapConfigs(ctx)
		if err != nil {
			return err
		}

		body := wire.SetMapConfigBody{From: now.Version, Config: wire.PatternConfig{Pattern: pattern}}
		at, there := now.List.Find(pattern)
		if there {
			body.Config.MapConfig = now.List[at].MapConfig
		}
		body.Config.MapConfig = change(body.Config.MapConfig)

		// There is nothing to remove, so there is nothing to change.
		if body.Config.Fields == 0 && !there {
			return nil
		}
		// Fields may contradict each other only together with those that were set before.
		if body.Config.Fields != 0 {
			if err := body.Config.Check(); err != nil {
				return wireError(op.String(), pattern, err)
			}
		}

		_, err = c.callAny(ctx, op, wire.AppendSetMapConfigBody(nil, &body))
		switch {
		case err == nil:
			return nil
		case unanswered(err):
			// A member may have made the change although its answer was lost.
			return &Error{Op: op.String(), Name: pattern, Partition: -1, Err: because(ErrUnknownOutcome, caller.Err()), Hint: err.Error()}
		// A conflict says that another change came first. The loop begins with the version after that.
		case !errors.Is(err, ErrConflict):
			return err
		}
	}
}
