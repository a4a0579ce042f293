package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
)

// options are what can be asked for.
type options struct {
	scenarios  []string
	partitions int
	rounds     int  // of all but rebuild
	rate       int  // writes per second
	reads      int  // per second, of keys that are not written
	megabytes  int  // of entries that are rebuilt
	members    int  // when something is rebuilt
	again      bool // it comes back
	writeMB    int  // written in a second while something is rebuilt, in megabytes
	settle     time.Duration
	verbose    bool
	dir        string
	profiles   string
}

// scenarios are all there are, in the order in which they run.
var scenarios = []string{"kill", "pause", "disagree", "leave", "rebuild"}

func main() {
	standin.Main()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()

	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var names string
	flags := flag.NewFlagSet("failover", flag.ContinueOnError)
	flags.StringVar(&names, "scenario", strings.Join(scenarios, ","), "what to do: `LIST` of kill, pause, disagree, leave, rebuild")
	flags.IntVar(&o.partitions, "partitions", 271, "of the cluster")
	flags.IntVar(&o.rounds, "rounds", 5, "how often a member is killed, paused, and stopped")
	flags.IntVar(&o.rate, "rate", 2000, "writes that begin in a second")
	flags.IntVar(&o.reads, "reads", 500, "reads that begin in a second when a member is killed, paused or stopped, of keys that are not written meanwhile")
	flags.IntVar(&o.megabytes, "megabytes", 300, "of values that are there when a member is killed for good")
	flags.IntVar(&o.members, "members", 4, "of the cluster in which a member's replicas are rebuilt")
	flags.BoolVar(&o.again, "restart", false, "start the member whose replicas are rebuilt again at once, and not without it")
	flags.IntVar(&o.writeMB, "write-mb-s", 0, "megabytes of values that are written in a second while replicas are rebuilt, besides the measured writes")
	flags.DurationVar(&o.settle, "settle", 3*time.Second, "of load before and after each fault")
	flags.StringVar(&o.dir, "dir", "", "an empty `DIRECTORY` that keeps the members' logs (default: none is kept)")
	flags.StringVar(&o.profiles, "profiles", "", "an existing `DIRECTORY` for CPU profiles of the members, from the first move to the last (rebuild), or of the round (leave)")
	flags.BoolVar(&o.verbose, "v", false, "tell of each round on standard error")

	if err := flags.Parse(args); err != nil {
		return o, err
	}

	o.scenarios = strings.Split(names, ",")
	for _, s := range o.scenarios {
		if !slices.Contains(scenarios, s) {
			return o, fmt.Errorf("scenario %q: there are %s", s, strings.Join(scenarios, ", "))
		}
	}

	if o.partitions < 1 || o.rounds < 1 || o.rate < 1 || o.reads < 0 || o.megabytes < 1 || o.members < 2 || o.writeMB < 0 || o.settle <= 0 || flags.NArg() > 0 {
		return o, errors.New("want positive numbers, and nothing but flags")
	}
	return o, nil
}

// run measures and writes what came of it to out, scenario by scenario.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}

	fmt.Fprintf(out, "%d partitions, %d writes per second of 100 bytes; load average %s\n", o.partitions, o.rate, loadAverage())
	for _, name := range scenarios {
		// The scenarios run in their own order, whatever the flag's order is.
		if !slices.Contains(o.scenarios, name) {
			continue
		}

		var r report
		switch name {
		case "kill":
			r, err = o.fault(ctx, killed)
		case "pause":
			r, err = o.fault(ctx, paused)
		case "disagree":
			r, err = o.fault(ctx, disputed)
		case "leave":
			r, err = o.leave(ctx)
		case "rebuild":
			r, err = o.rebuild(ctx)
		}

		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.write(out); err != nil {
			return err
		}
	}
	return nil
}

// loadAverage returns what the system says of the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
