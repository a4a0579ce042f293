package member

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// askDownFor bounds how long the others are given to say whether they find a member down too.
	askDownFor = 100 * time.Millisecond
	// askDownEvery is how often they are asked while they do not agree.
	askDownEvery = 25 * time.Millisecond
)

// failover has the groups that a dead or silent process led elect another leader at once, where the members that hold their
// other replicas find it down too. It is a hint acted on: metadata, ownership and data do not depend on it, and elections by
// timeout stay behind it. Asking first keeps a cut between two members from taking leadership back and forth while a third
// reaches both.
type failover struct {
	m *Member

	mu    sync.Mutex           // guards the following
	downs map[wire.ID]struct{} // incarnations that are being dealt with
}

// noticed is called when a member is seen in another light. from is the incarnation of it that answered last.
func (f *failover) noticed(id, from wire.ID) {
	if from.IsZero() || !f.isDown(id, from) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, busy := f.downs[from]; busy {
		return
	}
	if f.downs == nil {
		f.downs = make(map[wire.ID]struct{})
	}
	f.downs[from] = struct{}{}
	f.m.wg.Add(1)
	go f.replace(id, from) // ends when the groups were told, the process answers again, or the member stops
}

// isDown reports whether this member finds a process dead or silent.
func (f *failover) isDown(id, incarnation wire.ID) bool {
	pr := f.m.peers.find(id)
	if pr == nil {
		return false
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return pr.suspect || pr.unreachable || !pr.from.IsZero() && pr.from != incarnation
}

// replace asks the others until they agree and every group was told.
func (f *failover) replace(id, incarnation wire.ID) {
	defer f.m.wg.Done()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.downs, incarnation)
	}()
	tick := time.NewTicker(askDownEvery)
	defer tick.Stop()
	for f.isDown(id, incarnation) {
		agreed := f.opinions(id, incarnation)
		told := f.electMeta(id, incarnation, agreed)
		if host := f.m.dataHost(); host != nil && host.Elect(incarnation, agreed) && told {
			f.m.log.Info("a member is down: others are elected for what it led", "down", id.String(), "incarnation", incarnation.String())
			return
		}
		select {
		case <-tick.C:
		case <-f.m.ctx.Done():
			return
		}
	}
}

// electMeta does for the metadata group what partition.Host.Elect does for the partitions', and reports the same.
func (f *failover) electMeta(id, incarnation wire.ID, agreed map[wire.ID]bool) bool {
	v := f.m.metaView()
	leader := v.Member(id)
	if leader == nil || leader.Incarnation != incarnation || !leader.MetaVoter || !f.m.meta.LedBy(leader.MetaReplica) {
		return true
	}
	place, left, yes := -1, 0, 0
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.MetaVoter || mb.ID == id {
			continue
		}
		if mb.ID == f.m.id {
			place = left
		} else if down, answered := agreed[mb.Incarnation]; answered {
			if !down {
				return false
			}
			yes++
		}
		left++
	}
	if place < 0 {
		return true // those who vote see to it
	}
	return yes > 0 && f.m.meta.Elect(leader.MetaReplica, place, left)
}

// opinions asks the other members whether they find a process down too, and returns what those say that answer in time, by
// incarnation.
func (f *failover) opinions(id, incarnation wire.ID) map[wire.ID]bool {
	ctx, cancel := context.WithTimeout(f.m.ctx, askDownFor)
	defer cancel()
	var mu sync.Mutex
	said := make(map[wire.ID]bool)
	var wg sync.WaitGroup
	body := wire.AppendDownBody(nil, wire.DownBody{Member: id, Incarnation: incarnation})
	for _, mb := range f.m.metaView().Members {
		if mb.ID == f.m.id || mb.ID == id || !mb.Live() || !f.m.peers.answers(mb.ID, mb.Incarnation) {
			continue
		}
		wg.Go(func() { // ends with the time for it
			a, err := f.m.peers.ask(ctx, mb.ID, wire.OpMemberDown, body)
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

// transferee chooses, of the processes that hold a partition's other replicas, the member to which it is handed: one that answers, whose clock is right,
// and for each partition another, so that they are spread.
func (m *Member) transferee(partition int, others []wire.ID) wire.ID {
	var able []wire.ID
	for _, mb := range m.metaView().Members {
		if slices.Contains(others, mb.Incarnation) && mb.State == meta.StateReady && m.peers.answers(mb.ID, mb.Incarnation) && m.clock.Agrees(mb.ID) {
			able = append(able, mb.ID)
		}
	}
	if len(able) == 0 {
		return wire.ID{}
	}
	return able[partition%len(able)]
}
