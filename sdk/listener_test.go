package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// eventPatience bounds how long a test waits for what must come.
const eventPatience = 20 * time.Second

// hearing is a listener to added entries that hands them to a channel, and the subscription.
func hearing(t testing.TB, m *Map[string, int], opts ...ListenerOption) (<-chan Event[string, int], *Subscription) {
	t.Helper()
	ch := make(chan Event[string, int], 1000)
	sub, err := m.AddEntryListener(t.Context(), EntryListener[string, int]{Added: func(e Event[string, int]) { ch <- e },
		Lost: func(e Event[string, int]) { ch <- e }}, opts...)
	if err != nil {
		t.Fatalf("AddEntryListener: %v", err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return ch, sub
}

// hear waits for the next event and checks it.
func hear(t testing.TB, ch <-chan Event[string, int], key string, value int) Event[string, int] {
	t.Helper()
	select {
	case e := <-ch:
		if e.Key != key || e.New != value {
			t.Fatalf("heard %+v; want %s = %d", e, key, value)
		}
		return e
	case <-time.After(eventPatience):
		t.Fatalf("%s = %d is not heard", key, value)
	}
	panic("unreachable")
}

func TestListenerTellsMembers(t *testing.T) {
	g := newEventGrid(t, 3, 12, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	eventually(t, c, "connections to all", func() bool { return allLive(c, 3) })
	m := opened[string, int](t, c, "m")
	ch, sub := hearing(t, m)
	_, second := hearing(t, m, OnKey("a"))
	all := func(n int) func() bool {
		return func() bool {
			for _, k := range g.interest {
				if k != n {
					return false
				}
			}
			return true
		}
	}
	g.until("two listeners at all members", all(2))
	g.put("a", 1)
	g.publish()
	hear(t, ch, "a", 1)

	// A member forgets when the connection ends; it is told again.
	g.mu.Lock()
	g.interest[1] = 0
	g.mu.Unlock()
	g.Cut(1)
	g.until("two listeners at the member that had forgotten", func() bool { return g.interest[1] == 2 })

	noErr(t, sub.Close())
	g.until("one listener at all members", all(1))
	noErr(t, second.Close())
	g.until("no listener at any member", all(0))
	g.until("no subscription", func() bool {
		for s := range g.conns {
			if len(s.subs) > 0 {
				return false
			}
		}
		return true
	})
}

// A member that does not say where it stands, and one that is not reached, do not keep a listener from starting.
func TestListenerStartsWithoutMember(t *testing.T) {
	g := newEventGrid(t, 2, 8, "m")
	g.deaf = 0
	for i := range 20 {
		g.put(fmt.Sprint("before", i), 0)
	}
	c := connected(t, g.Grid, WithDialer(g.dial))
	ch, _ := hearing(t, opened[string, int](t, c, "m"))
	g.mu.Lock()
	asks := g.asks
	g.mu.Unlock()
	if asks < 4 {
		t.Errorf("%d owners were asked where they stand", asks)
	}
	for i := range 8 {
		g.put(fmt.Sprint("k", i), i)
		g.publish()
		hear(t, ch, fmt.Sprint("k", i), i) // and nothing from before
	}
}

// Without NATS, events are fetched from the owners; when it is back, they come from there.
func TestListenerWithoutNATS(t *testing.T) {
	g := newEventGrid(t, 2, 4, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	ch, _ := hearing(t, opened[string, int](t, c, "m"))
	g.until("a connection", func() bool { return len(g.conns) == 1 })
	g.setDown(true)
	g.until("no connection", func() bool { return len(g.conns) == 0 })
	for i := range 3 {
		g.put("k", i)
		hear(t, ch, "k", i)
	}
	g.setDown(false)
	g.until("a connection", func() bool {
		for s := range g.conns {
			return len(s.subs) == 2
		}
		return false
	})
	g.put("k", 3)
	g.publish()
	hear(t, ch, "k", 3)
}

// A message that is lost is noticed by the next one, and the last one by a watermark.
func TestListenerFindsGaps(t *testing.T) {
	g := newEventGrid(t, 1, 1, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	ch, _ := hearing(t, opened[string, int](t, c, "m"))
	g.put("k", 1)
	g.mu.Lock()
	g.rings[0].publish() // to nobody
	g.mu.Unlock()
	g.put("k", 2)
	g.publish()
	hear(t, ch, "k", 1)
	hear(t, ch, "k", 2)
	g.put("k", 3)
	g.watermark()
	hear(t, ch, "k", 3)
}

func TestListenerContext(t *testing.T) {
	g := newEventGrid(t, 1, 1, "m")
	g.setDown(true)
	c := connected(t, g.Grid, WithDialer(g.dial), WithTimeout(50*time.Millisecond))
	m := opened[string, int](t, c, "m")
	_, err := m.AddEntryListener(t.Context(), EntryListener[string, int]{})
	wantErr(t, err, ErrUnavailable)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = m.AddEntryListener(ctx, EntryListener[string, int]{})
	wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)
	for _, err := range m.Watch(ctx) {
		wantErr(t, err, context.DeadlineExceeded)
	}

	g.setDown(false)
	ctx, cancel = context.WithTimeout(t.Context(), eventPatience)
	ch := make(chan Event[string, int], 1)
	sub, err := m.AddEntryListener(ctx, EntryListener[string, int]{Added: func(e Event[string, int]) { ch <- e }})
	noErr(t, err)
	defer sub.Close()
	cancel() // the listener stays
	g.put("k", 1)
	g.publish()
	hear(t, ch, "k", 1)
}

// An event of other types is skipped, with one line in the log, and the next is heard.
func TestListenerSkipsOtherTypes(t *testing.T) {
	g := newEventGrid(t, 1, 1, "m")
	var mu sync.Mutex
	var log bytes.Buffer
	handler := slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	}), nil)
	c := connected(t, g.Grid, WithDialer(g.dial), WithLogger(slog.New(handler)))
	ch, _ := hearing(t, opened[string, int](t, c, "m"))
	g.put("k", "text")
	g.put("k", "another")
	g.put("k", 1)
	g.publish()
	hear(t, ch, "k", 1)
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "an event is skipped"); n != 1 {
		t.Errorf("%d lines about skipped events in the log:\n%s", n, log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// Every event comes with a token from which another listener goes on right after it.
func TestListenerTokens(t *testing.T) {
	g := newEventGrid(t, 2, 8, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	m := opened[string, int](t, c, "m")
	ch, sub := hearing(t, m)
	const n = 12
	var tokens []ResumeToken
	for i := range n {
		g.put(fmt.Sprint("k", i), i)
		g.publish()
		tokens = append(tokens, hear(t, ch, fmt.Sprint("k", i), i).Token)
	}
	noErr(t, sub.Close())
	for i, token := range tokens {
		again, sub := hearing(t, m, From(token))
		got := make(map[string]int)
		for len(got) < n-1-i {
			select {
			case e := <-again:
				got[e.Key] = e.New
			case <-time.After(eventPatience):
				t.Fatalf("after event %d only %v is heard", i, got)
			}
		}
		noErr(t, sub.Close())
		for j := i + 1; j < n; j++ {
			if v, ok := got[fmt.Sprint("k", j)]; !ok || v != j {
				t.Errorf("after event %d: k%d is %d", i, j, v)
			}
		}
	}

	// What the ring has forgotten is lost, once for the partition, and what it has not is heard.
	g.mu.Lock()
	lossy := 0
	for _, r := range g.rings {
		if len(r.history) > 1 {
			r.gone = len(r.history)
			lossy++
		}
	}
	g.mu.Unlock()
	late, _ := hearing(t, m, From(tokens[0]))
	for lost := 0; lost < lossy; {
		select {
		case e := <-late:
			if e.Kind == EventLost {
				lost++
			}
			if e.Token == "" {
				t.Errorf("without a token: %+v", e)
			}
		case <-time.After(eventPatience):
			t.Fatalf("%d losses are heard, not %d", lost, lossy)
		}
	}
}

func TestListenerClosedWithClient(t *testing.T) {
	var calls atomic.Int32
	t.Cleanup(func() { // when the rest of the test has been cleaned up
		if goleak.VerifyNone(t); calls.Load() != 1 {
			t.Errorf("%d callbacks, though the client was closed in the first", calls.Load())
		}
	})
	g := newEventGrid(t, 2, 4, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	m := opened[string, int](t, c, "m")
	step := make(chan struct{})
	_, err := m.AddEntryListener(t.Context(), EntryListener[string, int]{Added: func(Event[string, int]) {
		calls.Add(1)
		<-step
	}})
	noErr(t, err)
	watched := make(chan error, 1)
	go func() {
		for _, err := range m.Watch(context.Background()) {
			if err != nil {
				watched <- err
			}
		}
	}()
	for i := range 500 {
		g.put(fmt.Sprint("k", i), i)
	}
	g.publish()
	for calls.Load() == 0 {
		runtime.Gosched()
	}
	noErr(t, c.Close())
	close(step)
	wantErr(t, <-watched, ErrClosed)
	_, err = m.AddEntryListener(t.Context(), EntryListener[string, int]{})
	wantErr(t, err, ErrClosed)
}

func TestListenerRefusesOptions(t *testing.T) {
	g := newEventGrid(t, 1, 4, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	m := opened[string, int](t, c, "m")
	for name, opts := range map[string][]ListenerOption{
		"nil": {nil}, "another type": {OnKey(1)}, "nil key": {OnKey(nil)}, "twice": {OnKey("a"), OnKey("b")},
		"no token": {From("")}, "no such token": {From("AAAA")},
	} {
		if _, err := m.AddEntryListener(t.Context(), EntryListener[string, int]{}, opts...); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := m.AddEntryListener(t.Context(), EntryListener[string, int]{}, OnKey(strings.Repeat("x", wire.MaxKey)))
	wantErr(t, err, ErrTooLarge)
}

// An event whose values the owner no longer had says so.
func TestListenerTellsOmittedValues(t *testing.T) {
	g := newEventGrid(t, 1, 4, "m")
	m := opened[string, int](t, connected(t, g.Grid, WithDialer(g.dial)), "m")
	d := eventDecoder[string, int]{m: m}
	for _, omitted := range []bool{false, true} {
		var e queuedEvent
		e.Kind, e.Key = wire.EventUpdated, []byte{0xa1, 'k'}
		if omitted {
			e.Flags = wire.EventOmitted
		}
		if got, ok := d.decode(&e, ""); !ok || got.Key != "k" || got.Omitted != omitted {
			t.Errorf("omitted %v: %+v, %v", omitted, got, ok)
		}
	}
}
