package wire

import "encoding/base64"

// Operations of listeners. Interests are addressed to a member, events to the owner of their partition.
const (
	OpEvents     Op = 21 // EventsBody -> EventsResult
	OpInterest   Op = 80 // MapBody: this connection listens to the map -> []Position of the partitions owned here
	OpUninterest Op = 81 // MapBody
)

var eventOps = []Descriptor{
	{Op: OpEvents, Name: "events", Kind: KindRead, Repeatable: true, Check: checkEventsBody},
	{Op: OpInterest, Name: "interest", Kind: KindMember},
	{Op: OpUninterest, Name: "uninterest", Kind: KindMember},
}

func checkEventsBody(_ Op, body []byte) (Contents, error) {
	e, err := DecodeEventsBody(body)
	return Contents{Map: e.Map}, err
}

// EventKind is what happened to an entry.
type EventKind uint8

const (
	EventAdded   EventKind = 1
	EventUpdated EventKind = 2
	EventRemoved EventKind = 3
	EventExpired EventKind = 4
	EventEvicted EventKind = 5
	EventLoaded  EventKind = 6
	EventCleared EventKind = 7
	EventLost    EventKind = 8 // never stored; in an owner's answer it stands for events that are lost
	EventTTL     EventKind = 9 // SetTTL; shown as UPDATED to listeners that ask for expiry changes
)

// Flags of an event.
const (
	EventOmitted uint8 = 1 << 0 // Old, New or both were left out for their size, for good
	EventFetch   uint8 = 1 << 1 // Old and New were left out of this message for its size: ask the owner for them
)

// Event is one change of one map in one partition. Seq counts from 1 within an instance of the map in the partition, without gaps. Pos counts
// over all maps of the partition. Both are the same on all replicas.
//
// In an EventLost only Pos and Version mean something. All events up to Pos that were not listed before are lost. Version is the first version
// of the generation that the next events belong to.
type Event struct {
	Pos      uint64
	Instance uint64 // version of the write that created the map in this partition
	Seq      uint64
	Since    uint64 // no event of the map lies between this position and Pos
	Version  uint64
	Time     int64 // the log's clock in milliseconds of cluster time
	Expires  int64 // of the entry after the change; 0: never
	Kind     EventKind
	Flags    uint8
	Key      []byte // nil for EventCleared
	Old      []byte // nil: none
	New      []byte // nil: none
}

// AppendEvent appends e.
func AppendEvent(dst []byte, e *Event) []byte {
	for _, u := range [...]uint64{e.Pos, e.Pos - e.Since, e.Instance, e.Seq, e.Version} {
		dst = AppendUvarint(dst, u)
	}
	dst = AppendVarint(AppendVarint(dst, e.Time), e.Expires)
	dst = append(dst, byte(e.Kind), e.Flags)
	return AppendBytes(AppendBytes(AppendBytes(dst, e.Key), e.Old), e.New)
}

// minEvent is the least that an event takes.
const minEvent = 12

// DecodeEvent reads what AppendEvent wrote from r. Slices alias r's input.
func DecodeEvent(r *Reader) Event {
	pos := r.Uvarint()
	return Event{Pos: pos, Since: pos - r.Uvarint(), Instance: r.Uvarint(), Seq: r.Uvarint(), Version: r.Uvarint(), Time: r.Varint(),
		Expires: r.Varint(), Kind: EventKind(r.U8()), Flags: r.U8(), Key: r.Bytes(), Old: r.Bytes(), New: r.Bytes()}
}

// Position is a place in the events of one map in one partition: everything up to Pos.
type Position struct {
	Partition uint32
	Epoch     uint64 // of the owner that gave the position; positions of two generations cannot be compared
	Pos       uint64
	Quiet     uint64 // no event of the map lies between this position and Pos
}

func (p *Position) append(dst []byte) []byte {
	dst = AppendU64(AppendU32(dst, p.Partition), p.Epoch)
	return AppendUvarint(AppendUvarint(dst, p.Pos), p.Quiet)
}

func (p *Position) decode(r *Reader) {
	*p = Position{Partition: r.U32(), Epoch: r.U64(), Pos: r.Uvarint(), Quiet: r.Uvarint()}
}

// minPosition is the least that a position takes.
const minPosition = 4 + 8 + 1 + 1

// AppendPositions appends list.
func AppendPositions(dst []byte, list []Position) []byte {
	dst = AppendUvarint(dst, uint64(len(list)))
	for i := range list {
		dst = list[i].append(dst)
	}
	return dst
}

// DecodePositions reads what AppendPositions wrote.
func DecodePositions(b []byte) ([]Position, error) {
	r := NewReader(b)
	list := make([]Position, r.Count(minPosition))
	for i := range list {
		list[i].decode(&r)
	}
	return list, r.Done()
}

// EventBatch is one message on a map's subject: events of one map in one partition in order, published by its owner.
type EventBatch struct {
	Partition uint32
	Epoch     uint64
	AsOf      int64 // cluster time up to which the owner vouches; 0 if it does not
	Events    []Event
}

// AppendEventBatch appends b.
func AppendEventBatch(dst []byte, b *EventBatch) []byte {
	dst = AppendI64(AppendU64(AppendU32(dst, b.Partition), b.Epoch), b.AsOf)
	dst = AppendUvarint(dst, uint64(len(b.Events)))
	for i := range b.Events {
		dst = AppendEvent(dst, &b.Events[i])
	}
	return dst
}

// DecodeEventBatch reads what AppendEventBatch wrote. Slices alias b.
func DecodeEventBatch(b []byte) (EventBatch, error) {
	r := NewReader(b)
	e := EventBatch{Partition: r.U32(), Epoch: r.U64(), AsOf: r.I64()}
	e.Events = make([]Event, r.Count(minEvent))
	for i := range e.Events {
		e.Events[i] = DecodeEvent(&r)
	}
	return e, r.Done()
}

// Watermark says where the events of a map stand in the partitions that a member owns. Each member publishes it once a second while somebody
// listens to the map. A subscriber sees by it that it has missed an event.
type Watermark struct {
	Member    ID
	AsOf      int64 // cluster time up to which the member vouches for the positions; 0 if it does not
	Positions []Position
}

// AppendWatermark appends b.
func AppendWatermark(dst []byte, b *Watermark) []byte {
	return AppendPositions(AppendI64(append(dst, b.Member[:]...), b.AsOf), b.Positions)
}

// DecodeWatermark reads what AppendWatermark wrote.
func DecodeWatermark(b []byte) (Watermark, error) {
	r := NewReader(b)
	watermark := Watermark{Member: r.ID(), AsOf: r.I64()}

	rest := r.Rest()
	if err := r.Err(); err != nil {
		return Watermark{}, err
	}

	var err error
	watermark.Positions, err = DecodePositions(rest)
	return watermark, err
}

// PosNow in an EventsBody asks for no events, only for where the map stands.
const PosNow = 1<<64 - 1

// EventsBody asks the owner of a partition for the events of a map after a position in a generation of the partition.
type EventsBody struct {
	Map        []byte
	Generation uint64
	Pos        uint64
	Limit      uint32 // events at most; 0 is the member's choice, which also bounds the answer in bytes
}

// AppendEventsBody appends e.
func AppendEventsBody(dst []byte, e *EventsBody) []byte {
	return AppendU32(AppendUvarint(AppendUvarint(AppendBytes(dst, e.Map), e.Generation), e.Pos), e.Limit)
}

// DecodeEventsBody reads what AppendEventsBody wrote. Map aliases b.
func DecodeEventsBody(b []byte) (EventsBody, error) {
	r := NewReader(b)
	e := EventsBody{Map: r.Bytes(), Generation: r.Uvarint(), Pos: r.Uvarint(), Limit: r.U32()}
	if err := r.Done(); err != nil {
		return EventsBody{}, err
	}
	return e, CheckMapName(e.Map)
}

// EventsResult answers OpEvents with the events of the map after the given position in order, of every instance and generation. An EventLost
// stands for events that are lost.
type EventsResult struct {
	Last   Position // where the map stands
	AsOf   int64    // cluster time for which Last holds
	More   bool     // ask again from the last event
	Events []Event
}

// AppendEventsResult appends e.
func AppendEventsResult(dst []byte, e *EventsResult) []byte {
	dst = e.Last.append(dst)
	dst = AppendI64(dst, e.AsOf)

	more := uint8(0)
	if e.More {
		more = 1
	}

	dst = append(dst, more)
	dst = AppendUvarint(dst, uint64(len(e.Events)))
	for i := range e.Events {
		dst = AppendEvent(dst, &e.Events[i])
	}
	return dst
}

// DecodeEventsResult reads what AppendEventsResult wrote. Slices alias b.
func DecodeEventsResult(b []byte) (e EventsResult, err error) {
	r := NewReader(b)
	e.Last.decode(&r)
	e.AsOf = r.I64()
	e.More = r.U8() != 0

	// Count has checked that so many events can be there, so a false number takes no memory.
	e.Events = make([]Event, r.Count(minEvent))
	for i := range e.Events {
		e.Events[i] = DecodeEvent(&r)
	}
	return e, r.Done()
}

// Subjects of all maps.
const (
	EventSubjects     = "grid.ev.*"
	WatermarkSubjects = "grid.beat.*"
)

// EventSubject returns the NATS subject of a map's events. The name is encoded: it may hold any UTF-8.
func EventSubject(mapName string) string { return "grid.ev." + subjectToken(mapName) }

// WatermarkSubject returns the NATS subject of a map's watermarks. Its name is part of the protocol.
func WatermarkSubject(mapName string) string { return "grid.beat." + subjectToken(mapName) }

func subjectToken(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// EventsUser is the NATS user, and its password, of connections of the events plane. It may only subscribe to events and watermarks. The
// member has authorised the client before it gets such a connection.
const EventsUser = "subscriber"
