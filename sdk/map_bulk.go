package sdk

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Bounds of one part of a bulk call, which is executed as a whole under an identity of its own.
const (
	maxPartKeys  = 512
	maxPartBytes = 1 << 20
)

// SetAll stores all entries. It is not atomic: it stores up to 512 entries of a partition at once, and works on all partitions
// at the same time. If keys fail, it returns a *BulkError with them; all others are stored. Options apply to each entry.
func (m *Map[K, V]) SetAll(ctx context.Context, entries map[K]V, opts ...WriteOption) error {
	w, err := writeOptions(wire.OpSetMany, m.name, opts)
	if err != nil {
		return err
	}

	b := newBulk(m, wire.OpSetMany, len(entries))
	for k, v := range entries {
		b.add(k, &v)
	}

	// A fence belongs to the lock of one key, so an entry of any other key cannot be written under it.
	if w.Flags&wire.WriteFence != 0 {
		for i := range b.items {
			if err := checkFence(wire.OpSetMany, m.name, b.items[i].encoded, opts); err != nil {
				return err
			}
		}
	}
	return b.write(ctx, w, func(uint64) {})
}

// DeleteAll deletes the entries of keys and returns how many there were. Like SetAll it is not atomic. If keys fail, it returns
// a *BulkError with them.
func (m *Map[K, V]) DeleteAll(ctx context.Context, keys ...K) (deleted int, err error) {
	b := newBulk(m, wire.OpDeleteMany, len(keys))
	for _, k := range keys {
		b.add(k, nil)
	}
	err = b.write(ctx, wire.WriteOptions{}, func(n uint64) { deleted += int(n) })
	return deleted, err
}

// GetAll returns the entries of those keys that have one. It is linearizable in each partition, but sees no single instant. If
// keys fail, it returns the other entries and a *BulkError with the failed keys.
func (m *Map[K, V]) GetAll(ctx context.Context, keys ...K) (map[K]V, error) {
	b := newBulk(m, wire.OpGetMany, len(keys))
	for _, k := range keys {
		b.add(k, nil)
	}

	out := make(map[K]V, len(b.items))
	var list [][]byte
	var results []wire.GetResult
	err := b.run(ctx,
		func(dst []byte, items []bulkItem[K]) []byte {
			// One list serves all parts: bodies are built one after the other on this goroutine.
			list = list[:0]
			for i := range items {
				list = append(list, items[i].encoded)
			}
			return wire.AppendKeysBody(dst, m.name, list)
		},
		func(cl *call, items []bulkItem[K]) error {
			var err error
			if results, err = wire.AppendGetResults(results[:0], cl.Answer.Body, len(items)); err != nil {
				return unreadable(cl.req.Op, m.name, int(cl.req.Partition), err)
			}
			for i, r := range results {
				if r.Flags&wire.ResultFound == 0 {
					continue
				}
				v, err := m.decodeValue(cl, r.Value)
				if err != nil {
					// One value that cannot be read fails alone.
					b.fail(items[i].key, err)
					continue
				}
				out[items[i].key] = v
			}
			return nil
		})
	return out, err
}

// bulk is one call for many keys: what is to be sent, by partition, and what failed.
type bulk[K comparable, V any] struct {
	m     *Map[K, V]
	op    wire.Op
	items []bulkItem[K]
	arena []byte // encodings; items keep slices of it and of its predecessors
	errs  map[any]error

	refused error // the whole call
}

type bulkItem[K comparable] struct {
	key            K
	partition      int
	encoded, value []byte
}

func newBulk[K comparable, V any](m *Map[K, V], op wire.Op, n int) *bulk[K, V] {
	return &bulk[K, V]{m: m, op: op, items: make([]bulkItem[K], 0, n)}
}

// fail notes that key failed.
func (b *bulk[K, V]) fail(key K, err error) {
	if b.errs == nil {
		b.errs = make(map[any]error)
	}
	b.errs[key] = err
}

// add takes in one key, with its value unless that is nil. One that cannot be encoded fails alone.
func (b *bulk[K, V]) add(key K, value *V) {
	if b.m.routed && !reflect.ValueOf(&key).Elem().Comparable() { // neither a result nor a BulkError could name such a key
		b.refused = invalidf(b.op.String(), b.m.name, "a key of type %T cannot be part of a bulk call", key)
		return
	}

	// The call is never sent. It lends its buffers to the encoding.
	cl := newCall(b.op, b.m.name, 0)
	defer cl.release()
	p, err := b.m.encodeKey(cl, key)
	if err != nil {
		b.fail(key, b.m.keyError(b.op, err))
		return
	}

	item := bulkItem[K]{key: key, partition: p}
	at := len(b.arena)
	b.arena = append(b.arena, cl.key...)
	// The capacity ends with the slice, so that nobody can append into the next item.
	item.encoded = b.arena[at:len(b.arena):len(b.arena)]

	if value != nil {
		at = len(b.arena)
		if b.arena, err = b.m.encodeValue(b.op, b.arena, *value); err != nil {
			// What the encoder has left behind belongs to nobody.
			b.arena = b.arena[:at]
			b.fail(key, err)
			return
		}
		item.value = b.arena[at:len(b.arena):len(b.arena)]
	}

	b.items = append(b.items, item)
}

// write runs a bulk write. applied is told of each part how many of its keys changed something.
func (b *bulk[K, V]) write(ctx context.Context, w wire.WriteOptions, applied func(uint64)) error {
	return b.run(ctx,
		func(dst []byte, items []bulkItem[K]) []byte {
			body := wire.ManyBody{Map: b.m.wire, WriteOptions: w, Keys: make([][]byte, len(items))}
			if b.op == wire.OpSetMany {
				body.Values = make([][]byte, len(items))
			}

			for i := range items {
				body.Keys[i] = items[i].encoded
				if body.Values != nil {
					body.Values[i] = items[i].value
				}
			}
			return wire.AppendManyBody(dst, &body)
		},
		func(cl *call, items []bulkItem[K]) error {
			r, err := wire.DecodeBulkResult(cl.Answer.Body)
			if err != nil {
				// The owner has answered, so it has executed the part. Which keys it concerned nobody can tell.
				return cl.fail(ErrUnknownOutcome, "the answer cannot be read: "+err.Error())
			}

			applied(r.Applied)
			for _, f := range r.Failed {
				if int(f.Index) >= len(items) {
					// An answer that contradicts its request tells nothing of any key.
					return cl.fail(ErrUnknownOutcome, "the answer names a key that was not sent")
				}

				sentinel := sentinelOf(f.Code)
				if sentinel == nil {
					// A code that is not known here says that something failed, and not whether it took effect.
					sentinel = ErrUnknownOutcome
				}
				err := cl.fail(sentinel, "").(*Error)
				err.Code = Code(f.Code)
				b.fail(items[f.Index].key, err)
			}
			return nil
		})
}

// run sends the items in parts, all at the same time, and hands each answer to take as it comes: a part that is slow, or must be sent
// again, holds back no other. A part that fails, or whose answer take refuses, fails all its keys. A read whose answer would be
// too large is asked for in halves.
func (b *bulk[K, V]) run(ctx context.Context, body func([]byte, []bulkItem[K]) []byte, take func(*call, []bulkItem[K]) error) (err error) {
	if b.refused != nil {
		return b.refused
	}

	ctx, span := b.m.c.tracer.start(ctx, b.op.String(), b.m.name)
	defer func() { endSpan(span, err) }()

	parts := b.parts()
	items := make(map[*call][]bulkItem[K], len(parts))
	begin := func(part []bulkItem[K]) *call {
		cl := newCall(b.op, b.m.name, uint32(part[0].partition))
		// Each part is a call with an identity of its own, so a repeated part is executed once, whatever becomes of others.
		cl.body = body(cl.body[:0], part)
		items[cl] = part
		return cl
	}

	list := make([]*call, 0, len(parts))
	for _, part := range parts {
		list = append(list, begin(part))
	}

	b.m.c.invokeEach(ctx, list, func(cl *call) (more []*call) {
		part, err := items[cl], cl.err
		// The call goes back to the pool, and may come again for another part.
		delete(items, cl)
		defer cl.release()
		if err == nil {
			err = take(cl, part)
		} else if b.op.IsRead() && len(part) > 1 && errors.Is(err, ErrTooLarge) {
			// The answer for all keys is too large. Halves may fit.
			return []*call{begin(part[:len(part)/2]), begin(part[len(part)/2:])}
		}

		if err != nil {
			for i := range part {
				b.fail(part[i].key, err)
			}
		}
		return nil
	})

	if len(b.errs) > 0 {
		return &BulkError{Errs: b.errs}
	}
	return nil
}

// sort puts the items in the order of their partitions. Items of one partition stay in their order: of two with the same key the later wins.
func (b *bulk[K, V]) sort() {
	// Items are large and full of pointers. Numbers that say where they go are sorted instead, and each item moves once.
	order := make([]uint64, len(b.items))
	for i := range b.items {
		order[i] = uint64(b.items[i].partition)<<32 | uint64(i)
	}
	slices.Sort(order)

	sorted := make([]bulkItem[K], len(order))
	for i, o := range order {
		sorted[i] = b.items[uint32(o)]
	}
	b.items = sorted
}

// parts returns the items by partition, in parts within the bounds.
func (b *bulk[K, V]) parts() [][]bulkItem[K] {
	b.sort()

	var out [][]bulkItem[K]
	first, size := 0, 0
	for i := range b.items {
		it := &b.items[i]
		n := len(it.encoded) + len(it.value)
		// The first item always goes, however large, or a part would never fill.
		if i > first && (it.partition != b.items[first].partition || i-first == maxPartKeys || size+n > maxPartBytes) {
			out = append(out, b.items[first:i])
			first, size = i, 0
		}
		size += n
	}
	if first < len(b.items) {
		out = append(out, b.items[first:])
	}
	return out
}
