package service

import (
	"cmp"
	"slices"
)

// Stats are the counts of a Service, from its start on.
type Stats struct {
	Accepted  uint64 // tasks
	Rejected  uint64 // tasks refused because a bound was reached
	Succeeded uint64
	Failed    uint64 // by their own error, panic, time, or the member's stop
	Cancelled uint64

	ArgBytes    int64 // arguments of the tasks that wait or run
	Results     int   // kept
	ResultBytes int64 // kept, with a fixed overhead for each
	Executors   []ExecutorStats
}

// ExecutorStats are the counts of one executor that has work.
type ExecutorStats struct {
	Name    string
	Running int // functions that have not returned, also those of cancelled and timed-out tasks
	Waiting int
}

// Stats returns the counts as of now, with executors sorted by name.
func (s *Service) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.mu.stats
	st.ArgBytes, st.Results, st.ResultBytes = s.mu.argBytes, s.mu.results.len(), s.mu.results.bytes
	st.Executors = make([]ExecutorStats, 0, len(s.mu.pools))
	for _, p := range s.mu.pools {
		st.Executors = append(st.Executors, ExecutorStats{Name: p.name, Running: p.running, Waiting: p.waiting.Len()})
	}

	// The order of a Go map is chance.
	slices.SortFunc(st.Executors, func(a, b ExecutorStats) int { return cmp.Compare(a.Name, b.Name) })
	return st
}
