package partition

// Unapplied returns how many bytes of log a partition's replica here has that it has not applied yet.
func (h *Host) Unapplied(partition int) int64 {
	r := h.replicas[partition].Load()
	if r == nil {
		return 0
	}
	return h.log.BytesAfter(r.shard, r.id, r.applied.Load())
}

// Bytes returns the memory that the state of a partition's replica here is counted with; 0 if there is none. It waits for nobody.
func (h *Host) Bytes(partition int) int64 {
	if r := h.replicas[partition].Load(); r != nil {
		return r.bytes.Load()
	}
	return 0
}

// HostLoad is what a host carries, over all its replicas.
type HostLoad struct {
	Replicas               int   // that run
	Owned                  int   // partitions that this process owns
	LogEntries             int   // kept in the Raft logs
	LogBytes               int64 // likewise
	PendingBytes           int64 // of operations that were submitted and not yet applied; bounded by MaxPendingBytes
	WaitingReads           int64
	WaitingBytes           int64 // of reads that wait, and of what is held with Host.Hold; bounded by MaxWaitingBytes
	RecordBytes            int64 // of results that are kept for calls which may be repeated
	FullRecords            int64 // likewise, in the partition that has most of them; bounded by MaxRecordBytes
	Elections              uint64
	OwnerChanges           uint64
	LeaseReads             uint64 // reads that were made under a lease
	InheritedReads         uint64 // reads that were made before the serve-after time
	MajorityReads          uint64 // reads before which a majority was asked
	SuspendedLeases        uint64 // leases that were dropped because the machine was suspended
	StateSnapshotsSent     uint64 // states that were sent to other members' replicas whole, or begun to be
	StateSnapshotsReceived uint64 // states that came so
}

// Bounds of a host: of all replicas together, and the last of each.
const (
	MaxPendingBytes = pendingBytes
	MaxWaitingBytes = waitingBytes
	MaxRecordBytes  = maxRecordBytes
)

// Load returns what the host carries now. Elections are those in which its replicas learned of a leader, OwnerChanges those
// that they applied, since the host was started.
func (h *Host) Load() HostLoad {
	l := HostLoad{PendingBytes: h.pending.Load(), WaitingReads: h.reading.Load(), WaitingBytes: h.waiting.Load(), Elections: h.counts.elections.Load(),
		OwnerChanges: h.counts.ownerChanges.Load(), SuspendedLeases: h.counts.suspends.Load()}
	sent := h.cfg.Transport.Stats()
	l.StateSnapshotsSent, l.StateSnapshotsReceived = sent.SentStateSnapshots, sent.ReceivedStateSnapshots
	for i := range h.replicas {
		l.LeaseReads += h.readCounts[i].lease.Load()
		l.InheritedReads += h.readCounts[i].inherited.Load()
		l.MajorityReads += h.readCounts[i].majority.Load()
		// A partition's reads stay counted when its replica is removed, so they are summed first.
		r := h.replicas[i].Load()
		if r == nil {
			continue
		}
		l.Replicas++
		if r.serving.Load() != 0 {
			l.Owned++
		}
		entries, bytes := h.log.Size(r.shard, r.id)
		l.LogEntries += entries
		l.LogBytes += bytes
		l.RecordBytes += r.records.Load()
		l.FullRecords = max(l.FullRecords, r.records.Load())
	}
	return l
}
