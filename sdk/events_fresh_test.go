package sdk

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/nearcache"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// wantFresh checks up to which cluster time nothing is missing.
func wantFresh(t *testing.T, tr *tracker, asOf int64) {
	t.Helper()
	if tr.fresh != asOf {
		t.Fatalf("fresh as of %d; want %d", tr.fresh, asOf)
	}
}

func TestTrackerFreshness(t *testing.T) {
	tr, s := started(at(1))
	wantFresh(t, tr, 0)

	// A watermark counts when everything up to it is there.
	stand := stands(2, 2)
	tr.watermark(0, &stand, 100)
	wantFresh(t, tr, 0)
	b := batchOf(ev(2))
	b.AsOf = 90
	tr.batch(ms, b)
	wantFresh(t, tr, 100)

	// So does a message.
	b = batchOf(ev(4))
	b.AsOf = 200
	tr.batch(2*ms, b)
	wantFresh(t, tr, 100)
	b = batchOf(ev(3))
	b.AsOf = 190
	tr.batch(3*ms, b)
	wantFresh(t, tr, 200)

	// A deposed owner, and one that does not vouch, say nothing.
	stand = stands(4, 4)
	tr.watermark(4*ms, &stand, 0)
	stand.Epoch--
	tr.watermark(5*ms, &stand, 300)
	wantFresh(t, tr, 200)

	// The owner's answer counts when all of it has come and was taken.
	tr.suspect(6*ms, 0)
	tr.ask(6 * ms)
	page := answerOf(6, ev(5))
	page.AsOf, page.More = 400, true
	tr.answered(7*ms, page)
	wantFresh(t, tr, 200)
	s.room = 0
	tr.ask(8 * ms)
	rest := answerOf(6, ev(6))
	rest.AsOf = 410
	tr.answered(9*ms, rest)
	wantFresh(t, tr, 200)
	s.room = 10
	tr.unblock(10 * ms)
	tr.ask(10 * ms)
	tr.answered(11*ms, rest)
	wantFresh(t, tr, 410)

	// What was true of a generation need not be true of the next one.
	next := wire.Position{Partition: 3, Epoch: epochOf(2, 1), Pos: 6, Quiet: 6}
	tr.watermark(12*ms, &next, 500)
	wantFresh(t, tr, 0)
	tr.ask(12 * ms)
	tr.answered(13*ms, &wire.EventsResult{Last: next, AsOf: 490})
	wantFresh(t, tr, 500)
}

// A partition is written, and read at its owner, more often than events take on their way. So there is always an event that was heard of and
// has not come. The tracker still is as fresh as what has come.
func TestTrackerFreshnessWhileEventsAreOnTheirWay(t *testing.T) {
	tr, _ := started(at(0))
	const late = 5 // milliseconds
	for now := int64(1); now <= 100; now++ {
		stand := stands(uint64(now), uint64(now))
		tr.watermark(now*ms, &stand, 1000+now) // as a read tells
		if now > late {
			b := batchOf(ev(uint64(now - late)))
			b.AsOf = 1000 + now - late
			tr.batch(now*ms, b)
		}
		if old := 1000 + now - tr.fresh; now > 2*late+1 && old > 2*late {
			t.Fatalf("after %d ms fresh as of %d ms ago", now, old)
		}
	}
}

// Somebody relies on the freshness, so the owner is asked before that is too old, and again a second later.
func TestTrackerAsksForFreshness(t *testing.T) {
	tr, _ := started(at(1))
	tr.cluster = func(now int64) int64 { return now/ms + 1000 }
	stand := stands(1, 1)
	for i := range int64(5) { // as long as watermarks come, nobody is asked
		now := i * 1000 * ms
		tr.watermark(now, &stand, tr.cluster(now)-100)
		if want := now - 100*ms + int64(staleAfter); tr.next() != want {
			t.Fatalf("the owner is asked at %v; want %v", tr.next(), want)
		}
	}

	at := tr.next()
	tr.ask(at)
	tr.answered(at+10*ms, nil)
	if tr.next() != at+int64(askEvery) {
		t.Fatalf("the owner is asked again after %v", time.Duration(tr.next()-at))
	}
	// Watermarks that do not vouch are heard, and are no reason not to ask.
	tr.watermark(at+20*ms, &stand, 0)
	if tr.next() != at+int64(askEvery) {
		t.Fatalf("the owner is asked again after %v", time.Duration(tr.next()-at))
	}

	at = tr.next()
	tr.ask(at)
	res := answerOf(1)
	res.AsOf = tr.cluster(at)
	tr.answered(at+10*ms, res)
	if tr.next() != at+int64(staleAfter) {
		t.Fatalf("after an answer the owner is asked after %v", time.Duration(tr.next()-at))
	}
}

func TestTrackerKnowsSinceWhenItIsBroken(t *testing.T) {
	tr, _ := started(at(1))
	since := func(now, want int64) {
		t.Helper()
		if got := tr.brokenSince(now); got != want {
			t.Fatalf("at %v broken since %v; want %v", time.Duration(now), time.Duration(got), time.Duration(want))
		}
	}
	tr.batch(10*ms, batchOf(ev(3)))
	since(20*ms, 0) // what is missing may still come
	since(60*ms, 10*ms)
	tr.ask(60 * ms)
	since(70*ms, 10*ms)
	tr.answered(80*ms, answerOf(3, ev(2), ev(3)))
	since(80*ms, 0)
	if tr.wholeAt != 80*ms {
		t.Fatalf("whole again at %v", time.Duration(tr.wholeAt))
	}

	// Gaps that close by themselves are none.
	tr.batch(200*ms, batchOf(ev(5)))
	tr.batch(201*ms, batchOf(ev(4)))
	if since(300*ms, 0); tr.wholeAt != 80*ms {
		t.Fatalf("whole again at %v", time.Duration(tr.wholeAt))
	}
	since(201*ms+int64(quiet), 201*ms) // nothing is heard
}

// poll waits until cond holds, looking again and again.
func poll(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(eventPatience)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %v: %s", eventPatience, what)
		}
	}
}

// A near cache has events delivered as they come, and knows how fresh each partition is: by NATS, or by asking owners.
func TestStreamDelivers(t *testing.T) {
	const partitions = 4
	g := newEventGrid(t, 2, partitions, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	var mu sync.Mutex
	var got []uint64 // positions in partition 0
	s := c.newEventStream("test", "m", streamConfig{kinds: allKinds, partition: -1, deliver: func(partition uint32, e *wire.Event) {
		mu.Lock()
		defer mu.Unlock()
		if partition == 0 {
			got = append(got, e.Pos)
		}
	}})
	noErr(t, s.start(t.Context()))
	allFresh := func() bool {
		least := c.clock.latest(c.clock.now()) - nearcache.FreshFor.Milliseconds()
		for i := range partitions {
			if f := s.freshness(i); s.vouched(i, c.table.Load()) < least || !f.whole || f.asOf == 0 {
				return false
			}
		}
		return true
	}
	poll(t, "all partitions are fresh by a watermark", func() bool {
		g.watermark()
		return allFresh()
	})

	// Without NATS the owners are asked.
	g.setDown(true)
	before := g.Now()
	poll(t, "all partitions are fresh by asking", func() bool {
		for i := range partitions {
			if s.freshness(i).asOf < before {
				return false
			}
		}
		return allFresh()
	})

	n := 0
	for i := 0; n < 5; i++ {
		key := fmt.Sprint("k", i)
		if g.partitionOf(key) == 0 {
			g.put(key, i)
			n++
		}
	}
	poll(t, "five events", func() bool { return s.freshness(0).at.pos == 5 })
	mu.Lock()
	if fmt.Sprint(got) != "[1 2 3 4 5]" {
		t.Errorf("delivered: %v", got)
	}
	mu.Unlock()

	s.close(ErrClosed)
	if s.vouched(0, c.table.Load()) != 0 {
		t.Error("a closed stream is fresh")
	}
}

// wantState waits until a subscription is in a state, and checks since when.
func wantState(t *testing.T, sub *Subscription, want SubscriptionState, from time.Time) {
	t.Helper()
	poll(t, "the subscription is "+string(want), func() bool {
		state, _ := sub.State()
		return state == want
	})
	if _, since := sub.State(); since.Before(from.Add(-time.Millisecond)) || since.After(time.Now()) {
		t.Errorf("%s since %v, which is %v from %v", want, since, since.Sub(from), from)
	}
}

func TestSubscriptionState(t *testing.T) {
	g := newEventGrid(t, 1, 1, "m")
	c := connected(t, g.Grid, WithDialer(g.dial))
	m := opened[string, int](t, c, "m")
	begin := time.Now()
	inLost, goOn := make(chan struct{}), make(chan struct{})
	added := make(chan int, 10)
	sub, err := m.AddEntryListener(t.Context(), EntryListener[string, int]{Added: func(e Event[string, int]) { added <- e.New }, Lost: func(Event[string, int]) {
		close(inLost)
		<-goOn
	}})
	noErr(t, err)
	if state, since := sub.State(); state != SubscriptionLive || since.Before(begin.Add(-time.Millisecond)) {
		t.Errorf("a new subscription is %s since %v before its start", state, begin.Sub(since))
	}

	down := time.Now()
	g.setDown(true)
	wantState(t, sub, SubscriptionRepairing, down)
	up := time.Now()
	g.setDown(false)
	poll(t, "live again", func() bool {
		g.watermark()
		state, _ := sub.State()
		return state == SubscriptionLive
	})
	wantState(t, sub, SubscriptionLive, up)

	// The ring forgets what was not published.
	gap := time.Now()
	g.put("k", 1)
	g.put("k", 2)
	g.mu.Lock()
	g.rings[0].publish()
	g.rings[0].gone = 1
	g.mu.Unlock()
	g.watermark()
	<-inLost
	wantState(t, sub, SubscriptionLost, gap)
	told := time.Now()
	close(goOn)
	wantState(t, sub, SubscriptionLive, told)
	if v := <-added; v != 2 {
		t.Errorf("after the loss %d is heard", v)
	}

	closed := time.Now()
	noErr(t, sub.Close())
	wantState(t, sub, SubscriptionClosed, closed)
	noErr(t, sub.Close())
	wantState(t, sub, SubscriptionClosed, closed)
}
