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

// removeChosen executes OpRemoveAll: it removes the entries that the owner chose and that still have their versions. The answer is how many it
// removed. The caller did not mean what was written since.
func (s *State) removeChosen(b *wire.RemovalBody) outcome {
	res := wire.RemoveResult{Next: b.Next}
	for i, key := range b.Keys {
		// The key had no entry, but a load.
		if b.Versions[i] == 0 {
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
