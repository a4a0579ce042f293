package meta

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// carryOut returns the table that a plan wants, with fresh replica IDs for what is new.
func carryOut(table []Partition, plan []Target) []Partition {
	next := make([]Partition, len(table))
	for i, t := range plan {
		next[i] = table[i]
		next[i].Replicas, next[i].Preferred = nil, t.Preferred
		for _, h := range t.Holders {
			r, ok := table[i].Replica(h.Member)
			if !ok || r.Holder != h {
				r = Replica{ID: uint64(1000 + i), Holder: h}
			}
			next[i].Replicas = append(next[i].Replicas, r)
		}
	}
	return next
}

// planned returns the table of a cluster that begins with these members.
func planned(partitions, replicas int, members []Candidate) []Partition {
	table := make([]Partition, partitions)
	return carryOut(table, Replan(table, replicas, members))
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// checkTargets checks all that a plan promises but for its being the cheapest.
func checkTargets(t failer, table []Partition, replicas int, members []Candidate, plan []Target) {
	t.Helper()
	valid := map[Holder]bool{}
	for _, m := range members {
		valid[Holder{Member: m.ID, Incarnation: m.Incarnation}] = !m.Lite
	}
	var lists [][]Holder
	for p, target := range plan {
		var live, kept []Holder
		for _, r := range table[p].Replicas {
			if valid[r.Holder] {
				live = append(live, r.Holder)
				if slices.Contains(target.Holders, r.Holder) {
					kept = append(kept, r.Holder)
				}
			}
		}
		if target.Live != len(live) || target.Kept != len(kept) || !slices.Equal(target.Holders[:target.Kept], kept) {
			t.Fatalf("partition %d has live replicas at %v, and the plan is %+v", p, live, target)
		}
		list := slices.Clone(target.Holders)
		first := slices.IndexFunc(list, func(h Holder) bool { return h.Member == target.Preferred })
		if first < 0 {
			t.Fatalf("partition %d is to be owned by %s, who holds no replica: %+v", p, target.Preferred, target)
		}
		list[0], list[first] = list[first], list[0]
		lists = append(lists, list)
	}
	checkPlan(t, len(table), replicas, members, lists)

	// A plan of the plan's own result moves nothing.
	next := carryOut(table, plan)
	for p, again := range Replan(next, replicas, members) {
		if again.Kept != len(again.Holders) || !slices.EqualFunc(again.Holders, next[p].Replicas, func(h Holder, r Replica) bool { return h == r.Holder }) ||
			again.Preferred != next[p].Preferred {
			t.Fatalf("partition %d was planned as %+v, and then as %+v", p, plan[p], again)
		}
	}
}

// drawTable returns some table in which members of a list hold replicas, in their present or another incarnation, with no regard to
// any rule.
func drawTable(t *rapid.T, partitions, most int, members []Candidate) []Partition {
	table := make([]Partition, partitions)
	for p := range table {
		if len(members) == 0 {
			continue
		}
		k := rapid.IntRange(0, min(most, len(members))).Draw(t, "replicas held")
		for i, m := range rapid.Permutation(members).Draw(t, "holders")[:k] {
			h := Holder{Member: m.ID, Incarnation: m.Incarnation}
			if rapid.IntRange(0, 9).Draw(t, "former") == 0 {
				h.Incarnation[15]++
			}
			table[p].Replicas = append(table[p].Replicas, Replica{ID: uint64(p*8 + i + 1), Holder: h})
		}
		if k > 0 {
			table[p].Preferred = table[p].Replicas[rapid.IntRange(0, k-1).Draw(t, "preferred")].Member
		}
	}
	return table
}

func TestReplanFromAnyTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := rapid.IntRange(1, 6).Draw(t, "zones")
		known := candidates(rapid.IntRange(0, 24).Draw(t, "members"), func(int) string {
			return fmt.Sprint("z", rapid.IntRange(0, zones-1).Draw(t, "zone"))
		})
		replicas := rapid.IntRange(1, MaxReplicas).Draw(t, "replicas")
		table := drawTable(t, rapid.IntRange(1, 40).Draw(t, "partitions"), MaxReplicas+1, known)
		var members []Candidate
		for _, m := range known {
			if rapid.IntRange(0, 4).Draw(t, "gone") > 0 {
				m.Lite = rapid.IntRange(0, 9).Draw(t, "lite") == 0
				members = append(members, m)
			}
		}
		plan := Replan(table, replicas, members)
		checkTargets(t, table, replicas, members, plan)

		same := func(a, b Target) bool {
			return slices.Equal(a.Holders, b.Holders) && a.Kept == b.Kept && a.Live == b.Live && a.Preferred == b.Preferred
		}
		if again := Replan(table, replicas, rapid.Permutation(members).Draw(t, "order")); !slices.EqualFunc(plan, again, same) {
			t.Fatalf("the order of candidates changed the plan")
		}
	})
}

// cost is what a plan is judged by: the fewest new replicas, then what it costs to keep the others. For owners: the
// smallest sum of squares, then the fewest changes, then the fewest that have no replica yet.
type cost [3]int

func (c cost) less(o cost) bool { return slices.Compare(c[:], o[:]) < 0 }

func placementCost(table []Partition, members []Candidate, plan []Target) (c cost) {
	owned := map[Holder]int{}
	for p, t := range plan {
		c[0] += len(t.Holders) - t.Kept
		preferred, _ := table[p].Replica(table[p].Preferred)
		owner, others := 0, 1
		switch k := owned[preferred.Holder]; {
		case k*len(members) >= len(table):
			owner, others = 2, 2
		case (k+1)*len(members) > len(table):
			owner, others = 1, 2
		}
		for _, m := range members {
			h := Holder{Member: m.ID, Incarnation: m.Incarnation}
			if h == preferred.Holder {
				owned[h]++
			}
			switch r, _ := table[p].Replica(m.ID); {
			case r.Holder != h || !slices.Contains(t.Holders, h):
			case h == preferred.Holder:
				c[1] += owner
			default:
				c[1] += others
			}
		}
	}
	return c
}

func ownerCost(table []Partition, plan []Target) (c cost) {
	owned := map[wire.ID]int{}
	for p, t := range plan {
		owned[t.Preferred]++
		r, ok := table[p].Replica(t.Preferred)
		live := ok && slices.Contains(t.Holders, r.Holder)
		if !live || t.Preferred != table[p].Preferred {
			c[1]++
		}
		if !live {
			c[2]++
		}
	}
	for _, k := range owned {
		c[0] += k * k
	}
	return c
}

// A plan is compared with all others that keep the rules.
func TestReplanIsCheapest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := rapid.IntRange(1, 4).Draw(t, "zones")
		members := candidates(rapid.IntRange(1, 5).Draw(t, "members"), func(int) string {
			return fmt.Sprint("z", rapid.IntRange(0, zones-1).Draw(t, "zone"))
		})
		replicas := rapid.IntRange(1, 3).Draw(t, "replicas")
		table := drawTable(t, rapid.IntRange(1, 4).Draw(t, "partitions"), 4, members)
		plan := Replan(table, replicas, members)
		checkTargets(t, table, replicas, members, plan)

		best := cost{math.MaxInt}
		eachPlacement(table, min(replicas, len(members)), members, func(other []Target) {
			if c := placementCost(table, members, other); c.less(best) {
				best = c
			}
		})
		if got := placementCost(table, members, plan); got != best {
			t.Fatalf("the plan costs %v, the best %v: %+v", got, best, plan)
		}
		best = cost{math.MaxInt}
		other := slices.Clone(plan)
		var choose func(p int)
		choose = func(p int) {
			if p == len(other) {
				if c := ownerCost(table, other); c.less(best) {
					best = c
				}
				return
			}
			for _, h := range other[p].Holders {
				other[p].Preferred = h.Member
				choose(p + 1)
			}
		}
		choose(0)
		if got := ownerCost(table, plan); got != best {
			t.Fatalf("the owners cost %v, the best ones %v: %+v", got, best, plan)
		}
	})
}

// eachPlacement calls visit with every placement that keeps the rules, but for owners.
func eachPlacement(table []Partition, replicas int, members []Candidate, visit func([]Target)) {
	sizes := map[string]int{}
	for _, m := range members {
		sizes[m.Zone]++
	}
	zoneCap := perZone(sizes, replicas)
	shares := fairShares(len(table), replicas, members)
	plan := make([]Target, len(table))
	holds := map[wire.ID]int{}
	var choose func(p, from int, zones map[string]int)
	choose = func(p, from int, zones map[string]int) {
		if p == len(table) {
			for _, m := range members {
				if math.Abs(float64(holds[m.ID])-shares[m.ID]) > 1-1e-6 {
					return
				}
			}
			visit(plan)
			return
		}
		if len(plan[p].Holders) == replicas {
			choose(p+1, 0, map[string]int{})
			return
		}
		for i := from; i < len(members); i++ {
			m := members[i]
			if zones[m.Zone] == zoneCap {
				continue
			}
			h := Holder{Member: m.ID, Incarnation: m.Incarnation}
			r, _ := table[p].Replica(m.ID)
			before := plan[p]
			plan[p].Holders = append(slices.Clip(before.Holders), h)
			if r.Holder == h {
				plan[p].Kept++
			}
			zones[m.Zone]++
			holds[m.ID]++
			choose(p, i+1, zones)
			holds[m.ID]--
			zones[m.Zone]--
			plan[p] = before
		}
	}
	choose(0, 0, map[string]int{})
}

// difference returns how many replicas a plan adds, at which members, and how many owners it changes.
func difference(table []Partition, plan []Target) (at map[wire.ID]int, added, owners int) {
	at = map[wire.ID]int{}
	for p, t := range plan {
		for _, h := range t.Holders[t.Kept:] {
			at[h.Member]++
			added++
		}
		if t.Preferred != table[p].Preferred {
			owners++
		}
	}
	return at, added, owners
}

// One member after the other joins, up to 200: all that moves goes to the new one, and no more than its share.
func TestReplanJoins(t *testing.T) {
	for _, zones := range []int{1, 3} {
		const partitions, replicas = 271, 3
		all := candidates(simulated(), func(i int) string { return fmt.Sprint("z", i%zones) })
		table := planned(partitions, replicas, all[:1])
		for n := 2; n <= len(all); n++ {
			members := all[:n]
			plan := Replan(table, replicas, members)
			if n%10 < 4 {
				checkTargets(t, table, replicas, members, plan)
			}
			joined := members[n-1].ID
			at, added, owners := difference(table, plan)
			if at[joined] != added {
				t.Fatalf("%d zones: member %d joined, and of %d new replicas %d are at others", zones, n, added, added-at[joined])
			}
			if most := int(math.Ceil(fairShares(partitions, replicas, members)[joined])); added > most {
				t.Fatalf("%d zones: member %d joined and got %d replicas, its share is at most %d", zones, n, added, most)
			}
			if most := partitions*7/(6*n) + 6; owners > most {
				t.Fatalf("%d zones: member %d joined and %d owners changed, at most %d should", zones, n, owners, most)
			}
			table = carryOut(table, plan)
		}
	}
}

// One member after the other leaves: what it held is placed again, and nothing else moves. What it owned gets other owners; for the
// sake of balance a few more may change.
func TestReplanLeaves(t *testing.T) {
	const partitions, replicas = 271, 3
	members := candidates(simulated(), func(int) string { return "" })
	table := planned(partitions, replicas, members)
	var r random
	for len(members) > 1 {
		i := r.below(len(members))
		gone := members[i]
		members = slices.Delete(members, i, i+1)
		held, owned := 0, 0
		for p := range table {
			if _, ok := table[p].Replica(gone.ID); ok {
				held++
			}
			if table[p].Preferred == gone.ID {
				owned++
			}
		}
		if len(members) < replicas {
			held = 0 // it is one replica less that is wanted
		}
		plan := Replan(table, replicas, members)
		if len(members)%10 < 4 {
			checkTargets(t, table, replicas, members, plan)
		}
		if _, added, owners := difference(table, plan); added != held || owners > 2*owned+4 {
			t.Fatalf("one of %d members left that held %d replicas and owned %d; %d new replicas are planned and %d owners changed",
				len(members)+1, held, owned, added, owners)
		}
		table = carryOut(table, plan)
	}
}

// A member that comes back in another incarnation gets what it had, to within one: nothing else is short of anything.
func TestReplanReturn(t *testing.T) {
	for n := 1; n <= 20; n++ {
		members := candidates(n, func(i int) string { return fmt.Sprint(i % 4) })
		table := planned(271, 3, members)
		held := 0
		for p := range table {
			if _, ok := table[p].Replica(members[0].ID); ok {
				held++
			}
		}
		members[0].Incarnation[3]++
		plan := Replan(table, 3, members)
		checkTargets(t, table, 3, members, plan)
		missing := 0
		for i := range plan {
			missing += plan[i].Missing()
		}
		at, added, owners := difference(table, plan)
		if missing != held || added != held || at[members[0].ID] < held-1 || owners > 4 {
			t.Fatalf("one of %d members returned that held %d replicas; %d are missing, %d planned, %d of them there, and %d owners change",
				n, held, missing, added, at[members[0].ID], owners)
		}
	}
}

// After a growth from one member to ten, and after one of them failed, what a member holds is in the company of all others.
func TestReplanScatters(t *testing.T) {
	all := candidates(11, func(int) string { return "" })
	table := planned(271, 3, all[:1])
	for n := 2; n <= 10; n++ {
		table = carryOut(table, Replan(table, 3, all[:n]))
		if n >= 4 {
			checkCompany(t, table, all[:n])
		}
	}
	table = carryOut(table, Replan(table, 3, all[1:10]))
	checkCompany(t, table, all[1:10])
}

func checkCompany(t *testing.T, table []Partition, members []Candidate) {
	t.Helper()
	company := map[[2]wire.ID]int{}
	for _, p := range table {
		for _, a := range p.Replicas {
			for _, b := range p.Replicas {
				company[[2]wire.ID{a.Member, b.Member}]++
			}
		}
	}
	n := len(members)
	fair := len(table) * 3 * 2 / (n * (n - 1))
	for _, a := range members {
		for _, b := range members {
			if got := company[[2]wire.ID{a.ID, b.ID}]; a.ID != b.ID && got < fair/3 {
				t.Errorf("%d members: %s and %s share %d partitions, a fair number is %d", n, a.ID, b.ID, got, fair)
			}
		}
	}
}

// The plans of large clusters are made while the metadata's leader has other things to do. The bounds are far above what they take on the busiest machine: they find what grows without bound.
func TestReplanIsFast(t *testing.T) {
	for _, c := range []struct {
		partitions int
		bound      time.Duration
	}{{271, 20 * time.Second}, {4096, 2 * time.Minute}} {
		members := candidates(200, func(i int) string { return fmt.Sprint(i % 3) })
		table := planned(c.partitions, 3, members)
		for i := range 60 {
			members[i].Incarnation[3]++
		}
		begin := time.Now()
		plan := Replan(table, 3, members[10:])
		if took := time.Since(begin); took > c.bound {
			t.Errorf("a plan for %d partitions took %s", c.partitions, took)
		}
		checkTargets(t, table, 3, members[10:], plan)
	}
}

func BenchmarkReplan(b *testing.B) {
	for _, partitions := range []int{271, 4096} {
		for _, n := range []int{3, 20, 200} {
			all := candidates(n+1, func(i int) string { return fmt.Sprint(i % 3) })
			table := planned(partitions, 3, all[:n])
			for _, c := range []struct {
				change  string
				members []Candidate
			}{{"none", all[:n]}, {"join", all}, {"leave", all[1:n]}, {"shrink", all[:(n+2)/3]}} {
				b.Run(fmt.Sprintf("partitions=%d/members=%d/change=%s", partitions, n, c.change), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						Replan(table, 3, c.members)
					}
				})
			}
		}
	}
}

// noted is a failer that notes whether a check has failed.
type noted struct{ failed bool }

func (*noted) Helper() {}

func (n *noted) Fatalf(string, ...any) {
	n.failed = true
	panic(n) // a check goes no further
}

func fails(check func(t failer)) (failed bool) {
	n := &noted{}
	defer func() {
		if r := recover(); r != nil && r != any(n) {
			panic(r)
		}
		failed = n.failed
	}()
	check(n)
	return false
}

// The checks of this file find plans that break a rule.
func TestPlanChecksSee(t *testing.T) {
	members := candidates(7, func(i int) string { return fmt.Sprint(i % 3) })
	table := planned(30, 3, members[:6])
	good := func() []Target {
		plan := Replan(table, 3, members)
		for i := range plan {
			plan[i].Holders = slices.Clone(plan[i].Holders)
		}
		return plan
	}
	holder := func(i int) Holder { return Holder{Member: members[i].ID, Incarnation: members[i].Incarnation} }
	faults := map[string]func(plan []Target){
		"none":               func([]Target) {},
		"replica too few":    func(plan []Target) { plan[3].Holders = plan[3].Holders[:2] },
		"holder twice":       func(plan []Target) { plan[3].Holders[2] = plan[3].Holders[1] },
		"former incarnation": func(plan []Target) { plan[3].Holders[2].Incarnation[3]++ },
		"foreign owner":      func(plan []Target) { plan[3].Preferred = testID(1, 99) },
		"one owns all": func(plan []Target) {
			for i := range plan {
				if slices.Contains(plan[i].Holders, holder(0)) {
					plan[i].Preferred = members[0].ID
				}
			}
		},
		"order of holders": func(plan []Target) { slices.Reverse(plan[3].Holders) },
		"count of live":    func(plan []Target) { plan[3].Live-- },
		"crowded zone": func(plan []Target) {
			for i := range plan { // 0, 3 and 6 are in one zone
				if at := slices.Index(plan[i].Holders, holder(1)); at >= plan[i].Kept-1 && !slices.Contains(plan[i].Holders, holder(3)) {
					plan[i].Holders[at] = holder(3)
					plan[i].Kept = min(plan[i].Kept, at)
					return
				}
			}
			t.Error("the fault could not be planted")
		},
		"new member left out": func(plan []Target) {
			for i := range table {
				plan[i].Holders, plan[i].Kept, plan[i].Preferred = nil, 3, table[i].Preferred
				for _, r := range table[i].Replicas {
					plan[i].Holders = append(plan[i].Holders, r.Holder)
				}
			}
		},
	}
	for name, plant := range faults {
		plan := good()
		plant(plan)
		if got := fails(func(t failer) { checkTargets(t, table, 3, members, plan) }); got != (name != "none") {
			t.Errorf("%s: found is %v", name, got)
		}
	}
}
