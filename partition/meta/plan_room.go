package meta

import (
	"cmp"
	"math"
	"slices"
)

// memory is what a planner knows of the members' memory.
type memory struct {
	room  []int64 // by member: bytes of new replicas that it can take; math.MaxInt64: it is not bounded
	sizes []int64 // by partition: bytes of a replica
	most  []int   // by member: replicas that it may hold, those that it has among them
}

// bound takes in how much room members have. It does nothing where nobody's memory is bounded.
func (p *planner) bound(members []Candidate, sizes []int64) {
	if !slices.ContainsFunc(members, func(c Candidate) bool { return c.Bounded }) {
		// Without a bound for anybody the planner does not look at sizes at all.
		return
	}
	m := &memory{room: make([]int64, len(members)), sizes: make([]int64, len(p.present)), most: make([]int, len(members))}

	sum, known := int64(0), int64(0)
	for i := range m.sizes {
		if i < len(sizes) && sizes[i] >= 0 {
			m.sizes[i] = sizes[i]
			sum += sizes[i]
			known++
		} else {
			m.sizes[i] = -1
		}
	}

	// A size that is not known is taken to be the average of the others.
	average := int64(0)
	if known > 0 {
		average = sum / known
	}
	for i := range m.sizes {
		if m.sizes[i] < 0 {
			m.sizes[i] = average
		}
	}

	// Replicas that a member holds take none of its room.
	held := make([]int, len(members))
	for _, list := range p.present {
		for _, h := range list {
			held[h]++
		}
	}

	for i, c := range members {
		m.room[i], m.most[i] = math.MaxInt64, len(p.present)
		if !c.Bounded {
			continue
		}

		// The flow counts replicas and not bytes, so room is turned into replicas of average size.
		m.room[i] = max(0, c.Room)
		if average > 0 && m.room[i]/average < int64(len(p.present)-held[i]) {
			// Compared as a quotient, since room may be far more than all partitions together take.
			m.most[i] = held[i] + int(m.room[i]/average)
		}
	}

	p.memory = m
}

// lower lowers limits to what members have room for.
func (m *memory) lower(limits []int) {
	for i := range limits {
		limits[i] = min(limits[i], m.most[i])
	}
}

// keepWithin takes out of the rows what there is no room for. The flow has counted replicas; they are not all of one size.
func (p *planner) keepWithin() {
	if p.memory == nil {
		return
	}

	// Partitions with the fewest live replicas come first: they are nearest to a loss.
	order := make([]int, len(p.rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(p.present[a]), len(p.present[b])) })

	left := slices.Clone(p.memory.room)
	take := func(partition, member int) bool {
		// A member without a bound takes all.
		if left[member] == math.MaxInt64 {
			return true
		}
		if left[member] < p.memory.sizes[partition] {
			return false
		}
		left[member] -= p.memory.sizes[partition]
		return true
	}

	for _, i := range order {
		// Only new replicas need room. Those that are there stand in their members' memory already.
		p.rows[i] = slices.DeleteFunc(p.rows[i], func(m int) bool { return p.cost(i, m) == costNew && !take(i, m) })
	}
	for _, i := range order {
		// What would have been given up for a new replica stays.
		for _, m := range p.present[i] {
			if len(p.rows[i]) < p.replicas && !slices.Contains(p.rows[i], m) {
				p.rows[i] = append(p.rows[i], m)
			}
		}

		// The planned members have no room for this partition. Any other that has room will do, whatever the shares.
		for len(p.rows[i]) < p.replicas {
			m := p.roomiest(i, left)
			if m < 0 || !take(i, m) {
				break
			}
			p.rows[i] = append(p.rows[i], m)
		}

		if len(p.rows[i]) == 0 { // somebody must own the partition if it is ever recovered
			p.rows[i] = append(p.rows[i], i%len(p.holders))
		}
	}
}

// roomiest returns the member with the most room that a partition can be given. Members of zones that may hold one more replica of the
// partition come first. It returns -1 if nobody has room.
func (p *planner) roomiest(partition int, left []int64) int {
	best, bestZone := -1, 0
	for m := range p.holders {
		if slices.Contains(p.rows[partition], m) || slices.Contains(p.present[partition], m) || left[m] < p.memory.sizes[partition] {
			// It holds the partition already, or has no room for it.
			continue
		}

		zone := 0
		for _, other := range p.rows[partition] {
			if p.zones.of[other] == p.zones.of[m] {
				zone++
			}
		}

		// Where no zone is left that may hold one more, the zone with the fewest replicas is the next best.
		full := 0
		if zone >= p.zones.cap {
			full = zone
		}

		if best < 0 || full < bestZone || full == bestZone && left[m] > left[best] {
			best, bestZone = m, full
		}
	}
	return best
}
