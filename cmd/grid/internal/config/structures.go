package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
)

// Sections whose keys are names of the user's, each with fields of its own. The file alone has them: a name may be anything.
const (
	sectionMaps      = "maps"
	sectionExecutors = "executors"
)

// field is one field of a named thing.
type field[T any] struct {
	name string
	set  func(to *T, n *yaml.Node, r *fileReader) error
}

var mapFields = []field[sdk.MapConfig]{
	{"ttl", scalarField(parseDuration, func(c *sdk.MapConfig) **time.Duration { return &c.TTL })},
	{"max_idle", scalarField(parseDuration, func(c *sdk.MapConfig) **time.Duration { return &c.MaxIdle })},
	{"eviction", func(c *sdk.MapConfig, n *yaml.Node, r *fileReader) error {
		if n.Kind != yaml.MappingNode {
			return fmt.Errorf("want policy, max_entries and max_bytes")
		}
		readFields(r, "eviction", n, evictionFields, c)
		return nil
	}},
	{"stats", scalarField(parseBool, func(c *sdk.MapConfig) **bool { return &c.Stats })},
	{"reads", scalarField(func(s string) (sdk.ReadPolicy, error) { return sdk.ReadPolicy(s), nil },
		func(c *sdk.MapConfig) **sdk.ReadPolicy { return &c.Reads })},
	{"near_cache", func(c *sdk.MapConfig, n *yaml.Node, r *fileReader) error {
		if n.Kind != yaml.MappingNode {
			// A bare flag is enough where the defaults do, or to switch off what another pattern has.
			return setNearCache(c, n, r)
		}
		c.NearCache = new(true)
		readFields(r, "near_cache", n, nearCacheFields, c)
		return nil
	}},
	{"events", func(c *sdk.MapConfig, n *yaml.Node, r *fileReader) error {
		if n.Kind != yaml.MappingNode {
			return fmt.Errorf("want max_entries and max_bytes")
		}
		readFields(r, "events", n, eventFields, c)
		return nil
	}},
}

var setNearCache = scalarField(parseBool, func(c *sdk.MapConfig) **bool { return &c.NearCache })

var eventFields = []field[sdk.MapConfig]{
	{"max_entries", scalarField(parseCount, func(c *sdk.MapConfig) **int64 { return &c.EventsMaxEntries })},
	{"max_bytes", scalarField(ParseBytes, func(c *sdk.MapConfig) **int64 { return &c.EventsMaxBytes })},
}

var nearCacheFields = []field[sdk.MapConfig]{
	{"enabled", setNearCache},
	{"max_entries", scalarField(parseCount, func(c *sdk.MapConfig) **int64 { return &c.NearCacheMaxEntries })},
	{"max_bytes", scalarField(ParseBytes, func(c *sdk.MapConfig) **int64 { return &c.NearCacheMaxBytes })},
	{"ttl", scalarField(parseDuration, func(c *sdk.MapConfig) **time.Duration { return &c.NearCacheTTL })},
	{"max_idle", scalarField(parseDuration, func(c *sdk.MapConfig) **time.Duration { return &c.NearCacheMaxIdle })},
	{"encoded", scalarField(parseBool, func(c *sdk.MapConfig) **bool { return &c.NearCacheEncoded })},
	{"negative", scalarField(parseBool, func(c *sdk.MapConfig) **bool { return &c.NearCacheNegative })},
	{"verify", scalarField(ParseShare, func(c *sdk.MapConfig) **float64 { return &c.NearCacheVerify })},
}

var evictionFields = []field[sdk.MapConfig]{
	{"policy", scalarField(func(s string) (sdk.EvictionPolicy, error) { return sdk.EvictionPolicy(s), nil },
		func(c *sdk.MapConfig) **sdk.EvictionPolicy { return &c.Eviction })},
	{"max_entries", scalarField(parseCount, func(c *sdk.MapConfig) **int64 { return &c.MaxEntries })},
	{"max_bytes", scalarField(ParseBytes, func(c *sdk.MapConfig) **int64 { return &c.MaxBytes })},
}

var executorFields = []field[exec.PoolConfig]{
	{"pool", numberField(func(c *exec.PoolConfig) *int { return &c.Pool })},
	{"queue", numberField(func(c *exec.PoolConfig) *int { return &c.Queue })},
}

// readNamed reads a section whose keys are names.
func readNamed[T any](r *fileReader, section string, n *yaml.Node, fields []field[T]) map[string]T {
	if isNull(n) {
		return nil
	}

	if n.Kind != yaml.MappingNode {
		r.wrong(n, "%s: want names, each with its fields", section)
		return nil
	}

	out := make(map[string]T)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, body := resolve(n.Content[i]), resolve(n.Content[i+1])

		var v T

		switch _, twice := out[key.Value]; {
		case key.Kind != yaml.ScalarNode || isNull(key):
			r.wrong(key, "%s: want a name", section)
			continue
		case twice:
			r.wrong(key, "name %q is given twice", key.Value)
			continue
		case isNull(body):
			// A name without fields is listed with its defaults.
		case body.Kind != yaml.MappingNode:
			r.wrong(body, "%s %q: want fields and values", section, key.Value)
		default:
			readFields(r, fmt.Sprintf("%s %q", section, key.Value), body, fields, &v)
		}
		out[key.Value] = v
	}
	return out
}

func readFields[T any](r *fileReader, of string, n *yaml.Node, fields []field[T], to *T) {
	names := make([]string, len(fields))
	byName := make(map[string]field[T])
	for i, f := range fields {
		names[i], byName[f.name] = f.name, f
	}

	r.pairs(n, "key", names, func(name string, at, body *yaml.Node) {
		// A field without a value is left out.
		if isNull(body) {
			return
		}
		if err := byName[name].set(to, body, r); err != nil {
			r.wrong(at, "%s: %s: %w", of, name, err)
		}
	})
}

// scalarField returns how a field that may be left out is set.
func scalarField[C, T any](parse func(string) (T, error), at func(*C) **T) func(*C, *yaml.Node, *fileReader) error {
	return func(c *C, n *yaml.Node, _ *fileReader) error {
		v, err := valueOf(n)
		if err != nil {
			return err
		}

		s, err := scalar(v)
		if err != nil {
			return err
		}

		parsed, err := parse(s)
		if err == nil {
			*at(c) = &parsed
		}
		return err
	}
}

func numberField[C any](at func(*C) *int) func(*C, *yaml.Node, *fileReader) error {
	return func(c *C, n *yaml.Node, _ *fileReader) error {
		v, err := valueOf(n)
		if err != nil {
			return err
		}
		return integer(1, math.MaxInt32, func(*Config) *int { return at(c) })(nil, v)
	}
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q: want a duration such as 500ms, 30s or 1h, or 0 for none", s)
	}
	return d, nil
}

func parseBool(s string) (bool, error) { return boolean(value{text: s}) }

func parseCount(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q: want a whole number, or 0 for no bound", s)
	}
	return n, nil
}

// ParseShare returns a part of a whole.
func ParseShare(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return 0, fmt.Errorf("%q: want a share from 0 to 1", s)
	}
	return f, nil
}

// units of sizes.
var units = []struct {
	name  string
	bytes int64
}{{"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}}

// ParseBytes returns a number of bytes, which may be given in KB, MB, GB or TB of powers of 1,024.
func ParseBytes(s string) (int64, error) {
	digits, unit := strings.ToUpper(strings.TrimSpace(s)), int64(1)
	for _, u := range units {
		if d, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = strings.TrimSpace(d), u.bytes
		}
	}

	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q: want a size such as 1048576, 512MB or 2GB", s)
	}
	return n * unit, nil
}
