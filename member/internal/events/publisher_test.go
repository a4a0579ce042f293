package events

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Each map is told of once a second, and never many of them at a time.
func TestWatermarkRound(t *testing.T) {
	for _, maps := range []int{0, 1, 3, 1200} {
		var names []string
		for i := range maps {
			names = append(names, fmt.Sprint("map", i))
		}
		var r watermarkRound
		start := time.Unix(100, 0)
		now := start
		last := make(map[string]time.Time)
		heard, burst, most := 0, 0, 0
		for now.Before(start.Add(10 * watermarkEvery)) {
			name, wait := r.next(now, func() []string { return names })
			if name == "" {
				if wait < watermarkPause || wait > watermarkEvery {
					t.Fatalf("%d maps: a pause of %v", maps, wait)
				}
				now, most, burst = now.Add(wait), max(most, burst), 0
				continue
			}
			heard++
			burst++
			if before, ok := last[name]; ok && now.Sub(before) > watermarkEvery+2*watermarkPause {
				t.Fatalf("%d maps: %s is not told of for %v", maps, name, now.Sub(before))
			}
			last[name] = now
		}
		if len(last) != maps || heard < 9*maps || heard > 10*maps {
			t.Errorf("%d maps: %d of them are told of, %d times", maps, len(last), heard)
		}
		if limit := 2 + maps*int(2*watermarkPause)/int(watermarkEvery); most > limit {
			t.Errorf("%d maps: %d at a time", maps, most)
		}
	}
}

// ownedPartition is one partition that this process owns, and of which it must not tell before a time.
type ownedPartition struct {
	st     *state.State
	epoch  uint64
	before time.Time
	taken  func() // called when the state was looked at
}

func (o *ownedPartition) Serving(int) uint64          { return o.epoch }
func (o *ownedPartition) AnswersIn(int) time.Duration { return max(0, time.Until(o.before)) }
func (o *ownedPartition) SetPublished(int, uint64)    {}
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
	e, err := Open(Config{Self: wire.ID{1}, Incarnation: wire.ID{2}, Cluster: wire.ID{9}, RouteHost: "127.0.0.1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	subscriber, err := nats.Connect("", nats.InProcessServer(e.server.srv), nats.UserInfo(subscriberUser, wire.EventsUser))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(subscriber.Close)
	sub, err := subscriber.SubscribeSync(wire.EventSubject("m"))
	if err != nil {
		t.Fatal(err)
	}
	if err := subscriber.Flush(); err != nil {
		t.Fatal(err)
	}
	p := e.NewPublisher(1)
	p.partitions = o
	return p, func() *nats.Msg {
		// What the server has taken, it sends to the subscriber before it answers the second flush.
		for _, c := range []*nats.Conn{e.conn, subscriber} {
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
	if m := heard(); m != nil && o.AnswersIn(0) > 0 {
		t.Error("an event was published")
	}

	// The partition is looked at again without being asked to.
	select {
	case <-p.wake:
	case <-time.After(10 * time.Second):
		t.Fatal("the publisher does not come back")
	}
	p.publishDirty()
	if heard() == nil {
		t.Error("the event was not published when it might be told")
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
