package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// keepTimeEvery is how often cluster time is kept in the metadata.
	keepTimeEvery = 10 * time.Second
	// metaRetry is the pause before a call to the metadata group is repeated.
	metaRetry = 50 * time.Millisecond
)

// metaPropose commits a command, by this member's replica if it votes, else by another's, and repeats it until it has a
// result or ctx ends. Every command may be repeated.
func (m *Member) metaPropose(ctx context.Context, c meta.Command) (meta.Result, error) {
	cmd := meta.Append(nil, c)
	var last error
	for {
		res, err := m.metaProposeOnce(ctx, cmd)
		if err == nil {
			return res, nil
		}
		last = err
		select {
		case <-time.After(metaRetry):
		case <-ctx.Done():
			return meta.Result{}, fmt.Errorf("%w (last: %w)", ctx.Err(), last)
		}
	}
}

func (m *Member) metaProposeOnce(ctx context.Context, cmd []byte) (meta.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if m.metaVotes() {
		return m.meta.Propose(ctx, cmd)
	}
	var errs []error
	for _, id := range m.metaVoters() {
		a, err := m.peers.ask(ctx, id, wire.OpMetaPropose, cmd)
		if err == nil && a.Code == wire.CodeOK {
			return meta.DecodeResult(a.Body)
		}
		if err == nil {
			err = fmt.Errorf("member %v: %v: %s", id, a.Code, a.Body)
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return meta.Result{}, errors.New("no voter of the metadata group is known")
	}
	return meta.Result{}, errors.Join(errs...)
}

// metaVotes reports whether this member's metadata replica votes, as far as it knows.
func (m *Member) metaVotes() bool {
	if mb := m.metaView().Member(m.id); mb != nil {
		return mb.MetaVoter
	}
	return !m.metaJoined
}

// metaVoters returns the members whose metadata replicas vote, or may.
func (m *Member) metaVoters() []wire.ID {
	var ids []wire.ID
	for _, mb := range m.metaView().Members {
		if mb.MetaVoter && mb.ID != m.id {
			ids = append(ids, mb.ID)
		}
	}
	if len(ids) > 0 {
		return ids
	}
	m.peers.mu.Lock()
	defer m.peers.mu.Unlock()
	for id := range m.peers.seats {
		if id != m.id {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *Member) answerMetaPropose(c *conn, id uint64, cmd []byte) {
	ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
	defer cancel()
	if m.metaView() == nil || !m.metaVotes() {
		c.Answer(id, wire.CodeNotReady, []byte("this member does not vote"))
		return
	}
	res, err := m.meta.Propose(ctx, cmd)
	if err != nil {
		c.Answer(id, wire.CodeUnavailable, []byte(err.Error()))
		return
	}
	c.Answer(id, wire.CodeOK, meta.AppendResult(nil, &res))
}

// answerMetaJoin registers a member that is new to the cluster and gives it its place in the metadata group, as a learner.
func (m *Member) answerMetaJoin(c *conn, id uint64, from wire.ID, cmd []byte) {
	ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
	defer cancel()
	v := m.metaView()
	if v == nil || !m.metaVotes() || !v.Founded() {
		c.Answer(id, wire.CodeNotReady, []byte("this member does not vote"))
		return
	}
	decoded, err := meta.Decode(cmd)
	reg, ok := decoded.(*meta.Register)
	if err != nil || !ok || reg.ID != from {
		c.Answer(id, wire.CodeInvalid, []byte("not the registration of the member that asks"))
		return
	}
	if other := v.Named(reg.Name); other != nil && other.ID != from && other.ID != m.id && m.peers.silent(other.ID) {
		reg.Takeover = other.Incarnation
	}
	res, err := m.meta.Propose(ctx, meta.Append(nil, reg))
	if err == nil && res.OK() {
		res, err = m.meta.Propose(ctx, meta.Append(nil, &meta.AllocMeta{ID: from}))
	}
	if err == nil && res.OK() {
		err = m.meta.AddLearner(ctx, res.ReplicaID(), from)
	}
	switch {
	case err != nil:
		c.Answer(id, wire.CodeUnavailable, []byte(err.Error()))
	case !res.OK():
		c.Answer(id, res.Code, []byte(res.Text))
	default:
		join := wire.JoinResult{Replica: res.ReplicaID(), Seats: m.metaSeats()}
		c.Answer(id, wire.CodeOK, wire.AppendJoinResult(nil, &join))
	}
}

// metaSeats returns the members of the metadata group and where they are.
func (m *Member) metaSeats() []wire.MetaSeat {
	var seats []wire.MetaSeat
	for _, mb := range m.metaView().Members {
		if mb.MetaReplica != 0 {
			seats = append(seats, wire.MetaSeat{Replica: mb.MetaReplica, Member: mb.ID, PeerAddr: mb.PeerAddr})
		}
	}
	return seats
}

// follow brings this member in line with the metadata whenever they change: who the others are, which replicas it shall
// hold. It ends with the member.
func (m *Member) follow() {
	defer m.wg.Done()
	var seats []wire.MetaSeat
	for {
		changed := m.meta.Changed()
		v := m.meta.View()
		for _, mb := range v.Members {
			if mb.MetaReplica != 0 {
				m.metaReg.Set(partition.MetaShard, mb.MetaReplica, mb.ID.String())
			}
		}
		m.peers.update()
		if now := m.metaSeats(); len(now) > 0 {
			var err error
			if seats, err = saveSeats(m.cfg.DataDir, seats, now); err != nil {
				m.log.Warn("the list of members was not saved", "err", err)
			}
		}
		m.holdReplicas(v)
		m.views.kick()
		select {
		case <-changed:
		case <-m.ctx.Done():
			return
		}
	}
}

// holdReplicas starts the replicas that the table gives to this incarnation.
func (m *Member) holdReplicas(v *meta.View) {
	host := m.dataHost()
	if host == nil || m.isClosing() {
		return
	}
	partition.LocateReplicas(m.dataReg, v)
	for p := range v.Table {
		t := &v.Table[p]
		mine, ok := t.Replica(m.id)
		initial := make(map[uint64]wire.ID, len(t.Replicas))
		for _, r := range t.Replicas {
			initial[r.ID] = r.Incarnation
		}
		if !ok || mine.Incarnation != m.incarnation {
			if st, held := host.Status(p); held && st.Generation < t.Generation {
				if err := host.Drop(m.ctx, p); err != nil {
					m.log.Error("a replica was not removed", "partition", p, "err", err)
				}
			}
			continue
		}
		err := host.Found(partition.Placement{Partition: p, Generation: t.Generation, Replica: mine.ID, Initial: initial,
			Preferred: t.Preferred == m.id})
		if err != nil {
			m.log.Error("a replica was not started", "partition", p, "err", err)
		}
	}
}

// control does the cluster's work at the member whose metadata replica leads: founding the table, keeping the time,
// founding anew what was lost. Each step is a compare-and-set, so it does no harm if two members believe that they lead.
func (m *Member) control() {
	defer m.wg.Done()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	kept := time.Time{}
	for {
		changed := m.meta.Changed()
		if _, leads := m.meta.Leads(); leads {
			m.controlStep(m.meta.View())
			if m.clock.IsSet() && time.Since(kept) > keepTimeEvery {
				kept = time.Now()
				m.proposeLogged(&meta.SetTime{Time: m.clock.Now()})
			}
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *Member) proposeLogged(c meta.Command) {
	ctx, cancel := context.WithTimeout(m.ctx, 3*time.Second)
	defer cancel()
	res, err := m.meta.Propose(ctx, meta.Append(nil, c))
	switch {
	case err != nil && m.ctx.Err() == nil:
		m.log.Debug("a change of the metadata was not committed", "change", fmt.Sprintf("%T", c), "err", err)
	case err == nil && !res.OK():
		m.log.Debug("a change of the metadata was refused", "change", fmt.Sprintf("%T", c), "code", res.Code.String(), "text", res.Text)
	}
}

func (m *Member) controlStep(v *meta.View) {
	if !v.Founded() {
		m.proposeLogged(&meta.Init{Cluster: m.clusterID(), Name: m.cfg.ClusterName, Partitions: m.cfg.Partitions,
			Replicas: m.cfg.Replicas, Level: 1, Founders: m.founders})
		return
	}
	if !m.setClusterTime(v) {
		return
	}
	switch {
	case len(v.Table) == 0:
		m.foundTable(v)
	default:
		m.foundLost(v)
	}
}

// setClusterTime sets this member's clock where no member's is set: at founding, from the wall clocks of the metadata's
// voters; when all were down, not before the time kept in the metadata. Others take it over from its pings.
func (m *Member) setClusterTime(v *meta.View) bool {
	if m.clock.IsSet() {
		return true
	}
	walls := []int64{time.Now().UnixMicro()}
	voters, heard := 0, 1
	for _, mb := range v.Members {
		if !mb.MetaVoter || !mb.Live() {
			continue
		}
		voters++
		if mb.ID == m.id {
			continue
		}
		if said, ok := m.peers.said(mb.ID); ok {
			if said.ClockSet {
				return false // its time will be ours with the next ping
			}
			heard++
			walls = append(walls, said.Wall)
		}
	}
	if heard < voters/2+1 || voters == 0 {
		return false
	}
	slices.Sort(walls)
	m.clock.Set(max(walls[len(walls)/2], v.Time*1000))
	return true
}

// foundTable places the partitions once the members that found the cluster have registered.
func (m *Member) foundTable(v *meta.View) {
	want := len(m.foundingSeats)
	if want == 0 {
		want = len(v.Founders)
	}
	var there int
	for _, mb := range v.Members {
		if mb.Live() {
			there++
		}
	}
	if there < want {
		return
	}
	if list, ok := m.candidates(v); ok && len(list) >= want {
		m.proposeLogged(&meta.CreateTable{Placement: meta.Plan(v.PartitionCount, v.ReplicasWanted, list)})
	}
}

// giveUpAfter is how long the founding of partitions waits for a member that is silent.
const giveUpAfter = 5 * time.Second

// candidates returns the members that may be given replicas: those that have registered and answer. It reports false while
// it is worth waiting for one that has fallen silent.
func (m *Member) candidates(v *meta.View) ([]meta.Candidate, bool) {
	var list []meta.Candidate
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.Live() || mb.Lite {
			continue
		}
		switch {
		case m.peers.answers(mb.ID, mb.Incarnation):
			list = append(list, meta.Candidate{ID: mb.ID, Incarnation: mb.Incarnation, Zone: mb.Zone})
		case m.peers.silence(mb.ID) < giveUpAfter:
			return nil, false
		}
	}
	return list, len(list) > 0
}

// foundLost founds the partitions anew and empty whose replicas are all dead for certain, and says so.
func (m *Member) foundLost(v *meta.View) {
	lost := v.AllLost()
	if len(lost) == 0 {
		return
	}
	list, ok := m.candidates(v)
	if !ok {
		return
	}
	placement := meta.Plan(v.PartitionCount, v.ReplicasWanted, list)
	m.log.Error("partitions have lost all their data: every process that held them was stopped; they begin anew, empty",
		"event", "PARTITION_LOST", "partitions", len(lost))
	var wg sync.WaitGroup
	slots := make(chan struct{}, refoundAtOnce)
	for _, p := range lost {
		holders := placement[p]
		slots <- struct{}{}
		wg.Go(func() { // ends with its proposal
			defer func() { <-slots }()
			m.proposeLogged(&meta.Refound{Partition: p, FromGeneration: v.Table[p].Generation, Replicas: holders,
				Preferred: holders[0].Member, Empty: true})
		})
	}
	wg.Wait()
}

// refoundAtOnce bounds the proposals of one round of founding anew: together they share the disk's syncs.
const refoundAtOnce = 64
