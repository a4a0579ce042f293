package state

import (
	"errors"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/update"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var updateOperations = []operation{
	{wire.OpUpdate, (*State).applyUpdate},
}

func (s *State) applyUpdate(op *entry.Op) outcome {
	u, err := wire.DecodeUpdateBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.update(&u)
}

// update executes OpUpdate: a built-in processor changes the value where it stands. The answer's value is the processor's result.
func (s *State) update(u *wire.UpdateBody) outcome {
	// A former holder of the lock is refused whatever has become of the entry.
	if text := s.fenced(u.Map, u.Key, &u.WriteOptions); text != "" {
		return refused(wire.CodeFenced, text)
	}

	at := s.current(u.Map, u.Key)
	if text := checkVersion(&u.WriteOptions, at.cur); text != "" {
		return refused(wire.CodeConflict, text)
	}

	var o outcome
	var value []byte
	var version uint64
	if at.cur.data != nil {
		o.flags = wire.ResultFound
		value, version = at.cur.valueBytes(), at.cur.version()
	}

	most := wire.MaxValueHard
	if u.Most != 0 {
		most = int(min(u.Most, wire.MaxValueHard))
	}
	c, err := update.Run(u.Processor, value, version, u.Arg, most)
	if err != nil {
		// The entry may have decided that. A copy that comes later finds another entry, and must get the same answer.
		o := refused(wire.CodeInvalid, err.Error())
		if errors.Is(err, wire.ErrTooLarge) {
			o.code = wire.CodeTooLarge
		}
		o.kept = true
		return o
	}

	o.flags |= wire.ResultValue
	o.data = c.Result
	if c.Value == nil {
		return o
	}

	o.flags |= wire.ResultApplied
	o.version = s.store(&at, u.Map, c.Value, &u.WriteOptions)
	if c.Result == nil {
		// The record shares the entry's bytes, which nobody changes.
		o.data = s.lookup(u.Map, u.Key).valueBytes()
	}
	return o
}
