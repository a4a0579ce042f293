package meta

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func testID(kind byte, n int) wire.ID {
	return wire.ID{kind, byte(n >> 8), byte(n), 0x40, 15: byte(n)}
}

func candidates(n int, zone func(i int) string) []Candidate {
	list := make([]Candidate, n)
	for i := range list {
		list[i] = Candidate{ID: testID(1, i), Incarnation: testID(2, i), Zone: zone(i)}
	}
	return list
}

// fairShares returns each member's share of the replicas by the rule in Plan's comment, found by bisection: the level up to which all
// members are filled that their zone does not cap.
func fairShares(partitions, replicas int, members []Candidate) map[wire.ID]float64 {
	sizes := map[string]int{}
	n := 0
	for _, m := range members {
		if !m.Lite {
			sizes[m.Zone]++
			n++
		}
	}
	replicas = min(replicas, n)
	zoneCap := perZone(sizes, replicas)
	share := func(level float64, size int) float64 {
		return min(level, float64(partitions*min(zoneCap, size))/float64(size))
	}
	low, high := 0.0, float64(partitions)
	for range 100 {
		level, sum := (low+high)/2, 0.0
		for _, size := range sizes {
			sum += share(level, size) * float64(size)
		}
		if sum < float64(partitions*replicas) {
			low = level
		} else {
			high = level
		}
	}
	shares := map[wire.ID]float64{}
	for _, m := range members {
		if !m.Lite {
			shares[m.ID] = share(high, sizes[m.Zone])
		}
	}
	return shares
}

// perZone returns how many replicas of a partition some zone must hold at least.
func perZone(sizes map[string]int, replicas int) int {
	for k := 1; ; k++ {
		room := 0
		for _, size := range sizes {
			room += min(size, k)
		}
		if room >= replicas {
			return k
		}
	}
}

func checkPlan(t failer, partitions, replicas int, members []Candidate, plan [][]Holder) {
	t.Helper()
	byID := map[wire.ID]Candidate{}
	sizes := map[string]int{}
	for _, m := range members {
		if !m.Lite {
			byID[m.ID] = m
			sizes[m.Zone]++
		}
	}
	if len(byID) == 0 {
		if plan != nil {
			t.Fatalf("a plan for nobody: %v", plan)
		}
		return
	}
	if len(plan) != partitions {
		t.Fatalf("%d partitions planned, want %d", len(plan), partitions)
	}
	want := min(replicas, len(byID))
	zoneCap := perZone(sizes, want)
	holds, owns := map[wire.ID]int{}, map[wire.ID]int{}
	for p, list := range plan {
		if len(list) != want {
			t.Fatalf("partition %d has %d replicas, want %d", p, len(list), want)
		}
		seen, zones := map[wire.ID]bool{}, map[string]int{}
		for _, h := range list {
			m, ok := byID[h.Member]
			if !ok || m.Incarnation != h.Incarnation || seen[h.Member] {
				t.Fatalf("partition %d: holder %v is unknown, lite or there twice", p, h)
			}
			seen[h.Member] = true
			holds[h.Member]++
			if zones[m.Zone]++; zones[m.Zone] > zoneCap {
				t.Fatalf("partition %d: more than %d replicas in zone %q", p, zoneCap, m.Zone)
			}
		}
		owns[list[0].Member]++
	}
	shares := fairShares(partitions, replicas, members)
	for id := range byID {
		if d := float64(holds[id]) - shares[id]; d > 1-1e-6 || d < -1+1e-6 {
			t.Fatalf("member %s holds %d replicas, its share is %.2f", id, holds[id], shares[id])
		}
		// Owners are as even as can be, unless zones stand in the way.
		low, high := partitions/len(byID), (partitions+len(byID)-1)/len(byID)
		if len(sizes) > 1 {
			low, high = low-1, high+1
		}
		if owns[id] < low || owns[id] > high {
			t.Fatalf("member %s owns %d partitions, its share is %.2f", id, owns[id], float64(partitions)/float64(len(byID)))
		}
	}
}

// simulated is how many members the largest clusters of tests have.
func simulated() int {
	if testing.Short() {
		return 40
	}
	return 200
}

func TestPlanAnySize(t *testing.T) {
	for n := 0; n <= simulated(); n++ {
		for _, zones := range []int{1, 3} {
			members := candidates(n, func(i int) string { return fmt.Sprint("z", i%zones) })
			checkPlan(t, 271, 3, members, Plan(271, 3, members))
		}
	}
}

func TestPlanAnyShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 60).Draw(t, "members")
		zones := rapid.IntRange(1, 8).Draw(t, "zones")
		partitions := rapid.OneOf(rapid.IntRange(1, 40), rapid.Just(271)).Draw(t, "partitions")
		replicas := rapid.IntRange(1, MaxReplicas).Draw(t, "replicas")
		members := candidates(n, func(i int) string { return fmt.Sprint("z", rapid.IntRange(0, zones-1).Draw(t, "zone")) })
		for i := range members {
			members[i].Lite = rapid.IntRange(0, 9).Draw(t, "lite") == 0
		}
		plan := Plan(partitions, replicas, members)
		checkPlan(t, partitions, replicas, members, plan)

		shuffled := rapid.Permutation(members).Draw(t, "order")
		if again := Plan(partitions, replicas, shuffled); !slices.EqualFunc(plan, again, slices.Equal[[]Holder]) {
			t.Fatalf("the order of candidates changed the plan")
		}
	})
}

// When one of a few members fails, all others must take their part of what it owned and held.
func TestPlanScatters(t *testing.T) {
	for n := 4; n <= 10; n++ {
		members := candidates(n, func(int) string { return "" })
		company := map[[2]wire.ID]int{}
		for _, list := range Plan(271, 3, members) {
			for _, a := range list {
				for _, b := range list {
					company[[2]wire.ID{a.Member, b.Member}]++
				}
			}
		}
		fair := 271 * 3 * 2 / (n * (n - 1))
		for _, a := range members {
			for _, b := range members {
				if a.ID != b.ID && company[[2]wire.ID{a.ID, b.ID}] < fair/2 {
					t.Errorf("%d members: %s and %s share %d partitions, a fair number is %d", n, a.ID, b.ID, company[[2]wire.ID{a.ID, b.ID}], fair)
				}
			}
		}
	}
}

// Two builds that take part in the same birth must not disagree.
func TestPlanGolden(t *testing.T) {
	members := candidates(4, func(i int) string { return string(rune('a' + i%3)) })
	var got []string
	for _, list := range Plan(6, 3, members) {
		s := ""
		for _, h := range list {
			s += fmt.Sprint(h.Member[15])
		}
		got = append(got, s)
	}
	want := []string{"102", "021", "102", "231", "321", "213"}
	if !slices.Equal(got, want) {
		t.Errorf("plan %q, want %q", got, want)
	}
}

// The number of owners is checked against the best choice there is, by trying all.
func TestBalanceOwnersIsOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "members")
		table := make([][]int, rapid.IntRange(1, 7).Draw(t, "partitions"))
		everybody := make([]int, n)
		for i := range everybody {
			everybody[i] = i
		}
		for p := range table {
			k := rapid.IntRange(1, min(3, n)).Draw(t, "replicas")
			table[p] = rapid.Permutation(everybody).Draw(t, "holders")[:k]
		}
		squares := func(owners []int) int {
			owned := make([]int, n)
			for p, m := range owners {
				if !slices.Contains(table[p], m) {
					t.Fatalf("partition %d is owned by %d, who does not hold it", p, m)
				}
				owned[m]++
			}
			sum := 0
			for _, k := range owned {
				sum += k * k
			}
			return sum
		}
		best := len(table) * len(table)
		choice := make([]int, len(table))
		var try func(p int)
		try = func(p int) {
			if p == len(table) {
				best = min(best, squares(choice))
				return
			}
			for _, m := range table[p] {
				choice[p] = m
				try(p + 1)
			}
		}
		try(0)
		choices := make([][]arc, len(table))
		for p, row := range table {
			for _, m := range row {
				choices[p] = append(choices[p], arc{member: m})
			}
		}
		if got := squares(balanceOwners(choices, n)); got != best {
			t.Fatalf("sum of squares %d, the best is %d, for %v", got, best, table)
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	for _, n := range []int{3, 20, 200} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			members := candidates(n, func(i int) string { return fmt.Sprint(i % 3) })
			b.ReportAllocs()
			for b.Loop() {
				Plan(4096, 3, members)
			}
		})
	}
}
