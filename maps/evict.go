package maps

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/cadence"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// slackShare is which part of a bound is made free beyond what must be: the next writes then find room.
	slackShare = 64
	// evictPause is the least time between two rounds that writes ask for.
	evictPause = 2 * time.Millisecond
	// surveyEvery is how many rounds of upkeep pass at least between two walks over all maps. A walk finds bounds that were configured since.
	surveyEvery = 10
	// surveyMaps is how many maps one round looks at, surveyViews how often it looks at partitions to measure maps that have a bound.
	surveyMaps  = 2000
	surveyViews = 4096
	// shortEvery is how often the memory is measured when less than a quarter of it is left: entries of other owners come here too.
	shortEvery = 20 * time.Millisecond
	// roundVictims bounds the entries that one round evicts, roundBytes the bytes of keys of one operation.
	roundVictims = 2000
	roundBytes   = 128 << 10
	// fitRounds is how many rounds one map gets before the other maps have their turn.
	fitRounds = 16
	// writeOverhead is about what storing a value takes at most beside its bytes: the entry and the remembered result.
	writeOverhead = 256
	// mapOverhead is about what a write takes at most that creates its map.
	mapOverhead = 512
	// roundTimeout is how long a round waits for the log.
	roundTimeout = 2 * time.Second
)

var (
	// errMemory refuses an operation for which this member has no memory.
	errMemory = errors.New("the member's memory is used up")
	// errWaiting refuses a call that would wait where too many wait already.
	errWaiting = errors.New("too much waits at the member")
	// errNoRoom refuses an operation for which another member that holds a replica of the partition has no memory.
	errNoRoom = errors.New("the memory of a member that holds a replica is used up")
)

// evictor keeps maps within their bounds, and the member within its memory. It is one goroutine. Writers touch only its atomic fields.
type evictor struct {
	s      *Service
	bounds bounds
	wake   chan struct{} // one slot
	walk   surveyor
	used   atomic.Int64 // bytes that all replicas here are counted with, as of the last round of upkeep
	memory atomic.Int64 // bytes that there is room for, less what was written since; only with Config.MaxMemory
	since  atomic.Int64 // bytes of writes that were let in since memory was measured

	measured atomic.Int64 // when used was measured, see elapsed
}

func (e *evictor) init(s *Service) {
	e.s, e.wake = s, make(chan struct{}, 1)
	e.memory.Store(s.cfg.MaxMemory)
}

// admit reserves memory for a write of a partition that stores so many values, in a body of so many bytes. It returns the bound of the map,
// nil if the map has none, or why the write is refused.
func (e *evictor) admit(p uint32, name []byte, cfg *wire.MapConfig, values, body int) (*bound, error) {
	var b *bound
	if cfg.Bounded() {
		b = e.bounds.get(name)
	}
	if err := e.take(p, int64(body+values*writeOverhead+mapOverhead), b); err != nil {
		return nil, err
	}
	return b, nil
}

// reserve takes memory for something that is no entry, such as a lock.
func (e *evictor) reserve(p uint32, bytes int) error { return e.take(p, int64(bytes), nil) }

// take takes memory for an operation of a partition, here and at the members that hold other replicas. The error says whose memory is used
// up. b is the bound of the map, if it has one: then the evictor makes room.
func (e *evictor) take(p uint32, bytes int64, b *bound) error {
	most := e.s.cfg.MaxMemory
	if most > 0 {
		room := e.memory.Load()
		if others := e.s.owners() - 1; others > 0 {
			// The other owners fill replicas here too. What they have let in since is not known; assume as much as this owner, each.
			theirs := int64(others) * e.since.Load()
			if theirs > room/4 {
				e.wakeUp() // measure: the assumption weighs too much
			}
			room -= theirs
		}

		// A map that makes room by itself may borrow some: eviction runs behind the writes, and must not refuse them meanwhile.
		if b != nil {
			room += most / 16
		}
		if b != nil && room-bytes < most/16 {
			e.wakeUp()
		}
		if room < bytes {
			return fmt.Errorf("%w: %d of %d bytes", errMemory, e.used.Load(), most)
		}
	}

	// The other replicas apply whatever the log says, so their room counts before the write is proposed.
	if e.s.cfg.Room != nil {
		if err := e.s.cfg.Room(p, bytes, b != nil); err != nil {
			return fmt.Errorf("%w: %w", errNoRoom, err)
		}
	}

	// Only now: what another member has refused takes nothing here.
	if most > 0 {
		if left := e.memory.Add(-bytes); left < e.low() && left+bytes >= e.low() {
			e.wakeUp() // from here on it is measured more often
		}
		e.since.Add(bytes)
	}
	return nil
}

// low returns below how much memory that is left it is measured every shortEvery.
func (e *evictor) low() int64 { return e.s.cfg.MaxMemory / 4 }

// wakeUp makes the evictor look at the bounds soon. It never blocks.
func (e *evictor) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run keeps bounds and memory until ctx ends.
func (e *evictor) run(ctx context.Context) {
	tick := time.NewTimer(cadence.Next(upkeepEvery))
	defer tick.Stop()
	short := time.NewTimer(time.Hour)
	defer short.Stop()
	waiting := false // for short
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()

	for rounds := 0; ; {
		// With much memory left, the measure of each upkeep round is often enough.
		if !waiting && e.memory.Load() < e.low() {
			short.Reset(shortEvery)
			waiting = true
		}

		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Reset(cadence.Next(upkeepEvery))
			rounds++
			e.survey(rounds%surveyEvery == 0)
			e.relieve(ctx)
		case <-short.C:
			if waiting = false; e.memory.Load() < e.low() {
				e.relieve(ctx)
			}
		case <-e.wake:
			// Writes ask for many rounds in a row. Gather them.
			pause.Reset(evictPause)
			select {
			case <-ctx.Done():
				return
			case <-pause.C:
			}
			// A measure looks at all partitions. Only used up memory, or an assumption that weighs too much, is worth one.
			if e.s.cfg.MaxMemory > 0 && (e.memory.Load() < 0 || int64(e.s.owners()-1)*e.since.Load() > e.memory.Load()/4) {
				e.relieve(ctx)
			}
		}

		// A bound below zero says that its map may be too large, whoever has woken the evictor.
		e.bounds.each(func(b *bound) {
			if b.entries.Load() < 0 || b.bytes.Load() < 0 {
				e.fit(ctx, b)
			}
		})
	}
}

// surveyor is one walk over the maps of the partitions that this member owns, some of them with each round of upkeep. It belongs to the
// evictor's goroutine.
type surveyor struct {
	partition int
	after     string   // the name of the last map that was looked at there
	walking   bool     // a walk is under way
	again     []*bound // known bounds that this walk has still to measure
}

// survey goes on with the walk over all maps, for some of them. The walk finds maps that got a bound though nobody has written to them since,
// and measures all maps that had one. With begin set, a walk that has ended starts again.
func (e *evictor) survey(begin bool) {
	w := &e.walk
	if !w.walking {
		if !begin {
			return
		}
		*w = surveyor{walking: true}
		e.bounds.each(func(b *bound) { w.again = append(w.again, b) })
		e.s.tallies.walk.Add(1)
	}

	// Measuring a map looks at every partition: not all maps in one round.
	n := min(len(w.again), max(1, surveyViews/e.s.cfg.Partitions))
	// Less than no room makes the next round measure the map.
	for _, b := range w.again[:n] {
		b.entries.Store(-1)
	}
	w.again = w.again[n:]

	for left := surveyMaps; left > 0 && w.partition < e.s.cfg.Partitions; {
		var names []string
		more := false
		// Names are gathered under the partition's lock. Looking them up happens without it.
		if e.s.cfg.Host.Serving(w.partition) != 0 {
			e.s.cfg.Host.Inspect(w.partition, func(m partition.Machine) {
				more = stateOf(m).EachMap(w.after, min(left, mapsAtOnce), func(name string, _, _ uint64, _ state.MapStats) { names = append(names, name) })
			})
		}
		for _, name := range names {
			if cfg := e.s.config([]byte(name)); cfg.Bounded() {
				e.bounds.get([]byte(name))
			}
			e.s.tallies.seen(name)
			w.after = name
		}

		// Only maps use up the round: a partition without any is soon passed.
		left -= len(names)
		if !more {
			w.partition, w.after = w.partition+1, ""
		}
	}

	// Tallies are dropped only after a whole walk, which has met every map that lives here.
	if w.walking = w.partition < e.s.cfg.Partitions || len(w.again) > 0; !w.walking {
		e.s.tallies.forget()
	}
}

// measure returns how much of a map this member owns.
func (e *evictor) measure(name []byte) (parts []held, entries, bytes int64) {
	for p := range e.s.cfg.Partitions {
		// The bound holds for what this member owns. Each owner keeps its part within the bound.
		if e.s.cfg.Host.Serving(p) == 0 {
			continue
		}
		e.s.cfg.Host.Inspect(p, func(m partition.Machine) {
			if st := stateOf(m).Stats(name); st.Held > 0 {
				parts = append(parts, held{p, st.Held})
				entries += int64(st.Entries)
				bytes += int64(st.Bytes)
			}
		})
	}
	return parts, entries, bytes
}

// fit evicts from a map until it is within its bounds, nothing more can be evicted, or other maps have their turn.
func (e *evictor) fit(ctx context.Context, b *bound) {
	for range fitRounds {
		// The configuration is read in each round: an operator may change it meanwhile.
		cfg := e.s.config(b.name)
		wasEntries, wasBytes := b.entries.Load(), b.bytes.Load()
		parts, entries, bytes := e.measure(b.name)
		if !cfg.Bounded() || parts == nil {
			e.bounds.forget(b) // until somebody writes to it
			return
		}

		// Add, not store: what is written meanwhile counts against the new measure.
		overEntries, overBytes := excess(entries, cfg.MaxEntries), excess(bytes, cfg.MaxBytes)
		b.entries.Add(room(entries, cfg.MaxEntries) - wasEntries)
		b.bytes.Add(room(bytes, cfg.MaxBytes) - wasBytes)

		// The map is within its bounds, or nothing more of it can be evicted.
		if overEntries <= 0 && overBytes <= 0 || e.round(ctx, b, cfg.Eviction, parts, overEntries, overBytes) == 0 {
			return
		}
	}

	// The map is still too large. The other maps have their turn first.
	e.wakeUp()
}

// room returns how much more a bound allows; 0 is no bound.
func room(n int64, most uint64) int64 {
	// So large a number never goes below zero, and leaves room for sums.
	if most == 0 || most > 1<<62 {
		return 1 << 62
	}
	return int64(most) - n
}

// excess returns how much must go if there is more than a bound allows: the excess itself, and some more for the next writes.
func excess(n int64, most uint64) int64 {
	if r := room(n, most); r < 0 {
		return int64(most/slackShare) - r
	}
	return 0
}

// round evicts entries of a map, and returns how many.
func (e *evictor) round(ctx context.Context, b *bound, policy wire.EvictionPolicy, parts []held, entries, bytes int64) uint64 {
	// The sample grows with what must go, since only its worst part is evicted.
	size := max(sampleWhole, sampleEach*min(int(entries), roundVictims))
	list := e.s.sample(b, policy, parts, size)
	total := 0
	for _, p := range parts {
		total += p.entries
	}

	// From a sample only its worst part may be taken: the rest is not the worst of the map.
	most := roundVictims
	if len(list) < total {
		most = min(most, len(list)/sampleEach+1)
	}
	victims := choose(list, entries, bytes)
	return e.evict(ctx, b.name, victims[:min(len(victims), most)])
}

// evict proposes evictions, waits for them, and returns how many entries were evicted.
func (e *evictor) evict(ctx context.Context, name []byte, victims []candidate) (gone uint64) {
	byPartition := make(map[int][]candidate)
	for _, v := range victims {
		byPartition[v.partition] = append(byPartition[v.partition], v)
	}

	// There is room for every answer: an operation that comes late must not block the goroutine that applies it.
	done := make(evictions, len(victims))
	ops := 0
	for p, list := range byPartition {
		for len(list) > 0 {
			body, size := wire.EvictBody{Map: name}, 0
			// One entry of the log must not grow too large, so the keys of a partition may need several operations.
			for len(list) > 0 && size < roundBytes && len(body.Keys) < wire.MaxKeys {
				body.Keys, body.Versions = append(body.Keys, list[0].key), append(body.Versions, list[0].version)
				size += len(list[0].key)
				list = list[1:]
			}
			e.s.cfg.Host.Submit(p, &entry.Op{Code: wire.OpEvictMany, Body: wire.AppendEvictBody(nil, &body), Keys: len(body.Keys)}, done)
			ops++
		}
		e.s.cfg.Host.Flush(p)
	}

	// A partition without a majority answers late. The other maps must not wait for it.
	timeout := time.NewTimer(roundTimeout)
	defer timeout.Stop()
	for range ops {
		select {
		case n := <-done:
			gone += n
		case <-timeout.C: // the next measure sees what comes later
			return gone
		case <-ctx.Done():
			return gone
		}
	}
	return gone
}

// evictions is told how many entries each operation of a round has evicted. It has room for all of them.
type evictions chan uint64

// Complete tells it.
func (c evictions) Complete(o partition.Outcome, r entry.Result) {
	var n uint64
	// An operation that was not applied evicted nothing, and is counted too: the round waits for so many answers.
	if o == partition.Applied {
		n, _ = binary.Uvarint(r.Body)
	}
	c <- n
}

// relieve measures the member's memory. If it is used up, relieve evicts from all maps that have a bound, full or not, from each its share.
func (e *evictor) relieve(ctx context.Context) {
	most := e.s.cfg.MaxMemory
	if most <= 0 {
		return
	}

	// Add, not store: what is written meanwhile counts against the new measure.
	was, since := e.memory.Load(), e.since.Load()

	used := e.sum(elapsed())
	left := most - used
	// Replicas that are being built will take their room whatever else is written.
	if e.s.cfg.Expected != nil {
		left -= e.s.cfg.Expected()
	}

	e.memory.Add(left - was)
	e.since.Add(-since)

	// Only what is in use is evicted for. Room that replicas will take keeps writes out, and evicts nothing.
	need := excess(used, uint64(most))
	if need == 0 {
		return
	}

	type share struct {
		b     *bound
		parts []held
		bytes int64
	}

	// All maps are measured first, since a share is a part of their sum.
	var shares []share

	total := int64(0)
	e.bounds.each(func(b *bound) {
		parts, _, bytes := e.measure(b.name)
		shares = append(shares, share{b, parts, bytes})
		total += bytes
	})

	for _, sh := range shares {
		// A map without entries here has nothing to give. The sum may be zero then.
		if sh.bytes == 0 {
			continue
		}

		policy := e.s.config(sh.b.name).Eviction
		for left := int64(float64(need) * float64(sh.bytes) / float64(total)); left > 0 && ctx.Err() == nil; {
			before := sh.bytes

			// Nothing more of the map can be evicted now, so the rest of its share stays.
			if e.round(ctx, sh.b, policy, sh.parts, 0, left) == 0 {
				break
			}
			sh.parts, _, sh.bytes = e.measure(sh.b.name)
			if sh.bytes >= before {
				break // writes are as fast as the evictions
			}

			left -= before - sh.bytes
		}
	}
}
