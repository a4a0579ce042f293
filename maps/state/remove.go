package state

import (
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var removeOperations = []operation{
	{wire.OpRemoveAll, (*State).applyRemoveAll},
}

func (s *State) applyRemoveAll(op *entry.Op) outcome {
	b, err := wire.DecodeRemovalBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.removeChosen(&b)
}

// removeChosen executes OpRemoveAll: it removes the entries that its owner chose, each if it still has the version that it was
// chosen with, and answers with how many those were. What was written since is not what the caller meant.
func (s *State) removeChosen(b *wire.RemovalBody) outcome {
	res := wire.RemoveResult{Next: b.Next}
	for i, key := range b.Keys {
		if b.Versions[i] == 0 { // of a key that had no entry, but whose value was being loaded
			s.voidLoad(b.Map, key)
			continue
		}
		if e := s.lookup(b.Map, key); e.data != nil && e.version() == b.Versions[i] {
			s.remove(s.find(b.Map), e, wire.EventRemoved)
			res.Removed++
		}
	}
	return outcome{data: wire.AppendRemoveResult(nil, &res), whole: true}
}
