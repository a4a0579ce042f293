package partition

import (
	"runtime"
	"time"
	_ "unsafe" // for go:linkname

	_ "github.com/lni/dragonboat/v4" // its package variables are set below
)

// Dragonboat sizes the queues of every replica for one group per process. With hundreds of groups the defaults take
// 1.12 MB of heap each; these take 0.04 MB. The library reads them from a file in the working directory or takes its
// defaults, both before any code of ours runs, and keeps them in package variables: they are set here, before the first
// NodeHost. TestSettingsTookEffect fails when a new version of the library no longer has them.
var (
	//go:linkname incomingProposalsMaxLen github.com/lni/dragonboat/v4.incomingProposalsMaxLen
	incomingProposalsMaxLen uint64
	//go:linkname incomingReadIndexMaxLen github.com/lni/dragonboat/v4.incomingReadIndexMaxLen
	incomingReadIndexMaxLen uint64
	//go:linkname receiveQueueLen github.com/lni/dragonboat/v4.receiveQueueLen
	receiveQueueLen uint64
	//go:linkname pendingProposalShards github.com/lni/dragonboat/v4.pendingProposalShards
	pendingProposalShards uint64
	//go:linkname streamConnections github.com/lni/dragonboat/v4.streamConnections
	streamConnections uint64
	//go:linkname raftEntrySliceSize github.com/lni/dragonboat/v4/internal/raft.entrySliceSize
	raftEntrySliceSize uint64
	//go:linkname raftMinEntrySliceSize github.com/lni/dragonboat/v4/internal/raft.minEntrySliceSize
	raftMinEntrySliceSize uint64
	//go:linkname raftMaxEntrySize github.com/lni/dragonboat/v4/internal/raft.maxEntrySize
	raftMaxEntrySize uint64
	//go:linkname rsmInitialTaskQueueCap github.com/lni/dragonboat/v4/internal/rsm.initialTaskQueueCap
	rsmInitialTaskQueueCap uint64
)

// What the library counts in ticks beside elections and heartbeats.
var (
	//go:linkname streamPushDelayTick github.com/lni/dragonboat/v4.streamPushDelayTick
	streamPushDelayTick uint64
	//go:linkname streamConfirmedDelayTick github.com/lni/dragonboat/v4.streamConfirmedDelayTick
	streamConfirmedDelayTick uint64
	//go:linkname defaultGCTick github.com/lni/dragonboat/v4.defaultGCTick
	defaultGCTick uint64
	//go:linkname raftInMemGCTimeout github.com/lni/dragonboat/v4/internal/raft.inMemGcTimeout
	raftInMemGCTimeout uint64
)

func init() {
	// Two entries of a partition are under way at a time. The metadata have more.
	incomingProposalsMaxLen = 32
	incomingReadIndexMaxLen = 64
	// A replica has room for so many messages, of 304 bytes, twice. One that does not fit is lost, as on a network.
	receiveQueueLen = 32
	pendingProposalShards = 1
	streamConnections = 1
	raftEntrySliceSize = 8
	raftMinEntrySliceSize = 2
	raftMaxEntrySize = 4 << 20 // bytes that one Replicate message gathers
	rsmInitialTaskQueueCap = 4

	// The library's own numbers are for ticks of 100 ms. These are the same times.
	streamPushDelayTick = 1000 / tickMillis     // from the end of a stream until the receiver is taken to be as far, unless it said so
	streamConfirmedDelayTick = 200 / tickMillis // from the receiver's own word
	defaultGCTick = 200 / tickMillis            // between two looks for requests whose time is up
	raftInMemGCTimeout = 10_000 / tickMillis    // between two looks for memory that a log no longer needs
}

// Raft's clock: a tick in milliseconds, and elections and heartbeats in ticks. Owners change without waiting for an
// election timeout, so these are chosen for what idling costs. Every group is looked at with every tick.
const (
	tickMillis     = 200
	electionTicks  = 10
	heartbeatTicks = 1
)

// tickTime is the time between two ticks. The library counts a request's time in whole ticks, of which the first may be nearly over. So a
// request is given one more than it needs.
const tickTime = tickMillis * time.Millisecond

// ElectionMost is when a replica campaigns at the latest after it has last heard of its leader, if nobody has it campaign sooner. The
// library chooses a time between half of that and all of it.
const ElectionMost = 2 * electionTicks * tickTime

// Bounds of the memory that queues inside dragonboat may take, in bytes.
const (
	maxReceiveQueue = 8 << 20  // per replica
	maxSendQueue    = 64 << 20 // per connection
)

// mostWorkers bounds the step and the apply workers.
const mostWorkers = 16

// workers returns how many step, apply and log workers serve the given number of partitions. Few workers gather more in each round, so there
// are no more than processors. A worker that is woken for nothing looks at all its groups. Where such wake-ups are not taken back (spared), many
// groups want many workers, and few groups very few.
func workers(partitions int, spared bool) uint64 {
	processors := runtime.GOMAXPROCS(0)
	switch {
	case spared:
		return uint64(min(mostWorkers, processors))
	case partitions <= 48:
		return uint64(min(2, processors))
	default:
		// More workers have fewer groups each, so a useless wake-up looks at fewer.
		return mostWorkers
	}
}
