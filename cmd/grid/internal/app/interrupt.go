package app

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// untilInterrupted returns a context that ends with ctx, or with the cause errInterrupted at the first SIGINT or SIGTERM. At
// the second, atOnce is called if it is not nil, and the process exits. stop gives back the signals; it must be called.
//
// The goroutine that waits for the signals ends with stop.
func (p *Process) untilInterrupted(ctx context.Context, atOnce func()) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})

	// Two slots in the channel keep both signals, also while this goroutine does not run.
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
			}
			// The first signal lets the command end in good order.
			if n == 0 {
				cancel(errInterrupted)
				continue
			}

			if atOnce != nil {
				atOnce()
			}
			p.Exit(exitInterrupted)
		}
	}()

	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
