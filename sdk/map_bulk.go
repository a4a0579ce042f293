package sdk

import (
	"context"
	"errors"
	"reflect"

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
	if b.near = m.near(); b.near != nil {
		b.hits(ctx, func(it *bulkItem[K], v V) { out[it.key] = v })
	}
	err := b.read(ctx, func(it *bulkItem[K], v V) { out[it.key] = v })
	return out, err
}

// read reads the values of all keys and hands those that there are to take.
func (b *bulk[K, V]) read(ctx context.Context, take func(*bulkItem[K], V)) error {
	var results []wire.GetResult
	return b.run(ctx,
		func(dst []byte, items []bulkItem[K]) []byte {
			return wire.AppendKeysBody(dst, b.m.name, b.encoded(items))
		},
		func(cl *call, items []bulkItem[K]) error {
			body, head, err := cl.Answer.Body, wire.CacheHead{}, error(nil)
			if b.near != nil {
				head, body, err = wire.DecodeCacheHead(body)
			}
			if err == nil {
				results, err = wire.AppendGetResults(results[:0], body, len(items))
			}
			if err != nil {
				return unreadable(cl.req.Op, b.m.name, int(cl.req.Partition), err)
			}

			gap := b.near != nil && b.near.reached(cl, &head)
			for i := range results {
				r, v := &results[i], *new(V)
				if r.Flags&wire.ResultFound != 0 {
					if v, err = b.m.decodeValue(cl, r.Value); err != nil {
						// One value that cannot be read fails alone.
						b.fail(items[i].key, err)
						continue
					}
					take(&items[i], v)
				}
				if b.near != nil {
					b.near.install(cl.loads[i], &head, r, b.m.keep(b.near, r, v), gap)
				}
			}
			return nil
		})
}

// bulk is one call for many keys: what is to be sent, by partition, and what failed.
type bulk[K comparable, V any] struct {
	m     *Map[K, V]
	op    wire.Op
	items []bulkItem[K]
	arena []byte // encodings; items keep slices of it and of its predecessors
	enc   *call  // never sent: it lends its buffers to the encoding of keys
	errs  map[any]error

	// The lists serve all parts: their bodies are built one after the other.
	keys, values [][]byte

	refused error // the whole call

	near *nearCache // reads: through which they go; nil: none
}

type bulkItem[K comparable] struct {
	key            K
	partition      int
	encoded, value []byte
}

func newBulk[K comparable, V any](m *Map[K, V], op wire.Op, n int) *bulk[K, V] {
	return &bulk[K, V]{m: m, op: op, items: make([]bulkItem[K], 0, n), enc: newCall(op, m.name, 0)}
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

	p, err := b.m.encodeKey(b.enc, key)
	if err != nil {
		b.fail(key, b.m.keyError(b.op, err))
		return
	}

	item := bulkItem[K]{key: key, partition: p}
	at := len(b.arena)
	b.arena = append(b.arena, b.enc.key...)
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

// encoded returns the encoded keys of items. The list is valid until the next call.
func (b *bulk[K, V]) encoded(items []bulkItem[K]) [][]byte {
	b.keys = b.keys[:0]
	for i := range items {
		b.keys = append(b.keys, items[i].encoded)
	}
	return b.keys
}

// write runs a bulk write. applied is told of each part how many of its keys changed something.
func (b *bulk[K, V]) write(ctx context.Context, w wire.WriteOptions, applied func(uint64)) error {
	return b.run(ctx,
		func(dst []byte, items []bulkItem[K]) []byte {
			body := wire.ManyBody{Map: b.m.wire, WriteOptions: w, Keys: b.encoded(items)}
			if b.op == wire.OpSetMany {
				b.values = b.values[:0]
				for i := range items {
					b.values = append(b.values, items[i].value)
				}
				body.Values = b.values
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
	b.enc.release()
	if b.refused != nil {
		return b.refused
	}

	ctx, span := b.m.c.tracer.start(ctx, b.op.String(), b.m.name)
	defer func() { endSpan(span, err) }()

	parts := b.parts()
	begin := func(place int) *call {
		part := parts[place]
		cl := newCall(b.op, b.m.name, uint32(part[0].partition))
		// Each part is a call with an identity of its own, so a repeated part is executed once, whatever becomes of others.
		cl.body, cl.place = body(cl.body[:0], part), place
		if b.near != nil {
			beginLoads(b.near, cl, part)
		}
		return cl
	}

	list := make([]*call, 0, len(parts))
	for place := range parts {
		list = append(list, begin(place))
	}

	b.m.c.invokeEach(ctx, list, func(cl *call) (more []*call) {
		part, err := parts[cl.place], cl.err
		defer cl.release()
		if b.near != nil {
			defer b.near.cancel(cl)
		}
		if err == nil {
			err = take(cl, part)
		} else if b.op.IsRead() && len(part) > 1 && errors.Is(err, ErrTooLarge) {
			// The answer for all keys is too large. Halves may fit.
			parts = append(parts, part[:len(part)/2], part[len(part)/2:])
			return []*call{begin(len(parts) - 2), begin(len(parts) - 1)}
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
	most := 0
	for i := range b.items {
		most = max(most, b.items[i].partition)
	}

	// Items are large and full of pointers. Counting says where each goes, so it moves once.
	next := make([]int, most+2) // by partition: the place of its next item
	for i := range b.items {
		next[b.items[i].partition+1]++
	}
	for p := range most {
		next[p+1] += next[p]
	}

	sorted := make([]bulkItem[K], len(b.items))
	for i := range b.items {
		at := &next[b.items[i].partition]
		sorted[*at] = b.items[i]
		*at++
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
