package config

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
member:
  name: m1
  zone: eu-1
  tags: {rack: r7, disk: "ssd,fast", size: 4}
listen:
  host: 0.0.0.0
  port: 5711
  advertise: m1.example
  insecure: true
storage: {durability: memory, dir: /var/lib/grid}
limits:
  max_value: 2MB
log:
  level: debug
  format: json
`

func full() Config {
	var c Config
	c.Cluster.Name, c.Cluster.Join, c.Cluster.Expect, c.Cluster.Replicas, c.Cluster.Partitions = "shop", []string{"a:5701", "b:5701", "c"}, 3, 2, 31
	c.Member.Name, c.Member.Zone, c.Member.Tags = "m1", "eu-1", map[string]string{"rack": "r7", "disk": "ssd,fast", "size": "4"}
	c.Listen.Host, c.Listen.Port, c.Listen.Advertise, c.Listen.Insecure = "0.0.0.0", 5711, "m1.example", true
	c.Storage.Durability, c.Storage.Dir = "memory", "/var/lib/grid"
	c.Limits.MaxValue = 2 << 20
	c.Log.Level, c.Log.Format = slog.LevelDebug, FormatJSON
	return c
}

func TestFile(t *testing.T) {
	got, err := Load(file(t, everything), noEnv, nil)
	require.NoError(t, err)
	require.Equal(t, full(), got)

	// Each setting is in the example: none of its fields has the default.
	a, b := reflect.ValueOf(got), reflect.ValueOf(Default())
	for i := range a.NumField() {
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
		"clustre:\n  name: a":                         `grid.yaml:1: unknown section "clustre"; did you mean "cluster"?`,
		"zzz: 1":                                      `grid.yaml:1: unknown section "zzz": there are cluster, member, listen, storage, limits, log`,
		"cluster:\n  nmae: a":                         `grid.yaml:2: unknown key "nmae"; did you mean "name"?`,
		"cluster:\n  size: 3":                         `grid.yaml:2: unknown key "size": there are name, join, expect, replicas, partitions`,
		"cluster:\n  name: a\n  name: b":              `"name" is given twice`,
		"cluster: {}\ncluster: {}":                    `"cluster" is given twice`,
		"cluster: 3":                                  `grid.yaml:1: cluster: want keys and values`,
		"- a":                                         `grid.yaml:1: want sections such as "cluster:"`,
		"cluster:\n  expect: three":                   `grid.yaml:2: cluster.expect: "three": want a whole number`,
		"cluster:\n  expect: 1.5":                     `cluster.expect: "1.5": want a whole number`,
		"cluster:\n  expect: -1":                      `cluster.expect: -1: want 0 or more`,
		"cluster:\n  partitions: 0":                   `cluster.partitions: 0: want 1 to 4096`,
		"cluster:\n  replicas: 8":                     `cluster.replicas: 8: want 1 to 7`,
		"cluster:\n  name: ''":                        `cluster.name: empty`,
		"cluster:\n  name: [a]":                       `cluster.name: a list, where one value is wanted`,
		"cluster:\n  name: {a: b}":                    `cluster.name: a table, where one value is wanted`,
		"cluster:\n  join: {a: b}":                    `cluster.join: a table, where a list is wanted`,
		"cluster:\n  join: [a, '']":                   `cluster.join: an empty item`,
		"cluster:\n  join: [[a]]":                     `cluster.join: line 2: want a text or a number`,
		"listen:\n  port: 65536":                      `listen.port: 65536: want 0 to 65535`,
		"listen:\n  insecure: perhaps":                `listen.insecure: "perhaps": want true or false`,
		"limits:\n  max_value: 1GB":                   `limits.max_value: "1GB": want a size such as 1048576, 1024KB or 1MB`,
		"limits:\n  max_value: 9999MB":                `limits.max_value: "9999MB": want a size`,
		"log:\n  level: loud":                         `log.level: "loud": want debug, info, warn or error`,
		"log:\n  format: xml":                         `log.format: "xml": want text, json or auto`,
		"member:\n  tags: {a: 1, a: 2}":               `member.tags: "a" is given twice`,
		"member:\n  tags: [a]":                        `member.tags: "a": want key=value`,
		"cluster: {name: a}\n---\ncluster: {name: b}": "more than one document",
		"cluster: [":                                  "yaml:",
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
	want := full()
	want.Cluster.Name, want.Cluster.Join = "from-flag", []string{"x", "y:1"}
	want.Member.Zone = "from-env"
	want.Listen.Host, want.Listen.Port, want.Listen.Insecure = "::1", 6000, false
	require.Equal(t, want, got)
}

// Each setting can be set by its environment variable, and each flag sets what it stands for.
func TestEnvironmentAndFlags(t *testing.T) {
	examples := map[string]string{
		"cluster.name": "shop", "cluster.join": "a:5701,b:5701,c", "cluster.expect": "3", "cluster.replicas": "2", "cluster.partitions": "31",
		"member.name": "m1", "member.zone": "eu-1", "member.tags": "rack=r7,size=4", "listen.host": "0.0.0.0", "listen.port": "5711",
		"listen.advertise": "m1.example", "listen.insecure": "true", "storage.durability": "memory", "storage.dir": "/var/lib/grid",
		"limits.max_value": "2048KB", "log.level": "debug", "log.format": "json",
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
