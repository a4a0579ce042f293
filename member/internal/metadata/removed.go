package metadata

import (
	"context"
	"errors"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// notIn returns why metadata do not count this process among the cluster's members; "" if they count it.
func (md *Metadata) notIn(v *meta.View) string {
	switch mb := v.Member(md.cfg.Self); {
	case mb == nil:
		return "it was removed"
	// A directory that was copied, or a start beside this one, makes a second process. The later one counts.
	case mb.Incarnation != md.cfg.Incarnation:
		return "another process was started as the same member"
	case mb.State == meta.StateDead:
		return "it was declared dead"
	case mb.State == meta.StateLeft:
		return "another member has taken its name while it was silent"
	}
	return ""
}

// Unknown reports whether a process is not among the members that this member knows, because it is new or was removed. For a known member it
// reports whether that has no replica of the metadata.
func (md *Metadata) Unknown(id, incarnation wire.ID) (unknown, noReplica bool) {
	v := md.View()
	// A member without metadata knows nobody, and must not make others doubt themselves.
	if v == nil || !v.Bootstrapped() {
		return false, false
	}
	mb := v.Member(id)
	if mb == nil || mb.Incarnation != incarnation || !mb.Live() {
		return true, false
	}
	return false, mb.MetaReplica == 0
}

// Doubt is called when another member answers this one as an unknown peer, or as one without a metadata replica. It does not block. A member whose
// replica was removed gets no more metadata, so it hears of its removal in no other way. This member reads the other's metadata. It believes only
// what is committed, or of a later generation, and newer than its own: older metadata may not know this incarnation, or its replica, yet.
func (md *Metadata) Doubt(other wire.ID) {
	// One question at a time is enough, for heartbeats bring the doubt ten times a second.
	if md.cfg.Closing() || !md.doubting.CompareAndSwap(false, true) {
		return
	}

	md.wg.Add(1)
	go func() { // ends with its question, or when the member has another replica, or with the context of Start
		defer md.wg.Done()
		defer md.doubting.Store(false)
		md.settleDoubt(other)
	}()
}

// settleDoubt does what Doubt says.
func (md *Metadata) settleDoubt(other wire.ID) {
	ctx, cancel := context.WithTimeout(md.life, timeout)
	defer cancel()
	// The own metadata are taken before the question, so that what comes meanwhile does not hide the news.
	mine := md.View()
	v, led, err := md.Read(ctx, other)
	at := md.Replica()
	if err != nil || v.Cluster != md.cluster || !tellsNews(v, led, mine, at.Generation) {
		return
	}

	switch reason := md.notIn(v); {
	case reason != "":
		// During the start this incarnation may not be registered yet. In a later generation of the metadata it never will be.
		if v.Generation() > at.Generation || md.cfg.Started() {
			md.cfg.Removed(reason)
		}
	case replicaLost(v, md.cfg.Self, at) && !md.cfg.Leaving():
		md.learnAgain(v)
	}
}

// tellsNews reports whether a member may believe another's metadata v about itself, beside its own metadata, which are of a generation. led says
// that the group's leader confirmed v.
//
// Metadata that nobody confirmed may be from before this start was registered. The replica here may be even further behind just after a start, so
// that its version proves nothing.
func tellsNews(v *meta.View, led bool, mine *meta.View, generation uint64) bool {
	return v.Version > mine.Version && (led || v.Generation() > generation)
}

// replicaLost reports whether metadata tell a member that the replica which it runs is none of the group's any more. Such
// metadata are of a later generation, or know that the replica's ID was given out and that the member has it no more.
func replicaLost(v *meta.View, id wire.ID, at partition.MetaReplica) bool {
	return v.Generation() > at.Generation ||
		v.Generation() == at.Generation && v.NextMeta > at.Replica && v.Member(id).MetaReplica != at.Replica
}

// learnAgain has this member give up its replica of the metadata, and learn under a new replica ID. The group has removed the old replica, or a later
// generation has begun without it. v is newer than the metadata that are known here.
func (md *Metadata) learnAgain(v *meta.View) {
	md.log.Info("the metadata group has removed this member's replica; asking for a new one", "generation", v.Generation())
	for md.life.Err() == nil {
		err := md.changeReplica(md.life, v)
		if err == nil || md.cfg.Closing() {
			return
		}

		md.log.Info("waiting for a place in the metadata group", "err", err)
		if errors.Is(err, errRefused) {
			// The cluster does not know this member any more. The next heartbeat tells, and Doubt ends the member.
			return
		}

		select {
		case <-time.After(joinRetry):
		case <-md.life.Done():
		}

		// The voters may have changed, and only a voter gives a new replica.
		for i := range v.Members {
			if now, _, err := md.Read(md.life, v.Members[i].ID); v.Members[i].MetaReplica != 0 && err == nil && now.Version > v.Version {
				v = now
				break
			}
		}
	}
}

// changeReplica is one attempt.
func (md *Metadata) changeReplica(ctx context.Context, v *meta.View) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	gone, givenUp, err := keptPlace(md.cfg.Dir)
	// The directory says first that the replica was given up: it must not run again, also after a crash.
	if err == nil && !givenUp {
		err = keepPlace(md.cfg.Dir, gone, true)
	}
	if err == nil {
		err = md.Quit()
	}
	if err != nil {
		return err
	}

	var errs []error
	for i := range v.Members {
		mb := &v.Members[i]
		if !mb.MetaVoter || mb.ID == md.cfg.Self {
			continue
		}

		// Any voter can give a place. The first that does ends the search.
		info := mb.Info()
		res, err := md.joinThrough(ctx, &info, gone)
		if err != nil {
			errs = append(errs, err)
			continue
		}

		// The replica can reach the voters only if the registry knows them before it runs.
		md.locate(res.Generation, res.Members)
		at := place{generation: res.Generation, replica: res.Replica}
		return md.take(ctx, at, partition.MetaStart{Generation: at.generation, Replica: at.replica, Join: true})
	}

	return errors.Join(errs...)
}
