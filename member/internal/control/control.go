// Package control keeps a cluster in order: it sets and keeps the time, places replicas, chooses owners, keeps the voters of the metadata
// group, and carries out what an operator asks for. The mover brings the groups of the partitions that this member owns in line.
//
// It owns the plan of the placement and what it is waiting for, nothing that another controller would need to go on. It must not know
// how members are reached, how clients are answered, or what partitions contain: that is in its Config.
package control

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/member/internal/memory"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Config is what a Control needs of the member.
type Config struct {
	Self   wire.ID
	Clock  *clock.Clock
	Memory *memory.Rooms
	Peers  Peers
	Logger *slog.Logger

	Cluster       func() wire.ID
	ClusterName   string
	Partitions    int              // with which a cluster begins
	Replicas      int              // likewise
	Maps          wire.MapConfigs  // likewise
	InitialVoters func() []wire.ID // with which the metadata group begins, by replica ID; nil if this member joined
	Participants  func() int       // how many members bootstrap the cluster together; 0 if this member joined
	RebuildDelay  time.Duration    // for which a silent member is counted on
	Wall          func() time.Time

	View    func() *meta.View          // the metadata as this member has applied them; nil before its replica runs
	Meta    MetaGroup                  // used once there is a View
	Host    func() *partition.Host     // nil before it runs
	Used    func() (limit, used int64) // of this member's memory
	Size    func(partition int) int64  // bytes of the replica here
	Owner   func(partition int) wire.Moved
	Closing func() bool

	Propose func(context.Context, meta.Command) (meta.Result, error) // until there is a result or the context ends
	Voters  func() []wire.ID                                         // the other voters of the metadata, those that answer first
	At      func(when string, c meta.Command)                        // where a test may have the member die
}

// MetaGroup is the metadata group, and this member's replica there.
type MetaGroup interface {
	// View returns the metadata as this member has applied them.
	View() *meta.View
	// Changed returns a channel that is closed when View has changed since. Wake closes it too.
	Changed() <-chan struct{}
	Wake()
	// Leads reports whether this member's replica leads, as far as is known here, and the newest term.
	Leads() (term uint64, leads bool)
	// Barrier returns when View shows all that was committed before the call.
	Barrier(ctx context.Context) error
	// Propose commits a command through this member's replica. It may be executed although there is an error.
	Propose(ctx context.Context, cmd []byte) (meta.Result, error)
	// Replica returns this member's replica, and Group who belongs to the group now.
	Replica() partition.MetaReplica
	Group(ctx context.Context) ([]partition.GroupMember, error)
	// Promote makes a learner a voter, and Remove removes a replica for good. They do nothing where nothing is left to do.
	Promote(ctx context.Context, replica uint64, member wire.ID) error
	Remove(ctx context.Context, replica uint64) error
	// Renew has this member's replica elected again, if it leads, and reports whether it campaigns.
	Renew() bool
}

// Peers are the other members.
type Peers interface {
	// Answers reports whether the process that a member is registered at has answered and goes on to. This member does.
	Answers(member, incarnation wire.ID) bool
	// Silence returns for how long a member has not answered.
	Silence(member wire.ID) time.Duration
	// Silent reports whether a member is suspect or unreachable.
	Silent(member wire.ID) bool
	// Said returns what the process that a member is registered at answered last, and how long ago; false if it does not answer.
	Said(member, incarnation wire.ID) (wire.PingResult, time.Duration, bool)
	// Word returns what a member said last, how long ago, and which of its incarnations did.
	Word(member wire.ID) (said wire.PingResult, ago time.Duration, from wire.ID, ok bool)
	// Down reports whether this member finds a process dead or silent.
	Down(member, incarnation wire.ID) bool
	// Opinions asks the others whether they find a process down too, and returns what those say that answer in time, by incarnation.
	Opinions(member, incarnation wire.ID) map[wire.ID]bool
	// Ask sends a call to a member.
	Ask(ctx context.Context, member wire.ID, op wire.Op, body []byte) (wire.Answer, error)
}

// Control is the part of a member that keeps the cluster in order. It is made by New, runs from Start, and ends with the context of that.
type Control struct {
	Config

	ctx     context.Context // of Start
	wg      sync.WaitGroup  // the controller and the mover
	running sync.WaitGroup  // questions of operators that are passed on

	voters   *metaVoters
	mover    *mover        // set by StartMover, before partitions are served
	noRoom   atomic.Uint32 // replicas that this member, if it controls the cluster, has placed nowhere for want of memory
	replan   atomic.Bool   // an operator wants the placement planned again
	changing chan struct{} // one slot: an operator's change is being made, if this member leads the metadata group
}

// New returns a Control that does nothing yet.
func New(cfg Config) *Control {
	k := &Control{Config: cfg, changing: make(chan struct{}, 1)}
	k.voters = newMetaVoters(k)
	return k
}

// Start has the controller work until ctx ends.
func (k *Control) Start(ctx context.Context) {
	k.ctx = ctx
	k.wg.Add(1)
	go newController(k).run() // ends with ctx
}

// StartMover has the groups of the partitions that this member owns brought in line, until the context of Start ends. There is a Host.
func (k *Control) StartMover(partitions int) {
	k.mover = newMover(k, partitions)
	k.wg.Add(1)
	go k.mover.run() // ends with the context of Start
}

// Wait waits for all goroutines of the Control. The context of Start has ended.
func (k *Control) Wait() {
	k.wg.Wait()
	k.running.Wait()
}

// NoRoom returns how many replicas this member has placed nowhere for want of memory, if it controls the cluster.
func (k *Control) NoRoom() uint32 { return k.noRoom.Load() }

// CanSpare answers a member that leaves and asks whether the metadata group can do without it: see metaVoters.CanSpare.
func (k *Control) CanSpare(member, incarnation wire.ID) error {
	return k.voters.CanSpare(member, incarnation)
}
