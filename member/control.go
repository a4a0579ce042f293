package member

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/partition/meta"
)

const (
	// controlEvery is how often the controller looks around when nothing has changed.
	controlEvery = 200 * time.Millisecond
	// keepTimeEvery is how often cluster time is kept in the metadata.
	keepTimeEvery = 10 * time.Second
	// giveUpAfter is how long the placement of partitions waits for a member that is silent or has not come.
	giveUpAfter = 5 * time.Second
	// controlTimeout bounds one proposal of the controller's.
	controlTimeout = 3 * time.Second
	// commitsAtOnce bounds the proposals that are under way at a time: together they share the disk's syncs.
	commitsAtOnce = 64
)

// controller does the cluster's work at the member whose metadata replica leads: creating the table, setting and keeping the
// time, recovering what was lost. Each step is a compare-and-set, so it does no harm if two members believe that they lead.
// It owns one goroutine.
type controller struct {
	m      *Member
	placer placer
	// possibleLosses counts the partitions that were recovered from survivors that may lack acknowledged writes, until that is logged.
	possibleLosses int
	kept           time.Time // when cluster time was last kept
	since          time.Time // from when on this member waits for the others that bootstrap the cluster; zero if it does not

	// ownerless are partitions that may have lost their majority, since when nobody is known to own them.
	ownerless map[uint32]time.Time
}

func newController(m *Member) *controller { return &controller{m: m, placer: placer{m: m}} }

func (c *controller) run() {
	m := c.m
	defer m.wg.Done()
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	for {
		changed := m.meta.Changed()
		if term, leads := m.meta.Leads(); leads {
			c.step(m.meta.View(), term)
		} else {
			c.since, c.ownerless = time.Time{}, nil
			c.placer.leads(false)
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
	}
}

func (c *controller) step(v *meta.View, term uint64) {
	m := c.m
	switch {
	case !v.Bootstrapped():
		c.commit(&meta.Init{Cluster: m.clusterID(), Name: m.cfg.ClusterName, Partitions: m.cfg.Partitions,
			Replicas: m.cfg.Replicas, Level: 1, InitialVoters: m.initialVoters})
		return
	case !c.setTime(v, term):
		return
	case len(v.Table) == 0:
		c.createTable(v)
	default:
		c.recover(v)
		c.placer.step(c, c.m.meta.View())
		c.m.voters.step(c, c.m.meta.View())
	}
	if s, _ := m.clock.Standing(); s == clock.InStep && time.Since(c.kept) > keepTimeEvery {
		c.kept = time.Now()
		c.commit(&meta.SetTime{Time: m.clock.Now()})
	}
}

// commit commits a change and reports whether it was accepted. What was not will be tried again as long as it is due.
func (c *controller) commit(cmd meta.Command) bool {
	m := c.m
	m.at("before", cmd)
	ctx, cancel := context.WithTimeout(m.ctx, controlTimeout)
	defer cancel()
	res, err := m.meta.Propose(ctx, meta.Append(nil, cmd))
	m.at("after", cmd)
	switch {
	case err != nil && m.ctx.Err() == nil:
		m.log.Debug("a change of the metadata was not committed", "change", fmt.Sprintf("%T", cmd), "err", err)
	case err == nil && !res.OK():
		m.log.Debug("a change of the metadata was refused", "change", fmt.Sprintf("%T", cmd), "code", res.Code.String(), "text", res.Text)
	}
	return err == nil && res.OK()
}

// at is where a test may have the member die.
func (m *Member) at(when string, cmd meta.Command) {
	if f := m.cfg.FaultPoint; f != nil {
		f(m.ctx, fmt.Sprintf("%s %T", when, cmd))
	}
}

// setTime sets this member's clock where no member's is set: at bootstrap, from the wall clocks of the metadata's voters; when
// all were down, not before the time kept in the metadata. The others take it over from this member's pings. The time is
// committed before it is used: a member that has been deposed without knowing it sets nothing.
func (c *controller) setTime(v *meta.View, term uint64) bool {
	m := c.m
	if m.clock.IsSet() {
		return true
	}
	began := m.clock.Mono()
	walls, ok := c.walls(v)
	if !ok {
		return false
	}
	slices.Sort(walls)
	micros := max(walls[len(walls)/2], v.Time*1000)
	if !c.commit(&meta.SetTime{Time: micros / 1000}) {
		return false
	}
	if now, leads := m.meta.Leads(); !leads || now != term {
		return false
	}
	if _, ok := c.walls(v); !ok {
		return false
	}
	return m.clock.Set(micros + (m.clock.Mono() - began).Microseconds())
}

// walls returns the wall clocks, in microseconds, of a majority of the metadata's voters; false if fewer answer, or if the clock
// of one is set: its time will be this member's with the next ping.
func (c *controller) walls(v *meta.View) ([]int64, bool) {
	m := c.m
	walls := []int64{m.cfg.Wall().UnixMicro()}
	voters := 0
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.MetaVoter || !mb.Live() {
			continue
		}
		voters++
		if mb.ID == m.id {
			continue
		}
		if said, ago, ok := m.peers.said(mb.ID, mb.Incarnation); ok {
			if said.ClockSet {
				return nil, false
			}
			walls = append(walls, said.Wall+ago.Microseconds())
		}
	}
	return walls, voters > 0 && len(walls) >= voters/2+1
}

// createTable places the partitions once the members that bootstrap the cluster have registered; when giveUpAfter has passed, a
// majority of them will do.
func (c *controller) createTable(v *meta.View) {
	m := c.m
	if c.since.IsZero() {
		c.since = time.Now()
	}
	want := len(m.participants)
	if want == 0 {
		want = len(v.InitialVoters)
	}
	there := 0
	for i := range v.Members {
		if v.Members[i].Live() {
			there++
		}
	}
	if want = awaited(want, time.Since(c.since)); there < want {
		return
	}
	if list, ok := m.candidates(v); ok && len(list) >= want && c.initMaps(v) {
		c.commit(&meta.CreateTable{Placement: meta.Plan(v.PartitionCount, v.ReplicasWanted, list)})
	}
}

// awaited returns how many of the members that bootstrap a cluster must have come before the partitions are placed: all of them, or a
// majority when they have been waited for long enough.
func awaited(wanted int, waited time.Duration) int {
	if waited > giveUpAfter {
		return wanted/2 + 1
	}
	return wanted
}

// candidates returns the members that may be given replicas: those that have registered and answer. It reports false while
// it is worth waiting for one that has fallen silent.
func (m *Member) candidates(v *meta.View) ([]meta.Candidate, bool) {
	var list []meta.Candidate
	for i := range v.Members {
		mb := &v.Members[i]
		if mb.State != meta.StateJoining && mb.State != meta.StateReady || mb.Lite {
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

// recover recovers what can never have a quorum again: from the state that a survivor has, or empty where nobody has survived. It
// says what may be lost.
func (c *controller) recover(v *meta.View) {
	var list []meta.Command
	for _, p := range slices.Concat(v.QuorumLost(), c.uncertain(v)) {
		if t := &v.Table[p]; !t.StoppedForRecovery {
			list = append(list, &meta.StopForRecovery{Partition: p, Generation: t.Generation})
		}
	}
	stopped := c.commitAll(list)
	if stopped > 0 {
		c.m.log.Warn("partitions have too few replicas left ever to have a majority: they are recovered from survivors", "partitions", stopped)
	}
	c.recoverFromSurvivors(v)
	c.recreateLost(v)
}

// recoverFromSurvivors recovers the partitions stopped for recovery whose survivors have all said how far they are.
func (c *controller) recoverFromSurvivors(v *meta.View) {
	var list []meta.Command
	partitions, from := v.Recoverable()
	for i, p := range partitions {
		t := &v.Table[p]
		r, _ := t.Replica(from[i])
		list = append(list, &meta.RecoverPartition{Partition: p, FromGeneration: t.Generation, Replicas: []meta.Holder{r.Holder}, Preferred: r.Member})
	}
	c.commitAll(list)
	now := c.m.meta.View()
	for _, p := range partitions {
		if now.Table[p].PossibleLosses > v.Table[p].PossibleLosses {
			c.possibleLosses++
		}
	}
	if c.possibleLosses > 0 && !slices.ContainsFunc(now.Table, func(t meta.Partition) bool { return t.StoppedForRecovery }) {
		c.m.log.Error("partitions were recovered from one replica: acknowledged writes that only the lost ones had may be lost",
			"event", "PARTITION_POSSIBLE_DATA_LOSS", "partitions", c.possibleLosses)
		c.possibleLosses = 0
	}
}

// recreateLost starts an empty generation of the partitions whose replicas are all confirmed dead, and says so.
func (c *controller) recreateLost(v *meta.View) {
	lost := v.AllLost()
	if len(lost) == 0 {
		return
	}
	candidates, ok := c.m.candidates(v)
	if !ok {
		return
	}
	placement := meta.Plan(v.PartitionCount, v.ReplicasWanted, candidates)
	var list []meta.Command
	for _, p := range lost {
		list = append(list, &meta.RecoverPartition{Partition: p, FromGeneration: v.Table[p].Generation, Replicas: placement[p],
			Preferred: placement[p][0].Member, Empty: true})
	}
	if n := c.commitAll(list); n > 0 {
		c.m.log.Error("partitions have lost all their data: every process that held them was stopped; they go on empty",
			"event", "PARTITION_LOST", "partitions", n)
	}
}

// skew returns the largest disagreement of the members' cluster clocks, in milliseconds.
func (m *Member) skew() uint32 {
	return uint32(min(m.clock.Disagreement().Milliseconds(), int64(^uint32(0))))
}
