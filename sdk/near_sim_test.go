package sdk

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/nearcache"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A randomised simulation of near caches and listeners: owners of a partition that come and go, a bus that loses, repeats, delays and
// reorders messages, and clients that read, write and listen. It is the evidence that the rules in docs/CONSISTENCY.md suffice, and that
// each of them is needed: with all of them nothing wrong is ever seen, and with any one of the planted bugs something is.
//
// It is pure: a seed gives one history. The parts under test are the real ones: the trackers, the clients' clocks, the cache, and the
// replicated state with its ring. What surrounds them is stated a second time, in a few lines each: a log, ownership and leases, the
// publisher with its watermarks, and the network. Clocks run at different rates, members pause, and cluster time differs between them.
//
// What is judged, at each step:
//
//   - a hit is no older than nearcache.FreshFor, beside what clocks may be off by;
//   - a client sees what it has written itself;
//   - no value is served after its expiry, nor for longer than half of its max-idle after it was read;
//   - a listener hears of each event once, in order, and of all of them, or of LOST;
//   - a read of an owner sees what anybody had been told before. This is about the simulated owners, not about the cache.
//
// In the end everything is quiet. Then all trackers are where the log is, and all that is cached is true.

const (
	simMembers  = 3
	millisecond = int64(time.Millisecond)
	// simLease is how long leases are, and how long a new owner waits for the one before.
	simLease = 300 * millisecond
	// simOrigin is when a history begins.
	simOrigin = 1_000_000 * millisecond
)

// nearSim is one history.
type nearSim struct {
	simWeather
	bug     simBug
	rnd     *rand.Rand
	now     int64 // true time in nanoseconds
	queue   simQueue
	log     simLog
	members [simMembers]*simMember
	clients []*simClient
	truth   *simTruth
	counts  simCounts
	calm    bool // nothing goes wrong any more
	wrong   *simFault
	tracing bool
	trace   []string
	values  uint64 // that were written
	stalest int64  // nanoseconds for which somebody else had known better when something was served
}

// simFault is something that must not be.
type simFault struct {
	seed uint64
	step int
	what string
}

func (f *simFault) String() string {
	return fmt.Sprintf("seed %d, step %d: %s", f.seed, f.step, f.what)
}

// simCounts tell what came about: a history in which nothing happens proves nothing.
type simCounts struct {
	Owners, Refused, Recoveries, Losses, Reads, LeaseReads, Batches, Watermarks           int
	Hits, AbsentHits, Misses, Bypasses, Installs, Rejected, Invalidations, Asks           int
	Events, Lost, Gaps, Blocked, Repeated, Dropped, Writes, Unknown, Expired, Clears, Old int
}

func (c *simCounts) add(o *simCounts) {
	to, from := reflect.ValueOf(c).Elem(), reflect.ValueOf(o).Elem()
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// runNearSim simulates a history of the given number of steps, and what follows when all is quiet. It returns the first fault, or nil.
func runNearSim(seed uint64, steps int, bug simBug, tracing bool) (*nearSim, *simFault) {
	s := &nearSim{bug: bug, rnd: rand.New(rand.NewPCG(seed, 36)), now: simOrigin, tracing: tracing}
	s.simWeather = newSimWeather(s.rnd)
	if w := simBugs[bug].weather; w != nil {
		w(&s.simWeather)
	}
	s.truth = newSimTruth(s)
	s.begin()

	for range s.clientCount {
		s.clients = append(s.clients, newSimClient(s, len(s.clients)))
	}

	step := 0
	run := func(until func() bool) {
		for ; !until() && s.wrong == nil; step++ {
			s.step()
		}
	}

	run(func() bool { return step >= steps })
	s.quiet()
	end := s.now + 12*int64(time.Second)
	run(func() bool { return s.now >= end })
	if s.wrong == nil {
		s.judgeEnd()
	}

	if s.wrong != nil {
		s.wrong.seed, s.wrong.step = seed, step
	}
	return s, s.wrong
}

// step lets the next thing happen.
func (s *nearSim) step() {
	e := s.queue.pop()
	s.now = max(s.now, e.at)
	e.f()
}

// after has f happen after a while.
func (s *nearSim) after(d int64, f func()) { s.queue.push(s.now+max(d, 1), f) }

// quiet ends everything that goes wrong, and all writes.
func (s *nearSim) quiet() {
	s.tracef("quiet")
	s.calm = true
	for _, m := range s.members {
		m.asleep, m.cut, m.behind = 0, 0, 0
	}
	for _, c := range s.clients {
		c.deaf, c.mute = [simMembers]int64{}, [simMembers]int64{}
	}
	s.elect(s.members[0])
}

// chance reports true for one in 100 of the given number, and never when all is calm.
func (s *nearSim) chance(percent int) bool { return !s.calm && s.rnd.IntN(100) < percent }

// between draws a time.
func (s *nearSim) between(least, most int64) int64 { return least + s.rnd.Int64N(most-least+1) }

// fail notes the first thing that must not be.
func (s *nearSim) fail(format string, args ...any) {
	if s.wrong == nil {
		s.wrong = &simFault{what: fmt.Sprintf(format, args...)}
		s.tracef("WRONG: "+format, args...)
	}
}

// tracef keeps a line of the last that happened.
func (s *nearSim) tracef(format string, args ...any) {
	if !s.tracing {
		return
	}
	at := float64(s.now-simOrigin) / float64(time.Second)
	if s.trace = append(s.trace, fmt.Sprintf("%9.4f "+format, append([]any{at}, args...)...)); len(s.trace) > 4000 {
		s.trace = slices.Delete(s.trace, 0, 2000)
	}
}

// judgeEnd checks that all is well after a while in which nothing went wrong.
func (s *nearSim) judgeEnd() {
	for _, c := range s.clients {
		for _, st := range []*simStream{c.near, c.listener} {
			if stand := s.members[0].standing(st.name); !st.tr.open || st.tr.at.generation != s.log.generation || st.tr.at.pos < stand.Quiet ||
				st.tr.at.pos > stand.Pos {
				s.fail("in the end the tracker of client %d is at %v, the owner at %+v", c.id, st.tr.at, stand)
			}
			s.truth.judgeEnd(st)
		}

		if fresh := c.near.tr.fresh; c.cluster()-fresh > nearcache.FreshFor.Milliseconds() {
			s.fail("in the end client %d is fresh as of %d at %d", c.id, fresh, c.cluster())
		}
		for k := range s.keys {
			c.get(simKey(k), true)
		}
	}
}

// simQueue holds what is to happen, the next first.
type simQueue struct {
	list []simEvent
	n    uint64
}

type simEvent struct {
	at int64
	n  uint64 // of two at the same time the one that was put in first comes first
	f  func()
}

func (e *simEvent) before(o *simEvent) bool { return e.at < o.at || e.at == o.at && e.n < o.n }

func (q *simQueue) push(at int64, f func()) {
	q.n++
	q.list = append(q.list, simEvent{at, q.n, f})
	for i := len(q.list) - 1; i > 0; {
		parent := (i - 1) / 2
		if q.list[parent].before(&q.list[i]) {
			return
		}
		q.list[parent], q.list[i] = q.list[i], q.list[parent]
		i = parent
	}
}

func (q *simQueue) pop() simEvent {
	top, last := q.list[0], len(q.list)-1
	q.list[0], q.list[last] = q.list[last], simEvent{}
	q.list = q.list[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if q.list[child].before(&q.list[least]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		q.list[least], q.list[i] = q.list[i], q.list[least]
		i = least
	}
}

// simKey returns the name of a key.
func simKey(i int) string { return "k" + string(rune('0'+i)) }

// Names of the simulated maps. The first is cached, and nobody listens to the last.
var simMaps = [...]string{"cached", "heard", "other"}

// simWanted reports whether somebody listens to a map.
func simWanted(name string) bool { return name != simMaps[2] }

// standing returns where a map stands at a member.
func (m *simMember) standing(name string) wire.Position {
	p := m.st.Standing([]byte(name))
	p.Partition, p.Epoch = simPartition, m.group.epoch
	return p
}

var nearHistories = flag.Int("near.histories", 120, "how many histories of near caches are simulated")

const (
	nearSteps = 8000
	// nearEnough is how many histories show each planted bug. The rarest comes once in a hundred.
	nearEnough = 2000
)

// With all rules nothing wrong is seen, whatever comes about.
func TestNearCachesAreRight(t *testing.T) {
	var all simCounts
	stalest := int64(0)
	for seed := range uint64(*nearHistories) {
		s, fault := runNearSim(seed, nearSteps, simNone, false)
		if fault != nil {
			t.Fatalf("%v\n%+v\n%s", fault, s.simWeather, strings.Join(lastOf(seed, simNone), "\n"))
		}
		all.add(&s.counts)
		stalest = max(stalest, s.stalest)
	}
	t.Logf("%+v; the stalest hit: %v", all, time.Duration(stalest))

	v := reflect.ValueOf(all)
	for i := range v.NumField() {
		if v.Field(i).Int() == 0 {
			t.Errorf("%s: it never came about", v.Type().Field(i).Name)
		}
	}
}

// lastOf returns what happened last in a history.
func lastOf(seed uint64, bug simBug) []string {
	s, _ := runNearSim(seed, nearSteps, bug, true)
	return s.trace[max(0, len(s.trace)-80):]
}

// Each rule is needed: without it something wrong is seen.
func TestEachNearRuleIsNeeded(t *testing.T) {
	for bug := simNone + 1; bug < simBug(len(simBugs)); bug++ {
		t.Run(bug.String(), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(nearEnough) {
				if _, fault := runNearSim(seed, nearSteps, bug, false); fault != nil {
					t.Logf("after %d histories: %v", seed, fault)
					return
				}
			}
			t.Fatalf("not noticed in %d histories", nearEnough)
		})
	}
}

func TestANearHistoryIsItsSeed(t *testing.T) {
	for seed := range uint64(5) {
		a, fault := runNearSim(seed, nearSteps, simInvalidationsIgnored, true)
		b, again := runNearSim(seed, nearSteps, simInvalidationsIgnored, true)
		if !slices.Equal(a.trace, b.trace) || !reflect.DeepEqual(fault, again) || a.counts != b.counts {
			t.Fatalf("seed %d: two histories, with %v and %v", seed, fault, again)
		}
	}
}
