// Package config owns the configuration of a member: which settings there are, and how their values come from a file, the environment or
// flags. It does not know what a member does with them, and checks only what it must to read them.
//
// A setting has a key such as cluster.name. The file is YAML with a section cluster that has name, the environment variable is
// GRID_CLUSTER_NAME, and flags have names of their own. A flag overrides the environment, the environment overrides the file, and the file
// overrides the default. An empty environment variable counts as not set. A variable with an unknown name is an error. What is configured
// for maps and executors, by their names, stands in the file alone.
package config

import (
	"errors"
	"log/slog"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
)

// Config is what a member is configured to be. Zero values of the settings without a default here mean the member's.
type Config struct {
	Cluster struct {
		Name         string
		Join         []string // addresses of members
		Expect       int
		Replicas     int
		Partitions   int
		RebuildDelay time.Duration
		Reads        string // lease or quorum
	}
	Member struct {
		Name string
		Zone string
		Tags map[string]string
		Lite bool
	}
	Listen struct {
		Host      string
		Port      int // for clients; the others follow from it
		Advertise string
		Insecure  bool
	}
	Storage struct {
		Durability string
		Dir        string
	}
	Limits struct {
		MaxValue  int   // bytes
		MaxMemory int64 // bytes; 0: what the process may use decides
	}
	NATS struct {
		URL         string
		User        string
		Password    string
		Token       string
		Credentials string // file
		CA          string // file
		Cert        string // file
		Key         string // file
	}
	Log struct {
		Level  slog.Level
		Format string // FormatText, FormatJSON, or FormatAuto
	}
	Maps      map[string]sdk.MapConfig   // by pattern
	Executors map[string]exec.PoolConfig // by name
}

// Values of Config.Log.Format. Auto is text on a terminal and JSON elsewhere.
const (
	FormatAuto = "auto"
	FormatText = "text"
	FormatJSON = "json"
)

// DefaultPort is where clients connect to unless told otherwise.
const DefaultPort = 5701

// Default returns the configuration in which nothing is set.
func Default() Config {
	var c Config
	c.Cluster.Name = "grid"
	c.Cluster.Reads = "lease"
	c.Listen.Host = "127.0.0.1"
	c.Listen.Port = DefaultPort
	c.Storage.Durability = "memory"
	c.Log.Level = slog.LevelInfo
	c.Log.Format = FormatAuto
	return c
}

// ClusterName returns cluster.name of a file, or "" if the file does not have it. It returns all that is wrong with the file.
func ClusterName(file string) (string, error) {
	var c Config
	err := applyFile(&c, file)
	return c.Cluster.Name, err
}

// Given is a flag that was given on the command line, in the order of the command line.
type Given struct{ Flag, Value string }

// Load returns the defaults changed by the file, if its name is not empty, by the environment, and by the flags. It returns
// all that is wrong with them, joined.
func Load(file string, lookupEnv func(string) (string, bool), flags []Given) (Config, error) {
	c := Default()

	var errs []error
	if file != "" {
		errs = append(errs, applyFile(&c, file))
	}
	errs = append(errs, applyEnv(&c, lookupEnv), applyFlags(&c, flags))
	return c, errors.Join(errs...)
}
