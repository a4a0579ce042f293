package state

import (
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var bulkOperations = []operation{
	{wire.OpSetMany, (*State).applyMany},
	{wire.OpDeleteMany, (*State).applyMany},
}

func (s *State) applyMany(op *entry.Op) outcome {
	m, err := wire.DecodeManyBody(op.Body)
	if err == nil {
		err = wire.CheckMany(op.Code, &m)
	}
	if err != nil {
		return malformed(err)
	}
	return s.writeMany(op.Code, &m)
}

// writeMany executes SetMany and DeleteMany: the keys in their order, each as if it were written alone. A key for which IfVersion does not
// hold fails with CodeConflict, a key with another fence with CodeFenced. The other keys are written.
func (s *State) writeMany(code wire.Op, b *wire.ManyBody) outcome {
	// No entry has version 0: the condition could hold for no key.
	if b.Flags&wire.WriteVersion != 0 && b.IfVersion == 0 {
		return refused(wire.CodeInvalid, "IfVersion(0)")
	}

	// A removal leaves no entry that could have a lifetime.
	if code == wire.OpDeleteMany {
		if text := checkOptions(&b.WriteOptions); text != "" {
			return refused(wire.CodeInvalid, text)
		}
	}

	var res wire.BulkResult
	for i, key := range b.Keys {
		if s.fenced(b.Map, key, &b.WriteOptions) != "" {
			res.Failed = append(res.Failed, wire.BulkError{Index: uint32(i), Code: wire.CodeFenced})
			continue
		}

		// The map is looked up for each key: the write before may have created, copied or ended it.
		at := s.current(b.Map, key)
		switch {
		case checkVersion(&b.WriteOptions, at.cur) != "":
			res.Failed = append(res.Failed, wire.BulkError{Index: uint32(i), Code: wire.CodeConflict})
		case code == wire.OpSetMany:
			s.store(&at, b.Map, b.Values[i], &b.WriteOptions)
			res.Applied++
		case at.cur.data != nil:
			s.remove(at.m, at.cur, wire.EventRemoved)
			res.Applied++

		// There is nothing to delete, but a value that is being loaded would come back after the deletion.
		default:
			s.voidLoad(b.Map, key)
		}
	}
	return outcome{data: wire.AppendBulkResult(nil, &res), whole: true}
}
