// Package standin makes a test binary stand in for the grid binary. Started again by a test, the binary is a real member process with the
// command line of "grid start". So tests and benchmarks of processes need no other program to be built, and what they measure is the code
// that they were built with.
package standin

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/grid"
)

// asked is the variable that turns the program into a member.
const asked = "GRIDIRON_STANDIN=1"

// Env is the environment in which the program is a member. Give it to proc.Config, together with os.Executable.
func Env() []string { return []string{asked} }

// Main runs a member and ends the process, if it was started as one; else it returns at once. Call it first in TestMain.
func Main() {
	name, value, _ := strings.Cut(asked, "=")
	if os.Getenv(name) != value {
		return
	}

	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	// The test's own main must not run in a process that is a member.
	os.Exit(0)
}

// gcPercent is the most that the grid binary sets, which is what it sets under load.
const gcPercent = 200

// leaveTimeout bounds how long a member may take to leave.
const leaveTimeout = 60 * time.Second

// run is the command "start" until a signal asks it to end.
func run(args []string) error {
	if len(args) == 0 || args[0] != "start" {
		return fmt.Errorf("want the command start, got %q", args)
	}

	level := new(slog.LevelVar)
	cfg := grid.Config{Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}

	flags := flag.NewFlagSet("start", flag.ContinueOnError)
	flags.StringVar(&cfg.Name, "name", "", "")
	flags.StringVar(&cfg.Listen, "listen", "", "")
	flags.StringVar(&cfg.DataDir, "data-dir", "", "")
	flags.Func("join", "", func(s string) error { cfg.Join = strings.Split(s, ","); return nil })
	flags.IntVar(&cfg.Expect, "expect", 0, "")
	flags.IntVar(&cfg.Partitions, "partitions", 0, "")
	flags.IntVar(&cfg.Replicas, "replicas", 0, "")
	flags.TextVar(level, "log-level", level, "")
	mediate := flags.String("mediate", "", "host whose ports the member listens on, behind a mediator of BeginSlow to EndSlow")
	profile := flags.String("cpu-profile", "", "directory for CPU profiles from BeginProfile to EndProfile")

	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected arguments %q", flags.Args())
	}

	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	if *profile != "" {
		defer newProfiler(*profile, cfg.Name).stop()
	}

	if *mediate != "" {
		front, _, _ := net.SplitHostPort(cfg.Listen)
		med, behind, err := newMediator(cfg.Listen, *mediate)
		if err != nil {
			return err
		}
		defer func() { _ = med.close() }()
		cfg.Listen, cfg.Advertise = behind, front
	}

	m, err := grid.Start(ctx, cfg)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}

	fmt.Println(m.Addr())
	<-ctx.Done()
	stop() // a second signal ends the process at once
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	return m.Close(ctx)
}
