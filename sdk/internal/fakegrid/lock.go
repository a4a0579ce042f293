package fakegrid

import "github.com/gridiron-io/gridiron/sdk/wire"

// lock is the lock of one key. Nobody waits for it at a member: who wants to is told so at once, and asks again.
type lock struct {
	holder wire.ID // zero: nobody
	fence  uint64
	ends   int64
}

func (p *partition) lock(name, key []byte) *lock {
	if p.locks == nil {
		p.locks = make(map[string]*lock)
	}

	l := p.locks[string(name)+"\x00"+string(key)]
	if l == nil {
		l = &lock{}
		p.locks[string(name)+"\x00"+string(key)] = l
	}
	return l
}

// held reports whether somebody holds the lock, or the one who has the ID does, unless it is zero.
func (l *lock) held(id wire.ID, now int64) bool {
	return !l.holder.IsZero() && l.ends > now && (id.IsZero() || id == l.holder)
}

func (l *lock) answer(id wire.ID, now int64) (wire.Code, []byte) {
	r := wire.LockResult{Fence: l.fence, Ends: l.ends}
	if l.held(id, now) {
		r.Flags = wire.LockHeld
	}
	return wire.CodeOK, wire.AppendLockResult(nil, &r)
}

func (p *partition) writeLock(req *wire.Request, now int64) (wire.Code, []byte) {
	if req.Op == wire.OpLoad || req.Op == wire.OpLoaded {
		return p.writeLoad(req, now)
	}

	notHeld := []byte("the lock is not held")
	applied := wire.AppendWriteResult(nil, &wire.WriteResult{Flags: wire.ResultApplied, Version: p.version})

	switch req.Op {
	case wire.OpForceUnlock:
		name, key, err := wire.DecodeKeyBody(req.Body)
		if err != nil {
			return wire.CodeInvalid, []byte(err.Error())
		}
		p.lock(name, key).holder = wire.ID{}
		return wire.CodeOK, applied
	case wire.OpUnlock:
		b, err := wire.DecodeUnlockBody(req.Body)
		if err != nil {
			return wire.CodeInvalid, []byte(err.Error())
		}
		l := p.lock(b.Map, b.Key)
		if !l.held(b.ID, now) || b.Fence != 0 && b.Fence != l.fence {
			return wire.CodeLockNotHeld, notHeld
		}
		l.holder = wire.ID{}
		return wire.CodeOK, applied
	}

	b, err := wire.DecodeLockBody(req.Body)
	if err == nil {
		err = wire.CheckLock(req.Op, &b)
	}
	if err != nil {
		return wire.CodeInvalid, []byte(err.Error())
	}

	l := p.lock(b.Map, b.Key)

	// A repeated grant keeps its fence, as for a caller that asks again after a lost answer.
	switch mine := l.held(b.ID, now); {
	case !mine && req.Op == wire.OpRenew:
		return wire.CodeLockNotHeld, notHeld
	case mine:
		l.ends = now + int64(b.Lease)
	case !l.held(wire.ID{}, now):
		l.holder, l.fence, l.ends = b.ID, p.version, now+int64(b.Lease)
	case b.Flags&wire.LockWait != 0:
		return wire.CodeOK, wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockQueued, Waiting: 1})
	}
	return l.answer(b.ID, now)
}

// writeLoad knows who loads a key's value by a lock of another name, which ends with a write under the key.
func (p *partition) writeLoad(req *wire.Request, now int64) (wire.Code, []byte) {
	notHeld := []byte("another loads")
	if req.Op == wire.OpLoad {
		b, err := wire.DecodeLockBody(req.Body)
		if err == nil {
			err = wire.CheckLock(req.Op, &b)
		}
		if err != nil {
			return wire.CodeInvalid, []byte(err.Error())
		}
		l := p.lock(append([]byte("load "), b.Map...), b.Key)
		mine := l.held(b.ID, now)

		// A caller that renews must hold the task, whatever else is there.
		switch {
		case b.Flags&wire.LockAgain != 0 && !mine:
			return wire.CodeLockNotHeld, notHeld
		case p.table(b.Map).get(b.Key, now) != nil:
			// The value is there, so nobody has to load it.
			return wire.CodeOK, wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockLoaded})
		case mine:
			l.ends = now + int64(b.Lease)
		case !l.held(wire.ID{}, now):
			l.holder, l.fence, l.ends = b.ID, p.version, now+int64(b.Lease)
		default:
			return wire.CodeOK, wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockQueued, Waiting: 1})
		}
		return l.answer(b.ID, now)
	}

	b, err := wire.DecodeLoadedBody(req.Body)
	if err != nil {
		return wire.CodeInvalid, []byte(err.Error())
	}

	l := p.lock(append([]byte("load "), b.Map...), b.Key)
	if !l.held(b.ID, now) || b.Value != nil && (b.Fence != l.fence || p.table(b.Map).get(b.Key, now) != nil) {
		return wire.CodeLockNotHeld, notHeld
	}

	l.holder = wire.ID{}
	if b.Value != nil {
		p.table(b.Map).set(b.Key, b.Value, p.version, &b.WriteOptions, now)
	}
	return wire.CodeOK, wire.AppendWriteResult(nil, &wire.WriteResult{Flags: wire.ResultApplied, Version: p.version})
}
