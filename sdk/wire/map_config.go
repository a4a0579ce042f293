package wire

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Operations on the configuration of maps; any member answers.
const (
	OpSetMapConfig Op = 86 // SetMapConfigBody -> empty; CodeConflict where the configurations are at another version
	OpMapConfigs   Op = 87 // -> MapConfigsResult, as they were committed when the call came
)

var mapConfigOps = []Descriptor{
	{Op: OpSetMapConfig, Name: "set_map_config", Kind: KindMember, Repeatable: true}, // it compares a version and sets
	{Op: OpMapConfigs, Name: "map_configs", Kind: KindMember, Repeatable: true},
}

// Bounds of the configurations of maps.
const (
	MaxMapConfigs = 1000       // patterns that are configured
	MaxMapPattern = MaxMapName // of a pattern, in bytes
)

// MapFields tell which fields of a MapConfig are set. On the wire they are a uvarint: what builds of protocol version 4 wrote, as one byte with
// the first seven bits, reads the same.
type MapFields uint32

const (
	MapTTL        MapFields = 1 << 0
	MapMaxIdle    MapFields = 1 << 1
	MapEviction   MapFields = 1 << 2 // Eviction
	MapMaxEntries MapFields = 1 << 3
	MapMaxBytes   MapFields = 1 << 4
	MapStats      MapFields = 1 << 5
	MapReads      MapFields = 1 << 6

	// Fields of a NearCache.
	MapNearCache    MapFields = 1 << 7 // On
	MapNearEntries  MapFields = 1 << 8 // MaxEntries
	MapNearBytes    MapFields = 1 << 9 // MaxBytes
	MapNearTTL      MapFields = 1 << 10
	MapNearMaxIdle  MapFields = 1 << 11
	MapNearEncoded  MapFields = 1 << 12
	MapNearNegative MapFields = 1 << 13
	MapNearVerify   MapFields = 1 << 14

	MapEventEntries MapFields = 1 << 15
	MapEventBytes   MapFields = 1 << 16

	AllMapFields = MapTTL | MapMaxIdle | mapEvictionFields | MapStats | MapReads | MapNearFields | MapEventEntries | MapEventBytes

	mapEvictionFields = MapEviction | MapMaxEntries | MapMaxBytes
	MapNearFields     = MapNearCache | MapNearEntries | MapNearBytes | MapNearTTL | MapNearMaxIdle | MapNearEncoded | MapNearNegative | MapNearVerify
)

// mapFieldGroups are fields that make sense only together: the first pattern that sets any of a group decides all of it.
var mapFieldGroups = [...]MapFields{mapEvictionFields, MapNearFields}

// EvictionPolicy says which entries go first when a map is too large.
type EvictionPolicy uint8

const (
	EvictNone EvictionPolicy = iota // none go
	EvictLRU                        // those that were not used for the longest time
	EvictLFU                        // those that were used least
)

// String returns the policy's name as it stands in configurations.
func (p EvictionPolicy) String() string {
	switch p {
	case EvictNone:
		return "none"
	case EvictLRU:
		return "lru"
	case EvictLFU:
		return "lfu"
	}
	return fmt.Sprintf("policy %d", uint8(p))
}

// ParseEvictionPolicy returns the policy of a name.
func ParseEvictionPolicy(name string) (EvictionPolicy, error) {
	for p := EvictNone; p <= EvictLFU; p++ {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%w: eviction policy %q: want none, lru or lfu", ErrMalformed, name)
}

// ReadPolicy says how an owner makes sure, before it answers a read, that no other process owns the partition.
type ReadPolicy uint8

const (
	ReadLease  ReadPolicy = iota // by its lease, if it has one, and else by asking a majority
	ReadQuorum                   // by asking a majority
)

// String returns the policy's name as it stands in configurations.
func (p ReadPolicy) String() string {
	switch p {
	case ReadLease:
		return "lease"
	case ReadQuorum:
		return "quorum"
	}
	return fmt.Sprintf("policy %d", uint8(p))
}

// ParseReadPolicy returns the policy of a name.
func ParseReadPolicy(name string) (ReadPolicy, error) {
	for p := ReadLease; p <= ReadQuorum; p++ {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%w: reads %q: want lease or quorum", ErrMalformed, name)
}

// MapConfig is the configuration that is set for a pattern of map names, or the resulting configuration of one map.
type MapConfig struct {
	Fields MapFields // that are set; the others are zero

	TTL     uint64 // of entries that are written without one, in milliseconds; 0: they stay
	MaxIdle uint64 // likewise; 0: they may be idle for ever

	// Together these say when entries are evicted: each member evicts from the entries that it owns when there are more
	// than MaxEntries, or they are counted with more than MaxBytes. 0 is no bound. Without a policy, EvictLRU holds where
	// there is a bound.
	Eviction   EvictionPolicy
	MaxEntries uint64
	MaxBytes   uint64

	Stats bool // operations are counted
	Reads ReadPolicy

	Near NearCache

	// How many events, and bytes of them, a partition keeps as long as it has the map. It keeps what the map wants most that it has.
	EventEntries uint64
	EventBytes   uint64
}

// Bounds of EventEntries and EventBytes, and what holds where they are not set. Trimming as many events as there can be takes an
// operation of the log some milliseconds.
const (
	MaxEventEntries     = 1 << 16
	MaxEventBytes       = 16 << 20
	DefaultEventEntries = 1024
	DefaultEventBytes   = 64 << 10
)

// NearCache is what clients may keep of a map. Members do nothing with it.
type NearCache struct {
	On       bool // clients have a near cache of the map
	Encoded  bool // they keep encoded values
	Negative bool // they remember absent keys too
	// Verify is the share of hits that is checked against the owner, in millionths; 0: none.
	Verify uint32

	MaxEntries uint64 // of one client
	MaxBytes   uint64 // likewise, of encoded keys and values; 0: no bound
	TTL        uint64 // of what is kept, in milliseconds; 0: that of the entry alone counts
	MaxIdle    uint64 // likewise
}

// MaxNearVerify is all hits, as NearCache.Verify counts.
const MaxNearVerify = 1_000_000

// DefaultMapConfig is the configuration of a map for which nothing is set.
var DefaultMapConfig = MapConfig{Stats: true, Near: NearCache{Verify: MaxNearVerify / 10_000, MaxEntries: 10_000},
	EventEntries: DefaultEventEntries, EventBytes: DefaultEventBytes}

// Bounded reports whether entries of the map may be evicted for its size.
func (c *MapConfig) Bounded() bool {
	return c.Eviction != EvictNone && (c.MaxEntries != 0 || c.MaxBytes != 0)
}

// Check returns all that is wrong with c as the configuration of a pattern, as errors wrapping ErrMalformed.
func (c *MapConfig) Check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...))
	}

	if c.Fields&^AllMapFields != 0 {
		bad("a field that is not known here")
	}

	for _, d := range [...]struct {
		name  string
		value uint64
	}{{"ttl", c.TTL}, {"max_idle", c.MaxIdle}, {"near_cache ttl", c.Near.TTL}, {"near_cache max_idle", c.Near.MaxIdle}} {
		if d.value >= Forever {
			bad("%s of %d ms: want less than %d, or 0 for none", d.name, d.value, Forever)
		}
	}

	// The policy and the bounds make sense only together.
	switch {
	case c.Eviction > EvictLFU:
		bad("eviction %v: want none, lru or lfu", c.Eviction)
	case c.Fields&MapEviction == 0:
	case c.Eviction == EvictNone && (c.MaxEntries != 0 || c.MaxBytes != 0):
		bad("eviction none with max_entries %d, max_bytes %d: want lru or lfu, or neither bound", c.MaxEntries, c.MaxBytes)
	case c.Eviction != EvictNone && c.MaxEntries == 0 && c.MaxBytes == 0:
		bad("eviction %v without a bound: want max_entries or max_bytes too", c.Eviction)
	}

	if c.Reads > ReadQuorum {
		bad("reads %v: want lease or quorum", c.Reads)
	}

	// A near cache is in the memory of programs and never without a bound.
	if c.Fields&MapNearEntries != 0 && c.Near.MaxEntries == 0 {
		bad("near_cache max_entries 0: want 1 or more")
	}
	if c.Near.Verify > MaxNearVerify {
		bad("near_cache verify of %d millionths: want at most %d", c.Near.Verify, MaxNearVerify)
	}

	for _, e := range [...]struct {
		name       string
		field      MapFields
		value, max uint64
	}{{"max_entries", MapEventEntries, c.EventEntries, MaxEventEntries}, {"max_bytes", MapEventBytes, c.EventBytes, MaxEventBytes}} {
		// The newest event always stays, so no number says that there are none.
		if c.Fields&e.field != 0 && (e.value == 0 || e.value > e.max) {
			bad("events %s %d: want 1 to %d", e.name, e.value, e.max)
		}
	}

	// Members compare configurations, so what is not set must be zero.
	if *c != c.only(c.Fields) {
		bad("a value of a field that is not set")
	}
	return errors.Join(errs...)
}

// With returns c with the fields of o that are set there.
func (c MapConfig) With(o MapConfig) MapConfig {
	c.take(&o, o.Fields)
	c.Fields |= o.Fields
	return c
}

// Without returns c with the given fields no longer set.
func (c MapConfig) Without(f MapFields) MapConfig { return c.only(AllMapFields &^ f) }

// only returns c with no other fields than the given ones.
func (c *MapConfig) only(f MapFields) MapConfig {
	out := MapConfig{Fields: c.Fields & f}
	out.take(c, f)
	return out
}

// take gives fields of c the values that they have in o.
func (c *MapConfig) take(o *MapConfig, f MapFields) {
	// Field by field, since each may come from another pattern.
	if f&MapTTL != 0 {
		c.TTL = o.TTL
	}
	if f&MapMaxIdle != 0 {
		c.MaxIdle = o.MaxIdle
	}
	if f&MapEviction != 0 {
		c.Eviction = o.Eviction
	}
	if f&MapMaxEntries != 0 {
		c.MaxEntries = o.MaxEntries
	}
	if f&MapMaxBytes != 0 {
		c.MaxBytes = o.MaxBytes
	}
	if f&MapStats != 0 {
		c.Stats = o.Stats
	}
	if f&MapReads != 0 {
		c.Reads = o.Reads
	}
	if f&MapNearFields != 0 {
		c.Near.take(&o.Near, f)
	}
	if f&MapEventEntries != 0 {
		c.EventEntries = o.EventEntries
	}
	if f&MapEventBytes != 0 {
		c.EventBytes = o.EventBytes
	}
}

// nearFlag and nearNumber are fields of a NearCache.
type (
	nearFlag struct {
		field MapFields
		set   *bool
	}
	nearNumber struct {
		field MapFields
		value *uint64
	}
)

// flags and numbers return fields of c in the protocol's order. Verify comes after them.
func (c *NearCache) flags() [3]nearFlag {
	return [3]nearFlag{{MapNearCache, &c.On}, {MapNearEncoded, &c.Encoded}, {MapNearNegative, &c.Negative}}
}

func (c *NearCache) numbers() [4]nearNumber {
	return [4]nearNumber{{MapNearEntries, &c.MaxEntries}, {MapNearBytes, &c.MaxBytes}, {MapNearTTL, &c.TTL}, {MapNearMaxIdle, &c.MaxIdle}}
}

// take gives fields of c the values that they have in o.
func (c *NearCache) take(o *NearCache, f MapFields) {
	flags, numbers := o.flags(), o.numbers()
	for i, to := range c.flags() {
		if f&to.field != 0 {
			*to.set = *flags[i].set
		}
	}
	for i, to := range c.numbers() {
		if f&to.field != 0 {
			*to.value = *numbers[i].value
		}
	}
	if f&MapNearVerify != 0 {
		c.Verify = o.Verify
	}
}

// minMapConfig is the least that an encoded MapConfig takes.
const minMapConfig = 1

func (c *MapConfig) append(dst []byte) []byte {
	dst = AppendUvarint(dst, uint64(c.Fields))

	// The order of the fields is the protocol's. What is not set takes no bytes.
	for _, f := range [...]struct {
		field MapFields
		value uint64
	}{{MapTTL, c.TTL}, {MapMaxIdle, c.MaxIdle}, {MapEviction, uint64(c.Eviction)}, {MapMaxEntries, c.MaxEntries}, {MapMaxBytes, c.MaxBytes}} {
		if c.Fields&f.field != 0 {
			dst = AppendUvarint(dst, f.value)
		}
	}

	if c.Fields&MapStats != 0 {
		dst = appendFlags(dst, c.Stats)
	}
	if c.Fields&MapReads != 0 {
		dst = append(dst, byte(c.Reads))
	}

	for _, f := range c.Near.flags() {
		if c.Fields&f.field != 0 {
			dst = appendFlags(dst, *f.set)
		}
	}
	for _, f := range c.Near.numbers() {
		if c.Fields&f.field != 0 {
			dst = AppendUvarint(dst, *f.value)
		}
	}
	if c.Fields&MapNearVerify != 0 {
		dst = AppendU32(dst, c.Near.Verify)
	}
	if c.Fields&MapEventEntries != 0 {
		dst = AppendUvarint(dst, c.EventEntries)
	}
	if c.Fields&MapEventBytes != 0 {
		dst = AppendUvarint(dst, c.EventBytes)
	}
	return dst
}

func readFlag(r *Reader) bool {
	b := r.U8()
	if b > 1 {
		r.Fail("a flag of %d", b)
	}
	return b == 1
}

func (c *MapConfig) decode(r *Reader) {
	fields := r.Uvarint()

	// A field that is not known has no known length, so nothing after it could be read.
	if fields&^uint64(AllMapFields) != 0 {
		r.Fail("fields %b of a map's configuration, of which some are not known here", fields)
		return
	}
	c.Fields = MapFields(fields)

	var policy uint64
	for _, f := range [...]struct {
		field MapFields
		value *uint64
	}{{MapTTL, &c.TTL}, {MapMaxIdle, &c.MaxIdle}, {MapEviction, &policy}, {MapMaxEntries, &c.MaxEntries}, {MapMaxBytes, &c.MaxBytes}} {
		if c.Fields&f.field != 0 {
			*f.value = r.Uvarint()
		}
	}

	// Checked before the conversion, which would cut the number down to a byte.
	if policy > uint64(EvictLFU) {
		r.Fail("eviction policy %d", policy)
		return
	}

	c.Eviction = EvictionPolicy(policy)

	if c.Fields&MapStats != 0 {
		c.Stats = readFlag(r)
	}
	if c.Fields&MapReads != 0 {
		if c.Reads = ReadPolicy(r.U8()); c.Reads > ReadQuorum {
			r.Fail("reads %v", c.Reads)
		}
	}

	for _, f := range c.Near.flags() {
		if c.Fields&f.field != 0 {
			*f.set = readFlag(r)
		}
	}
	for _, f := range c.Near.numbers() {
		if c.Fields&f.field != 0 {
			*f.value = r.Uvarint()
		}
	}
	if c.Fields&MapNearVerify != 0 {
		c.Near.Verify = r.U32()
	}
	if c.Fields&MapEventEntries != 0 {
		c.EventEntries = r.Uvarint()
	}
	if c.Fields&MapEventBytes != 0 {
		c.EventBytes = r.Uvarint()
	}
}

// AppendMapConfig appends c.
func AppendMapConfig(dst []byte, c *MapConfig) []byte { return c.append(dst) }

// ReadMapConfig reads what AppendMapConfig wrote, from where the reader stands.
func ReadMapConfig(r *Reader) (c MapConfig) {
	c.decode(r)
	return c
}

// PatternConfig is what is set for the maps whose names match a pattern.
type PatternConfig struct {
	Pattern string
	MapConfig
}

// CheckMapPattern returns an error wrapping ErrMalformed or ErrTooLarge unless p is a glob and could be the name of a map too.
func CheckMapPattern(p string) error {
	if err := CheckMapName(p); err != nil {
		return fmt.Errorf("pattern of map names: %w", err)
	}
	return CheckGlob(p)
}

// Check returns all that is wrong with c.
func (c *PatternConfig) Check() error {
	errs := []error{CheckMapPattern(c.Pattern), c.MapConfig.Check()}
	if c.Fields == 0 {
		errs = append(errs, fmt.Errorf("%w: nothing is set", ErrMalformed))
	}
	return errors.Join(errs...)
}

// ComparePatterns orders patterns by precedence, the first to be asked first. Patterns that one name alone matches come first,
// then those with more characters that stand for themselves. Then come those with more of these before the first that does not.
// The rest is in the order of their bytes.
func ComparePatterns(a, b string) int {
	rank := func(p string) int {
		if _, exact := GlobText(p); exact {
			return 0
		}
		return 1
	}

	// More literal characters make a pattern more specific. The bytes decide last, so that the order is total.
	allA, prefixA := globLiterals(a)
	allB, prefixB := globLiterals(b)
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(allB, allA), cmp.Compare(prefixB, prefixA), cmp.Compare(a, b))
}

// MapConfigs are all that is set for maps, each pattern once, in order of precedence.
type MapConfigs []PatternConfig

// Find returns the place of a pattern, or where it would be.
func (l MapConfigs) Find(pattern string) (int, bool) {
	return slices.BinarySearchFunc(l, pattern, func(c PatternConfig, p string) int { return ComparePatterns(c.Pattern, p) })
}

// Check returns all that is wrong with l.
func (l MapConfigs) Check() error { return errors.Join(slices.Collect(l.problems())...) }

// problems yields what is wrong with l.
func (l MapConfigs) problems() iter.Seq[error] {
	return func(yield func(error) bool) {
		if len(l) > MaxMapConfigs &&
			!yield(fmt.Errorf("%w: %d patterns of map names, at most %d are possible", ErrTooLarge, len(l), MaxMapConfigs)) {
			return
		}

		for i := range l {
			if err := l[i].Check(); err != nil && !yield(fmt.Errorf("maps %q: %w", l[i].Pattern, err)) {
				return
			}

			// The order is part of the meaning: the first pattern that matches decides.
			if i > 0 && ComparePatterns(l[i-1].Pattern, l[i].Pattern) >= 0 &&
				!yield(fmt.Errorf("%w: patterns %q and %q out of order", ErrMalformed, l[i-1].Pattern, l[i].Pattern)) {
				return
			}
		}
	}
}

// Resolve returns the configuration of the map with a name. Each field is that of the first pattern that matches the name and sets the
// field. The fields about eviction go together, and those about near caches: they are those of the first pattern that sets any of them.
// Fields says which fields some pattern sets. The others have their defaults.
func (l MapConfigs) Resolve(name string) MapConfig {
	out := DefaultMapConfig
	for i := range l {
		c := &l[i]

		// f is what this pattern can still decide. Earlier patterns are more specific.
		f := c.Fields &^ out.Fields
		for _, group := range mapFieldGroups {
			if out.Fields&group != 0 {
				f &^= group
			}
		}

		// Matching is the costly part, so it comes last.
		if f == 0 || !MatchGlob(c.Pattern, name) {
			continue
		}

		out.take(&c.MapConfig, f)
		out.Fields |= f
		// A bound without a policy would evict nothing. The least recently used entries go then.
		if f&mapEvictionFields != 0 && f&MapEviction == 0 && (out.MaxEntries != 0 || out.MaxBytes != 0) {
			out.Eviction = EvictLRU
		}
		// A pattern that says how a near cache is wants one, unless it says otherwise.
		if f&MapNearFields != 0 && f&MapNearCache == 0 {
			out.Near.On = true
		}
	}
	return out
}

// Matching returns the patterns that match the name of a map, in order of precedence.
func (l MapConfigs) Matching(name string) []string {
	var list []string
	for i := range l {
		if MatchGlob(l[i].Pattern, name) {
			list = append(list, l[i].Pattern)
		}
	}
	return list
}

// AppendMapConfigs appends l.
func AppendMapConfigs(dst []byte, l MapConfigs) []byte {
	dst = AppendUvarint(dst, uint64(len(l)))
	for i := range l {
		dst = l[i].append(AppendString(dst, l[i].Pattern))
	}
	return dst
}

// ReadMapConfigs reads what AppendMapConfigs wrote, from where the reader stands. It is nil for none.
func ReadMapConfigs(r *Reader) MapConfigs {
	n := r.Count(1 + 1 + minMapConfig)
	if n > MaxMapConfigs {
		r.Fail("%d patterns of map names, at most %d are possible", n, MaxMapConfigs)
	}

	// nil and not an empty list, so that equal configurations are equal values.
	if n == 0 || r.Err() != nil {
		return nil
	}

	l := make(MapConfigs, n)
	for i := range l {
		l[i].Pattern = r.String()
		l[i].decode(r)
	}
	return l
}

// MapConfigsResult answers OpMapConfigs.
type MapConfigsResult struct {
	Version uint64 // of the configurations: grows when one is changed
	List    MapConfigs
}

// AppendMapConfigsResult appends m.
func AppendMapConfigsResult(dst []byte, m *MapConfigsResult) []byte {
	return AppendMapConfigs(AppendU64(dst, m.Version), m.List)
}

// DecodeMapConfigsResult reads what AppendMapConfigsResult wrote, and refuses a list that Check does with the first reason.
func DecodeMapConfigsResult(b []byte) (MapConfigsResult, error) {
	r := NewReader(b)
	m := MapConfigsResult{Version: r.U64(), List: ReadMapConfigs(&r)}
	if err := r.Done(); err != nil {
		return MapConfigsResult{}, err
	}

	// The first problem is enough to refuse the list.
	for err := range m.List.problems() {
		return MapConfigsResult{}, err
	}
	return m, nil
}

// SetMapConfigBody is the body of OpSetMapConfig: the next configuration of a pattern, if the configurations still have version From.
// A configuration without fields ends that of the pattern.
type SetMapConfigBody struct {
	From   uint64
	Config PatternConfig
}

// AppendSetMapConfigBody appends s.
func AppendSetMapConfigBody(dst []byte, s *SetMapConfigBody) []byte {
	return s.Config.append(AppendString(AppendU64(dst, s.From), s.Config.Pattern))
}

// DecodeSetMapConfigBody reads what AppendSetMapConfigBody wrote. It does not check the configuration.
func DecodeSetMapConfigBody(b []byte) (SetMapConfigBody, error) {
	r := NewReader(b)
	s := SetMapConfigBody{From: r.U64(), Config: PatternConfig{Pattern: r.String()}}
	s.Config.decode(&r)
	return s, r.Done()
}
