package sdk

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// QueryOption changes an iteration. See [Limit] and [PageSize].
type QueryOption interface{ applyQuery(*queryConfig) error }

type queryConfig struct {
	limit int    // entries in all; 0: all there are
	page  uint32 // entries that a member sends at once; 0: its choice
}

type limitOption int

func (o limitOption) applyQuery(c *queryConfig) error {
	if o < 1 {
		return fmt.Errorf("Limit(%d): less than 1", int(o))
	}
	c.limit = int(o)
	return nil
}

// Limit ends the iteration after n entries.
func Limit(n int) QueryOption { return limitOption(n) }

type pageSizeOption int

func (o pageSizeOption) applyQuery(c *queryConfig) error {
	if o < 1 || int64(o) > 1<<31-1 {
		return fmt.Errorf("PageSize(%d): not between 1 and %d", int(o), 1<<31-1)
	}
	c.page = uint32(o)
	return nil
}

// PageSize sets how many entries members send at once, at most. Members also bound a page in bytes, so programs seldom need it.
func PageSize(n int) QueryOption { return pageSizeOption(n) }

// Keys iterates over the map's keys, as Entries does over its entries.
func (m *Map[K, V]) Keys(ctx context.Context, opts ...QueryOption) iter.Seq2[K, error] {
	return func(yield func(K, error) bool) {
		var zero K
		err := m.scan(ctx, wire.ScanKeys, opts, func(cl *call, key, _ []byte) (bool, error) {
			k, err := m.decodeKey(cl, key)
			return err == nil && yield(k, nil), err
		})
		if err != nil {
			yield(zero, err)
		}
	}
}

// Values iterates over the map's values, as Entries does over its entries.
func (m *Map[K, V]) Values(ctx context.Context, opts ...QueryOption) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		var zero V
		err := m.scan(ctx, wire.ScanKeys|wire.ScanValues, opts, func(cl *call, _, value []byte) (bool, error) {
			v, err := m.decodeValue(cl, value)
			return err == nil && yield(v, nil), err
		})
		if err != nil {
			yield(zero, err)
		}
	}
}

// Entries iterates over the map's entries, partition by partition, in no meaningful order. An entry that exists throughout comes
// exactly once. One that is written or deleted meanwhile comes at most once. The client fetches entries in pages, a few pages
// ahead at most.
//
// The context ends the iteration. If it has no deadline, the client's timeout applies to each page. An error is the last thing
// that comes, with a zero entry.
func (m *Map[K, V]) Entries(ctx context.Context, opts ...QueryOption) iter.Seq2[Entry[K, V], error] {
	return func(yield func(Entry[K, V], error) bool) {
		err := m.scan(ctx, wire.ScanKeys|wire.ScanValues, opts, func(cl *call, key, value []byte) (bool, error) {
			k, err := m.decodeKey(cl, key)
			if err != nil {
				return false, err
			}
			v, err := m.decodeValue(cl, value)
			return err == nil && yield(Entry[K, V]{k, v}, nil), err
		})
		if err != nil {
			yield(Entry[K, V]{}, err)
		}
	}
}

// maxAhead is how many partitions' first pages are fetched at the same time.
const maxAhead = 8

// scan hands each entry to visit until visit returns false or an error. It fetches the first pages of several partitions at once,
// and of more partitions the longer it goes on. So a look at a few entries costs little, and a small map takes few round trips.
func (m *Map[K, V]) scan(ctx context.Context, what uint8, opts []QueryOption, visit func(cl *call, key, value []byte) (bool, error)) error {
	var cfg queryConfig
	for _, o := range opts {
		if o == nil {
			return invalidf("scan", m.name, "a nil option")
		}
		if err := o.applyQuery(&cfg); err != nil {
			return invalidf("scan", m.name, "%v", err)
		}
	}

	// The walk is bound to the cluster it begins in: pages of two clusters make no iteration.
	w := walk{c: m.c, cluster: m.c.table.Load().cluster, name: m.name, wire: m.wire, what: what, queryConfig: cfg, visit: visit}
	for next, ahead := 0, 1; next < m.c.partitionCount(); ahead = min(2*ahead, maxAhead) {
		// The number doubles, so the first entries come soon and a whole map takes few rounds.
		end := min(next+ahead, m.c.partitionCount())
		goOn, err := w.partitions(ctx, next, end)
		if !goOn || err != nil {
			return err
		}
		next = end
	}
	return nil
}

// walk is an iteration under way.
type walk struct {
	c       *Client
	cluster wire.ID
	name    string
	wire    []byte
	what    uint8
	queryConfig
	seen  int // entries visited
	visit func(cl *call, key, value []byte) (bool, error)
}

// partitions walks through the partitions from first to before end.
func (w *walk) partitions(ctx context.Context, first, end int) (goOn bool, err error) {
	list := make([]*call, end-first)
	for i := range list {
		list[i] = newCall(wire.OpScan, w.name, uint32(first+i))
		w.ask(list[i], nil)
		defer list[i].release()
	}

	w.fetch(ctx, list)

	// All first pages are here. The pages that follow are fetched one by one.
	for _, cl := range list {
		if goOn, err = w.partition(ctx, cl); !goOn || err != nil {
			return false, err
		}
	}
	return true, nil
}

// partition walks through one partition, whose first page cl has fetched.
func (w *walk) partition(ctx context.Context, cl *call) (goOn bool, err error) {
	var last, mark []byte // keys: the last one that was seen, and the one behind which an earlier page began
	for pages := 1; ; pages++ {
		if cl.err != nil {
			return false, cl.err
		}

		page, err := wire.DecodeScanResult(cl.Answer.Body)
		if err == nil && w.what&wire.ScanValues != 0 && page.Values == nil && len(page.Keys) > 0 {
			err = fmt.Errorf("%w: a page without values", wire.ErrMalformed)
		}
		if err != nil {
			return false, unreadable(cl.req.Op, w.name, int(cl.req.Partition), err)
		}

		for i, key := range page.Keys {
			var value []byte
			if page.Values != nil {
				value = page.Values[i]
			}
			if goOn, err := w.visit(cl, key, value); !goOn || err != nil {
				return false, err
			}

			if w.seen++; w.seen == w.limit {
				return false, nil
			}
			last = key
		}

		if !page.More {
			return true, nil
		}

		// The page may end with expired entries, which are not in it. The next page begins behind them.
		if page.Next != nil {
			last = page.Next
		} else if len(page.Keys) == 0 {
			return false, unreadable(cl.req.Op, w.name, int(cl.req.Partition), fmt.Errorf("%w: an empty page with more to come", wire.ErrMalformed))
		}

		// The order of keys is the members' own. Pages that go in a circle, whatever its length, must not make the iteration never end.
		if mark != nil && bytes.Equal(last, mark) {
			return false, unreadable(cl.req.Op, w.name, int(cl.req.Partition), fmt.Errorf("%w: pages that lead in a circle", wire.ErrMalformed))
		}

		last = append([]byte(nil), last...) // the answer is about to be overwritten
		// A mark that stays for twice as many pages each time lies on the circle in the end, and for long enough to be met again.
		if pages&(pages-1) == 0 {
			mark = last
		}
		w.ask(cl, last)
		w.fetch(ctx, []*call{cl})
	}
}

// ask makes cl ask for the page after a key.
func (w *walk) ask(cl *call, after []byte) {
	limit := w.page
	// No more entries are asked for than the caller will take.
	if w.limit > 0 {
		if left := uint32(min(w.limit-w.seen, 1<<31-1)); limit == 0 || left < limit {
			limit = left
		}
	}

	// All pages are asked of the cluster in which the walk began.
	cl.renew()
	cl.cluster = w.cluster
	cl.body = wire.AppendScanBody(cl.body[:0], &wire.ScanBody{Map: w.wire, After: after, Limit: limit, What: w.what})
}

// fetch fetches one page for each call.
func (w *walk) fetch(ctx context.Context, list []*call) {
	ctx, span := w.c.tracer.start(ctx, wire.OpScan.String(), w.name)
	w.c.invokeAll(ctx, list)

	// The span shows the first failure. Each call's own error is judged by its partition.
	var err error
	for _, cl := range list {
		if err == nil {
			err = cl.err
		}
	}
	endSpan(span, err)
}
