package role

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// bug is a mistake that is planted in a role, or in what it is told. The simulation has to notice each.
type bug uint8

const (
	noBug bug = iota
	// servesGivenUp: a process forgets which epoch it has given up.
	servesGivenUp
	// answersAtOnce: a new owner does not wait for the lease of the one before.
	answersAtOnce
	// releasesTooSoon: a process releases an epoch before its serve-after time.
	releasesTooSoon
	// trustsItself: a process takes every Own for its own.
	trustsItself
	// takesAllForSame: a new owner takes the one before for itself.
	takesAllForSame
	// forgetsOlderLeases: the state knows the lease of the last Own only.
	forgetsOlderLeases
	// trustsSnapshots: a snapshot is said to have had no owner before.
	trustsSnapshots
	// trustsAnyRelease: a Release that was refused ends the lease wait.
	trustsAnyRelease
	// servesUnasked: a process serves although its member does not let it.
	servesUnasked
	// inheritsForLong: a process reads what it has inherited until its serve-after time.
	inheritsForLong
	// leaseFromCompletion: a lease counts from when a batch was applied, not from when it was proposed.
	leaseFromCompletion
	// keepsItsLease: a process that no longer serves an epoch reads on under its lease.
	keepsItsLease

	bugs
)

var bugNames = [bugs]string{"none", "serves what it has given up", "answers at once", "releases too soon", "takes every Own for its own",
	"takes the owner before for itself", "forgets older leases", "trusts snapshots", "trusts any Release", "serves unasked",
	"inherits for long", "lease from completion", "keeps its lease"}

func (b bug) String() string { return bugNames[b] }

const processes = 3

// process is one member's process in the simulation.
type process struct {
	id      wire.ID
	role    *Role
	applied int       // log index
	asleep  time.Time // until then it does nothing: it was stopped by its host, or hears of nothing
	mayOwn  bool
	given   map[uint64]bool // epochs of which it has proposed a Release

	held map[uint64]uint64 // epochs of batches that the role holds back, by number
}

// simEntry is an entry of the simulated log, or on its way to it.
type simEntry struct {
	own     *entry.Own
	release *entry.Release
	batch   uint64 // number; 0: no batch
	epoch   uint64 // of the batch
	by      int
	began   time.Time // when the batch was proposed
}

// simState is the ownership after an entry, and what the entry did.
type simState struct {
	own      Ownership
	accepted bool
	was      Superseded
	effect   ReleaseEffect
}

// simulation is several roles over one log that all of them apply in order, each in its own time.
type simulation struct {
	bug    bug
	pick   func(n int) int
	now    time.Time
	unrest time.Time // until then elections are frequent
	term   uint64
	leader int
	number uint64
	log    []simEntry // log[0] stands for the beginning
	states []simState
	flying []simEntry
	procs  [processes]*process
	served map[uint64]int // who has served an epoch
	counts map[string]int
}

// simulate runs a history and returns what was wrong, and what came about.
func simulate(pick func(n int) int, steps int, planted bug) (string, map[string]int) {
	s := &simulation{bug: planted, pick: pick, now: time.Unix(1000, 0), states: []simState{{own: NewOwnership(1)}}, log: make([]simEntry, 1),
		served: make(map[uint64]int), counts: make(map[string]int)}
	var all []Voter
	for i := range s.procs {
		all = append(all, Voter{ID: uint64(i + 1), Incarnation: wire.ID{byte(i + 1)}})
	}
	for i := range s.procs {
		lease := uint32(300)
		if pick(3) == 0 {
			lease = 20
		}
		id := wire.ID{byte(i + 1)}
		s.procs[i] = &process{id: id, mayOwn: true, given: make(map[uint64]bool), held: make(map[uint64]uint64),
			role: New(Config{Member: id, Incarnation: id, Replica: uint64(i + 1), Preferred: i == 0, LeaseMs: lease}, NewOwnership(1), all)}
	}
	for range steps {
		s.now = s.now.Add(time.Duration(pick(3)) * time.Millisecond)
		i := pick(processes)
		if s.procs[i].asleep.After(s.now) {
			continue
		}
		if wrong := s.event(i); wrong != "" {
			return wrong, s.counts
		}
	}
	return "", s.counts
}

// event lets one process do something, or the log go on.
func (s *simulation) event(i int) string {
	p := s.procs[i]
	switch n := s.pick(100); {
	case n < 1 || n < 5 && s.now.Before(s.unrest): // an election: the winner hears of it first
		if s.pick(2) == 0 { // elections come in swarms
			s.unrest = s.now.Add(time.Duration(s.pick(100)) * time.Millisecond)
		}
		s.term++
		s.leader = i
		return s.step(i, LeaderChanged{Leader: uint64(i + 1), Term: s.term})
	case n < 8:
		if s.term > 0 {
			return s.step(i, LeaderChanged{Leader: uint64(s.leader + 1), Term: s.term})
		}
	case n < 9:
		return s.step(i, LeaderChanged{Term: s.term})
	case n < 10:
		p.asleep = s.now.Add(time.Duration(s.pick(400)) * time.Millisecond)
	case n < 30:
		return s.step(i, Tick{})
	case n < 45:
		s.commit()
	case n < 65:
		return s.applyNext(i)
	case n < 85:
		if epoch := p.role.serving; epoch != 0 {
			s.number++
			s.flying = append(s.flying, simEntry{batch: s.number, epoch: epoch, by: i, began: s.now})
		}
	case n < 90:
		return s.step(i, AnswersDue{})
	case n < 92:
		if s.pick(2) == 0 {
			return s.step(i, GiveUp{})
		}
		return s.step(i, Transfer{To: s.procs[s.pick(processes)].id})
	case n < 94:
		p.mayOwn = !p.mayOwn
		if !p.mayOwn {
			return s.step(i, Tick{})
		}
	case n < 96:
		gone := s.procs[s.pick(processes)].id
		return s.step(i, MemberDown{Incarnation: gone, Agreed: map[wire.ID]bool{s.procs[s.pick(processes)].id: s.pick(3) > 0}})
	default:
		if p.applied < len(s.log)-1 && s.pick(3) == 0 {
			s.counts["snapshots"]++
			p.applied = len(s.log) - 1
			own := s.states[p.applied].own
			if s.bug == trustsSnapshots {
				own.PrevOwned = false
			}
			return s.step(i, SnapshotInstalled{Own: own})
		}
	}
	return ""
}

// commit appends an entry on its way to the log, most often the newest, or loses one.
func (s *simulation) commit() {
	if len(s.flying) == 0 {
		return
	}
	i := len(s.flying) - 1
	if s.pick(4) == 0 {
		i = s.pick(len(s.flying))
	}
	e := s.flying[i]
	s.flying = append(s.flying[:i], s.flying[i+1:]...)
	if s.pick(20) == 0 {
		return
	}

	next := simState{own: s.states[len(s.states)-1].own}
	switch {
	case e.own != nil:
		next.was, next.accepted = next.own.ApplyOwn(e.own, uint64(len(s.log)))
		if next.accepted && s.bug == forgetsOlderLeases {
			next.own.MaxLease = e.own.LeaseMs
		}
	case e.release != nil:
		next.effect = next.own.ApplyRelease(e.release)
	default:
		next.accepted = next.own.Accepts(e.epoch)
	}
	s.log, s.states = append(s.log, e), append(s.states, next)
}

// applyNext has a process apply the next entry of the log.
func (s *simulation) applyNext(i int) string {
	p := s.procs[i]
	if p.applied == len(s.log)-1 {
		return ""
	}
	p.applied++
	e, st := s.log[p.applied], s.states[p.applied]
	switch {
	case e.own != nil && st.accepted:
		s.counts["owners"]++
		own, was := st.own, st.was
		if s.bug == trustsItself {
			own.Incarnation = p.id
		}
		if s.bug == takesAllForSame {
			was.Same = true
		}
		return s.step(i, OwnApplied{Own: own, Superseded: was})
	case e.own != nil && e.own.Incarnation == p.id:
		s.counts["refused"]++
		return s.step(i, OwnRefused{PrevEpoch: e.own.PrevEpoch})
	case e.release != nil && (st.effect != ReleaseRefused || s.bug == trustsAnyRelease):
		s.counts[map[ReleaseEffect]string{CurrentReleased: "released", PrevReleased: "freed"}[st.effect]]++
		return s.step(i, ReleaseApplied{Own: st.own, Previous: st.effect != CurrentReleased})
	case e.batch != 0 && e.by == i && st.accepted:
		began := e.began
		if s.bug == leaseFromCompletion {
			began = s.now
		}
		if wrong := s.step(i, Proven{Epoch: e.epoch, Began: began, Wall: began.UnixNano()}); wrong != "" {
			return wrong
		}
		if after := p.role.ServeAfter(); after.After(s.now) {
			s.counts["held"]++
			p.held[e.batch] = e.epoch
			return s.step(i, Hold{Batch: e.batch, Epoch: e.epoch, NotBefore: after})
		}
		return s.answers(i, e.epoch)
	}
	return ""
}

// step has a role decide, carries out what it decided, and checks it.
func (s *simulation) step(i int, in Input) string {
	p := s.procs[i]
	now := Now{Time: s.now, MayOwn: p.mayOwn || s.bug == servesUnasked}
	after, lease := p.role.serveAfter, p.role.lease
	switch s.bug {
	case servesGivenUp:
		p.role.giving.epoch = 0
	case releasesTooSoon:
		p.role.serveAfter = time.Time{}
	}
	fx := p.role.Step(in, now)
	if fx.LeaseChanged && fx.Lease != nil {
		s.counts["leases"]++
	}
	if fx.InheritedChanged && fx.Inherited != nil {
		s.counts["inherited"]++
	}
	switch s.bug {
	case inheritsForLong:
		if l := p.role.inherited; l != nil {
			long := *l
			long.Until = p.role.serveAfter
			p.role.inherited = &long
		}
	case keepsItsLease:
		if p.role.lease == nil {
			p.role.lease = lease
		}
	case answersAtOnce:
		p.role.serveAfter = time.Time{}
	case releasesTooSoon:
		if p.role.serveAfter.IsZero() {
			p.role.serveAfter = after
		}
	}

	if fx.Own != nil {
		s.flying = append(s.flying, simEntry{own: fx.Own, by: i})
	}
	if r := fx.Release; r != nil {
		p.given[r.Epoch] = true
		to := r.To
		if r.Choose && s.pick(2) == 0 {
			to = s.procs[s.pick(processes)].id
		}
		s.flying = append(s.flying, simEntry{release: &entry.Release{Epoch: r.Epoch, To: to}, by: i})
	}
	if fx.Campaign {
		s.counts["campaigns"]++
	}
	for _, n := range fx.Answer {
		epoch, ok := p.held[n]
		if !ok {
			return fmt.Sprintf("process %d answers batch %d, which it does not hold", i, n)
		}
		delete(p.held, n)
		if wrong := s.answers(i, epoch); wrong != "" {
			return wrong
		}
	}
	return s.check(i)
}

// check looks for what must never be.
func (s *simulation) check(i int) string {
	p := s.procs[i]
	epoch := p.role.serving
	if epoch == 0 {
		return ""
	}
	s.counts["served"]++
	if p.given[epoch] {
		return fmt.Sprintf("process %d serves epoch %d after it has given that up", i, index(epoch))
	}
	if who, ok := s.served[epoch]; ok && who != i {
		return fmt.Sprintf("processes %d and %d serve epoch %d", who, i, index(epoch))
	}
	if !p.mayOwn {
		return fmt.Sprintf("process %d serves epoch %d, and its member does not let it", i, index(epoch))
	}
	s.served[epoch] = i
	return ""
}

// answers checks an answer that a process gives under an epoch: no process may read under a lease of an epoch before, for it does not know
// what was answered since.
func (s *simulation) answers(i int, epoch uint64) string {
	s.counts["answered"]++
	for j, p := range s.procs {
		if l := p.role.lease; j != i && l != nil && l.Epoch < epoch && s.reads(l) {
			return fmt.Sprintf("process %d answers under epoch %d, and process %d may read under the lease of epoch %d", i, index(epoch), j, index(l.Epoch))
		}
		if l := p.role.inherited; j != i && l != nil && l.Epoch < epoch && s.now.Before(l.Until) {
			return fmt.Sprintf("process %d answers under epoch %d, and process %d may read what it has inherited under epoch %d", i, index(epoch), j, index(l.Epoch))
		}
	}
	return ""
}

// reads reports whether a process may read under a lease now.
func (s *simulation) reads(l *Lease) bool {
	holds, _ := l.Holds(s.now, s.now.UnixNano())
	return holds
}

// One process at a time serves an epoch, never after it has given that up, and nothing is answered while another may read under a lease.
func TestRolesAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
		if wrong, _ := simulate(pick, 400, noBug); wrong != "" {
			t.Fatal(wrong)
		}
	})
}

const (
	histories = 2000
	simSteps  = 3000
)

// history returns the choices of a seed.
func history(seed uint64) func(n int) int { return rand.New(rand.NewPCG(seed, 11)).IntN }

// The same over long histories, in which everything comes about that the rules are for.
func TestRolesAreSafeForLong(t *testing.T) {
	all := make(map[string]int)
	for seed := range uint64(histories) {
		wrong, counts := simulate(history(seed), simSteps, noBug)
		require.Empty(t, wrong, "seed %d", seed)
		for what, n := range counts {
			all[what] += n
		}
	}
	t.Log(all)
	for _, what := range []string{"owners", "refused", "released", "freed", "held", "answered", "served", "snapshots", "campaigns", "inherited", "leases"} {
		require.Greater(t, all[what], histories/4, what)
	}
}

// The simulation notices each planted bug: so each of the rules is needed, and checked.
func TestPlantedBugsAreNoticed(t *testing.T) {
	for planted := noBug + 1; planted < bugs; planted++ {
		t.Run(planted.String(), func(t *testing.T) {
			for seed := range uint64(3 * histories) { // the rarest comes about once in a thousand
				if wrong, _ := simulate(history(seed), simSteps, planted); wrong != "" {
					t.Logf("seed %d: %s", seed, wrong)
					return
				}
			}
			t.Fatalf("not noticed in %d histories", 3*histories)
		})
	}
}
