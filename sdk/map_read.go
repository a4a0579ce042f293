package sdk

import (
	"context"
	"math"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Get returns the value of key and whether there is one.
func (m *Map[K, V]) Get(ctx context.Context, key K) (value V, found bool, err error) {
	return m.get(ctx, m.near(), key)
}

// get is Get through a near cache; nil: from the owner.
func (m *Map[K, V]) get(ctx context.Context, n *nearCache, key K) (value V, found bool, err error) {
	cl, err := m.keyed(wire.OpGet, key)
	if err != nil {
		return value, false, err
	}
	defer cl.release()
	if n != nil {
		return m.nearGet(ctx, n, cl)
	}

	r, err := m.read(ctx, cl)
	if err != nil || r.Flags&wire.ResultFound == 0 {
		return value, false, err
	}
	value, err = m.decodeValue(cl, r.Value)
	return value, err == nil, err
}

// ContainsKey reports whether key has an entry.
func (m *Map[K, V]) ContainsKey(ctx context.Context, key K) (bool, error) {
	cl, err := m.keyed(wire.OpContains, key)
	if err != nil {
		return false, err
	}
	defer cl.release()
	if n := m.near(); n != nil {
		return m.nearContains(ctx, n, cl)
	}
	r, err := m.read(ctx, cl)
	return r.Flags&wire.ResultFound != 0, err
}

// read runs a read of the key in cl.key.
func (m *Map[K, V]) read(ctx context.Context, cl *call) (r wire.GetResult, err error) {
	cl.body = wire.AppendKeyBody(cl.body[:0], m.name, cl.key)
	if err := m.run(ctx, cl); err != nil {
		return r, err
	}
	if r, err = wire.DecodeGetResult(cl.Answer.Body); err != nil {
		return wire.GetResult{}, unreadable(cl.req.Op, m.name, int(cl.req.Partition), err)
	}
	return r, nil
}

// EntryView returns the entry of key with what the cluster knows about it, and whether there is one.
func (m *Map[K, V]) EntryView(ctx context.Context, key K) (view EntryView[K, V], found bool, err error) {
	cl, err := m.keyed(wire.OpEntryView, key)
	if err != nil {
		return view, false, err
	}
	defer cl.release()
	cl.body = wire.AppendKeyBody(cl.body[:0], m.name, cl.key)
	if err := m.run(ctx, cl); err != nil {
		return view, false, err
	}

	r, err := wire.DecodeEntryViewResult(cl.Answer.Body)
	if err != nil {
		return view, false, unreadable(cl.req.Op, m.name, int(cl.req.Partition), err)
	}
	if r.Flags&wire.ResultFound == 0 {
		return view, false, nil
	}

	value, err := m.decodeValue(cl, r.Value)
	if err != nil {
		return view, false, err
	}

	// What remains is reckoned from the time in the answer, which is the owner's own.
	return EntryView[K, V]{
		Key: key, Value: value, Version: r.Version, Created: instant(r.Created), Updated: instant(r.Updated), Accessed: instant(r.Accessed),
		Expires: instant(r.Expires), Remaining: remaining(r.Expires, cl.Answer.Time),
		RemainingTTL: remaining(r.End, cl.Answer.Time), TTL: duration(r.TTL), MaxIdle: duration(r.MaxIdle), Hits: r.Hits, Cost: int64(r.Cost),
	}, true, nil
}

// instant returns a cluster time in milliseconds; 0 is the zero time.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// remaining returns how long an entry has left at a cluster time, both in milliseconds; 0 if it does not expire. An entry that was
// found has time left, though its owner's clock went on while it answered.
func remaining(expires, now int64) time.Duration {
	if expires == 0 {
		return 0
	}
	const most = int64(math.MaxInt64 / time.Millisecond)
	return time.Duration(min(max(1, expires-now), most)) * time.Millisecond
}

// duration returns a TTL or max-idle in milliseconds; one that never ends is 0.
func duration(ms uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	if ms > most {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}
