package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// Options is the command "grid bench": Config, and members of its own to run against.
type Options struct {
	Config

	// Members, if above 0, starts so many member processes for the run, whose CPU time is counted, instead of connecting to
	// Servers.
	Members    int
	Partitions int      // of that cluster; by default the binary's own
	Binary     string   // the grid binary; by default the running program
	Env        []string // "KEY=value", for the members
	Args       []string // further flags of "grid start"

	// Started is told about the members of its own once they are ready; by default nobody is.
	Started func(*proc.Cluster)
	// Format is "table", the default, or "json". Only Main heeds it.
	Format string
}

// WithDefaults returns o with its zero values replaced by the defaults.
func (o Options) WithDefaults() Options {
	o.Config = o.Config.WithDefaults()
	if o.Format == "" {
		o.Format = "table"
	}
	if o.Started == nil {
		o.Started = func(*proc.Cluster) {}
	}
	return o
}

// Validate returns all that is wrong with o, after WithDefaults, wrapping sdk.ErrInvalid.
func (o Options) Validate() error {
	errs := []error{o.Config.Validate()}
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{sdk.ErrInvalid}, args...)...))
	}

	// One of the two: a cluster that is there, or one that is started.
	switch {
	case o.Members == 0 && len(o.Servers) == 0:
		bad("neither servers to run against nor a number of members to start")
	case o.Members == 0 && o.Partitions != 0:
		bad("partitions are only for members that are started")
	case o.Members != 0 && len(o.Servers) > 0:
		bad("servers to run against, and members to start: one of the two")
	case o.Members != 0 && len(o.PIDs) > 0:
		bad("the processes of members that are started are known")
	}

	if o.Members != 0 {
		c := proc.Config{Binary: "grid", Members: o.Members, Partitions: o.Partitions}
		if err := c.WithDefaults().Validate(); err != nil {
			bad("%w", err)
		}
	}

	if o.Format != "table" && o.Format != "json" {
		bad("output format %q: there are table, json", o.Format)
	}
	return errors.Join(errs...)
}

// Measure runs o and returns what it measured. Members that it starts are gone when it returns. Errors are those of Run and
// proc.Start, and sdk.ErrInvalid for Options that cannot be.
func Measure(ctx context.Context, o Options) (_ Result, err error) {
	o = o.WithDefaults()
	if err := o.Validate(); err != nil {
		return Result{}, err
	}

	if o.Members == 0 {
		return Run(ctx, o.Config)
	}

	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return Result{}, fmt.Errorf("find the grid binary: %w", err)
		}
	}

	cl, err := proc.Start(ctx, proc.Config{Binary: o.Binary, Members: o.Members, Partitions: o.Partitions, Env: o.Env, Args: o.Args})
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()

	// The processes are this program's own, so their CPU time can be read.
	o.Servers, o.PIDs = cl.Addrs(), cl.PIDs()
	o.Started(cl)
	return Run(ctx, o.Config)
}

// Main is the command "grid bench": it measures and writes the result to out. Nothing is written if it fails.
func Main(ctx context.Context, o Options, out io.Writer) error {
	result, err := Measure(ctx, o)
	if err != nil {
		return err
	}
	if o.Format == "json" {
		return result.WriteJSON(out)
	}
	return result.WriteTable(out)
}
