package state

import (
	"bytes"
	"slices"
)

// itemTree is a B-tree of entries in the order of CompareKeys. Its nodes know hashes without a call, so a search in a node compares numbers.
// A search leaves its path, by which a write then reaches the place without a second search.
//
// A copy of the tree with a later stamp shares its nodes. A node whose stamp is not the tree's may be part of another tree, and is copied
// before it is changed.
type itemTree struct {
	root  *itemNode // nil: no entries
	stamp uint64
}

type itemNode struct {
	items    []item
	children []*itemNode // one more than items; nil in a leaf
	count    int         // Invariant: the number of items in the node and below
	stamp    uint64      // of the tree that may change it
}

const (
	// maxItems is how many items a node has at most: their array then fills 1 KB with the allocator's own word.
	maxItems = 63
	// minItems is how many items a node other than the root keeps where items are removed. It is well below half of maxItems, so that
	// a node is not merged and split again and again.
	minItems = 20
	// maxDepth bounds the depth of a tree: a node has at least a dozen children.
	maxDepth = 12
)

// path is the way from the root of a tree to an item, or to where it would be inserted. It is good until the tree is changed.
type path struct {
	at    [maxDepth]uint8 // in which child, and at last which item
	depth int             // of the node of the item
	found bool
}

// roomFor returns for how many items memory is taken where n are to fit. Nodes grow in small steps, to sizes that the allocator has.
func roomFor(n int) int {
	switch {
	case n <= 4:
		return 4
	case n <= 32:
		return (n + 7) &^ 7
	}
	// The allocator puts a word before larger arrays with pointers, which takes the place of an item.
	return (n+8)&^7 - 1
}

// Len returns how many items the tree has.
func (t *itemTree) Len() int {
	if t.root == nil {
		return 0
	}
	return t.root.count
}

// search returns the place of the first item that is not before a key, and whether that is the key's.
func (n *itemNode) search(hash uint32, key []byte) (int, bool) {
	items := n.items
	low := 0
	for left := len(items); left > 0; {
		half := int(uint(left+1) >> 1)
		// The sign says whether the item is before the hash. A branch would be predicted wrongly every other time.
		before := (int64(items[low+half-1].hash) - int64(hash)) >> 63
		low += half & int(before)
		left -= half
	}

	// Mostly there is one item with the hash, and it is the key's.
	for ; low < len(items) && items[low].hash == hash; low++ {
		if c := bytes.Compare(items[low].keyBytes(), key); c >= 0 {
			return low, c == 0
		}
	}
	return low, false
}

// Get returns the item with the key of a probe.
func (t *itemTree) Get(probe item) (item, bool) {
	key := probe.keyBytes()
	for n := t.root; n != nil; {
		i, found := n.search(probe.hash, key)
		if found {
			return n.items[i], true
		}
		if n.children == nil {
			break
		}
		n = n.children[i]
	}
	return item{}, false
}

// Find is Get, and leaves the way in p.
func (t *itemTree) Find(probe item, p *path) (item, bool) {
	key := probe.keyBytes()
	*p = path{}
	for n := t.root; n != nil; p.depth++ {
		i, found := n.search(probe.hash, key)
		p.at[p.depth] = uint8(i)
		if found {
			p.found = true
			return n.items[i], true
		}
		if n.children == nil {
			break
		}
		n = n.children[i]
	}
	return item{}, false
}

// own returns the node to which at points for a change: itself, or a copy in its place.
func (t *itemTree) own(at **itemNode) *itemNode {
	n := *at
	if n.stamp == t.stamp {
		return n
	}

	c := &itemNode{count: n.count, stamp: t.stamp}
	c.items = append(make([]item, 0, roomFor(len(n.items))), n.items...)
	c.children = slices.Clone(n.children)
	*at = c
	return c
}

// walk returns the nodes of a path, for a change.
func (t *itemTree) walk(p *path, nodes *[maxDepth]*itemNode) {
	at := &t.root
	for d := range p.depth + 1 {
		n := t.own(at)
		nodes[d] = n
		if d < p.depth {
			at = &n.children[p.at[d]]
		}
	}
}

// Put stores e at the path that Find has left for its key, and returns the item that was there.
func (t *itemTree) Put(e item, p *path) (old item, replaced bool) {
	if t.root == nil {
		t.root = &itemNode{stamp: t.stamp}
	}
	var nodes [maxDepth]*itemNode
	t.walk(p, &nodes)

	if p.found {
		at := &nodes[p.depth].items[p.at[p.depth]]
		old, *at = *at, e
		return old, true
	}

	for _, n := range nodes[:p.depth+1] {
		n.count++
	}
	// A full node is split. Its middle item goes into the node above, with the new node at its right.
	var right *itemNode
	for d := p.depth; d >= 0; d-- {
		if e, right = nodes[d].insert(int(p.at[d]), e, right); right == nil {
			return item{}, false
		}
	}

	left := t.root
	t.root = &itemNode{stamp: t.stamp}
	t.root.fill([]item{e}, []*itemNode{left, right})
	return item{}, false
}

// Load adds an item behind all others.
func (t *itemTree) Load(e item) {
	var p path
	for n := t.root; n != nil; p.depth++ {
		p.at[p.depth] = uint8(len(n.items))
		if n.children == nil {
			break
		}
		n = n.children[len(n.items)]
	}
	t.Put(e, &p)
}

// insert adds an item at place i, with the node at its right unless that is nil. If there is no room, it splits the node. It returns the
// item between the two halves, and the second half. The caller has counted e.
func (n *itemNode) insert(i int, e item, child *itemNode) (middle item, right *itemNode) {
	if k := len(n.items); k < maxItems {
		if k == cap(n.items) {
			n.items = append(make([]item, 0, roomFor(k+1)), n.items...)
		}
		n.items = slices.Insert(n.items, i, e)
		if child != nil {
			n.children = slices.Insert(n.children, i+1, child)
		}
		return item{}, nil
	}

	var buf [maxItems + 1]item
	all := append(append(append(buf[:0], n.items[:i]...), e), n.items[i:]...)
	var children []*itemNode
	if child != nil {
		children = slices.Insert(slices.Clone(n.children), i+1, child)
	}
	right = &itemNode{stamp: n.stamp}
	return n.divide(all, children, right), right
}

// divide gives n the first half of items and children, and right the second. It returns the item between them.
func (n *itemNode) divide(items []item, children []*itemNode, right *itemNode) item {
	half := len(items) / 2
	var first, second []*itemNode
	if children != nil {
		first, second = children[:half+1], children[half+1:]
	}

	n.fill(items[:half], first)
	right.fill(items[half+1:], second)
	return items[half]
}

// fill gives a node items and children, which are copied.
func (n *itemNode) fill(items []item, children []*itemNode) {
	n.items = append(make([]item, 0, roomFor(len(items))), items...)
	n.children = slices.Clone(children)

	n.count = len(items)
	for _, c := range children {
		n.count += c.count
	}
}

// Delete removes the item with the key of a probe, and reports whether there was one.
func (t *itemTree) Delete(probe item) bool {
	var p path
	if _, found := t.Find(probe, &p); !found {
		return false
	}
	var nodes [maxDepth]*itemNode
	t.walk(&p, &nodes)

	n := nodes[p.depth]
	// Items leave leaves only. The item before takes the place of one in an inner node, and stands in a leaf.
	if inner := n; inner.children != nil {
		i := p.at[p.depth]
		for at := &inner.children[i]; ; at = &n.children[len(n.items)] {
			n = t.own(at)
			p.depth++
			nodes[p.depth], p.at[p.depth] = n, uint8(len(n.items))
			if n.children == nil {
				break
			}
		}
		p.at[p.depth]--
		inner.items[i] = n.items[p.at[p.depth]]
	}

	i := int(p.at[p.depth])
	n.items = slices.Delete(n.items, i, i+1)
	for _, above := range nodes[:p.depth+1] {
		above.count--
	}

	for d := p.depth; d > 0 && len(nodes[d].items) < minItems; d-- {
		t.rebalance(nodes[d-1], int(p.at[d-1]))
	}
	// A root without items has one child at most.
	if root := t.root; len(root.items) == 0 {
		t.root = nil
		if root.children != nil {
			t.root = root.children[0]
		}
	}
	return true
}

// rebalance evens out the child i of a node, which has too few items, and one beside it. Where both fit in one node, they become one.
func (t *itemTree) rebalance(n *itemNode, i int) {
	i = min(i, len(n.items)-1)
	left, right := t.own(&n.children[i]), t.own(&n.children[i+1])

	var buf [2*maxItems + 1]item
	all := append(append(append(buf[:0], left.items...), n.items[i]), right.items...)
	children := slices.Concat(left.children, right.children) // nil for leaves
	if len(all) > maxItems {
		n.items[i] = left.divide(all, children, right)
		return
	}

	left.fill(all, children)
	n.items = slices.Delete(n.items, i, i+1)
	n.children = slices.Delete(n.children, i+1, i+2)
}

// GetAt returns the item at a place in the order; false if there is none.
func (t *itemTree) GetAt(i int) (item, bool) {
	if i < 0 || i >= t.Len() {
		return item{}, false
	}

	n := t.root
descent:
	for n.children != nil {
		for c, child := range n.children {
			if i < child.count {
				n = child
				continue descent
			}
			if i -= child.count; i == 0 {
				return n.items[c], true
			}
			i--
		}
	}
	return n.items[i], true
}

// Scan calls fn for all items in their order until it returns false.
func (t *itemTree) Scan(fn func(e item) bool) {
	if t.root != nil {
		t.root.scan(fn)
	}
}

func (n *itemNode) scan(fn func(e item) bool) bool {
	for i, e := range n.items {
		if n.children != nil && !n.children[i].scan(fn) || !fn(e) {
			return false
		}
	}
	return n.children == nil || n.children[len(n.items)].scan(fn)
}

// Ascend is Scan from the first item that is not before the key of a probe.
func (t *itemTree) Ascend(probe item, fn func(e item) bool) {
	if t.root != nil {
		t.root.ascend(probe.hash, probe.keyBytes(), fn)
	}
}

func (n *itemNode) ascend(hash uint32, key []byte, fn func(e item) bool) bool {
	i, found := n.search(hash, key)
	if !found && n.children != nil && !n.children[i].ascend(hash, key, fn) {
		return false
	}

	for ; i < len(n.items); i++ {
		if !fn(n.items[i]) || n.children != nil && !n.children[i+1].scan(fn) {
			return false
		}
	}
	return true
}
