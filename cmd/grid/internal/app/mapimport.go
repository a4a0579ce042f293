package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

const (
	// importBatch is how many entries are read before they are stored, together.
	importBatch = 512
	// importWriters is how many entries are stored, or read, at the same time one by one.
	importWriters = 32
)

func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Value: "json", Usage: "`FORMAT` of the file: json, with an entry on each line, or csv"}
}

// fileFormat returns what --format says.
func (inv *invocation) fileFormat() (string, error) {
	f := inv.flags.String("format")
	if f != "json" && f != "csv" {
		return "", usagef("--format %q: want json or csv", f)
	}
	return f, nil
}

func (p *Process) mapImport() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "import", usage: "store the entries of a file", args: "MAP FILE|-", least: 2, most: 2, quiet: true,
		details: "A line of JSON is {\"key\":…,\"value\":…,\"ttl_ms\":…}; CSV has a header with these names. An entry without ttl_ms and max_idle_ms " +
			"expires as the map's configuration says; null, or an empty field, means never. A line that is no entry, or cannot be stored, ends " +
			"the import. The error names the line; all lines before it are stored. --from-line resumes there. --timeout bounds the time to " +
			"connect, and each write.",
		flags: []cli.Flag{formatFlag(), &cli.IntFlag{Name: "from-line", Value: 1, Usage: "skip what comes before line `N`"}},
		run: func(ctx context.Context, inv *invocation) error {
			format, err := inv.fileFormat()
			if err != nil {
				return err
			}

			from := inv.flags.Int("from-line")
			if from < 1 {
				return usagef("--from-line %d: lines are counted from 1", from)
			}

			return inv.interruptible(ctx, func(ctx context.Context) error { return inv.importFrom(ctx, format, inv.args[1], from) })
		},
	}, 0))
}

// importFrom stores what is in the file of a name from a line on.
func (inv *invocation) importFrom(ctx context.Context, format, name string, from int) error {
	in, size := inv.In, int64(0)
	if name != "-" {
		f, err := openWaiting(ctx, name, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()

		if info, err := f.Stat(); err == nil {
			if size = info.Size(); info.IsDir() {
				return failf(exitOther, "%q is a directory; name a file, or - for standard input", name)
			}
		}

		// A pipe whose writer says nothing would hold the import up after an interrupt.
		stop := context.AfterFunc(ctx, func() {
			_ = f.SetReadDeadline(time.Unix(1, 0)) // of a pipe: regular files have none, and need none
		})
		defer stop()
		in = f
	}

	bar := inv.progress(size)
	defer bar.end()

	return inv.longRunning(ctx, func(ctx context.Context, c *sdk.Client, m *storedMap) error {
		records, err := recordsOf(format, bar.reads(in), inv.note)
		if err != nil {
			return err
		}
		i := importing{c: c, m: m, records: records, from: from, bar: bar}
		return cannotStore(i.run(ctx))
	})
}

// cannotStore gives an error about a line of the file an exit code that does not blame the command line. It returns other errors as they
// are.
func cannotStore(err error) error {
	if bad, ok := errors.AsType[*lineError](err); ok && exitCode(bad) == exitUsage {
		return &failure{exitOther, err}
	}
	return err
}

// note tells a person something that is no failure.
func (inv *invocation) note(text string) {
	_, _ = fmt.Fprintf(inv.Err, "grid: note: %s\n", render.Escape(text))
}

// longRunning calls f with a map and a context that ends when the process is interrupted; --timeout bounds connecting.
func (inv *invocation) longRunning(ctx context.Context, f func(context.Context, *sdk.Client, *storedMap) error) error {
	return inv.interruptible(ctx, func(ctx context.Context) error {
		connecting, cancel := context.WithTimeout(ctx, inv.conn.timeout)
		defer cancel()
		c, err := inv.connect(connecting)
		if err != nil {
			return err
		}

		// f has no time limit: a file may be of any size.
		m, err := openStored(c, inv.args[0])
		if err == nil {
			err = f(ctx, c, m)
		}
		return errors.Join(err, c.Close())
	})
}

// importing is an import under way.
type importing struct {
	c          *sdk.Client
	m          *storedMap
	records    recordReader
	from       int
	bar        *progress
	partitions int // of the cluster; 0: not asked for yet
}

// run stores the file in batches, one after the other. A batch ends where a key comes again, so that the last line of a key counts.
func (i *importing) run(ctx context.Context) error {
	var batch []record
	keys := make(map[storedKey]bool)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := i.store(ctx, batch)
		i.bar.stored(len(batch))
		batch = batch[:0]
		clear(keys)
		return err
	}

	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}

		r, err := i.records.next()
		var bad *lineError
		switch {
		// A bad line before the first line of this import is skipped like any other.
		case errors.As(err, &bad) && bad.line < i.from:
			continue
		case errors.Is(err, io.EOF):
			return flush()
		case err != nil:
			return cmp.Or(flush(), err)
		case r.line < i.from:
			continue
		}

		// What came before the bad line is stored first, so that --from-line can go on at that line.
		if err := i.checkPlace(ctx, r); err != nil {
			return cmp.Or(flush(), err)
		}

		// Within a batch the order is chance, so a key must not come twice in it.
		if len(batch) == importBatch || keys[r.key] {
			if err := flush(); err != nil {
				return err
			}
		}

		batch, keys[r.key] = append(batch, r), true
	}
}

// checkPlace returns an error for an entry whose program chose its partition, if this cluster does not have that partition. In another
// partition the program would not find the entry.
func (i *importing) checkPlace(ctx context.Context, r record) error {
	if r.key.of == 0 {
		return nil
	}

	// Asked for once: few files have such keys, and the number never changes.
	if i.partitions == 0 {
		list, err := i.c.Partitions(ctx)
		if err != nil {
			return err
		}
		i.partitions = len(list)
	}

	if r.key.of != i.partitions {
		return badLine(r.line, fmt.Errorf("the key's program chose partition %d of %d, and this cluster has %d: only that program can store it here",
			r.key.partition, r.key.of, i.partitions))
	}
	return nil
}

// bulkFrom is how many entries must expire alike to be stored by one call.
const bulkFrom = 8

// store stores a batch in which no key comes twice. Its error is that of the first line that failed.
func (i *importing) store(ctx context.Context, batch []record) error {
	failed := make(map[int]error) // by line
	lines := make(map[storedKey]int)
	alike := make(map[expiry]map[storedKey]storedValue)
	for _, r := range batch {
		lines[r.key] = r.line
		if alike[r.expiry] == nil {
			alike[r.expiry] = make(map[storedKey]storedValue)
		}
		alike[r.expiry][r.key] = r.value
	}

	// SetAll has one set of options for all its entries, so entries go together that expire alike.
	for expiry, entries := range alike {
		if len(entries) < bulkFrom {
			continue
		}
		var bulk *sdk.BulkError
		err := i.m.SetAll(ctx, entries, expiry.options()...)
		switch {
		case errors.As(err, &bulk):
			for key, e := range bulk.Errs {
				failed[lines[key.(storedKey)]] = e
			}
		case err != nil:
			for key := range entries {
				failed[lines[key]] = err
			}
		}
	}

	// What is left are few of a kind. Written one by one, they still go at the same time.
	single := slices.DeleteFunc(slices.Clone(batch), func(r record) bool { return len(alike[r.expiry]) >= bulkFrom })
	var mu sync.Mutex // guards failed
	var writers sync.WaitGroup
	for w := range min(importWriters, len(single)) {
		writers.Go(func() { // ends with its part of the batch
			for at := w; at < len(single); at += importWriters {
				r := single[at]
				if err := i.m.Set(ctx, r.key, r.value, r.options()...); err != nil {
					mu.Lock()
					failed[r.line] = err
					mu.Unlock()
				}
			}
		})
	}

	writers.Wait()
	if len(failed) == 0 {
		return nil
	}

	// The first line that failed is where the user goes on.
	first := slices.Min(slices.Collect(maps.Keys(failed)))
	return badLine(first, failed[first])
}
