package bootstrap

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// world simulates members that bootstrap a cluster: one seeded scheduler, a network that loses, delays, reorders, repeats and
// cuts, processes that crash around the saving of their record, and directories that get lost. It knows everything that was
// ever said, and notes the first thing that contradicts what the package promises.
type world struct {
	plan   plan
	rng    *rand.Rand
	now    time.Duration
	events eventQueue
	serial uint64
	calm   bool // no more faults
	reset  bool // an operator has reset somebody: identities have been counted beyond the bound that the proof needs

	nodes []*node
	fresh int              // identities ever started fresh that could bootstrap
	gone  map[wire.ID]bool // identities whose record was lost
	cut   map[[2]int]bool  // pairs that do not hear each other

	// What was ever said, by bootstrap. Said means: it left a member.
	proposals map[wire.ID]*Proposal
	accepted  map[wire.ID]map[wire.ID]bool
	dead      map[wire.ID]bool
	written   map[wire.ID]bool

	violation string
}

// plan is what a simulation is made of.
type plan struct {
	seed      uint64
	expect    int
	members   int // started with expect
	joiners   int // started without
	lossPct   int
	crashPct  int // of all savings, before or after the disk has it
	chaosFor  time.Duration
	wipes     bool // directories get lost, within the bound that the proof needs
	noBound   bool // … beyond it
	split     bool // the network stays in two halves while chaos lasts
	seedsOnly bool // Join names the first member only, but for the first's own
	// disk is what a disk makes of a record; nil: it keeps it.
	disk func(old, saved Record) Record
	// mouth is what becomes of an answer on its way out; nil: nothing.
	mouth func(*Message)
}

type node struct {
	index   int
	addr    string
	id      wire.ID
	expect  int
	durable Record
	machine *Machine
	life    int // counts processes; messages and ticks of an earlier one are dropped
	boot    time.Duration
}

type event struct {
	at     time.Duration
	serial uint64
	do     func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].serial < q[j].serial
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(e any)   { *q = append(*q, e.(event)) }
func (q *eventQueue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

var errCrash = errors.New("crash")

func newWorld(p plan) *world {
	w := &world{
		plan: p, rng: rand.New(rand.NewPCG(p.seed, 1)), gone: make(map[wire.ID]bool), cut: make(map[[2]int]bool),
		proposals: make(map[wire.ID]*Proposal), accepted: make(map[wire.ID]map[wire.ID]bool),
		dead: make(map[wire.ID]bool), written: make(map[wire.ID]bool),
	}
	for i := range p.members + p.joiners {
		n := &node{index: i, addr: fmt.Sprintf("m%d:5701", i), id: w.newID(), expect: p.expect}
		if i >= p.members {
			n.expect = 0
		} else {
			w.fresh++
		}
		w.nodes = append(w.nodes, n)
		w.after(w.upTo(8*time.Second), func() { w.start(n) })
	}
	if p.split {
		for i := range w.nodes {
			for j := range i {
				w.cut[[2]int{j, i}] = i%2 != j%2
			}
		}
	}
	return w
}

func (w *world) newID() (id wire.ID) {
	for i := range id {
		id[i] = byte(w.rng.Uint32())
	}
	return id
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }
func (w *world) chance(pct int) bool                { return w.rng.IntN(100) < pct }

func (w *world) after(d time.Duration, do func()) {
	w.serial++
	heap.Push(&w.events, event{at: w.now + d, serial: w.serial, do: do})
}

func (w *world) fail(format string, args ...any) {
	if w.violation == "" {
		w.violation = fmt.Sprintf("at %v: ", w.now) + fmt.Sprintf(format, args...)
	}
}

// runUntil runs the world until the given time, or until done says so.
func (w *world) runUntil(end time.Duration, done func() bool) bool {
	for len(w.events) > 0 && w.events[0].at <= end && w.violation == "" {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
		if done != nil && done() {
			return true
		}
	}
	w.now = max(w.now, end)
	return false
}

// chaos runs the part with faults and then ends them, with everybody running.
func (w *world) chaos() {
	var fault func()
	fault = func() {
		if w.calm {
			return
		}
		w.after(50*time.Millisecond+w.upTo(1500*time.Millisecond), fault)
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		other := w.rng.IntN(len(w.nodes))
		switch w.rng.IntN(4) {
		case 0:
			w.crash(n)
		case 1, 2:
			pair := [2]int{min(n.index, other), max(n.index, other)}
			if !w.plan.split {
				w.cut[pair] = !w.cut[pair]
			}
		case 3:
			if n.expect > 0 && w.plan.wipes && (w.plan.noBound || w.fresh+1 < 2*w.plan.expect) {
				w.crash(n)
				w.wipe(n)
				w.fresh++
			}
		}
	}
	w.after(w.upTo(5*time.Second), fault)
	w.runUntil(w.plan.chaosFor, nil)
	w.calm = true
	clear(w.cut)
	for _, n := range w.nodes {
		if n.machine == nil {
			w.start(n)
		}
	}
}

// formed reports whether every member belongs to a cluster.
func (w *world) formed() bool {
	return !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.durable.ClusterID.IsZero() })
}

// resetStuck is the operator: it resets whoever waits for an identity that is gone, and returns how many that were.
func (w *world) resetStuck() int {
	count := 0
	for _, n := range w.nodes {
		f := n.durable.Accepted
		if f == nil || !n.durable.ClusterID.IsZero() {
			continue
		}
		if slices.ContainsFunc(f.Participants, func(s Participant) bool { return w.gone[s.Member] }) {
			count++
			w.crash(n)
			w.wipe(n)
			w.start(n)
		}
	}
	if count > 0 && !w.reset {
		w.reset = true
		clear(w.written) // by members whose directories were lost; nobody who is there has a cluster
	}
	return count
}

func (w *world) start(n *node) {
	if n.machine != nil {
		return
	}
	var join []string
	for _, o := range w.nodes {
		if !w.plan.seedsOnly || o.index == 0 || n.index == 0 {
			join = append(join, o.addr)
		}
	}
	n.life++
	n.boot = w.now - w.upTo(time.Hour) // clocks have nothing to do with each other
	n.machine = NewMachine(Settings{
		Member: n.id, Addr: n.addr, PeersAddr: "p" + n.addr, ClusterName: "sim", Expect: n.expect, Join: join, NewID: w.newID,
	}, n.durable)
	w.tick(n, n.life)
}

func (w *world) tick(n *node, life int) {
	if n.machine == nil || n.life != life {
		return
	}
	w.after(100*time.Millisecond, func() { w.tick(n, life) })
	w.step(n, "", n.machine.Tick(w.now-n.boot))
}

// crash ends a process and lets it come back later.
func (w *world) crash(n *node) {
	if n.machine == nil {
		return
	}
	n.machine = nil
	if !w.calm {
		w.after(w.upTo(4*time.Second), func() { w.start(n) })
	}
}

// wipe loses a directory. REQUIRES: the process does not run.
func (w *world) wipe(n *node) {
	w.gone[n.id] = true
	n.id, n.durable = w.newID(), Record{}
}

// step commits what a machine wants, crashing around it at will, and carries it out.
func (w *world) step(n *node, asker string, e Effects) {
	out, err := e.Commit(func(r Record) error {
		faulty := w.plan.disk != nil
		if err := r.succeeds(n.durable); err != nil && !faulty {
			w.fail("%s saves a record that takes back a promise: %v", n.addr, err)
		}
		crashing := !w.calm && w.chance(w.plan.crashPct)
		if crashing && w.chance(50) {
			return errCrash
		}
		w.observeRecord(n, r)
		if faulty {
			r = w.plan.disk(n.durable, r)
		}
		n.durable = r
		if crashing {
			return errCrash
		}
		return nil
	})
	if err != nil {
		w.crash(n)
		return
	}
	if out.Err != nil {
		w.fail("%s: %v", n.addr, out.Err)
	}
	if out.Decided != nil && n.durable.ClusterID != out.Decided.ClusterID && w.plan.disk == nil {
		w.fail("%s says that %v is decided before it is on disk", n.addr, out.Decided.ClusterID)
	}
	if out.Reply != nil {
		reply := *out.Reply
		if w.plan.mouth != nil {
			w.plan.mouth(&reply)
		}
		w.say(n, &reply)
		w.carry(n.index, asker, &reply, func(o *node, m Message) { w.step(o, "", o.machine.Answer(w.now-o.boot, n.addr, m)) })
	}
	for _, env := range out.Send {
		w.say(n, &env.Message)
		w.carry(n.index, env.To, &env.Message, func(o *node, m Message) { w.step(o, n.addr, o.machine.Receive(w.now-o.boot, m)) })
	}
}

// carry brings a message, as bytes, to whoever is at the address when it arrives.
func (w *world) carry(from int, to string, m *Message, deliver func(*node, Message)) {
	b := AppendMessage(nil, m)
	if len(b) > MaxMessage {
		w.fail("a message of %d bytes", len(b))
	}
	copies := 1
	if !w.calm && w.chance(10) {
		copies = 2
	}
	for range copies {
		delay := w.upTo(5 * time.Millisecond)
		if !w.calm {
			if w.chance(w.plan.lossPct) {
				continue
			}
			if w.chance(10) {
				delay = w.upTo(12 * time.Second)
			}
		}
		w.after(delay, func() {
			i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.addr == to })
			if i < 0 || w.nodes[i].machine == nil || w.cut[[2]int{min(i, from), max(i, from)}] {
				return
			}
			msg, err := DecodeMessage(b)
			if err != nil {
				w.fail("%v does not decode: %v", m.Kind, err)
				return
			}
			deliver(w.nodes[i], msg)
		})
	}
}

// observeRecord takes note of what is written.
func (w *world) observeRecord(n *node, r Record) {
	if f := r.Accepted; f != nil {
		if known := w.proposals[f.ClusterID]; known != nil && !known.equal(f) {
			w.fail("two proposals with ID %v", f.ClusterID)
		}
		w.proposals[f.ClusterID] = f
	}
	if r.ClusterID.IsZero() {
		return
	}
	if r.Decided() != nil {
		w.accept(r.ClusterID, n.id) // those who decide at once have not said it before
	}
	w.written[r.ClusterID] = true
	if len(w.written) > 1 {
		w.fail("%s writes cluster ID %v, but another one was written before", n.addr, r.ClusterID)
	}
	if !w.decided(r.ClusterID) {
		w.fail("%s writes cluster ID %v, which is not decided", n.addr, r.ClusterID)
	}
}

// say takes note of what leaves a member.
func (w *world) say(n *node, m *Message) {
	if m.From.State == StateAccepted {
		w.accept(m.From.ID, n.id)
	}
	switch m.Kind {
	case KindAccept:
		w.accept(m.About, n.id)
	case KindRefuse:
		if w.decided(m.About) {
			w.fail("%s says that %v is dead, but it is decided", n.addr, m.About)
		}
		w.dead[m.About] = true
	}
}

func (w *world) accept(id, member wire.ID) {
	if w.accepted[id] == nil {
		w.accepted[id] = make(map[wire.ID]bool)
	}
	w.accepted[id][member] = true
	if !w.decided(id) {
		return
	}
	if w.dead[id] {
		w.fail("%v accepts %v, which is decided by that, but was said to be dead", member, id)
	}
	for other := range w.accepted {
		if other != id && w.decided(other) && !w.reset {
			w.fail("%v and %v are both decided", id, other)
		}
	}
}

// decided reports whether all participants of a proposal have said that they accept it.
func (w *world) decided(id wire.ID) bool {
	f := w.proposals[id]
	return f != nil && !slices.ContainsFunc(f.Participants, func(s Participant) bool { return !w.accepted[id][s.Member] })
}
