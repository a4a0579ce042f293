package state

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Text of a refusal.
const textLoad = "another loads the value, or it was written or deleted meanwhile"

// A load is kept like a lock, apart from the key's own lock. It has a holder, which loads the value, and a lease, a fence, and waiters. It
// ends when the key is written; a value that comes later is refused. A deletion of the key says that a value loaded before must not be
// kept: then the next waiter loads again.

var loadOperations = []operation{
	{wire.OpLoad, (*State).applyLoad},
	{wire.OpLoaded, (*State).applyLoaded},
}

func (s *State) applyLoad(op *entry.Op) outcome {
	b, err := wire.DecodeLockBody(op.Body)
	if err == nil {
		err = wire.CheckLock(op.Code, &b)
	}
	if err != nil {
		return malformed(err)
	}
	return s.load(&b, op.Deadline)
}

func (s *State) applyLoaded(op *entry.Op) outcome {
	b, err := wire.DecodeLoadedBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.loaded(&b)
}

// load executes OpLoad. deadline is the call's.
func (s *State) load(b *wire.LockBody, deadline int64) outcome {
	// A loader that renews its load must hold it already: it never begins one, for the key may have been written meanwhile.
	if b.Flags&wire.LockAgain != 0 {
		l := s.loads.find(b.Map, b.Key)
		if l == nil || l.holder != b.ID {
			return refused(wire.CodeLockNotHeld, textLoad)
		}
		return s.extend(&s.loads, l, b.Lease)
	}

	if s.lookup(b.Map, b.Key).data != nil {
		// A value may have come while the call was under way. The caller reads it and loads nothing.
		return outcome{data: wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockLoaded}), whole: true}
	}
	return s.lock(&s.loads, b, deadline)
}

// loaded executes OpLoaded: it stores the value that the holder has loaded, or passes the load on. A lease that is over is still good
// while no other caller has the load.
func (s *State) loaded(b *wire.LoadedBody) outcome {
	l := s.loads.find(b.Map, b.Key)
	switch {
	// The key was written or its load was forgotten: a value that comes now is late.
	case l == nil:

	case b.Value != nil:
		// The fence tells this load from an earlier one of the same caller, whose value a deletion has made void.
		if l.holder != b.ID || l.fence != b.Fence {
			break
		}
		// Storing the value also ends the load, see endLoad.
		at := s.current(b.Map, b.Key)
		return outcome{flags: wire.ResultApplied, version: s.store(&at, b.Map, b.Value, &b.WriteOptions)}

	// The holder brings no value, so the next waiter loads in its place.
	case l.holder == b.ID:
		s.passOn(&s.loads, l)
		return outcome{flags: wire.ResultApplied, version: s.version()}

	default:
		// A waiter gives up its place, so that the load is not passed to a caller that has left.
		if i := l.waiter(b.ID); i >= 0 {
			l = s.loads.take(l)
			l.waiters = slices.Delete(l.waiters, i, i+1)
			s.loads.moves++
			s.loads.put(l)
			return outcome{flags: wire.ResultApplied}
		}
	}

	return refused(wire.CodeLockNotHeld, textLoad)
}

// endLoad ends the load of a key that is written.
func (s *State) endLoad(name, key []byte) {
	if l := s.loads.find(name, key); l != nil {
		s.loads.drop(l)
	}
}

// voidLoad passes the load of a deleted key on: a value that was loaded before the deletion must not come after it.
func (s *State) voidLoad(name, key []byte) {
	if l := s.loads.find(name, key); l != nil {
		s.passOn(&s.loads, l)
	}
}

// voidLoads is voidLoad for all keys of a map.
func (s *State) voidLoads(name []byte) {
	// of has gathered the loads: passing one on changes the tree in which they stand.
	for _, l := range s.loads.of(name) {
		s.passOn(&s.loads, l)
	}
}

// Loader returns the load of a key. loaded is set if there is nothing to load, because the key has an entry.
func (s *State) Loader(name, key []byte) (v LockState, loaded bool) {
	if s.lookup(name, key).data != nil {
		return LockState{}, true
	}
	return s.loads.view(name, key), false
}

// WaitsForLoad reports whether id waits while another caller loads the value of a key.
func (s *State) WaitsForLoad(name, key []byte, id wire.ID) bool {
	l := s.loads.find(name, key)
	return l != nil && l.waiter(id) >= 0
}

// EachLoad calls fn for the keys of a map whose values are being loaded, in the order of CompareKeys, after the given key. It ends when fn
// returns false. It looks at all loads of the map, of which there are few.
func (s *State) EachLoad(name, after []byte, fn func(key []byte) bool) {
	var keys [][]byte
	// Loads stand by the bytes of their keys, and the caller wants the order of CompareKeys. So all of them are gathered and
	// sorted.
	s.loads.byKey.Ascend(lockSlot{name: asString(name)}, func(slot lockSlot) bool {
		if slot.name != string(name) {
			return false
		}
		if key := []byte(slot.key); CompareKeys(key, after) > 0 {
			keys = append(keys, key)
		}
		return true
	})

	slices.SortFunc(keys, CompareKeys)
	for _, key := range keys {
		if !fn(key) {
			return
		}
	}
}

func (s *State) checkLoads() error {
	if err := s.checkLocks(&s.loads); err != nil {
		return fmt.Errorf("loads: %w", err)
	}

	// Nothing is written under the fence of a load that has ended, so the bound for released ones is 0.
	if n := s.loads.free.Len(); n > 0 {
		return fmt.Errorf("%d values that nobody loads", n)
	}

	var err error
	s.loads.byKey.Scan(func(slot lockSlot) bool {
		if s.lookup([]byte(slot.name), []byte(slot.key)).data != nil {
			err = fmt.Errorf("the value of %q %q is loaded, which has an entry", slot.name, slot.key)
		}
		return err == nil
	})
	return err
}
