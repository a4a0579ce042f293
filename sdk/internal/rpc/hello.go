package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Refused is the error of a hello that the member answered with a code other than CodeOK.
type Refused struct {
	Code    wire.Code
	Message string
}

// Error returns the member's message, which says why. Whoever wraps a Refused says by a sentinel what Code means.
func (r *Refused) Error() string {
	if r.Message == "" {
		return fmt.Sprintf("refused as %v", r.Code)
	}
	return "refused: " + r.Message
}

// Greet says h on nc, which was just dialed, and returns the member's answer. It reads no byte beyond the answer. The error is a
// *Refused if the member refused. It wraps wire.ErrMalformed if the other side is no member or speaks only a later version. It is
// ctx's if ctx has ended. After an error the caller must close nc.
func Greet(ctx context.Context, nc net.Conn, h *wire.Hello) (wire.HelloAnswer, error) {
	// Ending ctx makes reads and writes under way fail.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	a, err := greet(nc, h)
	if !stop() {
		return a, fmt.Errorf("hello: %w", context.Cause(ctx))
	}
	return a, err
}

func greet(nc net.Conn, h *wire.Hello) (wire.HelloAnswer, error) {
	if _, err := nc.Write(wire.AppendHello(nil, h)); err != nil {
		return wire.HelloAnswer{}, fmt.Errorf("hello: %w", err)
	}

	// The answer is read by its own length and no further: what follows belongs to the connection.
	var head [8]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return wire.HelloAnswer{}, fmt.Errorf("hello: %w", noEOF(err))
	}
	n, err := wire.HelloLength(head)
	if err != nil {
		return wire.HelloAnswer{}, fmt.Errorf("hello: %w", err)
	}

	// HelloLength has bounded n: whoever answers here need not be a member.
	body := make([]byte, n)
	if _, err := io.ReadFull(nc, body); err != nil {
		return wire.HelloAnswer{}, fmt.Errorf("hello: %w", noEOF(err))
	}

	a, err := wire.DecodeHelloAnswer(body)
	switch {
	case err != nil:
		return a, fmt.Errorf("hello: %w", err)
	case a.Code != wire.CodeOK:
		return a, &Refused{Code: a.Code, Message: a.Message}
	case a.Version < 1 || a.Version > wire.Version:
		// A refusal is told before this, since its text says more.
		return a, fmt.Errorf("hello: %w: the member speaks protocol version %d, this is %d", wire.ErrMalformed, a.Version, wire.Version)
	}
	return a, nil
}

// noEOF makes a connection that ended where more was due say so.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
