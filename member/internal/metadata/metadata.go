// Package metadata is a member's part in the metadata group: its replica there, and what members do for each other about it. It
// gives the member a place in the group, and keeps account of that in the data directory. It commits commands where this
// replica has no vote, and reads what is committed. Where an operator says that the quorum is lost for good, it begins the next
// generation of the group.
//
// It must not know what the metadata are for: who controls the cluster, which replicas of partitions run here, or what clients are told. It
// knows how to ask other members, and not how they are reached.
package metadata

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// retry is the pause before a call to the metadata group is repeated.
	retry = 50 * time.Millisecond
	// timeout bounds one attempt.
	timeout = 3 * time.Second
)

// Config is what Metadata are made of. All functions may be called by several goroutines at a time.
type Config struct {
	Self        wire.ID // the member
	Incarnation wire.ID // of this start
	Starts      uint64  // how often the data directory was started, this time included
	Dir         string  // the data directory
	Addr        string  // of the members' port
	Logger      *slog.Logger

	Transport *raftnet.Transport
	Registry  *raftnet.Registry
	Peers     Peers

	// Registration returns what this member says of itself.
	Registration func() meta.Registration
	// Table asks the member behind a client address for the table.
	Table func(ctx context.Context, addr string) (*wire.Table, error)
	// Waiting takes what the start waits for.
	Waiting func(what string)
	// Started reports whether the start is over. Before that the metadata may not know this incarnation.
	Started func() bool
	// Closing reports whether the member stops.
	Closing func() bool
	// Leaving reports whether the member is about to leave: it must not lead, and asks for no other replica.
	Leaving func() bool
	// Removed is called when the cluster has removed this process from its members. It does not block.
	Removed func(reason string)
	// Followed is called after each change of the metadata, and once at the beginning, by one goroutine.
	Followed func(v *meta.View)
	// At is where a test may have the member die.
	At func(when string, c meta.Command)
}

// Peers are the other members.
type Peers interface {
	// SetMetaMembers tells who is in the metadata group while the metadata cannot tell yet.
	SetMetaMembers(members []wire.MetaMember)
	// MetaMembers returns them.
	MetaMembers() []wire.MetaMember
	// MetaMemberIDs returns their members, without this one.
	MetaMemberIDs() []wire.ID
	// Whereabouts returns where a member was found, else the address given.
	Whereabouts(member wire.ID, addr string) string
	// DialAddr connects to the members' port at an address, where a member is meant to be. The answer tells who is there.
	DialAddr(ctx context.Context, member wire.ID, addr string, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error)
	// Ask sends a call to a member.
	Ask(ctx context.Context, member wire.ID, op wire.Op, body []byte) (wire.Answer, error)
	// Silent reports whether a member is suspect or unreachable.
	Silent(member wire.ID) bool
	// Silence returns for how long a member has not answered.
	Silence(member wire.ID) time.Duration
}

// Metadata are a member's replica of the metadata, and its dealings with the group. They are made by New, have a replica from Enter, follow it
// from Start, and end with Stop.
type Metadata struct {
	cfg Config
	log *slog.Logger

	*partition.MetaHost             // nil before Enter
	ready               atomic.Bool // MetaHost may be used, and a replica runs or will
	life                context.Context
	wg                  sync.WaitGroup // what Start and Doubted have begun

	cluster  wire.ID     // set by Enter
	joined   bool        // the replica began as a learner
	released atomic.Bool // the group can do without this member, which leaves
	doubting atomic.Bool // a goroutine asks whether the cluster still counts this process among its members
	recovery recovery

	initialVoters []wire.ID               // with which the group begins, by replica ID; nil if this member joined
	participants  []bootstrap.Participant // all who bootstrap the cluster together; nil if this member joined
}

// New returns Metadata without a replica.
func New(cfg Config) *Metadata {
	md := &Metadata{cfg: cfg, log: cfg.Logger}
	md.recovery.slot = make(chan struct{}, 1)
	return md
}

// Start follows the metadata until ctx ends. A replica runs.
func (md *Metadata) Start(ctx context.Context) {
	md.life = ctx
	md.wg.Add(1)
	go md.follow() // ends with ctx
}

// Close stops the replica and its host. It may be called before Enter.
func (md *Metadata) Close() {
	if md.MetaHost != nil {
		md.MetaHost.Close()
	}
}

// Wait waits for all goroutines. The context of Start has ended.
func (md *Metadata) Wait() { md.wg.Wait() }

// View returns the metadata as this member has applied them; nil before its replica runs.
func (md *Metadata) View() *meta.View {
	if !md.ready.Load() {
		return nil
	}
	return md.MetaHost.View()
}

// InitialVoters returns with which members the group begins, by replica ID; nil if this member joined.
func (md *Metadata) InitialVoters() []wire.ID { return md.initialVoters }

// Participants returns how many members bootstrap the cluster together; 0 if this member joined.
func (md *Metadata) Participants() int { return len(md.participants) }

// Release says that the group can do without this member, which leaves. From now on it makes no use of its vote.
func (md *Metadata) Release() { md.released.Store(true) }

// Votes reports whether this member's replica votes, as far as it knows.
func (md *Metadata) Votes() bool {
	// The group does without this vote already, and may have removed it without this member's hearing of it.
	if md.released.Load() {
		return false
	}
	if mb := md.View().Member(md.cfg.Self); mb != nil {
		return mb.MetaVoter
	}
	// Before this member is registered, its replica tells: an initial voter votes, a learner does not.
	return !md.joined
}

// Voters returns the other members whose replicas vote, or may vote. Those that answer come first.
func (md *Metadata) Voters() []wire.ID {
	var ids, silent []wire.ID
	for _, mb := range md.View().Members {
		switch {
		case !mb.MetaVoter || mb.ID == md.cfg.Self:
		case md.cfg.Peers.Silent(mb.ID):
			silent = append(silent, mb.ID)
		default:
			ids = append(ids, mb.ID)
		}
	}

	// A member that looks silent from here may still lead, so it is asked last instead of never.
	if ids = append(ids, silent...); len(ids) > 0 {
		return ids
	}
	return md.cfg.Peers.MetaMemberIDs()
}

// LeadingMember returns the member whose replica leads the group, as far as this member knows; nil if it knows none. The result is part of a
// view.
func (md *Metadata) LeadingMember() *meta.Member {
	v := md.View()
	if v == nil {
		return nil
	}
	leader := md.Leader()
	// Nobody leads, or this replica has not heard of a leader yet.
	if leader == 0 {
		return nil
	}
	// The view may not know the leader's replica yet. Then nobody can be named.
	for i := range v.Members {
		if v.Members[i].MetaReplica == leader {
			return &v.Members[i]
		}
	}
	return nil
}
