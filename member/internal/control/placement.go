package control

import (
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// learnersAtOnce bounds the partitions that are being given a replica at a time. Each may be a state snapshot that its owner sends; how many
	// of those go at a time, and how fast, the owners bound.
	learnersAtOnce = 32
	// leaversAtOnce bounds the partitions that are losing one.
	leaversAtOnce = 64
	// learnerPatience is how long the holder of a learner may be silent before another is looked for.
	learnerPatience = 5 * time.Second
	// replanEvery is how often a plan is made again without a reason that the controller knows of.
	replanEvery = 5 * time.Second
)

// placer is the part of the controller that decides where replicas belong. It changes the table alone, one step of each partition
// at a time; the owners of the partitions carry the steps out and report them, and then the next is due. It keeps nothing that
// another controller would need to go on.
type placer struct {
	k *Control

	// The plan and what it was made for.
	targets    []meta.Target
	candidates []meta.Candidate
	made       time.Time
	fulfilled  uint64 // version of the metadata at which nothing was left to do

	arrivals map[arrivalKey]arrival // replicas that their members may not count yet

	space  space     // as it is while steps are chosen
	noRoom int       // replicas that the plan places nowhere, for nobody has room for them
	told   time.Time // when that was last logged
}

const (
	// spareShare is which part of its memory a member keeps for what is written to the replicas that it has: none is placed there.
	spareShare = 16
	// tellEvery is how often it is logged that replicas find no room.
	tellEvery = time.Minute
	// countedAfter is how long after a replica has come a member must have been heard for its word to take account of it.
	countedAfter = 2 * heardWithin
	// heardWithin is how old a member's word may be.
	heardWithin = 400 * time.Millisecond
)

// arrival is a replica that is being built, or was until a moment ago. Its member says ten times a second how much memory it uses, and a
// small replica is built faster than that.
type arrival struct {
	size int64
	seen time.Time // when it was last under way
}

type arrivalKey struct {
	partition int
	member    wire.ID
}

// follow brings the arrivals in line with the table.
func (pl *placer) follow(v *meta.View) {
	if pl.arrivals == nil {
		pl.arrivals = make(map[arrivalKey]arrival)
	}

	now := time.Now()
	// Owners report sizes with their heartbeats, so a size may be some hundred milliseconds old.
	sizes := pl.k.Memory.PartitionSizes(v)
	for p := range v.Table {
		if one, ok := v.Table[p].Changing(); ok && one.Role == meta.RoleLearner {
			key := arrivalKey{p, one.Member}
			// An unknown size is -1. A size that was known before stays in force.
			pl.arrivals[key] = arrival{max(pl.arrivals[key].size, sizes[p]), now}
		}
	}

	for key, a := range pl.arrivals {
		_, holds := v.Table[key.partition].Replica(key.member)
		// Once the member was heard for long enough after the arrival, its own word counts the replica.
		if !holds || pl.k.heardAt(key.member, now).After(a.seen.Add(countedAfter)) {
			delete(pl.arrivals, key)
		}
	}
}

// heardAt returns when a member last said how it is; this one says so at any time.
func (k *Control) heardAt(id wire.ID, now time.Time) time.Time {
	if id == k.Self {
		return now
	}

	if _, ago, _, ok := k.Peers.Word(id); ok {
		return now.Add(-ago)
	}

	return time.Time{}
}

// space is what is known of the members' memory at a moment.
type space struct {
	sizes []int64           // by partition: bytes of a replica; -1: not known
	room  map[wire.ID]int64 // by member: bytes of new replicas for which there is room; members that are not in it are not bounded
}

// space returns what the members of a roster have room for, without what replicas take that are on their way to them.
func (k *Control) space(v *meta.View, r roster, arrivals map[arrivalKey]arrival) space {
	s := space{room: make(map[wire.ID]int64)}
	for _, c := range r.list {
		mb := v.Member(c.ID)
		// A member without a limit is left out of the map, which means that it has room for all.
		if limit, used := k.MemoryOf(mb); limit > 0 {
			s.room[c.ID] = limit - limit/spareShare - used
		}
	}

	// No member has a bound, so nobody asks for sizes.
	if len(s.room) == 0 {
		return s
	}

	s.sizes = k.Memory.PartitionSizes(v)

	// Members do not count these replicas yet, or not all of their bytes.
	for key, a := range arrivals {
		if room, bounded := s.room[key.member]; bounded {
			s.room[key.member] = room - max(0, a.size)
		}
	}

	return s
}

// take reports whether a member has room for a replica of a partition, and takes the replica's size off that room.
func (s *space) take(member wire.ID, partition int) bool {
	room, bounded := s.room[member]
	if !bounded {
		return true
	}

	size := s.sizes[partition]
	// The owner has not said a size yet, or the replica is too large. Both could exceed the bound of the member.
	if size < 0 || room < size {
		return false
	}

	s.room[member] = room - size
	return true
}

// heardLately reports whether what is known of a member's memory is fresh. An old word hides that the member is filling up.
func (pl *placer) heardLately(member wire.ID) bool {
	if _, bounded := pl.space.room[member]; !bounded {
		return true
	}

	now := time.Now()
	return now.Sub(pl.k.heardAt(member, now)) < heardWithin
}

// expect notes that a replica is about to come to a member.
func (pl *placer) expect(member wire.ID, partition int) {
	// Only where memory is bounded does the size of what comes matter.
	if _, bounded := pl.space.room[member]; bounded {
		pl.arrivals[arrivalKey{partition, member}] = arrival{pl.space.sizes[partition], time.Now()}
	}
}

// planned returns where replicas belong, given where they are, who may hold them and how much room they have.
func (k *Control) planned(v *meta.View, r roster, arrivals map[arrivalKey]arrival) []meta.Target {
	s := k.space(v, r, arrivals)
	// The roster is compared with later ones, so the room, which changes all the time, is written into a copy.
	list := slices.Clone(r.list)
	for i := range list {
		room, bounded := s.room[list[i].ID]
		list[i].Room, list[i].Bounded = room, bounded
	}

	return meta.ReplanWithin(v.Table, v.ReplicasWanted, list, s.sizes)
}

// roster is who may hold replicas now.
type roster struct {
	list    []meta.Candidate
	present map[wire.ID]bool // those who may be given replicas at once
	suspect bool             // somebody is silent who may still come back to what it holds
	silent  bool             // a member is that, whoever it is: also one that is about to leave
}

// roster returns who may hold replicas. A silent member counts until the rebuild delay has passed. After that it counts only where there are
// too few other members: then nothing could be rebuilt, and what the silent member holds is the best that there is.
func (k *Control) roster(v *meta.View) roster {
	r := roster{present: make(map[wire.ID]bool)}
	var absent []meta.Candidate
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.Live() || mb.Lite {
			continue
		}
		answers := k.Peers.Answers(mb.ID, mb.Incarnation)
		r.silent = r.silent || !answers
		// What a draining member holds moves to others, so it is no candidate. Its silence still counts for the steps that wait.
		if mb.State == meta.StateDraining {
			continue
		}
		// The placer plans again when a member becomes bounded, since the candidates then differ.
		limit, _ := k.MemoryOf(mb)
		c := meta.Candidate{ID: mb.ID, Incarnation: mb.Incarnation, Zone: mb.Zone, Bounded: limit > 0} // how much room it has is looked up when it matters
		switch {
		case answers:
			r.present[mb.ID] = true
			r.list = append(r.list, c)
		case k.Peers.Silence(mb.ID) < k.RebuildDelay:
			// The plan still counts on this member, so nothing of it is rebuilt elsewhere yet.
			r.suspect = true
			r.list = append(r.list, c)
		default:
			absent = append(absent, c)
		}
	}

	// Fewer members than replicas: to leave out the absent ones as well would only take their replicas out of the table.
	if len(r.list) < v.ReplicasWanted {
		r.list = append(r.list, absent...)
	}

	return r
}

// step proposes what is due. It reports what it has proposed.
func (pl *placer) step(c *controller, v *meta.View) {
	r := pl.k.roster(v)
	// Nobody may hold replicas now. The table stays as it is until somebody may.
	if len(r.list) == 0 {
		return
	}

	coming := len(pl.arrivals)
	pl.follow(v)
	allCame := coming > 0 && len(pl.arrivals) == 0
	// A plan stands until something changes on which it rests. Replicas on their way hide how much room there is, so their arrival counts too.
	if pl.k.replan.Swap(false) || allCame || !slices.Equal(r.list, pl.candidates) || len(pl.targets) != len(v.Table) || time.Since(pl.made) > replanEvery {
		pl.plan(v, r)
	}

	// Nothing was left to do at this version of the metadata. Only a change of the metadata, or another plan, brings work.
	if pl.fulfilled == v.Version {
		return
	}

	steps, moving := pl.steps(v, r)
	if len(steps) == 0 && moving == 0 {
		// Perhaps the plan was made for a table that has changed because a partition was recovered.
		pl.plan(v, r)
		if steps, moving = pl.steps(v, r); len(steps) == 0 && moving == 0 {
			// A step may be due that waits for a silent member. Its return changes no metadata, so the placer has to look again.
			if !r.silent {
				pl.fulfilled = v.Version
			}
			return
		}
	}

	c.commitAll(steps)
}

func (pl *placer) plan(v *meta.View, r roster) {
	pl.targets, pl.candidates, pl.made, pl.fulfilled = pl.k.planned(v, r, pl.arrivals), r.list, time.Now(), 0
	if len(pl.arrivals) > 0 {
		// Members count some of the arriving replicas already, and the placer takes all of them off. So the room looks smaller than it is.
		return
	}

	was := pl.noRoom
	pl.noRoom = 0
	for p := range pl.targets {
		pl.noRoom += pl.targets[p].NoRoom
	}

	// Answers to heartbeats tell this number to the other members, which show it to operators.
	pl.k.noRoom.Store(uint32(pl.noRoom))
	switch {
	case pl.noRoom > 0 && (was == 0 || time.Since(pl.told) > tellEvery):
		pl.told = time.Now()
		pl.k.Logger.Warn("replicas are missing and are not built, for no member has memory for them", "event", "NO_ROOM", "replicas", pl.noRoom,
			"reason", pl.k.NoRoomReason(v, uint32(pl.noRoom)))
	case pl.noRoom == 0 && was > 0:
		pl.k.Logger.Info("there is memory again for all replicas that were missing")
	}
}

// leads notes whether this member controls the cluster: if it does not, another knows what finds no room.
func (pl *placer) leads(yes bool) {
	if !yes && pl.noRoom > 0 {
		pl.noRoom = 0
		pl.k.noRoom.Store(0)
	}
}

// steps returns what is to be proposed now, partitions that lack most first, and how many partitions are on their way.
func (pl *placer) steps(v *meta.View, r roster) (steps []meta.Command, moving int) {
	order := make([]int, 0, len(v.Table))
	pl.space = pl.k.space(v, r, pl.arrivals)
	learners, leavers := 0, 0
	for p := range v.Table {
		t := &v.Table[p]
		// No owner serves such a partition, so nobody could carry out a step.
		if t.StoppedForRecovery {
			continue
		}
		// A partition takes one step at a time: its owner reports this one before another is due.
		if one, ok := t.Changing(); ok {
			if one.Role == meta.RoleLearner {
				learners++
			} else {
				leavers++
			}
			// A learner that cannot catch up would block all further steps of its partition.
			if pl.stranded(v, p, one) {
				steps = append(steps, &meta.Retire{ReplicaStep: stepOf(p, t, one)})
			}
			continue
		}
		order = append(order, p)
	}

	// Partitions that lack most go first: the bounds on learners and leavers may leave nothing to the others.
	lacks := func(p int) int { return v.Table[p].Voters() - len(pl.targets[p].Holders) }
	slices.SortStableFunc(order, func(a, b int) int { return lacks(a) - lacks(b) })
	for _, p := range order {
		c := pl.next(v, r, p)
		switch c.(type) {
		case nil:
			continue
		// A step beyond the bound is left for a later round, and other partitions may still find a place in this one.
		case *meta.AddReplica:
			if learners >= learnersAtOnce {
				continue
			}
			learners++
		case *meta.Retire:
			if leavers >= leaversAtOnce {
				continue
			}
			leavers++
		}
		steps = append(steps, c)
	}

	return steps, learners + leavers
}

// stranded reports whether a learner will not become a voter: its process has ended or is silent, or the plan gives the replica to another
// member.
func (pl *placer) stranded(v *meta.View, p int, r meta.Replica) bool {
	if r.Role != meta.RoleLearner {
		return false
	}

	mb := v.Member(r.Member)
	return mb == nil || mb.Incarnation != r.Incarnation || !mb.Live() || mb.State == meta.StateDraining ||
		!slices.Contains(pl.targets[p].Holders, r.Holder) || pl.k.Peers.Silence(r.Member) > learnerPatience
}

// next returns the next step of a partition, nil if none is due.
func (pl *placer) next(v *meta.View, r roster, p int) meta.Command {
	t, target := &v.Table[p], &pl.targets[p]
	live, dead := 0, -1
	var surplus []int
	for i, one := range t.Replicas {
		mb := v.Member(one.Member)
		switch {
		case v.ConfirmedDead(one) || !mb.Live():
			// A process that is dead, or whose member has left, never answers again. The replica is lost for the group.
			dead = i
		case pl.k.Peers.Answers(one.Member, one.Incarnation):
			live++
		}
		if !slices.Contains(target.Holders, one.Holder) {
			surplus = append(surplus, i)
		}
	}

	if live <= len(t.Replicas)/2 {
		// Without a quorum the group can commit no change.
		return nil
	}

	// A dead replica still counts for the majority that the others have to be, so it leaves before another comes.
	if dead >= 0 && len(t.Replicas) > 1 {
		return &meta.Retire{ReplicaStep: stepOf(p, t, t.Replicas[dead])}
	}

	// A suspect member may come back to what it holds. Moves for the sake of balance wait for that; missing replicas do not.
	needed := t.Voters() != len(target.Holders) || slices.ContainsFunc(surplus, func(i int) bool { return !pl.counted(r, t.Replicas[i]) })
	if r.suspect && !needed {
		return nil
	}

	// A replica that finds no room elsewhere stays where it is, so those without room do not make others surplus.
	if t.Voters() > len(target.Holders)+target.NoRoom && len(surplus) > 0 {
		// Among several the group gives up first what helps it least.
		slices.SortStableFunc(surplus, func(a, b int) int { return pl.rank(r, t, a) - pl.rank(r, t, b) })
		one := t.Replicas[surplus[0]]
		if live < len(t.Replicas) && pl.k.Peers.Answers(one.Member, one.Incarnation) {
			// While another replica is silent, the majority needs each one that answers.
			return nil
		}
		return &meta.Retire{ReplicaStep: stepOf(p, t, one)}
	}

	// Several partitions may give a replica to one member in the same step. So the room counts down, and only a fresh word of the member counts.
	for _, h := range target.Holders {
		if _, ok := t.Replica(h.Member); !ok && r.present[h.Member] && pl.heardLately(h.Member) && pl.space.take(h.Member, p) {
			pl.expect(h.Member, p)
			return &meta.AddReplica{Partition: uint32(p), Generation: t.Generation, Holder: h}
		}
	}

	// Ownership moves last: only a voter can be elected.
	if one, ok := t.Replica(target.Preferred); ok && one.Role == meta.RoleVoter && t.Preferred != target.Preferred {
		return &meta.Prefer{Partition: uint32(p), Generation: t.Generation, Member: target.Preferred}
	}

	return nil
}

// counted reports whether a replica's holder is among those that may hold replicas.
func (pl *placer) counted(r roster, one meta.Replica) bool {
	return slices.ContainsFunc(r.list, func(c meta.Candidate) bool { return c.ID == one.Member && c.Incarnation == one.Incarnation })
}

// rank orders surplus replicas by which is removed first: those of members that do not answer, then those that are to leave, then the rest.
// The owner's comes last.
func (pl *placer) rank(r roster, t *meta.Partition, i int) int {
	one := t.Replicas[i]
	switch {
	// A replica that does not answer helps the majority least.
	case !pl.k.Peers.Answers(one.Member, one.Incarnation):
		return 0
	case !pl.counted(r, one):
		return 1
	case one.Member != t.Preferred:
		return 2
	}

	return 3
}

// commitAll commits commands, so many at a time that they share the disk's syncs, and returns when all have an answer.
func (c *controller) commitAll(list []meta.Command) (done int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, commitsAtOnce)
	for _, cmd := range list {
		// The slot is taken before the goroutine is started, so their number is bounded as well.
		slots <- struct{}{}
		wg.Go(func() { // ends with its proposal
			defer func() { <-slots }()
			if c.commit(cmd) {
				mu.Lock()
				defer mu.Unlock()
				done++
			}
		})
	}

	wg.Wait()
	return done
}
