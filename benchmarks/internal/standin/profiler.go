package standin

import (
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"
)

// Signals that begin and end a CPU profile of a member, if it was started with the flag cpu-profile. So a benchmark can leave out start
// and warm-up. A profile that begins writes over the one before.
const (
	BeginProfile = syscall.SIGUSR1
	EndProfile   = syscall.SIGUSR2
)

// profiler writes CPU profiles as it is told by signals.
type profiler struct {
	path    string
	file    *os.File // nil: no profile is under way
	signals chan os.Signal
	done    chan struct{}
}

// newProfiler starts a goroutine that ends with stop. The profile is NAME.pprof in dir.
func newProfiler(dir, name string) *profiler {
	p := &profiler{path: filepath.Join(dir, name+".pprof"), signals: make(chan os.Signal, 2), done: make(chan struct{})}
	signal.Notify(p.signals, BeginProfile, EndProfile)
	go p.run()
	return p
}

func (p *profiler) run() {
	defer close(p.done)
	for s := range p.signals {
		// A second begin replaces the first profile, and an end without a begin does nothing.
		p.end()
		if s == BeginProfile {
			p.begin()
		}
	}
	p.end()
}

func (p *profiler) begin() {
	f, err := os.Create(p.path)
	if err != nil {
		slog.Error("no CPU profile", "err", err)
		return
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		slog.Error("no CPU profile", "err", err)
		_ = f.Close()
		return
	}

	p.file = f
}

func (p *profiler) end() {
	if p.file == nil {
		return
	}
	pprof.StopCPUProfile()
	if err := p.file.Close(); err != nil {
		slog.Error("the CPU profile is not complete", "err", err)
	}
	p.file = nil
}

// stop ends a profile under way.
func (p *profiler) stop() {
	signal.Stop(p.signals)
	close(p.signals)
	// The profile is complete only when the goroutine has ended.
	<-p.done
}
