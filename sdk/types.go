package sdk

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// MemberState is a member's state in the cluster.
type MemberState string

const (
	MemberJoining  MemberState = "joining"  // known to the cluster, not yet serving
	MemberReady    MemberState = "ready"    // serving
	MemberSuspect  MemberState = "suspect"  // other members do not hear from it
	MemberDraining MemberState = "draining" // transferring what it holds
	MemberLeft     MemberState = "left"     // left the cluster in good order
	MemberDead     MemberState = "dead"     // confirmed dead, without having left
)

// Member describes one member of the cluster. Every call that asks for a member takes its ID or its name.
type Member struct {
	ID      string
	Name    string // unique in the cluster
	Addr    string // for clients
	Zone    string
	Tags    map[string]string
	State   MemberState
	Version string // of its program
}

// ClusterStatus is the state of the cluster, as one member sees it.
type ClusterStatus struct {
	ID   string
	Name string
	// State is the first that fits: "forming" during the bootstrap, "unavailable" if a partition has no owner, "degraded" if one
	// lacks caught-up replicas, or "active".
	State string
	// Safe means that every partition has an owner and all the caught-up replicas it should have, and that nothing moves.
	Safe bool
	// Tolerates is how many members may die at once now without loss or outage.
	Tolerates        int
	Members          int
	Ready            int // members in the state ready
	Partitions       int
	Replicas         int      // of each partition, as configured
	UnderReplicated  int      // partitions with fewer caught-up replicas than they should have
	Unavailable      int      // partitions without an owner
	Lost             int      // partitions that lost all their data and started empty
	PossibleDataLoss int      // partitions that were recovered from one replica: acknowledged writes may be lost
	Moves            int      // under way
	Versions         []string // of the members' programs
	// MetadataLed means that some member leads the metadata. Without a leader, members cannot join or leave and nothing is
	// repaired; data is still served.
	MetadataLed bool
	// OutOfStep is how many members have a clock more than a second away from that of most members. A virtual machine that was
	// suspended has such a clock. These members own nothing that others can own.
	OutOfStep int
	// ClockSkew is the largest difference between the cluster clock of the member that answered and that of another member.
	ClockSkew time.Duration
	// NoRoom is how many replicas are missing because no member has memory for them. They are built once there is room: when
	// entries are removed, a member joins, or a member starts with more memory.
	NoRoom int
	// Reason says why replicas stay missing: which members have used up their memory. It is empty if nothing is missing, or if
	// the missing replicas are being built.
	Reason string
}

// Partition describes one partition. Members are named by their IDs.
type Partition struct {
	ID       int
	Owner    string   // empty while no owner is known
	Replicas []string // the owner among them
	Epoch    uint64   // of the ownership; grows with every change of owner
	Index    uint64   // position of the last applied log entry
}

// Entry is one key with its value.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
}

// EntryView is one entry with what the cluster knows about it. Reading it does not count as a use of the entry.
//
// Instants are in cluster time, which may differ from this machine's clock by hours. Compare them with [Client.Now], never with
// time.Now. Remaining says how long the entry has left.
//
// NOTE: Accessed and Hits are what the partition's owner has seen. They survive overwriting the entry and start again at another
// owner. Use them to judge what is worth keeping, not for counting.
type EntryView[K comparable, V any] struct {
	Key      K
	Value    V
	Version  uint64 // grows with every write of the entry; for [IfVersion]
	Created  time.Time
	Updated  time.Time
	Accessed time.Time // last read or write of the key
	Expires  time.Time // zero: never
	// Remaining is how long the entry had left when its owner answered, at least one millisecond. 0 means that it does not expire.
	Remaining time.Duration
	// RemainingTTL is how much of the TTL was left then: more than Remaining if the max-idle ends earlier. 0 means that no TTL was set.
	RemainingTTL time.Duration
	TTL          time.Duration
	MaxIdle      time.Duration
	Hits         uint64 // reads of the key
	Cost         int64  // bytes of memory that count for the entry: encoded key and value, and a fixed overhead
}

// EventKind says what happened to an entry.
type EventKind string

const (
	EventAdded   EventKind = "ADDED"   // a value was stored where there was none
	EventUpdated EventKind = "UPDATED" // a value was replaced
	EventRemoved EventKind = "REMOVED" // a call removed the entry
	EventExpired EventKind = "EXPIRED" // the entry's TTL or max-idle ended
	EventEvicted EventKind = "EVICTED" // the map had reached its bound, or Evict was called
	EventLoaded  EventKind = "LOADED"  // a map's store supplied the entry; no map has a store yet
	EventCleared EventKind = "CLEARED" // all entries of one partition; key and values are zero
	EventLost    EventKind = "LOST"    // events were missed and are no longer kept
)

// ResumeToken marks a position in a map's events, for [From]. Programs store it as it is; its contents are not API.
type ResumeToken string

// Event is one change of one entry.
type Event[K comparable, V any] struct {
	Kind    EventKind
	Key     K
	Old     V           // before the change; zero if there was no value
	New     V           // after it; likewise
	Version uint64      // of the change: after ADDED and UPDATED, that of the entry; 0 for LOST
	Time    time.Time   // of the change, in cluster time
	Token   ResumeToken // of this event, for [From]
	Omitted bool        // Old, New or both are zero because the value was too large to keep for a late listener
}

// EntryListener holds the functions to call for a map's events. A nil function is skipped. Calls for one key come one after the
// other, in the order of the changes.
type EntryListener[K comparable, V any] struct {
	Added, Updated, Removed, Expired, Evicted, Loaded, Cleared, Lost func(Event[K, V])
}

// MemberResult is a task's outcome on one member. Member is the member's ID.
type MemberResult[R any] struct {
	Member string
	Value  R
	Err    error
}

// Result is an entry processor's outcome for one key.
type Result[R any] struct {
	Value R
	Err   error
}

// TaskInfo is a registered task, with the IDs of the members that have it.
type TaskInfo struct {
	Name    string
	Members []string
}

// MemberSelector reports whether a task should run on a member. It is called in the caller's process, once per member.
type MemberSelector func(Member) bool

// MapInfo is a map's size, summed over the members.
type MapInfo struct {
	Name    string
	Entries int
	Bytes   int64 // of memory at the entries' owners
}

// ReadMode says how fresh reads are. See [WithReads].
type ReadMode struct{ mode uint8 }

// Linearizable reads see every write that ended before the read began. It is the default.
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
