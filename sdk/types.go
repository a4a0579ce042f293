package sdk

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// MemberState is where a member stands in its life.
type MemberState string

const (
	MemberJoining  MemberState = "joining"  // known, not yet serving
	MemberReady    MemberState = "ready"    // serving
	MemberSuspect  MemberState = "suspect"  // others do not hear from it
	MemberDraining MemberState = "draining" // giving away what it holds
	MemberLeft     MemberState = "left"     // gone in good order
	MemberDead     MemberState = "dead"     // confirmed dead, without having left
)

// Member describes one member of the cluster. Wherever a member is asked for, its ID or its name will do.
type Member struct {
	ID      string
	Name    string // unique in the cluster
	Addr    string // for clients
	Zone    string
	Tags    map[string]string
	State   MemberState
	Version string // of its program
}

// ClusterStatus says how the cluster is.
type ClusterStatus struct {
	ID   string
	Name string
	// State is forming, active, degraded or unavailable.
	State string
	// Safe: every partition has an owner and all the caught-up replicas that it should have, and nothing moves.
	Safe bool
	// Tolerates is how many members may die at once now without loss or outage.
	Tolerates        int
	Members          int
	Ready            int
	Partitions       int
	Replicas         int // of each partition, as configured
	UnderReplicated  int // partitions with fewer caught-up replicas than they should have
	Unavailable      int // partitions without an owner
	Lost             int // partitions that lost all their data and go on empty
	PossibleDataLoss int // partitions that went on from what one replica had, so that acknowledged writes may be lost
	Moves            int // under way
	Versions         []string
	// MetadataLed: a member that answers leads the metadata, so that members can come and go and what is lost is repaired. Data is served
	// without.
	MetadataLed bool
	// OutOfStep is how many members have a clock that differs by more than a second from the one that most agree on, as that of a machine
	// that was suspended. They own nothing that others can own.
	OutOfStep int
	// ClockSkew is the largest difference between the cluster clock of the member that answered and another member's.
	ClockSkew time.Duration
	// NoRoom is how many replicas are missing because no member that may hold them has memory for them. They are built when there is room
	// again: when entries are removed, a member joins, or one is started with more memory.
	NoRoom int
	// Reason says why replicas are missing and stay so: which members' memory is used up. It is empty while nothing is, or they are being built.
	Reason string
}

// Partition describes one partition. Members are named by their IDs.
type Partition struct {
	ID       int
	Owner    string // empty while nobody is known to own it
	Replicas []string
	Epoch    uint64 // of the ownership; it grows with every change
	Index    uint64 // position of the last applied log entry
}

// Entry is one key with its value.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
}

// EntryView is one entry with what the cluster knows about it. Looking at an entry in this way is no use of it.
//
// Instants are in cluster time, which may differ from this machine's clock by hours. Compare them with [Client.Now], never with
// time.Now. How long the entry has left is in Remaining.
//
// NOTE: Accessed and Hits are what the partition's owner has seen. They go on when the entry is written over, and begin again at
// another owner: so they are for judging what is worth keeping, and not for counting.
type EntryView[K comparable, V any] struct {
	Key      K
	Value    V
	Version  uint64 // grows with every write of the entry; for [IfVersion]
	Created  time.Time
	Updated  time.Time
	Accessed time.Time // last write, or read of the key
	Expires  time.Time // zero: never
	// Remaining is how long the entry had left when its owner answered, at least one millisecond; 0: it does not expire.
	Remaining time.Duration
	// RemainingTTL is how much of the TTL was left then, which is more than Remaining where the max-idle ends earlier; 0: none was set.
	RemainingTTL time.Duration
	TTL          time.Duration
	MaxIdle      time.Duration
	Hits         uint64 // reads of the key
	Cost         int64  // bytes of memory that the entry is counted with: encoded key and value, and a fixed overhead
}

// EventKind is what happened to an entry.
type EventKind string

const (
	EventAdded   EventKind = "ADDED"
	EventUpdated EventKind = "UPDATED"
	EventRemoved EventKind = "REMOVED"
	EventExpired EventKind = "EXPIRED"
	EventEvicted EventKind = "EVICTED"
	EventLoaded  EventKind = "LOADED"
	EventCleared EventKind = "CLEARED" // all entries of one partition at once; key and values are zero
	EventLost    EventKind = "LOST"    // events were missed and cannot be had any more
)

// ResumeToken says up to where a listener has seen a map's events. It is opaque.
type ResumeToken string

// Event is one change of one entry.
type Event[K comparable, V any] struct {
	Kind    EventKind
	Key     K
	Old     V
	New     V
	Version uint64
	Time    time.Time
	Token   ResumeToken
	Omitted bool // Old, New or both are zero though there was a value: it was too large to be kept for a listener that came late
}

// EntryListener is what to call for a map's events. A nil function is skipped. Calls for one key come one after the other,
// in the order in which the changes happened.
type EntryListener[K comparable, V any] struct {
	Added, Updated, Removed, Expired, Evicted, Loaded, Cleared, Lost func(Event[K, V])
}

// MemberResult is what one member made of a task. Member is its ID.
type MemberResult[R any] struct {
	Member string
	Value  R
	Err    error
}

// Result is what an entry processor made of one key.
type Result[R any] struct {
	Value R
	Err   error
}

// TaskInfo names a registered task and the IDs of the members that know it.
type TaskInfo struct {
	Name    string
	Members []string
}

// MemberSelector chooses members. It runs at the caller.
type MemberSelector func(Member) bool

// MapInfo is one map with its size, summed over the members.
type MapInfo struct {
	Name    string
	Entries int
	Bytes   int64 // of memory at the entries' owners
}

// ReadMode says how fresh reads must be; see [WithReads].
type ReadMode struct{ mode uint8 }

// Linearizable reads see every write that ended before they began. It is the default.
var Linearizable ReadMode

func memberOf(m *wire.MemberInfo) Member {
	out := Member{ID: m.ID.String(), Name: m.Name, Addr: m.Addr, Zone: m.Zone, State: MemberState(m.State), Version: m.Version}
	if len(m.Tags) > 0 {
		out.Tags = make(map[string]string, len(m.Tags))
		for k, v := range m.Tags {
			out.Tags[k] = v
		}
	}
	return out
}
