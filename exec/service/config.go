package service

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/exec/internal/tasks"
	"github.com/gridiron-io/gridiron/sdk"
)

// Defaults of Config.
const (
	DefaultPool           = 16
	DefaultQueue          = 10_000
	DefaultMaxExecutors   = 1024
	DefaultMaxArgBytes    = 64 << 20
	DefaultMaxResults     = 100_000
	DefaultMaxResultBytes = 64 << 20
	DefaultResultTTL      = 5 * time.Minute
	DefaultFetchedTTL     = time.Minute
	DefaultStopTimeout    = 5 * time.Second
)

// Config is the configuration of a Service: what it runs, and within which bounds. Zero numbers mean the defaults.
type Config struct {
	Registry *exec.Registry     // the tasks; required
	Member   func() sdk.Member  // this member, as tasks see it; required
	Client   func() *sdk.Client // the client that tasks get; required

	// LocalEntries yields the entries of a map in the partitions that this member owns, until ctx ends. The slices must stay
	// unchanged only until the yield returns. Required.
	LocalEntries func(ctx context.Context, mapName string) iter.Seq2[RawEntry, error]

	Pool      int                        // tasks of one executor that run at once
	Queue     int                        // tasks of one executor that wait for its pool; more are rejected
	Executors map[string]exec.PoolConfig // executors with a pool or queue of their own

	MaxExecutors   int           // executors with work at one time; a task for one more is refused
	MaxArgBytes    int64         // of the arguments of all tasks that wait or run; a task beyond is rejected
	MaxResults     int           // results kept for their callers; the oldest are dropped first, fetched ones before others
	MaxResultBytes int64         // likewise, in bytes
	ResultTTL      time.Duration // how long a result waits for its caller
	FetchedTTL     time.Duration // how long a fetched result stays, for a caller that lost the answer and asks again
	StopTimeout    time.Duration // how long Stop waits for tasks after it has ended their contexts

	Logger *slog.Logger // nil: slog.Default
}

// RawEntry is one entry of a map as it is stored.
type RawEntry = tasks.RawEntry

// WithDefaults returns c with its zero numbers replaced.
func (c Config) WithDefaults() Config {
	setDefault(&c.Pool, DefaultPool)
	setDefault(&c.Queue, DefaultQueue)
	setDefault(&c.MaxExecutors, DefaultMaxExecutors)
	setDefault(&c.MaxArgBytes, DefaultMaxArgBytes)
	setDefault(&c.MaxResults, DefaultMaxResults)
	setDefault(&c.MaxResultBytes, DefaultMaxResultBytes)
	setDefault(&c.ResultTTL, DefaultResultTTL)
	setDefault(&c.FetchedTTL, DefaultFetchedTTL)
	setDefault(&c.StopTimeout, DefaultStopTimeout)

	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Validate returns all that is wrong with c, which has its defaults already, as one error wrapping sdk.ErrInvalid.
func (c Config) Validate() error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	// Without these the first task would panic, so the member must not start.
	if c.Registry == nil {
		wrong("no Registry")
	}
	if c.Member == nil {
		wrong("no Member")
	}
	if c.Client == nil {
		wrong("no Client")
	}
	if c.LocalEntries == nil {
		wrong("no LocalEntries")
	}

	for _, n := range [...]struct {
		name  string
		value int64
	}{
		{"Pool", int64(c.Pool)}, {"Queue", int64(c.Queue)}, {"MaxExecutors", int64(c.MaxExecutors)}, {"MaxArgBytes", c.MaxArgBytes},
		{"MaxResults", int64(c.MaxResults)}, {"MaxResultBytes", c.MaxResultBytes},
	} {
		if n.value < 1 {
			wrong("%s is %d, it must be at least 1", n.name, n.value)
		}
	}

	// Below a millisecond none of these would be of use.
	for _, d := range [...]struct {
		name  string
		value time.Duration
	}{{"ResultTTL", c.ResultTTL}, {"FetchedTTL", c.FetchedTTL}, {"StopTimeout", c.StopTimeout}} {
		if d.value < time.Millisecond {
			wrong("%s is %v, it must be at least 1ms", d.name, d.value)
		}
	}

	problems = append(problems, CheckPools(c.Executors)...)
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("exec: %w: %w", sdk.ErrInvalid, errors.Join(problems...))
}

// CheckPools returns all that is wrong with the bounds of executors, by name.
func CheckPools(executors map[string]exec.PoolConfig) (problems []error) {
	// Sorted, so that the same configuration gives the same text each time.
	for _, name := range slices.Sorted(maps.Keys(executors)) {
		p := executors[name]
		if problem := tasks.CheckName(name); problem != "" {
			problems = append(problems, fmt.Errorf("the name of executor %q %s", name, problem))
		}
		if p.Pool < 0 || p.Queue < 0 {
			problems = append(problems, fmt.Errorf("executor %q: pool %d, queue %d: neither may be negative", name, p.Pool, p.Queue))
		}
	}
	return problems
}

// bounds returns the pool and the queue of an executor.
func (c *Config) bounds(executor string) (poolSize, queueSize int) {
	own := c.Executors[executor]
	setDefault(&own.Pool, c.Pool)
	setDefault(&own.Queue, c.Queue)
	return own.Pool, own.Queue
}
