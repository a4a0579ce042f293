package raftnet

import (
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// chunkConn carries the chunks of one snapshot. SendChunk and Close are called by one goroutine of the NodeHost, shut by
// anyone. One goroutine works for it, started by newChunkConn and ended by shut: it notices when the peer goes away, which is
// how a peer refuses a snapshot.
type chunkConn struct {
	t    *Transport
	nc   net.Conn
	head []byte        // reused
	gone chan struct{} // closed when the connection is broken

	mu struct {
		sync.Mutex
		err error // why the connection is broken; never unset
	}
	done sync.WaitGroup
}

func newChunkConn(t *Transport, nc net.Conn) *chunkConn {
	c := &chunkConn{t: t, nc: nc, gone: make(chan struct{})}
	c.done.Go(func() { watch(c.nc, c.shut) })
	return c
}

// SendChunk writes a chunk, or the state snapshot that goes in place of the Raft snapshot, and returns when the operating system has
// taken it. A write that makes no progress fails after Config.WriteTimeout. Once something has failed, chunks are dropped.
//
// The NodeHost is told of no failure but ErrNotRunning, and wire.ErrTooLarge for a chunk above the cap of a frame. It would blame the
// receiver's whole process, and send the messages of all groups less and less often, up to once a minute. That would last until a
// connection for messages is made again, and none is made while the present one lives. For Raft the snapshot counts as sent. The
// leader's next message to the replica shows that the replica lacks it.
func (c *chunkConn) SendChunk(chunk pb.Chunk) error {
	if n := chunkHeadBound(&chunk) + len(chunk.Data); n > maxFrame {
		return fmt.Errorf("%w: a snapshot chunk of %d bytes", wire.ErrTooLarge, n)
	}
	if c.cause() == nil {
		if err := c.send(&chunk); err == nil {
			c.t.counters.sentChunks.Add(1)
		} else {
			// A connection that was shut before keeps its first cause.
			c.shut(fmt.Errorf("send a snapshot chunk: %w", err))
		}
	}

	if errors.Is(c.cause(), ErrNotRunning) {
		return ErrNotRunning
	}
	return nil
}

func (c *chunkConn) send(chunk *pb.Chunk) error {
	if c.t.stateSnapshots != nil {
		return c.sendStateSnapshot(chunk)
	}
	c.head = appendChunkHead(openFrame(c.head[:0]), chunk, false)
	return c.writeFrame(chunk.Data)
}

// cause returns why the connection is broken, nil if it is not.
func (c *chunkConn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.err
}

// Close closes the connection. What SendChunk has sent still arrives.
func (c *chunkConn) Close() {
	// Acknowledgements that came while the snapshot was sent were none of it.
	c.t.acks.unsettle()
	c.shut(errConnClosed)
	c.done.Wait()
	c.t.forget(c)
}

func (c *chunkConn) shut(cause error) {
	c.mu.Lock()
	if c.mu.err == nil {
		// The first cause stays. Whatever fails after it is a consequence.
		c.mu.err = cause
		// A stream that waits for its state snapshot gives up.
		close(c.gone)
	}
	c.mu.Unlock()
	_ = c.nc.Close() // the cause is what counts
}

// unreachable is the connection for chunks to a process that cannot be dialed.
type unreachable struct{ t *Transport }

var _ raftio.ISnapshotConnection = unreachable{}

// SendChunk drops the chunk.
func (unreachable) SendChunk(pb.Chunk) error { return nil }

// Close only notes that the leader learns of the failure.
func (u unreachable) Close() { u.t.acks.unsettle() }
