package sdk

import (
	"fmt"
	"strings"
	"testing"
	"time"

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

// text returns what was taken: the positions, with the generation before those of later ones than the first, LOST as "lost".
func (s *plainSink) text() string {
	var out []string
	for _, e := range s.taken {
		switch g := wire.Stamp(e.Version).Generation(); {
		case e.Kind == wire.EventLost:
			out = append(out, "lost")
		case g > 1:
			out = append(out, fmt.Sprintf("%d:%d", g, e.Pos))
		default:
			out = append(out, fmt.Sprint(e.Pos))
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

// at returns a place of the first generation.
func at(pos uint64) place { return place{1, pos} }

// ev returns an event of the first generation that follows the one at the position before.
func ev(pos uint64) wire.Event { return after(pos-1, pos) }

// after returns an event of the first generation that is the next of its map after a position.
func after(since, pos uint64) wire.Event {
	return wire.Event{Kind: wire.EventAdded, Pos: pos, Since: since, Version: uint64(wire.StampOf(1, 0)) + pos}
}

// of returns an event of another generation.
func of(generation uint64, e wire.Event) wire.Event {
	e.Version += uint64(wire.StampOf(generation-1, 0))
	return e
}

// lostAt is what an owner lists where events up to a position are lost, after which those of a generation come.
func lostAt(generation, pos uint64) wire.Event {
	return wire.Event{Kind: wire.EventLost, Pos: pos, Version: uint64(wire.StampOf(generation, 0))}
}

// epochOf returns the n-th epoch of a generation.
func epochOf(generation, n uint64) uint64 { return uint64(wire.StampOf(generation, n)) }

func batchOf(events ...wire.Event) *wire.EventBatch { return batchIn(1, events...) }

func batchIn(generation uint64, events ...wire.Event) *wire.EventBatch {
	return &wire.EventBatch{Partition: 3, Epoch: epochOf(generation, 5), Events: events}
}

// stands is where the owner says that the map stands: its last event is at quiet.
func stands(pos, quiet uint64) wire.Position {
	return wire.Position{Partition: 3, Epoch: epochOf(1, 5), Pos: pos, Quiet: quiet}
}

// answer is an answer of an owner in the first generation that stands at a position.
func answerOf(pos uint64, events ...wire.Event) *wire.EventsResult {
	return &wire.EventsResult{Last: stands(pos, 0), Events: events}
}

func (t *tracker) watermarkAt(now int64, p wire.Position) { t.watermark(now, &p, 0) }

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
	tr, s := started(at(4))
	tr.batch(0, batchOf(ev(3), ev(4), ev(5))) // repeated by a new owner
	expect(t, tr, s, "5", never)
	tr.batch(ms, batchOf(ev(8), ev(9)))
	tr.batch(2*ms, batchOf(ev(7), ev(8)))
	expect(t, tr, s, "5", 51*ms) // since the gap was seen
	tr.batch(3*ms, batchOf(ev(6)))
	expect(t, tr, s, "5 6 7 8 9", never)
	if len(tr.held) != 0 || tr.heldBytes != 0 {
		t.Fatalf("%d events, %d bytes are still held", len(tr.held), tr.heldBytes)
	}
	tr.batch(4*ms, batchOf(after(9, 20))) // between were events of other maps
	expect(t, tr, s, "5 6 7 8 9 20", never)
}

func TestTrackerPassesOver(t *testing.T) {
	tr, s := started(at(0))
	unwanted := ev(1)
	unwanted.Kind, unwanted.Flags = wire.EventTTL, wire.EventFetch // its values are of no interest
	tr.batch(0, batchOf(unwanted, ev(2)))
	expect(t, tr, s, "2", never)
}

func TestTrackerAsksForGap(t *testing.T) {
	tr, s := started(at(1))
	tr.batch(0, batchOf(ev(4)))
	expect(t, tr, s, "", 50*ms)
	if from := tr.ask(50 * ms); from != at(1) {
		t.Fatalf("asked after %v", from)
	}
	if tr.next() != never {
		t.Fatal("asks while it asks")
	}
	tr.batch(55*ms, batchOf(ev(5), ev(6)))
	tr.answered(60*ms, answerOf(4, ev(2), ev(3), ev(4)))
	expect(t, tr, s, "2 3 4 5 6", never)
	// The next gap waits until it is a second since the last request.
	tr.batch(100*ms, batchOf(ev(8)))
	expect(t, tr, s, "2 3 4 5 6", 1050*ms)
	// After a request without an answer there is another a second later.
	tr.ask(1050 * ms)
	tr.answered(1200*ms, nil)
	expect(t, tr, s, "2 3 4 5 6", 2200*ms)
}

func TestTrackerWatermark(t *testing.T) {
	tr, s := started(at(1))
	tr.watermarkAt(0, stands(1, 1))
	expect(t, tr, s, "", never)
	tr.watermarkAt(ms, stands(2, 2))
	expect(t, tr, s, "", 51*ms)
	tr.batch(2*ms, batchOf(ev(2)))
	expect(t, tr, s, "2", never) // the watermark was faster than the event
	deposed := stands(9, 9)
	deposed.Epoch--
	tr.watermarkAt(3*ms, deposed)
	expect(t, tr, s, "2", never)
	if tr.heard != 2*ms {
		t.Fatalf("a deposed owner's watermark counts: %v", tr.heard)
	}
	if want := 2*ms + int64(silence); tr.next() != want {
		t.Fatalf("after silence the owner is asked at %v; want %v", tr.next(), want)
	}
	// Other maps' events bring the place forward, so that the ring's end does not pass it.
	tr.watermarkAt(4*ms, stands(700, 2))
	expect(t, tr, s, "2", never)
	if tr.at != at(700) {
		t.Fatalf("after a quiet while the place is %v", tr.at)
	}
	tr.batch(5*ms, batchOf(after(2, 710)))
	expect(t, tr, s, "2 710", never)
}

func TestTrackerMore(t *testing.T) {
	tr, s := started(at(0))
	tr.watermarkAt(0, stands(4, 4))
	tr.ask(50 * ms)
	page := answerOf(4, ev(1), ev(2))
	page.More = true
	tr.answered(60*ms, page)
	expect(t, tr, s, "1 2", 60*ms) // at once
	if from := tr.ask(60 * ms); from != at(2) {
		t.Fatalf("asked after %v", from)
	}
	tr.answered(70*ms, answerOf(4, ev(3), ev(4)))
	expect(t, tr, s, "1 2 3 4", never)
	// A page without events makes no progress: it must not be asked for in a circle.
	tr.suspect(2000*ms, 0)
	tr.ask(2000 * ms)
	page.Events = nil
	tr.answered(2001*ms, page)
	expect(t, tr, s, "1 2 3 4", 3001*ms)
}

func TestTrackerFetchesValues(t *testing.T) {
	tr, s := started(at(0))
	bare, whole := ev(2), ev(2)
	bare.Flags, whole.New = wire.EventFetch, []byte("large")
	tr.batch(0, batchOf(ev(1), bare, ev(3)))
	expect(t, tr, s, "1", 0) // without delay
	tr.ask(0)
	tr.answered(ms, answerOf(2, whole))
	expect(t, tr, s, "1 2 3", never)
	if string(s.taken[1].New) != "large" {
		t.Fatal("the event came without its value")
	}
	// One that comes while another is fetched is fetched next, although no second has passed.
	like := func(pos uint64, like wire.Event) wire.Event {
		like.Pos, like.Since = pos, pos-1
		return like
	}
	tr.batch(2*ms, batchOf(like(4, bare)))
	tr.ask(2 * ms)
	tr.batch(3*ms, batchOf(like(5, bare)))
	tr.answered(4*ms, answerOf(4, like(4, whole)))
	tr.batch(5*ms, batchOf(like(5, bare)))
	expect(t, tr, s, "1 2 3 4", 5*ms)

	tr.values = false
	tr.batch(6*ms, batchOf(like(5, bare)))
	expect(t, tr, s, "1 2 3 4 5", never)
}

func TestTrackerLost(t *testing.T) {
	tr, s := started(at(1))
	tr.batch(0, batchOf(ev(9)))
	tr.ask(50 * ms)
	tr.answered(60*ms, answerOf(8, lostAt(1, 5), ev(6), ev(7), ev(8)))
	expect(t, tr, s, "lost 6 7 8 9", never)
	if got := placeOf(&s.taken[0]); got != at(5) {
		t.Fatalf("the sign for what is lost stands at %v", got)
	}
	// Nothing is left at all.
	tr.watermarkAt(2000*ms, stands(20, 20))
	tr.ask(2050 * ms)
	tr.answered(2060*ms, answerOf(20, lostAt(1, 20)))
	tr.batch(2070*ms, batchOf(ev(21)))
	expect(t, tr, s, "lost 6 7 8 9 lost 21", never)
}

func TestTrackerLostIsOvertaken(t *testing.T) {
	tr, s := started(at(1))
	tr.batch(0, batchOf(ev(4)))
	tr.ask(50 * ms)
	tr.batch(51*ms, batchOf(ev(2), ev(3))) // what the owner has lost came after all
	tr.answered(60*ms, answerOf(4, lostAt(1, 3), ev(4)))
	expect(t, tr, s, "2 3 4", never)
}

// A map ends, others begin and end, seen and unseen.
func TestTrackerInstances(t *testing.T) {
	tr, s := started(at(2))
	// Destroyed and created again, and others between: nothing is missing.
	tr.batch(0, batchOf(ev(3), after(3, 9)))
	expect(t, tr, s, "3 9", never)
	// An instance of this map may have been between these.
	tr.batch(0, batchOf(after(12, 15)))
	expect(t, tr, s, "3 9", 50*ms)
	tr.ask(50 * ms)
	tr.answered(51*ms, answerOf(15, after(9, 11), after(11, 12), after(12, 15)))
	expect(t, tr, s, "3 9 11 12 15", never)
	// It is gone, and nothing else has happened to it.
	tr.watermarkAt(2000*ms, stands(20, 15))
	expect(t, tr, s, "3 9 11 12 15", never)
	// Some map began and ended; which, the owner knows.
	tr.watermarkAt(2001*ms, stands(30, 25))
	expect(t, tr, s, "3 9 11 12 15", 2051*ms)
	tr.ask(2051 * ms)
	tr.answered(2052*ms, answerOf(30, after(20, 22), after(22, 25)))
	expect(t, tr, s, "3 9 11 12 15 22 25", never)
	tr.batch(2053*ms, batchOf(after(25, 31)))
	expect(t, tr, s, "3 9 11 12 15 22 25 31", never)
}

// An answer is older than events that came while it was under way.
func TestTrackerAnswerIsOvertaken(t *testing.T) {
	tr, s := started(at(0))
	tr.suspect(0, 0)
	tr.ask(0)
	tr.batch(ms, batchOf(ev(1)))
	tr.answered(2*ms, answerOf(0))
	tr.batch(3*ms, batchOf(ev(2)))
	expect(t, tr, s, "1 2", never)
}

func TestTrackerHoldsBeforeStart(t *testing.T) {
	s := &plainSink{room: 1 << 30}
	tr := newTracker(3, s, true, func(d time.Duration) time.Duration { return d })
	tr.batch(0, batchOf(ev(3), ev(4), ev(5)))
	if tr.next() != never {
		t.Fatal("asks before it is started")
	}
	tr.start(ms, at(3))
	expect(t, tr, s, "4 5", never)
}

// In a later generation the positions are given out again. What it has under them is not what was taken under them.
func TestTrackerGenerations(t *testing.T) {
	tr, s := started(at(4))
	tr.batch(0, batchOf(ev(5), ev(6)))
	// The survivor had all up to 4.
	tr.batch(ms, batchIn(2, of(2, ev(5)), of(2, ev(6)), of(2, ev(7))))
	expect(t, tr, s, "5 6", ms)
	tr.batch(2*ms, batchOf(ev(7))) // of the past
	expect(t, tr, s, "5 6", ms)
	if from := tr.ask(2 * ms); from != at(6) {
		t.Fatalf("asked after %v", from)
	}
	last := wire.Position{Partition: 3, Epoch: epochOf(2, 1), Pos: 6, Quiet: 6}
	tr.answered(3*ms, &wire.EventsResult{Last: last, Events: []wire.Event{lostAt(2, 4), of(2, ev(5)), of(2, ev(6))}})
	expect(t, tr, s, "5 6 lost 2:5 2:6 2:7", never)

	tr.batch(4*ms, batchOf(ev(8))) // of the past, and would fit
	expect(t, tr, s, "5 6 lost 2:5 2:6 2:7", never)

	// An owner that answers for the past, and one that answers for the future of what was asked.
	last.Epoch, last.Pos, last.Quiet = epochOf(3, 1), 9, 9
	tr.watermarkAt(2000*ms, last)
	tr.ask(2000 * ms)
	tr.answered(2001*ms, &wire.EventsResult{Last: wire.Position{Epoch: epochOf(2, 9), Pos: 7, Quiet: 7}})
	expect(t, tr, s, "5 6 lost 2:5 2:6 2:7", 3001*ms)
	tr.ask(3001 * ms)
	last.Epoch = epochOf(4, 1)
	tr.answered(3002*ms, &wire.EventsResult{Last: last, Events: []wire.Event{of(3, ev(8)), lostAt(4, 8), of(4, ev(9))}})
	expect(t, tr, s, "5 6 lost 2:5 2:6 2:7 3:8 lost 4:9", never)
	if tr.at != (place{4, 9}) {
		t.Fatalf("the place is %v", tr.at)
	}
}

// While the owner of a later generation answers, an event of the past comes: the answer says nothing about that event.
func TestTrackerGenerationIsOvertaken(t *testing.T) {
	tr, s := started(at(4))
	tr.suspect(0, 0)
	tr.ask(0)
	tr.batch(ms, batchOf(ev(5)))
	last := wire.Position{Partition: 3, Epoch: epochOf(2, 1), Pos: 5, Quiet: 5}
	tr.answered(2*ms, &wire.EventsResult{Last: last, Events: []wire.Event{of(2, ev(5))}})
	expect(t, tr, s, "5", 2*ms)
	if from := tr.ask(2 * ms); from != at(5) {
		t.Fatalf("asked after %v", from)
	}
	tr.answered(3*ms, &wire.EventsResult{Last: last, Events: []wire.Event{lostAt(2, 4), of(2, ev(5))}})
	expect(t, tr, s, "5 lost 2:5", never)
}

// A token of an earlier generation: the tracker is started at a place of that.
func TestTrackerStartsInEarlierGeneration(t *testing.T) {
	s := &plainSink{room: 1 << 30}
	tr := newTracker(3, s, true, func(d time.Duration) time.Duration { return d })
	tr.batch(0, batchIn(2, of(2, ev(6))))
	tr.start(ms, at(6))
	expect(t, tr, s, "", ms)
	tr.ask(ms)
	last := wire.Position{Partition: 3, Epoch: epochOf(2, 1), Pos: 6, Quiet: 6}
	tr.answered(2*ms, &wire.EventsResult{Last: last, Events: []wire.Event{lostAt(2, 4), of(2, ev(5)), of(2, ev(6))}})
	expect(t, tr, s, "lost 2:5 2:6", never)
}

func TestTrackerFullSink(t *testing.T) {
	tr, s := started(at(0))
	s.room = 1
	tr.batch(0, batchOf(ev(1), ev(2)))
	tr.batch(ms, batchOf(ev(3)))
	if tr.next() != never {
		t.Fatal("asks for what there is no room for")
	}
	s.room = 2
	tr.unblock(10 * ms)
	expect(t, tr, s, "1", 10*ms)
	tr.ask(10 * ms)
	tr.answered(20*ms, answerOf(3, lostAt(1, 2), ev(3)))
	expect(t, tr, s, "1 lost 3", never)
	// The sign for what is lost needs room too.
	s.room = 0
	tr.suspect(2000*ms, 0)
	tr.ask(2000 * ms)
	tr.answered(2001*ms, answerOf(9, lostAt(1, 8), ev(9)))
	s.room = 9
	tr.unblock(2002 * ms)
	tr.ask(2002 * ms)
	tr.answered(2003*ms, answerOf(9, lostAt(1, 8), ev(9)))
	expect(t, tr, s, "1 lost 3 lost 9", never)
}

func TestTrackerHeldIsBounded(t *testing.T) {
	tr, s := started(at(0))
	for seq := uint64(2); seq < 3*maxHeld; seq++ {
		tr.batch(0, batchOf(ev(seq)))
	}
	if len(tr.held) > maxHeld {
		t.Fatalf("%d events are held", len(tr.held))
	}
	tr.batch(0, batchOf(ev(1)))
	if len(s.taken) != maxHeld+1 {
		t.Fatalf("%d events were taken", len(s.taken))
	}
	if next := tr.next(); next != 50*ms { // for those that there was no room for
		t.Fatalf("the owner is asked at %v", time.Duration(next))
	}
	large := ev(5 * maxHeld)
	large.New = make([]byte, maxHeldBytes+1)
	tr.batch(0, batchOf(large))
	if len(tr.held) != 0 {
		t.Fatal("an event above the bound is held")
	}
}
