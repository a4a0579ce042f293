package member

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// drainFor bounds how long Close waits for answers to leave.
	drainFor = 2 * time.Second
	// moveFor bounds how long Close waits for other members to take over what this one holds.
	moveFor = 60 * time.Second
	// stallFor is how long Close goes on waiting when nothing of that comes about.
	stallFor = 10 * time.Second
	// askFor bounds one question to another member.
	askFor = 200 * time.Millisecond
	// askOthersAgain is how often Close asks others for their metadata while nothing changes in its own.
	askOthersAgain = time.Second
	// drainingFor bounds how long Close waits for the others to know that this member is about to leave: longer than the metadata group
	// may need to elect a leader by time-outs.
	drainingFor = 15 * time.Second
	// releaseFor bounds how long Close waits for its partitions to be given up.
	releaseFor = 10 * time.Second
	// goodbyeFor bounds how long Close waits for the others to know that this member has left.
	goodbyeFor = time.Second
)

// Close has the member leave the cluster. First the others take over what this member owns and holds, and its vote in the metadata group
// where that is needed. Then the member takes no new connections, lets tasks and calls under way come to their end, and stops. Where no
// other member stays, it only stops.
//
// ctx bounds the leaving, as does a minute; the member stops in any case. A second Close, and one after Kill, returns nil when the member
// has stopped. The errors are those of removing its files.
func (m *Member) Close(ctx context.Context) error {
	var err error
	m.closeOnce.Do(func() {
		m.leave(ctx)
		err = m.stop(false)
		close(m.ended)
	})
	return err
}

// Kill stops the member as if its process had been killed: its connections are reset first, nothing is transferred or said.
// It is for tests, demonstrations of what a crash does, and for a Close that takes too long, whose leaving it ends. It
// returns when everything of the member has ended.
func (m *Member) Kill() {
	m.hurry()
	m.closeOnce.Do(func() {
		if err := m.stop(true); err != nil {
			m.log.Warn("files of the member were not removed", "err", err)
		}
		close(m.ended)
	})
}

// leave gives up what this member owns, tells the others that it leaves, and lets callers have their answers.
func (m *Member) leave(ctx context.Context) {
	// Until the others have taken over, this member goes on serving: their new replicas learn from the groups that it is in.
	m.moveAway(ctx)
	ctx, cancel := context.WithTimeout(ctx, releaseFor)
	defer cancel()
	// Kill ends a Close that takes too long.
	defer context.AfterFunc(m.leaving, cancel)()
	// From here on this member starts no replica and owns nothing new, so the release below is complete.
	m.phase.Store(phaseClosing)
	m.server.StopAccepting()
	// The partitions are released before the others hear of the end: they need no election by time-out then.
	if m.host != nil {
		m.host.Release(ctx)
	}

	if v := m.metaView(); v != nil && v.Member(m.id) != nil {
		// The farewell saves the others the wait for this member's silence. It is only tried, for they find out in any case.
		short, cancel := context.WithTimeout(ctx, goodbyeFor)
		defer cancel()
		if _, err := m.meta.Commit(short, &meta.SetState{ID: m.id, Incarnation: m.incarnation, State: meta.StateLeft}); err != nil {
			m.log.Debug("the others were not told that this member leaves", "err", err)
		}
		// The farewell above is the last change that this member leads itself.
		m.passLead(ctx)
	}

	if m.tasks != nil && m.leaving.Err() == nil {
		// Whoever waits for a task has its result from now on, and the drain below sends it.
		m.tasks.Stop()
	}

	// A client that does not read its answers must not hold up the end for longer than this.
	draining, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	m.server.Drain(draining)
}

// moveAway has the other members take over this one's replicas and its vote in the metadata group, while it goes on serving. It returns when
// they have, when no other member stays, when they make no progress any more, or when ctx ends.
func (m *Member) moveAway(ctx context.Context) {
	// The other members must not make this one lead the metadata group, and it asks for no other replica there.
	m.going.Store(true)
	if !m.isReady() || !m.othersStay() {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, moveFor)
	defer cancel()
	defer context.AfterFunc(m.leaving, cancel)()

	// Only the metadata start the moving: each owner and the controller act on the state of this member there.
	short, cancel := context.WithTimeout(ctx, drainingFor)
	defer cancel()
	if res, err := m.meta.Commit(short, &meta.SetState{ID: m.id, Incarnation: m.incarnation, State: meta.StateDraining}); err != nil || !res.OK() {
		m.log.Warn("the others were not told that this member is about to leave: what it holds stays where it is", "err", err, "answer", res.Text)
		return
	}

	m.log.Info("leaving: others take over what this member holds")
	least, since, asked := -1, time.Now(), time.Time{}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for m.othersStay() {
		// This is taken before the view, so that no change between the look and the wait is missed.
		changed := m.meta.Changed()
		v := m.metaView()
		left := m.held(v)
		if left > 0 && left == least && time.Since(asked) > askOthersAgain {
			// A member that was drained before may have no replica of the metadata any more, and hears of no change by itself.
			v = m.newerMeta(ctx, v)
			left, asked = m.held(v), time.Now()
		}

		// The replicas go first. The place in the metadata group is needed as long as the member must hear what becomes of them.
		if left == 0 && m.mayLeaveGroup(ctx, v) {
			return
		}
		// Any progress begins the wait again: a large member may need long.
		if left < least || least < 0 {
			least, since = left, time.Now()
		} else if time.Since(since) > stallFor {
			m.log.Warn("leaving although others have not taken over all that this member holds", "replicas", left)
			return
		}

		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// newerMeta returns the metadata of the first other member that knows newer ones than v, or v.
func (m *Member) newerMeta(ctx context.Context, v *meta.View) *meta.View {
	for i := range v.Members {
		mb := &v.Members[i]
		// A silent member would use up its whole time. Any member that answers will do.
		if mb.ID == m.id || !m.peers.Answers(mb.ID, mb.Incarnation) {
			continue
		}
		short, cancel := context.WithTimeout(ctx, askFor)
		newer, _, err := m.meta.Read(short, mb.ID)
		cancel()
		// A member of another cluster may be at that address by now.
		if err == nil && newer.Cluster == v.Cluster && newer.Version > v.Version {
			return newer
		}
	}
	return v
}

// held counts the replicas that the table of v gives to this process.
func (m *Member) held(v *meta.View) (n int) {
	for p := range v.Table {
		// Replicas of an earlier start ended with their process, and nobody can take anything over from them.
		if r, ok := v.Table[p].Replica(m.id); ok && r.Incarnation == m.incarnation {
			n++
		}
	}
	return n
}

// othersStay reports whether there is another member that answers, may hold replicas, and is not about to leave too.
func (m *Member) othersStay() bool { return m.control.StaysWithout(m.metaView(), m.id) }

// mayLeaveGroup reports whether the metadata group can do without this member, as v has it, and asks for that if it cannot.
func (m *Member) mayLeaveGroup(ctx context.Context, v *meta.View) bool {
	me := v.Member(m.id)
	// A learner's vote is missed by nobody, and neither is that of a voter beside a majority of others.
	if me == nil || !me.MetaVoter || m.control.Dispensable(v, m.id) {
		return true
	}
	// The leader's own controller keeps the group in order, so no other member need be asked.
	if _, leads := m.meta.Leads(); leads {
		if err := m.control.CanSpare(m.id, m.incarnation); err == nil {
			return true
		}
		// The controller of this same process makes others voters, and then has one of them lead.
		return false
	}

	// Only the leader grants this, and the voters are few. So each is asked in turn.
	for _, id := range m.meta.Voters() {
		short, cancel := context.WithTimeout(ctx, askFor)
		a, err := m.peers.Ask(short, id, wire.OpMetaLeave, nil)
		cancel()
		if err == nil && a.Code == wire.CodeOK {
			// The group may keep this voter for its return. This process makes no more use of the vote.
			m.meta.Release()
			return true
		}
	}
	return false
}

// passLead has another voter lead the metadata group if this member leads it and another voter could. Otherwise the members that stay would
// wait for an election.
func (m *Member) passLead(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goodbyeFor)
	defer cancel()
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		// To ask does not mean that the other is elected, so the question is repeated until another leads.
		if _, leads := m.meta.Leads(); !leads || !m.control.LetLead(ctx, m.metaView()) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// stop ends everything that the member has started, in the reverse order. Each part may be missing: a start can fail
// anywhere. Abruptly, the members' and clients' connections are cut before anything else, so that nobody hears of what follows.
func (m *Member) stop(abruptly bool) error {
	m.phase.Store(phaseClosing)
	if m.ports != nil {
		m.ports.Close()
	}
	if m.server != nil {
		m.server.Cut(abruptly)
	}
	// After a crash nobody gets a last message, so the transports are cut before anything can send one.
	if abruptly {
		m.cutTransports()
	}

	// From here on nothing new is begun. What runs ends with this context, and is waited for below.
	m.cancel()
	if m.metrics != nil {
		m.metrics.Close()
	}
	if m.server != nil {
		m.server.CloseHTTP(abruptly)
	}
	// The client goes before the tasks: a task that waits for an answer then ends with an error.
	if m.client != nil {
		_ = m.client.Close()
	}
	if m.tasks != nil {
		m.tasks.Stop()
	}
	if m.runner != nil {
		m.runner.Close()
	}
	if m.maps != nil {
		m.maps.Stop()
	}
	if m.host != nil {
		m.host.Close()
	}
	if m.meta != nil {
		m.meta.Close()
	}

	// The hosts have closed their transports. A start that failed may have no host.
	m.cutTransports()
	for _, room := range m.working {
		room.Wait()
	}
	m.wg.Wait()
	// The NATS server goes last, since the publisher and the routes use it until they have ended.
	if m.events != nil {
		m.events.Close()
	}

	// The lock of the directory is given back only when nothing can write there any more.
	var errs []error
	if m.store != nil {
		errs = append(errs, m.store.Close())
	}
	if m.tempDir {
		errs = append(errs, os.RemoveAll(m.cfg.DataDir))
	}

	return errors.Join(errs...)
}
