package sdk

import (
	"bytes"
	"context"

	"github.com/gridiron-io/gridiron/sdk/internal/nearcache"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// decoded is a value as hits share it, and the codec that has decoded it.
type decoded[V any] struct {
	value V
	codec any
}

// keep returns a value in the form in which the near cache keeps it.
func (m *Map[K, V]) keep(n *nearCache, r *wire.GetResult, v V) any {
	switch {
	case r.Flags&wire.ResultFound == 0:
		return nil
	case n.cfg.Encoded:
		return bytes.Clone(r.Value) // the answer's buffer is used again
	}
	return &decoded[V]{v, m.view.codec}
}

// copied returns the value of a copy. ok is false if the copy is a value of another Map's type, which this one cannot use.
func (m *Map[K, V]) copied(cl *call, e *nearcache.Copy) (v V, ok bool, err error) {
	switch x := e.Value.(type) {
	case *decoded[V]:
		return x.value, x.codec == m.view.codec, nil
	case []byte:
		v, err = m.decodeValue(cl, x)
		return v, true, err
	}
	return v, !e.Found, nil
}

// nearGet is Get of the key in cl.key through a near cache.
func (m *Map[K, V]) nearGet(ctx context.Context, n *nearCache, cl *call) (value V, found bool, err error) {
	if e := m.hit(ctx, n, cl); e != nil {
		if v, ok, err := m.copied(cl, e); ok {
			return v, e.Found && err == nil, err
		}
	}

	l := n.begin(int(cl.req.Partition), cl.key)
	defer n.cache.Cancel(l)
	head, r, err := m.nearRead(ctx, cl)
	if err != nil {
		return value, false, err
	}
	if found = r.Flags&wire.ResultFound != 0; found {
		// A value that is no V is not kept either.
		if value, err = m.decodeValue(cl, r.Value); err != nil {
			return value, false, err
		}
	}
	n.install(l, &head, &r, m.keep(n, &r, value), n.reached(cl, &head))
	return value, found, nil
}

// nearContains is ContainsKey of the key in cl.key through a near cache.
func (m *Map[K, V]) nearContains(ctx context.Context, n *nearCache, cl *call) (bool, error) {
	if e := m.hit(ctx, n, cl); e != nil {
		return e.Found, nil
	}

	l := n.begin(int(cl.req.Partition), cl.key)
	defer n.cache.Cancel(l)
	head, r, err := m.nearRead(ctx, cl)
	if err != nil {
		return false, err
	}
	// Without the value only an absence can be kept.
	if r.Flags&wire.ResultFound != 0 {
		return true, nil
	}
	n.install(l, &head, &r, nil, n.reached(cl, &head))
	return false, nil
}

// hit returns the near cache's copy for the key in cl.key; nil: the owner is to be asked.
func (m *Map[K, V]) hit(ctx context.Context, n *nearCache, cl *call) *nearcache.Copy {
	// The owner's part of the read ends at once, with the error that a context which has ended asks for.
	if ctx.Err() != nil {
		return nil
	}
	p := int(cl.req.Partition)
	e, check := n.cache.Get(p, cl.key, n.moment(p))
	if check {
		n.sample(p, cl.key, e)
	}
	return e
}

// nearRead reads the key in cl.key at its owner, for a near cache.
func (m *Map[K, V]) nearRead(ctx context.Context, cl *call) (h wire.CacheHead, r wire.GetResult, err error) {
	cl.req.Flags |= wire.FlagCache
	cl.body = wire.AppendKeyBody(cl.body[:0], m.name, cl.key)
	if err := m.run(ctx, cl); err != nil {
		return h, r, err
	}

	if h, r, err = cachedResult(cl); err != nil {
		return h, wire.GetResult{}, unreadable(cl.req.Op, m.name, int(cl.req.Partition), err)
	}
	return h, r, nil
}

// cachedResult reads the answer to a call with FlagCache.
func cachedResult(cl *call) (h wire.CacheHead, r wire.GetResult, err error) {
	h, rest, err := wire.DecodeCacheHead(cl.Answer.Body)
	if err == nil {
		r, err = wire.DecodeGetResult(rest)
	}
	return h, r, err
}

// hits takes those keys out of b that the near cache has copies for, and hands their values to take if there are any.
func (b *bulk[K, V]) hits(ctx context.Context, take func(*bulkItem[K], V)) {
	if b.refused != nil || ctx.Err() != nil {
		return
	}

	left := b.items[:0]
	for i := range b.items {
		it := &b.items[i]
		b.enc.req.Partition = uint32(it.partition) // for the error of a value that cannot be read
		e, check := b.near.cache.Get(it.partition, it.encoded, b.near.moment(it.partition))
		if e == nil {
			left = append(left, *it)
			continue
		}
		if check {
			b.near.sample(it.partition, it.encoded, e)
		}

		switch v, ok, err := b.m.copied(b.enc, e); {
		case !ok:
			left = append(left, *it)
		case err != nil:
			b.fail(it.key, err)
		case e.Found:
			take(it, v)
		}
	}
	b.items = left
}

// beginLoads begins loads of the keys of a part, which cl is to read.
func beginLoads[K comparable](n *nearCache, cl *call, part []bulkItem[K]) {
	cl.req.Flags |= wire.FlagCache
	cl.loads = make([]*nearcache.Load, len(part))
	for i := range part {
		cl.loads[i] = n.begin(int(cl.req.Partition), part[i].encoded)
	}
}

// cancel ends the loads of a call that are still under way.
func (n *nearCache) cancel(cl *call) {
	for _, l := range cl.loads {
		n.cache.Cancel(l)
	}
	cl.loads = nil
}
