package rpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ReadHello reads the bytes of a hello, or of its answer, and no byte further.
func ReadHello(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read a hello: %w", err)
	}

	// The length is checked before memory is taken for it: the sender may be anybody.
	n, err := wire.HelloLength(head)
	if err != nil {
		return nil, err
	}

	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read a hello: %w", err)
	}

	return b, nil
}

// Refusal is the answer of a member that does not do what it is asked.
type Refusal struct {
	Code wire.Code
	Text string
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

// Refuse returns a refusal.
func Refuse(code wire.Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// ExchangeHello says hello and reads the answer, no byte further. The end of ctx, and the timeout, end it. Of a Refusal, the
// answer is returned with the error.
func ExchangeHello(ctx context.Context, nc net.Conn, h *wire.Hello, timeout time.Duration) (wire.HelloAnswer, error) {
	_ = nc.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	a, err := sayHello(nc, h)
	// The end of ctx has set a deadline in the past, so the connection is of no more use.
	if !stop() {
		return a, fmt.Errorf("say hello: %w", ctx.Err())
	}

	if err != nil {
		return a, err
	}

	// From here on the connection's user sets the deadlines.
	return a, nc.SetDeadline(time.Time{})
}

func sayHello(nc net.Conn, h *wire.Hello) (wire.HelloAnswer, error) {
	if _, err := nc.Write(wire.AppendHello(nil, h)); err != nil {
		return wire.HelloAnswer{}, fmt.Errorf("say hello: %w", err)
	}

	b, err := ReadHello(nc)
	if err != nil {
		return wire.HelloAnswer{}, err
	}

	a, err := wire.DecodeHelloAnswer(b)
	if err != nil {
		return a, err
	}

	// A refusal is returned with the answer: it may tell who is there instead.
	if a.Code != wire.CodeOK {
		return a, &Refusal{Code: a.Code, Text: a.Message}
	}

	return a, nil
}
