package rpc

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	readBuffer    = 64 << 10
	maxKeptBuffer = 1 << 20
)

// readLoop is the reader goroutine: it completes all calls whose answers one read brought, then reads again. It ends with the
// connection. It ends the connection when the other side does, or when the other side sends bytes that are no answer.
func (c *Conn) readLoop() {
	defer c.wg.Done()
	var (
		buf        = make([]byte, readBuffer)
		start, end int // the bytes not yet taken
		batch      []arrival
	)
	for {
		n, err := c.nc.Read(buf[end:])
		end += n

		// A read may bring bytes together with an error: the answers in them count.
		if n > 0 {
			c.lastRead.Store(c.cfg.Now())
			var used int
			var bad error
			if used, batch, bad = parse(buf[start:end], c.cfg.MaxFrame, batch[:0]); len(batch) > 0 && bad == nil {
				bad = c.deliver(batch)
			}
			start += used
			if bad != nil {
				c.Fail(fmt.Errorf("answer: %w", bad))
				return
			}
		}

		if err != nil {
			c.Fail(fmt.Errorf("read: %w", noEOF(err)))
			return
		}

		buf, start, end = makeRoom(buf, start, end)
	}
}

// makeRoom makes room after end. It grows the buffer only when one frame fills it, and then to twice its size. So memory follows
// the bytes that have arrived, and not a length that somebody claims.
func makeRoom(buf []byte, start, end int) ([]byte, int, int) {
	switch {
	case start == end:
		// One large answer must not keep its memory for the life of the connection.
		if len(buf) > maxKeptBuffer {
			buf = make([]byte, readBuffer)
		}
		return buf, 0, 0
	case start > 0 && end == len(buf):
		copy(buf, buf[start:end])
		return buf, 0, end - start
	case end == len(buf):
		grown := make([]byte, 2*len(buf))
		copy(grown, buf)
		return grown, 0, end
	}
	return buf, start, end
}

// arrival is one answer that was read. Its Body aliases the read buffer.
type arrival struct {
	wire.Answer
	call    *Call
	untimed bool // Time says nothing of when the request was answered
}

// parse appends the complete answers at the start of b to batch and says how many bytes they take.
func parse(b []byte, limit int, batch []arrival) (used int, _ []arrival, err error) {
	for {
		n, ok, err := wire.FrameLength(b[used:], limit)
		if err != nil {
			return used, batch, err
		}
		// The rest of the frame comes with a later read.
		if !ok || len(b)-used < 4+n {
			return used, batch, nil
		}
		var a arrival
		if err := wire.DecodeAnswer(b[used+4:used+4+n], &a.Answer); err != nil {
			return used, batch, err
		}
		if a.Flags&wire.FlagParts == 0 {
			batch = append(batch, a)
		} else if batch, err = parseParts(&a, batch); err != nil {
			return used, batch, err
		}
		used += 4 + n
	}
}

// parseParts appends the answers in a frame of parts to batch.
func parseParts(a *arrival, batch []arrival) ([]arrival, error) {
	parts := wire.NewReader(a.Body)
	for parts.Len() > 0 {
		if err := wire.DecodeAnswerPart(&parts, &a.Answer); err != nil {
			return batch, err
		}
		batch = append(batch, *a)
		// The member looked at its clock when it began the frame: a later part may be of a request that came after that.
		a.untimed = true
	}
	return batch, nil
}

// deliver hands answers to the calls that wait for them. An error says what is wrong with the first answer that was not handed on.
func (c *Conn) deliver(batch []arrival) (bad error) {
	now := c.lastRead.Load()
	newest, callers := uint64(0), 0
	c.mu.Lock()
	// Fail has told the calls already.
	if c.mu.err != nil {
		c.mu.Unlock()
		return nil
	}

	// Anything that was read shows that the member is there.
	c.mu.unanswered = 0
	for i := range batch {
		a := &batch[i]
		newest = max(newest, a.Table)
		if isView(&a.Answer) {
			// Only the answer to a question allows the next question. A pushed table says nothing about it.
			if a.Flags&wire.FlagPush == 0 {
				c.mu.asked = false
			}
			continue
		}

		// A ping has done its work by being answered. Pushes of other kinds may come from later versions.
		if a.ID == pingID || a.Flags&wire.FlagPush != 0 {
			continue
		}

		// The other side is no member, or confuses connections: nothing that it sends can be trusted.
		if a.ID >= TableID || int(uint32(a.ID)) >= len(c.mu.slots) {
			bad = fmt.Errorf("%w: request ID %d was never given out", wire.ErrMalformed, a.ID)
			// Calls whose answers stood before have left the table, so nobody else would tell them.
			batch = batch[:i]
			break
		}

		// There may be no call: it was abandoned, or has expired.
		if a.call = c.takeLocked(a.ID); a.call != nil && a.call.Finished == nil {
			callers++
		}
	}

	if newest > c.mu.announced {
		c.mu.announced = newest
	}

	// The member has just answered, so its silence counts from now.
	if c.mu.waiting > 0 {
		c.mu.unanswered = now
	}
	c.mu.Unlock()

	// Calls are told without the lock: those who are woken may use the connection at once.
	timed, expected := false, c.cfg.Batcher.expect(callers)
	for i := range batch {
		a := &batch[i]
		switch {
		case a.call != nil:
			// Answers of one read say nearly the same about the clock: one of them is enough.
			if !timed && !a.untimed && c.cfg.OnTime != nil {
				timed = true
				c.cfg.OnTime(a.Time, a.call.sentAt, now)
			}
			a.call.woken = expected && a.call.Finished == nil
			a.call.finish(&a.Answer, nil, true)
		case isView(&a.Answer) && a.Code == wire.CodeOK && c.cfg.OnView != nil:
			c.cfg.OnView(c, a.Body)
		}
		// The batch is used again and must not keep answers in memory.
		*a = arrival{}
	}
	return bad
}

// isView reports whether an answer is a table, asked for or pushed.
func isView(a *wire.Answer) bool {
	return a.Flags&wire.FlagPush != 0 && a.ID == uint64(wire.OpTable) || a.Flags&wire.FlagPush == 0 && a.ID == TableID
}
