package bootstrap

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawPlan draws a simulation within the bounds under which the promise holds: expect is more than half of all members
// ever started fresh.
func drawPlan(t *rapid.T) plan {
	expect := rapid.IntRange(1, 5).Draw(t, "expect")
	return plan{
		seed:      rapid.Uint64().Draw(t, "seed"),
		expect:    expect,
		members:   rapid.IntRange(expect, 2*expect-1).Draw(t, "members"),
		joiners:   rapid.IntRange(0, 1).Draw(t, "joiners"),
		lossPct:   rapid.IntRange(0, 50).Draw(t, "loss"),
		crashPct:  rapid.IntRange(0, 60).Draw(t, "crash"),
		chaosFor:  time.Duration(rapid.IntRange(0, 40).Draw(t, "chaos")) * time.Second,
		wipes:     rapid.Bool().Draw(t, "wipes"),
		seedsOnly: rapid.Bool().Draw(t, "seedsOnly"),
	}
}

// TestBootstrapHoldsItsPromise: whatever happens, there is one cluster at most; and when nothing happens any more there is
// one within a minute, unless somebody waits for a lost directory, in which case an operator can end that.
func TestBootstrapHoldsItsPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkPromise(t, newWorld(drawPlan(t))) })
}

// TestBootstrapInARoughWorld is the same for plans that rapid, which prefers small ones, seldom draws.
func TestBootstrapInARoughWorld(t *testing.T) {
	for seed := range uint64(100) {
		expect := 2 + int(seed%4)
		checkPromise(t, newWorld(plan{
			seed: seed, expect: expect, members: min(2*expect-1, expect+2), joiners: 1, lossPct: int(seed % 50),
			crashPct: 30, chaosFor: 90 * time.Second, wipes: seed%3 == 0, seedsOnly: seed%2 == 0,
		}))
	}
}

func checkPromise(t interface{ Fatalf(string, ...any) }, w *world) {
	w.chaos()
	for round := 0; !w.runUntil(w.now+time.Minute, w.formed); round++ {
		if w.violation != "" {
			t.Fatalf("%+v: %s", w.plan, w.violation)
		}
		if w.resetStuck() == 0 || round > 4 {
			t.Fatalf("%+v: no cluster, and nobody waits for a lost member: %s", w.plan, w.describe())
		}
	}
	// Whoever is of the Proposal knows it, and nobody changes its mind.
	w.runUntil(w.now+10*time.Second, nil)
	if w.violation != "" {
		t.Fatalf("%+v: %s", w.plan, w.violation)
	}
	id := w.nodes[0].durable.ClusterID
	for _, n := range w.nodes {
		if n.durable.ClusterID != id {
			t.Fatalf("%+v: %s is in another cluster than %s: %s", w.plan, n.addr, w.nodes[0].addr, w.describe())
		}
		if _, in := w.proposals[id].Participant(n.id); in != (n.durable.Decided() != nil) {
			t.Fatalf("%+v: %s: a participant of the proposal %v, initial member by its record %v", w.plan, n.addr, in, !in)
		}
	}
}

// TestBootstrapWithoutFaults: members that start together and are left alone bootstrap within three seconds, and those who are
// of the Proposal have all bootstrapped.
func TestBootstrapWithoutFaults(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, seed uint64, expect int) {
		w := newWorld(plan{seed: seed, expect: expect, members: expect, joiners: 1})
		w.calm = true
		w.runUntil(8*time.Second, nil) // the last one has started
		if !w.runUntil(11*time.Second, w.formed) {
			t.Fatalf("no cluster after three seconds: %s %s", w.violation, w.describe())
		}
		for _, n := range w.nodes {
			if bootstrapped := n.durable.Decided() != nil; bootstrapped != (n.expect > 0) {
				t.Fatalf("%s, expecting %d: bootstrapped %v", n.addr, n.expect, bootstrapped)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 5).Draw(t, "expect"))
	})
	check(t, 1, MaxExpect)
}

// TestSimulationCatches plants one bug at a time. Each must show within a few hundred simulations: the invariants can fail.
func TestSimulationCatches(t *testing.T) {
	base := plan{expect: 3, members: 5, lossPct: 20, crashPct: 30, chaosFor: 90 * time.Second}
	for _, bug := range []struct {
		name  string
		plant func(*plan)
	}{
		{"an answer leaves before the record is on disk", func(p *plan) {
			p.disk = func(old, saved Record) Record { return old }
		}},
		{"acceptances are forgotten", func(p *plan) {
			p.disk = func(old, saved Record) Record { saved.Accepted = nil; return saved }
		}},
		{"refusals are forgotten", func(p *plan) {
			p.disk = func(old, saved Record) Record { saved.Refused = nil; return saved }
		}},
		{"not knowing is told as a refusal", func(p *plan) {
			p.mouth = func(m *Message) {
				if m.Kind == KindWait {
					m.Kind = KindRefuse
				}
			}
		}},
		{"not knowing is told as an acceptance", func(p *plan) {
			p.mouth = func(m *Message) {
				if m.Kind == KindWait {
					m.Kind = KindAccept
				}
			}
		}},
		{"expect is no more than half of the members", func(p *plan) {
			p.expect, p.members, p.split, p.crashPct = 2, 4, true, 0
		}},
		{"more directories are lost than expect allows", func(p *plan) {
			p.wipes, p.noBound = true, true
		}},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(400) {
				p := base
				p.seed = seed
				bug.plant(&p)
				w := newWorld(p)
				w.chaos()
				w.runUntil(w.now+20*time.Second, w.formed)
				if w.violation != "" {
					t.Logf("seed %d: %s", seed, w.violation)
					return
				}
			}
			t.Fatal("the simulation does not notice")
		})
	}
	t.Run("nothing where nothing is wrong", func(t *testing.T) {
		t.Parallel()
		for seed := range uint64(150) {
			p := base
			p.seed = seed
			w := newWorld(p)
			w.chaos()
			w.runUntil(w.now+20*time.Second, w.formed)
			if w.violation != "" {
				t.Fatalf("seed %d: %s", seed, w.violation)
			}
		}
	})
}

// describe tells where everybody stands.
func (w *world) describe() string {
	s := ""
	for _, n := range w.nodes {
		s += "\n" + n.addr + " " + n.id.String() + " "
		switch r := n.durable; {
		case !r.ClusterID.IsZero():
			s += "member of " + r.ClusterID.String()
		case r.Accepted != nil:
			s += "accepted " + r.Accepted.ClusterID.String()
		default:
			s += "fresh"
		}
	}
	return s
}
