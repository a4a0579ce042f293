package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/compare/peers"
)

// Stages of a run.
const (
	stageSpeed   = "speed"   // all cells
	stageMemory  = "memory"  // entries and what they take
	stageMembers = "members" // clusters of several sizes
)

var stages = []string{stageSpeed, stageMemory, stageMembers}

// Config is one run, as the flags say.
type Config struct {
	Quick     bool
	Peers     []peers.Peer
	Stages    []string
	Cells     []Cell // of stageSpeed
	Keys      int
	Rounds    int
	Duration  time.Duration // of a cell
	WarmUp    time.Duration // before it
	Members   int           // of stageSpeed and stageMemory
	Counts    []int         // of members, in stageMembers
	Entries   []int         // in stageMemory, rising
	Settle    time.Duration // after the load, before memory is read
	Grid      string
	Baseline  string
	Bin, Heap string
	Out       string
}

// quick is what -quick changes of the defaults. A flag that is given stands.
var quick = map[string]string{
	"peers": "gridiron-271,gridiron-24,hazelcast,rueidis", "ops": "get,set,setall,getall", "sizes": "100", "stages": stageSpeed,
	"duration": "1500ms", "warm-up": "300ms",
}

// allPeers are the names of all peers.
func allPeers() string {
	names := make([]string, len(peers.All))
	for i, p := range peers.All {
		names[i] = p.Name
	}
	return strings.Join(names, ",")
}

// parseFlags returns the configuration of a command line without the program's name. Usage goes to w. Its error names all that is wrong.
func parseFlags(args []string, w io.Writer) (Config, error) {
	var c Config
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.SetOutput(w)
	fs.BoolVar(&c.Quick, "quick", false, "measure only what the goals need")
	names := fs.String("peers", allPeers(), "what is compared")
	stageNames := fs.String("stages", strings.Join(stages, ","), "what is measured: speed, memory, members")
	ops := fs.String("ops", "get,set,mixed,setall,getall", "operations")
	sizes := fs.String("sizes", "100,1000,10000", "bytes of values; setall and getall have the first size alone")
	callers := fs.String("callers", "1,64,512,2048", "numbers of concurrent callers; setall and getall have -batch-callers")
	batch := fs.Int("batch", 1000, "keys of a setall and getall")
	batchCallers := fs.Int("batch-callers", 8, "concurrent callers of setall and getall")
	fs.IntVar(&c.Keys, "keys", 10_000, "keys in the map")
	fs.IntVar(&c.Rounds, "rounds", 3, "rounds over all cells; another one before them is not counted")
	fs.DurationVar(&c.Duration, "duration", 3*time.Second, "time of a cell in a round")
	fs.DurationVar(&c.WarmUp, "warm-up", 500*time.Millisecond, "time under load before a cell is measured")
	fs.IntVar(&c.Members, "members", 3, "members of each cluster")
	counts := fs.String("member-counts", "1,3,5", "members of the clusters in the stage members")
	entries := fs.String("entries", "1000000,2000000,3000000,4000000,5000000", "entries in the stage memory, rising")
	fs.DurationVar(&c.Settle, "settle", 10*time.Second, "time after the load before memory is read")
	fs.StringVar(&c.Grid, "grid", "", "the grid binary (default: built from this checkout)")
	fs.StringVar(&c.Baseline, "baseline", "", "an older grid binary, whose own grid bench is run beside")
	fs.StringVar(&c.Bin, "bin", "", "a folder with programs of peers, before those on PATH")
	fs.StringVar(&c.Heap, "heap", "3g", "largest heap of a Hazelcast member")
	fs.StringVar(&c.Out, "out", "", "a folder for results.json, results.md and the plots (default: the report is printed, and nothing written)")
	if err := fs.Parse(args); err != nil {
		return Config{}, err
	}

	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if c.Quick {
		// A flag that was given goes before what -quick sets.
		for name, value := range quick {
			if !given[name] {
				_ = fs.Set(name, value) // a constant that fits
			}
		}
	}

	// All that is wrong is gathered, so that one run shows every mistake.
	var errs []error
	take := func(err error) { errs = append(errs, err) }
	if fs.NArg() > 0 {
		take(fmt.Errorf("arguments %q: there are only flags", fs.Args()))
	}
	var err error
	c.Peers, err = peers.Select(*names)
	take(err)
	c.Stages, err = words("stages", *stageNames, stages)
	take(err)
	c.Counts, err = numbers("member-counts", *counts, 1, 9)
	take(err)
	c.Entries, err = numbers("entries", *entries, 1, 100_000_000)
	take(err)
	if !slices.IsSorted(c.Entries) {
		take(fmt.Errorf("entries %s: want rising numbers", *entries))
	}

	opNames, err := words("ops", *ops, allOps)
	take(err)
	sizeList, err := numbers("sizes", *sizes, 8, 1<<20)
	take(err)
	callerList, err := numbers("callers", *callers, 1, 100_000)
	take(err)
	for name, v := range map[string]struct{ n, low, high int }{
		"keys": {c.Keys, 1, 100_000_000}, "rounds": {c.Rounds, 1, 1000}, "members": {c.Members, 1, 9}, "batch": {*batch, 1, min(10_000, c.Keys)},
		"batch-callers": {*batchCallers, 1, 10_000},
	} {
		if v.n < v.low || v.n > v.high {
			take(fmt.Errorf("%s %d: want %d to %d", name, v.n, v.low, v.high))
		}
	}
	if c.Duration <= 0 || c.WarmUp < 0 || c.Settle < 0 {
		take(fmt.Errorf("duration %v, warm-up %v, settle %v: want more than 0, 0 or more, 0 or more", c.Duration, c.WarmUp, c.Settle))
	}

	if err := errors.Join(errs...); err != nil {
		return Config{}, err
	}

	// Only now, when all numbers are in their bounds.
	c.Cells = cells(opNames, sizeList, callerList, *batch, *batchCallers)
	return c, nil
}

// words returns the words of a list with commas between them, each of which must be among those that there are.
func words(what, list string, there []string) (out []string, err error) {
	var errs []error
	for w := range strings.SplitSeq(list, ",") {
		w = strings.TrimSpace(w)
		if !slices.Contains(there, w) {
			// All that is wrong is gathered, so that one run shows every mistake.
			errs = append(errs, fmt.Errorf("%s %q: there are %s", what, w, strings.Join(there, ", ")))
			continue
		}
		out = append(out, w)
	}
	return out, errors.Join(errs...)
}

// numbers returns the numbers of a list with commas between them, each of which must be in bounds.
func numbers(what, list string, low, high int) (out []int, err error) {
	var errs []error
	for w := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(w))
		if err != nil || n < low || n > high {
			errs = append(errs, fmt.Errorf("%s %q: want %d to %d", what, w, low, high))
			continue
		}
		out = append(out, n)
	}
	return out, errors.Join(errs...)
}

// estimate returns about how long the speed stage takes, without the start of clusters.
func (c *Config) estimate() time.Duration {
	const between = 150 * time.Millisecond
	one := time.Duration(len(c.Cells) * len(c.Peers))
	return one*time.Duration(c.Rounds)*(c.Duration+c.WarmUp+between) + one*(min(c.Duration, passDuration)+between)
}
