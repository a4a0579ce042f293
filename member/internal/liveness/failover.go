package liveness

import (
	"context"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// askDownFor bounds how long the others are given to say whether they find a member down too.
	askDownFor = 100 * time.Millisecond
	// askDownEvery is how often they are asked while they do not agree.
	askDownEvery = 25 * time.Millisecond
)

// failover has groups elect another leader at once when the process that led them is dead or silent. The members that hold their other
// replicas have to find it down too. This only acts on a hint: metadata, ownership and data do not depend on it, and elections by timeout
// stay behind it. Asking first keeps a cut between two members from moving leadership back and forth while a third reaches both.
type failover struct {
	peers *Peers

	mu    sync.Mutex           // guards the following
	downs map[wire.ID]struct{} // incarnations that are being dealt with
}

// noticed is called when a member is seen in another light. from is the incarnation of it that answered last.
func (f *failover) noticed(id, from wire.ID) {
	// Without an incarnation the others could not be asked about a process.
	if from.IsZero() || !f.peers.Down(id, from) {
		return
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	// One goroutine asks about an incarnation. Heartbeats that fail meanwhile add nothing to what it knows.
	if _, busy := f.downs[from]; busy {
		return
	}
	if f.downs == nil {
		f.downs = make(map[wire.ID]struct{})
	}

	f.downs[from] = struct{}{}

	f.peers.wg.Add(1)
	go f.replace(id, from) // ends when the groups were told, the process answers again, or the member stops
}

// Down reports whether this member finds a process dead or silent.
func (p *Peers) Down(id, incarnation wire.ID) bool {
	pr := p.find(id)
	// A member that is not watched has given no sign of its death.
	if pr == nil {
		return false
	}

	pr.mu.Lock()
	defer pr.mu.Unlock()
	// Another incarnation that answers proves that this one has ended.
	return pr.suspect || pr.unreachable || !pr.from.IsZero() && pr.from != incarnation
}

// replace asks the others until they agree and every group was told.
func (f *failover) replace(id, incarnation wire.ID) {
	defer f.peers.wg.Done()
	// Only when this goroutine has ended may another ask about the same incarnation.
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.downs, incarnation)
	}()

	tick := time.NewTicker(askDownEvery)
	defer tick.Stop()
	for f.peers.Down(id, incarnation) {
		// The others may notice later than this member, so each round asks them again.
		agreed := f.peers.Opinions(id, incarnation)
		told := f.electMeta(id, incarnation, agreed)
		if host := f.peers.cfg.Data(); host != nil && host.Elect(incarnation, agreed) && told {
			f.peers.cfg.Log.Info("member down; electing other leaders for its groups", "down", id.String(), "incarnation", incarnation.String())
			return
		}
		select {
		case <-tick.C:
		case <-f.peers.life.Done():
			return
		}
	}
}

// electMeta does for the metadata group what partition.Host.Elect does for the partitions', and reports the same.
func (f *failover) electMeta(id, incarnation wire.ID, agreed map[wire.ID]bool) bool {
	v := f.peers.cfg.View()
	leader := v.Member(id)
	// The process does not lead the metadata, so its death stops nothing there.
	if leader == nil || leader.Incarnation != incarnation || !leader.MetaVoter || !f.peers.cfg.Meta().LedBy(leader.MetaReplica) {
		return true
	}

	// The voters campaign one after the other, in the order of the metadata, so that they do not take votes from each other.
	place, left, yes := -1, 0, 0
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.MetaVoter || mb.ID == id {
			continue
		}
		// The places are counted alike at each member, so no two voters get the same.
		if mb.ID == f.peers.cfg.Self {
			place = left
		} else if down, answered := agreed[mb.Incarnation]; answered {
			if !down {
				return false // a voter reaches the leader: an election would depose it for a cut between two members
			}
			yes++
		}
		left++
	}

	if place < 0 {
		return true // this member has no vote: the voters see to it
	}

	// This member's word alone is not enough: it may be the one that is cut off.
	return yes > 0 && f.peers.cfg.Meta().Elect(leader.MetaReplica, place, left)
}

// Opinions asks the other members whether they find a process down too, and returns what those say that answer in time, by
// incarnation.
func (p *Peers) Opinions(id, incarnation wire.ID) map[wire.ID]bool {
	ctx, cancel := context.WithTimeout(p.life, askDownFor)
	defer cancel()

	var mu sync.Mutex // guards said
	said := make(map[wire.ID]bool)
	var wg sync.WaitGroup
	body := wire.AppendDownBody(nil, wire.DownBody{Member: id, Incarnation: incarnation})
	for _, mb := range p.cfg.View().Members {
		// To ask a silent member would only use up the time that the others are given.
		if mb.ID == p.cfg.Self || mb.ID == id || !mb.Live() || !p.Answers(mb.ID, mb.Incarnation) {
			continue
		}
		wg.Go(func() { // ends with the time for it
			a, err := p.Ask(ctx, mb.ID, wire.OpMemberDown, body)
			// Silence is no opinion. Only members that answered are counted, for or against.
			if err != nil || a.Code != wire.CodeOK || len(a.Body) != 1 {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			said[mb.Incarnation] = a.Body[0] == 1
		})
	}

	wg.Wait()
	return said
}
