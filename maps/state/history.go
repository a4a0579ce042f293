package state

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// maxStarts bounds the generations whose beginnings are remembered.
const maxStarts = 32

// generationStart is where a generation of the partition took over from the generation before.
//
// A generation begins with the state of a survivor. Later events of the generation before are no part of its history, and the generation
// gives their positions and seqs out again. So a position means something only together with its generation. A listener that had come
// further in the earlier generation has heard of events that did not happen in this history.
type generationStart struct {
	generation uint64
	pos        uint64 // of the last event from before
	loss       bool   // changes of the generation before may be missing, of any map
}

// Place is a position in the events of one generation of a partition: everything up to Pos.
type Place struct{ Generation, Pos uint64 }

// Continue turns the state into the state of a later generation of its partition. Every version of that generation is above the versions
// before. It returns an error for an earlier generation.
func (s *State) Continue(generation uint64) error {
	if generation < s.generation {
		return fmt.Errorf("a state of generation %d cannot go on as %d", s.generation, generation)
	}

	// A state that has the generation already is continued without a change.
	if generation > s.generation {
		s.begin(generationStart{generation, s.ring.last, s.loss})
		s.generation, s.loss = generation, false
	}

	return nil
}

// MarkLoss notes that acknowledged operations may be missing from the state. The generation that continues it tells the listeners.
func (s *State) MarkLoss() { s.loss = true }

// begin remembers where a generation began. Beyond maxStarts it forgets the oldest start.
func (s *State) begin(start generationStart) {
	starts := append(s.starts[:len(s.starts):len(s.starts)], start) // the old ones may be part of a frozen view

	// Nobody can say any more what the forgotten generation had: the oldest that is left counts as a loss.
	if len(starts) > maxStarts {
		starts = append([]generationStart(nil), starts[1:]...)
		starts[0].loss = true
	}

	s.starts = starts
}

// startsAfter returns where the generations after a given one began.
func (s *State) startsAfter(generation uint64) []generationStart {
	for i, start := range s.starts {
		if start.generation > generation {
			return s.starts[i:]
		}
	}
	return nil
}

// generationAt returns the generation that follows a position.
func (s *State) generationAt(pos uint64) uint64 {
	for i := len(s.starts) - 1; i >= 0; i-- {
		if s.starts[i].pos <= pos {
			return s.starts[i].generation
		}
	}

	// Before the first known start there was one generation, or several that are forgotten.
	if len(s.starts) > 0 {
		return s.starts[0].generation - 1
	}
	return s.generation
}

// checkHistory looks at what is known of earlier generations and ended maps.
func (s *State) checkHistory() error {
	if s.ended > s.ring.last {
		return fmt.Errorf("a map ended at %d, the last event is %d", s.ended, s.ring.last)
	}

	last := generationStart{}
	for _, start := range s.starts {
		// Generations and positions grow together, and none begins after the last event.
		if start.generation <= last.generation || start.generation > s.generation || start.pos < last.pos || start.pos > s.ring.last {
			return fmt.Errorf("generation %d began at %d, after %d at %d; this is generation %d at %d", start.generation, start.pos,
				last.generation, last.pos, s.generation, s.ring.last)
		}
		last = start
	}
	return nil
}

// encodeHistory writes what checkHistory looks at.
func (i *Snapshot) encodeHistory(w *blockWriter) {
	w.u64(i.ended)
	w.flag(i.loss)
	w.uvarint(uint64(len(i.starts)))
	for _, start := range i.starts {
		w.u64(start.generation)
		w.u64(start.pos)
		w.flag(start.loss)
	}
}

// history reads what encodeHistory wrote.
func (d *decoder) history(s *State) {
	s.ended, s.loss, s.starts = d.u64(), d.flag(), nil
	n := d.uvarint()
	d.must(n <= maxStarts, "%d generations", n)
	for ; n > 0 && d.err == nil; n-- {
		s.starts = append(s.starts, generationStart{d.u64(), d.u64(), d.flag()})
	}
}

// lossMark is where a listener is told that events are lost.
type lossMark struct{ generation, pos uint64 }

// event returns the event that tells a listener of the loss.
func (l lossMark) event() wire.Event {
	return wire.Event{Kind: wire.EventLost, Pos: l.pos, Version: uint64(wire.StampOf(l.generation, 0))}
}
