package app

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/sdk"
)

func (p *Process) mapExport() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "export", usage: "write all entries to a file", args: "MAP FILE|-", least: 2, most: 2, quiet: true,
		details: "The file is what import reads, with the time that each entry has left to live. It is of no one instant while entries are written. " +
			"A file that exists is replaced when the export is complete, and keeps its mode; a pipe or a device is written to. --timeout bounds how long it takes to connect, and each page.",
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
		stop := out.until(ctx)
		defer stop()
		if err := inv.export(ctx, format, out); err != nil {
			out.abandon()
			return err
		}
		return out.complete()
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
	return inv.longRunning(ctx, func(ctx context.Context, m *sdk.Map[any, any]) error {
		var batch []any
		for key, err := range m.Keys(ctx) {
			if err != nil {
				return err
			}
			if batch = append(batch, key); len(batch) == importBatch {
				if err := exportBatch(ctx, m, batch, w); err != nil {
					return err
				}
				bar.stored(len(batch))
				batch = batch[:0]
			}
		}
		if err := exportBatch(ctx, m, batch, w); err != nil {
			return err
		}
		bar.stored(len(batch))
		return w.end()
	})
}

// exportBatch writes the entries of keys, those that are still there, in the order of keys. Looking at them is no use of them.
func exportBatch(ctx context.Context, m *sdk.Map[any, any], keys []any, w recordWriter) error {
	views := make([]sdk.EntryView[any, any], len(keys))
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
		if !found[at] {
			continue
		}
		r := record{key: v.Key, value: v.Value}
		if v.TTL > 0 && !v.Expires.IsZero() {
			r.ttl = v.Remaining
		}
		if err := w.write(r); err != nil {
			return err
		}
	}
	return nil
}

func writerOf(format string, out io.Writer) (recordWriter, error) {
	if format == "csv" {
		return newCSVWriter(out)
	}
	return newJSONWriter(out), nil
}
