package server

// touched gathers the partitions to which one read of a socket brought writes. It belongs to one connection's reader.
type touched struct {
	marked []bool
	list   []int
}

func (t *touched) add(p, partitions int) {
	if t.marked == nil {
		t.marked = make([]bool, partitions)
	}

	if !t.marked[p] {
		t.marked[p] = true
		t.list = append(t.list, p)
	}
}

// flush has the gathered partitions proposed. services may be nil as long as nothing was added.
func (t *touched) flush(services *Services) {
	for _, p := range t.list {
		// The marks are taken back one by one: the list is short, and there may be many partitions.
		t.marked[p] = false
		services.Maps.Flush(p)
	}

	t.list = t.list[:0]
}
