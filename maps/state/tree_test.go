package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// check returns what is wrong in a tree.
func (t *itemTree) check() error {
	if t.root == nil {
		return nil
	}
	leaves := -1
	return t.root.check(t, 0, &leaves)
}

func (n *itemNode) check(t *itemTree, depth int, leaves *int) error {
	count := len(n.items)
	for i, c := range n.children {
		if err := c.check(t, depth+1, leaves); err != nil {
			return err
		}
		// A node that another tree may have has no part that only this one has.
		if c.stamp > n.stamp {
			return fmt.Errorf("child %d of stamp %d in a node of stamp %d", i, c.stamp, n.stamp)
		}
		count += c.count
	}

	switch {
	case n.children != nil && len(n.children) != len(n.items)+1:
		return fmt.Errorf("%d items and %d children", len(n.items), len(n.children))
	case n.children == nil && *leaves >= 0 && *leaves != depth:
		return fmt.Errorf("leaves at depths %d and %d", *leaves, depth)
	case count != n.count || n.stamp > t.stamp:
		return fmt.Errorf("%d items counted as %d, stamp %d in a tree of stamp %d", count, n.count, n.stamp, t.stamp)
	case len(n.items) == 0 || len(n.items) > maxItems || depth > 0 && len(n.items) < minItems || cap(n.items) > maxItems:
		return fmt.Errorf("%d items at depth %d, with room for %d", len(n.items), depth, cap(n.items))
	}
	if n.children == nil {
		*leaves = depth
	}
	return nil
}

// frozenTree is a tree and what must be in it.
type frozenTree struct {
	tree itemTree
	want []item
}

// A tree has what was put there and not deleted, in order, and its copies stay as they were.
func TestItemTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SampledFrom([]int{3, 100, 1000, 8000}).Draw(t, "keys")
		deletes := rapid.IntRange(1, 9).Draw(t, "deletes of ten")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)) // thousands of operations are too many to be drawn one by one
		tree, want := itemTree{}, map[string]item{}
		var copies []frozenTree

		key := func() item {
			i := r.IntN(keys)
			if i < len(colliding) {
				return probe(colliding[i])
			}
			return probe(fmt.Appendf(nil, "%d", i))
		}
		for i := range 3 * keys {
			// In the first third the tree grows, and in the last it shrinks.
			k := key()
			var p path
			was, found := tree.Find(k, &p)
			if now := want[string(k.keyBytes())]; was != now || found != (now.data != nil) {
				t.Fatalf("%s is %v, want %v", k.keyBytes(), was, now)
			}

			switch n := r.IntN(10); {
			case i > keys && n < deletes || i > 2*keys:
				if tree.Delete(k) != found {
					t.Fatalf("%s was there %v, but not for the deletion", k.keyBytes(), found)
				}
				delete(want, string(k.keyBytes()))
			default:
				e := newItem(k, []byte{byte(i)}, &meta{version: uint64(i)})
				if old, replaced := tree.Put(e, &p); old != was || replaced != found {
					t.Fatalf("%s replaces %v", k.keyBytes(), old)
				}
				want[string(k.keyBytes())] = e
			}

			if i%(keys/2+1) == 0 {
				copies = append(copies, frozenTree{tree, sortedItems(want)})
				tree.stamp++
			}
		}

		for _, c := range append(copies, frozenTree{tree, sortedItems(want)}) {
			checkTree(t, &c.tree, c.want)
		}

		// The same entries, added in their order.
		var loaded itemTree
		for _, e := range copies[len(copies)/2].want {
			loaded.Load(e)
		}
		checkTree(t, &loaded, copies[len(copies)/2].want)
	})
}

// sortedItems returns items in the order of a tree.
func sortedItems(by map[string]item) (list []item) {
	for _, e := range by {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b item) int { return CompareKeys(a.keyBytes(), b.keyBytes()) })
	return list
}

// checkTree compares all that a tree tells with what must be in it.
func checkTree(t *rapid.T, tree *itemTree, want []item) {
	t.Helper()
	if err := tree.check(); err != nil || tree.Len() != len(want) {
		t.Fatalf("%v, %d items, want %d", err, tree.Len(), len(want))
	}

	var got []item
	collect := func(e item) bool {
		got = append(got, e)
		return true
	}
	if tree.Scan(collect); !slices.Equal(got, want) {
		t.Fatalf("scanned %d items, want %d", len(got), len(want))
	}
	for i := 0; i < len(want); i += 1 + len(want)/16 {
		if e, ok := tree.GetAt(i); !ok || e != want[i] {
			t.Fatalf("item %d is %v, want %v", i, e, want[i])
		}
		if e, ok := tree.Get(want[i]); !ok || e != want[i] {
			t.Fatalf("got %v, want %v", e, want[i])
		}

		got = nil
		if tree.Ascend(want[i], collect); !slices.Equal(got, want[i:]) {
			t.Fatalf("%d items from %d on, want %d", len(got), i, len(want)-i)
		}
		// From a key between two, and from before the first or behind the last.
		between := want[i].keyBytes()
		between = append(between[:len(between):len(between)], 'x')
		from, _ := slices.BinarySearchFunc(want, between, func(e item, key []byte) int { return CompareKeys(e.keyBytes(), key) })
		got = nil
		if tree.Ascend(probe(between), collect); !slices.Equal(got, want[from:]) {
			t.Fatalf("%d items from behind %d on, want %d", len(got), i, len(want)-from)
		}
	}
	if _, ok := tree.GetAt(len(want)); ok {
		t.Fatal("there is an item behind the last")
	}
}
