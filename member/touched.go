package member

import "github.com/gridiron-io/gridiron/partition"

// touched gathers the partitions to which one read of a socket brought writes. It belongs to one connection's reader.
type touched struct {
	marked []bool
	list   []int
}

func newTouched(partitions int) *touched { return &touched{marked: make([]bool, partitions)} }

func (t *touched) add(p int) {
	if !t.marked[p] {
		t.marked[p] = true
		t.list = append(t.list, p)
	}
}

// flush has the gathered partitions proposed. host may be nil as long as nothing was added.
func (t *touched) flush(host *partition.Host) {
	for _, p := range t.list {
		t.marked[p] = false
		host.Flush(p)
	}
	t.list = t.list[:0]
}
