package grid_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// mistake is a bug of who publishes events, planted into what a client is told: a message is lost, and what comes afterwards says that nothing
// is missing. Watermarks say so, or else the next event does, and no watermark comes before it.
type mistake struct {
	watermarks bool

	mu    sync.Mutex // guards the following
	due   bool       // a message is to be lost
	lost  *wire.EventBatch
	wrong chan struct{} // closed when what is wrong has been said
	heard chan struct{} // closed by the next watermark
}

// plant has the next message of events lost. The channel is closed when what is wrong has been said.
func (b *mistake) plant() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due, b.lost, b.wrong = true, nil, make(chan struct{})
	return b.wrong
}

// watermark returns a channel that the next watermark closes.
func (b *mistake) watermark() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard == nil {
		b.heard = make(chan struct{})
	}
	return b.heard
}

// edit is for lossyNATS.
func (b *mistake) edit(subject string, data []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.HasPrefix(subject, "grid.beat.") {
		if b.heard != nil {
			close(b.heard)
			b.heard = nil
		}
		w, err := wire.DecodeWatermark(data)
		switch {
		case err != nil || b.lost == nil:
			return data
		case !b.watermarks:
			return nil
		}
		for i := range w.Positions {
			w.Positions[i].Quiet = b.lost.Events[0].Since
		}
		b.sayLocked()
		return wire.AppendWatermark(nil, &w)
	}

	batch, err := wire.DecodeEventBatch(data)
	switch {
	case err != nil:
	case b.due:
		b.due, b.lost = false, &batch
		return nil
	case b.lost != nil && !b.watermarks:
		batch.Events[0].Since = b.lost.Events[0].Since
		b.sayLocked()
		return wire.AppendEventBatch(nil, &batch)
	}
	return data
}

// sayLocked notes that what is wrong is said now, and is not said again. REQUIRES b.mu.
func (b *mistake) sayLocked() {
	b.lost = nil
	close(b.wrong)
}

// reach waits until a listener was told of a count of a key, and reports whether it has noticed anything wrong.
func (l *ledger[V]) reach(t *testing.T, key string, count int) (noticed bool) {
	t.Helper()
	until(t, l.name, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		noticed = len(l.wrong) > 0
		return l.keys[key].count >= count
	})
	return noticed
}

// The check of what listeners hear notices bugs that are planted into real members' messages: so each of these rules is needed, and checked.
func TestPlantedEventBugsAreNoticed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(1))
	for _, bug := range []*mistake{{}, {watermarks: true}} {
		name := "a gap that is swallowed"
		if bug.watermarks {
			name = "a watermark that vouches for what was not seen"
		}
		lossy := &lossyNATS{edit: bug.edit}
		c, err := sdk.Connect(ctx, cl.Addrs(), sdk.WithDialer(lossy.dial))
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		m := openMap[string, int](t, c, name)
		l := newLedger(name, identity)
		sub, err := m.AddEntryListener(ctx, l.listener())
		must(t, err)
		t.Cleanup(func() { _ = sub.Close() })

		must(t, m.Set(ctx, "k", 1))
		if l.reach(t, "k", 1) {
			t.Fatalf("%s is noticed before it is there: %q", name, l.wrong)
		}
		<-bug.watermark() // a new listener asks the members a few times where they stand
		noticed := false
		for n := 2; !noticed; n += 2 { // again, where the listener has asked in between, as it does in long silence
			if n > 40 {
				t.Fatalf("%s: not noticed", name)
			}
			said := bug.plant()
			must(t, m.Set(ctx, "k", n))
			if bug.watermarks {
				<-said
			}
			must(t, m.Set(ctx, "k", n+1))
			noticed = l.reach(t, "k", n+1)
		}
	}

	// A listener that goes on from the present, and not from its place.
	m := openMap[string, int](t, cl.Client(), "present")
	l := newLedger("going on from the present", identity)
	for n := 1; n <= 3; n += 2 {
		sub, err := m.AddEntryListener(ctx, l.listener())
		must(t, err)
		must(t, m.Set(ctx, "k", n))
		if noticed := l.reach(t, "k", n); noticed != (n > 1) {
			t.Errorf("going on from the present is noticed after %d: %t", n, noticed)
		}
		must(t, sub.Close(), m.Set(ctx, "k", n+1))
	}
}
