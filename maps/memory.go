package maps

import "time"

// usedFor is for how long what was measured is told to others.
const usedFor = 5 * time.Millisecond

// owners returns among how many members' writes the room of a member is shared.
func (s *Service) owners() int {
	if s.cfg.Owners == nil {
		return 1
	}
	return max(1, s.cfg.Owners())
}

// Used returns what the replicas on this member are counted with, as of now or some milliseconds ago.
func (s *Service) Used() int64 {
	now := elapsed()
	// A measure looks at all partitions, and many ask at the same time.
	if at := s.evictor.measured.Load(); at != 0 && now-time.Duration(at) < usedFor {
		return s.evictor.used.Load()
	}
	return s.evictor.sum(now)
}

// Size returns what the replica of a partition on this member is counted with; 0 if there is none. It waits for nobody: pings are answered
// with it.
func (s *Service) Size(p int) int64 { return s.cfg.Host.Bytes(p) }

// sum measures what the replicas here are counted with.
func (e *evictor) sum(now time.Duration) (used int64) {
	for p := range e.s.cfg.Partitions {
		// What is in the log and not in the state yet counts. In this order nothing is missed that is applied meanwhile.
		used += e.s.cfg.Host.Unapplied(p)
		used += e.s.Size(p)
	}

	e.used.Store(used)
	e.measured.Store(int64(now))
	return used
}
