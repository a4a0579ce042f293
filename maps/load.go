package maps

import "github.com/gridiron-io/gridiron/partition"

// Load is what a member carries for maps.
type Load struct {
	Bytes       int64 // that the replicas here are counted with, all together
	MaxBytes    int64 // as configured; 0: no bound
	LockWaiters int   // calls that wait here for a lock, or for word that one is lost
}

// Load returns what the member carries now.
func (s *Service) Load() Load {
	l := Load{MaxBytes: s.cfg.MaxMemory, LockWaiters: int(s.parking.total.Load())}
	for p := range s.cfg.Partitions {
		s.cfg.Host.View(p, func(m partition.Machine) { l.Bytes += int64(StateOf(m).Bytes()) })
	}
	return l
}
