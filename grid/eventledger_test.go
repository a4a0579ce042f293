package grid_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

// ledger checks what one listener is told, while it is told. The values of each key count from 1: each event comes once and in order, its
// Old is the New of the one before, and versions grow. Where events are missing, LOST has come since the key's last one.
type ledger[V any] struct {
	name  string
	count func(V) int // that is in a value

	mu      sync.Mutex // guards the following
	keys    map[string]ledgerKey
	events  int
	lost    int      // LOST so far
	omitted int      // events whose values were left out
	wrong   []string // the first
	changed chan struct{}
}

// ledgerKey is what a listener was told of a key.
type ledgerKey struct {
	count   int
	version uint64
	lost    int  // LOST by then
	unsure  bool // of count: events were lost before one whose values were left out
}

func newLedger[V any](name string, count func(V) int) *ledger[V] {
	return &ledger[V]{name: name, count: count, keys: make(map[string]ledgerKey), changed: make(chan struct{})}
}

func identity(n int) int { return n }

// add takes in an event.
func (l *ledger[V]) add(e sdk.Event[string, V]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	if e.Kind == sdk.EventLost {
		l.lost++
		return
	}

	l.events++
	k := l.keys[e.Key]
	missed := l.lost > k.lost
	at, before := l.count(e.New), l.count(e.Old)
	if e.Omitted {
		l.omitted++
		if before = at - 1; at == 0 { // New was left out too
			at, before = k.count+1, k.count
			k.unsure = k.unsure || missed
		}
	}

	switch {
	case e.Kind != sdk.EventAdded && e.Kind != sdk.EventUpdated:
		l.wrongLocked(e, k, "nothing but Sets was done")
	case e.Version <= k.version:
		l.wrongLocked(e, k, "it comes again, or out of order")
	case before != at-1 || (e.Kind == sdk.EventAdded) != (at == 1) && !k.unsure:
		l.wrongLocked(e, k, "its Old is not what was before its New")
	case before != k.count && !k.unsure && (!missed || before < k.count):
		l.wrongLocked(e, k, "others are missing before it, and no LOST has said so")
	}
	l.keys[e.Key] = ledgerKey{count: at, version: e.Version, lost: l.lost, unsure: k.unsure && l.count(e.New) == 0}
}

// wrongLocked notes a broken promise. REQUIRES l.mu.
func (l *ledger[V]) wrongLocked(e sdk.Event[string, V], k ledgerKey, what string) {
	if len(l.wrong) < 5 {
		l.wrong = append(l.wrong, fmt.Sprintf("%s %s, %d -> %d at version %d after %+v and %d LOST: %s", e.Kind, e.Key, l.count(e.Old),
			l.count(e.New), e.Version, k, l.lost, what))
	}
}

// listener returns a listener that keeps the ledger.
func (l *ledger[V]) listener() sdk.EntryListener[string, V] {
	return sdk.EntryListener[string, V]{Added: l.add, Updated: l.add, Removed: l.add, Expired: l.add, Evicted: l.add, Loaded: l.add,
		Cleared: l.add, Lost: l.add}
}

// missing returns one of the keys that were not heard of up to their last values; "" if there is none.
func (l *ledger[V]) missing(last map[string]int) (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range last {
		if k := l.keys[key]; k.count != n && !k.unsure {
			return fmt.Sprintf("%s is known up to %d of %d", key, k.count, n), l.changed
		}
	}
	return "", nil
}

// settle waits until the listener was told of the last values, and fails the test for each promise that was broken. lossless says that
// nothing had to be lost.
func (l *ledger[V]) settle(t *testing.T, last map[string]int, lossless bool) {
	t.Helper()
	late := time.NewTimer(eventWait)
	defer late.Stop()
	for {
		missing, changed := l.missing(last)
		if missing == "" {
			break
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("%s: %s", l.name, missing)
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	written := 0
	for _, n := range last {
		written += n
	}
	t.Logf("%s: %d events of %d, %d of them without values, and %d LOST", l.name, l.events, written, l.omitted, l.lost)
	for _, w := range l.wrong {
		t.Errorf("%s: %s", l.name, w)
	}
	if l.events > written || l.events < written && (l.lost == 0 || lossless) {
		t.Errorf("%s: %d events of %d, and %d LOST", l.name, l.events, written, l.lost)
	}
}

// eventLoad counts keys up until it is told to end.
type eventLoad struct {
	done atomic.Int64 // Sets
	end  chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex // guards the following
	last map[string]int
	err  error
}

// startEventLoad starts writers that share the keys. each is called after every Set with how many there were.
func startEventLoad(t *testing.T, m *sdk.Map[string, int], keys int, each func(done int)) *eventLoad {
	t.Helper()
	l := &eventLoad{end: make(chan struct{}), last: make(map[string]int)}
	const writers = 4
	for w := range writers {
		l.wg.Go(func() { // ends with stop, or with an error
			for n := 1; ; n++ {
				for k := w; k < keys; k += writers {
					select {
					case <-l.end:
						return
					default:
					}
					key := fmt.Sprint("k", k)
					ctx, cancel := context.WithTimeout(context.Background(), eventWait)
					err := m.Set(ctx, key, n)
					cancel()
					l.mu.Lock()
					if l.last[key] = n; err != nil {
						l.err = fmt.Errorf("set %s to %d: %w", key, n, err)
					}
					l.mu.Unlock()
					if err != nil {
						return
					}
					each(int(l.done.Add(1)))
				}
			}
		})
	}
	t.Cleanup(func() { _ = l.stop() })
	return l
}

// stop ends the load. It may be called again.
func (l *eventLoad) stop() error {
	l.mu.Lock()
	select {
	case <-l.end:
	default:
		close(l.end)
	}
	l.mu.Unlock()
	l.wg.Wait()
	return l.err
}

// wait waits for so many more Sets.
func (l *eventLoad) wait(t *testing.T, n int) {
	t.Helper()
	goal := l.done.Load() + int64(n)
	until(t, "the writers to go on", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.err != nil || l.done.Load() >= goal
	})
}

// The ledger notices what must not be.
func TestLedger(t *testing.T) {
	added := func(version uint64, n int) sdk.Event[string, int] {
		return sdk.Event[string, int]{Kind: sdk.EventAdded, Key: "k", New: n, Version: version}
	}
	updated := func(version uint64, n int) sdk.Event[string, int] {
		return sdk.Event[string, int]{Kind: sdk.EventUpdated, Key: "k", Old: n - 1, New: n, Version: version}
	}
	lost := sdk.Event[string, int]{Kind: sdk.EventLost}
	bare := sdk.Event[string, int]{Kind: sdk.EventUpdated, Key: "k", Version: 3, Omitted: true}
	for name, c := range map[string]struct {
		list []sdk.Event[string, int]
		ok   bool
	}{
		"in order":                       {[]sdk.Event[string, int]{added(1, 1), updated(2, 2), updated(3, 3)}, true},
		"a gap":                          {[]sdk.Event[string, int]{added(1, 1), updated(3, 3)}, false},
		"a gap that LOST covers":         {[]sdk.Event[string, int]{added(1, 1), lost, updated(3, 3)}, true},
		"a gap after one that LOST did":  {[]sdk.Event[string, int]{added(1, 1), lost, updated(3, 3), updated(5, 5)}, false},
		"LOST, and nothing was":          {[]sdk.Event[string, int]{added(1, 1), lost, updated(2, 2)}, true},
		"again":                          {[]sdk.Event[string, int]{added(1, 1), updated(2, 2), updated(2, 2)}, false},
		"again after LOST":               {[]sdk.Event[string, int]{added(1, 1), updated(2, 2), lost, updated(2, 2)}, false},
		"out of order":                   {[]sdk.Event[string, int]{added(1, 1), updated(3, 3), updated(2, 2)}, false},
		"not the first":                  {[]sdk.Event[string, int]{updated(2, 2)}, false},
		"another Old":                    {[]sdk.Event[string, int]{added(1, 1), {Kind: sdk.EventUpdated, Key: "k", Old: 3, New: 2, Version: 2}}, false},
		"without values":                 {[]sdk.Event[string, int]{added(1, 1), updated(2, 2), bare, updated(4, 4)}, true},
		"without values and one missing": {[]sdk.Event[string, int]{added(1, 1), bare, updated(4, 4)}, false},
		"without values after LOST":      {[]sdk.Event[string, int]{added(1, 1), lost, bare, updated(4, 4)}, true},
		"of another kind":                {[]sdk.Event[string, int]{added(1, 1), {Kind: sdk.EventRemoved, Key: "k", Old: 1, Version: 2}}, false},
	} {
		l := newLedger(name, identity)
		for _, e := range c.list {
			l.add(e)
		}
		if ok := len(l.wrong) == 0; ok != c.ok {
			t.Errorf("%s: %t %q", name, ok, l.wrong)
		}
	}
}
