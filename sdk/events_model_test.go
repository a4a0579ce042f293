package sdk

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// modelRing is one map in one partition as its owner keeps it, with all that ever happened in the history of its generation.
type modelRing struct {
	history    []wire.Event
	gone       int    // history[gone:] are in the ring
	pos        uint64 // of the partition
	quiet      uint64 // of the map's last event, or of that of other maps that have ended
	exists     bool
	generation uint64
	epoch      uint64
	begun      []modelBegin
	sent       int   // history[:sent] are published
	clock      int64 // cluster time, which goes on with each change
}

// modelWatermark is where the map stood at a cluster time.
type modelWatermark struct {
	wire.Position
	asOf int64
}

func (r *modelRing) watermark() modelWatermark { return modelWatermark{r.stand(), r.clock} }

// modelBegin is where a generation began with what was left of the one before.
type modelBegin struct {
	generation, pos uint64
	loss            bool // history may have been lost
}

func (r *modelRing) stand() wire.Position {
	return wire.Position{Partition: 3, Epoch: epochOf(r.generation, r.epoch), Pos: r.pos, Quiet: r.quiet}
}

func (r *modelRing) emit(kind wire.EventKind, flags uint8) {
	r.exists = true
	r.pos++
	r.history = append(r.history, wire.Event{Kind: kind, Flags: flags, Pos: r.pos, Since: r.quiet, Version: uint64(wire.StampOf(r.generation, r.pos)),
		Time: r.clock})
	r.quiet = r.pos
	r.clock++ // whoever made the change hears of it a little later
}

// otherEnds makes another map end that had an event last.
func (r *modelRing) otherEnds() {
	r.pos++
	if !r.exists {
		r.quiet = r.pos
	}
}

// recover goes over to the next generation, with the first n events of the history. hurt says that it is known that some may
// be missing.
func (r *modelRing) recover(n int, hurt bool) {
	lost := r.history[n:]
	r.history = r.history[:n:n]
	if len(lost) > 0 && r.pos > 0 {
		r.pos = lost[0].Pos - 1
		r.quiet = lost[0].Since
	}
	r.exists = n > 0
	r.gone, r.sent = min(r.gone, n), min(r.sent, n)
	r.generation++
	r.epoch = 1
	r.begun = append(r.begun, modelBegin{r.generation, r.pos, hurt})
}

// publish returns the messages for what is not published yet.
func (r *modelRing) publish() (messages []wire.EventBatch) {
	for _, e := range r.history[max(r.sent, r.gone):] {
		n := len(messages) - 1
		if n >= 0 && messages[n].Events[len(messages[n].Events)-1].Pos == e.Pos-1 {
			messages[n].Events, messages[n].AsOf = append(messages[n].Events, e), e.Time
		} else {
			messages = append(messages, wire.EventBatch{Partition: 3, Epoch: epochOf(r.generation, r.epoch), AsOf: e.Time, Events: []wire.Event{e}})
		}
	}
	r.sent = len(r.history)
	return messages
}

// events answers like a member, from the description of the answer: everything after the place, with a sign where some is
// not to be had or was lost with a generation.
func (r *modelRing) events(from place, limit int) *wire.EventsResult {
	res := &wire.EventsResult{Last: r.stand(), AsOf: r.clock}
	if from.pos == wire.PosNow {
		return res
	}
	add := func(e wire.Event) bool {
		if len(res.Events) == limit {
			res.More = true
			return false
		}
		res.Events = append(res.Events, e)
		return true
	}
	pos := from.pos
	var signs []wire.Event
	for _, b := range r.begun {
		if b.generation <= from.generation {
			continue
		}
		if b.loss || pos > b.pos {
			signs = append(signs, lostAt(b.generation, b.pos))
		}
		pos = min(pos, b.pos)
	}
	for i, e := range r.history {
		if e.Pos <= pos {
			continue
		}
		for len(signs) > 0 && signs[0].Pos < e.Pos {
			if !add(signs[0]) {
				return res
			}
			signs = signs[1:]
		}
		if i < r.gone { // all up to the ring's first are lost
			sign := lostAt(max(from.generation, wire.Stamp(e.Version).Generation()), e.Pos)
			if n := len(res.Events); n > 0 && res.Events[n-1].Kind == wire.EventLost {
				res.Events[n-1] = sign
			} else if !add(sign) {
				return res
			}
			continue
		}
		e.Flags = 0
		if !add(e) {
			return res
		}
	}
	for _, sign := range signs {
		if !add(sign) {
			return res
		}
	}
	return res
}

// checkedSink remembers what was taken, to be compared with the truth in the end.
type checkedSink struct {
	t      *rapid.T
	ring   *modelRing
	room   int
	losing bool // something may be lost by now: else there is no reason for LOST
	stream []wire.Event
}

func (s *checkedSink) wants(e *wire.Event) bool { return e.Kind != wire.EventTTL }

func (s *checkedSink) take(_ uint32, e *wire.Event) bool {
	if s.room == 0 {
		return false
	}
	s.room--
	if e.Kind == wire.EventLost && !s.losing {
		s.t.Fatalf("LOST at %d, although nothing is", e.Pos)
	}
	if e.Flags&wire.EventFetch != 0 {
		s.t.Fatalf("event %d was taken without its values", e.Pos)
	}
	s.stream = append(s.stream, *e)
	return true
}

// check compares what was taken with the history, of which the listener knew the first so many events from before. lost says
// that a generation began of which it must have been told.
func (s *checkedSink) check(knew int, lost bool) {
	// What there is of the history, and the number of LOST signs that came before.
	index := make(map[uint64]int) // by version, which tells events apart as a position does not
	for i, e := range s.ring.history {
		if e.Kind != wire.EventTTL {
			index[e.Version] = i
		}
	}
	next, sign, losses := knew, false, 0
	taken := make(map[uint64]bool)
	for _, e := range s.stream {
		if e.Kind == wire.EventLost {
			sign = true
			losses++
			continue
		}
		if taken[e.Version] {
			s.t.Fatalf("event %d of generation %d comes again", e.Pos, wire.Stamp(e.Version).Generation())
		}
		taken[e.Version] = true
		i, ok := index[e.Version]
		if !ok { // it was lost with its generation: there is a sign before what is left goes on
			next, sign = -1, false
			continue
		}
		switch {
		case sign:
		case next < 0:
			s.t.Fatalf("event %d of generation %d follows one that has been lost", e.Pos, wire.Stamp(e.Version).Generation())
		case i < next:
			s.t.Fatalf("event %d of generation %d is out of order", e.Pos, wire.Stamp(e.Version).Generation())
		default:
			s.checkHole(next, i)
		}
		next, sign = i+1, false
	}
	if !sign && next < 0 {
		s.t.Fatalf("in the end nothing tells that the last event taken has been lost")
	}
	if !sign {
		s.checkHole(next, len(s.ring.history))
	}
	if lost && losses == 0 {
		s.t.Fatalf("a generation began with something missing, and nothing tells of it")
	}
}

// checkHole checks that the history has nothing to be heard of from one index to before another.
func (s *checkedSink) checkHole(from, to int) {
	for _, e := range s.ring.history[min(from, to):to] {
		if e.Kind != wire.EventTTL {
			s.t.Fatalf("event %d of generation %d is missing", e.Pos, wire.Stamp(e.Version).Generation())
		}
	}
}

// Whatever the network loses, repeats, delays and reorders, however slow the listener is, and whatever a partition loses when
// it is recovered: each event is taken once and in order, or there is a sign that some are lost. In the end all has been taken.
func TestTrackerAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ring := &modelRing{generation: 1, epoch: 1}
		keeps := rapid.Bool().Draw(t, "the ring keeps everything")
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			ring.emit(wire.EventAdded, 0)
		}
		ring.sent = len(ring.history)
		knew, mustLose := len(ring.history), false
		sink := &checkedSink{t: t, ring: ring, room: 1 << 30}
		tr := newTracker(3, sink, true, func(d time.Duration) time.Duration { return d })
		now := int64(0)
		start := ring.stand()
		tr.hear(now, start.Epoch)
		tr.start(now, placeAt(&start))

		var messages []wire.EventBatch
		var watermarks []modelWatermark
		var answer *wire.EventsResult // what the owner has answered to the request under way; nil: nothing yet
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "which") }
		write := func(*rapid.T) {
			kind := rapid.SampledFrom([]wire.EventKind{wire.EventAdded, wire.EventUpdated, wire.EventCleared, wire.EventTTL}).Draw(t, "kind")
			flags := rapid.SampledFrom([]uint8{0, 0, 0, wire.EventFetch}).Draw(t, "flags")
			ring.emit(kind, flags)
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": write, "write again": write,
			"destroy":    func(*rapid.T) { ring.exists = false },
			"other map":  func(*rapid.T) { ring.pos++ },
			"other ends": func(*rapid.T) { ring.otherEnds() },
			"owner":      func(*rapid.T) { ring.epoch++ },
			"forget": func(t *rapid.T) {
				if keeps || ring.gone == len(ring.history) {
					t.Skip()
				}
				ring.gone++
				sink.losing = true
			},
			"recover": func(t *rapid.T) {
				if len(ring.begun) == 3 {
					t.Skip()
				}
				least := 0 // what the generation began with, every replica of it has
				for _, e := range ring.history {
					if len(ring.begun) > 0 && e.Pos <= ring.begun[len(ring.begun)-1].pos {
						least++
					}
				}
				n := rapid.IntRange(max(least, len(ring.history)-4), len(ring.history)).Draw(t, "left")
				hurt := n < len(ring.history) || rapid.Bool().Draw(t, "possible loss")
				if hurt && rapid.IntRange(0, 9).Draw(t, "nothing is left") == 0 {
					n = 0
					ring.begun, ring.pos, ring.quiet = nil, 0, 0
				}
				knew = min(knew, n)
				ring.recover(n, hurt)
				sink.losing, mustLose = sink.losing || hurt, mustLose || hurt
			},
			"publish": func(*rapid.T) { messages = append(messages, ring.publish()...) },
			"message": func(t *rapid.T) {
				if len(messages) == 0 {
					t.Skip()
				}
				i := pick(len(messages))
				tr.batch(now, &messages[i])
				if rapid.Bool().Draw(t, "once") {
					messages = append(messages[:i:i], messages[i+1:]...)
				}
			},
			"drop": func(t *rapid.T) {
				if len(messages) == 0 {
					t.Skip()
				}
				i := pick(len(messages))
				messages = append(messages[:i:i], messages[i+1:]...)
			},
			"watermark": func(*rapid.T) { watermarks = append(watermarks, ring.watermark()) },
			"hear watermark": func(t *rapid.T) {
				if len(watermarks) == 0 {
					t.Skip()
				}
				i := pick(len(watermarks))
				tr.watermark(now, &watermarks[i].Position, watermarks[i].asOf)
				watermarks = append(watermarks[:i:i], watermarks[i+1:]...)
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
			"": func(*rapid.T) {
				for i := range tr.held {
					if tr.current() && tr.held[i].Pos <= tr.at.pos || i > 0 && tr.held[i-1].Pos >= tr.held[i].Pos {
						t.Fatalf("held is out of order or past %v: %v", tr.at, tr.held)
					}
				}
				// Whoever was told of a change before the tracker's freshness, must not find it missing here.
				for _, e := range ring.history {
					if e.Time < tr.fresh && tr.at.generation == ring.generation && e.Pos > tr.at.pos {
						t.Fatalf("fresh as of %d at %v, without the event at %d of %d", tr.fresh, tr.at, e.Pos, e.Time)
					}
				}
			},
		})

		sink.room = 1 << 30
		tr.unblock(now)
		if tr.asking {
			tr.answered(now, answer)
		}
		for range 100 {
			now += int64(askEvery)
			watermark := ring.watermark()
			tr.watermark(now, &watermark.Position, watermark.asOf)
			for asks := 0; tr.next() <= now+int64(gapWait); asks++ {
				if asks > len(ring.history)+2*len(ring.begun)+4 {
					t.Fatalf("asks again and again at %v, the owner is at %+v", tr.at, ring.stand())
				}
				tr.answered(now+int64(gapWait), ring.events(tr.ask(now+int64(gapWait)), 4))
			}
		}
		end := ring.stand()
		if tr.at != placeAt(&end) {
			t.Fatalf("in the end it is at %v, the owner at %+v", tr.at, end)
		}
		if tr.fresh != ring.clock || tr.broken != 0 || tr.askAt != never || tr.blocked || len(tr.held) > 0 {
			t.Fatalf("in the end it is not at rest: %+v", tr)
		}
		sink.check(knew, mustLose)
	})
}
