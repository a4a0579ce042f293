package sdk

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const ms = int64(time.Millisecond)

// plainSink takes events up to a capacity and remembers them.
type plainSink struct {
	taken []wire.Event
	room  int // events that may still be taken
}

func (s *plainSink) wants(e *wire.Event) bool { return e.Kind != wire.EventTTL }

func (s *plainSink) take(_ uint32, e *wire.Event) bool {
	if s.room == 0 {
		return false
	}
	s.room--
	s.taken = append(s.taken, *e)
	return true
}

// text returns what was taken, "instance.seq" each, LOST as "lost".
func (s *plainSink) text() string {
	var out []string
	for _, e := range s.taken {
		if e.Kind == wire.EventLost {
			out = append(out, "lost")
		} else {
			out = append(out, fmt.Sprintf("%d.%d", e.Instance, e.Seq))
		}
	}
	return strings.Join(out, " ")
}

// started returns a tracker at a place at time 0, and its sink.
func started(at place) (*tracker, *plainSink) {
	s := &plainSink{room: 1 << 30}
	t := newTracker(3, s, true, func(d time.Duration) time.Duration { return d })
	t.start(0, at)
	return t, s
}

// ev returns an event that follows the one before in the partition.
func ev(instance, seq uint64) wire.Event {
	return wire.Event{Kind: wire.EventAdded, Instance: instance, Seq: seq, Pos: instance*100 + seq}
}

func batchOf(events ...wire.Event) *wire.EventBatch {
	return &wire.EventBatch{Partition: 3, Epoch: 1, Events: events}
}

func stands(at place) wire.Position {
	return wire.Position{Partition: 3, Epoch: 1, Instance: at.instance, Seq: at.seq}
}

// expect checks what was taken and when the owner is to be asked, never if that is only for silence.
func expect(t *testing.T, tr *tracker, s *plainSink, taken string, askAt int64) {
	t.Helper()
	if got := s.text(); got != taken {
		t.Fatalf("taken: %s; want %s", got, taken)
	}
	next := tr.next()
	if next == max(tr.heard+int64(silence), tr.asked+int64(askEvery)) {
		next = never
	}
	if next != askAt {
		t.Fatalf("the owner is asked at %v; want %v", time.Duration(next), time.Duration(askAt))
	}
}

func TestTrackerOrder(t *testing.T) {
	tr, s := started(place{7, 4})
	tr.batch(0, batchOf(ev(7, 3), ev(7, 4), ev(7, 5))) // repeated by a new owner
	expect(t, tr, s, "7.5", never)
	tr.batch(ms, batchOf(ev(7, 8), ev(7, 9)))
	tr.batch(2*ms, batchOf(ev(7, 7), ev(7, 8)))
	expect(t, tr, s, "7.5", 51*ms) // since the gap was seen
	tr.batch(3*ms, batchOf(ev(7, 6)))
	expect(t, tr, s, "7.5 7.6 7.7 7.8 7.9", never)
	if len(tr.held) != 0 || tr.heldBytes != 0 {
		t.Fatalf("%d events, %d bytes are still held", len(tr.held), tr.heldBytes)
	}
}

func TestTrackerPassesOver(t *testing.T) {
	tr, s := started(place{7, 0})
	unwanted := ev(7, 1)
	unwanted.Kind, unwanted.Flags = wire.EventTTL, wire.EventFetch // its values are of no interest
	tr.batch(0, batchOf(unwanted, ev(7, 2)))
	expect(t, tr, s, "7.2", never)
}

func TestTrackerAsksForGap(t *testing.T) {
	tr, s := started(place{7, 1})
	tr.batch(0, batchOf(ev(7, 4)))
	expect(t, tr, s, "", 50*ms)
	if at := tr.ask(50 * ms); at != (place{7, 1}) {
		t.Fatalf("asked after %v", at)
	}
	if tr.next() != never {
		t.Fatal("asks while it asks")
	}
	tr.batch(55*ms, batchOf(ev(7, 5), ev(7, 6)))
	tr.answered(60*ms, &wire.EventsResult{Last: stands(place{7, 4}), Events: []wire.Event{ev(7, 2), ev(7, 3), ev(7, 4)}})
	expect(t, tr, s, "7.2 7.3 7.4 7.5 7.6", never)
	// The next gap waits until it is a second since the last request.
	tr.batch(100*ms, batchOf(ev(7, 8)))
	expect(t, tr, s, "7.2 7.3 7.4 7.5 7.6", 1050*ms)
	// After a request without an answer there is another a second later.
	tr.ask(1050 * ms)
	tr.answered(1200*ms, nil)
	expect(t, tr, s, "7.2 7.3 7.4 7.5 7.6", 2200*ms)
}

func TestTrackerBeat(t *testing.T) {
	tr, s := started(place{7, 1})
	tr.beat(0, 5, place{7, 1})
	expect(t, tr, s, "", never)
	tr.beat(ms, 5, place{7, 2})
	expect(t, tr, s, "", 51*ms)
	tr.batch(2*ms, batchOf(ev(7, 2)))
	expect(t, tr, s, "7.2", never) // the beat was faster than the event
	tr.beat(3*ms, 4, place{7, 9})  // of an owner that is none any more
	expect(t, tr, s, "7.2", never)
	if tr.heard != ms {
		t.Fatalf("a deposed owner's beat counts: %v", tr.heard)
	}
	if want := ms + int64(silence); tr.next() != want {
		t.Fatalf("after silence the owner is asked at %v; want %v", tr.next(), want)
	}
}

func TestTrackerMore(t *testing.T) {
	tr, s := started(place{7, 0})
	tr.beat(0, 1, place{7, 4})
	tr.ask(50 * ms)
	tr.answered(60*ms, &wire.EventsResult{Last: stands(place{7, 4}), More: true, Events: []wire.Event{ev(7, 1), ev(7, 2)}})
	expect(t, tr, s, "7.1 7.2", 60*ms) // at once
	if at := tr.ask(60 * ms); at != (place{7, 2}) {
		t.Fatalf("asked after %v", at)
	}
	tr.answered(70*ms, &wire.EventsResult{Last: stands(place{7, 4}), Events: []wire.Event{ev(7, 3), ev(7, 4)}})
	expect(t, tr, s, "7.1 7.2 7.3 7.4", never)
	// A page without events makes no progress: it must not be asked for in a circle.
	tr.suspect(2000*ms, 0)
	tr.ask(2000 * ms)
	tr.answered(2001*ms, &wire.EventsResult{Last: stands(place{7, 4}), More: true})
	expect(t, tr, s, "7.1 7.2 7.3 7.4", 3001*ms)
}

func TestTrackerFetchesValues(t *testing.T) {
	tr, s := started(place{7, 0})
	bare, whole := ev(7, 2), ev(7, 2)
	bare.Flags, whole.New = wire.EventFetch, []byte("large")
	tr.batch(0, batchOf(ev(7, 1), bare, ev(7, 3)))
	expect(t, tr, s, "7.1", 0) // without delay
	tr.ask(0)
	tr.answered(ms, &wire.EventsResult{Last: stands(place{7, 2}), Events: []wire.Event{whole}})
	expect(t, tr, s, "7.1 7.2 7.3", never)
	if string(s.taken[1].New) != "large" {
		t.Fatal("the event came without its value")
	}
	// One that comes while another is fetched is fetched next, although no second has passed.
	bare.Seq = 4
	tr.batch(2*ms, batchOf(bare))
	tr.ask(2 * ms)
	bare.Seq, whole.Seq = 5, 4
	tr.batch(3*ms, batchOf(bare))
	tr.answered(4*ms, &wire.EventsResult{Last: stands(place{7, 4}), Events: []wire.Event{whole}})
	tr.batch(5*ms, batchOf(bare))
	expect(t, tr, s, "7.1 7.2 7.3 7.4", 5*ms)

	tr.values = false
	tr.batch(6*ms, batchOf(bare))
	expect(t, tr, s, "7.1 7.2 7.3 7.4 7.5", never)
}

func TestTrackerLost(t *testing.T) {
	tr, s := started(place{7, 1})
	tr.batch(0, batchOf(ev(7, 9)))
	tr.ask(50 * ms)
	tr.answered(60*ms, &wire.EventsResult{Last: stands(place{7, 8}), Lost: true, Events: []wire.Event{ev(7, 6), ev(7, 7), ev(7, 8)}})
	expect(t, tr, s, "lost 7.6 7.7 7.8 7.9", never)
	if e := s.taken[0]; e.Instance != 7 || e.Seq != 5 {
		t.Fatalf("the sign for what is lost stands at %d.%d", e.Instance, e.Seq)
	}
	// Nothing is left at all.
	tr.beat(2000*ms, 1, place{7, 20})
	tr.ask(2050 * ms)
	tr.answered(2060*ms, &wire.EventsResult{Last: stands(place{7, 20}), Lost: true})
	tr.batch(2070*ms, batchOf(ev(7, 21)))
	expect(t, tr, s, "lost 7.6 7.7 7.8 7.9 lost 7.21", never)
}

func TestTrackerLostIsOvertaken(t *testing.T) {
	tr, s := started(place{7, 1})
	tr.batch(0, batchOf(ev(7, 4)))
	tr.ask(50 * ms)
	tr.batch(51*ms, batchOf(ev(7, 2), ev(7, 3))) // what the owner has lost came after all
	tr.answered(60*ms, &wire.EventsResult{Last: stands(place{7, 4}), Lost: true, Events: []wire.Event{ev(7, 4)}})
	expect(t, tr, s, "7.2 7.3 7.4", never)
}

func TestTrackerInstances(t *testing.T) {
	tr, s := started(place{7, 2})
	// The map is destroyed and created again, and nothing else happened in the partition.
	first := ev(9, 1)
	cleared := ev(7, 3)
	first.Pos = cleared.Pos + 1
	tr.batch(0, batchOf(cleared, first))
	expect(t, tr, s, "7.3 9.1", never)
	// Here something did, maybe to this map: the owner knows.
	other := ev(12, 1)
	tr.batch(0, batchOf(other))
	expect(t, tr, s, "7.3 9.1", 50*ms)
	tr.ask(50 * ms)
	tr.answered(51*ms, &wire.EventsResult{Last: stands(place{12, 1}), Events: []wire.Event{ev(9, 2), other}})
	expect(t, tr, s, "7.3 9.1 9.2 12.1", never)
	// It is gone; a message of the past does not bring it back, the next instance does.
	tr.beat(2000*ms, 1, place{})
	expect(t, tr, s, "7.3 9.1 9.2 12.1", 2050*ms)
	tr.ask(2050 * ms)
	tr.answered(2051*ms, &wire.EventsResult{Last: stands(place{})})
	tr.batch(2052*ms, batchOf(other, ev(12, 2)))
	expect(t, tr, s, "7.3 9.1 9.2 12.1", never)
	tr.beat(2053*ms, 1, place{12, 2})
	expect(t, tr, s, "7.3 9.1 9.2 12.1", never)
	tr.batch(2054*ms, batchOf(ev(15, 1)))
	expect(t, tr, s, "7.3 9.1 9.2 12.1 15.1", never)
}

// An instance began and ended unseen, but for a late event of it: the owner does not tell of it, so the listener must be told.
func TestTrackerUnseenInstance(t *testing.T) {
	tr, s := started(place{})
	tr.batch(0, batchOf(ev(7, 3)))
	tr.ask(50 * ms)
	tr.batch(51*ms, batchOf(ev(9, 2))) // of an instance that begins only now, maybe
	tr.answered(52*ms, &wire.EventsResult{Last: stands(place{})})
	expect(t, tr, s, "lost 7.3", 52*ms)
	if at := tr.ask(52 * ms); at != (place{7, 3}) {
		t.Fatalf("asked after %v", at)
	}
	tr.answered(53*ms, &wire.EventsResult{Last: stands(place{9, 2}), Events: []wire.Event{ev(7, 4), ev(9, 1), ev(9, 2)}})
	expect(t, tr, s, "lost 7.3 7.4 9.1 9.2", never)

	// Where the owner answers from a later instance on, the one that is held has ended.
	tr, s = started(place{})
	tr.batch(0, batchOf(ev(7, 3)))
	s.room = 0
	tr.ask(50 * ms)
	tr.answered(52*ms, &wire.EventsResult{Last: stands(place{9, 1}), Events: []wire.Event{ev(9, 1)}})
	tr.batch(53*ms, batchOf(ev(9, 1)))
	expect(t, tr, s, "", never)
	s.room = 9
	tr.unblock(60 * ms)
	tr.batch(61*ms, batchOf(ev(9, 1))) // not the next: there was another instance
	tr.ask(61 * ms)
	tr.answered(62*ms, &wire.EventsResult{Last: stands(place{9, 1}), Events: []wire.Event{ev(9, 1)}})
	tr.ask(62 * ms)
	tr.answered(63*ms, &wire.EventsResult{Last: stands(place{9, 1}), Events: []wire.Event{ev(7, 4), ev(9, 1)}})
	expect(t, tr, s, "lost 7.3 7.4 9.1", never)
}

// An answer is older than events that came while it was under way.
func TestTrackerAnswerIsOvertaken(t *testing.T) {
	tr, s := started(place{})
	tr.suspect(0, 0)
	tr.ask(0)
	tr.batch(ms, batchOf(ev(7, 1)))
	tr.answered(2*ms, &wire.EventsResult{Last: stands(place{})})
	tr.batch(3*ms, batchOf(ev(7, 2)))
	expect(t, tr, s, "7.1 7.2", never)
}

func TestTrackerHoldsBeforeStart(t *testing.T) {
	s := &plainSink{room: 1 << 30}
	tr := newTracker(3, s, true, func(d time.Duration) time.Duration { return d })
	tr.batch(0, batchOf(ev(7, 3), ev(7, 4), ev(7, 5)))
	if tr.next() != never {
		t.Fatal("asks before it is started")
	}
	tr.start(ms, place{7, 3})
	expect(t, tr, s, "7.4 7.5", never)
}

func TestTrackerFullSink(t *testing.T) {
	tr, s := started(place{7, 0})
	s.room = 1
	tr.batch(0, batchOf(ev(7, 1), ev(7, 2)))
	tr.batch(ms, batchOf(ev(7, 3)))
	if tr.next() != never {
		t.Fatal("asks for what there is no room for")
	}
	s.room = 2
	tr.unblock(10 * ms)
	expect(t, tr, s, "7.1", 10*ms)
	tr.ask(10 * ms)
	tr.answered(20*ms, &wire.EventsResult{Last: stands(place{7, 3}), Lost: true, Events: []wire.Event{ev(7, 3)}})
	expect(t, tr, s, "7.1 lost 7.3", never)
	// The sign for what is lost needs room too.
	s.room = 0
	tr.suspect(2000*ms, 0)
	tr.ask(2000 * ms)
	tr.answered(2001*ms, &wire.EventsResult{Last: stands(place{7, 9}), Lost: true, Events: []wire.Event{ev(7, 9)}})
	s.room = 9
	tr.unblock(2002 * ms)
	tr.ask(2002 * ms)
	tr.answered(2003*ms, &wire.EventsResult{Last: stands(place{7, 9}), Lost: true, Events: []wire.Event{ev(7, 9)}})
	expect(t, tr, s, "7.1 lost 7.3 lost 7.9", never)
}

func TestTrackerHeldIsBounded(t *testing.T) {
	tr, s := started(place{7, 0})
	for seq := uint64(2); seq < 3*maxHeld; seq++ {
		tr.batch(0, batchOf(ev(7, seq)))
	}
	if len(tr.held) > maxHeld {
		t.Fatalf("%d events are held", len(tr.held))
	}
	tr.batch(0, batchOf(ev(7, 1)))
	if len(s.taken) != maxHeld+1 {
		t.Fatalf("%d events were taken", len(s.taken))
	}
	if next := tr.next(); next != 50*ms { // for those that there was no room for
		t.Fatalf("the owner is asked at %v", time.Duration(next))
	}
	large := ev(7, 5*maxHeld)
	large.New = make([]byte, maxHeldBytes+1)
	tr.batch(0, batchOf(large))
	if len(tr.held) != 0 {
		t.Fatal("an event above the bound is held")
	}
}

// modelRing is one map in one partition as its owner keeps it, with all that ever happened.
type modelRing struct {
	history  []wire.Event
	gone     int    // history[gone:] are in the ring
	at       place  // zero while there is no map
	pos      uint64 // of the partition
	instance uint64 // the last one there was
	sent     int    // history[:sent] are published
}

func (r *modelRing) emit(kind wire.EventKind, flags uint8) {
	if r.at.instance == 0 {
		r.instance += 3
		r.at = place{r.instance, 0}
	}
	r.at.seq++
	r.pos++
	r.history = append(r.history, wire.Event{Kind: kind, Flags: flags, Pos: r.pos, Instance: r.at.instance, Seq: r.at.seq})
}

// publish returns the messages for what is not published yet.
func (r *modelRing) publish() (messages []wire.EventBatch) {
	for _, e := range r.history[max(r.sent, r.gone):] {
		n := len(messages) - 1
		if n >= 0 && messages[n].Events[len(messages[n].Events)-1].Pos == e.Pos-1 {
			messages[n].Events = append(messages[n].Events, e)
		} else {
			messages = append(messages, wire.EventBatch{Partition: 3, Epoch: 1, Events: []wire.Event{e}})
		}
	}
	r.sent = len(r.history)
	return messages
}

// events answers like a member, from the description of the answer: everything after the place if it can be had, Lost where
// it cannot be shown that everything is there.
func (r *modelRing) events(after place, limit int) *wire.EventsResult {
	res := &wire.EventsResult{Last: stands(r.at)}
	if after.instance == 0 {
		if r.at.instance == 0 {
			return res
		}
		after = place{r.at.instance, 0}
	}
	// The ring shows that it is complete by an event of the instance up to the next one wanted; so does the present.
	shown := after == r.at
	for _, e := range r.history[r.gone:] {
		shown = shown || e.Instance == after.instance && e.Seq <= after.seq+1
		if !after.before(placeOf(&e)) {
			continue
		}
		if len(res.Events) == limit {
			res.More = true
			break
		}
		e.Flags = 0
		res.Events = append(res.Events, e)
	}
	res.Lost = !shown
	return res
}

// checkedSink checks each event against the history as it is taken.
type checkedSink struct {
	t       *rapid.T
	ring    *modelRing
	tracker *tracker
	room    int
	index   int  // of the last event taken in the history
	lost    bool // told so since then
	losses  int
}

// wants is asked about an event that is passed over right before that is done, more than once maybe.
func (s *checkedSink) wants(e *wire.Event) bool {
	if e.Kind != wire.EventTTL {
		return true
	}
	if i := s.find(e); i != s.index {
		s.step(i)
	}
	return false
}

func (s *checkedSink) find(e *wire.Event) int {
	return slices.IndexFunc(s.ring.history, func(h wire.Event) bool { return placeOf(&h) == placeOf(e) })
}

// step goes on to history[i].
func (s *checkedSink) step(i int) {
	if i <= s.index {
		s.t.Fatalf("event %d comes after %d", i, s.index)
	}
	s.checkHole(i)
	s.index, s.lost = i, false
}

func (s *checkedSink) take(_ uint32, e *wire.Event) bool {
	if s.room == 0 {
		return false
	}
	s.room--
	if e.Kind == wire.EventLost {
		if s.ring.gone == 0 && s.tracker.at.instance != 0 {
			s.t.Fatalf("LOST at %v, although nothing is gone", s.tracker.at)
		}
		s.lost = true
		s.losses++
		return true
	}
	if e.Flags&wire.EventFetch != 0 {
		s.t.Fatalf("event %d.%d was taken without its values", e.Instance, e.Seq)
	}
	s.step(s.find(e))
	return true
}

// checkHole checks that nothing is missing between the last event taken and history[i] without a sign. What may be
// missing are instances of the map that began and ended while the place was that of no map.
func (s *checkedSink) checkHole(i int) {
	for j := s.index + 1; j < i && !s.lost; j++ {
		missing := s.ring.history[j]
		unseen := s.tracker.at.instance == 0 && missing.Instance > s.tracker.ended && missing.Instance != s.ring.at.instance &&
			(i == len(s.ring.history) || missing.Instance != s.ring.history[i].Instance)
		if !unseen {
			s.t.Fatalf("event %d.%d is missing", missing.Instance, missing.Seq)
		}
	}
}

// Whatever the network loses, repeats, delays and reorders, and however slow the listener is: each event is taken once and
// in order, or there is a sign that some are lost, which the ring had forgotten; and in the end all has been taken.
func TestTrackerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ring := &modelRing{instance: 1}
		keeps := rapid.Bool().Draw(t, "the ring keeps everything")
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			ring.emit(wire.EventAdded, 0)
		}
		ring.sent = len(ring.history)
		sink := &checkedSink{t: t, ring: ring, index: len(ring.history) - 1, room: 1 << 30}
		tr := newTracker(3, sink, true, func(d time.Duration) time.Duration { return d })
		sink.tracker = tr
		now := int64(0)
		tr.start(now, ring.at)

		var messages []wire.EventBatch
		var beats []place
		var answer *wire.EventsResult // what the owner has answered to the request under way; nil: nothing yet
		invariants := func() {
			for i := range tr.held {
				if tr.open && !tr.at.before(placeOf(&tr.held[i])) || i > 0 && !placeOf(&tr.held[i-1]).before(placeOf(&tr.held[i])) {
					t.Fatalf("held is out of order or past %v: %v", tr.at, tr.held)
				}
			}
		}
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "which") }
		t.Repeat(map[string]func(*rapid.T){
			"write": func(*rapid.T) {
				kind := rapid.SampledFrom([]wire.EventKind{wire.EventAdded, wire.EventUpdated, wire.EventCleared, wire.EventTTL}).Draw(t, "kind")
				flags := rapid.SampledFrom([]uint8{0, 0, 0, wire.EventFetch}).Draw(t, "flags")
				ring.emit(kind, flags)
			},
			"destroy": func(t *rapid.T) {
				if ring.at.instance == 0 {
					t.Skip()
				}
				if rapid.Bool().Draw(t, "had entries") {
					ring.emit(wire.EventCleared, 0)
				}
				ring.at = place{}
			},
			"other map": func(*rapid.T) { ring.pos++ },
			"forget": func(t *rapid.T) {
				if keeps || ring.gone == len(ring.history) {
					t.Skip()
				}
				ring.gone++
			},
			"publish": func(*rapid.T) { messages = append(messages, ring.publish()...) },
			"message": func(t *rapid.T) {
				if len(messages) == 0 {
					t.Skip()
				}
				i := pick(len(messages))
				tr.batch(now, &messages[i])
				if rapid.Bool().Draw(t, "once") {
					messages = slices.Delete(messages, i, i+1)
				}
			},
			"drop": func(t *rapid.T) {
				if len(messages) == 0 {
					t.Skip()
				}
				i := pick(len(messages))
				messages = slices.Delete(messages, i, i+1)
			},
			"beat": func(*rapid.T) { beats = append(beats, ring.at) },
			"hear beat": func(t *rapid.T) {
				if len(beats) == 0 {
					t.Skip()
				}
				i := pick(len(beats))
				tr.beat(now, 1, beats[i])
				beats = slices.Delete(beats, i, i+1)
			},
			"time": func(t *rapid.T) {
				now += ms * rapid.Int64Range(1, 2000).Draw(t, "ms")
				if !tr.asking && tr.next() <= now {
					tr.ask(now)
				}
			},
			"answer": func(t *rapid.T) {
				if !tr.asking || answer != nil {
					t.Skip()
				}
				answer = ring.events(tr.from, rapid.IntRange(1, 4).Draw(t, "limit"))
			},
			"hear answer": func(t *rapid.T) {
				if !tr.asking {
					t.Skip()
				}
				tr.answered(now, answer)
				answer = nil
			},
			"no room": func(*rapid.T) { sink.room = rapid.IntRange(0, 3).Draw(t, "room") },
			"room": func(*rapid.T) {
				sink.room = 1 << 30
				tr.unblock(now)
			},
			"": func(*rapid.T) { invariants() },
		})

		sink.room = 1 << 30
		tr.unblock(now)
		if tr.asking {
			tr.answered(now, answer)
		}
		for range 100 {
			now += int64(askEvery)
			tr.beat(now, 1, ring.at)
			for asks := 0; tr.next() <= now+int64(gapGrace); asks++ {
				if asks > len(ring.history)+2 {
					t.Fatalf("asks again and again at %v, the owner is at %v", tr.at, ring.at)
				}
				tr.answered(now+int64(gapGrace), ring.events(tr.ask(now+int64(gapGrace)), 4))
			}
		}
		if tr.at != ring.at {
			t.Fatalf("in the end it is at %v, the owner at %v", tr.at, ring.at)
		}
		if tr.askAt != never || tr.blocked || len(tr.held) > 0 {
			t.Fatalf("in the end it is not at rest: %+v", tr)
		}
		sink.checkHole(len(ring.history))
	})
}
