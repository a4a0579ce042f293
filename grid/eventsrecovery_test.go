package grid_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// The one member that survives lacks what the two others had acknowledged. The partitions go on from what it has, and give out the
// positions of the events again that are gone. Listeners are told of a loss and hear everything that comes afterwards, and so does
// who comes with a token from before.
func TestEventsAcrossRecovery(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx, cancel := context.WithTimeout(t.Context(), 4*eventWait)
	defer cancel()
	const partitions, keys, survivor = 3, 12, 2
	cl := gridtest.New(t, 3, gridtest.WithPartitions(partitions))
	c, err := sdk.Connect(ctx, cl.Addrs(), sdk.WithTimeout(eventWait))
	must(t, err)
	defer c.Close()
	m, idle := openMap[string, int](t, c, "recovered"), openMap[string, int](t, c, "idle")
	h, _ := listen(t, m)
	quiet, _ := listen(t, idle)
	set := func(n int) {
		t.Helper()
		for k := range keys {
			must(t, m.Set(ctx, fmt.Sprint("k", k), n))
		}
	}
	// saw waits until a value was heard of each key, and returns the last such event of each.
	saw := func(h *heard[string, int], n int) map[string]sdk.Event[string, int] {
		t.Helper()
		got := make(map[string]sdk.Event[string, int])
		h.wait(t, fmt.Sprint(n, " of each key"), func(list []sdk.Event[string, int]) bool {
			for _, e := range list {
				if e.New == n && e.Kind != sdk.EventLost {
					got[e.Key] = e
				}
			}
			return len(got) == keys
		})
		return got
	}
	must(t, idle.Set(ctx, "k", 1))
	set(1)
	set(2)
	saw(h, 2)

	cl.Cut(survivor, 0)
	cl.Cut(survivor, 1)
	for n := 3; n <= 6; n++ {
		set(n)
	}
	saw(h, 6)
	list, _ := h.snapshot()
	token := list[len(list)-1].Token
	cl.Kill(0)
	cl.Kill(1)
	cl.Heal()
	cl.Restart(0, 1)
	st, err := c.Cluster(ctx)
	must(t, err)
	if st.PossibleDataLoss+st.Lost != partitions {
		t.Fatalf("%d partitions have possibly lost data and %d have lost it, of %d", st.PossibleDataLoss, st.Lost, partitions)
	}

	for n := 101; n <= 106; n++ { // as many as there were, so that no position is new
		set(n)
	}
	late, _ := listen(t, m, sdk.From(token))
	for who, h := range map[string]*heard[string, int]{"a listener": h, "a listener with a token": late} {
		saw(h, 106)
		afterLoss(t, who, h, partitions)
	}
	// Who had missed nothing cannot know that.
	quiet.wait(t, "a loss of each partition", func(list []sdk.Event[string, int]) bool {
		n := 0
		for _, e := range list {
			if e.Kind == sdk.EventLost {
				n++
			}
		}
		return n == partitions
	})
	must(t, idle.Set(ctx, "k", 2))
	quiet.wait(t, "what comes afterwards", func(list []sdk.Event[string, int]) bool {
		return slices.ContainsFunc(list, func(e sdk.Event[string, int]) bool { return e.New == 2 })
	})
}

// afterLoss fails the test unless a listener was told once of each partition that it may have lost something, and heard everything of what
// was written afterwards, which is above 100.
func afterLoss(t *testing.T, who string, h *heard[string, int], partitions int) {
	t.Helper()
	list, _ := h.snapshot()
	lost := 0
	next := make(map[string]int)
	for _, e := range list {
		switch {
		case e.Kind == sdk.EventLost:
			lost++
		case e.New > 100:
			if want := max(next[e.Key], 101); e.New != want || lost == 0 {
				t.Errorf("%s heard %d of %s after %d signs of loss, not %d", who, e.New, e.Key, lost, want)
			}
			next[e.Key] = e.New + 1
		}
	}
	if lost != partitions {
		t.Errorf("%s heard %d signs of loss", who, lost)
	}
}

// All members die and start again, with nothing. Listeners are told so, and hear everything that comes afterwards; so does who comes with a
// token from before, and who listens to what nobody has written to.
func TestEventsAcrossRestartOfAll(t *testing.T) {
	t.Parallel() // most of it is waiting
	const partitions, keys = 3, 12
	cl := gridtest.New(t, 3, gridtest.WithPartitions(partitions))
	c, err := sdk.Connect(t.Context(), cl.Addrs(), sdk.WithTimeout(eventWait))
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	m, idle := openMap[string, int](t, c, "gone"), openMap[string, int](t, c, "idle")
	h, sub := listen(t, m)
	quiet, _ := listen(t, idle)
	set := func(m *sdk.Map[string, int], n int) {
		t.Helper()
		for k := range keys {
			must(t, m.Set(t.Context(), fmt.Sprint("k", k), n))
		}
	}
	set(m, 1)
	set(m, 2)
	list := h.count(t, 2*keys)
	token := list[len(list)-1].Token

	for i := range 3 {
		cl.Kill(i)
	}
	cl.Restart(0, 1, 2)
	late, lateSub := listen(t, m, sdk.From(token))
	for n := 101; n <= 103; n++ {
		set(m, n)
		set(idle, n)
	}
	for who, h := range map[string]*heard[string, int]{"a listener": h, "a listener with a token": late, "a listener to nothing": quiet} {
		h.wait(t, "everything by "+who, complete(keys, 103))
		afterLoss(t, who, h, partitions)
		if list, _ := h.snapshot(); !slices.ContainsFunc(list, func(e sdk.Event[string, int]) bool { return e.Kind == sdk.EventAdded && e.New == 101 }) {
			t.Errorf("%s heard %s", who, tail(list))
		}
	}
	waitLive(t, sub)
	waitLive(t, lateSub)
}

// Of two members one dies: nothing is lost, and nobody is told so.
func TestEventsAcrossRecoveryWithoutLoss(t *testing.T) {
	t.Parallel() // most of it is waiting
	const keys = 12
	cl := gridtest.New(t, 2, gridtest.WithPartitions(3))
	m := openMap[string, int](t, cl.Client(), "kept")
	h, _ := listen(t, m)
	write(t, m, keys, 5, func(int) {})
	h.count(t, keys*5)
	cl.Kill(1)
	cl.Restart(1)
	for n := 6; n <= 9; n++ {
		for k := range keys {
			must(t, m.Set(t.Context(), fmt.Sprint("k", k), n))
		}
	}
	list := h.wait(t, "everything", complete(keys, 9))
	if chains(t, list); anyLost(list) || len(list) != keys*9 {
		t.Errorf("heard %d events, not %d; lost some: %t", len(list), keys*9, anyLost(list))
	}
}

// Large values are written faster than the ring can hold them until they are published. A listener that is there hears them whole.
func TestLargeValuesInABurst(t *testing.T) {
	ctx := t.Context()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(1))
	m := openMap[string, []byte](t, cl.Client(), "burst")
	h, _ := listen(t, m)
	value := func(key, n, size int) []byte { return bytes.Repeat([]byte{byte(1 + key), byte(n)}, size/2) }
	heard := 0
	for _, size := range []int{3 << 10, 140 << 10, 300 << 10} {
		const keys, each = 10, 2
		var wg sync.WaitGroup
		for k := range keys {
			wg.Go(func() {
				for n := range each {
					if err := m.Set(ctx, fmt.Sprint(size, ".", k), value(k, n, size)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		list := h.count(t, heard+keys*each)[heard:]
		heard += keys * each
		for k := range keys {
			var got []sdk.Event[string, []byte]
			for _, e := range list {
				if e.Key == fmt.Sprint(size, ".", k) {
					got = append(got, e)
				}
			}
			if len(got) != each || got[0].Omitted || got[1].Omitted || !bytes.Equal(got[0].New, value(k, 0, size)) ||
				!bytes.Equal(got[1].Old, value(k, 0, size)) || !bytes.Equal(got[1].New, value(k, 1, size)) {
				for _, e := range got {
					t.Errorf("%s %s: %d -> %d bytes, omitted %v", e.Kind, e.Key, len(e.Old), len(e.New), e.Omitted)
				}
				t.Errorf("%d events of key %d", len(got), k)
			}
		}
	}
}
