package raftnet

import "sync/atomic"

// Stats is what a Transport has counted since it was made. The numbers of one snapshot are read one after the other.
type Stats struct {
	SentBatches        uint64 // batches queued for a peer; a batch that was suppressed as a whole is not counted
	SentMessages       uint64 // messages in them
	SentBytes          uint64 // bytes written to sockets, frame headers and chunks included
	Writes             uint64 // writes of message batches; SentBatches / Writes is how well they coalesce
	Suppressed         uint64 // Replicates with nothing but a commit index, and heartbeats of quiet groups, that were left out
	Paced              uint64 // Replicates that were sent with a lower commit index, so that followers hear of several commits at once
	DroppedBatches     uint64 // whole batches dropped because the peer's queue was full
	Dropped            uint64 // messages in them, and messages too large for a frame
	Discarded          uint64 // bytes that were queued when their connection broke
	SentChunks         uint64
	SentStateSnapshots uint64 // state snapshots begun

	Deliveries             uint64 // batches handed to the NodeHost
	ReceivedMessages       uint64 // messages in them
	ReceivedBytes          uint64 // bytes read from sockets
	ReceivedChunks         uint64 // chunks handed to the NodeHost
	ReceivedStateSnapshots uint64 // state snapshots that a replica here has taken, or did not need
	Refused                uint64 // messages and chunks that may not come from another process, or could harm this one
	Malformed              uint64 // connections ended for bytes that are not a frame of ours: length, checksum, content
	Injected               uint64 // messages passed on by Inject
	Hurried                uint64 // calls of TellCommits
	Held                   uint64 // acknowledgements that were held back

	Inbound  int // connections being served
	Outbound int // connections to others, snapshot streams included
}

// counters are the Transport's own, written without a lock.
type counters struct {
	sentBatches, sentMessages, sentBytes, writes, suppressed, paced, droppedBatches, dropped, discarded, sentChunks, sentStateSnapshots atomic.Uint64

	deliveries, receivedMessages, receivedBytes, receivedChunks, receivedStateSnapshots, refused, malformed, injected, hurried, held atomic.Uint64
}

// Stats returns the counters. It may be called at any time, also before Start and after Close.
func (t *Transport) Stats() Stats {
	c := &t.counters
	s := Stats{
		SentBatches:            c.sentBatches.Load(),
		SentMessages:           c.sentMessages.Load(),
		SentBytes:              c.sentBytes.Load(),
		Writes:                 c.writes.Load(),
		Suppressed:             c.suppressed.Load(),
		Paced:                  c.paced.Load(),
		DroppedBatches:         c.droppedBatches.Load(),
		Dropped:                c.dropped.Load(),
		Discarded:              c.discarded.Load(),
		SentChunks:             c.sentChunks.Load(),
		SentStateSnapshots:     c.sentStateSnapshots.Load(),
		Deliveries:             c.deliveries.Load(),
		ReceivedMessages:       c.receivedMessages.Load(),
		ReceivedBytes:          c.receivedBytes.Load(),
		ReceivedChunks:         c.receivedChunks.Load(),
		ReceivedStateSnapshots: c.receivedStateSnapshots.Load(),
		Refused:                c.refused.Load(),
		Malformed:              c.malformed.Load(),
		Injected:               c.injected.Load(),
		Hurried:                c.hurried.Load(),
		Held:                   c.held.Load(),
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	s.Inbound, s.Outbound = len(t.mu.inbound), len(t.mu.outbound)
	return s
}
