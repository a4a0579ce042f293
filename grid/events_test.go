package grid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// eventWait bounds how long a test waits for an event that must come.
const eventWait = 2 * time.Minute

// heard is what a listener heard.
type heard[K comparable, V any] struct {
	mu      sync.Mutex
	list    []sdk.Event[K, V]
	changed chan struct{} // closed by the next event
}

func newHeard[K comparable, V any]() *heard[K, V] {
	return &heard[K, V]{changed: make(chan struct{})}
}

func (h *heard[K, V]) add(e sdk.Event[K, V]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, e)
	close(h.changed)
	h.changed = make(chan struct{})
}

// all returns a listener that calls add for everything.
func (h *heard[K, V]) all() sdk.EntryListener[K, V] {
	return sdk.EntryListener[K, V]{Added: h.add, Updated: h.add, Removed: h.add, Expired: h.add, Evicted: h.add, Loaded: h.add,
		Cleared: h.add, Lost: h.add}
}

// snapshot returns what was heard until now, and a channel that the next event closes.
func (h *heard[K, V]) snapshot() ([]sdk.Event[K, V], <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.list), h.changed
}

// wait waits until done says that what was heard is enough, and returns it.
func (h *heard[K, V]) wait(t *testing.T, what string, done func([]sdk.Event[K, V]) bool) []sdk.Event[K, V] {
	t.Helper()
	timeout := time.NewTimer(eventWait)
	defer timeout.Stop()
	for {
		list, changed := h.snapshot()
		if done(list) {
			return list
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("%s: not heard in %v; heard %d events, the last %s", what, eventWait, len(list), tail(list))
		}
	}
}

// count waits for n events.
func (h *heard[K, V]) count(t *testing.T, n int) []sdk.Event[K, V] {
	t.Helper()
	return h.wait(t, fmt.Sprintf("%d events", n), func(list []sdk.Event[K, V]) bool { return len(list) >= n })
}

func tail[K comparable, V any](list []sdk.Event[K, V]) string {
	var b strings.Builder
	for _, e := range list[max(0, len(list)-5):] {
		fmt.Fprintf(&b, " %s(%.20v: %.20v -> %.20v)", e.Kind, e.Key, e.Old, e.New)
	}
	return b.String()
}

// openMap opens a map of the cluster's client.
func openMap[K comparable, V any](t *testing.T, c *sdk.Client, name string) *sdk.Map[K, V] {
	t.Helper()
	m, err := sdk.OpenMap[K, V](c, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// listen adds a listener to everything of a map, until the test ends.
func listen[K comparable, V any](t *testing.T, m *sdk.Map[K, V], opts ...sdk.ListenerOption) (*heard[K, V], *sdk.Subscription) {
	t.Helper()
	h := newHeard[K, V]()
	sub, err := m.AddEntryListener(t.Context(), h.all(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Close() })
	return h, sub
}

// must fails the test for an error of a call whose other results do not matter.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// anonymous returns events without what differs from run to run, after a check that it is there.
func anonymous[K comparable, V any](t *testing.T, list []sdk.Event[K, V]) []sdk.Event[K, V] {
	t.Helper()
	for i := range list {
		if list[i].Version == 0 || list[i].Time.IsZero() || list[i].Token == "" {
			t.Errorf("event %d lacks a version, a time or a token: %+v", i, list[i])
		}
		list[i].Version, list[i].Time, list[i].Token = 0, time.Time{}, ""
	}
	return list
}

// Every kind of change is heard with its key, old and new value, in order, and nothing from before the listener.
func TestEventKinds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 1)
	m := openMap[string, string](t, cl.Client(), "kinds")
	must(t, m.Set(ctx, "k", "before"))
	must(t, m.Clear(ctx))
	h, _ := listen(t, m)

	must(t, m.Set(ctx, "k", "one"), m.Set(ctx, "k", "two"))
	_, err := m.SetTTL(ctx, "k", time.Hour) // no event without WithExpiryChanges
	must(t, err)
	_, err = m.Delete(ctx, "k")
	must(t, err, m.Set(ctx, "k", "three", sdk.WithTTL(50*time.Millisecond)))
	h.count(t, 5) // the last is the expiry
	must(t, m.Set(ctx, "k", "four"))
	_, err = m.Evict(ctx, "k")
	must(t, err, m.Set(ctx, "k", "five"), m.Clear(ctx), m.Set(ctx, "k", "six"), m.Destroy(ctx), m.Set(ctx, "k", "seven"))
	want := []sdk.Event[string, string]{
		{Kind: sdk.EventAdded, Key: "k", New: "one"},
		{Kind: sdk.EventUpdated, Key: "k", Old: "one", New: "two"},
		{Kind: sdk.EventRemoved, Key: "k", Old: "two"},
		{Kind: sdk.EventAdded, Key: "k", New: "three"},
		{Kind: sdk.EventExpired, Key: "k", Old: "three"},
		{Kind: sdk.EventAdded, Key: "k", New: "four"},
		{Kind: sdk.EventEvicted, Key: "k", Old: "four"},
		{Kind: sdk.EventAdded, Key: "k", New: "five"},
		{Kind: sdk.EventCleared},
		{Kind: sdk.EventAdded, Key: "k", New: "six"},
		{Kind: sdk.EventCleared}, // Destroy; what follows is of another instance of the map
		{Kind: sdk.EventAdded, Key: "k", New: "seven"},
	}
	got := anonymous(t, h.count(t, len(want)))
	if !slices.Equal(got, want) {
		t.Fatalf("heard\n%+v\nwant\n%+v", got, want)
	}
}

func TestListenerOptions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 1)
	m := openMap[int64, string](t, cl.Client(), "options")
	one, _ := listen(t, m, sdk.OnKey(1)) // an int is the same key
	bare, _ := listen(t, m, sdk.WithoutValues())
	expiry, _ := listen(t, m, sdk.WithExpiryChanges())
	var added []int64
	addedCh := make(chan int64, 8)
	sub, err := m.AddEntryListener(ctx, sdk.EntryListener[int64, string]{Added: func(e sdk.Event[int64, string]) { addedCh <- e.Key }})
	must(t, err)
	defer sub.Close()

	must(t, m.Set(ctx, 1, "a"), m.Set(ctx, 2, "b"), m.Set(ctx, 1, "c"))
	_, err = m.SetTTL(ctx, 1, time.Hour)
	must(t, err)
	_, err = m.Delete(ctx, 1)
	must(t, err, m.Set(ctx, 3, "d"))

	for range 3 {
		added = append(added, <-addedCh)
	}
	if slices.Sort(added); !slices.Equal(added, []int64{1, 2, 3}) {
		t.Errorf("added: %v", added)
	}
	type event = sdk.Event[int64, string]
	if got := anonymous(t, one.count(t, 3)); !slices.Equal(got, []event{{Kind: sdk.EventAdded, Key: 1, New: "a"},
		{Kind: sdk.EventUpdated, Key: 1, Old: "a", New: "c"}, {Kind: sdk.EventRemoved, Key: 1, Old: "c"}}) {
		t.Errorf("on one key: %+v", got)
	}
	of := func(key int64, list []event) (out []event) {
		for _, e := range anonymous(t, list) {
			if e.Key == key {
				out = append(out, e)
			}
		}
		return out
	}
	if got := of(1, bare.count(t, 5)); !slices.Equal(got, []event{{Kind: sdk.EventAdded, Key: 1}, {Kind: sdk.EventUpdated, Key: 1},
		{Kind: sdk.EventRemoved, Key: 1}}) {
		t.Errorf("without values: %+v", got)
	}
	if got := of(1, expiry.count(t, 6)); !slices.Equal(got, []event{{Kind: sdk.EventAdded, Key: 1, New: "a"}, {Kind: sdk.EventUpdated, Key: 1, Old: "a", New: "c"},
		{Kind: sdk.EventUpdated, Key: 1, Old: "c", New: "c"}, {Kind: sdk.EventRemoved, Key: 1, Old: "c"}}) {
		t.Errorf("with expiry changes: %+v", got)
	}

	for _, opt := range []sdk.ListenerOption{nil, sdk.OnKey("text"), sdk.OnKey(nil), sdk.From(""), sdk.From("nonsense")} {
		if _, err := m.AddEntryListener(ctx, sdk.EntryListener[int64, string]{}, opt); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("a wrong option: %v", err)
		}
	}
}

// chains checks that the events of each key follow each other without gap or repetition: the values written to a key count
// from 1. Where a partition lost events, its keys may miss some. It returns how far each key has come.
func chains(t *testing.T, list []sdk.Event[string, int]) map[string]int {
	t.Helper()
	last := make(map[string]int)
	lost := false
	for i, e := range list {
		switch {
		case e.Kind == sdk.EventLost:
			lost = true
			continue
		case e.Old != e.New-1 || (e.Kind == sdk.EventAdded) != (e.New == 1):
			t.Fatalf("event %d makes no sense: %+v", i, e)
		case e.New <= last[e.Key]:
			t.Fatalf("event %d comes again, or out of order: %+v after %d", i, e, last[e.Key])
		case e.Old != last[e.Key] && !lost:
			t.Fatalf("before event %d others are missing: %+v after %d", i, e, last[e.Key])
		}
		last[e.Key] = e.New
	}
	return last
}

// write counts each of the keys up to n, several keys at a time, and calls at with how many writes are done.
func write(t *testing.T, m *sdk.Map[string, int], keys, n int, at func(done int)) {
	t.Helper()
	const writers = 4
	var done atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for v := 1; v <= n; v++ {
				for k := w; k < keys; k += writers {
					ctx, cancel := context.WithTimeout(t.Context(), callTime)
					err := m.Set(ctx, fmt.Sprint("k", k), v)
					cancel()
					if err != nil {
						t.Errorf("Set: %v", err)
						return
					}
					at(int(done.Add(1)))
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// complete reports whether the last event of all keys was heard.
func complete(keys, n int) func([]sdk.Event[string, int]) bool {
	return func(list []sdk.Event[string, int]) bool {
		finished := 0
		for _, e := range list {
			if e.New == n {
				finished++
			}
		}
		return finished >= keys
	}
}

func anyLost[K comparable, V any](list []sdk.Event[K, V]) bool {
	return slices.ContainsFunc(list, func(e sdk.Event[K, V]) bool { return e.Kind == sdk.EventLost })
}

// All listeners, of whatever client, hear the same for each key, in the order of the writes.
func TestEventOrder(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3)
	m := openMap[string, int](t, cl.Client(), "order")
	other, err := sdk.Connect(t.Context(), cl.Addrs())
	must(t, err)
	defer other.Close()
	var all []*heard[string, int]
	for _, c := range []*sdk.Client{cl.Client(), cl.Client(), other} {
		h, _ := listen(t, openMap[string, int](t, c, "order"))
		all = append(all, h)
	}
	const keys, n = 40, 25
	write(t, m, keys, n, func(int) {})
	for i, h := range all {
		list := h.wait(t, fmt.Sprint("everything by listener ", i), complete(keys, n))
		if anyLost(list) {
			t.Errorf("listener %d lost events of a cluster at peace", i)
		}
		if chains(t, list); len(list) != keys*n {
			t.Errorf("listener %d heard %d events, not %d", i, len(list), keys*n)
		}
	}
}

// The owner of a third of the keys dies while they are written: each event is heard once and in order.
func TestEventsSurviveOwner(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3)
	m := openMap[string, int](t, cl.Client(), "failover")
	h, _ := listen(t, m)
	const keys, n = 60, 30
	write(t, m, keys, n, func(done int) {
		if done == keys*n/3 {
			cl.Kill(0)
		}
	})
	list := h.wait(t, "everything", complete(keys, n))
	for key, last := range chains(t, list) {
		if last != n {
			t.Errorf("key %s was heard of up to %d", key, last)
		}
	}
	if !anyLost(list) && len(list) != keys*n {
		t.Errorf("heard %d events, not %d", len(list), keys*n)
	}
}

// Values that are too large for NATS are sent for.
func TestLargeEvents(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 3)
	m := openMap[string, []byte](t, cl.Client(), "large")
	h, _ := listen(t, m)
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 300<<10) }
	for i := range 4 {
		must(t, m.Set(ctx, "k", value(i)))
		e := h.count(t, i+1)[i]
		if !bytes.Equal(e.New, value(i)) || i > 0 && !bytes.Equal(e.Old, value(i-1)) {
			t.Fatalf("event %d has values of %d and %d bytes", i, len(e.Old), len(e.New))
		}
	}
}

// A listener that does not keep up is told what it lost, and hears everything that comes afterwards.
func TestSlowListener(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(2))
	m := openMap[string, []byte](t, cl.Client(), "slow")
	h := newHeard[string, []byte]()
	gate := make(chan struct{})
	l := h.all()
	l.Added = func(e sdk.Event[string, []byte]) {
		<-gate
		e.New = nil // what was read is not to be kept
		h.add(e)
	}
	sub, err := m.AddEntryListener(ctx, l)
	must(t, err)
	defer sub.Close()
	for i := range 100 { // more than may wait for a listener
		must(t, m.Set(ctx, fmt.Sprint("large", i), make([]byte, 200<<10)))
	}
	small := make(map[string][]byte) // more than members remember
	for i := range 4000 {
		small[fmt.Sprint("small", i)] = []byte{1}
	}
	must(t, m.SetAll(ctx, small))
	close(gate)
	must(t, m.Set(ctx, "last", []byte{7}))
	// Where the events came so slowly that all of them had room, nothing was lost.
	const all = 100 + 4000 + 1
	list := h.wait(t, "the last event", func(list []sdk.Event[string, []byte]) bool {
		last := func(e sdk.Event[string, []byte]) bool { return e.Key == "last" }
		return slices.ContainsFunc(list, last) && (anyLost(list) || len(list) == all)
	})
	seen := make(map[string]bool)
	for _, e := range list {
		if e.Kind == sdk.EventAdded && seen[e.Key] {
			t.Errorf("%s is heard twice", e.Key)
		}
		seen[e.Key] = true
	}
	if len(list) < 50 {
		t.Errorf("heard %d events only", len(list))
	}
}

// What happens while nobody listens is heard by who comes back with a token; where it is forgotten, that is said.
func TestResume(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 3)
	m := openMap[string, int](t, cl.Client(), "resume")
	h, sub := listen(t, m)
	const keys, n = 30, 6
	write(t, m, keys, n/2, func(int) {})
	list := h.wait(t, "the first half", complete(keys, n/2))
	must(t, sub.Close())
	cut := len(list) / 2 // what came after it is to be heard again
	token := list[cut-1].Token

	for k := range keys {
		for v := n/2 + 1; v <= n; v++ {
			must(t, m.Set(ctx, fmt.Sprint("k", k), v))
		}
	}
	other, err := sdk.Connect(ctx, cl.Addrs())
	must(t, err)
	defer other.Close()
	again, _ := listen(t, openMap[string, int](t, other, "resume"), sdk.From(token))
	rest := again.wait(t, "the second half", complete(keys, n))
	all := append(list[:cut:cut], rest...)
	if chains(t, all); anyLost(all) || len(all) != keys*n {
		t.Errorf("heard %d events, not %d; lost some: %v", len(all), keys*n, anyLost(all))
	}

	// More than a thousand events later nothing of it is left.
	one, _ := listen(t, m, sdk.OnKey("k0"))
	many := make(map[string]int)
	for i := range 40_000 {
		many[fmt.Sprint("other", i)] = 1
	}
	must(t, m.SetAll(ctx, many))
	must(t, m.Set(ctx, "k0", n+1))
	one.count(t, 1)
	late, _ := listen(t, m, sdk.From(token), sdk.OnKey("k0"))
	// On a busy machine the owner may be so late with its messages that some of what the ring has forgotten still comes.
	newest := func(e sdk.Event[string, int]) bool { return e.New == n+1 }
	list = late.wait(t, "what is lost", func(list []sdk.Event[string, int]) bool { return slices.ContainsFunc(list, newest) })
	if list[0].Kind != sdk.EventLost {
		t.Errorf("heard %s", tail(list))
	}
	// That listener's token does not say where the other partitions stood.
	if _, err := m.AddEntryListener(ctx, late.all(), sdk.From(list[len(list)-1].Token)); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a token of one key for all: %v", err)
	}
	elsewhere := openMap[string, int](t, cl.Client(), "elsewhere")
	if _, err := elsewhere.AddEntryListener(ctx, late.all(), sdk.From(token)); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a token of another map: %v", err)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), eventWait)
	defer cancel()
	cl := gridtest.New(t, 1)
	m := openMap[string, int](t, cl.Client(), "watch")
	// Nobody knows when a watch has begun but by what it hears.
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := m.Set(ctx, "k", i); err != nil {
				t.Errorf("Set: %v", err)
				return
			}
		}
	})
	defer writer.Wait()
	defer close(stop)
	last := 0
	for e, err := range m.Watch(ctx) {
		must(t, err)
		if last != 0 && e.New != last+1 {
			t.Fatalf("%d comes after %d", e.New, last)
		}
		if last = e.New; last%50 == 0 {
			break
		}
	}
	within, end := context.WithCancel(ctx)
	var ended error
	events := 0
	for e, err := range m.Watch(within) {
		if err != nil {
			if ended = err; e.Kind != "" {
				t.Errorf("an error comes with an event: %+v", e)
			}
			continue
		}
		if ended != nil {
			t.Error("an event comes after an error")
		}
		events++
		end()
	}
	if end(); !errors.Is(ended, context.Canceled) || events == 0 {
		t.Errorf("the watch ended after %d events with %v", events, ended)
	}
	for _, err := range m.Watch(ctx, nil) {
		if !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("a nil option: %v", err)
		}
	}
}

// Names that NATS would take for several words, or for wildcards, are names like others: who listens to such a map hears of it alone.
func TestEventsOfAnyName(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), eventWait)
	defer cancel()
	c := gridtest.New(t, 3).Client()
	var maps []*sdk.Map[string, string]
	for _, name := range []string{"a.b", "a", "*", ">", "a.>", "a.b *", "a.b x", "A.B *>", "a b", "b/c", "a%20b/c", "a.b *>", "a b/c"} {
		maps = append(maps, openMap[string, string](t, c, name))
	}
	// One key is in the same partition in all maps, so what is heard comes in the order of the writes.
	n := 0
	value := func(m *sdk.Map[string, string]) string { return fmt.Sprint(m.Name(), " ", n) }
	round := func() {
		n++
		for _, m := range maps {
			must(t, m.Set(ctx, "k", value(m)))
		}
	}

	for _, m := range maps[len(maps)-2:] {
		h, _ := listen(t, m)
		const rounds = 5
		var want, listened, watched []string
		next := func() {
			round()
			want = append(want, value(m))
		}
		next()
		token := h.count(t, 1)[0].Token
		next()
		for e, err := range m.Watch(ctx, sdk.From(token)) {
			must(t, err)
			if watched = append(watched, e.New); len(watched) == rounds-1 {
				break
			}
			next()
		}
		for _, e := range h.count(t, rounds) {
			listened = append(listened, e.New)
		}
		if !slices.Equal(listened, want) || !slices.Equal(watched, want[1:]) {
			t.Errorf("%q: written %q, listened to %q, watched %q", m.Name(), want, listened, watched)
		}
	}
}

// No callback begins after Close, whoever closes.
func TestSubscriptionClose(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 1)
	c, err := sdk.Connect(ctx, cl.Addrs())
	must(t, err)
	defer c.Close()
	m := openMap[string, int](t, c, "close")
	first, sub := listen(t, m)
	second, _ := listen(t, m)
	// One that closes itself, in its first callback.
	var self *sdk.Subscription
	made, called, calls := make(chan struct{}), make(chan struct{}, 10), atomic.Int32{}
	self, err = m.AddEntryListener(ctx, sdk.EntryListener[string, int]{Added: func(sdk.Event[string, int]) {
		<-made
		_ = self.Close()
		calls.Add(1)
		called <- struct{}{}
	}})
	must(t, err)
	close(made)

	must(t, m.Set(ctx, "a", 1), m.Set(ctx, "b", 1))
	first.count(t, 2)
	second.count(t, 2)
	select {
	case <-called:
	case <-ctx.Done():
	}
	must(t, sub.Close(), sub.Close())
	must(t, m.Set(ctx, "c", 1))
	second.count(t, 3)
	if list, _ := first.snapshot(); len(list) != 2 {
		t.Errorf("heard %d events, though it was closed after two", len(list))
	}
	must(t, c.Close())
	after := openMap[string, int](t, cl.Client(), "close")
	probe, _ := listen(t, after)
	must(t, after.Set(ctx, "d", 1))
	probe.count(t, 1)
	if list, _ := second.snapshot(); len(list) != 3 {
		t.Errorf("heard %d events, though the client was closed after three", len(list))
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("a listener that closed itself was called %d times", n)
	}
	if _, err := m.AddEntryListener(ctx, first.all()); !errors.Is(err, sdk.ErrClosed) {
		t.Errorf("a listener of a closed client: %v", err)
	}
}
