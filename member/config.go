package member

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/exec"
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
	Name        string // of the member; by default hostname-port
	ClusterName string // by default "grid"
	// Listen is host:port of the client port. The members' port, the NATS routes and HTTP follow at +1, +2 and +79, unless
	// the port is 0: then all are free ports. By default 127.0.0.1:0.
	Listen    string
	Advertise string // host under which others reach this member; by default the host of Listen
	Zone      string
	Tags      map[string]string

	DataDir    string // metadata and identity; by default a temporary directory that Close removes
	Durability string // "memory", the default; "disk" is not built yet
	Join       []string
	Expect     int // members that found a cluster together; 0 with Join: only join
	Partitions int // of a cluster that is founded; by default 271
	Replicas   int // of each partition, at most; by default 3
	MaxValue   int // bytes of an encoded value; by default 1 MB
	Insecure   bool
	NoHTTP     bool // no health and admin listener

	Registry       *exec.Registry // tasks; by default none
	Logger         *slog.Logger   // by default nothing is logged
	TracerProvider trace.TracerProvider

	// Version of the program, as members and clients are shown it.
	Version string
}

// WithDefaults returns c with every zero value replaced by its default.
func (c Config) WithDefaults() Config {
	if c.ClusterName == "" {
		c.ClusterName = "grid"
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
	if c.Registry == nil {
		c.Registry = exec.NewRegistry()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Version == "" {
		c.Version = Version
	}
	join := make([]string, 0, len(c.Join))
	for _, a := range c.Join {
		if a = strings.TrimSpace(a); a == "" {
			continue
		}
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
	checkName := func(what, s string, limit int) {
		if len(s) > limit || strings.IndexFunc(s, unicode.IsControl) >= 0 {
			bad("%s %q: at most %d bytes without control characters", what, s, limit)
		}
	}
	checkName("cluster name", c.ClusterName, 255)
	checkName("member name", c.Name, 255)
	checkName("zone", c.Zone, 255)
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		bad("listen %q: want host:port", c.Listen)
	} else {
		n, err := strconv.Atoi(port)
		if err != nil || n < 0 || n > 65535-httpOffset {
			bad("listen %q: the port must be 0 to %d", c.Listen, 65535-httpOffset)
		}
		if !c.Insecure && !loopback(host) {
			bad("listen %q is not a loopback address and no authentication is configured; insecure must be set to allow that", c.Listen)
		}
	}
	switch c.Durability {
	case "memory":
	case "disk":
		bad("durability \"disk\" is not built yet: only \"memory\"")
	default:
		bad("durability %q: want \"memory\"", c.Durability)
	}
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
	for _, a := range c.Join {
		if h, p, err := net.SplitHostPort(a); err != nil || h == "" || !validPort(p) {
			bad("join %q: want host:port", a)
		}
	}
	if c.MaxValue < 1 || c.MaxValue > wire.MaxValueHard {
		bad("max value %d: want 1 to %d bytes", c.MaxValue, wire.MaxValueHard)
	}
	return errors.Join(errs...)
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
	return strings.Map(func(c rune) rune {
		if c == '/' || c == '\\' || c == 0 || c == ':' {
			return '_'
		}
		return c
	}, strings.TrimLeft(s, "."))
}
