package maps

import (
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
)

// Serving returns the epoch under which this process owns a partition now, or 0.
func (s *Service) Serving(p int) uint64 { return s.cfg.Host.Serving(p) }

// AnswersIn returns for how long this process must not tell anybody what stands in a partition that it owns.
func (s *Service) AnswersIn(p int) time.Duration { return s.cfg.Host.AnswersIn(p) }

// Inspect runs f on the state of a partition under its read lock, and reports whether a replica is here. f must not block.
func (s *Service) Inspect(p int, f func(*state.State)) bool {
	return s.cfg.Host.Inspect(p, func(m partition.Machine) { f(stateOf(m)) })
}

// SetPublished tells up to which position the events of a partition were published by this process.
func (s *Service) SetPublished(p int, pos uint64) { s.cfg.Host.SetPublished(p, pos) }
