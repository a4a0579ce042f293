// Command memory measures what entries cost in the memory of a cluster's members, and in processor time to write them.
//
//	go build -o /tmp/grid ./cmd/grid && go run ./benchmarks/memory -binary /tmp/grid -entries 1000000
//
// It starts members in processes of their own, writes entries with SetAll and waits until the members have settled. Then it prints the
// resident memory of each member, the most that each member ever had, its retained Raft log, what its entries are counted with, and the
// processor time of all processes for one entry. With -mixed it then reads and writes these entries for a while, and prints which part of the
// processor time the collector of each member takes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// options are what can be asked for.
type options struct {
	binary     string
	entries    int
	keySize    int
	valueSize  int
	batch      int
	callers    int
	members    int
	partitions int
	settle     time.Duration
	mixed      time.Duration
	dir        string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()

	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("memory", flag.ContinueOnError)
	flags.StringVar(&o.binary, "binary", "", "the grid `BINARY` that is measured")
	flags.IntVar(&o.entries, "entries", 1_000_000, "that are written")
	flags.IntVar(&o.keySize, "key", 16, "bytes of a key's text")
	flags.IntVar(&o.valueSize, "value", 100, "bytes of a value")
	flags.IntVar(&o.batch, "batch", 1000, "entries of one SetAll")
	flags.IntVar(&o.callers, "callers", 4, "SetAll calls at a time")
	flags.IntVar(&o.members, "members", 3, "of the cluster; each entry has up to three copies")
	flags.IntVar(&o.partitions, "partitions", 271, "of the cluster")
	flags.StringVar(&o.dir, "dir", "", "an empty `DIRECTORY` that keeps the members' logs (default: none is kept)")
	flags.DurationVar(&o.settle, "settle", 10*time.Second, "wait after the last write")
	flags.DurationVar(&o.mixed, "mixed", 0, "how long 64 callers then read and write, four reads to a write")

	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.binary == "" || flags.NArg() > 0 {
		return o, errors.New("want -binary, and nothing but flags")
	}
	if min(o.entries, o.batch, o.callers, o.members, o.partitions, o.valueSize) < 1 || o.keySize < len(strconv.Itoa(o.entries)) || min(o.settle, o.mixed) < 0 {
		return o, errors.New("want positive numbers, and keys that have room for the number of an entry")
	}
	if o.mixed > 0 && o.keySize < loadDigits {
		return o, fmt.Errorf("want keys of %d bytes or more with -mixed", loadDigits)
	}
	return o, nil
}

// run measures and writes what came of it to out.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}

	cl, err := proc.Start(ctx, proc.Config{Binary: o.binary, Members: o.members, Partitions: o.partitions, Dir: o.dir})
	if err != nil {
		return err
	}
	defer func() { _ = cl.Close() }()

	// Each look has a purpose: what an empty member takes, what the load left, and what stays.
	empty, err := sights(ctx, cl)
	if err != nil {
		return err
	}

	before, err := processorTime(cl)
	if err != nil {
		return err
	}

	started := time.Now()
	if err := o.fill(ctx, cl); err != nil {
		return err
	}
	took := time.Since(started)
	after, err := processorTime(cl)
	if err != nil {
		return err
	}

	loaded, err := sights(ctx, cl)
	if err != nil {
		return err
	}

	if err := benchmarks.Wait(ctx, o.settle); err != nil {
		return err
	}

	settled, err := sights(ctx, cl)
	if err != nil {
		return err
	}
	end, err := processorTime(cl)
	if err != nil {
		return err
	}

	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(o.entries) }
	fmt.Fprintf(out, "%d entries of %d + %d bytes, %d members, %d partitions, SetAll of %d by %d callers\n", o.entries, o.keySize, o.valueSize, o.members,
		o.partitions, o.batch, o.callers)
	fmt.Fprintf(out, "written in %.1f s; %.1f CPU-µs an entry in all processes, %.1f with the %v after the last write\n\n", took.Seconds(), each(after-before),
		each(end-before), o.settle)

	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "member\tresident empty\tloaded\tsettled\tmost\tRaft log loaded\tsettled\tcounted")
	for i := range settled {
		fmt.Fprintf(w, "m%d\t%d MB\t%d MB\t%d MB\t%d MB\t%d MB\t%d MB\t%d MB\n", i, mb(empty[i].resident), mb(loaded[i].resident), mb(settled[i].resident),
			mb(settled[i].most), mb(loaded[i].log), mb(settled[i].log), mb(settled[i].counted))
	}
	if err := w.Flush(); err != nil || o.mixed == 0 {
		return err
	}
	return o.work(ctx, cl, out)
}

// mb returns so many bytes in millions, rounded.
func mb(bytes int64) int64 { return (bytes + 500_000) / 1_000_000 }

// open connects to a cluster, and returns the map of the entries with the client.
func open(ctx context.Context, cl *proc.Cluster) (*sdk.Client, *sdk.Map[string, []byte], error) {
	client, err := sdk.Connect(ctx, cl.Addrs(), sdk.WithClientName("memory"))
	if err != nil {
		return nil, nil, err
	}
	users, err := sdk.OpenMap[string, []byte](client, "users")
	if err != nil {
		_ = client.Close()
	}
	return client, users, err
}

// mostTries is how often entries are written whose outcome is not known.
const mostTries = 20

// fill writes the entries.
func (o *options) fill(ctx context.Context, cl *proc.Cluster) error {
	client, users, err := open(ctx, cl)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	// Callers take batches from one counter, so a slow one does not hold back the others.
	var next atomic.Int64
	var wg sync.WaitGroup
	for range o.callers {
		wg.Go(func() {
			value, part := make([]byte, o.valueSize), make(map[string][]byte, o.batch)
			for {
				from := int(next.Add(int64(o.batch))) - o.batch
				if from >= o.entries || ctx.Err() != nil {
					return
				}

				clear(part)
				for i := from; i < min(o.entries, from+o.batch); i++ {
					part[fmt.Sprintf("%0*d", o.keySize, i)] = value
				}
				// Where the machine is so busy that an owner changes, the entries are written again.
				for tries := 1; ; tries++ {
					err := users.SetAll(ctx, part)
					if err == nil {
						break
					}
					if tries == mostTries || ctx.Err() != nil {
						cancel(err)
						return
					}
				}
			}
		})
	}

	wg.Wait()
	return context.Cause(ctx)
}

const (
	workers = 64              // callers of the mixed load
	warmUp  = 5 * time.Second // until the collector has found its pace
	// loadPrefix and loadDigits are what the keys of a benchmarks.Load are made of.
	loadPrefix, loadDigits = "key-", 8
)

// entryStore is a store whose keys stand for those that fill has written.
type entryStore struct {
	benchmarks.Store
	zeros string // what the keys begin with
}

func (s entryStore) key(of string) string { return s.zeros + of[len(loadPrefix):] }

func (s entryStore) Set(ctx context.Context, key string, value []byte) error {
	return s.Store.Set(ctx, s.key(key), value)
}

func (s entryStore) Get(ctx context.Context, key string) ([]byte, error) {
	return s.Store.Get(ctx, s.key(key))
}

// work reads and writes the entries, and writes to out what that took of the processors.
func (o *options) work(ctx context.Context, cl *proc.Cluster, out io.Writer) error {
	client, users, err := open(ctx, cl)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()

	store := entryStore{benchmarks.NewMapStore(users), strings.Repeat("0", o.keySize-loadDigits)}
	var looks [2][]collector // when the callers have warmed up, and at the end
	var lookErr error
	load, err := benchmarks.NewLoad(store, benchmarks.Config{Op: benchmarks.OpMixed, Keys: o.entries, ValueSize: o.valueSize, Duration: o.mixed,
		WarmUp: warmUp, PIDs: cl.PIDs(), Measuring: func(begin bool) {
			at := 1
			if begin {
				at = 0
			}
			var err error
			looks[at], err = collectors(ctx, cl)
			lookErr = errors.Join(lookErr, err)
		}})
	if err != nil {
		return err
	}

	round, err := load.Round(ctx, workers)
	if err = errors.Join(err, lookErr); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d callers for %v, four reads to a write: %.0f operations a second, %d failed", workers, o.mixed, round.PerSecond, round.Errors)
	if round.CPU.Total != nil {
		fmt.Fprintf(out, ", %.1f CPU-µs each in all processes", *round.CPU.Total)
	}
	fmt.Fprintln(out)

	after, err := sights(ctx, cl)
	if err != nil {
		return err
	}
	for i := range after {
		took := looks[1][i].less(looks[0][i])
		fmt.Fprintf(out, "m%d: %.0f collections, which took %.1f %% of the processor time; %d MB resident\n", i, took.cycles, 100*took.share(),
			mb(after[i].resident))
	}
	return nil
}

// collector is what a member's collector has done so far.
type collector struct {
	cycles float64
	took   float64 // processor seconds, but for those in which nothing else was to be done
	others float64 // processor seconds of the program
}

func (c collector) less(before collector) collector {
	return collector{c.cycles - before.cycles, c.took - before.took, c.others - before.others}
}

// share returns which part of the processor time the collector took.
func (c collector) share() float64 { return c.took / max(c.took+c.others, math.SmallestNonzeroFloat64) }

// collectors looks at the collectors of all members.
func collectors(ctx context.Context, cl *proc.Cluster) (list []collector, err error) {
	for i := range cl.PIDs() {
		page, err := metrics(ctx, cl.Addr(i))
		if err != nil {
			return nil, err
		}
		list = append(list, collector{
			cycles: sum(page, "go_gc_duration_seconds_count"),
			took:   sum(page, "go_cpu_classes_gc_total_cpu_seconds_total") - sum(page, "go_cpu_classes_gc_mark_idle_cpu_seconds_total"),
			others: sum(page, "go_cpu_classes_user_cpu_seconds_total"),
		})
	}
	return list, nil
}

// sight is what one look at a member shows, in bytes.
type sight struct {
	resident, most int64
	log, counted   int64
}

// sights looks at all members.
func sights(ctx context.Context, cl *proc.Cluster) (list []sight, err error) {
	for i, pid := range cl.PIDs() {
		var s sight
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(status)) {
			f := strings.Fields(line)
			if len(f) != 3 || f[2] != "kB" {
				continue
			}
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				return nil, err
			}
			switch f[0] {
			case "VmRSS:":
				s.resident = n << 10
			case "VmHWM:":
				s.most = n << 10
			}
		}

		page, err := metrics(ctx, cl.Addr(i))
		if err != nil {
			return nil, err
		}
		s.log, s.counted = int64(sum(page, "gridiron_raft_log_size_bytes")), int64(sum(page, "gridiron_memory_size_bytes"))
		list = append(list, s)
	}
	return list, nil
}

// httpOffset is how far the port of a member's metrics is from that of its clients.
const httpOffset = 79

// metrics returns the page of a member's metrics.
func metrics(ctx context.Context, addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}

	n, err := strconv.Atoi(port)
	if err != nil {
		return "", err
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, strconv.Itoa(n+httpOffset))+"/metrics", nil)
	if err != nil {
		return "", err
	}

	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()

	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// sum returns the sum of a metric's values on a page, over all its labels.
func sum(page, name string) (total float64) {
	for line := range strings.Lines(page) {
		rest, ok := strings.CutPrefix(line, name)
		// Another metric may have a name that begins with this one.
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}

		// The value is the last field, since labels may hold spaces.
		f := strings.Fields(rest)
		if v, err := strconv.ParseFloat(f[len(f)-1], 64); err == nil {
			total += v
		}
	}
	return total
}

// processorTime returns what this process and the members have used so far.
func processorTime(cl *proc.Cluster) (total time.Duration, err error) {
	const tick = 10 * time.Millisecond // the unit of /proc/PID/stat
	for _, pid := range append(cl.PIDs(), os.Getpid()) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name in parentheses may hold spaces. Behind it utime and stime are the 12th and 13th field.
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		for _, at := range []int{11, 12} {
			n, err := strconv.ParseInt(f[at], 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(n) * tick
		}
	}
	return total, nil
}
