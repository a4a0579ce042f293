package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ErrRemoved is what Err returns after the others have removed this member. An operator has declared it dead, its name was taken over while
// it was silent, or a later start of the same directory has taken its place.
var ErrRemoved = errors.New("this member was removed from the cluster")

// Done returns a channel that is closed when everything of the member has ended: after Close, Kill, or by itself, which Err tells.
func (m *Member) Done() <-chan struct{} { return m.ended }

// Err returns why the member has stopped, or stops, by itself: an error that wraps ErrRemoved. It is nil otherwise.
func (m *Member) Err() error {
	if err := m.removed.Load(); err != nil {
		return *err
	}
	return nil
}

// notIn returns why metadata do not count this process among the cluster's members; "" if they count it.
func (m *Member) notIn(v *meta.View) string {
	switch mb := v.Member(m.id); {
	case mb == nil:
		return "it was removed"
	case mb.Incarnation != m.incarnation:
		return "another process was started as the same member"
	case mb.State == meta.StateDead:
		return "it was declared dead"
	case mb.State == meta.StateLeft:
		return "another member has taken its name while it was silent"
	}
	return ""
}

// unknownPeer reports whether a process is not among the members that this member knows, because it is new or was removed. For a known member
// it reports whether that has no replica of the metadata.
func (m *Member) unknownPeer(id, incarnation wire.ID) (unknown, noMetaReplica bool) {
	v := m.metaView()
	if v == nil || !v.Bootstrapped() {
		return false, false
	}
	mb := v.Member(id)
	if mb == nil || mb.Incarnation != incarnation || !mb.Live() {
		return true, false
	}
	return false, mb.MetaReplica == 0
}

// doubt is called when another member answers this one as an unknown peer, or as one without a metadata replica. A member whose replica was removed
// gets no more metadata, so it hears of its removal in no other way. This member reads the other's metadata. It believes only what is committed, or
// of a later generation, and newer than its own: older metadata may not know this incarnation, or its replica, yet.
func (m *Member) doubt(other wire.ID) {
	if m.isClosing() || !m.doubting.CompareAndSwap(false, true) {
		return
	}

	m.goOn(func() {
		defer m.doubting.Store(false)
		ctx, cancel := context.WithTimeout(m.ctx, metaTimeout)
		defer cancel()
		mine := m.metaView()
		v, led, err := m.readMeta(ctx, other)
		at := m.meta.Replica()
		if err != nil || v.Cluster != m.clusterID() || !tellsNews(v, led, mine, at.Generation) {
			return
		}
		switch reason := m.notIn(v); {
		case reason != "":
			// During the start this incarnation may not be registered yet. In a later generation of the metadata it never will be.
			if v.Generation() > at.Generation || m.started.Load() {
				m.stopRemoved(reason)
			}
		case metaReplicaLost(v, m.id, at) && !m.going.Load():
			m.learnAgain(v)
		}
	})
}

// tellsNews reports whether a member may believe another's metadata v about itself, beside its own metadata, which are of a generation. led says
// that the group's leader confirmed v.
//
// Metadata that nobody confirmed may be from before this start was registered. The replica here may be even further behind just after a start, so
// that its version proves nothing.
func tellsNews(v *meta.View, led bool, mine *meta.View, generation uint64) bool {
	return v.Version > mine.Version && (led || v.Generation() > generation)
}

// metaReplicaLost reports whether metadata tell a member that the replica which it runs is none of the group's any more: they are of a later
// generation, or know that the replica's ID was given out, and that the member has it no more.
func metaReplicaLost(v *meta.View, id wire.ID, at partition.MetaReplica) bool {
	return v.Generation() > at.Generation ||
		v.Generation() == at.Generation && v.NextMeta > at.Replica && v.Member(id).MetaReplica != at.Replica
}

// learnAgain has this member give up its replica of the metadata, and learn under a new replica ID. The group has removed the old replica, or a later
// generation has begun without it. v is newer than the metadata that are known here.
func (m *Member) learnAgain(v *meta.View) {
	m.log.Info("the metadata group has removed this member's replica; asking for a new one", "generation", v.Generation())
	for m.ctx.Err() == nil {
		err := m.changeMetaReplica(m.ctx, v)
		if err == nil || m.isClosing() {
			return
		}

		m.log.Info("waiting for a place in the metadata group", "err", err)
		if errors.Is(err, errRefused) {
			// The cluster does not know this member any more. The next heartbeat tells, and doubt ends the member.
			return
		}

		select {
		case <-time.After(joinRetry):
		case <-m.ctx.Done():
		}

		// The voters may have changed, and only a voter gives a new replica.
		for i := range v.Members {
			if now, _, err := m.readMeta(m.ctx, v.Members[i].ID); v.Members[i].MetaReplica != 0 && err == nil && now.Version > v.Version {
				v = now
				break
			}
		}
	}
}

// changeMetaReplica is one attempt.
func (m *Member) changeMetaReplica(ctx context.Context, v *meta.View) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	gone, givenUp, err := keptMetaReplica(m.cfg.DataDir)
	// The directory says first that the replica was given up: it must not run again, also after a crash.
	if err == nil && !givenUp {
		err = keepMetaReplica(m.cfg.DataDir, gone, true)
	}
	if err == nil {
		err = m.meta.Quit()
	}
	if err != nil {
		return err
	}

	var errs []error
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.MetaVoter || mb.ID == m.id {
			continue
		}

		info := mb.Info()
		res, err := m.joinThrough(ctx, &info, gone)
		if err != nil {
			errs = append(errs, err)
			continue
		}

		// The replica can reach the voters only if the registry knows them before it runs.
		for _, s := range res.Members {
			m.metaReg.Set(partition.MetaShard(res.Generation), s.Replica, s.Member.String())
		}

		at := metaReplica{generation: res.Generation, replica: res.Replica}
		return m.takeMetaReplica(ctx, at, partition.MetaStart{Generation: at.generation, Replica: at.replica, Join: true})
	}

	return errors.Join(errs...)
}

// stopRemoved stops this member as a crash would. Others own and hold by now what it had, so it may answer no caller any more.
func (m *Member) stopRemoved(reason string) {
	err := fmt.Errorf("%w: %s", ErrRemoved, reason)
	if m.isClosing() || !m.removed.CompareAndSwap(nil, &err) {
		return
	}

	m.log.Error("member removed from the cluster; shutting down (restart it to rejoin, without data)", "reason", reason,
		"event", "MEMBER_REMOVED", "incarnation", m.incarnation.String())
	if !m.started.Load() {
		// Start undoes what it has done, and returns this error.
		m.abort(err)
		return
	}
	// Kill waits for the goroutine that calls this.
	go m.Kill() // ends when everything of the member has
}
