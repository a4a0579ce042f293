package config

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one thing that can be configured.
type setting struct {
	key   string // section.name; empty for a flag that sets several keys
	flag  string // without dashes; empty if there is none
	bool  bool   // the flag needs no value
	usage string // of the flag; `NAME` in it is what stands for the value
	set   func(*Config, value) error
}

// value is what a setting is given: a text, and where the file has them, a list or a table.
type value struct {
	text  string
	list  []string          // nil if it is not a list
	table map[string]string // nil if it is not a table
}

// Flag describes a flag for the command line.
type Flag struct {
	Name, Usage string
	Bool        bool
}

// Flags returns the flags of all settings that have one.
func Flags() []Flag {
	var flags []Flag
	for _, s := range settings {
		if s.flag != "" {
			flags = append(flags, Flag{Name: s.flag, Usage: s.usage, Bool: s.bool})
		}
	}
	return flags
}

// settings are all there are.
var settings = []setting{
	{key: "cluster.name", flag: "cluster-name", usage: "`NAME` of the cluster to bootstrap or join (default: grid)", set: text(func(c *Config) *string { return &c.Cluster.Name })},
	{key: "cluster.join", flag: "join", usage: "`ADDRESSES` of members, separated by commas; the default port is 5701; the member's own address may be among them",
		set: func(c *Config, v value) (err error) { c.Cluster.Join, err = list(v); return err }},
	{key: "cluster.expect", flag: "expect", usage: "`N` members bootstrap the cluster together", set: integer(0, math.MaxInt32, func(c *Config) *int { return &c.Cluster.Expect })},
	{key: "cluster.replicas", flag: "replicas", usage: "keep each partition on `N` members (default: 3)", set: integer(1, 7, func(c *Config) *int { return &c.Cluster.Replicas })},
	{key: "cluster.partitions", flag: "partitions", usage: "`N` partitions of a new cluster, which never changes afterwards (default: 271)", set: integer(1, 4096, func(c *Config) *int { return &c.Cluster.Partitions })},
	{key: "cluster.rebuild_delay", flag: "rebuild-delay", usage: "rebuild a member's replicas on others once it was silent for `DURATION` (default: 10s)",
		set: duration(func(c *Config) *time.Duration { return &c.Cluster.RebuildDelay })},
	{key: "cluster.reads", flag: "reads", usage: "`POLICY` by which the member answers reads: lease, or quorum to ask a majority each time; give all members the same (default: lease)",
		set: text(func(c *Config) *string { return &c.Cluster.Reads })},
	{key: "member.name", flag: "name", usage: "`NAME` of the member, unique in the cluster (default: hostname-port)", set: text(func(c *Config) *string { return &c.Member.Name })},
	{key: "member.zone", flag: "zone", usage: "`ZONE` where the member runs: replicas are kept in different ones", set: text(func(c *Config) *string { return &c.Member.Zone })},
	{key: "member.tags", flag: "tags", usage: "`KEY=VALUE,…` by which clients can select the member",
		set: func(c *Config, v value) (err error) { c.Member.Tags, err = table(v); return err }},
	{key: "member.lite", flag: "lite", bool: true, usage: "hold no data; only run tasks and serve clients",
		set: func(c *Config, v value) (err error) { c.Member.Lite, err = boolean(v); return err }},
	{flag: "listen", usage: "`HOST:PORT` for clients; members, NATS routes and HTTP follow at +1, +2 and +79 (default: 127.0.0.1:5701)", set: setListen},
	{key: "listen.host", set: text(func(c *Config) *string { return &c.Listen.Host })},
	{key: "listen.port", set: integer(0, 65535, func(c *Config) *int { return &c.Listen.Port })},
	{key: "listen.advertise", flag: "advertise", usage: "`HOST` under which others reach the member (default: the host it listens on)", set: text(func(c *Config) *string { return &c.Listen.Advertise })},
	{key: "listen.insecure", flag: "insecure", bool: true, usage: "allow other than loopback addresses without authentication",
		set: func(c *Config, v value) (err error) { c.Listen.Insecure, err = boolean(v); return err }},
	{key: "storage.durability", flag: "durability", usage: "`MODE` of keeping data: memory, the only one so far (default: memory)", set: text(func(c *Config) *string { return &c.Storage.Durability })},
	{key: "storage.dir", flag: "data-dir", usage: "`DIR` for the member's identity and metadata (default: $XDG_STATE_HOME/gridiron/CLUSTER/NAME, else in ~/.local/state)", set: text(func(c *Config) *string { return &c.Storage.Dir })},
	{key: "limits.max_value", flag: "max-value", usage: "`SIZE` of the largest value, as 1048576, 1024KB or 1MB (default: 1MB)",
		set: func(c *Config, v value) (err error) { c.Limits.MaxValue, err = size(v); return err }},
	{key: "limits.max_memory", flag: "max-memory", usage: "`SIZE` that the entries on the member may take, as 512MB or 4GB (default: three fifths of the process's memory limit)",
		set: func(c *Config, v value) (err error) { c.Limits.MaxMemory, err = memory(v); return err }},
	// There are no flags for secrets: other users of the machine can read a process's command line.
	{key: "nats.url", flag: "nats-url", usage: "`URL` of a NATS server outside of the members that carries events between them, as nats://host:4222; several separated by commas (default: none)",
		set: text(func(c *Config) *string { return &c.NATS.URL })},
	{key: "nats.user", set: text(func(c *Config) *string { return &c.NATS.User })},
	{key: "nats.password", set: text(func(c *Config) *string { return &c.NATS.Password })},
	{key: "nats.token", set: text(func(c *Config) *string { return &c.NATS.Token })},
	{key: "nats.credentials", flag: "nats-credentials", usage: "`FILE` with the member's JWT and key for that server", set: text(func(c *Config) *string { return &c.NATS.Credentials })},
	{key: "nats.ca", flag: "nats-ca", usage: "`FILE` with the certificates that sign that server's (default: the system's)", set: text(func(c *Config) *string { return &c.NATS.CA })},
	{key: "nats.cert", flag: "nats-cert", usage: "`FILE` with the member's certificate for that server", set: text(func(c *Config) *string { return &c.NATS.Cert })},
	{key: "nats.key", flag: "nats-key", usage: "`FILE` with the key of that certificate", set: text(func(c *Config) *string { return &c.NATS.Key })},
	{key: "log.level", flag: "log-level", usage: "lowest `LEVEL` that is logged: debug, info, warn or error (default: info)",
		set: func(c *Config, v value) (err error) { c.Log.Level, err = ParseLevel(v.text); return err }},
	{key: "log.format", flag: "log-format", usage: "`FORMAT` of logs: text, json, or auto: text on a terminal, else json (default: auto)",
		set: func(c *Config, v value) error {
			if !slices.Contains([]string{FormatAuto, FormatText, FormatJSON}, v.text) {
				return fmt.Errorf("%q: want text, json or auto", v.text)
			}
			c.Log.Format = v.text
			return nil
		}},
}

// env returns the environment variable of the setting.
func (s *setting) env() string {
	return "GRID_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// scalar returns the text of v, or an error if v is a list or a table.
func scalar(v value) (string, error) {
	switch {
	case v.list != nil:
		return "", fmt.Errorf("a list, want one value")
	case v.table != nil:
		return "", fmt.Errorf("a table, want one value")
	}
	return v.text, nil
}

func text(field func(*Config) *string) func(*Config, value) error {
	return func(c *Config, v value) error {
		s, err := scalar(v)
		if err == nil && s == "" {
			err = fmt.Errorf("empty")
		}
		if err == nil {
			*field(c) = s
		}
		return err
	}
}

func integer(least, most int, field func(*Config) *int) func(*Config, value) error {
	return func(c *Config, v value) error {
		s, err := scalar(v)
		if err != nil {
			return err
		}

		n, err := strconv.Atoi(s)
		switch {
		case err != nil:
			return fmt.Errorf("%q: want a whole number", s)
		case n < least && most == math.MaxInt32:
			// MaxInt32 stands for no upper bound, which the message need not name.
			return fmt.Errorf("%d: want %d or more", n, least)
		case n < least || n > most:
			return fmt.Errorf("%d: want %d to %d", n, least, most)
		}

		*field(c) = n
		return nil
	}
}

func duration(field func(*Config) *time.Duration) func(*Config, value) error {
	return func(c *Config, v value) error {
		s, err := scalar(v)
		if err != nil {
			return err
		}

		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q: want a duration above zero such as 10s", s)
		}
		*field(c) = d
		return nil
	}
}

func boolean(v value) (bool, error) {
	s, err := scalar(v)
	if err != nil {
		return false, err
	}

	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("%q: want true or false", s)
	}
	return b, nil
}

// list returns the items of a list, or of a text that separates them by commas.
func list(v value) ([]string, error) {
	items := v.list
	if v.table != nil {
		return nil, fmt.Errorf("a table, where a list is wanted")
	}

	if items == nil {
		items = strings.Split(v.text, ",")
	}

	out := make([]string, 0, len(items))
	for _, item := range items {
		if item = strings.TrimSpace(item); item == "" {
			// An empty item is most likely a mistake, such as a variable that was not set.
			return nil, fmt.Errorf("an empty item")
		}
		out = append(out, item)
	}
	return out, nil
}

// table returns the pairs of a table, or of a text such as "a=1,b=2".
func table(v value) (map[string]string, error) {
	if v.table != nil {
		return v.table, nil
	}

	items, err := list(v)
	if err != nil {
		return nil, err
	}

	out := make(map[string]string, len(items))
	for _, item := range items {
		key, val, ok := strings.Cut(item, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q: want key=value", item)
		}

		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%q is given twice", key)
		}
		out[key] = val
	}
	return out, nil
}

// size returns a number of bytes, which may be given in KB or MB of 1,024 and 1,048,576 bytes.
func size(v value) (int, error) {
	s, err := scalar(v)
	if err != nil {
		return 0, err
	}

	digits, unit := strings.ToUpper(strings.TrimSpace(s)), 1
	// No suffix ends another one, so the order of the map does not matter.
	for suffix, n := range map[string]int{"KB": 1 << 10, "MB": 1 << 20} {
		if d, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = strings.TrimSpace(d), n
		}
	}

	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > math.MaxInt32/unit {
		return 0, fmt.Errorf("%q: want a size such as 1048576, 1024KB or 1MB", s)
	}
	return n * unit, nil
}

// memory returns a number of bytes above zero.
func memory(v value) (int64, error) {
	s, err := scalar(v)
	if err != nil {
		return 0, err
	}

	n, err := ParseBytes(s)
	if err == nil && n == 0 {
		err = fmt.Errorf("%q: want more than nothing", s)
	}
	return n, err
}

// ParseLevel returns the level of a name.
func ParseLevel(name string) (slog.Level, error) {
	for level, n := range map[slog.Level]string{slog.LevelDebug: "debug", slog.LevelInfo: "info", slog.LevelWarn: "warn", slog.LevelError: "error"} {
		if n == name {
			return level, nil
		}
	}
	return 0, fmt.Errorf("%q: want debug, info, warn or error", name)
}

// ParseAddress returns host and port of an address to listen on. The port is DefaultPort if it is left out, the host may be
// empty.
func ParseAddress(s string) (host string, port int, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		// Without a port the text is tried once more with the default one.
		if host, digits, err = net.SplitHostPort(s + ":" + strconv.Itoa(DefaultPort)); err != nil || s == "" {
			return "", 0, fmt.Errorf("%q: want host:port", s)
		}
	}

	port, err = strconv.Atoi(digits)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q: the port must be 0 to 65535", s)
	}
	return host, port, nil
}

func setListen(c *Config, v value) error {
	host, port, err := ParseAddress(v.text)
	if err == nil {
		c.Listen.Host, c.Listen.Port = host, port
	}
	return err
}
