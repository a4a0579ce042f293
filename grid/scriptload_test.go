package grid_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

const (
	loadWriters  = 6
	loadCounters = 8
	// loadPace is how long a writer waits before its next step: the load is there to notice failures, not to be one.
	loadPace = 4 * time.Millisecond
)

func parseLoad(a *args) action {
	if steps := a.count("steps", nobody); steps != nobody {
		return func(r *scriptRun) error { return r.loaded((*scriptLoad).await, steps) }
	}
	if d := a.duration("for", 0); d != 0 {
		return func(r *scriptRun) error { return r.loaded(func(l *scriptLoad, _ int) error { return l.goOn(d) }, 0) }
	}
	if len(a.words) == 0 {
		a.bad("no on, off, allow-errors, steps=N or for=T")
		return nil
	}
	switch what := a.word("command"); what {
	case "on":
		return func(r *scriptRun) error {
			if r.load != nil {
				return errors.New("it is on")
			}
			var err error
			r.load, err = newScriptLoad(r.t, r.cl.Addrs())
			return err
		}
	case "allow-errors":
		return func(r *scriptRun) error {
			return r.loaded(func(l *scriptLoad, _ int) error { l.lenient.Store(true); return nil }, 0)
		}
	case "off":
		within := a.duration("within", 0)
		return func(r *scriptRun) error {
			l := r.load
			r.load = nil
			if l == nil {
				return errors.New("there is none")
			}
			return l.end(within)
		}
	default:
		a.bad("load %q: want on, off or allow-errors", what)
		return nil
	}
}

// loaded does something with the load.
func (r *scriptRun) loaded(do func(l *scriptLoad, n int) error, n int) error {
	if r.load == nil {
		return errors.New("there is none")
	}
	return do(r.load, n)
}

// scriptLoad are writers in the background. Each step of a writer raises a counter that all share, by compare-and-set, sets a
// register of its own to the number of the step, and inserts an entry.
type scriptLoad struct {
	t       *testing.T
	client  *sdk.Client
	m       *sdk.Map[string, int]
	quit    chan struct{}
	wg      sync.WaitGroup
	lenient atomic.Bool // calls may fail
	steps   [loadWriters]atomic.Int64

	mu       sync.Mutex // guards the following
	failures []string
	failed   int
	longest  time.Duration // of all calls
	slowest  string        // which that was
	raised   [loadCounters]struct{ done, unknown int }
	set      [loadWriters]int          // what each register was acknowledged to be last
	maybe    [loadWriters]map[int]bool // what it may have become without an acknowledgement, at any time
	inserted [loadWriters][]int        // steps whose entry was acknowledged
}

// newScriptLoad starts the writers. Their client knows no other members than the cluster has now.
func newScriptLoad(t *testing.T, addrs []string) (*scriptLoad, error) {
	c, err := sdk.Connect(t.Context(), addrs, sdk.WithClientName("load"))
	if err != nil {
		return nil, err
	}
	l := &scriptLoad{t: t, client: c, quit: make(chan struct{})}
	if l.m, err = sdk.OpenMap[string, int](c, "load"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for w := range loadWriters {
		l.maybe[w] = make(map[int]bool)
		l.wg.Go(func() { l.write(w) })
	}
	return l, nil
}

// stop ends the writers and the client.
func (l *scriptLoad) stop() {
	close(l.quit)
	l.wg.Wait()
	_ = l.client.Close()
}

// write takes one step after the other until the load ends.
func (l *scriptLoad) write(w int) {
	pace := time.NewTicker(loadPace)
	defer pace.Stop()
	for i := 1; ; i++ {
		select {
		case <-pace.C:
		case <-l.quit:
			return
		}
		l.raise((w + i) % loadCounters)
		err := l.call(fmt.Sprintf("set register %d to %d", w, i), func(ctx context.Context) error { return l.m.Set(ctx, fmt.Sprint("register-", w), i) })
		inserted := l.call(fmt.Sprintf("insert %d-%d", w, i), func(ctx context.Context) error { return l.m.Set(ctx, fmt.Sprint("entry-", w, "-", i), i) })
		l.mu.Lock()
		if err == nil {
			l.set[w] = i
		} else if errors.Is(err, sdk.ErrUnknownOutcome) {
			l.maybe[w][i] = true
		}
		if inserted == nil {
			l.inserted[w] = append(l.inserted[w], i)
		}
		l.mu.Unlock()
		l.steps[w].Add(1)
	}
}

// call makes one call and takes note of how it went.
func (l *scriptLoad) call(what string, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	began := time.Now()
	err := do(ctx)
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	if took > l.longest {
		l.longest, l.slowest = took, what
	}
	if err != nil && !l.lenient.Load() {
		if l.failed++; len(l.failures) < 5 {
			l.failures = append(l.failures, fmt.Sprintf("%s: %v", what, err))
		}
	}
	return err
}

// raise adds one to a counter, unless another writer does first.
func (l *scriptLoad) raise(counter int) {
	key := fmt.Sprint("counter-", counter)
	var n int
	var found, did bool
	if l.call("get "+key, func(ctx context.Context) (err error) { n, found, err = l.m.Get(ctx, key); return err }) != nil {
		return
	}
	err := l.call("raise "+key, func(ctx context.Context) (err error) {
		if found {
			did, err = l.m.ReplaceIfSame(ctx, key, n, n+1)
			return err
		}
		_, existed, err := l.m.PutIfAbsent(ctx, key, 1)
		did = err == nil && !existed
		return err
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, sdk.ErrUnknownOutcome):
		l.raised[counter].unknown++
	case err == nil && did:
		l.raised[counter].done++
	}
}

// await waits until each writer has taken n more steps.
func (l *scriptLoad) await(n int) error {
	var want [loadWriters]int64
	for w := range want {
		want[w] = l.steps[w].Load() + int64(n)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	for w := range want {
		if !poll(ctx, func() bool { return l.steps[w].Load() >= want[w] }) {
			return fmt.Errorf("writer %d has not taken %d steps in %v", w, n, patience)
		}
	}
	return nil
}

// goOn lets the writers write for a time: as long as something that must not happen might take. Each takes a step after it.
func (l *scriptLoad) goOn(d time.Duration) error {
	select {
	case <-time.After(d):
	case <-l.t.Context().Done():
		return l.t.Context().Err()
	}
	return l.await(1)
}

// end ends the load and returns what was wrong: calls that failed, or on a quiet machine took longer than within if that is not 0, and
// writes that were acknowledged and are not there.
func (l *scriptLoad) end(within time.Duration) error {
	close(l.quit)
	l.wg.Wait()
	defer func() { _ = l.client.Close() }()
	steps := 0
	for w := range l.steps {
		steps += int(l.steps[w].Load())
	}
	l.t.Logf("the load took %d steps; the longest call, %s, %v", steps, l.slowest, l.longest.Round(time.Millisecond))
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if l.failed > 0 {
		bad("%d calls failed: %q", l.failed, l.failures)
	}
	if *quiet && within > 0 && l.longest > within {
		bad("%s took %v", l.slowest, l.longest.Round(time.Millisecond))
	}
	return errors.Join(append(errs, l.check())...)
}

// check compares what the writers were told with what is there.
func (l *scriptLoad) check() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for i, r := range l.raised {
		n, _, err := l.m.Get(ctx, fmt.Sprint("counter-", i))
		if err != nil {
			return err
		}
		if n < r.done || n > r.done+r.unknown {
			bad("counter %d is %d after %d raises that were acknowledged and %d of unknown outcome", i, n, r.done, r.unknown)
		}
	}
	for w, last := range l.set {
		n, _, err := l.m.Get(ctx, fmt.Sprint("register-", w))
		if err != nil {
			return err
		}
		if n != last && !l.maybe[w][n] {
			bad("register %d is %d, and was acknowledged to be %d", w, n, last)
		}
	}
	lost := 0
	for w, steps := range l.inserted {
		for from := 0; from < len(steps); from += bulk {
			part := steps[from:min(len(steps), from+bulk)]
			keys := make([]string, len(part))
			for k, i := range part {
				keys[k] = fmt.Sprint("entry-", w, "-", i)
			}
			got, err := l.m.GetAll(ctx, keys...)
			if err != nil {
				return err
			}
			for k, i := range part {
				if got[keys[k]] != i {
					lost++
				}
			}
		}
	}
	if lost > 0 {
		bad("%d entries that were acknowledged are not there", lost)
	}
	return errors.Join(errs...)
}
