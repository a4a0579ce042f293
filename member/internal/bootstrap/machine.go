package bootstrap

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Settings is what a Machine knows from its configuration.
type Settings struct {
	Member      wire.ID
	Addr        string // client base address, as advertised
	PeersAddr   string // members' port, as advertised
	ClusterName string
	Expect      int      // 0 with Join: only join
	Join        []string // none: bootstrap alone
	Timing      Timing
	NewID       func() wire.ID // makes the IDs of new clusters
}

// maxHeard bounds the proposals whose time of first hearing is kept.
const maxHeard = 64

// Machine is one member's part in bootstrap: rules (a) to (f) and nothing else. It is driven by Tick, Receive and Answer,
// each with the time of one monotonic clock, and says what to do in Effects. It is not safe for concurrent use.
//
// After a crash it is made again from the last Record that was saved; all else it holds is hints that come again.
type Machine struct {
	set Settings
	now time.Duration
	rec Record

	addrs   addressBook
	sight   sight
	members []string // of the cluster, as last told by SetCluster

	accepts map[wire.ID]bool          // participants known to have accepted rec.Accepted
	heard   map[wire.ID]time.Duration // proposals that could not be accepted: when first heard of

	helloAt, askAt, waitLogAt time.Duration
	logged                    map[string]time.Duration

	// The step that is being taken.
	dirty bool
	out   Output
	// open is true from the beginning of a step until its Effects are committed.
	open bool
}

// NewMachine returns a member's Machine as it starts, or starts again, with the given record.
func NewMachine(set Settings, rec Record) *Machine {
	set.Timing = set.Timing.WithDefaults()
	m := &Machine{
		set: set, rec: rec.clone(), addrs: newAddressBook(set.Addr, set.Join),
		sight: newSight(set.Timing.StableFor), heard: make(map[wire.ID]time.Duration), logged: make(map[string]time.Duration),
		waitLogAt: set.Timing.LogEvery,
	}

	// Acceptances of others are hints. After a crash they are asked for again.
	m.resetAccepts()
	return m
}

// Record returns what the last step wants to be on disk.
func (m *Machine) Record() Record { return m.rec.clone() }

// Tick is called often, several times in Timing.HelloEvery.
func (m *Machine) Tick(now time.Duration) Effects {
	m.begin(now)
	// A member with a cluster never bootstraps again. Two clusters of one name could come of it.
	if !m.settled() {
		m.tryPropose()
		m.sayHello()
		m.ask()
		m.logWaiting()
	}
	return m.end()
}

// Receive takes a request of another member. Its Output has a Reply.
func (m *Machine) Receive(now time.Duration, req Message) Effects {
	m.begin(now)
	reply := Message{Kind: KindHelloAnswer}
	// A member of another cluster gets an answer with this one's name, so that its operator hears of the mistake there too.
	if req.From.Cluster != m.set.ClusterName {
		m.logf("name "+req.From.Addr, "the member at %q asks for cluster %q; this one is of %q", req.From.Addr, req.From.Cluster, m.set.ClusterName)
	} else if m.observe(&req.From) {
		switch req.Kind {
		case KindPropose, KindAsk:
			// A question repeats the proposal, so a member that has lost the first message can still accept.
			reply.Kind = m.consider(req.Proposal)
		case KindDecided:
			m.learnDecided(req.Proposal)
		}
	}

	switch {
	case reply.Kind.hasAbout():
		reply.About = req.Proposal.ClusterID
	case reply.Kind.hasProposal():
		reply.Proposal = m.rec.Accepted
	}

	// The hello is made last, so that it tells the state after the request.
	reply.From = m.hello()
	m.out.Reply = &reply
	return m.end()
}

// Answer takes the answer to a request that was sent to addr. It may come late, twice or never.
func (m *Machine) Answer(now time.Duration, addr string, ans Message) Effects {
	m.begin(now)
	if ans.From.Cluster != m.set.ClusterName {
		// Its proposals and addresses would mix two clusters, so nothing else of the answer counts.
		m.otherCluster(addr, ans.From.Cluster)
		return m.end()
	}

	m.addrs.spoke(addr, m.now)
	if !m.observe(&ans.From) {
		return m.end()
	}

	switch f := m.rec.Accepted; ans.Kind {
	case KindAccept:
		// A late answer may be about a proposal that is dead by now. Only one about the accepted proposal counts.
		if f != nil && ans.About == f.ClusterID {
			m.learnAccepted(ans.From.Member)
		}
	case KindRefuse:
		// One refusal makes the proposal dead for ever. A decided proposal cannot have one, so a settled member ignores it.
		if f != nil && ans.About == f.ClusterID && !m.settled() {
			m.learnDead()
		}
	case KindDecided:
		m.learnDecided(ans.Proposal)
	}
	return m.end()
}

// SetCluster tells where the cluster's members are now. A member without a cluster ID belongs to this cluster from here on;
// for one with another ID the Output has an Err and nothing is changed.
func (m *Machine) SetCluster(now time.Duration, ref ClusterRef) Effects {
	m.begin(now)
	switch {
	case ref.ID.IsZero():
		// Nothing is known of the cluster but perhaps its addresses.
	case !m.settled():
		// The metadata prove that the cluster exists, which is as good as a decision.
		m.memberOf(ref)
	// A member belongs to one cluster for ever, see Record.succeeds.
	case ref.ID != m.rec.ClusterID:
		m.out.Err = &OtherClusterError{Where: "this member", Got: m.rec.ClusterID.String(), Want: ref.ID.String()}
		return m.end()
	}

	// An empty list would take the known addresses from those who ask.
	if addrs := boundAddrs(ref.Addrs); len(addrs) > 0 {
		m.members = addrs
	}
	return m.end()
}

func (m *Machine) begin(now time.Duration) {
	// An answer that left before its record was on disk could be contradicted after a crash.
	if m.open {
		panic("bootstrap: a step was taken before the effects of the last one were committed")
	}
	m.open = true
	// All waits are counted by this time, so it never goes back.
	m.now = max(m.now, now)
	m.out, m.dirty = Output{}, false
}

func (m *Machine) end() Effects {
	e := Effects{machine: m, persist: m.dirty, output: m.out}
	if m.dirty {
		e.record = m.rec.clone()
	}
	m.out = Output{}
	return e
}

// settled reports whether the member has a cluster: then it bootstraps no more.
func (m *Machine) settled() bool { return !m.rec.ClusterID.IsZero() }

func (m *Machine) hello() Hello {
	h := Hello{Member: m.set.Member, Addr: m.set.Addr, PeersAddr: m.set.PeersAddr, Cluster: m.set.ClusterName,
		Expect: m.set.Expect, State: StateFresh}
	switch {
	case m.settled():
		h.State, h.ID = StateMember, m.rec.ClusterID
		// Right after a start the metadata are not read yet. Then the members at the time of bootstrap are the best that is known.
		addrs := m.members
		if len(addrs) == 0 {
			addrs = m.rec.Addrs
		}
		h.Addrs = boundAddrs(append([]string{m.set.Addr}, addrs...))
	case m.rec.Accepted != nil:
		// Its hello tells others that this member is not free for another proposal.
		h.State, h.ID = StateAccepted, m.rec.Accepted.ClusterID
		h.Addrs = boundAddrs(m.addrs.lately(m.now, m.set.Timing))
	default:
		h.Addrs = boundAddrs(m.addrs.lately(m.now, m.set.Timing))
	}
	return h
}

// observe takes in what a message says about its sender, and reports whether the rest of it is to be read.
func (m *Machine) observe(h *Hello) bool {
	if h.Member == m.set.Member {
		// A hello of this member's own is normal: join lists name this member too. From another address, a second process sends it.
		if h.Addr != m.set.Addr {
			m.logf("twin", "the member at %q has this member's identity %v: was the data directory copied?", h.Addr, h.Member)
		}
		return false
	}

	if h.State == StateMember {
		// A member that belongs to a cluster ends the bootstrap here, whatever else its message says.
		m.memberOf(ClusterRef{ID: h.ID, Name: h.Cluster, Addrs: h.Addrs})
		return true
	}
	// A member with a cluster keeps no account of who else is fresh: it tells them where its cluster is.
	if m.settled() {
		return true
	}

	// Members that do not name each other in their join lists find each other by what both tell a third.
	m.addrs.learn(h.Addr, m.now)
	m.addrs.spoke(h.Addr, m.now)
	for _, a := range h.Addrs {
		m.addrs.learn(a, m.now)
	}

	if h.State == StateFresh && h.Expect != m.set.Expect && h.Expect != 0 && m.set.Expect != 0 {
		m.logf("expect "+h.Addr, "the member at %q expects %d members, this one %d: they cannot bootstrap a cluster together", h.Addr, h.Expect, m.set.Expect)
	}

	// The lines above are for operators. Whether the sender can be in a proposal with this member is decided here.
	m.sight.saw(h, m.set.Expect, m.now)
	return true
}

// sayHello is rule (a).
func (m *Machine) sayHello() {
	if m.now < m.helloAt || m.settled() {
		return
	}
	// The answers tell who is fresh and who has a cluster; rule (b) and the end of bootstrap rest on them.
	m.helloAt = m.now + m.set.Timing.HelloEvery
	from := m.hello()
	for _, a := range m.addrs.targets(m.now, m.set.Timing) {
		m.send(a, Message{Kind: KindHello, From: from})
	}
}

// tryPropose is rule (b), and the bootstrap of one that has nobody to join.
func (m *Machine) tryPropose() {
	if m.rec.Accepted != nil {
		return
	}

	self := Participant{Member: m.set.Member, Addr: m.set.Addr, PeersAddr: m.set.PeersAddr}
	if len(m.set.Join) == 0 {
		// Nobody else is asked, so the cluster is decided by this member's own acceptance.
		m.accept(newProposal(m.set.NewID(), []Participant{self}))
		return
	}

	fresh, since := m.sight.fresh(self, m.now)
	n := m.set.Expect
	// Members that see the same set for a while propose the same participants. Only the lowest UUID proposes, so that proposals rarely compete.
	if n == 0 || len(fresh) < n || m.now-since < m.set.Timing.StableFor || fresh[0].Member != self.Member {
		return
	}

	f := newProposal(m.set.NewID(), fresh[:n])
	if err := f.validate(); err != nil {
		m.logf("propose", "no cluster can be bootstrapped by the members in sight: %v", err)
		return
	}

	m.logf("", "propose cluster %v to %d members", f.ClusterID, n)
	// The proposer accepts first: it must not propose what it may yet refuse.
	m.accept(f)
	m.sendParticipants(KindPropose)
	m.askAt = m.now + m.set.Timing.AskEvery
}

// consider is rules (c) and (f): what this member says about f.
func (m *Machine) consider(f *Proposal) Kind {
	id := f.ClusterID
	_, in := f.Participant(m.set.Member)
	mine := m.rec.Accepted != nil && m.rec.Accepted.ClusterID == id
	switch {
	case !in:
		// The proposal needs no word of this member.
		return KindHelloAnswer
	case mine && !m.rec.Accepted.equal(f):
		m.logf("", "proposal %v is told in two versions; this one is not the accepted one", id)
		return KindHelloAnswer
	case m.settled() && mine && m.rec.ClusterID == id:
		return KindDecided
	case mine:
		// The first answer may have been lost. An acceptance is repeated as often as it is asked for.
		return KindAccept
	case slices.Contains(m.rec.Refused, id):
		return KindRefuse
	case m.settled():
		// This member has a cluster, and its hello says so. The proposer joins that cluster on hearing it.
		return KindHelloAnswer
	case m.rec.Accepted == nil:
		m.accept(f)
		// A proposal with one participant is decided by its acceptance.
		if m.settled() {
			return KindDecided
		}
		return KindAccept
	}

	// Another proposal was accepted before. It may be dead without this member's knowledge, so a refusal waits: it is final.
	first, known := m.heard[id]
	switch {
	case !known:
		m.hear(id)
	case m.now-first >= m.set.Timing.RefuseAfter && m.bury(id):
		m.logf("", "refuse proposal %v: proposal %v was accepted before and is undecided", id, m.rec.Accepted.ClusterID)
		delete(m.heard, id)
		return KindRefuse
	}

	return KindWait
}

// hear notes when a Proposal that cannot be accepted was first heard of. Where there are too many, the oldest is forgotten. If that comes
// again, it is refused later than it could be.
func (m *Machine) hear(id wire.ID) {
	if len(m.heard) >= maxHeard {
		oldest := id
		// Equal times are told apart by the ID: a Go map has no order, and the machine must do the same each time.
		for other, at := range m.heard {
			if first := m.heard[oldest]; oldest == id || at < first || at == first && compareIDs(other, oldest) < 0 {
				oldest = other
			}
		}
		delete(m.heard, oldest)
	}
	m.heard[id] = m.now
}

// accept is the only place where a Proposal is accepted.
// REQUIRES: m is in f, has no cluster, has not refused f and has accepted nothing.
func (m *Machine) accept(f *Proposal) {
	// A second acceptance could let two proposals be decided, and two clusters begin.
	if m.settled() || m.rec.Accepted != nil || slices.Contains(m.rec.Refused, f.ClusterID) {
		panic(fmt.Sprintf("bootstrap: %v accepted by a member with record %+v", f.ClusterID, m.rec))
	}
	m.rec.Accepted, m.dirty = f, true
	delete(m.heard, f.ClusterID)
	m.resetAccepts()
	m.askAt = m.now + m.set.Timing.AskEvery
	m.waitLogAt = m.now + m.set.Timing.LogEvery
	m.learnAccepted(m.set.Member)
}

// bury remembers that a Proposal is dead. It reports false when there is no more room to remember it.
func (m *Machine) bury(id wire.ID) bool {
	// A refusal that is forgotten could turn into an acceptance, so old ones never make room for new ones.
	if len(m.rec.Refused) >= MaxRefused {
		m.logf("full", "%d proposals have died; this member takes part in no more until its bootstrap is reset", MaxRefused)
		return false
	}

	// The refusal is on disk before anybody hears of it: Effects.Commit sees to that.
	m.rec.Refused, m.dirty = append(m.rec.Refused, id), true
	return true
}

func (m *Machine) resetAccepts() {
	m.accepts = make(map[wire.ID]bool)
	if m.rec.Accepted != nil {
		m.accepts[m.set.Member] = true
	}
}

// learnAccepted counts one acceptance of the accepted Proposal.
func (m *Machine) learnAccepted(member wire.ID) {
	f := m.rec.Accepted
	// Only the participants' acceptances decide. One that comes after the decision changes nothing.
	if _, in := f.Participant(member); !in || m.settled() {
		return
	}
	m.accepts[member] = true
	if len(m.accepts) == len(f.Participants) {
		m.decide()
	}
}

// learnDead is told that the accepted Proposal is dead.
func (m *Machine) learnDead() {
	id := m.rec.Accepted.ClusterID
	// The death has to be on record before the next acceptance, or this member could accept the same proposal again.
	if !m.bury(id) {
		return
	}
	m.logf("", "proposal %v is dead", id)
	m.rec.Accepted = nil
	m.resetAccepts()
	// Nobody watched the fresh members while a proposal was accepted. So the next proposal waits for a stable sight again.
	m.sight.restart()
}

// learnDecided is told that f is decided.
func (m *Machine) learnDecided(f *Proposal) {
	m.memberOf(ClusterRef{ID: f.ClusterID, Name: m.set.ClusterName, Addrs: f.Addrs()})
}

// memberOf is told that a cluster of this name exists. If the cluster comes from the Proposal that this member has accepted, the Proposal is
// decided. Else the member joins the cluster.
func (m *Machine) memberOf(ref ClusterRef) {
	switch {
	case m.settled():
		if ref.ID != m.rec.ClusterID {
			m.logf("foreign", "a member of cluster %v is at %q; this one is of cluster %v under the same name %q", ref.ID, ref.Addrs, m.rec.ClusterID, m.set.ClusterName)
		}
	case m.rec.Accepted != nil && m.rec.Accepted.ClusterID == ref.ID:
		m.decide()
	case slices.Contains(m.rec.Refused, ref.ID):
		// A dead proposal cannot have been decided. The sender is in error, or its directory was copied.
		m.logf("foreign", "a member at %q says that proposal %v is decided, but it is dead", ref.Addrs, ref.ID)
	default:
		// The addresses go into the record, whose bounds hold for whatever others have sent.
		ref.Addrs = boundAddrs(ref.Addrs)
		m.rec.ClusterID, m.rec.Addrs, m.dirty = ref.ID, slices.Clone(ref.Addrs), true
		m.out.Join = &ref
		m.logf("", "join cluster %v of %d known members", ref.ID, len(ref.Addrs))
	}
}

// decide is rule (e): the accepted Proposal is decided.
func (m *Machine) decide() {
	f := m.rec.Accepted
	m.rec.ClusterID, m.rec.Addrs, m.dirty = f.ClusterID, boundAddrs(f.Addrs()), true
	m.out.Decided = f
	m.logf("", "cluster %v is bootstrapped by %d members", f.ClusterID, len(f.Participants))
	// The others would hear it with this member's next hello. This is only sooner.
	m.sendParticipants(KindDecided)
}

// ask is the second half of rule (f).
func (m *Machine) ask() {
	if m.rec.Accepted == nil || m.settled() || m.now < m.askAt {
		return
	}
	m.askAt = m.now + m.set.Timing.AskEvery
	m.sendParticipants(KindAsk)
}

// sendParticipants sends a message about the accepted Proposal to its other participants.
func (m *Machine) sendParticipants(k Kind) {
	f := m.rec.Accepted
	for _, s := range f.Participants {
		if s.Member != m.set.Member {
			m.send(s.Addr, Message{Kind: k, Proposal: f})
		}
	}
}

// send adds a request to the step's Output. Its From is filled in here so that it tells the state after the step.
func (m *Machine) send(to string, msg Message) {
	msg.From = m.hello()
	m.out.Send = append(m.out.Send, Envelope{To: to, Message: msg})
}

func (m *Machine) otherCluster(addr, name string) {
	// The operator named this address, so bootstrap ends with an error. A learned address is only forgotten.
	if m.addrs.configured(addr) {
		m.out.Err = &OtherClusterError{Where: "member at " + addr, Got: name, Want: m.set.ClusterName}
		return
	}
	m.addrs.forget(addr)
	m.logf("name "+addr, "the member at %q belongs to cluster %q, not to %q", addr, name, m.set.ClusterName)
}

func compareIDs(a, b wire.ID) int { return bytes.Compare(a[:], b[:]) }
