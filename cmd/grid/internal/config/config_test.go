package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
)

func noEnv(string) (string, bool) { return "", false }

// env returns an environment with the given variables.
func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

// file returns the name of a file with the given content.
func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "grid.yaml")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

const everything = `
# A member of the shop's cluster.
cluster:
  name: shop
  join: [a:5701, "b:5701", c]
  expect: 3
  replicas: 2
  partitions: 31
  rebuild_delay: 30s
  reads: quorum
member:
  name: m1
  zone: eu-1
  tags: {rack: r7, disk: "ssd,fast", size: 4}
  lite: true
listen:
  host: 0.0.0.0
  port: 5711
  advertise: m1.example
  insecure: true
storage: {durability: memory, dir: /var/lib/grid}
limits:
  max_value: 2MB
  max_memory: 4GB
nats: {url: "nats://a:4222", user: grid, password: secret, token: other, credentials: grid.creds, ca: ca.pem, cert: m1.pem, key: m1.key}
log:
  level: debug
  format: json
maps:
  users: {ttl: 10m, max_idle: 1h, eviction: {policy: lfu, max_entries: 1000, max_bytes: 2GB}, stats: false, reads: quorum,
    near_cache: {enabled: true, max_entries: 500, max_bytes: 1MB, ttl: 1m, max_idle: 30s, encoded: true, negative: true, verify: 0.01},
    events: {max_entries: 5000, max_bytes: 1MB}}
  "session:*":
    ttl: 0
    eviction:
      max_bytes: 64 MB
    near_cache: {}
  "session:off*": {near_cache: false}
executors:
  reports: {pool: 2, queue: 50}
  mail:
    pool: 1
`

func full() Config {
	var c Config
	c.Cluster.Name, c.Cluster.Join, c.Cluster.Expect, c.Cluster.Replicas, c.Cluster.Partitions = "shop", []string{"a:5701", "b:5701", "c"}, 3, 2, 31
	c.Cluster.RebuildDelay, c.Cluster.Reads, c.Member.Lite = 30*time.Second, "quorum", true
	c.Member.Name, c.Member.Zone, c.Member.Tags = "m1", "eu-1", map[string]string{"rack": "r7", "disk": "ssd,fast", "size": "4"}
	c.Listen.Host, c.Listen.Port, c.Listen.Advertise, c.Listen.Insecure = "0.0.0.0", 5711, "m1.example", true
	c.Storage.Durability, c.Storage.Dir = "memory", "/var/lib/grid"
	c.Limits.MaxValue, c.Limits.MaxMemory = 2<<20, 4<<30
	c.NATS.URL, c.NATS.User, c.NATS.Password, c.NATS.Token, c.NATS.Credentials = "nats://a:4222", "grid", "secret", "other", "grid.creds"
	c.NATS.CA, c.NATS.Cert, c.NATS.Key = "ca.pem", "m1.pem", "m1.key"
	c.Log.Level, c.Log.Format = slog.LevelDebug, FormatJSON
	return c
}

// withStructures returns full with what stands in a file alone.
func withStructures() Config {
	c := full()
	c.Maps = map[string]sdk.MapConfig{
		"users": {TTL: new(10 * time.Minute), MaxIdle: new(time.Hour), Eviction: new(sdk.EvictLFU), MaxEntries: new(int64(1000)),
			MaxBytes: new(int64(2 << 30)), Stats: new(false), Reads: new(sdk.ReadQuorum),
			NearCache: new(true), NearCacheMaxEntries: new(int64(500)), NearCacheMaxBytes: new(int64(1 << 20)), NearCacheTTL: new(time.Minute),
			NearCacheMaxIdle: new(30 * time.Second), NearCacheEncoded: new(true), NearCacheNegative: new(true), NearCacheVerify: new(0.01),
			EventsMaxEntries: new(int64(5000)), EventsMaxBytes: new(int64(1 << 20))},
		"session:*":    {TTL: new(time.Duration(0)), MaxBytes: new(int64(64 << 20)), NearCache: new(true)},
		"session:off*": {NearCache: new(false)},
	}
	c.Executors = map[string]exec.PoolConfig{"reports": {Pool: 2, Queue: 50}, "mail": {Pool: 1}}
	return c
}

func TestFile(t *testing.T) {
	got, err := Load(file(t, everything), noEnv, nil)
	require.NoError(t, err)
	require.Equal(t, withStructures(), got)

	// Each setting is in the example: none of its fields has the default.
	a, b := reflect.ValueOf(got), reflect.ValueOf(Default())
	for i := range a.NumField() {
		if a.Field(i).Kind() == reflect.Map {
			require.NotEmpty(t, a.Field(i).Interface())
			continue
		}
		for j := range a.Field(i).NumField() {
			name := a.Type().Field(i).Name + "." + a.Field(i).Type().Field(j).Name
			if name != "Storage.Durability" { // there is but one
				require.NotEqual(t, b.Field(i).Field(j).Interface(), a.Field(i).Field(j).Interface(), name)
			}
		}
	}
}

func TestFileWithNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "cluster:\n", "cluster:\n  name:\n", "---\n"} {
		got, err := Load(file(t, text), noEnv, nil)
		require.NoError(t, err, "%q", text)
		require.Equal(t, Default(), got, "%q", text)
	}
}

func TestFileRefused(t *testing.T) {
	for text, want := range map[string]string{
		"clustre:\n  name: a":                               `grid.yaml:1: unknown section "clustre"; did you mean "cluster"?`,
		"zzz: 1":                                            `grid.yaml:1: unknown section "zzz": there are cluster, member, listen, storage, limits, nats, log, maps, executors`,
		"cluster:\n  nmae: a":                               `grid.yaml:2: unknown key "nmae"; did you mean "name"?`,
		"cluster:\n  grace: 5s":                             `grid.yaml:2: unknown key "grace"; did you mean "rebuild_delay"?`,
		"cluster:\n  size: 3":                               `grid.yaml:2: unknown key "size": there are name, join, expect, replicas, partitions, rebuild_delay, reads`,
		"cluster:\n  name: a\n  name: b":                    `"name" is given twice`,
		"cluster: {}\ncluster: {}":                          `"cluster" is given twice`,
		"cluster: 3":                                        `grid.yaml:1: cluster: want keys and values`,
		"- a":                                               `grid.yaml:1: want sections such as "cluster:"`,
		"cluster:\n  expect: three":                         `grid.yaml:2: cluster.expect: "three": want a whole number`,
		"cluster:\n  expect: 1.5":                           `cluster.expect: "1.5": want a whole number`,
		"cluster:\n  expect: -1":                            `cluster.expect: -1: want 0 or more`,
		"cluster:\n  partitions: 0":                         `cluster.partitions: 0: want 1 to 4096`,
		"cluster:\n  replicas: 8":                           `cluster.replicas: 8: want 1 to 7`,
		"cluster:\n  rebuild_delay: soon":                   `cluster.rebuild_delay: "soon": want a duration above zero such as 10s`,
		"cluster:\n  rebuild_delay: -1s":                    `cluster.rebuild_delay: "-1s": want a duration above zero`,
		"cluster:\n  rebuild_delay: [1s]":                   `cluster.rebuild_delay: a list, want one value`,
		"member:\n  lite: 2":                                `member.lite: "2": want true or false`,
		"cluster:\n  name: ''":                              `cluster.name: empty`,
		"cluster:\n  name: [a]":                             `cluster.name: a list, want one value`,
		"cluster:\n  name: {a: b}":                          `cluster.name: a table, want one value`,
		"cluster:\n  join: {a: b}":                          `cluster.join: a table, where a list is wanted`,
		"cluster:\n  join: [a, '']":                         `cluster.join: an empty item`,
		"cluster:\n  join: [[a]]":                           `cluster.join: line 2: want a text or a number`,
		"listen:\n  port: 65536":                            `listen.port: 65536: want 0 to 65535`,
		"listen:\n  insecure: perhaps":                      `listen.insecure: "perhaps": want true or false`,
		"limits:\n  max_value: 1GB":                         `limits.max_value: "1GB": want a size such as 1048576, 1024KB or 1MB`,
		"limits:\n  max_memory: 0":                          `limits.max_memory: "0": want more than nothing`,
		"limits:\n  max_memory: lots":                       `limits.max_memory: "lots": want a size such as 1048576, 512MB or 2GB`,
		"limits:\n  max_value: 9999MB":                      `limits.max_value: "9999MB": want a size`,
		"log:\n  level: loud":                               `log.level: "loud": want debug, info, warn or error`,
		"log:\n  format: xml":                               `log.format: "xml": want text, json or auto`,
		"member:\n  tags: {a: 1, a: 2}":                     `member.tags: "a" is given twice`,
		"member:\n  tags: [a]":                              `member.tags: "a": want key=value`,
		"maps: 3":                                           `grid.yaml:1: maps: want names, each with its fields`,
		"maps:\n  a: 3":                                     `grid.yaml:2: maps "a": want fields and values`,
		"maps:\n  a: {ttl: 1m}\n  a: {ttl: 2m}":             `grid.yaml:3: name "a" is given twice`,
		"maps:\n  a: {tll: 1m}":                             `grid.yaml:2: unknown key "tll"; did you mean "ttl"?`,
		"maps:\n  a: {events: 5}":                           `maps "a": events: want max_entries and max_bytes`,
		"maps:\n  a: {near_cash: {}}":                       `unknown key "near_cash"; did you mean "near_cache"?`,
		"maps:\n  a: {near_cache: yes please}":              `maps "a": near_cache: "yes please": want true or false`,
		"maps:\n  a: {near_cache: {verify: 2}}":             `near_cache: verify: "2": want a share from 0 to 1`,
		"maps:\n  a: {near_cache: {size: 2}}":               `unknown key "size": there are enabled, max_entries, max_bytes`,
		"maps:\n  a: {store: db}":                           `unknown key "store"`,
		"maps:\n  a: {indexes: [x]}":                        `unknown key "indexes"`,
		"maps:\n  a: {ttl: soon}":                           `maps "a": ttl: "soon": want a duration`,
		"maps:\n  a: {ttl: -1s}":                            `want a duration`,
		"maps:\n  a: {ttl: [1s]}":                           `a list, want one value`,
		"maps:\n  a: {eviction: lru}":                       `maps "a": eviction: want policy, max_entries and max_bytes`,
		"maps:\n  a: {eviction: {max_entries: -1}}":         `eviction: max_entries: "-1": want a whole number`,
		"maps:\n  a: {eviction: {max_bytes: 1EB}}":          `"1EB": want a size`,
		"maps:\n  a: {eviction: {max_bytes: 9999999999GB}}": `want a size`,
		"maps:\n  a: {eviction: {max: 1}}":                  `unknown key "max": there are policy, max_entries, max_bytes`,
		"maps:\n  a: {stats: perhaps}":                      `maps "a": stats: "perhaps": want true or false`,
		"executors:\n  a: {pool: 0}":                        `executors "a": pool: 0: want 1 or more`,
		"executors:\n  a: {threads: 3}":                     `unknown key "threads": there are pool, queue`,
		"cluster: {name: a}\n---\ncluster: {name: b}":       "more than one document",
		"cluster: [":                                        "yaml:",
	} {
		_, err := Load(file(t, text), noEnv, nil)
		require.ErrorContains(t, err, want, "%q", text)
	}
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), noEnv, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(file(t, strings.Repeat("#", maxFile+1)), noEnv, nil)
	require.ErrorContains(t, err, "larger than")
}

func TestAllProblemsAreTold(t *testing.T) {
	_, err := Load(file(t, "cluster:\n  nmae: a\n  expect: x\n"), env(map[string]string{"GRID_LISTEN_PORT": "y"}), []Given{{"replicas", "z"}})
	for _, want := range []string{"nmae", "cluster.expect", "GRID_LISTEN_PORT", "--replicas"} {
		require.ErrorContains(t, err, want)
	}
}

func TestPrecedence(t *testing.T) {
	vars := map[string]string{"GRID_CLUSTER_NAME": "from-env", "GRID_MEMBER_ZONE": "from-env", "GRID_STORAGE_DIR": "", "GRID_CLUSTER_NMAE": "no such setting"}
	got, err := Load(file(t, everything), env(vars), []Given{{"cluster-name", "from-flag"}, {"listen", "[::1]:6000"}, {"join", "x, y:1"}, {"insecure", "false"}})
	require.NoError(t, err)
	want := withStructures()
	want.Cluster.Name, want.Cluster.Join = "from-flag", []string{"x", "y:1"}
	want.Member.Zone = "from-env"
	want.Listen.Host, want.Listen.Port, want.Listen.Insecure = "::1", 6000, false
	require.Equal(t, want, got)
}

// Each setting can be set by its environment variable, and each flag sets what it stands for.
func TestEnvironmentAndFlags(t *testing.T) {
	examples := map[string]string{
		"cluster.name": "shop", "cluster.join": "a:5701,b:5701,c", "cluster.expect": "3", "cluster.replicas": "2", "cluster.partitions": "31", "cluster.rebuild_delay": "30s", "cluster.reads": "quorum", "member.lite": "true",
		"member.name": "m1", "member.zone": "eu-1", "member.tags": "rack=r7,size=4", "listen.host": "0.0.0.0", "listen.port": "5711",
		"listen.advertise": "m1.example", "listen.insecure": "true", "storage.durability": "memory", "storage.dir": "/var/lib/grid",
		"limits.max_value": "2048KB", "limits.max_memory": "4096MB", "log.level": "debug", "log.format": "json",
		"nats.url": "nats://a:4222", "nats.user": "grid", "nats.password": "secret", "nats.token": "other", "nats.credentials": "grid.creds",
		"nats.ca": "ca.pem", "nats.cert": "m1.pem", "nats.key": "m1.key",
	}
	want := full()
	want.Member.Tags = map[string]string{"rack": "r7", "size": "4"}
	vars := make(map[string]string)
	given := []Given{{"listen", "0.0.0.0:5711"}}
	for _, s := range settings {
		if s.key != "" {
			require.Contains(t, examples, s.key)
			vars[s.env()] = examples[s.key]
			if s.flag != "" {
				given = append(given, Given{s.flag, examples[s.key]})
			}
		}
	}
	got, err := Load("", env(vars), nil)
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = Load("", noEnv, given)
	require.NoError(t, err)
	want.NATS.User, want.NATS.Password, want.NATS.Token = "", "", "" // no flags: others could read them
	require.Equal(t, want, got)
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]struct {
		host string
		port int
	}{"a:1": {"a", 1}, "a": {"a", 5701}, ":0": {"", 0}, "[::1]:5": {"::1", 5}, "[::1]": {"::1", 5701}} {
		host, port, err := ParseAddress(in)
		require.NoError(t, err, in)
		require.Equal(t, want.host, host, in)
		require.Equal(t, want.port, port, in)
	}
	for _, in := range []string{"", "a:b", "a:-1", "a:65536", "::1", "a:1:2"} {
		_, _, err := ParseAddress(in)
		require.Error(t, err, in)
	}
}
