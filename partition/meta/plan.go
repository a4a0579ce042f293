package meta

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Candidate is a member that Plan may place replicas on.
type Candidate struct {
	ID          wire.ID
	Incarnation wire.ID
	Zone        string // members without one count as one zone: nothing says that they are apart
	Lite        bool   // holds no replicas
}

// Plan places the replicas of all partitions on members: for each partition a list of min(replicas, members that are not lite)
// holders, the first of which shall own it first. It returns nil if there is nobody to hold anything.
//
//   - A zone holds at most one replica of a partition, if there are as many zones as replicas; else as few as the sizes of the
//     zones allow.
//   - Each member's number of replicas is within one of its share. The shares are equal, but for the members of zones so large that
//     the first rule caps them: those share what their zone may hold.
//   - Owners are spread as evenly as the placement allows; within one of an equal share each.
//   - Partitions that share one holder have their others scattered over the members, so that many take over when one fails.
//
// Candidates must have distinct IDs; their order does not matter. The same arguments give the same plan in every build.
func Plan(partitions, replicas int, members []Candidate) [][]Holder {
	members = slices.DeleteFunc(slices.Clone(members), func(c Candidate) bool { return c.Lite })
	slices.SortFunc(members, func(a, b Candidate) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), bytes.Compare(a.ID[:], b.ID[:]))
	})
	replicas = min(replicas, len(members))
	if partitions < 1 || replicas < 1 {
		return nil
	}
	p := newPlanner(partitions, replicas, members)
	p.lay(p.quotas())
	p.scatter()
	owners := balanceOwners(p.table, len(members))
	plan := make([][]Holder, partitions)
	for i, row := range p.table {
		// The others follow in an order that differs from partition to partition: it decides who takes over.
		first := slices.Index(row, owners[i])
		row[0], row[first] = row[first], row[0]
		if rest := row[1:]; len(rest) > 1 {
			k := i % len(rest)
			row = slices.Concat(row[:1], rest[k:], rest[:k])
		}
		for _, m := range row {
			plan[i] = append(plan[i], Holder{Member: members[m].ID, Incarnation: members[m].Incarnation})
		}
	}
	return plan
}

// planner holds a plan in the making. Members are known by their places in the order of zones, zones by theirs.
type planner struct {
	partitions, replicas int

	zoneOf  []int   // by member
	zones   []int   // members of each
	zoneCap int     // replicas of one partition that a zone may hold
	table   [][]int // members by partition
	seed    uint64  // of the scatter
}

func newPlanner(partitions, replicas int, members []Candidate) *planner {
	p := &planner{partitions: partitions, replicas: replicas, zoneOf: make([]int, len(members))}
	for i, m := range members {
		if i == 0 || m.Zone != members[i-1].Zone {
			p.zones = append(p.zones, 0)
		}
		p.zones[len(p.zones)-1]++
		p.zoneOf[i] = len(p.zones) - 1
	}
	for room := 0; room < replicas; {
		p.zoneCap++
		room = 0
		for _, size := range p.zones {
			room += min(size, p.zoneCap)
		}
	}
	return p
}

// quotas returns how many replicas each member shall hold: its share, rounded down or up, so that no zone holds more than it may.
func (p *planner) quotas() []int {
	// A zone of size s may hold room(s) replicas in all. Zones whose members get less by that than they would by equal shares of
	// the rest are capped, beginning with the one whose members get least.
	room := func(size int) int { return min(size, p.zoneCap) * p.partitions }
	order := make([]int, len(p.zones))
	for z := range order {
		order[z] = z
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(room(p.zones[a])*p.zones[b], room(p.zones[b])*p.zones[a])
	})
	rest, members := p.partitions*p.replicas, len(p.zoneOf)
	floor := make([]int, len(p.zones)) // of a member's share, by zone
	spare := make([]int, len(p.zones)) // members of the zone that may get one more
	left := 0                          // replicas that remain when everybody has the floor
	for i, z := range order {
		size := p.zones[z]
		if room(size)*members > rest*size {
			for _, z := range order[i:] {
				floor[z] = rest / members
				spare[z] = min(p.zones[z], room(p.zones[z])-p.zones[z]*floor[z])
			}
			left += rest % members
			break
		}
		floor[z], spare[z] = room(size)/size, room(size)%size
		left += spare[z]
		rest -= room(size)
		members -= size
	}
	// In the order of zones, those that are capped get to their caps and the others share what remains.
	quota := make([]int, len(p.zoneOf))
	for m, z := range p.zoneOf {
		quota[m] = floor[z]
	}
	for _, z := range order {
		first, _ := slices.BinarySearch(p.zoneOf, z)
		for m := first; spare[z] > 0 && left > 0; m++ {
			quota[m]++
			spare[z]--
			left--
		}
	}
	return quota
}

// lay fills the table by quotas. Replicas are dealt to the partitions in turn, member by member and zone by zone: so a member with at
// most one replica for each partition deals none of them two, and a zone none of them more than it may hold.
func (p *planner) lay(quota []int) {
	p.table = make([][]int, p.partitions)
	next := 0
	for m, n := range quota {
		for range n {
			p.table[next] = append(p.table[next], m)
			next = (next + 1) % p.partitions
		}
	}
}

// scatter exchanges replicas between partitions wherever the rules allow, so that those of a member do not all have the same
// company.
func (p *planner) scatter() {
	for range 2 {
		for a := range p.table {
			for i := range p.table[a] {
				b := int(p.random() % uint64(p.partitions))
				j := int(p.random() % uint64(p.replicas))
				if x, y := p.table[a][i], p.table[b][j]; p.fits(a, i, y) && p.fits(b, j, x) {
					p.table[a][i], p.table[b][j] = y, x
				}
			}
		}
	}
}

// fits reports whether a partition may have a member in the place of its i-th replica.
func (p *planner) fits(partition, i, member int) bool {
	zone := 0
	for k, m := range p.table[partition] {
		if k == i {
			continue
		}
		if m == member {
			return false
		}
		if p.zoneOf[m] == p.zoneOf[member] {
			zone++
		}
	}
	return zone < p.zoneCap
}

// random returns the next number of a fixed sequence (SplitMix64): scattered, and the same in every build.
func (p *planner) random() uint64 {
	p.seed += 0x9e3779b97f4a7c15
	z := p.seed
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
