package meta

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ladder is a cluster that goes from plan to plan in the smallest steps: one replica of one partition is added as a learner, becomes
// a voter, is removed, or another member becomes the owner. After each step the plan is made again.
type ladder struct {
	replicas int
	table    []Partition
	voters   map[uint64]bool // by replica; the others learn
	ready    []Candidate
	draining []Candidate // hold replicas, and wait for others to take them over
	ids      uint64

	hasty bool // a fault: members that have to give up a replica do so before there is another one
}

func newLadder(partitions, replicas int) *ladder {
	return &ladder{replicas: replicas, table: make([]Partition, partitions), voters: map[uint64]bool{}}
}

// found gives every partition its first replicas.
func (l *ladder) found() {
	for p, t := range Replan(l.table, l.replicas, l.ready) {
		for _, h := range t.Holders {
			l.add(p, h)
			l.voters[l.ids] = true
		}
		l.table[p].Preferred = t.Preferred
	}
}

func (l *ladder) add(p int, h Holder) {
	l.ids++
	l.table[p].Replicas = append(l.table[p].Replicas, Replica{ID: l.ids, Holder: h})
}

func holderOf(c Candidate) Holder { return Holder{Member: c.ID, Incarnation: c.Incarnation} }

func (l *ladder) isReady(h Holder) bool {
	return slices.ContainsFunc(l.ready, func(c Candidate) bool { return holderOf(c) == h })
}

// alive reports whether a process that holds replicas still runs.
func (l *ladder) alive(h Holder) bool {
	return l.isReady(h) || slices.ContainsFunc(l.draining, func(c Candidate) bool { return holderOf(c) == h })
}

// liveVoters counts the voters of a partition: those that are alive, and all.
func (l *ladder) liveVoters(p int) (live, all int) {
	for _, r := range l.table[p].Replicas {
		if l.voters[r.ID] {
			all++
			if l.alive(r.Holder) {
				live++
			}
		}
	}
	return live, all
}

// rung is a step that can be taken now.
type rung struct {
	what string
	p    int
	do   func()
}

// rungs returns all steps that can be taken towards a plan, whatever their order.
func (l *ladder) rungs(plan []Target) (list []rung) {
	for p := range plan {
		list = append(list, l.rungsOf(p, &plan[p])...)
	}
	return list
}

func (l *ladder) rungsOf(p int, t *Target) (list []rung) {
	part := &l.table[p]
	step := func(what string, do func()) { list = append(list, rung{what, p, do}) }
	live, all := l.liveVoters(p)
	missing, learning := -1, false // the first of the planned holders that has no replica; whether there is a learner
	for i, h := range t.Holders {
		switch r, ok := part.Replica(h.Member); {
		case ok && r.Holder == h:
			learning = learning || !l.voters[r.ID]
		case missing < 0:
			missing = i
		}
	}
	complete := missing < 0 && !learning
	full := len(part.Replicas) > l.replicas
	votes := func(member wire.ID) bool {
		r, ok := part.Replica(member)
		return ok && l.voters[r.ID] && l.alive(r.Holder)
	}
	// The next owner takes over once it votes. An owner that is dead is followed by any that does.
	switch next := t.Preferred; {
	case part.Preferred == next && votes(next):
	case votes(next):
		step("own", func() { part.Preferred = next })
	case !votes(part.Preferred):
		i := slices.IndexFunc(part.Replicas, func(r Replica) bool { return votes(r.Member) })
		step("own", func() { part.Preferred = part.Replicas[i].Member })
	}
	for _, r := range part.Replicas {
		wanted, voter := slices.Contains(t.Holders, r.Holder), l.voters[r.ID]
		remove := func() {
			part.Replicas = slices.DeleteFunc(slices.Clone(part.Replicas), func(o Replica) bool { return o.ID == r.ID })
		}
		switch {
		case wanted && !voter:
			step("promote", func() { l.voters[r.ID] = true })
		case wanted || part.Preferred == r.Member:
		case !l.alive(r.Holder), !voter:
			step("clean", remove) // nothing is lost with it
		case l.hasty, live == all && (complete || full && live > len(t.Holders)):
			step("remove", remove) // but the dead go first, whose votes are missing in any majority
		}
	}
	if missing >= 0 && !learning && !full {
		if h := t.Holders[missing]; !slices.ContainsFunc(part.Replicas, func(r Replica) bool { return r.Member == h.Member }) {
			step("add", func() { l.add(p, h) })
		}
	}
	return list
}

// climb takes a step and checks what it must not do.
func (l *ladder) climb(t failer, r rung) {
	t.Helper()
	before, _ := l.liveVoters(r.p)
	r.do()
	part := &l.table[r.p]
	want := min(l.replicas, len(l.ready))
	live, all := l.liveVoters(r.p)
	switch {
	case live < before && live < want:
		t.Fatalf("%s: partition %d has %d live voters left, %d are wanted: %+v", r.what, r.p, live, want, part)
	case 2*live <= all:
		t.Fatalf("%s: partition %d has no majority, %d of %d: %+v", r.what, r.p, live, all, part)
	case len(part.Replicas) > l.replicas+1:
		t.Fatalf("%s: partition %d has %d replicas: %+v", r.what, r.p, len(part.Replicas), part)
	}
	if _, ok := part.Replica(part.Preferred); !ok {
		t.Fatalf("%s: partition %d is owned by a member without a replica: %+v", r.what, r.p, part)
	}
}

// toMake returns how many replicas a plan has yet to make.
func toMake(plan []Target) (n int) {
	for _, t := range plan {
		n += len(t.Holders) - t.Kept
	}
	return n
}

// settle takes steps until there are none, each chosen by pick, and checks that they lead to a plan, and to no detour.
func (l *ladder) settle(t failer, pick func(n int) int) {
	t.Helper()
	plan := Replan(l.table, l.replicas, l.ready)
	for steps := 0; ; steps++ {
		list := l.rungs(plan)
		if len(list) == 0 {
			break
		}
		if steps > 20*len(l.table)*(l.replicas+1) {
			t.Fatalf("there is no end to it; the next step would be one of %+v", list)
		}
		r := list[pick(len(list))]
		l.climb(t, r)
		next := Replan(l.table, l.replicas, l.ready)
		had, has := toMake(plan), toMake(next)
		if r.what == "add" {
			had--
		}
		if has != had {
			t.Fatalf("after %s at partition %d the next plan makes %d new replicas, not %d", r.what, r.p, has, had)
		}
		plan = next
	}
	for p, target := range plan {
		if part := &l.table[p]; target.Kept != len(target.Holders) || len(part.Replicas) != target.Kept || part.Preferred != target.Preferred {
			t.Fatalf("all came to rest, with partition %d as %+v; the plan is %+v", p, part, target)
		}
	}
}

// happen has something happen to the members, if it can happen now. A failure that leaves a partition without a majority cannot be
// helped by placement, and is left out.
func (l *ladder) happen(what string, i int, c Candidate) {
	switch {
	case what == "join":
		l.ready = append(l.ready, c)
	case what == "drain" && len(l.ready) > 1:
		i %= len(l.ready)
		l.draining = append(l.draining, l.ready[i])
		l.ready = slices.Delete(l.ready, i, i+1)
	case (what == "fail" || what == "restart") && len(l.ready) > 1:
		i %= len(l.ready)
		ready := l.ready
		l.ready = slices.Delete(slices.Clone(ready), i, i+1)
		for p := range l.table {
			if live, all := l.liveVoters(p); 2*live <= all {
				l.ready = ready
				return
			}
		}
		if c := ready[i]; what == "restart" {
			c.Incarnation[7]++
			l.ready = append(l.ready, c)
		}
	}
}

// Steps are taken in any order, and members come and go between them.
func TestReplanStepByStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zones := rapid.IntRange(1, 4).Draw(t, "zones")
		zone := func(int) string { return fmt.Sprint("z", rapid.IntRange(0, zones-1).Draw(t, "zone")) }
		l := newLadder(rapid.IntRange(1, 20).Draw(t, "partitions"), rapid.IntRange(1, 5).Draw(t, "replicas"))
		l.ready = candidates(rapid.IntRange(1, 6).Draw(t, "members"), zone)
		l.found()
		r := random(rapid.Uint64().Draw(t, "order"))
		joined := 100
		for range rapid.IntRange(0, 15).Draw(t, "events") {
			joined++
			what := rapid.SampledFrom([]string{"join", "join", "drain", "fail", "restart"}).Draw(t, "event")
			l.happen(what, rapid.IntRange(0, 99).Draw(t, "member"), Candidate{ID: testID(1, joined), Incarnation: testID(2, joined), Zone: zone(joined)})
			for range rapid.IntRange(0, 30).Draw(t, "steps") {
				list := l.rungs(Replan(l.table, l.replicas, l.ready))
				if len(list) == 0 {
					break
				}
				l.climb(t, list[r.below(len(list))])
			}
		}
		l.settle(t, r.below)
		for _, part := range l.table {
			for _, r := range part.Replicas {
				if !l.isReady(r.Holder) || !l.voters[r.ID] {
					t.Fatalf("it came to rest with a replica that is learning or at a member that is gone: %+v", part)
				}
			}
		}
	})
}

// A whole life: from one member to five, with a failure and a restart, and back to one.
func TestReplanLife(t *testing.T) {
	l := newLadder(64, 3)
	all := candidates(5, func(int) string { return "" })
	l.ready = slices.Clone(all[:1])
	l.found()
	var r random
	for _, c := range all[1:] {
		l.happen("join", 0, c)
		l.settle(t, r.below)
	}
	for _, what := range []string{"fail", "restart", "drain", "drain"} {
		members := len(l.ready)
		l.happen(what, 1, Candidate{})
		if what != "restart" && len(l.ready) != members-1 {
			t.Fatalf("%s did not happen to one of %d members", what, members)
		}
		l.settle(t, r.below)
	}
	l.happen("drain", 0, Candidate{})
	l.settle(t, r.below)
	for p := range l.table {
		if n := len(l.table[p].Replicas); n != 1 {
			t.Fatalf("partition %d has %d replicas at the one member that is left", p, n)
		}
	}
}

// The checks find steps that are taken too early.
func TestLadderChecksSee(t *testing.T) {
	for _, hasty := range []bool{false, true} {
		l := newLadder(30, 3)
		l.ready = candidates(5, func(int) string { return "" })
		l.hasty = hasty
		l.found()
		l.happen("drain", 0, Candidate{})
		var r random
		if got := fails(func(t failer) { l.settle(t, r.below) }); got != hasty {
			t.Errorf("hasty is %v: found is %v", hasty, got)
		}
	}
}
