package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/exec"
	execsvc "github.com/gridiron-io/gridiron/exec/service"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Offsets of the ports from a base port.
const (
	DefaultPort = 5701
	peerOffset  = 1
	routeOffset = 2
	httpOffset  = 79
)

// Config describes a member. Zero values mean the defaults that WithDefaults puts in their place.
type Config struct {
	// Settings are what a program that embeds a member may choose.
	Settings

	// HelloTimeout bounds the wait for a peer's hello, 5 seconds by default.
	HelloTimeout time.Duration
	// SlowPeer is how long a peer may take none of its answers before it is cut off, 10 seconds by default.
	SlowPeer time.Duration
	// MaxConnections bounds the connections on the client port and the members' port together, 10,000 by default.
	MaxConnections int

	// Network carries connections, TCP by default.
	Network Network

	// FaultPoint is called, where a test sets it, before and after each step that must survive a crash: each change of the metadata
	// that the controller proposes, and each change that an owner makes to a group. ctx ends with the member.
	FaultPoint func(ctx context.Context, point string)

	// Wall is the wall clock, by default the system's. Tests set a wrong one.
	Wall func() time.Time

	// Mono is the monotonic clock on which cluster time runs here, by default the system's. Tests set one that stops, as it does
	// while a virtual machine is suspended.
	Mono func() time.Duration

	// Version of the program, as members and clients see it.
	Version string
}

// Settings are the fields of grid.Config, with the same names and types in the same order: the one converts to the other, and the
// compiler refuses a field that is missing in either. Package grid says what each field means.
type Settings struct {
	Name        string
	ClusterName string
	Listen      string
	Advertise   string
	Zone        string
	Tags        map[string]string

	DataDir    string
	Durability string

	Join         []string
	Expect       int
	Partitions   int
	Replicas     int
	RebuildDelay time.Duration
	Reads        sdk.ReadPolicy
	Lite         bool

	MaxValue  int
	MaxMemory int64
	Insecure  bool
	NoHTTP    bool
	NATS      NATSConfig

	Maps           map[string]sdk.MapConfig
	Executors      map[string]exec.PoolConfig
	Registry       *exec.Registry
	Logger         *slog.Logger
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	MetricsPage    http.Handler
}

// WithDefaults returns c with every zero value replaced by its default.
func (c Config) WithDefaults() Config {
	if c.ClusterName == "" {
		c.ClusterName = "grid"
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}

	if c.Mono == nil {
		// Readings of one process are compared with each other only, so the clock may begin at any moment.
		start := time.Now()
		c.Mono = func() time.Duration { return time.Since(start) }
	}

	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Durability == "" {
		c.Durability = "memory"
	}
	if c.Partitions == 0 {
		c.Partitions = 271
	}
	if c.Replicas == 0 {
		c.Replicas = 3
	}
	if c.MaxValue == 0 {
		c.MaxValue = wire.MaxValue
	}
	if c.Reads == "" {
		c.Reads = sdk.ReadLease
	}
	if c.RebuildDelay == 0 {
		c.RebuildDelay = 10 * time.Second
	}
	if c.HelloTimeout == 0 {
		c.HelloTimeout = 5 * time.Second
	}
	if c.SlowPeer == 0 {
		c.SlowPeer = 10 * time.Second
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 10_000
	}
	if c.Registry == nil {
		c.Registry = exec.NewRegistry()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Network == nil {
		c.Network = plain{}
	}
	if c.Version == "" {
		c.Version = Version
	}

	join := make([]string, 0, len(c.Join))
	for _, a := range c.Join {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
		// An address without a port means the default port. IPv6 addresses may stand in brackets.
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), strconv.Itoa(DefaultPort))
		}
		join = append(join, a)
	}

	c.Join = join
	return c
}

// ErrConfig is what Validate's errors wrap.
var ErrConfig = errors.New("invalid configuration")

// Validate returns all that is wrong with c, after WithDefaults.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}

	checkText := func(what, s string) {
		if len(s) > meta.MaxText || !utf8.ValidString(s) || strings.IndexFunc(s, unicode.IsControl) >= 0 {
			bad("%s %q: want at most %d bytes of UTF-8 without control characters", what, s, meta.MaxText)
		}
	}

	// The metadata hold these texts and refuse what is longer, so the start must not get that far.
	checkText("cluster name", c.ClusterName)
	checkText("member name", c.Name)
	checkText("zone", c.Zone)
	checkText("version", c.Version)
	checkText("advertise", c.Advertise)
	if len(c.Tags) > meta.MaxTags {
		bad("%d tags: want at most %d", len(c.Tags), meta.MaxTags)
	}

	// Sorted, so that the same configuration gives the same error.
	for _, k := range slices.Sorted(maps.Keys(c.Tags)) {
		checkText("tag", k)
		checkText("value of tag "+strconv.Quote(k), c.Tags[k])
	}

	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		bad("listen %q: want host:port", c.Listen)
	} else {
		n, err := strconv.Atoi(port)
		// The other ports follow the client port at fixed distances, so there must be room above it.
		if err != nil || n < 0 || n > 65535-httpOffset {
			bad("listen %q: the port must be 0 to %d", c.Listen, 65535-httpOffset)
		}
		// Without authentication, everybody who reaches the port can read and change everything.
		if !c.Insecure && !loopback(host) {
			bad("listen %q is not a loopback address and no authentication is configured; set Insecure in the Config, or --insecure on the command line, to allow that", c.Listen)
		}
	}

	switch c.Durability {
	case "memory":
	case "disk":
		bad("durability \"disk\" is not built yet: only \"memory\"")
	default:
		bad("durability %q: want \"memory\"", c.Durability)
	}

	// Shard IDs and the wire format have room for so many partitions.
	if c.Partitions < 1 || c.Partitions > wire.MaxPartitions {
		bad("partitions %d: want 1 to %d", c.Partitions, wire.MaxPartitions)
	}
	if c.Replicas < 1 || c.Replicas > 7 {
		bad("replicas %d: want 1 to 7", c.Replicas)
	}
	if c.Expect < 0 || c.Expect > 16 {
		bad("expect %d: want 1 to 16 members, or 0 to join only", c.Expect)
	}
	if c.Expect > 1 && len(c.Join) == 0 {
		bad("expect %d without addresses to join", c.Expect)
	}
	if len(c.Join) > 64 {
		bad("join: %d addresses, at most 64", len(c.Join))
	}

	// WithDefaults has added the default port where none was given.
	for _, a := range c.Join {
		if h, p, err := net.SplitHostPort(a); err != nil || h == "" || !validPort(p) {
			bad("join %q: want host:port", a)
		}
	}

	// Every replica holds the value and every frame carries it, so no member may allow more than the format.
	if c.MaxValue < 1 || c.MaxValue > wire.MaxValueHard {
		bad("max value %d: want 1 to %d bytes", c.MaxValue, wire.MaxValueHard)
	}
	if _, err := wire.ParseReadPolicy(string(c.Reads)); err != nil {
		bad("reads %q: want %q or %q", c.Reads, sdk.ReadLease, sdk.ReadQuorum)
	}
	if c.RebuildDelay < 0 {
		bad("rebuild delay %v: want more than 0", c.RebuildDelay)
	}
	if c.Lite && c.Expect == 1 || c.Lite && c.Expect == 0 && len(c.Join) == 0 {
		bad("a lite member holds no replicas and cannot bootstrap a cluster alone")
	}
	if c.MaxMemory < 0 {
		bad("max memory %d: want bytes, or 0 for no limit", c.MaxMemory)
	}
	if c.HelloTimeout < 0 {
		bad("hello timeout %v: want more than 0", c.HelloTimeout)
	}
	if c.SlowPeer < 0 {
		bad("slow peer %v: want more than 0", c.SlowPeer)
	}
	if c.MaxConnections < 1 {
		bad("max connections %d: want at least 1", c.MaxConnections)
	}

	for _, err := range c.NATS.check() {
		bad("nats: %w", err)
	}

	// Maps and executors have rules of their own, and their packages check them.
	_, problems := c.patterns()
	for _, err := range append(problems, execsvc.CheckPools(c.Executors)...) {
		bad("%w", err)
	}

	return errors.Join(errs...)
}

// patterns returns the configured maps as the metadata want them, and all that is wrong with them.
func (c Config) patterns() (list wire.MapConfigs, problems []error) {
	for _, pattern := range slices.SortedFunc(maps.Keys(c.Maps), wire.ComparePatterns) {
		config := wire.PatternConfig{Pattern: pattern}
		var err error
		// Without its settings the whole configuration cannot be checked. The pattern still can.
		if config.MapConfig, err = mapConfig(c.Maps[pattern]); err != nil {
			err = errors.Join(wire.CheckMapPattern(pattern), err)
		} else {
			err = config.Check()
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("maps %q: %w", pattern, err))
		}
		list = append(list, config)
	}

	// The whole list is one command in the metadata, whose length is bounded.
	if len(list) > wire.MaxMapConfigs {
		problems = append(problems, fmt.Errorf("maps: %d patterns, at most %d are possible", len(list), wire.MaxMapConfigs))
	}
	return list, problems
}

// mapConfig returns c in the form of the metadata.
func mapConfig(c sdk.MapConfig) (wire.MapConfig, error) {
	return wire.MapConfigSet[sdk.EvictionPolicy, sdk.ReadPolicy](c).MapConfig()
}

func validPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && n < 65536
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// DefaultDataDir returns where a member of the given names keeps its metadata and identity when nothing else is said.
func DefaultDataDir(cluster, name string) (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	// The XDG directories name ~/.local/state as the default for what a program keeps.
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the default data directory: %w", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "gridiron", pathElement(cluster), pathElement(name)), nil
}

// pathElement makes a name into one element of a path.
func pathElement(s string) string {
	// Names may hold any characters, and these ones mean something in a path, on this system or another.
	s = strings.Map(func(c rune) rune {
		if c == '/' || c == '\\' || c == 0 || c == ':' {
			return '_'
		}
		return c
	}, s)
	// The directory must be neither hidden nor "..", which leads out of the base.
	if s == "" || s[0] == '.' {
		s = "_" + s
	}
	return s
}
