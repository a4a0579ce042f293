package raftnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// StateSnapshots are the states of replicas that are sent to others. Without them a NodeHost copies each byte of a Raft snapshot from
// hand to hand and checks it three times. It writes the snapshot to a file, for which it clears memory of many times that size.
//
// With them a NodeHost streams a Raft snapshot as before, but only its first chunk is sent, without data. The state snapshot follows in
// frames of bytes, up to an empty one. The replica at the receiver takes the state snapshot first. Then its NodeHost is given a Raft
// snapshot that says of itself that it has no data (standIn).
//
// A stream may wait for a long time before its state snapshot is made. So the Raft snapshot that arrives has the index, term and
// membership of the state snapshot, and not those that the NodeHost gave its stream: the receiver's log begins where its state ends.
type StateSnapshots interface {
	// Outgoing waits until a state snapshot of the replica From may go to the replica To, and returns it. It returns nil and no error if
	// To has been given one meanwhile, for another request. The wait ends when gone is closed: the connection is broken. An error ends the
	// stream, as one of WriteTo does.
	Outgoing(gone <-chan struct{}, of Request) (StateSnapshot, error)

	// Incoming reads a state snapshot and has a replica here take it. Errors end the connection; the replica is as it was, then.
	Incoming(shardID, replicaID uint64, src io.Reader) error

	// Heard tells that a replica here has heard from another of its group, which has the log up to an index; 0: it did not say.
	// It is called for each such message and must not block.
	Heard(shardID, replicaID, from, index uint64, now time.Time)
}

// Request is a replica's need of a state snapshot.
type Request struct {
	Shard, From, To uint64 // To and From are replicas

	// What the NodeHost has given its stream: where the state stood when it began, and who belonged to the group there.
	Index, Term uint64
	Membership  pb.Membership
}

// StateSnapshot is a state that no longer changes. One goroutine has it.
type StateSnapshot interface {
	// At returns the index and term of the last entry in the state snapshot, and who belonged to the group there.
	At() (index, term uint64, members pb.Membership)
	// WriteTo is called once. It may take as long as it likes; its errors end the stream, but for ErrGiveUp.
	io.WriterTo
	// Close releases the state snapshot and tells what became of it: nil if the operating system has taken the whole. It is called once.
	Close(err error)
}

// ErrGiveUp is returned by Outgoing and WriteTo if no state snapshot can be had, or if it is no longer wanted. Nothing is wrong at the
// receiver. The connection ends, and the receiver forgets what it has read.
var ErrGiveUp = errors.New("the state snapshot is no longer wanted")

// Carry has t carry state snapshots. It is called before the NodeHost is made, if at all.
func (t *Transport) Carry(stateSnapshots StateSnapshots) { t.stateSnapshots = stateSnapshots }

// pieceSize bounds the bytes of one frame of a state snapshot.
const pieceSize = 256 << 10

var errStateSnapshot = fmt.Errorf("%w: a state snapshot out of place, or that goes on after its end", wire.ErrMalformed)

// sendStateSnapshot sends the state snapshot that a snapshot stands for with the first of its chunks, and nothing with the others.
func (c *chunkConn) sendStateSnapshot(chunk *pb.Chunk) error {
	// The state snapshot stands for the whole Raft snapshot, and follows the first chunk.
	if chunk.ChunkId != 0 {
		return nil
	}

	stateSnapshot, err := c.t.stateSnapshots.Outgoing(c.gone, Request{Shard: chunk.ShardID, From: chunk.From, To: chunk.ReplicaID,
		Index: chunk.Index, Term: chunk.Term, Membership: chunk.Membership})

	// If there is none and no error, another stream has given the receiver what it needs.
	if stateSnapshot != nil {
		c.t.counters.sentStateSnapshots.Add(1)
		err = c.writeStateSnapshot(chunk, stateSnapshot)
		stateSnapshot.Close(err)
	}
	return err
}

// writeStateSnapshot writes a state snapshot behind the chunk that announces it.
func (c *chunkConn) writeStateSnapshot(chunk *pb.Chunk, stateSnapshot StateSnapshot) error {
	bare := *chunk
	// The data of the Raft snapshot is replaced by what follows.
	bare.Data = nil
	bare.Index, bare.Term, bare.Membership = stateSnapshot.At()

	c.head = appendChunkHead(openFrame(c.head[:0]), &bare, true)
	if err := c.writeFrame(nil); err != nil {
		return err
	}

	if _, err := stateSnapshot.WriteTo((*pieceWriter)(c)); err != nil {
		return err
	}

	// An empty frame ends the state snapshot.
	return c.writeFrame(nil)
}

// pieceWriter makes frames of what is written to a chunkConn.
type pieceWriter chunkConn

func (w *pieceWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		// Each frame has a write deadline of its own, so a slow receiver that goes on reading is not given up.
		piece := b[:min(len(b), pieceSize)]
		if err = (*chunkConn)(w).writeFrame(piece); err == nil {
			n, b = n+len(piece), b[len(piece):]
		}
	}
	return n, err
}

// writeFrame writes c.head, in which room for a frame's header was opened, and tail as one frame.
func (c *chunkConn) writeFrame(tail []byte) error {
	if len(c.head) == 0 {
		// Frames of a state snapshot have nothing but their bytes, so the head is opened here.
		c.head = openFrame(c.head)
	}
	closeFrame(c.head, 0, tail)

	if err := c.nc.SetWriteDeadline(time.Now().Add(c.t.cfg.WriteTimeout)); err != nil {
		return err
	}

	// The tail may be large, so it is not copied behind the head.
	parts := net.Buffers{c.head, tail}
	n, err := parts.WriteTo(c.nc)
	c.head = c.head[:0]
	c.t.counters.sentBytes.Add(uint64(n))
	return err
}

// pieceReader reads the bytes of a state snapshot out of the frames of its connection. One that does not go on for Config.WriteTimeout is given
// up: its sender may be frozen, and whoever leads in its place cannot send one before the replica has released this one.
type pieceReader struct {
	t     *Transport
	nc    net.Conn
	in    *frameReader
	rest  []byte // of the present frame
	ended bool
}

func (r *pieceReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 && !r.ended {
		payload, ok, err := r.in.next()
		if err != nil {
			return 0, err
		}
		if ok {
			r.rest, r.ended = payload, len(payload) == 0
			// An empty frame sets ended, and leaves nothing to read.
			continue
		}

		if err := r.nc.SetReadDeadline(time.Now().Add(r.t.cfg.WriteTimeout)); err != nil {
			return 0, err
		}
		n, err := r.in.fill()
		// Only an empty frame ends a state snapshot. A connection that ends before it is broken.
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		r.t.counters.receivedBytes.Add(uint64(n))
	}

	if r.ended {
		return 0, io.EOF
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// receiveStateSnapshot has a replica take the state snapshot that follows the first chunk of a Raft snapshot, and returns the whole Raft
// snapshot for the NodeHost.
func (t *Transport) receiveStateSnapshot(first *pb.Chunk, nc net.Conn, in *frameReader) (pb.Chunk, error) {
	if t.stateSnapshots == nil || first.ChunkId != 0 || len(first.Data) != 0 {
		// A state snapshot comes with the first chunk of a Raft snapshot, which then has no data.
		return pb.Chunk{}, errStateSnapshot
	}

	src := &pieceReader{t: t, nc: nc, in: in}
	if err := t.stateSnapshots.Incoming(first.ShardID, first.ReplicaID, src); err != nil {
		return pb.Chunk{}, err
	}

	// The replica may not have read up to the empty frame. Nothing else may be left.
	if n, err := src.Read(make([]byte, 1)); n != 0 {
		return pb.Chunk{}, errStateSnapshot
	} else if !errors.Is(err, io.EOF) {
		return pb.Chunk{}, err
	}

	// The deadline was for the state snapshot alone.
	if err := nc.SetReadDeadline(time.Time{}); err != nil {
		return pb.Chunk{}, err
	}
	t.counters.receivedStateSnapshots.Add(1)
	return standIn(first), nil
}

// standIn returns a snapshot without data, in one chunk. A NodeHost takes it for one of a witness, a replica that has no state: it sets
// the log and the membership by it, and leaves the state alone.
//
// The file has the form of version 1, which is checked without clearing a block of 2 MB for it.
func standIn(first *pb.Chunk) pb.Chunk {
	c := *first
	c.Witness, c.OnDiskIndex, c.HasFileInfo = true, 0, false
	c.ChunkCount, c.FileChunkCount, c.FileChunkId, c.Filepath = 1, 1, 0, "state.elsewhere"
	c.Data = emptySnapshot
	c.ChunkSize, c.FileSize = uint64(len(c.Data)), uint64(len(c.Data))
	return c
}

// emptySnapshot is the header of a snapshot's file after which nothing follows: its length, itself, no checksum of it, and room.
var emptySnapshot = func() []byte {
	const size = 1024
	h := pb.SnapshotHeader{Version: 1, ChecksumType: pb.CRC32IEEE, PayloadChecksum: make([]byte, 4)} // of nothing
	b := pb.MustMarshal(&h)
	file := binary.LittleEndian.AppendUint64(make([]byte, 0, size), uint64(len(b)))
	return append(file, b...)[:size]
}()
