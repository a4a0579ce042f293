// Package replicas has a member run the replicas of partitions that the table gives to it, and no others.
//
// It must not know why the table is as it is, or what a replica holds.
package replicas

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// atOnce bounds the replicas that are being started and stopped at a time.
	atOnce = 8
	// stopForRecoveryTimeout bounds one attempt to stop a replica for good.
	stopForRecoveryTimeout = 10 * time.Second
	// retry is the pause after one that failed.
	retry = 200 * time.Millisecond
)

// Config is what Replicas are made of. All functions may be called by several goroutines at a time.
type Config struct {
	Self        wire.ID // the member
	Incarnation wire.ID // of this start
	Registry    *raftnet.Registry
	Logger      *slog.Logger

	// Commit commits a command in the metadata, and repeats it until it has a result or ctx ends.
	Commit func(ctx context.Context, c meta.Command) (meta.Result, error)
	// Wake has Follow called again although the metadata have not changed. It does not block.
	Wake func()
	// Closing reports whether the member stops: then no replica is started.
	Closing func() bool
}

// Replicas start and stop what the table says. Partitions are dealt with beside each other, one thing at a time for each. They are made by New, work
// from Start, and end with its context.
type Replicas struct {
	cfg   Config
	life  context.Context
	wg    sync.WaitGroup
	slots chan struct{}

	host atomic.Pointer[partition.Host] // set by Start

	// The following belong to Follow, but for what is atomic.
	parts   []held     // by partition
	located *meta.View // of which the registry was told
}

// New returns Replicas that run none yet.
func New(cfg Config) *Replicas { return &Replicas{cfg: cfg, slots: make(chan struct{}, atOnce)} }

// Start has Follow bring a host in line from now on, until ctx ends.
func (rs *Replicas) Start(ctx context.Context, host *partition.Host) {
	rs.life = ctx
	rs.host.Store(host)
}

// Wait waits for what Follow has begun. The context of Start has ended.
func (rs *Replicas) Wait() { rs.wg.Wait() }

type held struct {
	busy  atomic.Bool   // a goroutine is at it
	some  atomic.Bool   // the host may have something of the partition
	shown *meta.Replica // first of the list of replicas that the host was last told
}

// Follow begins what is to be done for each partition, and does not wait for it. It is called by one goroutine, with newer and newer metadata.
func (rs *Replicas) Follow(v *meta.View) {
	host := rs.host.Load()
	if host == nil || len(v.Table) == 0 {
		return
	}
	if rs.parts == nil {
		rs.parts = make([]held, len(v.Table))
	}

	// The registry comes first: a replica that starts sends to the others at once.
	partition.LocateReplicas(rs.cfg.Registry, rs.located, v)
	rs.located = v
	for p := range v.Table {
		t, part := &v.Table[p], &rs.parts[p]
		mine, ok := t.Replica(rs.cfg.Self)
		ok = ok && mine.Incarnation == rs.cfg.Incarnation
		runs := ok && host.Runs(partition.ShardOf(t.Generation, p), mine.ID)
		// A replica may have to be stopped for recovery, to be started, or to be dropped.
		switch {
		case ok && t.StoppedForRecovery && !mine.Stopped, ok && !t.StoppedForRecovery && !runs, !ok && part.some.Load():
			rs.start(v, p)
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
func (rs *Replicas) start(v *meta.View, p int) {
	if rs.cfg.Closing() || !rs.parts[p].busy.CompareAndSwap(false, true) {
		return
	}

	rs.parts[p].some.Store(true)
	rs.wg.Add(1)
	go func() { // ends when the partition is as the view has it or could not be made so, or with the member
		defer rs.wg.Done()
		// Many replicas start together when a member joins, and each takes processor and disk.
		rs.slots <- struct{}{}
		err := rs.settle(v, p)
		<-rs.slots
		if err != nil && rs.life.Err() == nil && !rs.cfg.Closing() {
			// After the pause the next call of Follow tries again, with what the metadata say by then.
			rs.cfg.Logger.Warn("a replica is not as the table says", "partition", p, "err", err)
			select {
			case <-time.After(retry):
			case <-rs.life.Done():
			}
		}
		rs.parts[p].busy.Store(false)
		// The table may have changed while this partition was busy.
		rs.cfg.Wake()
	}()
}

// settle brings a partition in line with the metadata.
func (rs *Replicas) settle(v *meta.View, p int) error {
	t := &v.Table[p]
	mine, ok := t.Replica(rs.cfg.Self)
	switch {
	case !ok || mine.Incarnation != rs.cfg.Incarnation:
		// Only when the host has dropped everything does the partition count as empty here.
		if err := rs.host.Load().Drop(rs.life, p); err != nil {
			return err
		}
		rs.parts[p].some.Store(false)
		return nil
	case t.StoppedForRecovery:
		// The report goes to the metadata only after the replica has stopped: what it holds must not grow any more.
		ctx, cancel := context.WithTimeout(rs.life, stopForRecoveryTimeout)
		defer cancel()
		term, index, err := rs.host.Load().StopForRecovery(ctx, p, t.Generation)
		if err != nil {
			return err
		}
		_, err = rs.cfg.Commit(ctx, &meta.Stopped{ReplicaStep: meta.ReplicaStep{Partition: uint32(p), Generation: t.Generation, Replica: mine.ID},
			Incarnation: rs.cfg.Incarnation, Term: term, Index: index})
		return err
	}

	// The member holds the replica and it does not run yet.
	place := partition.Placement{Partition: p, Generation: t.Generation, Replica: mine.ID, Join: mine.Joined || !t.Whole(), Learner: mine.Joined, Preferred: t.Preferred == rs.cfg.Self,
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

	if err := rs.host.Load().StartReplica(place); err != nil {
		return err
	}

	// Follow tells only replicas that run already, so a new one is told here.
	rs.host.Load().SetVoters(p, t.Generation, voters(t))
	return nil
}
