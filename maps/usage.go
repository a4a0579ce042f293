package maps

import "github.com/gridiron-io/gridiron/partition"

// Usage is what a member carries for maps.
type Usage struct {
	Bytes       int64 // that the replicas here are counted with, all together
	MaxBytes    int64 // as configured; 0: no bound
	LockWaiters int   // calls that wait here for a lock, or for word that one is lost
	LockBytes   int64 // that locks take in the replicas here, held and remembered ones, and who loads values; part of Bytes
	Maps        int   // that the replicas here keep, each in each partition, those that were emptied a short while ago among them
}

// Usage returns what the member carries now.
func (s *Service) Usage() Usage {
	u := Usage{MaxBytes: s.cfg.MaxMemory, LockWaiters: int(s.waitQueue.total.Load())}
	for p := range s.cfg.Partitions {
		s.cfg.Host.Inspect(p, func(m partition.Machine) {
			st := StateOf(m)
			u.Bytes += int64(st.Bytes())
			u.LockBytes += int64(st.LockBytes())
			u.Maps += st.Maps()
		})
	}
	return u
}
