package bootstrap

import (
	"fmt"
	"io"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A message on a connection is four bytes of length and as many of message.

// writeMessage writes m with its length, in one write.
func writeMessage(w io.Writer, m *Message) error {
	b := AppendMessage(make([]byte, 4, 512), m)
	n := uint32(len(b) - 4)
	b[0], b[1], b[2], b[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	_, err := w.Write(b)
	return err
}

// readMessage reads what writeMessage wrote. Nothing is allocated for a length above MaxMessage.
func readMessage(r io.Reader) (Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, err
	}

	// The length is checked before memory is taken for it: the sender may be anybody.
	n, _, err := wire.FrameLength(head[:], MaxMessage)
	if err != nil {
		return Message{}, err
	}

	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return Message{}, fmt.Errorf("read a bootstrap message of %d bytes: %w", n, err)
	}
	return DecodeMessage(b)
}
