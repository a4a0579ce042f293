package meta

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

var (
	updatePlacement = flag.Bool("update", false, "write the tables of docs/PLACEMENT.md")
	allPlacement    = flag.Bool("placement", false, "compare all of the tables of docs/PLACEMENT.md with the simulation, not only those of small clusters")
)

// layouts are the ways in which simulated members are spread over zones.
var layouts = []struct {
	name string
	zone func(i int) string
}{
	{"one", func(int) string { return "" }},
	{"three", func(i int) string { return string("abc"[i%3]) }},
	{"three, 4:2:1", func(i int) string { return string("abacaba"[i%7]) }},
}

// outcome is what one change of members makes a plan do. Least is a bound for all plans that keep the rules: each replica and each
// owner that is missing has to be replaced, and each member has to get its share, rounded down.
type outcome struct {
	replicas, leastReplicas int // that are new
	owners, leastOwners     int // that change
}

func (o *outcome) add(n outcome) {
	o.replicas += n.replicas
	o.leastReplicas += n.leastReplicas
	o.owners += n.owners
	o.leastOwners += n.leastOwners
}

// simulation plans for many tables, and checks every fourth plan for the rules.
type simulation struct {
	*testing.T
	plans int
}

// plan plans for a table and some members, and returns the table that follows.
func (t *simulation) plan(table []Partition, replicas int, members []Candidate) ([]Partition, outcome, time.Duration) {
	t.Helper()
	begin := time.Now()
	plan := Replan(table, replicas, members)
	took := time.Since(begin)
	if t.plans++; t.plans%4 == 0 {
		checkTargets(t, table, replicas, members, plan)
	}
	var o outcome
	_, o.replicas, _ = difference(table, plan)
	o.owners = ownerCost(table, plan)[1]
	holds, owns := map[wire.ID]int{}, map[wire.ID]int{}
	missing, orphans := 0, 0
	for p := range table {
		missing += plan[p].Missing()
		orphan := 1
		for _, m := range members {
			if r, _ := table[p].Replica(m.ID); r.Incarnation == m.Incarnation {
				holds[m.ID]++
				if m.ID == table[p].Preferred {
					owns[m.ID]++
					orphan = 0
				}
			}
		}
		orphans += orphan
	}
	wantHolds, wantOwns := 0, 0
	shares := fairShares(len(table), replicas, members)
	for _, m := range members {
		wantHolds += max(0, int(math.Floor(shares[m.ID]+1e-6))-holds[m.ID])
		wantOwns += max(0, len(table)/len(members)-owns[m.ID])
	}
	o.leastReplicas, o.leastOwners = max(missing, wantHolds), max(orphans, wantOwns)
	return carryOut(table, plan), o, took
}

// between returns a range as text, or the one value that it has.
func between(low, high any) string {
	if a, b := fmt.Sprint(low), fmt.Sprint(high); a != b {
		return a + "-" + b
	}
	return fmt.Sprint(low)
}

// spread returns the least and most replicas, and partitions to own, that a member has.
func spread(table []Partition, members []Candidate) (held, owned string) {
	holds, owns := map[wire.ID]int{}, map[wire.ID]int{}
	for _, m := range members {
		holds[m.ID], owns[m.ID] = 0, 0
	}
	for _, p := range table {
		owns[p.Preferred]++
		for _, r := range p.Replicas {
			holds[r.Member]++
		}
	}
	span := func(n map[wire.ID]int) string {
		list := slices.Sorted(maps.Values(n))
		return between(list[0], list[len(list)-1])
	}
	return span(holds), span(owns)
}

// largest is how many members the simulated clusters grow to.
const largest = 200

// Members join one after the other, from the first to the last of at most so many; now and then, one leaves instead.
func (t *simulation) growth(most int) string {
	var out strings.Builder
	out.WriteString("| zones | partitions | members | share | replicas | owned | join: new replicas | owners changed | leave: new replicas | owners changed | ms |\n")
	out.WriteString("|---|---|---|---|---|---|---|---|---|---|---|\n")
	row := func(zones string, table []Partition, members []Candidate, join outcome, joinTook time.Duration, r *random) {
		held, owned := spread(table, members)
		leave, leaveTook, left := outcome{}, time.Duration(0), r.below(len(members))
		if len(members) > 1 {
			_, leave, leaveTook = t.plan(table, 3, slices.Delete(slices.Clone(members), left, left+1))
		}
		shares := slices.Sorted(maps.Values(fairShares(len(table), 3, members)))
		fmt.Fprintf(&out, "| %s | %d | %d | %s | %s | %s | %d (%d) | %d (%d) | %d (%d) | %d (%d) | %.1f |\n", zones, len(table), len(members),
			between(fmt.Sprintf("%.1f", shares[0]), fmt.Sprintf("%.1f", shares[len(shares)-1])), held, owned,
			join.replicas, join.leastReplicas, join.owners, join.leastOwners, leave.replicas, leave.leastReplicas, leave.owners, leave.leastOwners,
			float64(max(joinTook, leaveTook).Microseconds())/1000)
	}
	for _, l := range layouts {
		var r random
		all := candidates(largest, l.zone)
		table := make([]Partition, 271)
		for n := 1; n <= min(most, len(all)); n++ {
			var join outcome
			var took time.Duration
			table, join, took = t.plan(table, 3, all[:n])
			if slices.Contains([]int{1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 75, 100, 150, 200}, n) {
				row(l.name, table, all[:n], join, took, &r)
			}
		}
	}
	if most < largest {
		return out.String()
	}
	for _, l := range layouts[:2] {
		var r random
		for _, n := range []int{4, 20, largest} {
			members := candidates(n, l.zone)
			table, join, took := t.plan(planned(4096, 3, members[:n-1]), 3, members)
			row(l.name, table, members, join, took, &r)
		}
	}
	return out.String()
}

// walk is a cluster to which things happen at random.
type walk struct {
	random
	table   []Partition
	members []Candidate
	absent  []Candidate // failed, and may return
	zone    []Candidate // that failed as a whole, and may return as one
	next    int         // member that has not been there
}

func (w *walk) take(list *[]Candidate) Candidate {
	i := w.below(len(*list))
	c := (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return c
}

// step has something happen to the members and returns what; "" if it cannot happen now.
func (w *walk) step(zone func(int) string, grow bool) string {
	join := func(n int) {
		for range n {
			w.members = append(w.members, Candidate{ID: testID(1, w.next), Incarnation: testID(2, w.next), Zone: zone(w.next)})
			w.next++
		}
	}
	n := len(w.members)
	switch what := w.below(12); {
	case (what < 4 && grow || what == 4) && n < 200:
		join(1)
		return "one joins"
	case (what < 4 && !grow || what == 5) && n > 1:
		w.take(&w.members)
		return "one leaves"
	case what == 6 && grow && n <= 195:
		join(5)
		return "five join together"
	case what == 6 && !grow && n > 1:
		w.take(&w.members)
		join(1)
		return "one leaves, one joins"
	case what == 7 && n > 1:
		w.absent = append(w.absent, w.take(&w.members))
		return "one fails"
	case what == 8 && n > 4:
		w.absent = append(w.absent, w.take(&w.members), w.take(&w.members))
		return "two fail together"
	case what == 9 && len(w.absent) > 0 && n < 200:
		c := w.take(&w.absent)
		c.Incarnation[4]++
		w.members = append(w.members, c)
		return "a failed one returns"
	case what == 10:
		w.members[w.below(n)].Incarnation[4]++
		return "one restarts"
	case what == 11 && n > 6 && zone(0) != zone(1):
		if w.zone == nil {
			out := w.members[w.below(n)].Zone
			for i := n - 1; i >= 0; i-- {
				if m := w.members[i]; m.Zone == out && len(w.members) > 1 {
					m.Incarnation[4]++
					w.zone = append(w.zone, m)
					w.members = slices.Delete(w.members, i, i+1)
				}
			}
			return "a zone fails"
		}
		if n+len(w.zone) > 200 {
			return ""
		}
		w.members, w.zone = append(w.members, w.zone...), nil
		return "a failed zone returns"
	}
	return ""
}

// Clusters that grow from one member to 200 and shrink to one again, while everything happens to them.
func (t *simulation) walks() string {
	totals, times := map[string]*outcome{}, map[string]int{}
	for _, l := range layouts {
		w := walk{table: make([]Partition, 271), next: 1, members: candidates(1, l.zone)}
		w.table, _, _ = t.plan(w.table, 3, w.members)
		for grow := true; grow || len(w.members) > 1; {
			what := w.step(l.zone, grow)
			if what == "" {
				continue
			}
			var o outcome
			w.table, o, _ = t.plan(w.table, 3, w.members)
			if totals[what] == nil {
				totals[what] = new(outcome)
			}
			totals[what].add(o)
			times[what]++
			grow = grow && len(w.members) < 200
		}
	}
	var out strings.Builder
	out.WriteString("| what happens | times | new replicas | owners changed |\n|---|---|---|---|\n")
	for _, what := range slices.Sorted(maps.Keys(totals)) {
		o := totals[what]
		fmt.Fprintf(&out, "| %s | %d | %d (%d) | %d (%d) |\n", what, times[what], o.replicas, o.leastReplicas, o.owners, o.leastOwners)
	}
	return out.String()
}

// The tables of the document say what a simulation says, but for how long plans took: that is the machine's. The larger clusters are
// looked at where that is asked for: it takes a quarter of a minute.
func TestPlacementDocument(t *testing.T) {
	const path = "../../docs/PLACEMENT.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	s := &simulation{T: t}
	took := regexp.MustCompile(`[0-9.]+ \|\n`)
	if !*allPlacement && !*updatePlacement {
		lines := took.ReplaceAllString(got, "|\n")
		for row := range strings.Lines(took.ReplaceAllString(s.growth(50), "|\n")) {
			if !strings.Contains(lines, "\n"+row) {
				t.Errorf("%s does not say what the simulation does; go test -run %s -update writes it: %s", path, t.Name(), row)
			}
		}
		return
	}
	for name, table := range map[string]string{"growth": s.growth(largest), "walks": s.walks()} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
		before, rest, ok1 := strings.Cut(got, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok1 || !ok2 {
			t.Fatalf("%s has no place for the table of %s", path, name)
		}
		got = before + begin + table + end + after
	}
	if took.ReplaceAllString(got, "|\n") == took.ReplaceAllString(string(text), "|\n") {
		return
	}
	if !*updatePlacement {
		t.Fatalf("%s does not say what the simulation does; go test -run %s -update writes it", path, t.Name())
	}
	if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
		t.Fatal(err)
	}
}
