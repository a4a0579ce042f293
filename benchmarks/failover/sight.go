package main

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// sight notes when the measured client is told that a partition has another owner: it reads along on the client's connections.
type sight struct {
	mu   sync.Mutex // guards the following
	told map[int][]owned
}

// owned is that a partition was said to be owned.
type owned struct {
	at    time.Time
	owner wire.ID
	epoch uint64
}

func newSight() *sight { return &sight{told: make(map[int][]owned)} }

// dial is for sdk.WithDialer.
func (s *sight) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &seenConn{Conn: c, sight: s}, nil
}

// since returns when, after a moment, the client was first told that a partition has another owner than the given member. It returns the
// zero time if the client was not told.
func (s *sight) since(partition int, other string, after time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.told[partition] {
		// The member itself may have been the owner again in between. Another owner is what was waited for.
		if o.at.After(after) && o.owner.String() != other {
			return o.at
		}
	}
	return time.Time{}
}

// saw takes a table in. Each owner of a partition counts once.
func (s *sight) saw(v *wire.Table, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range v.Partitions {
		pv := &v.Partitions[p]
		if pv.Owner == wire.NoOwner || int(pv.Owner) >= len(v.Members) {
			continue
		}

		// A table repeats what is known. Only a later epoch is news.
		list := s.told[p]
		if n := len(list); n == 0 || list[n-1].epoch < pv.Epoch {
			s.told[p] = append(list, owned{at: now, owner: v.Members[pv.Owner].ID, epoch: pv.Epoch})
		}
	}
}

// seenConn is a connection whose frames are looked at as they arrive. A client has one reader for each.
type seenConn struct {
	net.Conn
	sight   *sight
	greeted bool // the hello's answer has passed
	blind   bool // it carries something else
	buf     []byte
}

// helloHead is the length of what opens a hello and its answer.
const helloHead = 8

func (c *seenConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	// A connection that cannot be read as frames, say one with TLS, is passed on all the same.
	if n > 0 && !c.blind {
		c.buf = append(c.buf, b[:n]...)
		c.look(time.Now())
	}
	return n, err
}

// look takes whole frames out of the buffer.
func (c *seenConn) look(now time.Time) {
	if !c.greeted {
		if len(c.buf) < helloHead {
			return
		}
		n, err := wire.HelloLength([helloHead]byte(c.buf[:helloHead]))
		if c.blind = err != nil; c.blind || len(c.buf) < helloHead+n {
			return
		}
		c.greeted, c.buf = true, c.buf[helloHead+n:]
	}

	// A read may bring several frames, or a part of one.
	for {
		n, ok, err := wire.FrameLength(c.buf, wire.MaxFrame)
		if c.blind = err != nil; c.blind || !ok || len(c.buf) < 4+n {
			break
		}

		var a wire.Answer
		if wire.DecodeAnswer(c.buf[4:4+n], &a) == nil && a.Flags&wire.FlagPush != 0 && wire.Op(a.ID) == wire.OpTable {
			if v, err := wire.DecodeTable(a.Body); err == nil {
				c.sight.saw(v, now)
			}
		}

		c.buf = c.buf[4+n:]
	}

	c.buf = append([]byte(nil), c.buf...) // what is left; the rest may go
}
