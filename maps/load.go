package maps

import "github.com/gridiron-io/gridiron/partition"

// Load is what a member carries for maps.
type Load struct {
	Bytes       int64 // that the replicas here are counted with, all together
	MaxBytes    int64 // as configured; 0: no bound
	LockWaiters int   // calls that wait here for a lock, or for word that one is lost
	LockBytes   int64 // that locks take in the replicas here, held and remembered ones, and who loads values; part of Bytes
	Maps        int   // that the replicas here keep, each in each partition, those that were emptied a short while ago among them
}

// Load returns what the member carries now.
func (s *Service) Load() Load {
	l := Load{MaxBytes: s.cfg.MaxMemory, LockWaiters: int(s.parking.total.Load())}
	for p := range s.cfg.Partitions {
		s.cfg.Host.View(p, func(m partition.Machine) {
			st := StateOf(m)
			l.Bytes += int64(st.Bytes())
			l.LockBytes += int64(st.LockBytes())
			l.Maps += st.Maps()
		})
	}
	return l
}
