package raftnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// deliveryBytes is how much of what one read brought goes into one batch at most; only large frames get there.
const deliveryBytes = 4 << 20

var (
	errStrange    = fmt.Errorf("%w: another deployment or version of Raft messages", wire.ErrMalformed)
	errChunk      = errors.New("raftnet: a snapshot chunk was refused")
	errChunkOrder = fmt.Errorf("%w: a snapshot chunk out of order", wire.ErrMalformed)
)

// Serve reads what another process sends on a connection that it opened and whose hello has been answered. It blocks until
// the connection ends, and closes it. If the hello was read through a buffer, nc.Read must return what is left in it first.
//
// It returns nil when the peer closed the connection between two frames, and ErrNotRunning when the NodeHost does not start
// soon or has closed. It returns an error wrapping wire.ErrMalformed or wire.ErrTooLarge for bytes that are not ours. Other
// errors are ErrTooManyConnections and what the connection failed with.
func (t *Transport) Serve(nc net.Conn, hello wire.Hello) error {
	defer nc.Close()
	if hello.Plane != t.cfg.Plane || hello.Stream > StreamChunks {
		// The connection was meant for another part of the member.
		return fmt.Errorf("%w: plane %d, stream %d", wire.ErrMalformed, hello.Plane, hello.Stream)
	}

	t.awaitStart()
	if err := t.enter(&nc); err != nil {
		return err
	}

	var err error
	if hello.Stream == StreamMessages {
		err = t.receiveMessages(nc)
	} else {
		err = t.receiveChunks(nc)
	}

	running := t.leave(&nc)
	switch {
	case !running:
		// Close has broken the connection. Whatever the read says is a consequence.
		return ErrNotRunning
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, wire.ErrMalformed), errors.Is(err, wire.ErrTooLarge):
		t.counters.malformed.Add(1)
	}
	return fmt.Errorf("raft connection from %s: %w", hello.Name, err)
}

// receiveMessages delivers everything that one read brought as one batch.
func (t *Transport) receiveMessages(nc net.Conn) error {
	in := newFrameReader(nc)
	var batch []pb.Message // reused: a NodeHost copies the messages out before its handler returns
	size := 0
	for {
		payload, ok, err := in.next()
		if ok {
			size += len(payload)
			batch, err = t.decodeMessages(payload, batch)
		}

		if len(batch) > 0 && (!ok || err != nil || size >= deliveryBytes || len(batch) >= maxFrameMessages) {
			// All that one read has brought is delivered together, unless that is too much.
			t.deliver(batch)
			clear(batch) // keeps no entries alive
			batch, size = batch[:0], 0
		}

		if err != nil {
			return err
		}
		if ok {
			// The buffer may hold another frame.
			continue
		}

		size = 0
		n, err := in.fill()
		if err != nil {
			return err
		}
		t.counters.receivedBytes.Add(uint64(n))
	}
}

// decodeMessages appends to batch the messages of a payload that may be passed on.
func (t *Transport) decodeMessages(payload []byte, batch []pb.Message) ([]pb.Message, error) {
	had := len(batch)
	batch, binVer, deploymentID, err := decodeBatch(payload, batch)
	if err != nil {
		return batch, err
	}

	// A batch of another cluster, or of another version of the library's format, is not for this NodeHost.
	if binVer != raftio.TransportBinVersion || deploymentID != t.deploymentID {
		clear(batch[had:])
		return batch[:had], errStrange
	}

	kept := had
	for i := had; i < len(batch); i++ {
		if !admit(&batch[i]) {
			continue
		}
		if kept != i {
			// What is kept closes the gap of what was refused, in the order in which it came.
			batch[kept] = batch[i]
		}
		kept++
	}

	if refused := len(batch) - kept; refused > 0 {
		t.counters.refused.Add(uint64(refused))
		// The batch is reused, and must not keep the entries of refused messages alive.
		clear(batch[kept:])
	}
	return batch[:kept], nil
}

// deliver gives a batch to the NodeHost, in the form that its handleRequest accepts: its own deployment and version, and
// no source address, which would be put into the registry.
func (t *Transport) deliver(batch []pb.Message) {
	t.counters.deliveries.Add(1)
	t.counters.receivedMessages.Add(uint64(len(batch)))
	if !t.cfg.KeepEmpty {
		// Only the quiet gates ask for answers. With KeepEmpty they let everything pass.
		t.answers.note(batch)
	}
	if t.stateSnapshots != nil {
		t.hear(batch)
	}
	if !t.cfg.KeepEmpty {
		// Behind those above, who want to hear of what is held as well.
		var held int
		if batch, held = t.acks.sift(batch); held > 0 {
			t.counters.held.Add(uint64(held))
		}
		if len(batch) == 0 {
			return
		}
	}
	t.handler(pb.MessageBatch{Requests: batch, DeploymentId: t.deploymentID, BinVer: raftio.TransportBinVersion})
}

// hear tells of the answers in a batch, by which a leader knows how far the others are.
func (t *Transport) hear(batch []pb.Message) {
	var now time.Time
	for i := range batch {
		m := &batch[i]
		index := uint64(0)
		switch {
		case m.Type == pb.ReplicateResp && !m.Reject:
			// Only an acceptance says how far the replica's log goes.
			index = m.LogIndex
		case m.Type != pb.ReplicateResp && m.Type != pb.HeartbeatResp:
			continue
		}

		if now.IsZero() {
			now = time.Now()
		}
		t.stateSnapshots.Heard(m.ShardID, m.To, m.From, index, now)
	}
}

// receiveChunks delivers the chunks of one snapshot, or the one that stands for it when its state snapshot is taken.
func (t *Transport) receiveChunks(nc net.Conn) error {
	in := newFrameReader(nc)
	var order chunkOrder
	for {
		payload, ok, err := in.next()
		if err != nil {
			return err
		}
		if !ok {
			// No whole frame is in the buffer, so more has to come.
			n, err := in.fill()
			if err != nil {
				return err
			}
			t.counters.receivedBytes.Add(uint64(n))
			continue
		}

		c, stateSnapshot, err := decodeChunk(payload)
		if err != nil {
			return err
		}

		if c.BinVer != raftio.TransportBinVersion || c.DeploymentId != t.deploymentID {
			// A NodeHost of another cluster, or of another format, has dialed this one.
			return errStrange
		}

		if !order.admit(&c) {
			t.counters.refused.Add(1)
			return errChunkOrder
		}

		// dragonboat panics on a snapshot for a replica whose data it has removed: see Config.Hosts.
		if t.cfg.Hosts != nil && !t.cfg.Hosts(c.ShardID, c.ReplicaID) {
			t.counters.refused.Add(1)
			return errChunk
		}

		// Either both sides carry state snapshots, or neither does.
		if stateSnapshot != (t.stateSnapshots != nil) {
			return errStateSnapshot
		}
		if stateSnapshot {
			if c, err = t.receiveStateSnapshot(&c, nc, in); err != nil {
				return err
			}
		}

		t.counters.receivedChunks.Add(1)
		if !t.chunkHandler(c) {
			// The NodeHost does not take the chunk, so the rest of the snapshot is of no use.
			return errChunk
		}
	}
}
