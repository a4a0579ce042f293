package state

import (
	"fmt"
	"math"
	"sort"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// modelLock is the lock of a key in the model.
type modelLock struct {
	holder  wire.ID
	fence   uint64
	lease   uint64
	ends    int64
	freed   uint64 // 0: held
	waiters []modelWaiter

	renewed int64 // clock when the holder last got or renewed it; not part of the state
}

type modelWaiter struct {
	id    wire.ID
	lease uint64
	until int64
}

type modelKey struct {
	name, key string
	load      bool // not the lock, but who loads the value
}

var machineIDs = []wire.ID{{1}, {2}, {3}, {4}, {5}}

// later never goes beyond the end of time.
func (m *model) later(at int64, d uint64) int64 {
	if d > uint64(math.MaxInt64)-uint64(at) {
		return math.MaxInt64
	}
	return at + int64(d)
}

// lockOf returns the lock of a key as it is now, nil if none is remembered: a lease that has ended goes to the next in line.
func (m *model) lockOf(k modelKey) *modelLock {
	if l := m.locks[k]; l != nil && l.freed == 0 && l.ends <= m.clock {
		m.passOn(k)
	}
	return m.locks[k]
}

func (m *model) grant(l *modelLock, id wire.ID, lease uint64) {
	l.holder, l.lease, l.freed, l.fence, l.ends, l.renewed = id, lease, 0, m.next(), m.later(m.clock, lease), m.clock
	m.granted = append(m.granted, l.fence)
}

func (m *model) passOn(k modelKey) {
	l := m.locks[k]
	for len(l.waiters) > 0 {
		w := l.waiters[0]
		l.waiters = l.waiters[1:]
		if w.until > m.clock {
			m.grant(l, w.id, w.lease)
			return
		}
	}
	l.holder, l.lease, l.ends, l.freed = wire.ID{}, 0, 0, m.next()
	if k.load {
		delete(m.locks, k)
		return
	}
	for m.lockBytes(modelKey{}, false) > m.lim.FreeLockBytes {
		var oldest modelKey
		for k, l := range m.locks {
			if l.freed != 0 && (oldest == modelKey{} || l.freed < m.locks[oldest].freed) {
				oldest = k
			}
		}
		delete(m.locks, oldest)
	}
}

// lockBytes returns what the locks are counted with that are held, or that are not.
func (m *model) lockBytes(of modelKey, held bool) (n int) {
	for k, l := range m.locks {
		if (l.freed == 0) == held && k.load == of.load {
			n += 200 + len(k.name) + len(k.key) + 40*len(l.waiters)
		}
	}
	return n
}

func lockResult(l *modelLock, flags uint8) []byte {
	r := wire.LockResult{Flags: flags, Waiting: uint64(len(l.waiters))}
	if flags&wire.LockHeld != 0 {
		r.Fence, r.Ends = l.fence, l.ends
	}
	return wire.AppendLockResult(nil, &r)
}

func (m *model) lock(op *modelOp) (wire.Code, []byte) {
	k, b := modelKey{op.name, string(op.lock.Key), op.code == wire.OpLoad}, &op.lock
	l := m.lockOf(k)
	if l == nil || l.freed != 0 {
		if m.lockBytes(k, true) >= m.lim.LockBytes {
			return wire.CodeOverloaded, []byte(textManyHeld)
		}
		if l == nil {
			l = &modelLock{}
			m.locks[k] = l
		}
		m.grant(l, b.ID, b.Lease)
		return wire.CodeOK, lockResult(l, wire.LockHeld)
	}
	if l.holder == b.ID {
		return m.extend(l, b.Lease)
	}
	if b.Flags&wire.LockWait == 0 {
		return wire.CodeOK, lockResult(l, 0)
	}
	// Who has given up goes first.
	var waiters []modelWaiter
	place := -1
	for _, w := range l.waiters {
		if w.until > m.clock {
			if w.id == b.ID {
				place = len(waiters)
			}
			waiters = append(waiters, w)
		}
	}
	l.waiters = waiters
	w := modelWaiter{b.ID, b.Lease, m.later(max(op.deadline, m.clock), b.Keep)}
	switch {
	case place >= 0:
		w.until = max(w.until, waiters[place].until)
		waiters[place] = w
	case len(waiters) >= m.lim.LockWaiters:
		return wire.CodeOverloaded, []byte(textWaiters)
	case m.lockBytes(k, true) >= m.lim.LockBytes:
		return wire.CodeOverloaded, []byte(textManyHeld)
	default:
		l.waiters = append(waiters, w)
	}
	return wire.CodeOK, lockResult(l, wire.LockQueued)
}

func (m *model) extend(l *modelLock, lease uint64) (wire.Code, []byte) {
	l.lease, l.ends, l.renewed = lease, max(l.ends, m.later(m.clock, lease)), m.clock
	return wire.CodeOK, lockResult(l, wire.LockHeld)
}

func (m *model) executeLock(op *modelOp) (wire.Code, []byte) {
	k := modelKey{op.name, string(op.lock.Key), false}
	switch op.code {
	case wire.OpLock:
		return m.lock(op)
	case wire.OpRenew:
		if l := m.locks[k]; l != nil && l.freed == 0 && l.holder == op.lock.ID {
			return m.extend(l, op.lock.Lease)
		}
		return wire.CodeLockNotHeld, []byte(textNotHeld)
	case wire.OpUnlock:
		l, u := m.lockOf(k), &op.unlock
		if l == nil || l.freed != 0 {
			return wire.CodeLockNotHeld, []byte(textNotHeld)
		}
		if (u.ID.IsZero() || u.ID == l.holder) && (u.Fence == 0 || u.Fence == l.fence) {
			m.passOn(k)
			return wire.CodeOK, result(wire.ResultFound|wire.ResultApplied, m.version(), nil)
		}
		for i, w := range l.waiters {
			if w.id == u.ID && u.Fence == 0 {
				l.waiters = append(append([]modelWaiter(nil), l.waiters[:i]...), l.waiters[i+1:]...)
				return wire.CodeOK, result(wire.ResultApplied, 0, nil)
			}
		}
		return wire.CodeLockNotHeld, []byte(textNotHeld)
	case wire.OpLoad:
		k.load = true
		if op.lock.Flags&wire.LockAgain != 0 {
			if l := m.locks[k]; l != nil && l.holder == op.lock.ID {
				return m.extend(l, op.lock.Lease)
			}
			return wire.CodeLockNotHeld, []byte(textLoad)
		}
		if _, found := m.visible(k.name, k.key); found {
			return wire.CodeOK, wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockLoaded})
		}
		return m.lock(op)
	case wire.OpLoaded:
		k.load = true
		return m.loaded(k, op)
	case wire.OpForceUnlock:
		if l := m.lockOf(k); l == nil || l.freed != 0 {
			return wire.CodeOK, result(0, 0, nil)
		}
		m.passOn(k)
		return wire.CodeOK, result(wire.ResultFound|wire.ResultApplied, m.version(), nil)
	default: // wire.OpResume
		return m.resume()
	}
}

// loaded takes in a value, or that there will be none.
func (m *model) loaded(k modelKey, op *modelOp) (wire.Code, []byte) {
	l, b := m.locks[k], &op.loaded
	if l != nil && b.Value == nil && l.holder != b.ID {
		for i, w := range l.waiters {
			if w.id == b.ID {
				l.waiters = append(append([]modelWaiter(nil), l.waiters[:i]...), l.waiters[i+1:]...)
				return wire.CodeOK, result(wire.ResultApplied, 0, nil)
			}
		}
	}
	switch {
	case l == nil || l.holder != b.ID || b.Value != nil && b.Fence != l.fence:
		return wire.CodeLockNotHeld, []byte(textLoad)
	case b.Value == nil:
		m.passOn(k)
		return wire.CodeOK, result(wire.ResultApplied, m.version(), nil)
	}
	m.get(k.name, k.key) // one that has expired goes first
	return wire.CodeOK, result(wire.ResultApplied, m.store(k.name, k.key, b.Value, &b.WriteOptions), nil)
}

// void has the value of a key loaded again, if it is being loaded.
func (m *model) void(name, key string) {
	if k := (modelKey{name, key, true}); m.locks[k] != nil {
		m.passOn(k)
	}
}

func (m *model) version() uint64 { return uint64(wire.StampOf(m.generation, m.counter)) }

func (m *model) resume() (wire.Code, []byte) {
	m.resumed, m.everResumed = m.clock, true
	until, n := m.later(m.clock, 5000), uint64(0)
	for _, l := range m.locks {
		if l.freed != 0 {
			continue
		}
		if l.ends < until {
			l.ends = until
			n++
		}
		for i := range l.waiters {
			l.waiters[i].until = max(l.waiters[i].until, until)
		}
	}
	return wire.CodeOK, wire.AppendUvarint(nil, n)
}

// sweepLocks passes on the locks whose leases had ended at the sweep before, first those that ended first.
func (m *model) sweepLocks(limit int, load bool) (n int) {
	swept := &m.swept
	if load {
		swept = &m.sweptLoads
	}
	if limit > 0 {
		defer func() { *swept = m.clock }()
	}
	for ; n < limit; n++ {
		var due []modelKey
		for k, l := range m.locks {
			if k.load == load && l.freed == 0 && l.ends <= *swept {
				due = append(due, k)
			}
		}
		if len(due) == 0 {
			break
		}
		sort.Slice(due, func(i, j int) bool {
			a, b := due[i], due[j]
			if x, y := m.locks[a].ends, m.locks[b].ends; x != y {
				return x < y
			}
			return a.name < b.name || a.name == b.name && a.key < b.key
		})
		m.passOn(due[0])
	}
	return n
}

// destroyLocks ends the locks of a map.
func (m *model) destroyLocks(name string) (ended bool) {
	for k := range m.locks {
		if k.name == name {
			delete(m.locks, k)
			ended = ended || !k.load
		}
	}
	return ended
}

// fenced reports whether a write of a key is refused for the fence that it carries.
func (m *model) fenced(o *wire.WriteOptions, name, key string) bool {
	l := m.locks[modelKey{name, key, false}]
	return o.Flags&wire.WriteFence != 0 && (l == nil || l.fence != o.Fence)
}

// drawLock draws an operation on the lock of a key. Of the fences that it may name, most are that of the last holder.
func (m *machine) drawLock(t *rapid.T, op *modelOp) {
	lease := rapid.SampledFrom([]uint64{1, 5, 5, 40, 3000, 60_000, 1 << 63})
	op.lock = wire.LockBody{Map: op.write.Map, Key: op.write.Key, ID: rapid.SampledFrom(machineIDs).Draw(t, "id"), Lease: lease.Draw(t, "lease")}
	if op.code == wire.OpLoad && rapid.IntRange(0, 3).Draw(t, "again") == 0 {
		op.lock.Flags = wire.LockAgain
	}
	if (op.code == wire.OpLock || op.code == wire.OpLoad && op.lock.Flags == 0) && rapid.IntRange(0, 3).Draw(t, "wait") > 0 {
		op.lock.Flags, op.lock.Keep = wire.LockWait, rapid.SampledFrom([]uint64{0, 1, 30, 10_000, 1 << 63}).Draw(t, "keep")
	}
	op.loaded = wire.LoadedBody{Map: op.write.Map, Key: op.write.Key, ID: op.lock.ID}
	if rapid.IntRange(0, 2).Draw(t, "loaded") > 0 {
		op.loaded.Value, op.loaded.Fence = drawValue(t), 7
		if l := m.model.locks[modelKey{op.name, string(op.write.Key), true}]; l != nil && rapid.IntRange(0, 3).Draw(t, "right") > 0 {
			op.loaded.ID, op.loaded.Fence = l.holder, l.fence
		}
		if op.loaded.WriteOptions = drawOptions(t); len(op.loaded.Value) == 0 {
			op.loaded.Value = []byte{1}
		}
	}
	op.unlock = wire.UnlockBody{Map: op.write.Map, Key: op.write.Key}
	switch rapid.IntRange(0, 2).Draw(t, "by") {
	case 0:
		op.unlock.ID = op.lock.ID
	case 1:
		op.unlock.Fence = m.drawFence(t, op.name, string(op.write.Key))
	default:
		op.unlock.ID, op.unlock.Fence = op.lock.ID, m.drawFence(t, op.name, string(op.write.Key))
	}
}

// drawFence draws a fence, mostly one of the key's.
func (m *machine) drawFence(t *rapid.T, name, key string) uint64 {
	if l := m.model.locks[modelKey{name, key, false}]; l != nil && rapid.IntRange(0, 2).Draw(t, "last fence") > 0 {
		return l.fence
	}
	if len(m.model.granted) > 0 {
		return rapid.SampledFrom(m.model.granted).Draw(t, "fence")
	}
	return 7
}

// checkLeases holds what the operation did to what is promised of leases and fences, whatever the model says: op was executed,
// and before are the locks as they were. A holder whose lease is neither over nor given up keeps its lock, and no lease is over
// within ResumeLease after the last OpResume unless it was given or renewed since.
func (m *machine) checkLeases(t *rapid.T, op *modelOp, before map[modelKey]modelLock) {
	for k, was := range before {
		if was.freed != 0 || k.load {
			continue
		}
		v := m.state.Lock([]byte(k.name), []byte(k.key))
		if v.Holder == was.holder && v.Fence == was.fence {
			continue
		}
		if v.Fence != 0 && (v.Fence < was.fence || v.Fence == was.fence && !v.Holder.IsZero()) {
			t.Fatalf("%v: fence %d after %d", op.code, v.Fence, was.fence)
		}
		given := op.name == k.name && (op.code == wire.OpDestroy || string(op.write.Key) == k.key && (op.code == wire.OpForceUnlock ||
			op.code == wire.OpUnlock && (op.unlock.ID == was.holder || op.unlock.Fence == was.fence)))
		if given {
			continue
		}
		if was.ends > m.model.clock {
			t.Fatalf("%v: a holder lost its lock at %d, its lease was to end at %d", op.code, m.model.clock, was.ends)
		}
		if m.model.everResumed && was.renewed < m.model.resumed && m.model.clock < m.model.resumed+ResumeLease {
			t.Fatalf("%v: a holder that last renewed at %d lost its lock at %d, an owner has begun to serve at %d", op.code, was.renewed, m.model.clock, m.model.resumed)
		}
	}
}

// lockCopies returns the model's locks as they are.
func (m *model) lockCopies() map[modelKey]modelLock {
	out := make(map[modelKey]modelLock, len(m.locks))
	for k, l := range m.locks {
		out[k] = *l
	}
	return out
}

func (m *machine) compareLocks(t *rapid.T) {
	held := 0
	for _, name := range machineMaps {
		for _, key := range machineKeys {
			got := m.state.Lock([]byte(name), []byte(key))
			var want LockState
			l := m.model.locks[modelKey{name, key, false}]
			if l != nil {
				want = LockState{l.holder, l.fence, l.ends, len(l.waiters)}
			}
			if got != want {
				t.Fatalf("Lock(%s, %s) = %+v, want %+v", name, key, got, want)
			}
			if l != nil && l.freed == 0 {
				held++
			}
			m.compareIsLocked(t, name, key, l)
		}
	}
	m.compareLoads(t)
	if n := m.state.locks.ends.Len(); n != held {
		t.Fatalf("%d locks are held, want %d", n, held)
	}
}

// compareIsLocked asks whether a key is locked, now and a little later.
func (m *machine) compareIsLocked(t *rapid.T, name, key string, l *modelLock) {
	for _, now := range []int64{m.model.clock, m.model.clock + 5} {
		got, ok := m.state.IsLocked([]byte(name), []byte(key), now)
		locked, tick := false, false
		if l != nil && l.freed == 0 {
			if locked = l.ends > m.model.clock; locked {
				tick = l.ends <= now
			}
			for _, w := range l.waiters {
				locked = locked || w.until > m.model.clock
			}
		}
		if ok == tick || ok && (got.Flags == wire.LockHeld) != locked {
			t.Fatalf("IsLocked(%s, %s, %d) = %+v, %v, want %v, in need of a tick %v: %s", name, key, now, got, ok, locked, tick, fmt.Sprintf("%+v", l))
		}
	}
}

func (m *machine) compareLoads(t *rapid.T) {
	for _, name := range machineMaps {
		for _, key := range machineKeys {
			_, there := m.model.visible(name, key)
			got, loaded := m.state.Loader([]byte(name), []byte(key))
			var want LockState
			l := m.model.locks[modelKey{name, key, true}]
			if l != nil {
				want = LockState{l.holder, l.fence, l.ends, len(l.waiters)}
			}
			if got != want || loaded != there || there && l != nil {
				t.Fatalf("Load(%s, %s) = %+v, %v, want %+v, %v", name, key, got, loaded, want, there)
			}
		}
	}
}
