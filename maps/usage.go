package maps

import "github.com/gridiron-io/gridiron/partition"

// Usage is what a member carries for maps.
type Usage struct {
	Bytes       int64 // of all replicas here together
	MaxBytes    int64 // as configured; 0: no bound
	LockWaiters int   // calls that wait here for a lock, or for the loss of a lock
	LockBytes   int64 // of locks and loads in the replicas here, released locks included; part of Bytes
	Maps        int   // in the replicas here, counted once for each partition; maps that were emptied lately count
}

// Usage returns what the member carries now.
func (s *Service) Usage() Usage {
	u := Usage{MaxBytes: s.cfg.MaxMemory, LockWaiters: int(s.waitQueue.total.Load())}
	// Each partition is locked for a moment, one after the other: the sums are not of one instant.
	for p := range s.cfg.Partitions {
		s.cfg.Host.Inspect(p, func(m partition.Machine) {
			st := stateOf(m)
			u.Bytes += int64(st.Bytes())
			u.LockBytes += int64(st.LockBytes())
			u.Maps += st.Maps()
		})
	}
	return u
}
