package member

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// holdAtOnce bounds the replicas that are being started and stopped at a time.
	holdAtOnce = 8
	// stopForRecoveryTimeout bounds one attempt to stop a replica for good.
	stopForRecoveryTimeout = 10 * time.Second
	// holdRetry is the pause after one that failed.
	holdRetry = 200 * time.Millisecond
)

// follow brings this member in line with the metadata whenever they change: who the others are, which replicas it must
// hold. It ends with the member.
func (m *Member) follow() {
	defer m.wg.Done()
	var members []wire.MetaMember
	h := &holding{m: m, slots: make(chan struct{}, holdAtOnce)}
	for {
		// This is taken before the view, so that no change between the two is missed.
		changed := m.meta.Changed()
		v := m.meta.View()
		for i := range v.Members {
			if mb := &v.Members[i]; mb.MetaReplica != 0 {
				m.metaReg.Set(partition.MetaShard(v.Generation()), mb.MetaReplica, mb.ID.String())
			}
		}

		m.peers.Update()
		m.memory.Follow(v)
		if now := m.metaMembers(); len(now) > 0 {
			var err error
			if members, err = saveMetaMembers(m.cfg.DataDir, members, now); err != nil {
				m.log.Warn("the list of members was not saved", "err", err)
			}
		}

		// Before Start has returned, this incarnation may not be registered yet.
		if reason := m.notIn(v); reason != "" && m.started.Load() {
			m.stopRemoved(reason)
		}

		h.follow(v)
		m.views.notify()
		m.events.NotifyRoutes()
		select {
		case <-changed:
		case <-m.ctx.Done():
			return
		}
	}
}

// holding has this member run the replicas that the table gives to this incarnation, and no others. Partitions are started and
// stopped beside each other, one thing at a time for each. It belongs to follow.
type holding struct {
	m     *Member
	slots chan struct{}
	parts []held // by partition

	located *meta.View // of which the registry was told
}

type held struct {
	busy  atomic.Bool   // a goroutine is at it
	some  atomic.Bool   // the host may have something of the partition
	shown *meta.Replica // first of the list of replicas that the host was last told
}

// follow starts what is to be done for each partition, and does not wait for it.
func (h *holding) follow(v *meta.View) {
	m := h.m
	host := m.dataHost()
	if host == nil || len(v.Table) == 0 {
		return
	}
	if h.parts == nil {
		h.parts = make([]held, len(v.Table))
	}

	partition.LocateReplicas(m.dataReg, h.located, v)
	h.located = v
	for p := range v.Table {
		t, part := &v.Table[p], &h.parts[p]
		mine, ok := t.Replica(m.id)
		ok = ok && mine.Incarnation == m.incarnation
		runs := ok && host.Runs(partition.ShardOf(t.Generation, p), mine.ID)
		// A replica may have to be stopped for recovery, to be started, or to be dropped.
		switch {
		case ok && t.StoppedForRecovery && !mine.Stopped, ok && !t.StoppedForRecovery && !runs, !ok && part.some.Load():
			h.start(v, p)
		case runs && part.shown != &t.Replicas[0]:
			// Views share what has not changed, so another address means another list.
			part.shown = &t.Replicas[0]
			host.SetVoters(p, t.Generation, voters(t))
		}
	}
}

// voters returns who votes in a partition's group, or may.
func voters(t *meta.Partition) map[uint64]wire.ID {
	list := make(map[uint64]wire.ID, len(t.Replicas))
	for _, r := range t.Replicas {
		if r.Role != meta.RoleLearner {
			list[r.ID] = r.Incarnation
		}
	}
	return list
}

// start has a goroutine bring a partition in line, unless one is at it.
func (h *holding) start(v *meta.View, p int) {
	m := h.m
	if m.isClosing() || !h.parts[p].busy.CompareAndSwap(false, true) {
		return
	}

	h.parts[p].some.Store(true)
	m.wg.Add(1)
	go func() { // ends when the partition is as the view has it or could not be made so, or with the member
		defer m.wg.Done()
		h.slots <- struct{}{}
		err := h.settle(v, p)
		<-h.slots
		if err != nil && m.ctx.Err() == nil && !m.isClosing() {
			m.log.Warn("a replica is not as the table says", "partition", p, "err", err)
			select {
			case <-time.After(holdRetry):
			case <-m.ctx.Done():
			}
		}
		h.parts[p].busy.Store(false)
		// The table may have changed while this partition was busy.
		m.meta.Wake()
	}()
}

// settle brings a partition in line with the metadata.
func (h *holding) settle(v *meta.View, p int) error {
	m := h.m
	t := &v.Table[p]
	mine, ok := t.Replica(m.id)
	switch {
	case !ok || mine.Incarnation != m.incarnation:
		if err := m.host.Drop(m.ctx, p); err != nil {
			return err
		}
		h.parts[p].some.Store(false)
		return nil
	case t.StoppedForRecovery:
		// The report goes to the metadata only after the replica has stopped: what it holds must not grow any more.
		ctx, cancel := context.WithTimeout(m.ctx, stopForRecoveryTimeout)
		defer cancel()
		term, index, err := m.host.StopForRecovery(ctx, p, t.Generation)
		if err != nil {
			return err
		}
		_, err = m.metaPropose(ctx, &meta.Stopped{ReplicaStep: meta.ReplicaStep{Partition: uint32(p), Generation: t.Generation, Replica: mine.ID},
			Incarnation: m.incarnation, Term: term, Index: index})
		return err
	}

	place := partition.Placement{Partition: p, Generation: t.Generation, Replica: mine.ID, Join: mine.Joined || !t.Whole(), Learner: mine.Joined, Preferred: t.Preferred == m.id,
		FromSurvivor: t.FromSurvivor, Losses: t.Lost + t.PossibleLosses}
	// The replicas that a group begins with know each other from the start. One that joins hears of the others from the group.
	if !place.Join {
		place.Initial = make(map[uint64]wire.ID)
		for _, r := range t.Replicas {
			if !r.Joined {
				place.Initial[r.ID] = r.Incarnation
			}
		}
	}

	if err := m.host.StartReplica(place); err != nil {
		return err
	}

	m.host.SetVoters(p, t.Generation, voters(t))
	return nil
}
