package events

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ownedPartition is one partition that this process owns, and of which it must not tell before a time.
type ownedPartition struct {
	st     *state.State
	epoch  uint64
	before time.Time
	taken  func() // called when the state was looked at

	published int // events

	silent   bool     // the partition cannot show that it is owned here
	vouching []func() // if not nil: what Vouch leaves to be done later
	majority []bool   // what Vouch was asked for
}

func (o *ownedPartition) Majority(name string) bool { return name == "quorum" }

func (o *ownedPartition) Vouch(_ int, majority bool, f func(*state.State, uint64, int64), done func(bool)) {
	o.majority = append(o.majority, majority)
	vouch := func() {
		if !o.silent {
			f(o.st, o.epoch, 0)
		}
		done(!o.silent)
	}
	if o.vouching != nil {
		o.vouching = append(o.vouching, vouch)
		return
	}
	vouch()
}

func (o *ownedPartition) Serving(int) uint64          { return o.epoch }
func (o *ownedPartition) AnswersIn(int) time.Duration { return max(0, time.Until(o.before)) }
func (o *ownedPartition) SetPublished(int, uint64)    {}
func (o *ownedPartition) Published(_ string, n int)   { o.published += n }
func (o *ownedPartition) Inspect(_ int, f func(*state.State)) bool {
	f(o.st)
	if o.taken != nil {
		o.taken()
	}
	return true
}

func (o *ownedPartition) write(key string) {
	o.st.Apply(&entry.Op{Code: wire.OpSet, Body: wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("m"), Key: []byte(key), Value: []byte("v")})})
}

// publisherOf returns a publisher of one partition whose goroutine is the test, and what a subscriber hears.
func publisherOf(t *testing.T, o *ownedPartition) (*Publisher, func() *nats.Msg) {
	t.Helper()
	return publisherFor(t, o, 1, wire.EventSubject("m"))
}

// publisherFor does so for some partitions and another subject.
func publisherFor(t testing.TB, o *ownedPartition, partitions int, subject string) (*Publisher, func() *nats.Msg) {
	t.Helper()
	e, err := Open(Config{Self: wire.ID{1}, Incarnation: wire.ID{2}, Cluster: wire.ID{9}, RouteHost: "127.0.0.1", Now: func() int64 { return 5000 }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	subscriber, err := nats.Connect("", nats.InProcessServer(e.server.srv), nats.UserInfo(subscriberUser, wire.EventsUser))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(subscriber.Close)
	sub, err := subscriber.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := subscriber.Flush(); err != nil {
		t.Fatal(err)
	}
	p := e.NewPublisher(partitions)
	p.partitions = o
	return p, func() *nats.Msg {
		// What the server has taken, it sends to the subscriber before it answers the second flush.
		for _, c := range []*nats.Conn{e.bus.local, subscriber} {
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if n, _, err := sub.Pending(); err != nil || n == 0 {
			return nil
		}
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

// An owner before may still read under its lease. So nobody hears of what it does not know, and nobody begins to listen behind that.
func TestNothingIsToldBeforeTheServeAfterTime(t *testing.T) {
	o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7, before: time.Now().Add(300 * time.Millisecond)}
	p, heard := publisherOf(t, o)
	o.write("k")
	if at := p.Interest("m"); len(at) != 0 && o.AnswersIn(0) > 0 {
		t.Errorf("a listener begins at %+v", at)
	}
	p.Applied(0)
	<-p.wake
	p.publishDirty()
	early := heard() != nil
	if early && o.AnswersIn(0) > 0 {
		t.Error("an event was published")
	}

	// The partition is looked at again without being asked to. On a busy machine the time may have come before the first look.
	if !early {
		select {
		case <-p.wake:
		case <-time.After(10 * time.Second):
			t.Fatal("the publisher does not come back")
		}
		p.publishDirty()
		if heard() == nil {
			t.Error("the event was not published when it might be told")
		}
	}
	if at := p.Interest("m"); len(at) != 1 || at[0].Pos != 1 || at[0].Epoch != 7 {
		t.Errorf("a listener begins at %+v", at)
	}
}

// What is found when the partition has just changed its owner may be of one that must wait.
func TestNothingIsToldOfALaterOwner(t *testing.T) {
	o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7}
	p, heard := publisherOf(t, o)
	p.Interest("m")
	o.write("k")
	o.taken = func() { o.epoch = 8 }
	p.Applied(0)
	<-p.wake
	p.publishDirty()
	if heard() != nil {
		t.Error("an event was published")
	}
	o.epoch = 7
	if at := p.Interest("m"); len(at) != 0 {
		t.Errorf("a listener begins at %+v", at)
	}
	// Nothing of it is passed over.
	o.taken = nil
	p.publish(0)
	if heard() == nil {
		t.Error("the event was not published by the next owner")
	}
}

// A new owner publishes all that is behind the position that the log has of the owners before, and nothing at or before it.
func TestANewOwnerBeginsWhereTheLogSays(t *testing.T) {
	o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7}
	p, heard := publisherOf(t, o)
	p.Interest("m")
	for _, key := range []string{"a", "b", "c"} {
		o.write(key)
	}
	o.st.Advance(5000, 1) // the rest was not published, or nobody knows of it
	p.publish(0)
	if b, err := wire.DecodeEventBatch(heard().Data); err != nil || len(b.Events) != 2 || b.Events[0].Pos != 2 {
		t.Fatalf("published %+v, %v", b, err)
	}

	// The log has not heard of that when the partition gets another owner, which may be the same process.
	o.epoch = 8
	o.write("d")
	p.publish(0)
	if b, err := wire.DecodeEventBatch(heard().Data); err != nil || len(b.Events) != 3 || b.Events[0].Pos != 2 || b.Epoch != 8 {
		t.Errorf("published %+v, %v", b, err)
	}
}

// A message vouches for the time of its last event, and never for what is still to come.
func TestMessagesVouch(t *testing.T) {
	for clock, want := range map[int64]int64{4000: 4000, 5000: 5000, 6000: 5000} { // it is 5000
		o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7}
		p, heard := publisherOf(t, o)
		p.Interest("m")
		o.write("before")
		o.st.Advance(clock, 0)
		o.write("k")
		p.publish(0)
		b, err := wire.DecodeEventBatch(heard().Data)
		if err != nil || len(b.Events) != 2 || b.AsOf != want {
			t.Errorf("at %d: %d events vouch for %d, want %d: %v", clock, len(b.Events), b.AsOf, want, err)
		}
	}
}

// Events of a map that nobody listens to cost the write its place in the ring, and nothing here: no message, no memory, and no look where nobody
// listens at all.
func TestNobodyListens(t *testing.T) {
	o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7}
	p, heard := publisherFor(t, o, 1, "grid.ev.*")
	o.write("k")
	if n := testing.AllocsPerRun(100, func() { p.Applied(0) }); n != 0 || len(p.list) != 0 || len(p.wake) != 0 {
		t.Errorf("%v allocations, a look at %v", n, p.list)
	}

	p.Interest("another")
	o.write("k")
	p.publish(0) // begins behind what there was before anybody listened
	if n := testing.AllocsPerRun(100, func() { p.pos[0] = 0; p.publish(0) }); n != 0 {
		t.Errorf("%v allocations for events that nobody wants", n)
	}
	if m := heard(); m != nil || o.published != 0 {
		t.Errorf("published %d", o.published)
	}
	if p.dropped.Bytes() != 0 {
		t.Error("events are kept that nobody wants")
	}

	// The same events reach who listens: the test above looks at the right place.
	p.Interest("m")
	p.pos[0] = 0
	p.publish(0)
	if heard() == nil || o.published != 2 {
		t.Errorf("%d events are published to who listens", o.published)
	}
}

// BenchmarkPublish measures what a write costs its owner's publisher: nobody listens, somebody listens to another map, or to this one.
func BenchmarkPublish(b *testing.B) {
	for _, name := range []string{"", "another", "m"} {
		b.Run("listened="+name, func(b *testing.B) {
			o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7}
			p, _ := publisherFor(b, o, 1, wire.EventSubject("nothing"))
			if name != "" {
				p.Interest(name)
			}
			o.write("k")
			p.publish(0)
			b.ReportAllocs()
			for b.Loop() {
				p.Applied(0)
				select {
				case <-p.wake:
					p.pos[0]--
					p.publishDirty()
				default:
				}
			}
		})
	}
}

// What is applied in quick succession is looked at together. The first look is at once, and nothing is left.
func TestLooksAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int64
		o := &ownedPartition{st: state.New(1, state.Limits{}), epoch: 7, taken: func() { looks.Add(1) }}
		p := newPublisher(wire.ID{1}, 1, nil, func() int64 { return 5000 }, slog.New(slog.DiscardHandler))
		p.partitions = o
		p.listeners.Add(1) // to a map without events, so that nothing is sent
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go p.run(ctx) // ends with ctx

		for range 3 {
			synctest.Wait()
			looks.Store(0)
			p.Applied(0)
			if synctest.Wait(); looks.Load() != 1 {
				t.Errorf("%d looks at what came after a while", looks.Load())
			}
			const burst = 10
			for range burst*8 + 1 {
				time.Sleep(publishPause / 8)
				p.Applied(0)
			}
			synctest.Wait()
			before := looks.Load()
			time.Sleep(2 * publishPause)
			if synctest.Wait(); looks.Load() != before+1 {
				t.Errorf("%d looks at what came last", looks.Load()-before)
			}
			if n := looks.Load(); n < burst || n > burst+2 {
				t.Errorf("%d looks in the time of %d pauses", n, burst)
			}
		}
	})
}
