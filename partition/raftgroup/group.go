package raftgroup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
)

const (
	// changeTimeout bounds one change of a group's membership, and one question for it.
	changeTimeout = 10 * time.Second
	// askTimeout bounds one try to read a membership. The library can lose the answer for ever, so it is asked again.
	askTimeout = 600 * time.Millisecond
	// withholdFor is for how long a replica that is being removed is not told what is committed since. Once it is removed, its leader
	// sends it nothing but what was queued before.
	withholdFor = changeTimeout + 5*time.Second
	// removeTimeout bounds the wait for the library to release a stopped replica.
	removeTimeout = 30 * time.Second
)

// Group is a Raft group of which the host has a replica, or had one. It is a value, made for a call or two.
type Group struct {
	host  *Host
	shard uint64
	name  string // for errors
	reads *atomic.Int64
}

// Group returns a group. Errors call it by a name, such as "partition 7".
func (h *Host) Group(shard uint64, name string) Group {
	return Group{host: h, shard: shard, name: name, reads: new(atomic.Int64)}
}

// CountReads returns the group with a counter of the ReadIndexes under way that are made to learn who belongs to it.
func (g Group) CountReads(reads *atomic.Int64) Group {
	g.reads = reads
	return g
}

// Member is one replica of a group, as the group itself has it.
type Member struct {
	Replica uint64
	Voter   bool
}

// Members returns who belongs to the group now, in the order of the replicas' IDs.
func (g Group) Members(ctx context.Context) ([]Member, error) {
	m, err := g.Membership(ctx)
	if err != nil {
		return nil, err
	}

	list := make([]Member, 0, len(m.Nodes)+len(m.NonVotings))
	for id := range m.Nodes {
		list = append(list, Member{Replica: id, Voter: true})
	}
	for id := range m.NonVotings {
		list = append(list, Member{Replica: id})
	}
	slices.SortFunc(list, func(a, b Member) int { return cmp.Compare(a.Replica, b.Replica) })
	return list, nil
}

// Membership returns who belongs to the group now, as the library says it.
func (g Group) Membership(ctx context.Context) (m *dragonboat.Membership, err error) {
	err = g.call(ctx, changeTimeout, func(ctx context.Context, nh *dragonboat.NodeHost) error {
		m, err = g.membership(ctx, nh)
		return err
	})
	return m, err
}

// AddLearner gives the group a replica that learns, at a target. It does nothing where the group has the replica, as a learner or as a
// voter.
func (g Group) AddLearner(ctx context.Context, replica uint64, target string) error {
	return g.change(ctx, replica, "add the learner", func(ctx context.Context, nh *dragonboat.NodeHost, m *dragonboat.Membership) error {
		if has(m.NonVotings, replica) || has(m.Nodes, replica) {
			// An earlier attempt may have been carried out, and its answer lost.
			return nil
		}
		return nh.SyncRequestAddNonVoting(ctx, g.shard, replica, target, m.ConfigChangeID)
	})
}

// Promote makes a learner a voter. It does nothing where the replica is a voter.
//
// NOTE: a learner that has not caught up holds up every write until it has.
func (g Group) Promote(ctx context.Context, replica uint64, target string) error {
	return g.change(ctx, replica, "promote the learner", func(ctx context.Context, nh *dragonboat.NodeHost, m *dragonboat.Membership) error {
		if has(m.Nodes, replica) {
			// An earlier attempt may have been carried out, and its answer lost.
			return nil
		}
		return nh.SyncRequestAddReplica(ctx, g.shard, replica, target, m.ConfigChangeID)
	})
}

// Limiter keeps from a replica what is committed beyond an index, until a time. A time that has passed ends that.
type Limiter interface {
	LimitCommit(shard, replica, index uint64, until time.Time)
}

// Remove removes a replica, which must not be the host's own: a leader transfers its leadership first. It does nothing where the group
// does not have the replica.
//
// The replica must not hear of its own removal before the others have. So l keeps from it what is committed beyond applied. That ends by itself. It
// ends at once where the replica certainly stays: then it must hear everything.
func (g Group) Remove(ctx context.Context, replica, applied uint64, l Limiter) error {
	// Before the change is proposed: its commit could otherwise be the next thing that the replica hears.
	l.LimitCommit(g.shard, replica, applied, time.Now().Add(withholdFor))
	tried := false
	err := g.change(ctx, replica, "remove the replica", func(ctx context.Context, nh *dragonboat.NodeHost, m *dragonboat.Membership) error {
		if !has(m.NonVotings, replica) && !has(m.Nodes, replica) {
			// The group has removed it before, or never had it.
			return nil
		}

		// From here on an error may hide a change that is made.
		tried = true
		return nh.SyncRequestDeleteReplica(ctx, g.shard, replica, m.ConfigChangeID)
	})

	if err != nil && (!tried || refused(err)) {
		// The replica stays. After any other error the change may come yet, and the limit ends by itself.
		l.LimitCommit(g.shard, replica, 0, time.Time{})
	}
	return err
}

// refused reports whether the error of a change says that the change is not made. After other errors it may be made yet.
func refused(err error) bool {
	// The first is the group's own answer. After the others the library has proposed nothing.
	for _, e := range [...]error{dragonboat.ErrRejected, dragonboat.ErrShardNotReady, dragonboat.ErrSystemBusy, dragonboat.ErrShardNotFound} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// StopReplica stops a replica of the host. One that does not run is no error.
func (g Group) StopReplica(replica uint64) error {
	nh, err := g.host.Enter()
	if err != nil {
		return err
	}
	defer g.host.Leave()

	// A replica that is not found was stopped before, or never started.
	if err := nh.StopReplica(g.shard, replica); err != nil && !errors.Is(err, dragonboat.ErrShardNotFound) {
		return fmt.Errorf("stop replica %d of %s: %w", replica, g.name, err)
	}
	return nil
}

// RemoveData waits until the library has released a replica that was stopped, and removes what the log has of it. Before that another
// replica of the group must not start.
func (g Group) RemoveData(ctx context.Context, replica uint64) error {
	return g.call(ctx, removeTimeout, func(ctx context.Context, nh *dragonboat.NodeHost) error {
		if err := nh.SyncRemoveData(ctx, g.shard, replica); err != nil {
			// The library may still be releasing it. The caller may try again.
			return fmt.Errorf("remove replica %d of %s: %w", replica, g.name, err)
		}
		return nil
	})
}

// change carries out a change of the group by one replica. The change looks first at what the group is, so it may be repeated after any
// answer or none. It is a compare-and-set on the group's last change: of two that are tried at once, one is refused.
func (g Group) change(ctx context.Context, replica uint64, what string,
	f func(context.Context, *dragonboat.NodeHost, *dragonboat.Membership) error,
) error {
	return g.call(ctx, changeTimeout, func(ctx context.Context, nh *dragonboat.NodeHost) error {
		// The membership that was read goes into the change, which is refused if another has come between.
		m, err := g.membership(ctx, nh)
		if err == nil {
			err = f(ctx, nh, m)
		}
		if err != nil {
			return fmt.Errorf("%s %d of %s: %w", what, replica, g.name, err)
		}
		return nil
	})
}

// membership reads who belongs to the group.
func (g Group) membership(ctx context.Context, nh *dragonboat.NodeHost) (*dragonboat.Membership, error) {
	g.reads.Add(1)
	defer g.reads.Add(-1)
	for {
		short, cancel := context.WithTimeout(ctx, askTimeout)
		m, err := nh.SyncGetShardMembership(short, g.shard)
		// Before cancel, which sets the context's error as well.
		timedOut := short.Err() != nil || errors.Is(err, dragonboat.ErrTimeout)
		cancel()

		if err == nil {
			return m, nil
		}

		// Only an answer that may have been lost is asked for again.
		if !timedOut || ctx.Err() != nil {
			return nil, fmt.Errorf("read who belongs to %s: %w", g.name, err)
		}
	}
}

// call calls the NodeHost with a context that ends after some time, and with the host.
func (g Group) call(ctx context.Context, atMost time.Duration, f func(context.Context, *dragonboat.NodeHost) error) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()

	// Close waits for Leave, and must not wait for a group without a quorum.
	defer context.AfterFunc(g.host.life, cancel)()

	nh, err := g.host.Enter()
	if err != nil {
		return err
	}
	defer g.host.Leave()
	return f(ctx, nh)
}

func has(replicas map[uint64]string, id uint64) bool {
	_, ok := replicas[id]
	return ok
}
