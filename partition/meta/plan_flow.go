package meta

import (
	"math"
	"slices"
)

// flow gives each partition a number of distinct members, at the least cost. No member is given to more partitions than its limit,
// and no zone to a partition more often than it may. It is a flow of least cost from the partitions through zones to the members:
// each unit of it takes a cheapest way that is left. A way may lead through members and partitions that pass on what they had
// (successive shortest paths, all those of one length together).
type flow struct {
	want  int     // members that each partition gets
	near  [][]arc // by partition: members with a cost of their own
	far   int     // cost of all others, higher than any of near; never: they are out of the question
	zones zones
	limit []int // by member

	rows [][]int // members by partition, so far
	held [][]int // partitions by member: the same, the other way round
	size int     // how many were given in all

	order []int // in which partitions are served

	// Lengths of ways. At the end of a way to a partition, the partition is free to take one more member. At the end of a way to a
	// member, the member has to take one more partition. At the end of a way to a zone at a partition, the partition is free to
	// take one more member of the zone.
	toPartition []int
	toMember    []int
	toZone      []int // by partition and place in the row: the zone of the member there
	nearest     int   // to a member with room
	farthest    int   // no member is farther
	queue       []int // partitions, and members after all partitions, from which ways may have become shorter
	queued      []bool

	// What the present pass has come through without success.
	seenPartition, seenMember []bool
}

// arc is a member that a partition can get.
type arc struct{ member, cost int }

const (
	never     = -1
	unreached = math.MaxInt / 4
)

func newFlow(want int, near [][]arc, far int, z zones) *flow {
	partitions, members := len(near), len(z.of)
	f := &flow{
		want: want, near: near, far: far, zones: z,
		rows: make([][]int, partitions), held: make([][]int, members), order: make([]int, partitions),
		toPartition: make([]int, partitions), toMember: make([]int, members), toZone: make([]int, partitions*want),
		queued: make([]bool, partitions+members), seenPartition: make([]bool, partitions), seenMember: make([]bool, members),
	}

	// All rows are parts of one array.
	cells := make([]int, partitions*(want+1)) // a row has one too many while it changes

	// In a scattered order, so that neighbouring partitions do not all get the same members.
	var r random
	for p := range f.rows {
		f.rows[p] = cells[p*(want+1) : p*(want+1) : (p+1)*(want+1)]
		i := r.below(p + 1)
		f.order[p], f.order[i] = f.order[i], p
	}
	return f
}

// fill gives as many members to partitions as limits allow, on top of what was given, and reports whether all partitions have what
// they want. A limit must not be lower than it was in an earlier call.
func (f *flow) fill(limit []int) bool {
	// What was given under lower limits stays. A partition may pass it on along a way.
	f.limit = limit
	for f.size < len(f.rows)*f.want {
		f.measure()
		if !f.pass() {
			return false
		}

		// The lengths stay true while shortest ways are taken, so they serve for many passes.
		for f.pass() {
		}
	}
	return true
}

// measure finds the lengths of the shortest ways.
func (f *flow) measure() {
	fill := func(list []int) {
		for i := range list {
			list[i] = unreached
		}
	}
	fill(f.toPartition)
	fill(f.toMember)
	fill(f.toZone)

	f.farthest = unreached
	f.queue = f.queue[:0]
	for _, p := range f.order {
		if len(f.rows[p]) < f.want {
			// A way begins at each partition that is short of a member.
			f.reach(&f.toPartition[p], 0, p)
		}
	}

	// A step back has a negative cost, so a length may shrink after it was passed on. Its place is then queued again.
	for i := 0; i < len(f.queue); i++ {
		v := f.queue[i]
		f.queued[v] = false
		if v < len(f.rows) {
			f.leavePartition(v)
		} else {
			f.leaveMember(v - len(f.rows))
		}
	}

	// A way ends at a member with room, and only the nearest such members are on shortest ways.
	f.nearest = unreached
	for m, d := range f.toMember {
		if f.room(m) > 0 {
			f.nearest = min(f.nearest, d)
		}
	}
}

// reach notes that there is a way of some length to a place in the queue.
func (f *flow) reach(to *int, length, v int) {
	if length < *to {
		*to = length
		// A place that waits in the queue already goes on with the shorter length.
		if !f.queued[v] {
			f.queued[v] = true
			f.queue = append(f.queue, v)
		}
	}
}

func (f *flow) reachMember(m, length int) { f.reach(&f.toMember[m], length, len(f.rows)+m) }

// leavePartition goes on from a partition that is free to take one more.
func (f *flow) leavePartition(p int) {
	length := f.toPartition[p]
	for _, a := range f.near[p] {
		if f.fits(p, a.member) {
			f.reachMember(a.member, length+a.cost)
		}
	}

	// All far members cost the same. If no member is farther than that, none comes nearer.
	if f.far == never || length+f.far >= f.farthest {
		return
	}
	f.farthest = 0
	for m, d := range f.toMember {
		if length+f.far < d && f.cost(p, m) == f.far && f.fits(p, m) {
			f.reachMember(m, length+f.far)
		}
		f.farthest = max(f.farthest, f.toMember[m])
	}
}

// leaveMember goes on from a member that has to take one more: it may leave a partition for it.
func (f *flow) leaveMember(m int) {
	for _, p := range f.held[m] {
		length := f.toMember[m] - f.cost(p, m)
		f.reach(&f.toPartition[p], length, p)

		// In a full zone only another member of the same zone can take the place.
		if z := f.zones.of[m]; f.full(p, z) {
			f.leaveZone(p, z, length)
		}
	}
}

// leaveZone goes on from a partition that is free to take one more member of a zone, which is full without.
func (f *flow) leaveZone(p, z, length int) {
	// The zone is full, so the row has members of it. The place of the first one stands for the zone.
	place := slices.IndexFunc(f.rows[p], func(m int) bool { return f.zones.of[m] == z })
	to := &f.toZone[p*f.want+place]
	if length >= *to {
		// A way that is no shorter leads nowhere new.
		return
	}
	*to = length

	for _, a := range f.near[p] {
		if f.zones.of[a.member] == z && !slices.Contains(f.rows[p], a.member) {
			f.reachMember(a.member, length+a.cost)
		}
	}

	if f.far == never || length+f.far >= f.farthest {
		return
	}
	for _, m := range f.zones.all[z] {
		if length+f.far < f.toMember[m] && f.cost(p, m) == f.far && !slices.Contains(f.rows[p], m) {
			f.reachMember(m, length+f.far)
		}
	}
}

// pass gives one member to each partition that is short of members, if it finds a shortest way, and reports whether it found any.
// What it has come through without success it does not try again: that is for the next pass.
//
// A way is shortest if each of its steps leads to a member or partition that is farther by exactly what the step costs. That
// remains so while such ways are taken.
func (f *flow) pass() bool {
	clear(f.seenPartition)
	clear(f.seenMember)
	found := false
	for _, p := range f.order {
		// A partition from which no way was found is not tried again in this pass.
		if len(f.rows[p]) < f.want && !f.seenPartition[p] && f.takeAny(p) {
			f.size++
			found = true
		}
	}
	return found
}

// takeAny has a partition take one more member, and reports whether there was a way.
func (f *flow) takeAny(p int) bool {
	length := f.toPartition[p]

	best := -1 // the member with most room
	f.choices(p, func(m, cost int) bool {
		if f.toMember[m] == length+cost && !f.seenMember[m] && (best < 0 || f.room(m) > f.room(best)) && f.fits(p, m) {
			best = m
		}
		return false
	})

	// The way ends here: a member with room at the shortest distance.
	if best >= 0 && f.room(best) > 0 && f.toMember[best] == f.nearest {
		f.add(p, best)
		return true
	}

	// Marked before the search goes on, which may come back to this partition.
	f.seenPartition[p] = true
	// No member at hand has room. One of them may leave another partition, which takes another member in its place.
	if best >= 0 && f.choices(p, func(m, cost int) bool { return f.fits(p, m) && f.take(p, m, length+cost) }) {
		// The row is another now, so other ways may lead through it.
		f.seenPartition[p] = false
		return true
	}

	return false
}

// choices calls try with the members that a partition can get and what they cost, until it says that it is content.
func (f *flow) choices(p int, try func(m, cost int) bool) bool {
	for _, a := range f.near[p] {
		if try(a.member, a.cost) {
			return true
		}
	}
	if f.far == never {
		// Members without a cost of their own are out of the question.
		return false
	}

	n := len(f.held)
	first := int(uint64(p) * 0x9e3779b97f4a7c15 >> 33 % uint64(n)) // the members that are tried first are not the same everywhere
	for i := range n {
		m := first + i
		if m >= n {
			m -= n
		}
		if f.toMember[m] == f.toPartition[p]+f.far && f.cost(p, m) == f.far && try(m, f.far) {
			return true
		}
	}
	return false
}

// take has a partition take a member. It does so if a way of the given length is a shortest one to the member, and goes on from there.
func (f *flow) take(p, m, length int) bool {
	if f.toMember[m] != length || f.seenMember[m] || !f.makeRoom(m) {
		return false
	}
	f.add(p, m)
	return true
}

// makeRoom sees to it that a member can be given to one more partition: it has room, or it leaves a partition, which takes another.
func (f *flow) makeRoom(m int) bool {
	if f.room(m) > 0 && f.toMember[m] == f.nearest {
		// The way ends here: the member has room.
		return true
	}

	// Marked before the search goes on, which may come back to this member.
	f.seenMember[m] = true
	z := f.zones.of[m]

	for _, p := range f.held[m] {
		length := f.toMember[m] - f.cost(p, m)
		if f.toPartition[p] == length && !f.seenPartition[p] && f.takeAny(p) || f.full(p, z) && f.takeFrom(p, z, length) {
			// The member holds other partitions now, so another way may lead through it.
			f.remove(p, m)
			f.seenMember[m] = false
			return true
		}
	}
	return false
}

// takeFrom is takeAny for one more member of a full zone, another of which will leave the partition.
func (f *flow) takeFrom(p, z, length int) bool {
	// The zone stays as full as it is: one of its members comes, and another leaves.
	for _, m := range f.zones.all[z] {
		if f.toMember[m] <= length+f.far && !slices.Contains(f.rows[p], m) && f.take(p, m, length+f.cost(p, m)) {
			return true
		}
	}
	return false
}

func (f *flow) add(p, m int) {
	f.rows[p] = append(f.rows[p], m)
	f.held[m] = append(f.held[m], p)
}

func (f *flow) remove(p, m int) {
	i := slices.Index(f.rows[p], m)
	f.rows[p] = slices.Delete(f.rows[p], i, i+1)

	// The order of held does not count, so the last one fills the gap.
	i = slices.Index(f.held[m], p)
	last := len(f.held[m]) - 1
	f.held[m][i] = f.held[m][last]
	f.held[m] = f.held[m][:last]
}

// room returns how many more partitions a member can be given to.
func (f *flow) room(m int) int { return f.limit[m] - len(f.held[m]) }

// cost returns what it costs that a partition has a member.
func (f *flow) cost(p, m int) int {
	// A partition has few members with a cost of their own, so a search is enough.
	for _, a := range f.near[p] {
		if a.member == m {
			return a.cost
		}
	}
	return f.far
}

// full reports whether a partition has as many members of a zone as it may, while it may have others.
func (f *flow) full(p, z int) bool {
	// A zone that may hold all replicas of a partition is never full.
	if f.zones.cap >= f.want {
		return false
	}

	// Rows are short, so they are counted each time.
	n := 0
	for _, m := range f.rows[p] {
		if f.zones.of[m] == z {
			n++
		}
	}
	return n >= f.zones.cap
}

// fits reports whether a partition may have one more member, which is this one.
func (f *flow) fits(p, m int) bool {
	return !slices.Contains(f.rows[p], m) && !f.full(p, f.zones.of[m])
}
