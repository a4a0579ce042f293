package sdk

import (
	"context"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Set stores value under key. It is the fastest write, because no value comes back.
func (m *Map[K, V]) Set(ctx context.Context, key K, value V, opts ...WriteOption) error {
	_, _, err := m.put(ctx, wire.OpSet, key, value, opts)
	return err
}

// Put stores value under key. It returns the previous value and whether there was one.
func (m *Map[K, V]) Put(ctx context.Context, key K, value V, opts ...WriteOption) (previous V, existed bool, err error) {
	return m.put(ctx, wire.OpPut, key, value, opts)
}

// PutIfAbsent stores value under key if key has no entry; then existed is false. Otherwise it returns the existing value.
func (m *Map[K, V]) PutIfAbsent(ctx context.Context, key K, value V, opts ...WriteOption) (existing V, existed bool, err error) {
	return m.put(ctx, wire.OpPutIfAbsent, key, value, opts)
}

// Replace stores value under key if key has an entry; then existed is true, and it returns the previous value.
func (m *Map[K, V]) Replace(ctx context.Context, key K, value V, opts ...WriteOption) (previous V, existed bool, err error) {
	return m.put(ctx, wire.OpReplace, key, value, opts)
}

// put is a write of one value that may give back another.
func (m *Map[K, V]) put(ctx context.Context, op wire.Op, key K, value V, opts []WriteOption) (other V, existed bool, err error) {
	cl, w, err := m.prepare(op, key, opts)
	if err != nil {
		return other, false, err
	}
	defer cl.release()

	// The value is encoded into the call's own buffer, which is used again.
	if cl.value, err = m.encodeValue(op, cl.value[:0], value); err != nil {
		return other, false, err
	}

	w.Value = cl.value
	r, err := m.write(ctx, cl, &w)
	if err != nil {
		return other, false, err
	}
	return m.other(cl, r)
}

// other reads the value that a write gives back.
func (m *Map[K, V]) other(cl *call, r wire.WriteResult) (other V, existed bool, err error) {
	if r.Flags&wire.ResultValue != 0 {
		other, err = m.decodeValue(cl, r.Value)
	}
	return other, r.Flags&wire.ResultFound != 0, err
}

// ReplaceIfSame stores value under key if the stored value encodes like old. It reports whether it did.
func (m *Map[K, V]) ReplaceIfSame(ctx context.Context, key K, old, value V, opts ...WriteOption) (bool, error) {
	cl, w, err := m.prepare(wire.OpReplaceIfSame, key, opts)
	if err != nil {
		return false, err
	}
	defer cl.release()
	if cl.value, err = m.encodeValue(wire.OpReplaceIfSame, cl.value[:0], value); err != nil {
		return false, err
	}

	// Both values stand in one buffer: the new one and then the expected one.
	n := len(cl.value)
	if cl.value, err = m.encodeValue(wire.OpReplaceIfSame, cl.value, old); err != nil {
		return false, err
	}

	// Only now are the slices taken: appending the second value may have moved the buffer.
	w.Value, w.Expected = cl.value[:n], cl.value[n:]
	r, err := m.write(ctx, cl, &w)
	return r.Flags&wire.ResultApplied != 0, err
}

// Remove deletes the entry of key. It returns the entry's value and whether there was one.
func (m *Map[K, V]) Remove(ctx context.Context, key K) (previous V, existed bool, err error) {
	cl, w, err := m.prepare(wire.OpRemove, key, nil)
	if err != nil {
		return previous, false, err
	}
	defer cl.release()
	r, err := m.write(ctx, cl, &w)
	if err != nil {
		return previous, false, err
	}
	return m.other(cl, r)
}

// RemoveIfSame deletes the entry of key if its value encodes like value. It reports whether it did.
func (m *Map[K, V]) RemoveIfSame(ctx context.Context, key K, value V) (bool, error) {
	cl, w, err := m.prepare(wire.OpRemoveIfSame, key, nil)
	if err != nil {
		return false, err
	}
	defer cl.release()
	if cl.value, err = m.encodeValue(wire.OpRemoveIfSame, cl.value[:0], value); err != nil {
		return false, err
	}

	w.Expected = cl.value
	r, err := m.write(ctx, cl, &w)
	return r.Flags&wire.ResultApplied != 0, err
}

// Delete deletes the entry of key and reports whether there was one.
func (m *Map[K, V]) Delete(ctx context.Context, key K) (existed bool, err error) {
	return m.touch(ctx, wire.OpDelete, key, nil)
}

// SetTTL makes the entry of key expire after ttl, counted from now, and reports whether there is one. With 0 no TTL ends the
// entry, though its max-idle still may. A negative ttl is ErrInvalid. The call counts as a use of the entry.
//
// NOTE: a computed ttl, such as time.Until(deadline), may be exactly 0, which means never. See [WithTTL].
func (m *Map[K, V]) SetTTL(ctx context.Context, key K, ttl time.Duration) (bool, error) {
	return m.touch(ctx, wire.OpSetTTL, key, []WriteOption{WithTTL(ttl)})
}

// Evict removes the entry of key from memory and reports whether there was one. Listeners get an EVICTED event.
func (m *Map[K, V]) Evict(ctx context.Context, key K) (bool, error) {
	return m.touch(ctx, wire.OpEvict, key, nil)
}

// touch is a write without a value.
func (m *Map[K, V]) touch(ctx context.Context, op wire.Op, key K, opts []WriteOption) (existed bool, err error) {
	cl, w, err := m.prepare(op, key, opts)
	if err != nil {
		return false, err
	}
	defer cl.release()
	r, err := m.write(ctx, cl, &w)
	return r.Flags&wire.ResultFound != 0, err
}

// prepare returns a call for a write of key, and its body but for the values. After an error there is no call.
func (m *Map[K, V]) prepare(op wire.Op, key K, opts []WriteOption) (cl *call, w wire.WriteBody, err error) {
	if len(opts) > 0 {
		if w.WriteOptions, err = writeOptions(op, m.name, opts); err != nil {
			return nil, w, err
		}
	}

	cl, err = m.keyed(op, key)
	if err == nil && w.Flags&wire.WriteFence != 0 {
		if err = checkFence(op, m.name, cl.key, opts); err != nil {
			cl.release()
			return nil, w, err
		}
		// Fences of two clusters cannot be compared, so the write must not be made in another one.
		cl.cluster, cl.bound = fencedBy(opts), ErrFenced
	}
	return cl, w, err
}

// write runs a write of the key in cl.key.
func (m *Map[K, V]) write(ctx context.Context, cl *call, w *wire.WriteBody) (r wire.WriteResult, err error) {
	w.Map, w.Key = m.wire, cl.key
	cl.body = wire.AppendWriteBody(cl.body[:0], w)
	return m.answered(ctx, cl)
}

// answered runs a call whose answer is a WriteResult.
func (m *Map[K, V]) answered(ctx context.Context, cl *call) (r wire.WriteResult, err error) {
	if err := m.run(ctx, cl); err != nil {
		return r, err
	}

	// The owner has answered, so it has executed the write. What became of it cannot be told.
	if r, err = wire.DecodeWriteResult(cl.Answer.Body); err != nil {
		return wire.WriteResult{}, cl.fail(ErrUnknownOutcome, "the answer cannot be read: "+err.Error())
	}
	return r, nil
}
