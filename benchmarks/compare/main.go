package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/compare/peers"
)

var selfPID = os.Getpid()

func main() {
	if len(os.Args) > 1 && os.Args[1] == peers.OlricCommand {
		exit(peers.OlricMember(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(compare(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// exit ends the program: with 1 for an error, unless that is a question for help.
func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// compare is the program: it measures, and writes the report to out and progress to progress.
func compare(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	cfg, err := parseFlags(args, progress)
	if err != nil {
		return err
	}

	begin := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(progress, "%6.1f s  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}

	dir, err := os.MkdirTemp("", "gridiron-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	site := &peers.Site{Dir: dir, Bin: cfg.Bin, Heap: cfg.Heap, Grid: cfg.Grid}
	if site.Self, err = os.Executable(); err != nil {
		return err
	}
	if site.Grid == "" {
		say("build grid")
		if site.Grid, err = build(ctx, dir); err != nil {
			return err
		}
	}

	result, err := run(ctx, &cfg, site, say)
	result.Command = args
	say("done")
	return errors.Join(err, report(result, cfg.Out, out))
}

// build builds the binary of this checkout, by the root's own go.mod.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "grid")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/grid")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build grid in %s (run compare in its folder, or give -grid): %w: %s", cmd.Dir, err, out)
	}
	return binary, nil
}

// report prints the report, or writes it with the result and the plots into a folder. What was not measured has no plot.
func report(r *Result, dir string, out io.Writer) error {
	if dir == "" {
		return r.WriteMarkdown(out, nil)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}

	plots := r.plots()
	var errs []error
	write := func(name string, do func(io.Writer) error) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			errs = append(errs, err)
			return
		}
		errs = append(errs, do(f), f.Close())
	}

	for _, p := range plots {
		write(p.file, p.figure.WriteSVG)
	}
	write("results.json", r.WriteJSON)
	write("results.md", func(w io.Writer) error { return r.WriteMarkdown(w, plots) })
	errs = append(errs, r.WriteMarkdown(out, nil))
	return errors.Join(errs...)
}
