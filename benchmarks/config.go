package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

// Op is what callers do.
type Op string

const (
	OpSet   Op = "set"   // every operation is a Set of a value that the key did not have
	OpGet   Op = "get"   // every operation is a linearizable Get
	OpMixed Op = "mixed" // four Gets to one Set, in random order
	OpAdd   Op = "add"   // every operation adds 1 to a number where it stands; few keys make them hot
)

// Ops are all there are.
var Ops = []Op{OpSet, OpGet, OpMixed, OpAdd}

// opMix is what a Result calls the operation of a Config with a Mix.
const opMix Op = "mix"

// Bounds of a Config.
const (
	maxCallers   = 100_000
	maxListeners = 1000
	maxRate      = 10_000_000
	maxKeys      = 100_000_000
	maxBatch     = 100_000
	maxValue     = 4<<20 - 1<<10 // what a cluster may be configured for, less the encoding
)

// Config is one run. Zero values mean the defaults.
type Config struct {
	Servers []string // any members of the cluster
	// Connect makes the client whose calls are measured; by default sdk.Connect without options. Run closes the client.
	Connect func(ctx context.Context, servers []string) (*sdk.Client, error)

	Op  Op  // by default OpSet, without a Mix
	Mix Mix // instead of Op
	// Rate makes the load open: so many operations begin in a second, whether or not earlier ones have been answered. At most as many are
	// under way as a round has callers. Latencies count from the time at which an operation was to begin. 0 makes the load closed: each
	// caller begins an operation when it has the answer to the one before.
	Rate      int
	Callers   []int         // one round for each; by default 64 and 512
	Keys      int           // by default 10,000
	Batch     int           // keys of an operation, in a row from the drawn one, by SetAll and GetAll; 0 is Set and Get of one
	Zipf      float64       // the exponent of the zipfian distribution by which keys are drawn; 0 gives them equal chances
	ValueSize int           // bytes; by default 100; with OpAdd 8
	Duration  time.Duration // of each round; by default 10 s
	WarmUp    time.Duration // before each round; 0 is none
	// Operations ends each round after so many operations instead of after Duration; 0 does not.
	Operations int64
	// NearCache makes the measured client read through a near cache with room for all keys.
	NearCache bool
	// Listeners is how many listeners hear of all writes, each with a client of its own, which Connect makes.
	Listeners int
	// Map is the map's name, by default "grid-bench". It must be empty, and is destroyed in the end.
	Map string
	// PIDs are the members' processes, whose CPU time counts with this process's.
	PIDs []int

	// Measuring is told when a round begins, after its warm-up, and when it has ended; by default nobody is.
	Measuring func(begin bool)
}

// WithDefaults returns c with its zero values replaced by the defaults.
func (c Config) WithDefaults() Config {
	if c.Connect == nil {
		c.Connect = func(ctx context.Context, servers []string) (*sdk.Client, error) {
			return sdk.Connect(ctx, servers, sdk.WithClientName("grid-bench"))
		}
	}
	if c.Op == "" && c.Mix == (Mix{}) {
		c.Op = OpSet
	}
	if len(c.Callers) == 0 {
		c.Callers = []int{64, 512}
	}
	if c.Keys == 0 {
		c.Keys = 10_000
	}
	if c.ValueSize == 0 && c.Op == OpAdd {
		c.ValueSize = addedSize
	}
	if c.ValueSize == 0 {
		c.ValueSize = 100
	}
	if c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	if c.Map == "" {
		c.Map = "grid-bench"
	}

	// A function in any case, so that callers need not ask.
	if c.Measuring == nil {
		c.Measuring = func(bool) {}
	}
	return c
}

// Validate returns all that is wrong with c, after WithDefaults, wrapping sdk.ErrInvalid.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{sdk.ErrInvalid}, args...)...))
	}

	if c.Mix != (Mix{}) {
		if c.Op != "" {
			bad("operation %q and mix %q: one of the two", string(c.Op), c.Mix)
		}
		for _, w := range []int{c.Mix.Gets, c.Mix.Sets} {
			if w < 0 || w > maxWeight {
				bad("weight %d of a mix: want 0 to %d", w, maxWeight)
			}
		}
	} else if _, ok := mixes[c.Op]; !ok && c.Op != OpAdd {
		names := make([]string, len(Ops))
		for i, op := range Ops {
			names[i] = string(op)
		}
		bad("operation %q: there are %s", string(c.Op), strings.Join(names, ", "))
	}

	if c.Rate < 0 || c.Rate > maxRate {
		bad("rate %d: want 0 to %d operations per second", c.Rate, maxRate)
	}

	for _, n := range c.Callers {
		if n < 1 || n > maxCallers {
			bad("callers %d: want 1 to %d", n, maxCallers)
		}
	}

	if c.Keys < 1 || c.Keys > maxKeys {
		bad("keys %d: want 1 to %d", c.Keys, maxKeys)
	}
	if c.Batch < 0 || c.Batch > min(max(0, c.Keys), maxBatch) {
		bad("batch %d: want 0 to %d, and no more than the %d keys", c.Batch, maxBatch, c.Keys)
	}
	if c.Op == OpAdd && (c.Batch > 0 || c.ValueSize != addedSize || c.Listeners > 0) {
		bad("operation %q: its values are numbers, it adds to one at a time, and nobody listens", string(c.Op))
	}
	if !(c.Zipf >= 0 && c.Zipf <= maxTheta) { // nor what is not a number
		bad("zipf %v: want 0 to %v", c.Zipf, maxTheta)
	}
	least := stampSize
	if c.Listeners != 0 {
		least = heardStamp
	}
	if c.ValueSize < least || c.ValueSize > maxValue {
		bad("value size %d: want %d to %d bytes", c.ValueSize, least, maxValue)
	}
	if c.Listeners < 0 || c.Listeners > maxListeners {
		bad("listeners %d: want 0 to %d", c.Listeners, maxListeners)
	}

	if c.Duration < 0 {
		bad("duration %v: want more than 0", c.Duration)
	}
	if c.WarmUp < 0 {
		bad("warm-up %v: want 0 or more", c.WarmUp)
	}
	if c.Operations < 0 {
		bad("operations %d: want 0 or more", c.Operations)
	}

	for _, pid := range c.PIDs {
		if pid < 1 {
			bad("process %d: want 1 or more", pid)
		}
	}
	return errors.Join(errs...)
}

// mix returns what Op or Mix come to.
func (c Config) mix() Mix {
	if c.Mix != (Mix{}) {
		return c.Mix
	}
	return mixes[c.Op]
}
