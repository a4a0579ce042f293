package app

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/sdk"
)

const (
	// importBatch is how many entries are read before they are stored, together.
	importBatch = 512
	// importWriters is how many entries with a time to live are stored at the same time.
	importWriters = 32
)

func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Value: "json", Usage: "`FORMAT` of the file: json, an entry a line, or csv"}
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
		details: "A line of JSON is {\"key\":…,\"value\":…,\"ttl_ms\":…}; CSV has a header with these names. A line that is no entry, or cannot be stored, " +
			"ends the import with an error that names it: all lines before it are stored. It can then be resumed with --from-line. " +
			"--timeout bounds how long it takes to connect, and each write.",
		flags: []cli.Flag{formatFlag(), &cli.IntFlag{Name: "from-line", Value: 1, Usage: "pass over what comes before line `N`"}},
		run: func(ctx context.Context, inv *invocation) error {
			format, err := inv.fileFormat()
			if err != nil {
				return err
			}
			from := inv.flags.Int("from-line")
			if from < 1 {
				return usagef("--from-line %d: lines are counted from 1", from)
			}
			in, size := inv.In, int64(0)
			if name := inv.args[1]; name != "-" {
				f, err := os.Open(name)
				if err != nil {
					return usagef("%w", err)
				}
				defer func() { _ = f.Close() }()
				if info, err := f.Stat(); err == nil {
					size = info.Size()
				}
				in = f
			}
			bar := inv.progress(size)
			defer bar.end()
			return inv.longRunning(ctx, func(ctx context.Context, m *sdk.Map[any, any]) error {
				records, err := recordsOf(format, bar.reads(in))
				if err != nil {
					return err
				}
				i := importing{m: m, records: records, from: from, bar: bar}
				return i.run(ctx)
			})
		},
	}, 0))
}

func recordsOf(format string, in io.Reader) (recordReader, error) {
	if format == "csv" {
		return newCSVReader(in)
	}
	return newJSONReader(in), nil
}

// longRunning calls f with a map and a context that ends when the process is interrupted; --timeout bounds connecting.
func (inv *invocation) longRunning(ctx context.Context, f func(context.Context, *sdk.Map[any, any]) error) error {
	return inv.interruptible(ctx, func(ctx context.Context) error {
		connecting, cancel := context.WithTimeout(ctx, inv.conn.timeout)
		defer cancel()
		c, err := inv.connect(connecting)
		if err != nil {
			return err
		}
		m, err := sdk.OpenMap[any, any](c, inv.args[0])
		if err == nil {
			err = f(ctx, m)
		}
		return errors.Join(err, c.Close())
	})
}

// importing is an import under way.
type importing struct {
	m       *sdk.Map[any, any]
	records recordReader
	from    int
	bar     *progress
}

// run stores the file in batches, one after the other. A batch ends where a key comes again, so that the last line of a key counts.
func (i *importing) run(ctx context.Context) error {
	var batch []record
	keys := make(map[any]bool)
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
		case errors.As(err, &bad) && bad.line < i.from:
			continue
		case errors.Is(err, io.EOF):
			return flush()
		case err != nil:
			return cmp.Or(flush(), err)
		case r.line < i.from:
			continue
		}
		if !plainKey(r.key) {
			return cmp.Or(flush(), badLine(r.line, errors.New("a key must be a string, a number or a truth value")))
		}
		if len(batch) == importBatch || keys[r.key] {
			if err := flush(); err != nil {
				return err
			}
		}
		batch, keys[r.key] = append(batch, r), true
	}
}

// plainKey reports whether a value that JSON stands for can be a key here.
func plainKey(key any) bool {
	switch key.(type) {
	case string, int64, uint64, float64, bool:
		return true
	}
	return false
}

// store stores a batch in which no key comes twice. Its error is that of the first line that failed.
func (i *importing) store(ctx context.Context, batch []record) error {
	failed := make(map[int]error) // by line
	forever, lines := make(map[any]any), make(map[any]int)
	var mortal []record
	for _, r := range batch {
		if lines[r.key] = r.line; r.ttl > 0 {
			mortal = append(mortal, r)
		} else {
			forever[r.key] = r.value
		}
	}
	var bulk *sdk.BulkError
	err := i.m.SetAll(ctx, forever)
	switch {
	case errors.As(err, &bulk):
		for key, e := range bulk.Errs {
			failed[lines[key]] = e
		}
	case err != nil:
		return badLine(batch[0].line, err)
	}
	var mu sync.Mutex // guards failed
	var writers sync.WaitGroup
	for w := range min(importWriters, len(mortal)) {
		writers.Go(func() { // ends with its part of the batch
			for at := w; at < len(mortal); at += importWriters {
				if err := i.m.Set(ctx, mortal[at].key, mortal[at].value, sdk.WithTTL(mortal[at].ttl)); err != nil {
					mu.Lock()
					failed[mortal[at].line] = err
					mu.Unlock()
				}
			}
		})
	}
	writers.Wait()
	if len(failed) == 0 {
		return nil
	}
	first := batch[len(batch)-1].line
	for line := range failed {
		first = min(first, line)
	}
	return badLine(first, failed[first])
}
