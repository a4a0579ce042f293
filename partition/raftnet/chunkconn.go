package raftnet

import (
	"errors"
	"fmt"
	"net"
	"sync"

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

// SendChunk writes a chunk, or the state snapshot that goes in place of the Raft snapshot, and returns when the operating system has taken it; a write that
// makes no progress fails after Config.WriteTimeout. After an error the connection is of no further use. A chunk above the cap of a frame
// is wire.ErrTooLarge.
func (c *chunkConn) SendChunk(chunk pb.Chunk) error {
	if n := chunkHeadBound(&chunk) + len(chunk.Data); n > maxFrame {
		return fmt.Errorf("%w: a snapshot chunk of %d bytes", wire.ErrTooLarge, n)
	}
	c.mu.Lock()
	err := c.mu.err
	c.mu.Unlock()
	if errors.Is(err, ErrGiveUp) {
		return nil // the chunks after the state snapshot: there is nothing to be said any more
	}
	if err != nil {
		return err
	}
	if c.t.stateSnapshots != nil {
		err = c.sendStateSnapshot(&chunk)
	} else {
		c.head = appendChunkHead(openFrame(c.head[:0]), &chunk, false)
		err = c.writeFrame(chunk.Data)
	}
	if err != nil {
		err = fmt.Errorf("send a snapshot chunk: %w", err)
		c.shut(err)
		return err
	}
	c.t.counters.sentChunks.Add(1)
	return nil
}

// Close closes the connection. What SendChunk has sent still arrives.
func (c *chunkConn) Close() {
	c.shut(errConnClosed)
	c.done.Wait()
	c.t.forget(c)
}

func (c *chunkConn) shut(cause error) {
	c.mu.Lock()
	if c.mu.err == nil {
		c.mu.err = cause
		close(c.gone)
	}
	c.mu.Unlock()
	_ = c.nc.Close() // the cause is what counts
}
