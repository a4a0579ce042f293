package proc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DefaultStopTimeout is how long Close waits for members to end by themselves.
const DefaultStopTimeout = 5 * time.Second

// maxMembers bounds a cluster on one machine.
const maxMembers = 16

// Config describes a cluster of processes. Zero values mean the defaults.
type Config struct {
	Binary     string   // the grid binary; required
	Members    int      // by default 1
	Partitions int      // by default the binary's own
	Replicas   int      // by default the binary's own
	Args       []string // further flags of every member
	Env        []string // "KEY=value", added to this process's environment without its GRID_ variables

	// Dir keeps each member's data directory m0, m1, … and its log m0.log, m1.log, …. It must be there and stays. By default
	// a temporary directory that Close removes.
	Dir string
	// StopTimeout is how long Close waits after SIGTERM before it kills; by default DefaultStopTimeout.
	StopTimeout time.Duration
}

// WithDefaults returns c with its zero values replaced by the defaults.
func (c Config) WithDefaults() Config {
	if c.Members == 0 {
		c.Members = 1
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = DefaultStopTimeout
	}
	return c
}

// Validate returns all that is wrong with c, after WithDefaults.
func (c Config) Validate() error {
	var errs []error
	if c.Binary == "" {
		errs = append(errs, errors.New("no binary is given"))
	}
	if c.Members < 1 || c.Members > maxMembers {
		errs = append(errs, fmt.Errorf("members %d: want 1 to %d", c.Members, maxMembers))
	}
	if c.Partitions < 0 {
		errs = append(errs, fmt.Errorf("partitions %d: want 1 or more, or 0 for the default", c.Partitions))
	}
	if c.Replicas < 0 {
		errs = append(errs, fmt.Errorf("replicas %d: want 1 or more, or 0 for the default", c.Replicas))
	}
	if c.StopTimeout < 0 {
		errs = append(errs, fmt.Errorf("stop timeout %v: want 0 or more", c.StopTimeout))
	}
	return errors.Join(errs...)
}

// args returns the command line of a member, without the binary: of one of the initial members, or of one that joins them.
func (c *Config) args(name, addr, dir string, firsts []string, bootstraps bool) []string {
	args := []string{"start", "--name", name, "--listen", addr, "--data-dir", dir}
	// A member that is alone has nobody to join.
	if len(firsts) > 1 || !bootstraps {
		args = append(args, "--join", strings.Join(firsts, ","))
	}
	// A member that joins later bootstraps nothing, so it expects nobody.
	if len(firsts) > 1 && bootstraps {
		args = append(args, "--expect", strconv.Itoa(len(firsts)))
	}
	if c.Partitions > 0 {
		args = append(args, "--partitions", strconv.Itoa(c.Partitions))
	}
	if c.Replicas > 0 {
		args = append(args, "--replicas", strconv.Itoa(c.Replicas))
	}
	return append(args, c.Args...)
}

// environ returns env without what would configure a member, and with c.Env.
func (c *Config) environ(env []string) []string {
	out := make([]string, 0, len(env)+len(c.Env))
	for _, e := range env {
		if !strings.HasPrefix(e, "GRID_") {
			out = append(out, e)
		}
	}
	return append(out, c.Env...)
}
