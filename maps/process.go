package maps

import (
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// errNoProcessor refuses a call of a processor that this member does not have.
var errNoProcessor = errors.New("no such processor")

// prepareUpdate makes sure that every replica can carry out a built-in processor. It returns the body for the log, in c's buffer.
func (s *Service) prepareUpdate(c *call, op wire.Op, body []byte) ([]byte, error) {
	u, err := updateOf(op, body)
	if err != nil {
		return nil, err
	}
	if len(u.Arg) > s.cfg.MaxValue {
		return nil, fmt.Errorf("%w: an argument of %d bytes, the limit is %d", wire.ErrTooLarge, len(u.Arg), s.cfg.MaxValue)
	}
	if err := u.CheckRequest(); err != nil {
		return nil, err
	}

	// What the map is configured for holds for an entry that does not exist yet.
	if _, err := s.storing(c, u.Map, &u.WriteOptions, 1, len(body)); err != nil {
		return nil, err
	}
	// Replicas may be configured for other sizes, and must agree on whether the new value is too large.
	u.Most = uint64(s.cfg.MaxValue)
	c.body = wire.AppendUpdateBody(c.body[:0], &u)
	return c.body, nil
}

// updateOf returns the update that a call asks for.
func updateOf(op wire.Op, body []byte) (wire.UpdateBody, error) {
	if op == wire.OpUpdate {
		return wire.DecodeUpdateBody(body)
	}

	e, err := wire.DecodeExecuteBody(body)
	if err != nil {
		return wire.UpdateBody{}, err
	}
	p, known := wire.ProcessorOf(e.Name)
	if !known {
		return wire.UpdateBody{}, fmt.Errorf("%w: %q", errNoProcessor, e.Name)
	}
	// A processor says nothing of the expiry, so it keeps the entry's.
	return wire.UpdateBody{Map: e.Map, Key: e.Key, WriteOptions: wire.WriteOptions{Flags: wire.WriteKeepTTL}, Processor: p, Arg: e.Arg}, nil
}
