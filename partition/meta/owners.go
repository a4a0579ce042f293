package meta

import "slices"

// What it costs that a member owns a partition. One change of an owner costs more than any choice of the next owner can save.
const (
	costStays   = 0
	costPasses  = 1 << 20        // to a member that has a replica
	costAwaited = costPasses + 1 // to one that gets it yet
)

// owners chooses, for each partition, one of its planned holders.
func (p *planner) owners() []int {
	near := make([][]arc, len(p.rows))
	for i, row := range p.rows {
		// The owner is one of the planned holders, whether it has its replica yet or not.
		for _, m := range row {
			cost := costAwaited
			switch {
			case m == p.preferred[i]:
				cost = costStays
			case slices.Contains(p.present[i], m):
				cost = costPasses
			}
			near[i] = append(near[i], arc{m, cost})
		}
	}
	return balanceOwners(near, len(p.holders))
}

// balanceOwners chooses, for each partition, one of some members below n. The numbers of partitions that the members get are as even as
// possible: no other choice has a smaller sum of squares. Among all such choices it is one that costs least.
func balanceOwners(choices [][]arc, n int) []int {
	// A partition has one owner, so zones do not matter: all members are in one.
	one := zones{of: make([]int, n), cap: 1}
	limit := make([]int, n)
	level := func(f *flow, k int) bool {
		for m := range limit {
			limit[m] = k
		}
		return f.fill(limit)
	}

	// Members are filled evenly, each level as far as it goes. Where all reach an equal share, the levels below need no look.
	share := len(choices) / n
	f := newFlow(1, choices, never, one)
	if level(f, share); f.size < share*n {
		// Some members cannot reach an equal share. Filled to that level at once, the others would not be as even as possible.
		f = newFlow(1, choices, never, one)
		share = 0
	}

	// From level to level each member that can take one more gets it, until every partition has an owner.
	for !level(f, share) {
		share++
	}

	// Each row has one member by now.
	owners := make([]int, len(choices))
	for i, row := range f.rows {
		owners[i] = row[0]
	}
	return owners
}
