package wire

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawEvent(t *rapid.T, _ string) Event {
	e := Event{Pos: drawU64(t, "pos"), Instance: drawU64(t, "instance"), Seq: drawU64(t, "seq"), Version: drawU64(t, "version"),
		Time: drawI64(t, "time"), Expires: drawI64(t, "expires"), Kind: EventKind(drawU8(t, "kind")), Flags: drawU8(t, "flags"),
		Key: drawBytes(t, "key"), Old: drawBytes(t, "old"), New: drawBytes(t, "new")}
	e.Since = drawU64(t, "since")
	return e
}

func drawPosition(t *rapid.T, _ string) Position {
	return Position{drawU32(t, "partition"), drawU64(t, "epoch"), drawU64(t, "pos"), drawU64(t, "quiet")}
}

var (
	goldenEvent = Event{Pos: 300, Since: 290, Instance: 2, Seq: 3, Version: 4, Time: 5, Expires: -6, Kind: EventUpdated, Flags: EventFetch,
		Key: []byte("\xa1a"), Old: []byte{8}, New: []byte{9}}
	goldenCleared  = Event{Pos: 1, Kind: EventCleared}
	goldenPosition = Position{Partition: 270, Epoch: 0x0102030405060708, Pos: 301, Quiet: 7}
)

const (
	goldenEventBytes    = "ac02 0a 02 03 04 0a 0b 02 02 02 a161 01 08 01 09"
	goldenClearedBytes  = "01 01 00 00 00 00 00 07 00 00 00 00"
	goldenPositionBytes = "0000010e 0102030405060708 ad02 07"
)

var eventFormats = []*format{
	formatOf("Event", pointed(AppendEvent), reader(DecodeEvent), func(t *rapid.T) Event { return drawEvent(t, "") },
		golden{goldenEventBytes, goldenEvent}, golden{goldenClearedBytes, goldenCleared}),
	formatOf("EventBatch", pointed(AppendEventBatch), DecodeEventBatch,
		func(t *rapid.T) EventBatch {
			return EventBatch{drawU32(t, "partition"), drawU64(t, "epoch"), drawI64(t, "as of"), drawList(t, "event", 5, drawEvent)}
		},
		golden{"0000010e 0102030405060708 ffffffffffffffff 02" + goldenEventBytes + goldenClearedBytes,
			EventBatch{270, 0x0102030405060708, -1, []Event{goldenEvent, goldenCleared}}}),
	formatOf("Positions", AppendPositions, DecodePositions,
		func(t *rapid.T) []Position { return drawList(t, "position", 10, drawPosition) },
		golden{"02" + goldenPositionBytes + "00000001" + strings.Repeat("00", 10), []Position{goldenPosition, {Partition: 1}}},
		golden{"00", []Position{}}),
	formatOf("Watermark", pointed(AppendWatermark), DecodeWatermark,
		func(t *rapid.T) Watermark {
			return Watermark{drawID(t, "member"), drawI64(t, "as of"), drawList(t, "position", 10, drawPosition)}
		},
		golden{"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf 0102030405060708 01" + goldenPositionBytes,
			Watermark{testID(0xa0), 0x0102030405060708, []Position{goldenPosition}}}),
	formatOf("EventsBody", pointed(AppendEventsBody), DecodeEventsBody,
		func(t *rapid.T) EventsBody {
			return EventsBody{drawMapName(t), drawU64(t, "generation"), drawU64(t, "pos"), drawU32(t, "limit")}
		},
		golden{"01 6d 02 ad02 01020304", EventsBody{[]byte("m"), 2, 301, 0x01020304}}),
	formatOf("EventsResult", pointed(AppendEventsResult), DecodeEventsResult,
		func(t *rapid.T) EventsResult {
			return EventsResult{drawPosition(t, ""), drawI64(t, "as of"), drawBool(t, "more"), drawList(t, "event", 5, drawEvent)}
		},
		golden{goldenPositionBytes + "0102030405060708 00 00", EventsResult{goldenPosition, 0x0102030405060708, false, []Event{}}},
		golden{goldenPositionBytes + "0000000000000000 01 01" + goldenEventBytes, EventsResult{goldenPosition, 0, true, []Event{goldenEvent}}}),
}

func TestEventFormats(t *testing.T) { testFormats(t, eventFormats) }

func FuzzEventFormats(f *testing.F) { fuzzFormats(f, eventFormats) }

func TestEventFormatsAllocateByWhatIsThere(t *testing.T) {
	eventFormats[1].testList(t, make([]byte, 20), make([]byte, minEvent), nil)
	eventFormats[2].testList(t, nil, make([]byte, minPosition), nil)
	eventFormats[3].testList(t, make([]byte, 24), make([]byte, minPosition), nil)
	eventFormats[5].testList(t, make([]byte, minPosition+9), make([]byte, minEvent), nil)
}

func TestEventsBodyRefuses(t *testing.T) {
	for name, want := range map[string]error{"": ErrMalformed, "a\n": ErrMalformed, strings.Repeat("x", 256): ErrTooLarge} {
		if e, err := DecodeEventsBody(AppendEventsBody(nil, &EventsBody{Map: []byte(name)})); !errors.Is(err, want) {
			t.Errorf("map %.10q: %+.50v, %v, want %v", name, e, err, want)
		}
	}
}

// Kinds of events are part of the protocol.
func TestEventKinds(t *testing.T) {
	for i, k := range []EventKind{EventAdded, EventUpdated, EventRemoved, EventExpired, EventEvicted, EventLoaded, EventCleared, EventLost, EventTTL} {
		if int(k) != i+1 {
			t.Errorf("kind %d has become %d", i+1, k)
		}
	}
}

func TestSubjectsGolden(t *testing.T) {
	for name, token := range map[string]string{"users": "dXNlcnM", "a.b.>": "YS5iLj4", "*": "Kg", "köln": "a8O2bG4", "??>>": "Pz8-Pg", "~~~": "fn5-", "\xff\xff\xff": "____"} {
		if got := EventSubject(name); got != "grid.ev."+token {
			t.Errorf("EventSubject(%q) = %q", name, got)
		}
		if got := WatermarkSubject(name); got != "grid.beat."+token {
			t.Errorf("WatermarkSubject(%q) = %q", name, got)
		}
	}
}

// No map's name reaches into the subject's structure, and no two maps share a subject.
func TestSubjectsAreTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := string(drawMapName(t)), string(drawMapName(t))
		for _, subject := range []func(string) string{EventSubject, WatermarkSubject} {
			s := subject(a)
			if parts := strings.Split(s, "."); len(parts) != 3 || parts[2] == "" || strings.ContainsAny(parts[2], "*> \t\r\n") {
				t.Fatalf("%q has the subject %q", a, s)
			}
			if (s == subject(b)) != (a == b) {
				t.Fatalf("%q and %q have the subjects %q and %q", a, b, s, subject(b))
			}
		}
		if EventSubject(a) == WatermarkSubject(b) {
			t.Fatalf("events of %q are on the watermarks' subject of %q", a, b)
		}
	})
}
