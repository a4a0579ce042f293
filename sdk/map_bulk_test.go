package sdk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestBulk(t *testing.T) {
	g := fakegrid.New(t, 3, 13)
	m := opened[int, string](t, connected(t, g), "m")
	ctx := t.Context()
	entries := make(map[int]string)
	keys := make([]int, 0, 10_000)
	for i := range 10_000 {
		entries[i] = fmt.Sprint(i)
		keys = append(keys, i)
	}
	g.Record()
	noErr(t, m.SetAll(ctx, entries))
	seqs := make(map[uint64]bool)
	for _, s := range g.Requests(wire.OpSetMany) {
		if s.Keys < 1 || s.Keys > maxPartKeys || seqs[s.Seq] {
			t.Fatalf("%+v", s)
		}
		seqs[s.Seq] = true
	}
	got, err := m.GetAll(ctx, append(keys, -1, 0, 1)...)
	noErr(t, err)
	if !maps.Equal(got, entries) {
		t.Fatalf("%d entries, want %d", len(got), len(entries))
	}
	if n, err := m.DeleteAll(ctx, append(keys[:5000:5000], -1, 0)...); n != 5000 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := m.Size(ctx); n != 5000 || err != nil {
		t.Fatal(n, err)
	}
	noErr(t, m.SetAll(ctx, nil))
	if got, err := m.GetAll(ctx); got == nil || len(got) != 0 || err != nil {
		t.Fatal(got, err)
	}
	if n, err := m.DeleteAll(ctx); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}

// The parts for a member share a frame. One whose partition has moved is sent again alone, under its identity.
func TestBulkFrames(t *testing.T) {
	const members, partitions = 3, 30
	g := fakegrid.New(t, members, partitions)
	m := opened[int, int](t, connected(t, g), "m")
	ctx := t.Context()
	entries, keys := make(map[int]int), []int{}
	for i := range 1000 {
		entries[i], keys = i, append(keys, i)
	}

	type frame struct{ member, number int }
	// sent runs a bulk call. Some partitions move when their parts are on their way.
	sent := func(op wire.Op, moved int, run func() error) {
		t.Helper()
		g.Record()
		var mu sync.Mutex
		left := make(map[uint32]bool)
		for p := range moved {
			left[uint32(p)] = true
		}
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			mu.Lock()
			defer mu.Unlock()
			if req.Op == op && left[req.Partition] {
				delete(left, req.Partition)
				g.Move(int(req.Partition), (g.Owner(int(req.Partition))+1)%members, false)
			}
			return fakegrid.Verdict{}
		})
		noErr(t, run())

		first, seqs, all := make(map[frame]int), make(map[uint32]uint64), 0
		attempts := make(map[uint32]int)
		for _, s := range g.Requests(op) {
			all++
			if attempts[s.Partition]++; attempts[s.Partition] == 1 {
				first[frame{s.Member, s.Frame}]++
				seqs[s.Partition] = s.Seq
			} else if s.Seq != seqs[s.Partition] || int(s.Partition) >= moved {
				t.Errorf("%v: partition %d is sent again with seq %d, it was %d", op, s.Partition, s.Seq, seqs[s.Partition])
			}
		}
		// A better idea of the cluster's time changes the deadlines of the parts that follow, which begin another frame.
		if len(first) < members || len(first) > members+2 || len(attempts) != partitions || all != partitions+moved {
			t.Errorf("%v: %d requests for %d partitions, at first in %d frames", op, all, len(attempts), len(first))
		}
	}
	sent(wire.OpSetMany, 0, func() error { return m.SetAll(ctx, entries) })
	sent(wire.OpSetMany, 4, func() error { return m.SetAll(ctx, entries) })
	sent(wire.OpGetMany, 5, func() error {
		got, err := m.GetAll(ctx, keys...)
		if !maps.Equal(got, entries) {
			t.Errorf("%d entries", len(got))
		}
		return err
	})
	sent(wire.OpSize, 0, func() error { _, err := m.Size(ctx); return err })
	sent(wire.OpDeleteMany, 3, func() error {
		n, err := m.DeleteAll(ctx, keys...)
		if n != len(keys) {
			t.Errorf("%d deleted", n)
		}
		return err
	})
}

// Parts are whole partitions' items in bounds; nothing is lost and nothing comes twice.
func TestBulkParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &bulk[int, string]{}
		for i := range rapid.IntRange(0, 3000).Draw(t, "n") {
			b.items = append(b.items, bulkItem[int]{key: i, partition: rapid.IntRange(0, 3).Draw(t, "p"), encoded: make([]byte, 9),
				value: make([]byte, rapid.SampledFrom([]int{1, 1, 1, 1000, maxPartBytes / 3, maxPartBytes}).Draw(t, "size"))})
		}
		n := len(b.items)
		seen := make(map[int]bool)
		for _, part := range b.parts() {
			size := 0
			for _, it := range part {
				if it.partition != part[0].partition || seen[it.key] {
					t.Fatalf("key %d", it.key)
				}
				seen[it.key] = true
				size += len(it.encoded) + len(it.value)
			}
			if len(part) == 0 || len(part) > maxPartKeys || size > maxPartBytes && len(part) > 1 {
				t.Fatalf("a part of %d keys and %d bytes", len(part), size)
			}
		}
		if len(seen) != n {
			t.Fatalf("%d of %d items", len(seen), n)
		}
	})
}

// Keys that fail are named as the caller gave them, with their own reasons; the others are done.
func TestBulkErrors(t *testing.T) {
	g := fakegrid.New(t, 2, 2)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	ctx := t.Context()
	long, large := strings.Repeat("x", wire.MaxKey+1), strings.Repeat("x", wire.MaxValue)
	lost, fine := keyIn(t, m, 0, 0), keyIn(t, m, 1, 0)
	conflict := keyIn(t, m, 1, 1)
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Partition == 0 && (req.Op.IsWrite() || req.Op.IsRead()) {
			return fakegrid.Verdict{Code: wire.CodeForbidden, Body: []byte("not you")}
		}
		return fakegrid.Verdict{}
	})
	err := m.SetAll(ctx, map[string]string{lost: "v", fine: "v", long: "v", "large": large})
	var bulk *BulkError
	if !errors.As(err, &bulk) || len(bulk.Errs) != 3 {
		t.Fatal(err)
	}
	for key, want := range map[any]error{lost: ErrForbidden, long: ErrTooLarge, "large": ErrTooLarge} {
		if !errors.Is(bulk.Errs[key], want) || !errors.Is(err, want) {
			t.Errorf("%.20v: %v", key, bulk.Errs[key])
		}
	}
	if v, _, err := m.Get(ctx, fine); v != "v" || err != nil {
		t.Error(v, err)
	}
	view, _, err := m.EntryView(ctx, fine)
	noErr(t, err)
	err = m.SetAll(ctx, map[string]string{fine: "w", conflict: "w"}, IfVersion(view.Version))
	if !errors.As(err, &bulk) || len(bulk.Errs) != 1 || !errors.Is(bulk.Errs[conflict], ErrConflict) {
		t.Fatal(err)
	}
	got, err := m.GetAll(ctx, lost, fine, long)
	if !errors.As(err, &bulk) || len(bulk.Errs) != 2 || !errors.Is(bulk.Errs[lost], ErrForbidden) || !maps.Equal(got, map[string]string{fine: "w"}) {
		t.Fatal(got, err)
	}
	n, err := m.DeleteAll(ctx, lost, fine, conflict)
	if !errors.As(err, &bulk) || len(bulk.Errs) != 1 || n != 1 {
		t.Fatal(n, err)
	}
	anys := opened[any, string](t, c, "m")
	_, err = anys.GetAll(ctx, []byte("no map key"))
	wantErr(t, err, ErrInvalid)
	if errors.As(err, &bulk) {
		t.Fatal("a key that no map can hold is named in one")
	}
}

// A part in flight when its owner goes is repeated under its identity, as a single write is.
func TestBulkFailover(t *testing.T) {
	g := fakegrid.New(t, 2, 8)
	c := connected(t, g)
	m := opened[int, int](t, c, "m")
	var cut atomic.Bool
	g.OnRequest(func(f *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if f.Index == 0 && req.Op == wire.OpDeleteMany && cut.CompareAndSwap(false, true) {
			go g.MoveAll(0, 1, true)
			return fakegrid.Verdict{Cut: true, Execute: true}
		}
		return fakegrid.Verdict{}
	})
	entries, keys := make(map[int]int), []int{}
	for i := range 1000 {
		entries[i], keys = i, append(keys, i)
	}
	noErr(t, m.SetAll(t.Context(), entries))
	if n, err := m.DeleteAll(t.Context(), keys...); n != 1000 || err != nil {
		t.Fatalf("%d deleted, %v", n, err)
	}
}

// Partitions that cannot be reached fail alone, and without holding up the others.
func TestBulkWithAPartitionDown(t *testing.T) {
	g := fakegrid.New(t, 2, 8)
	m := opened[int, int](t, connected(t, g), "m")
	g.Move(3, -1, true)
	entries := make(map[int]int)
	for i := range 200 {
		entries[i] = i
	}
	err := m.SetAll(short(t), entries)
	wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)
	var bulk *BulkError
	if !errors.As(err, &bulk) || !Retryable(err) {
		t.Fatal(err)
	}
	for k, err := range bulk.Errs {
		var e *Error
		if !errors.As(err, &e) || e.Partition != 3 {
			t.Fatalf("%v: %v", k, err)
		}
	}
	got, err := m.GetAll(short(t), slices.Collect(maps.Keys(entries))...)
	if len(got)+len(bulk.Errs) != 200 || !errors.Is(err, ErrUnavailable) {
		t.Fatalf("%d entries, %d errors, %v", len(got), len(bulk.Errs), err)
	}
	_, err = m.Size(short(t))
	wantErr(t, err, ErrUnavailable)
	err = m.Clear(short(t))
	wantErr(t, err, ErrUnavailable)
	if !strings.Contains(err.Error(), "done in 7 of 8 partitions") {
		t.Error(err)
	}
}

// A part that must be sent again is, while another has no answer yet.
func TestBulkPartsAreIndependent(t *testing.T) {
	for name, run := range map[wire.Op]func(context.Context, *Map[string, string], ...string) error{
		wire.OpSetMany: func(ctx context.Context, m *Map[string, string], keys ...string) error {
			return m.SetAll(ctx, map[string]string{keys[0]: "v", keys[1]: "v"})
		},
		wire.OpGetMany: func(ctx context.Context, m *Map[string, string], keys ...string) error {
			_, err := m.GetAll(ctx, keys...)
			return err
		},
		wire.OpDeleteMany: func(ctx context.Context, m *Map[string, string], keys ...string) error {
			_, err := m.DeleteAll(ctx, keys...)
			return err
		},
	} {
		t.Run(name.String(), func(t *testing.T) {
			g := fakegrid.New(t, 2, 2)
			m := opened[string, string](t, connected(t, g), "m")
			slow, refused := keyIn(t, m, 0, 0), keyIn(t, m, 1, 0)
			release, again := make(chan struct{}), make(chan struct{})
			var attempts atomic.Int32 // of the part that is refused first
			g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
				switch {
				case req.Op != name:
				case req.Partition == 0:
					return fakegrid.Verdict{Wait: release}
				default:
					switch attempts.Add(1) {
					case 1:
						return fakegrid.Verdict{Code: wire.CodeNotReady}
					case 2:
						close(again)
					}
				}
				return fakegrid.Verdict{}
			})
			done := make(chan error, 1)
			go func() { done <- run(t.Context(), m, slow, refused) }()
			select {
			case <-again:
			case <-time.After(eventPatience):
				t.Error("a part waits for the other")
			}
			close(release)
			noErr(t, <-done)
		})
	}
}

// More than a connection's queue holds goes in rounds; an answer that would exceed a frame is asked for in halves.
func TestLargeBulk(t *testing.T) {
	g := fakegrid.New(t, 1, 2)
	m := opened[int, []byte](t, connected(t, g), "m")
	entries, keys := make(map[int][]byte), []int{}
	for i := range 40 {
		entries[i], keys = make([]byte, 900_000), append(keys, i)
		entries[i][0] = byte(i)
	}
	noErr(t, m.SetAll(t.Context(), entries))
	g.Record()
	got, err := m.GetAll(t.Context(), keys...)
	noErr(t, err)
	for i := range 40 {
		if len(got[i]) != 900_000 || got[i][0] != byte(i) {
			t.Fatalf("value %d: %d bytes", i, len(got[i]))
		}
	}
	if n := len(g.Requests(wire.OpGetMany)); n < 10 {
		t.Fatalf("%d requests", n)
	}
}
