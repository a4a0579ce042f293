package meta

// balanceOwners chooses, for each partition of a table of members below n, one that holds a replica, so that the numbers of
// partitions chosen for them are as even as the table allows: no other choice has a smaller sum of squares.
//
// It begins with a greedy choice. Then, while a chain of partitions leads from a member to one that has at least two fewer, each
// partition of the chain passes to the next member on it. When no such chain is left the choice is optimal.
func balanceOwners(table [][]int, n int) []int {
	b := balance{table: table, owner: make([]int, len(table)), owned: make([]int, n), via: make([]int, n)}
	for p, row := range table {
		best := row[p%len(row)]
		for _, m := range row {
			if b.owned[m] < b.owned[best] {
				best = m
			}
		}
		b.owner[p] = best
		b.owned[best]++
	}
	for b.improve() {
	}
	return b.owner
}

type balance struct {
	table [][]int
	owner []int // by partition
	owned []int // partitions by member
	via   []int // by member that a search has reached: the partition by which; -1 at its start, unreached if none
}

const unreached = -2

// improve uses up the chains that lead from each member in turn, and reports whether there were any.
func (b *balance) improve() bool {
	improved := false
	byOwner := make([][]int, len(b.owned))
	for from := range b.owned {
		for {
			for m := range byOwner {
				byOwner[m] = byOwner[m][:0]
			}
			for p, m := range b.owner {
				byOwner[m] = append(byOwner[m], p)
			}
			to := b.search(from, byOwner)
			if to < 0 {
				break
			}
			improved = true
			b.owned[from]--
			b.owned[to]++
			for m := to; m != from; {
				p := b.via[m]
				m, b.owner[p] = b.owner[p], m
			}
		}
	}
	return improved
}

// search returns a nearest member that a chain leads to from a member that has at least two more, or -1 if there is none.
func (b *balance) search(from int, byOwner [][]int) int {
	if b.owned[from] < 2 {
		return -1
	}
	for m := range b.via {
		b.via[m] = unreached
	}
	b.via[from] = -1
	queue := []int{from}
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		if b.owned[m] <= b.owned[from]-2 {
			return m
		}
		for _, p := range byOwner[m] {
			for _, next := range b.table[p] {
				if b.via[next] == unreached {
					b.via[next] = p
					queue = append(queue, next)
				}
			}
		}
	}
	return -1
}
