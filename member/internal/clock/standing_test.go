package clock

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestJudge(t *testing.T) {
	const s, min = time.Second, time.Minute
	type list = []time.Duration
	for _, c := range []struct {
		name  string
		peers list
		slept time.Duration
		was   Standing
		want  Standing
		gap   time.Duration
	}{
		{name: "alone"},
		{name: "two that agree", peers: list{20 * time.Millisecond}, gap: 10 * time.Millisecond},
		{name: "two, suspended", peers: list{min}, want: Behind, gap: min},
		{name: "two, the other suspended", peers: list{-min}},
		{name: "two, at the limit", peers: list{s}, gap: s / 2},
		{name: "two, beyond the limit", peers: list{s + 1}, want: Behind, gap: s + 1},
		{name: "three, suspended", peers: list{min, min + 3}, want: Behind, gap: min},
		{name: "three, another suspended", peers: list{-min, 3}},
		{name: "three, suspended with another", peers: list{0, min}},
		{name: "three, suspended with another, by the wall clock", peers: list{0, min}, slept: min, want: Behind, gap: min},
		{name: "three, the others suspended", peers: list{-min, -min}, want: Ahead, gap: -min},
		{name: "three, one has leapt", peers: list{0, 5 * time.Hour}},
		{name: "three, one has leapt, and the wall clock was set", peers: list{0, 5 * time.Hour}, slept: time.Hour},
		{name: "three, leapt", peers: list{-5 * time.Hour, -5 * time.Hour}, want: Ahead, gap: -5 * time.Hour},
		{name: "three, all suspended together", peers: list{0, 0}, slept: min},
		{name: "four, suspended with another", peers: list{0, min, min}, want: Behind, gap: min},
		{name: "four, two others suspended", peers: list{-min, -min, 0}},
		{name: "five, suspended with another", peers: list{0, min, min, min}, want: Behind, gap: min},
		{name: "five, suspended with two others", peers: list{0, 0, min, min}},
		{name: "nearly back in step", peers: list{3 * s / 4, 3 * s / 4}, was: Behind, want: Behind, gap: 3 * s / 4},
		{name: "not yet out of step", peers: list{3 * s / 4, 3 * s / 4}, gap: 3 * s / 4},
		{name: "back in step", peers: list{s / 2, s / 2}, was: Ahead, gap: s / 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, own := range []time.Duration{0, 17 * time.Hour, -3 * min} {
				peers := make(list, len(c.peers))
				for i, p := range c.peers {
					peers[i] = own + p
				}
				if got, gap := judge(own, peers, c.slept, c.was); got != c.want || gap != c.gap {
					t.Errorf("%v by %v, want %v by %v", got, gap, c.want, c.gap)
				}
			}
		})
	}
}

// world is some machines whose members sample each other. Time passes for those that are not suspended.
type world struct {
	machines []*machine
	clocks   []*Clock
}

func newWorld(n int) *world {
	w := &world{}
	for range n {
		m, c := newMachine()
		m.mono.Add(int64(len(w.clocks)) * int64(time.Hour))
		c.Set(birth)
		w.machines, w.clocks = append(w.machines, m), append(w.clocks, c)
	}
	return w
}

// pass lets time pass; suspended machines sleep, and their wall clocks with them unless awake is set.
func (w *world) pass(d time.Duration, suspended map[int]bool, awake bool) {
	for i, m := range w.machines {
		switch {
		case !suspended[i]:
			m.pass(d)
		case awake:
			m.wall.Add(int64(d))
		}
	}
}

// ping has every member sample every other.
func (w *world) ping(trip time.Duration) {
	for i, c := range w.clocks {
		for j, other := range w.clocks {
			if i != j {
				now := c.Mono()
				c.Sample(wire.ID{byte(j + 1)}, other.NowMicros()-(trip/2).Microseconds(), true, now-trip, now)
			}
		}
	}
}

// round lets a tenth of a second pass, in which all are sampled, and has those that are behind step.
func (w *world) round() {
	w.pass(100*time.Millisecond, nil, false)
	w.ping(200 * time.Microsecond)
	for _, c := range w.clocks {
		if s, _ := c.Standing(); s == Behind {
			c.StepForward()
		}
	}
}

func inStep(w *world) bool {
	return !slices.ContainsFunc(w.standings(), func(s Standing) bool { return s != InStep })
}

func (w *world) standings() (all []Standing) {
	for _, c := range w.clocks {
		s, _ := c.Standing()
		all = append(all, s)
	}
	return all
}

// Whoever was suspended steps forward to the others as soon as it has heard of them, and nobody else moves.
func TestSuspendedClockStepsForward(t *testing.T) {
	for n := 2; n <= 5; n++ {
		w := newWorld(n)
		for range 20 {
			w.round()
		}
		before := w.clocks[0].NowMicros()
		w.pass(time.Minute, map[int]bool{0: true}, false)
		if got := w.clocks[0].NowMicros(); got != before {
			t.Fatalf("%d members: a suspended clock went on by %d µs", n, got-before)
		}
		w.pass(100*time.Millisecond, nil, false)
		w.ping(200 * time.Microsecond)
		for i, got := range w.standings() {
			if want := []Standing{Behind, InStep}[min(i, 1)]; got != want {
				t.Errorf("%d members: member %d is %v, want %v", n, i, got, want)
			}
		}
		if got, want := w.clocks[0].Agreed(), w.clocks[1].Now(); want-got > 1 || got-want > 1 {
			t.Errorf("%d members: it tells %d, the others show %d", n, got, want)
		}
		if w.clocks[1].Agrees(wire.ID{1}) || !w.clocks[0].Agrees(wire.ID{2}) {
			t.Errorf("%d members: who agrees with the others?", n)
		}
		if got := w.clocks[0].StepForward().Round(10 * time.Millisecond); got != time.Minute {
			t.Errorf("%d members: stepped by %v", n, got)
		}
		if w.clocks[0].StepForward() != 0 || w.clocks[1].StepForward() != 0 {
			t.Errorf("%d members: a clock in step was stepped", n)
		}
		w.round()
		for i, c := range w.clocks {
			if s, gap := c.Standing(); s != InStep || gap.Abs() > time.Millisecond || c.Disagreement() > time.Millisecond {
				t.Errorf("%d members: member %d is %v by %v, and disagrees by %v", n, i, s, gap, c.Disagreement())
			}
		}
	}
}

// One that was suspended says nothing wrong while the pings from before count.
func TestSampleFromBeforeASuspension(t *testing.T) {
	m, c := newMachine()
	c.Set(birth)
	ahead := birth*time.Microsecond - c.Mono()
	for range keepSamples {
		m.pass(100 * time.Millisecond)
		sampleAhead(c, wire.ID{1}, ahead, 100*time.Microsecond)
	}
	m.pass(100 * time.Millisecond)
	sampleAhead(c, wire.ID{1}, ahead+time.Minute, 10*time.Millisecond)
	if s, _ := c.Standing(); s != Behind {
		t.Errorf("%v: the better samples are those of a world that is no more", s)
	}
}

// A ping that was under way while somebody was stopped has a round trip of seconds, and judges nobody.
func TestSlowSampleJudgesNobody(t *testing.T) {
	m, c := newMachine()
	c.Set(birth)
	m.pass(30 * time.Second)
	sampleAhead(c, wire.ID{1}, birth*time.Microsecond-3*time.Hour+12*time.Second, 25*time.Second)
	if s, gap := c.Standing(); s != InStep || c.IsBehind() {
		t.Errorf("%v by %v", s, gap)
	}
	if !c.Agrees(wire.ID{1}) || !c.Agrees(wire.ID{2}) {
		t.Error("a peer that is not known well is out of step")
	}
	if c.StepForward() != 0 {
		t.Error("stepped")
	}
}

// A clock whose peers are gone has nobody to be out of step with.
func TestAloneAgain(t *testing.T) {
	m, c := newMachine()
	c.Set(birth)
	ahead := birth*time.Microsecond - c.Mono()
	sampleAhead(c, wire.ID{1}, ahead-time.Minute, 0)
	sampleAhead(c, wire.ID{2}, ahead-time.Minute, 0)
	if s, _ := c.Standing(); s != Ahead {
		t.Fatalf("%v", s)
	}
	m.pass(maxAge + time.Second)
	if s, _ := c.Standing(); s != InStep {
		t.Errorf("%v of nobody", s)
	}
}

// A clock that a caller's time does not fit is confirmed by a peer that was asked since, or by there being none.
func TestConfirmed(t *testing.T) {
	m, c := newMachine()
	c.Set(birth)
	if !c.Confirmed(1) {
		t.Error("there is nobody to ask")
	}
	c.Expect(wire.ID{1})
	m.pass(time.Millisecond)
	if c.Confirmed(1) {
		t.Error("confirmed by a peer that was not asked yet")
	}
	c.Sample(wire.ID{1}, 0, false, c.Mono(), c.Mono())
	if c.Confirmed(1) {
		t.Error("confirmed by a peer whose clock is not set")
	}
	ahead := birth*time.Microsecond - c.Mono()
	m.pass(maxAge + time.Second)
	sampleAhead(c, wire.ID{1}, ahead, 0)
	for range 2 { // asking again does not help
		if c.Confirmed(1) {
			t.Error("confirmed by a sample from before")
		}
	}
	m.pass(10 * time.Millisecond)
	sampleAhead(c, wire.ID{2}, ahead+time.Minute, 4*maxDoubt)
	sampleAhead(c, wire.ID{1}, ahead, 0)
	if c.Confirmed(1) {
		t.Error("confirmed by an answer that took too long to say anything")
	}
	c.Forget(wire.ID{2})
	for range 2 { // asking again does no harm
		if !c.Confirmed(1) {
			t.Error("not confirmed by a sample from after")
		}
	}
	if c.Confirmed(2) {
		t.Error("another deadline is confirmed by a sample from before it came: the machine may have been suspended since")
	}
	m.pass(doubtFor + time.Millisecond)
	if c.Confirmed(1) {
		t.Error("confirmed by a sample from before another doubt")
	}
	for deadline := range int64(2 * maxDoubts) {
		if c.Confirmed(3 + deadline) {
			t.Errorf("deadline %d is confirmed at once", deadline)
		}
	}
	if n := len(c.mu.doubts); n > maxDoubts {
		t.Errorf("%d doubts are remembered", n)
	}
	m.pass(doubtFor + time.Millisecond)
	if c.Confirmed(1); len(c.mu.doubts) != 1 {
		t.Errorf("%d doubts are remembered for ever", len(c.mu.doubts)-1)
	}
	sampleAhead(c, wire.ID{1}, ahead+time.Minute, 0)
	if c.Confirmed(1) {
		t.Error("confirmed while it is behind")
	}
}

// Whoever is suspended for however long, time goes back for nobody. If most went on, or the wall clocks have, all agree soon
// afterwards; if only most were suspended, it is the others that are out of step, and nobody takes theirs for the time.
func TestSuspensions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "members")
		w := newWorld(n)
		shown := make([]int64, n)
		look := func() {
			for i, c := range w.clocks {
				if now := c.NowMicros(); now < shown[i] {
					t.Fatalf("member %d went from %d to %d", i, shown[i], now)
				} else {
					shown[i] = now
				}
			}
		}
		for range 20 {
			w.round()
			look()
		}
		for k := range rapid.IntRange(1, 3).Draw(t, "suspensions") {
			suspended := make(map[int]bool)
			for i := range n {
				if rapid.Bool().Draw(t, fmt.Sprintf("%d: member %d", k, i)) {
					suspended[i] = true
				}
			}
			awake := rapid.Bool().Draw(t, "wall clocks go on")
			d := time.Duration(rapid.Int64Range(int64(2*time.Second), int64(time.Hour)).Draw(t, "for"))
			w.pass(d, suspended, awake)
			for range 10 {
				w.round()
				look()
			}
			agree := awake || 2*len(suspended) <= n || len(suspended) == n
			for i, c := range w.clocks {
				switch s, gap := c.Standing(); {
				case agree && s != InStep:
					t.Fatalf("of %d members %v were suspended for %v: member %d is %v by %v", n, suspended, d, i, s, gap)
				case !agree && inStep(w): // the wall clocks have shown an earlier suspension, which lets them believe the later time
				case !agree && suspended[i] && s != InStep, !agree && !suspended[i] && s != Ahead:
					t.Fatalf("of %d members %v were suspended for %v: member %d is %v by %v", n, suspended, d, i, s, gap)
				}
			}
			if !agree {
				return // an operator starts those again that are ahead
			}
		}
	})
}
