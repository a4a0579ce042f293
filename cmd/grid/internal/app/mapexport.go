package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/sdk"
)

func (p *Process) mapExport() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "export", usage: "write all entries to a file", args: "MAP FILE|-", least: 2, most: 2, quiet: true,
		details: "import reads the file. It has the time that each entry has left to live. While entries are written, it is of no single instant. An " +
			"existing file is replaced once the export is complete, and keeps its mode; a pipe or device is written to. --timeout bounds the " +
			"time to connect, and each page.",
		flags: []cli.Flag{formatFlag()},
		run: func(ctx context.Context, inv *invocation) error {
			format, err := inv.fileFormat()
			if err != nil {
				return err
			}
			return inv.exportTo(ctx, format, inv.args[1])
		},
	}, 0))
}

// exportTo writes all entries to the file that name stands for.
func (inv *invocation) exportTo(ctx context.Context, format, name string) error {
	if name == "-" {
		return inv.export(ctx, format, inv.Out)
	}
	return inv.interruptible(ctx, func(ctx context.Context) error {
		out, err := createFile(ctx, name)
		if err != nil {
			return err
		}

		// A pipe that nobody reads would hold the export up for ever.
		stop := out.until(ctx)
		defer stop()

		err = inv.export(ctx, format, out)
		if _, but := errors.AsType[*leftOut](err); err != nil && !but {
			// A file that is not complete must not take the place of the old one. A file that lacks only entries which no file can hold
			// counts as complete.
			out.abandon()
			return err
		}
		return cmp.Or(out.complete(), err)
	})
}

// export writes all entries to out.
func (inv *invocation) export(ctx context.Context, format string, out io.Writer) error {
	w, err := writerOf(format, out)
	if err != nil {
		return err
	}

	bar := inv.progress(0)
	defer bar.end()

	// What no file can hold does not end the export. It is told at the end.
	left := leftOuts{inv: inv}
	err = inv.longRunning(ctx, func(ctx context.Context, _ *sdk.Client, m *storedMap) error {
		var batch []storedKey
		for key, err := range m.Keys(ctx) {
			if err != nil {
				return err
			}
			if batch = append(batch, key); len(batch) == importBatch {
				// The last batch, which need not be full.
				if err := exportBatch(ctx, m, batch, w, &left); err != nil {
					return err
				}

				bar.stored(len(batch))
				batch = batch[:0]
			}
		}
		if err := exportBatch(ctx, m, batch, w, &left); err != nil {
			return err
		}
		bar.stored(len(batch))
		return w.end()
	})
	return cmp.Or(err, left.failure())
}

// leftOuts are the entries that an export goes on without. Each is named as it comes.
type leftOuts struct {
	inv *invocation
	n   int
}

func (l *leftOuts) add(key storedKey, err error) {
	l.n++
	l.inv.note(fmt.Sprintf("the entry %s is left out: %v", jsonNotation{}.key([]byte(key.encoded)), err))
}

// failure returns the failure of a file that is complete but for these entries.
func (l *leftOuts) failure() error {
	if l.n == 0 {
		return nil
	}
	return &leftOut{failf(exitOther, "entries that were left out: %d; all others are written", l.n)}
}

// exportBatch writes the entries of keys, those that are still there, in the order of keys. Looking at them is no use of them.
func exportBatch(ctx context.Context, m *storedMap, keys []storedKey, w recordWriter, left *leftOuts) error {
	views := make([]sdk.EntryView[storedKey, storedValue], len(keys))
	found := make([]bool, len(keys))
	errs := make([]error, importWriters)
	var readers sync.WaitGroup
	for n := range min(importWriters, len(keys)) {
		readers.Go(func() { // ends with its part of the batch
			for at := n; at < len(keys) && errs[n] == nil; at += importWriters {
				views[at], found[at], errs[n] = m.EntryView(ctx, keys[at])
			}
		})
	}

	readers.Wait()
	if at := slices.IndexFunc(errs, func(err error) bool { return err != nil }); at >= 0 {
		return errs[at]
	}

	for at, v := range views {
		// The entry has ended since its key was read.
		if !found[at] {
			continue
		}

		err := w.write(record{key: v.Key, value: v.Value, expiry: expiry{given: true, ttl: v.RemainingTTL, maxIdle: v.MaxIdle}})
		if out, ok := errors.AsType[*leftOut](err); ok {
			left.add(v.Key, out)
		} else if err != nil {
			return err
		}
	}
	return nil
}
