package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/partition/cadence"
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
	k      *Control
	placer placer
	// possibleLosses counts the partitions that were recovered from survivors that may lack acknowledged writes, until that is logged.
	possibleLosses int
	kept           time.Time // when cluster time was last kept
	since          time.Time // from when on this member waits for the others that bootstrap the cluster; zero if it does not

	// ownerless are partitions that may have lost their majority, since when nobody is known to own them.
	ownerless map[uint32]time.Time
}

func newController(k *Control) *controller { return &controller{k: k, placer: placer{k: k}} }

func (c *controller) run() {
	k := c.k
	defer k.wg.Done()
	// Silence, and time that has passed, change no metadata. Only the tick makes the controller look at them.
	tick := time.NewTimer(cadence.Next(controlEvery))
	defer tick.Stop()
	for {
		// This is taken before the step, so that what changes during the step wakes the loop.
		changed := k.Meta.Changed()
		if term, leads := k.Meta.Leads(); leads {
			c.step(k.Meta.View(), term)
		} else {
			// Another member controls the cluster. What this one has waited for counts for nothing at its next election.
			c.since, c.ownerless = time.Time{}, nil
			c.placer.leads(false)
		}
		select {
		case <-changed:
		case <-tick.C:
			tick.Reset(cadence.Next(controlEvery))
		case <-k.ctx.Done():
			return
		}
	}
}

func (c *controller) step(v *meta.View, term uint64) {
	k := c.k
	switch {
	case !v.Bootstrapped():
		// All other commands need the settings of the cluster, which Init puts into the metadata.
		c.commit(&meta.Init{Cluster: k.Cluster(), Name: k.ClusterName, Partitions: k.Partitions,
			Replicas: k.Replicas, Level: 1, InitialVoters: k.InitialVoters()})
		return
	case !c.setTime(v, term):
		return // everything else is stamped with cluster time
	case len(v.Table) == 0:
		c.createTable(v)
	default:
		// Each part goes by what the one before has committed, so each looks again.
		c.recover(v)
		c.placer.step(c, c.k.Meta.View())
		c.k.voters.step(c, c.k.Meta.View())
	}

	// A clock that is out of step must not be kept: after a stop of all members the cluster goes on from that time.
	if s, _ := k.Clock.Standing(); s == clock.InStep && time.Since(c.kept) > keepTimeEvery {
		c.kept = time.Now()
		c.commit(&meta.SetTime{Time: k.Clock.Now()})
	}
}

// commit commits a change and reports whether it was accepted. What was not will be tried again as long as it is due.
func (c *controller) commit(cmd meta.Command) bool {
	k := c.k
	k.At("before", cmd)
	ctx, cancel := context.WithTimeout(k.ctx, controlTimeout)
	defer cancel()

	// A proposal that timed out may still be committed. The next step looks at the metadata and not at this answer.
	res, err := k.Meta.Propose(ctx, meta.Append(nil, cmd))
	k.At("after", cmd)
	switch {
	case err != nil && k.ctx.Err() == nil:
		k.Logger.Debug("a change of the metadata was not committed", "change", fmt.Sprintf("%T", cmd), "err", err)
	case err == nil && !res.OK():
		k.Logger.Debug("a change of the metadata was refused", "change", fmt.Sprintf("%T", cmd), "code", res.Code.String(), "text", res.Text)
	}

	return err == nil && res.OK()
}

// setTime sets this member's clock where no member's is set: at bootstrap, from the wall clocks of the metadata's voters; when
// all were down, not before the time kept in the metadata. The others take it over from this member's pings. The time is
// committed before it is used: a member that has been deposed without knowing it sets nothing.
func (c *controller) setTime(v *meta.View, term uint64) bool {
	k := c.k
	if k.Clock.IsSet() {
		return true
	}

	// Collecting the clocks and committing take time. The monotonic clock measures it, since the wall clock may be set meanwhile.
	began := k.Clock.Mono()
	walls, ok := c.walls(v)
	if !ok {
		return false
	}

	// The median of the wall clocks: one that is wrong does not move the time of the cluster.
	slices.Sort(walls)
	// A majority may be wrong about the wall clock. Time never goes back behind what was kept, or expired entries would return.
	micros := max(walls[len(walls)/2], v.Time*1000)
	if !c.commit(&meta.SetTime{Time: micros / 1000}) {
		return false
	}

	// A member that was deposed meanwhile would set another time than its successor.
	if now, leads := k.Meta.Leads(); !leads || now != term {
		return false
	}

	// Another voter's clock may have been set while the time was committed. Then this member takes the time from that voter.
	if _, ok := c.walls(v); !ok {
		return false
	}

	return k.Clock.Set(micros + (k.Clock.Mono() - began).Microseconds())
}

// walls returns the wall clocks, in microseconds, of a majority of the metadata's voters; false if fewer answer, or if the clock
// of one is set: its time will be this member's with the next ping.
func (c *controller) walls(v *meta.View) ([]int64, bool) {
	k := c.k
	walls := []int64{k.Wall().UnixMicro()}
	voters := 0
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.MetaVoter || !mb.Live() {
			continue
		}
		voters++
		// This member's own clock is in walls already.
		if mb.ID == k.Self {
			continue
		}
		if said, ago, ok := k.Peers.Said(mb.ID, mb.Incarnation); ok {
			if said.ClockSet {
				return nil, false
			}
			// The answer is ago old, and the voter's clock went on meanwhile.
			walls = append(walls, said.Wall+ago.Microseconds())
		}
	}

	// With fewer than a majority, a voter whose clock is set already might be left out.
	return walls, voters > 0 && len(walls) >= voters/2+1
}

// createTable places the partitions once the members that bootstrap the cluster have registered; when giveUpAfter has passed, a
// majority of them will do.
func (c *controller) createTable(v *meta.View) {
	k := c.k
	if c.since.IsZero() {
		// The wait begins with this leadership: what another leader has waited for is not known here.
		c.since = time.Now()
	}

	want := k.Participants()
	if want == 0 {
		// This member joined, so it does not know how many bootstrap the cluster. At least the first voters do.
		want = len(v.InitialVoters)
	}

	// Members count when they have registered. Whether they also answer is looked at below.
	there := 0
	for i := range v.Members {
		if v.Members[i].Live() {
			there++
		}
	}

	if want = awaited(want, time.Since(c.since)); there < want {
		return
	}

	// The configurations of maps go first: partitions are served as soon as there is a table.
	if list, ok := k.candidates(v); ok && len(list) >= want && c.initMaps(v) {
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

// candidates returns the members that may be given replicas: those that have registered and answer. It reports false while a member has
// fallen silent only lately and is waited for.
func (k *Control) candidates(v *meta.View) ([]meta.Candidate, bool) {
	var list []meta.Candidate
	for i := range v.Members {
		mb := &v.Members[i]
		// What a member that leaves is given would have to be moved again at once.
		if mb.State != meta.StateJoining && mb.State != meta.StateReady || mb.Lite {
			continue
		}
		switch {
		case k.Peers.Answers(mb.ID, mb.Incarnation):
			list = append(list, meta.Candidate{ID: mb.ID, Incarnation: mb.Incarnation, Zone: mb.Zone})
		case k.Peers.Silence(mb.ID) < giveUpAfter:
			// A placement without this member would have to be balanced again as soon as it answers.
			return nil, false
		}
	}

	return list, len(list) > 0
}

// recover recovers what can never have a quorum again: from the state that a survivor has, or empty where nobody has survived. It
// says what may be lost.
func (c *controller) recover(v *meta.View) {
	var list []meta.Command
	// Replicas that still run are stopped first. Otherwise the old generation could come back beside the new one.
	for _, p := range slices.Concat(v.QuorumLost(), c.uncertain(v)) {
		// A partition that is stopped already has survivors that are still reporting.
		if t := &v.Table[p]; !t.StoppedForRecovery {
			list = append(list, &meta.StopForRecovery{Partition: p, Generation: t.Generation})
		}
	}

	stopped := c.commitAll(list)
	if stopped > 0 {
		c.k.Logger.Warn("partitions have too few replicas left ever to have a majority: they are recovered from survivors", "partitions", stopped)
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

	// The metadata judge what may be lost. What their counts have grown by is the work of these commands.
	now := c.k.Meta.View()
	for _, p := range partitions {
		if now.Table[p].PossibleLosses > v.Table[p].PossibleLosses {
			c.possibleLosses++
		}
	}

	// A recovery takes many steps. The operator gets one line with the whole number, when no partition waits any more.
	if c.possibleLosses > 0 && !slices.ContainsFunc(now.Table, func(t meta.Partition) bool { return t.StoppedForRecovery }) {
		c.k.Logger.Error("partitions were recovered from one replica: acknowledged writes that only the lost ones had may be lost",
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

	// No replica is left whose state could be read, so the partition begins empty, on members of a new choice.
	candidates, ok := c.k.candidates(v)
	if !ok {
		// A silent member may still come. A placement without that member would have to be balanced soon after.
		return
	}

	// The whole placement is planned, so that the few new partitions are spread as all of them would be.
	placement := meta.Plan(v.PartitionCount, v.ReplicasWanted, candidates)
	var list []meta.Command
	for _, p := range lost {
		list = append(list, &meta.RecoverPartition{Partition: p, FromGeneration: v.Table[p].Generation, Replicas: placement[p],
			Preferred: placement[p][0].Member, Empty: true})
	}

	if n := c.commitAll(list); n > 0 {
		c.k.Logger.Error("partitions have lost all their data: every process that held them was stopped; they go on empty",
			"event", "PARTITION_LOST", "partitions", n)
	}
}

// initMaps sets the configurations of maps with which the cluster begins, those of the member that places the partitions, and
// reports whether that is done.
func (c *controller) initMaps(v *meta.View) bool {
	return len(c.k.Maps) == 0 || v.MapsVersion != 0 || c.commit(&meta.InitMapConfigs{List: c.k.Maps})
}
