package meta

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Candidate is a member that may hold replicas.
type Candidate struct {
	ID          wire.ID
	Incarnation wire.ID
	Zone        string // members without one count as one zone: nothing says that they are apart
	Lite        bool   // holds no replicas

	// Bounded says that the member may be given new replicas of Room bytes in all, and no more; else of as many as come.
	Bounded bool
	Room    int64
}

// Target is what a plan wants of one partition.
type Target struct {
	Holders   []Holder // who is to hold a replica: those that do stay first, in the order of the table
	Kept      int      // Holders[:Kept] do already, the others need a replica
	Live      int      // replicas in the table that a candidate holds; some of them may have to go
	Preferred wire.ID  // who is to own the partition once it has a replica: one of Holders
	NoRoom    int      // holders that are left out, for nobody has room for another replica
}

// Missing returns how many replicas a partition lacks, whatever happens to those it has. Those that lack most should be served
// first; where none is missing, a plan differs from the table for the sake of balance alone.
func (t *Target) Missing() int { return max(0, len(t.Holders)-t.Live) }

// Replan returns where the replicas of all partitions belong and who is to own each, given where they are: one target for each
// partition of the table. It returns nil if there is nobody to hold anything.
//
// The members are those that may hold replicas from now on, but for lite ones. A replica is live if its holder, member and
// incarnation, is one of them; all others have to be replaced, and need not be replaced by the same.
//
//   - Each partition has min(replicas, members) holders.
//   - A zone holds at most one replica of a partition, if there are as many zones as replicas; else as few as the sizes of the
//     zones allow.
//   - Each member's number of replicas is its share, rounded up or down. The shares are equal, but for the members of zones so large
//     that the second rule caps them: those share what their zone may hold.
//   - Of all placements that keep these rules it is one with the fewest new replicas. So a table that keeps the rules stays as it is,
//     and where a table is on its way to a plan, a plan from there needs only what is left to do.
//   - Replicas that have to go are rather not the owner's, and rather of partitions whose owner has more than an equal share.
//   - Each member's number of partitions to own is an equal share, rounded up or down, if the placement allows it, else as even as
//     it allows. Of all such choices it is one that changes the fewest owners, and of those one that gives the fewest partitions to
//     members that have no replica of them yet.
//   - New replicas are scattered, so that partitions which share one holder do not share the others, and many take over when one
//     fails.
//
// Candidates must have distinct IDs; their order does not matter. The same arguments give the same plan in every build.
//
// Members are taken to have room for everything: see ReplanWithin.
func Replan(table []Partition, replicas int, members []Candidate) []Target {
	return ReplanWithin(table, replicas, members, nil)
}

// ReplanWithin is Replan where members' memory is bounded. sizes are what one replica of each partition takes, in bytes; -1 for one that is
// not known, which is taken to be as large as the others are on average.
//
//   - No member is given new replicas that take more than the room it has, all together. Replicas that it is still being given are for
//     the caller to take off its room.
//   - A partition that cannot have all its holders for that reason has fewer, and says so in NoRoom. It keeps what it has: no live replica
//     is given up for one that finds no room.
//   - As long as anybody has room, replicas go there, whatever the shares of the members are.
func ReplanWithin(table []Partition, replicas int, members []Candidate, sizes []int64) []Target {
	members = slices.DeleteFunc(slices.Clone(members), func(c Candidate) bool { return c.Lite })
	// The planner needs members zone by zone. The rest of the order makes the plan the same, whatever the order of the arguments.
	slices.SortFunc(members, func(a, b Candidate) int {
		return cmp.Or(strings.Compare(a.Zone, b.Zone), bytes.Compare(a.ID[:], b.ID[:]))
	})

	replicas = min(replicas, len(members))
	if replicas < 1 || len(table) == 0 {
		return nil
	}

	p := newPlanner(table, replicas, members)
	p.bound(members, sizes)
	p.place()
	p.scatter()
	p.keepWithin() // after scatter, which moves replicas without a look at their sizes

	owners := p.owners()
	plan := make([]Target, len(table))
	for i := range plan {
		// Holders that have a replica come first.
		t := Target{Holders: make([]Holder, 0, replicas), Live: len(p.present[i]), Preferred: members[owners[i]].ID}
		for _, m := range p.present[i] {
			if slices.Contains(p.rows[i], m) {
				t.Holders = append(t.Holders, p.holders[m])
			}
		}

		t.Kept = len(t.Holders)
		for _, m := range p.rows[i] {
			if !slices.Contains(p.present[i], m) {
				t.Holders = append(t.Holders, p.holders[m])
			}
		}

		t.NoRoom = replicas - len(t.Holders)
		plan[i] = t
	}
	return plan
}

// Plan is Replan for partitions that nobody holds yet. It returns each partition's holders, of which the first is to own it first.
func Plan(partitions, replicas int, members []Candidate) [][]Holder {
	if partitions < 1 {
		return nil
	}

	// A table without replicas: all of them are new, so the plan is even and scattered.
	targets := Replan(make([]Partition, partitions), replicas, members)
	if targets == nil {
		return nil
	}

	plan := make([][]Holder, partitions)
	for i, t := range targets {
		// The others follow in an order that differs from partition to partition: it decides who takes over.
		first := slices.IndexFunc(t.Holders, func(h Holder) bool { return h.Member == t.Preferred })
		t.Holders[0], t.Holders[first] = t.Holders[first], t.Holders[0]
		plan[i] = t.Holders

		if rest := t.Holders[1:]; len(rest) > 1 {
			k := i % len(rest)
			plan[i] = slices.Concat(t.Holders[:1], rest[k:], rest[:k])
		}
	}
	return plan
}

// planner holds a plan in the making. Members are known by their places in the order of zones, zones by theirs.
type planner struct {
	replicas int
	holders  []Holder // by member
	zones    zones

	present   [][]int // live holders by partition, in the order of the table
	preferred []int   // by partition: one of present, or -1
	prices    []prices
	rows      [][]int // planned holders by partition
	memory    *memory // nil: nobody's is bounded
}

// zones says who is in which zone.
type zones struct {
	of  []int   // by member
	all [][]int // members of each
	cap int     // replicas of one partition that a zone may hold
}

func newPlanner(table []Partition, replicas int, members []Candidate) *planner {
	p := &planner{
		replicas: replicas, present: make([][]int, len(table)), preferred: make([]int, len(table)), prices: make([]prices, len(table)),
	}

	at := make(map[Holder]int, len(members))
	for i, m := range members {
		h := Holder{Member: m.ID, Incarnation: m.Incarnation}
		at[h] = i
		p.holders = append(p.holders, h)

		// Members are in the order of zones, so a zone ends where the next one begins.
		if i == 0 || m.Zone != members[i-1].Zone {
			p.zones.all = append(p.zones.all, nil)
		}
		z := len(p.zones.all) - 1
		p.zones.all[z] = append(p.zones.all[z], i)
		p.zones.of = append(p.zones.of, z)
	}

	// The lowest cap under which the zones have room for all replicas of a partition.
	for room := 0; room < replicas; {
		p.zones.cap++
		room = 0
		for _, zone := range p.zones.all {
			room += min(len(zone), p.zones.cap)
		}
	}

	// Counted in the order of the table, so that the same table gives the same prices.
	owned := make([]int, len(members))
	for i := range table {
		p.preferred[i], p.prices[i] = -1, pricesAt(0, len(table), len(members))

		// Replicas whose holder is no candidate are left out: they have to be replaced.
		for _, r := range table[i].Replicas {
			if m, ok := at[r.Holder]; ok && !slices.Contains(p.present[i], m) {
				p.present[i] = append(p.present[i], m)
				if r.Member == table[i].Preferred {
					p.preferred[i] = m
					// The more partitions of an owner were counted before, the cheaper it is to take this one from it.
					p.prices[i] = pricesAt(owned[m], len(table), len(members))
					owned[m]++
				}
			}
		}
	}
	return p
}

// shares returns how many replicas each member is to hold at least and at most: its share, rounded down and up.
func (p *planner) shares() (low, high []int) {
	// A zone of size s may hold room(s) replicas in all. A zone is capped if its members get less by that than by equal shares of the
	// rest. Zones are looked at in order, beginning with the one whose members get least.
	partitions := len(p.present)
	room := func(size int) int { return min(size, p.zones.cap) * partitions }

	order := slices.Clone(p.zones.all)
	slices.SortStableFunc(order, func(a, b []int) int {
		return cmp.Compare(room(len(a))*len(b), room(len(b))*len(a))
	})

	low, high = make([]int, len(p.holders)), make([]int, len(p.holders))
	rest, members := partitions*p.replicas, len(p.holders)
	for _, zone := range order {
		part, size := room(len(zone)), len(zone)
		if part*members > rest*size { // it is not capped, nor are those that follow: all get the same
			part, size = rest, members
		} else {
			rest -= part
			members -= size
		}
		for _, m := range zone {
			low[m], high[m] = part/size, (part+size-1)/size
		}
	}
	return low, high
}

// What a replica costs in a placement: a new one more than all that can be saved by choosing which of the others have to go.
const costNew = 1 << 20

// prices are what it costs to keep a replica of a partition: where its owner is, and elsewhere.
type prices struct{ owner, others int }

// pricesAt returns the prices of the next partition of a member that owns some already. The owner's replica is worth more than
// others. If the owner has more than an equal share, all are worth less: who gets a new one in their place can take the partition
// over. And if it surely has too many, its own may go as well as others.
func pricesAt(owned, partitions, members int) prices {
	switch {
	case owned < partitions/members:
		return prices{owner: 0, others: 1}
	case owned*members < partitions:
		return prices{owner: 1, others: 2}
	}
	return prices{owner: 2, others: 2}
}

func (p *planner) cost(partition, member int) int {
	switch {
	case !slices.Contains(p.present[partition], member):
		// A member without a replica has to be sent the whole state.
		return costNew
	case member == p.preferred[partition]:
		return p.prices[partition].owner
	}
	return p.prices[partition].others
}

// place fills the rows.
func (p *planner) place() {
	near := make([][]arc, len(p.present))
	for i, list := range p.present {
		for _, m := range list {
			// Only live holders have a cost of their own. All other members cost as much as a new replica.
			near[i] = append(near[i], arc{m, p.cost(i, m)})
		}
	}

	// The rules on zones and shares are limits of the flow, and the fewest new replicas are its least cost.
	f := newFlow(p.replicas, near, costNew, p.zones)
	low, high := p.shares()
	if p.memory != nil {
		// A member without room cannot reach its share. The others must not wait for it.
		p.memory.lower(low)
		p.memory.lower(high)
	}

	// All shares rounded down come before any rounded up: no member gets one more while another lacks one.
	f.fill(low)
	if !f.fill(high) && p.memory != nil {
		f.fill(p.memory.most) // those that have room take the share of those that have none
	}

	p.rows = f.rows
}

// scatter exchanges new replicas between partitions, so that those of a member do not all have the same company: for new replicas
// of other members, and for replicas of those that they replace.
func (p *planner) scatter() {
	var r random
	for range 2 {
		var moved []int                       // partitions with new replicas
		held := make([][]int, len(p.holders)) // partitions by member
		for a, row := range p.rows {
			for _, m := range row {
				held[m] = append(held[m], a)
			}
			if slices.ContainsFunc(row, func(m int) bool { return p.cost(a, m) == costNew }) {
				moved = append(moved, a)
			}
		}

		for _, a := range moved {
			for i := range p.rows[a] {
				if p.cost(a, p.rows[a][i]) == costNew {
					// The new replica changes places with any other, if the plan costs the same afterwards.
					b := moved[r.below(len(moved))]
					// A partition may have an empty row where nobody has room.
					if n := len(p.rows[b]); n > 0 {
						p.exchange(a, i, b, r.below(n))
					}
				}

				if p.cost(a, p.rows[a][i]) < costNew {
					continue
				}

				// This partition may keep a replica that it is to give up. Another partition gives up a replica of the same member
				// instead, and takes the new one.
				for _, m := range p.present[a] {
					if slices.Contains(p.rows[a], m) || len(held[m]) == 0 {
						continue
					}
					b := held[m][r.below(len(held[m]))]
					// held is from the start of the round: the member may have left that partition since.
					if j := slices.Index(p.rows[b], m); j >= 0 && p.exchange(a, i, b, j) {
						break
					}
				}
			}
		}
	}
}

// exchange exchanges two replicas between partitions, if the rules allow it and the plan gets no dearer, and reports whether it did.
func (p *planner) exchange(a, i, b, j int) bool {
	x, y := p.rows[a][i], p.rows[b][j]
	if p.cost(a, x)+p.cost(b, y) != p.cost(a, y)+p.cost(b, x) || !p.fits(a, i, y) || !p.fits(b, j, x) {
		// The plan is one of the cheapest already. An exchange keeps it one only if the costs stay the same.
		return false
	}
	p.rows[a][i], p.rows[b][j] = y, x
	return true
}

// fits reports whether a partition may have a member in the place of its i-th replica.
func (p *planner) fits(partition, i, member int) bool {
	zone := 0
	for k, m := range p.rows[partition] {
		// The member that is to be replaced does not count.
		if k == i {
			continue
		}
		if m == member {
			return false
		}
		if p.zones.of[m] == p.zones.of[member] {
			zone++
		}
	}
	return zone < p.zones.cap
}

// random is a fixed sequence of numbers (SplitMix64): scattered, and the same in every build.
type random uint64

func (r *random) below(n int) int {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}
