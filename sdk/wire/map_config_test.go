package wire

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawNearCache(t *rapid.T) NearCache {
	return NearCache{On: drawBool(t, "near"), Encoded: drawBool(t, "encoded"), Negative: drawBool(t, "negative"),
		Verify: uint32(rapid.IntRange(0, MaxNearVerify).Draw(t, "verify")), MaxEntries: 1 + drawU64(t, "near entries")/2,
		MaxBytes: drawU64(t, "near bytes"), TTL: drawU64(t, "near ttl") % Forever, MaxIdle: drawU64(t, "near max idle") % Forever}
}

func drawMapConfig(t *rapid.T, _ string) MapConfig {
	c := MapConfig{Fields: MapFields(rapid.IntRange(1, int(AllMapFields)).Draw(t, "fields")), TTL: drawU64(t, "ttl") % Forever, MaxIdle: drawU64(t, "max idle") % Forever,
		Eviction: EvictLRU, MaxEntries: 1 + drawU64(t, "entries")/2, MaxBytes: drawU64(t, "bytes"), Stats: drawBool(t, "stats"),
		Reads: ReadPolicy(rapid.IntRange(0, int(ReadQuorum)).Draw(t, "reads")), Near: drawNearCache(t),
		EventEntries: 1 + drawU64(t, "events")%MaxEventEntries, EventBytes: 1 + drawU64(t, "event bytes")%MaxEventBytes}
	if c.Fields&(MapMaxEntries|MapMaxBytes) == 0 || rapid.Bool().Draw(t, "unbounded") {
		c.Eviction, c.MaxEntries, c.MaxBytes = EvictNone, 0, 0
	} else if c.Fields&MapMaxEntries == 0 {
		c.MaxBytes = max(1, c.MaxBytes)
	}
	return c.only(c.Fields)
}

func drawMapConfigs(t *rapid.T) MapConfigs {
	var l MapConfigs
	for range rapid.IntRange(0, 5).Draw(t, "patterns") {
		p := rapid.StringMatching(`[a-c*?é]{1,6}`).Draw(t, "pattern")
		if at, there := l.Find(p); !there {
			l = slices.Insert(l, at, PatternConfig{p, drawMapConfig(t, "")})
		}
	}
	return l
}

// beforeNear are the fields that builds of protocol version 4 know. What they wrote to a disk stays readable.
const beforeNear = MapTTL | MapMaxIdle | mapEvictionFields | MapStats | MapReads

var mapConfigFormats = []*format{
	formatOf("MapConfigsResult", pointed(AppendMapConfigsResult), DecodeMapConfigsResult, func(t *rapid.T) MapConfigsResult {
		return MapConfigsResult{drawU64(t, "version"), drawMapConfigs(t)}
	},
		golden{"0102030405060708 00", MapConfigsResult{0x0102030405060708, nil}},
		golden{"0102030405060708 02 05 7573657273 7f ac02 05 02 64 8008 01 01  02 612a 20 00", MapConfigsResult{0x0102030405060708, MapConfigs{
			{"users", MapConfig{Fields: beforeNear, TTL: 300, MaxIdle: 5, Eviction: EvictLFU, MaxEntries: 100, MaxBytes: 1024, Stats: true, Reads: ReadQuorum}},
			{"a*", MapConfig{Fields: MapStats}}}}},
		golden{"0102030405060708 02 05 7573657273 8aff01 05 64 01 01 00 07 8008 ac02 09 0000000a  02 612a 8001 00", MapConfigsResult{0x0102030405060708, MapConfigs{
			{"users", MapConfig{Fields: MapMaxIdle | MapMaxEntries | MapNearFields, MaxIdle: 5, MaxEntries: 100,
				Near: NearCache{On: true, Encoded: true, MaxEntries: 7, MaxBytes: 1024, TTL: 300, MaxIdle: 9, Verify: 10}}},
			{"a*", MapConfig{Fields: MapNearCache}}}}},
		golden{"0102030405060708 01 02 612a 808006 ac02 8008", MapConfigsResult{0x0102030405060708, MapConfigs{
			{"a*", MapConfig{Fields: MapEventEntries | MapEventBytes, EventEntries: 300, EventBytes: 1024}}}}}),
	formatOf("SetMapConfigBody", pointed(AppendSetMapConfigBody), DecodeSetMapConfigBody, func(t *rapid.T) SetMapConfigBody {
		return SetMapConfigBody{drawU64(t, "from"), PatternConfig{drawString(t, "pattern"), drawMapConfig(t, "")}}
	},
		golden{"0102030405060708 02 612a 05 0a 01", SetMapConfigBody{0x0102030405060708, PatternConfig{"a*", MapConfig{Fields: MapTTL | MapEviction, TTL: 10, Eviction: EvictLRU}}}}),
}

func TestMapConfigFormats(t *testing.T) { testFormats(t, mapConfigFormats) }

func FuzzMapConfigFormats(f *testing.F) { fuzzFormats(f, mapConfigFormats) }

// The order in which patterns are asked, the first to be asked first.
func TestPatternsByPrecedence(t *testing.T) {
	want := []string{
		// One name alone, the longest first.
		"user:1:cart", `a\*b`, "abc", "abd", "a",
		// By the characters that stand for themselves.
		"user:*:cart",
		"user:?:c*", // seven, after "user:*:cart" with ten
		"u*ser:c",   // seven too, of which fewer stand first
		"user:*", "user?*", "*-map", "é*", "?",
	}
	// Of two with as many characters and as many first, the one whose bytes are less.
	want = append(want[:len(want)-2], "é*", "*", "?", "[a-z]*")
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, ComparePatterns)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// It is an order: total, and the same whichever way one asks.
func TestPatternsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) string { return rapid.StringMatching(`[ab*?é]{1,5}`).Draw(t, label) }
		a, b, c := draw("a"), draw("b"), draw("c")
		ab, ba := ComparePatterns(a, b), ComparePatterns(b, a)
		if ab != -ba || ab == 0 && a != b {
			t.Fatalf("%q and %q: %d and %d", a, b, ab, ba)
		}
		if ab < 0 && ComparePatterns(b, c) < 0 && ComparePatterns(a, c) >= 0 {
			t.Fatalf("%q before %q before %q, which is not after the first", a, b, c)
		}
	})
}

func configs(list ...PatternConfig) MapConfigs {
	l := MapConfigs(list)
	slices.SortFunc(l, func(a, b PatternConfig) int { return ComparePatterns(a.Pattern, b.Pattern) })
	return l
}

// noNear is what is set for near caches where nothing is set.
var noNear = DefaultMapConfig.Near

func TestResolveMapConfig(t *testing.T) {
	l := configs(
		PatternConfig{"*", MapConfig{Fields: MapTTL | MapStats | MapEviction | MapMaxBytes, TTL: 1000, Eviction: EvictLFU, MaxBytes: 1 << 20}},
		PatternConfig{"user:*", MapConfig{Fields: MapMaxIdle, MaxIdle: 60}},
		PatternConfig{"user:*:cart", MapConfig{Fields: MapTTL | MapMaxEntries, TTL: 5, MaxEntries: 10}},
		PatternConfig{"user:1:cart", MapConfig{Fields: MapTTL}},
		PatternConfig{"audit", MapConfig{Fields: MapEviction | MapStats, Stats: true}},
		PatternConfig{"near*", MapConfig{Fields: MapNearTTL | MapNearVerify, Near: NearCache{TTL: 9}}},
		PatternConfig{"near-big", MapConfig{Fields: MapNearEntries, Near: NearCache{MaxEntries: 7}}},
		PatternConfig{"near-off", MapConfig{Fields: MapNearCache}},
		PatternConfig{"log*", MapConfig{Fields: MapEventBytes, EventBytes: 1 << 20}},
		PatternConfig{"log1", MapConfig{Fields: MapEventEntries, EventEntries: 9}},
	)
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	all := MapTTL | MapStats | MapEviction | MapMaxBytes
	for name, want := range map[string]MapConfig{
		"orders": {Fields: all, TTL: 1000, Eviction: EvictLFU, MaxBytes: 1 << 20},
		"user:7": {Fields: all | MapMaxIdle, TTL: 1000, MaxIdle: 60, Eviction: EvictLFU, MaxBytes: 1 << 20},
		// What evicts is that of the first pattern that says anything of it, and of no other.
		"user:7:cart": {Fields: MapTTL | MapMaxIdle | MapMaxEntries | MapStats, TTL: 5, MaxIdle: 60, Eviction: EvictLRU, MaxEntries: 10},
		// 0 is a value.
		"user:1:cart": {Fields: MapTTL | MapMaxIdle | MapMaxEntries | MapStats, MaxIdle: 60, Eviction: EvictLRU, MaxEntries: 10},
		"audit":       {Fields: MapTTL | MapEviction | MapStats, TTL: 1000, Stats: true},
		// Bounds of events are set one by one.
		"log1": {Fields: all | MapEventEntries | MapEventBytes, TTL: 1000, Eviction: EvictLFU, MaxBytes: 1 << 20, EventEntries: 9, EventBytes: 1 << 20},
		// So does what a near cache is like. To say anything of it is to want one.
		"nearby":   {Fields: all | MapNearTTL | MapNearVerify, TTL: 1000, Eviction: EvictLFU, MaxBytes: 1 << 20, Near: NearCache{On: true, TTL: 9, MaxEntries: 10_000}},
		"near-big": {Fields: all | MapNearEntries, TTL: 1000, Eviction: EvictLFU, MaxBytes: 1 << 20, Near: NearCache{On: true, MaxEntries: 7, Verify: 100}},
		"near-off": {Fields: all | MapNearCache, TTL: 1000, Eviction: EvictLFU, MaxBytes: 1 << 20, Near: noNear},
	} {
		want.EventEntries, want.EventBytes = cmp.Or(want.EventEntries, DefaultEventEntries), cmp.Or(want.EventBytes, DefaultEventBytes)
		// Most of the maps have no near cache, and what it would be like by default.
		if want.Near == (NearCache{}) {
			want.Near = noNear
		}
		if got := l.Resolve(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got := MapConfigs(nil).Resolve("users"); got != DefaultMapConfig {
		t.Errorf("of nothing: %+v", got)
	}
	if got := l.Matching("user:1:cart"); !slices.Equal(got, []string{"user:1:cart", "user:*:cart", "user:*", "*"}) {
		t.Errorf("matching: %q", got)
	}
}

func TestMapConfigProblems(t *testing.T) {
	for what, c := range map[string]struct {
		config PatternConfig
		want   []string
	}{
		"everything": {PatternConfig{"a[", MapConfig{Fields: MapTTL | MapMaxIdle | MapEviction | MapMaxEntries, TTL: Forever, MaxIdle: Forever, MaxEntries: 5}},
			[]string{`glob "a["`, "ttl of", "max_idle of", "eviction none with max_entries 5"}},
		"an empty pattern":             {PatternConfig{"", MapConfig{Fields: MapTTL}}, []string{"name is empty"}},
		"a long pattern":               {PatternConfig{strings.Repeat("a", 256), MapConfig{Fields: MapTTL}}, []string{"256 bytes"}},
		"a control":                    {PatternConfig{"a\n", MapConfig{Fields: MapTTL}}, []string{"control character"}},
		"nothing":                      {PatternConfig{"a", MapConfig{}}, []string{"nothing is set"}},
		"no bound":                     {PatternConfig{"a", MapConfig{Fields: MapEviction, Eviction: EvictLRU}}, []string{"without a bound"}},
		"a policy":                     {PatternConfig{"a", MapConfig{Fields: MapEviction, Eviction: 9}}, []string{"eviction policy 9"}},
		"a field":                      {PatternConfig{"a", MapConfig{Fields: AllMapFields + 1}}, []string{"not known here"}},
		"a near cache without entries": {PatternConfig{"a", MapConfig{Fields: MapNearEntries}}, []string{"near_cache max_entries 0"}},
		"a near cache": {PatternConfig{"a", MapConfig{Fields: MapNearFields, Near: NearCache{MaxEntries: 1, TTL: Forever, MaxIdle: Forever, Verify: MaxNearVerify + 1}}},
			[]string{"near_cache ttl", "near_cache max_idle", "near_cache verify of 1000001"}},
		"no events":     {PatternConfig{"a", MapConfig{Fields: MapEventEntries | MapEventBytes}}, []string{"events max_entries 0: want 1", "events max_bytes 0: want 1"}},
		"many events":   {PatternConfig{"a", MapConfig{Fields: MapEventEntries, EventEntries: MaxEventEntries + 1}}, []string{"events max_entries 65537"}},
		"a stray value": {PatternConfig{"a", MapConfig{Fields: MapTTL, MaxIdle: 5}}, []string{"that is not set"}},
	} {
		err := c.config.Check()
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
	}
	if err := (MapConfigs{{"b", MapConfig{Fields: MapTTL}}, {"a", MapConfig{Fields: MapTTL}}}).Check(); err == nil {
		t.Error("patterns out of order")
	}
	if err := make(MapConfigs, MaxMapConfigs+1).Check(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many: %v", err)
	}
}

func TestMapConfigWithAndWithout(t *testing.T) {
	was := MapConfig{Fields: MapTTL | MapMaxIdle | MapStats, TTL: 5, MaxIdle: 6, Stats: true}
	want := MapConfig{Fields: MapTTL | MapMaxIdle | MapMaxEntries, TTL: 7, MaxIdle: 6, MaxEntries: 8}
	if got := was.Without(MapStats).With(MapConfig{Fields: MapTTL | MapMaxEntries, TTL: 7, MaxEntries: 8}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := was.Without(AllMapFields); got != (MapConfig{}) {
		t.Errorf("%+v is left", got)
	}
}
