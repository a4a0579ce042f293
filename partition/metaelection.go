package partition

import (
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/role"
)

// campaignFor bounds how long a replica of the metadata campaigns without being elected. From then on the election timeouts decide.
const campaignFor = 5 * time.Second

// metaLeader is what this member knows of the leader of the metadata group.
type metaLeader struct {
	sync.Mutex // guards the following

	id, term uint64    // of the leader; id 0: nobody leads
	changed  time.Time // when id or term changed last

	led     uint64 // who was last known to lead
	ledTerm uint64 // in which term

	campaign    role.Campaign // when this replica campaigns in the place of a leader that is down
	campaigning bool          // a goroutine carries out a candidacy
}

// updateLocked takes a leader event of Raft. REQUIRES l's lock.
func (l *metaLeader) updateLocked(id, term uint64) {
	if term < l.term {
		return // the library may tell of leaders out of order
	}
	l.id, l.term, l.changed = id, term, time.Now()
	if id != 0 {
		// A leader that is lost is remembered: it is the one in whose place others campaign.
		l.led, l.ledTerm = id, term
	}
}

// forget forgets what a replica that is stopped has told.
func (l *metaLeader) forget() {
	l.Lock()
	defer l.Unlock()
	l.id, l.term, l.led, l.ledTerm = 0, 0, 0, 0
}

// get returns who leads, and the newest term.
func (l *metaLeader) get() (id, term uint64) {
	l.Lock()
	defer l.Unlock()
	return l.id, l.term
}

// candidacy is an attempt to have a replica elected. It is over when a leader is known that counts.
type candidacy struct {
	at       *metaReplica
	replaces uint64 // replica whose place is taken, which does not count as a leader; 0: nobody's
	after    uint64 // a leader counts only in a later term
	inOrder  bool   // the replica campaigns when metaLeader.campaign says so; else whenever it can
}

// won reports whether somebody leads who counts. REQUIRES l's lock.
func (c *candidacy) won(l *metaLeader) bool {
	return l.id != 0 && l.id != c.replaces && l.term > c.after
}

// term returns the term in which the replica campaigns. REQUIRES l's lock.
func (c *candidacy) term(l *metaLeader, now time.Time) uint64 {
	switch {
	case l.id == 0 && c.inOrder:
		return l.campaign.After(l.term, now)
	case l.id == 0 && now.Sub(l.changed) > role.RetryFirst:
		// The messages of the first attempt were lost. A candidate takes no notice of its own term.
		return l.term + 1
	case l.id != 0 && l.id != c.replaces:
		// Whoever leads takes no notice of its own term either.
		return l.term + 1
	}

	// The replica acts on its own term as well. This is the first attempt since the leader was lost.
	return l.term
}

// startCandidacyLocked starts a candidacy, unless one is under way, and reports whether it did. REQUIRES m.leader's lock.
func (m *MetaHost) startCandidacyLocked(c candidacy) bool {
	// Two candidacies of one replica would raise the term against each other.
	if m.leader.campaigning {
		return false
	}

	// Close waits for candidacies, and none may begin once it waits.
	if _, err := m.raft.Enter(); err != nil {
		return false
	}
	defer m.raft.Leave()

	// Inside the gate: Close shuts it first, and then waits for the goroutines that are counted.
	m.leader.campaigning = true
	m.stopped.Add(1)
	go m.carryOut(c) // ends with the candidacy, the replica, after campaignFor, or with Close
	return true
}

// carryOut has a replica campaign until its candidacy is over.
func (m *MetaHost) carryOut(c candidacy) {
	defer m.stopped.Done()
	until := time.Now().Add(campaignFor)
	tick := time.NewTicker(role.InjectEvery)
	defer tick.Stop()

	for {
		// Leader events come on other goroutines, so each look at them takes the lock.
		m.leader.Lock()
		l, now := &m.leader, time.Now()
		// A replica that does not win in time may lack entries that others have. The election timeouts decide then.
		if c.won(l) || m.at.Load() != c.at || m.life.Err() != nil || now.After(until) {
			l.campaign.End()
			l.campaigning = false
			l.Unlock()
			return
		}
		due, term := !c.inOrder || l.campaign.Due(l.term, now), c.term(l, now)
		l.Unlock()

		// A replica ignores this while it has entries to apply, so it is told again and again.
		if due {
			m.cfg.Transport.Inject(c.at.shard, c.at.id, c.replaces, term)
		}

		select {
		case <-tick.C:
		case <-m.life.Done():
		}
	}
}

// Elect has the group elect another leader without waiting for an election timeout. The replica gone, which leads the group or led it
// last, is down or wants another to lead. The voters that are left campaign in an order, in which this replica has its place. Elect
// reports whether gone leads and this replica campaigns. Whatever the caller believes, Elect is as safe as any election.
//
// The library's own transfer is not used: one that is lost stops the group for an election timeout.
func (m *MetaHost) Elect(gone uint64, place, left int) bool {
	at := m.at.Load()
	m.leader.Lock()
	defer m.leader.Unlock()
	l := &m.leader

	// If another replica leads by now, or led last, the caller's news is old.
	if at == nil || at.id == gone || l.led != gone || l.id != 0 && l.id != gone {
		return false
	}

	l.campaign.Begin(role.Death, gone, place, left, l.ledTerm, time.Now())
	m.startCandidacyLocked(candidacy{at: at, replaces: gone, inOrder: true})
	return true
}

// Renew has this member's replica elected again, if it leads the group, and reports whether it campaigns. It is for the only voter of
// a group, and does no harm elsewhere.
//
// Where a group shrinks to one voter while reads wait for the others to confirm who leads, the reads wait for ever. As long as reads
// wait, the library sends learners no heartbeats. A learner that was not there before, or that starts again, would hear of nothing.
// A new term forgets such reads.
func (m *MetaHost) Renew() bool {
	at := m.at.Load()
	m.leader.Lock()
	defer m.leader.Unlock()
	// A renewal is for a leader. Any other replica would depose the one that leads.
	if at == nil || m.leader.id != at.id {
		return false
	}
	return m.startCandidacyLocked(candidacy{at: at, after: m.leader.term})
}

// campaign has a replica elected where nobody leads, without waiting for an election timeout.
func (m *MetaHost) campaign(at *metaReplica, after time.Duration) {
	defer m.stopped.Done()
	t := time.NewTimer(after)
	defer t.Stop()

	for {
		select {
		case <-m.life.Done():
			return
		case <-t.C:
		}

		id, term := m.leader.get()
		if id != 0 || m.at.Load() != at {
			return // from here on elections by timeout will do: data does not wait for metadata
		}
		// Nobody leads, so no replica is named as the one to be replaced.
		m.cfg.Transport.Inject(at.shard, at.id, 0, term)
		t.Reset(after + 100*time.Millisecond)
	}
}

// Leads reports whether Raft elected this member's replica, and the term. It is an opinion, good for deciding who does the
// controller's work; what the work changes is decided by compare-and-set.
func (m *MetaHost) Leads() (term uint64, leads bool) {
	at := m.at.Load()
	id, term := m.leader.get()
	return term, at != nil && id == at.id
}

// Leader returns the replica that leads the group as far as this one knows; 0 if it knows of none.
func (m *MetaHost) Leader() uint64 {
	id, _ := m.leader.get()
	return id
}

// LedBy reports whether a replica leads the group, or led it last.
func (m *MetaHost) LedBy(replica uint64) bool {
	m.leader.Lock()
	defer m.leader.Unlock()
	return m.leader.led == replica && (m.leader.id == 0 || m.leader.id == replica)
}
