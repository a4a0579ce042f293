// Package metrics is what a member measures of itself: the instruments, and how they are observed. docs/METRICS.md lists them.
//
// It must not know where the values come from: a Reading is given to it.
package metrics

import (
	"go.opentelemetry.io/otel/attribute"

	execsvc "github.com/gridiron-io/gridiron/exec/service"
	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// meterName is the scope of the metrics that members make.
const meterName = "github.com/gridiron-io/gridiron/member"

// metricKind is how the values of an instrument are to be read.
type metricKind uint8

const (
	gauge     metricKind = iota // of which sums say nothing: what one member sees of the cluster
	level                       // goes up and down; sums over members make sense
	counter                     // only grows, from the start of the process
	histogram                   // recorded as it happens
)

// instrument is one metric. docs/METRICS.md lists them, and a test compares.
type instrument struct {
	name string
	kind metricKind
	unit string
	text string
	// values puts what is to be observed; nil for histograms.
	values func(r *Reading, put func(v float64, attrs ...attribute.KeyValue))
}

// Reading is what a member knows of itself at one moment, from which all instruments take their values.
type Reading struct {
	Status         wire.Status
	Members        []wire.MemberInfo // that this one knows
	Load           partition.HostLoad
	Held           maps.Usage
	Maps           map[string]*wire.MapCounts
	Tasks          execsvc.Stats
	KeptEvents     int // bytes of events that have left the rings and are kept
	Clients        int // connections of clients
	Peers          int // connections of other members
	MaxConnections int
	Routes         int // to other members' NATS servers that are up
}

// states counts the members by their state.
func (r *Reading) states() map[string]int {
	n := make(map[string]int)
	for i := range r.Members {
		n[r.Members[i].State]++
	}
	return n
}

var memberStates = []sdk.MemberState{sdk.MemberJoining, sdk.MemberReady, sdk.MemberSuspect, sdk.MemberDraining, sdk.MemberLeft, sdk.MemberDead}

// one returns a function that puts a single value without attributes of its own.
func one(value func(r *Reading) float64) func(*Reading, func(float64, ...attribute.KeyValue)) {
	return func(r *Reading, put func(float64, ...attribute.KeyValue)) { put(value(r)) }
}

var instruments = []instrument{
	{"gridiron.cluster.members", gauge, "{member}", "Members that this one knows, by state.",
		func(r *Reading, put func(float64, ...attribute.KeyValue)) {
			// A state without members is told too: its number has to fall to 0, and not stay as it was.
			states := r.states()
			for _, state := range memberStates {
				put(float64(states[string(state)]), attribute.String("gridiron.member.state", string(state)))
			}
		}},
	{"gridiron.cluster.partitions.under_replicated", gauge, "{partition}", "Partitions with fewer caught-up replicas than they should have.",
		one(func(r *Reading) float64 { return float64(r.Status.UnderReplicated) })},
	{"gridiron.cluster.replicas.no_room", gauge, "{replica}", "Replicas that are missing because no member that may hold them has memory for them.",
		one(func(r *Reading) float64 { return float64(r.Status.NoRoom) })},
	{"gridiron.cluster.partitions.unavailable", gauge, "{partition}", "Partitions without an owner or a majority.",
		one(func(r *Reading) float64 { return float64(r.Status.Unavailable) })},
	{"gridiron.cluster.partitions.lost", gauge, "{partition}", "Partitions that have lost data since the cluster was bootstrapped.",
		one(func(r *Reading) float64 { return float64(r.Status.Lost) })},
	{"gridiron.cluster.partitions.possible_data_loss", gauge, "{partition}", "Partitions that went on from what one replica had, so that acknowledged writes may be lost.",
		one(func(r *Reading) float64 { return float64(r.Status.PossibleDataLoss) })},
	{"gridiron.cluster.metadata.led", gauge, "1", "1 while a member that answers leads the metadata, else 0.",
		one(func(r *Reading) float64 {
			if r.Status.MetadataLed {
				return 1
			}
			return 0
		})},
	{"gridiron.cluster.moves", gauge, "{move}", "Replicas that are being moved or made.",
		one(func(r *Reading) float64 { return float64(r.Status.Moves) })},
	{"gridiron.cluster.tolerates", gauge, "{member}", "Members that may be lost at once without loss of data or an outage.",
		one(func(r *Reading) float64 { return float64(r.Status.Tolerates) })},
	{"gridiron.cluster.clock.skew", gauge, "s", "Largest disagreement of the members' clocks of cluster time.",
		one(func(r *Reading) float64 { return float64(r.Status.Skew) / 1000 })},
	{"gridiron.cluster.clock.out_of_step", gauge, "{member}", "Members whose clock differs by more than a second from the others': they do not own partitions that others can own.",
		one(func(r *Reading) float64 { return float64(r.Status.OutOfStep) })},

	{"gridiron.member.replicas", level, "{replica}", "Replicas of partitions that the member runs.",
		one(func(r *Reading) float64 { return float64(r.Load.Replicas) })},
	{"gridiron.member.partitions.owned", level, "{partition}", "Partitions that the member owns.",
		one(func(r *Reading) float64 { return float64(r.Load.Owned) })},
	{"gridiron.member.owner.changes", counter, "{change}", "Changes of owners that the member's replicas have applied.",
		one(func(r *Reading) float64 { return float64(r.Load.OwnerChanges) })},
	{"gridiron.raft.elections", counter, "{election}", "Leaders that the member's replicas have heard of.",
		one(func(r *Reading) float64 { return float64(r.Load.Elections) })},
	{"gridiron.raft.log.entries", level, "{entry}", "Entries that the member keeps in its logs.",
		one(func(r *Reading) float64 { return float64(r.Load.LogEntries) })},
	{"gridiron.raft.log.size", level, "By", "Memory of the entries that the member keeps in its logs.",
		one(func(r *Reading) float64 { return float64(r.Load.LogBytes) })},
	{"gridiron.raft.state_snapshots.sent", counter, "{snapshot}", "Whole states that the member has begun to send to replicas of other members.",
		one(func(r *Reading) float64 { return float64(r.Load.StateSnapshotsSent) })},
	{"gridiron.raft.state_snapshots.received", counter, "{snapshot}", "Whole states that replicas of the member were sent.",
		one(func(r *Reading) float64 { return float64(r.Load.StateSnapshotsReceived) })},
	{"gridiron.operations.pending.size", level, "By", "Operations that were submitted and not yet applied.",
		one(func(r *Reading) float64 { return float64(r.Load.PendingBytes) })},
	{"gridiron.operations.pending.limit", level, "By", "Beyond it operations are refused as overloaded.",
		one(func(*Reading) float64 { return partition.MaxPendingBytes })},
	{"gridiron.reads", counter, "{read}", "Reads that the member has answered as an owner, by what allowed them: a lease, a majority, or that nothing had touched the keys before a failover. Watermarks are among them.",
		func(r *Reading, put func(float64, ...attribute.KeyValue)) {
			put(float64(r.Load.LeaseReads), attribute.String("gridiron.read.by", "lease"))
			put(float64(r.Load.InheritedReads), attribute.String("gridiron.read.by", "inheritance"))
			put(float64(r.Load.MajorityReads), attribute.String("gridiron.read.by", "majority"))
		}},
	{"gridiron.leases.suspended", counter, "{lease}", "Leases that the member has dropped because its machine was suspended, or its wall clock was set.",
		one(func(r *Reading) float64 { return float64(r.Load.SuspendedLeases) })},
	{"gridiron.reads.waiting", level, "{read}", "Reads that wait to be served.",
		one(func(r *Reading) float64 { return float64(r.Load.WaitingReads) })},
	{"gridiron.waiting.size", level, "By", "Memory of reads that wait to be served, and of calls that wait for locks, or to load values.",
		one(func(r *Reading) float64 { return float64(r.Load.WaitingBytes) })},
	{"gridiron.waiting.limit", level, "By", "Beyond it reads and such calls are refused as overloaded.",
		one(func(*Reading) float64 { return partition.MaxWaitingBytes })},
	{"gridiron.calls.remembered.size", level, "By", "Results that replicas of the member keep for calls that may be repeated.",
		one(func(r *Reading) float64 { return float64(r.Load.RecordBytes) })},
	{"gridiron.calls.remembered.fullest", gauge, "By", "Likewise, of the partition that has most of them.",
		one(func(r *Reading) float64 { return float64(r.Load.FullRecords) })},
	{"gridiron.calls.remembered.limit", gauge, "By", "Beyond it a partition refuses calls as overloaded.",
		one(func(*Reading) float64 { return partition.MaxRecordBytes })},
	{"gridiron.memory.size", level, "By", "What the member's replicas of maps' entries are counted with.",
		one(func(r *Reading) float64 { return float64(r.Held.Bytes) })},
	{"gridiron.events.kept.size", level, "By", "Events that have left the rings of the member's partitions and are kept for listeners for a little while; at most 32 MB.",
		one(func(r *Reading) float64 { return float64(r.KeptEvents) })},
	{"gridiron.memory.limit", level, "By", "Beyond it maps with a bound are evicted from, and other writes refused as overloaded; 0: no bound.",
		one(func(r *Reading) float64 { return float64(r.Held.MaxBytes) })},
	{"gridiron.maps", level, "{map}", "Maps in the member's replicas, each counted in each partition, those emptied a short while ago among them.",
		one(func(r *Reading) float64 { return float64(r.Held.Maps) })},
	{"gridiron.locks.size", level, "By", "Memory of the locks in the member's replicas, and of who loads values; part of gridiron.memory.size.",
		one(func(r *Reading) float64 { return float64(r.Held.LockBytes) })},
	{"gridiron.locks.waiting", level, "{call}", "Calls that wait at the member for a lock, or for word that one is lost.",
		one(func(r *Reading) float64 { return float64(r.Held.LockWaiters) })},
	{"gridiron.connections", level, "{connection}", "Connections for calls, of clients and of other members.",
		func(r *Reading, put func(float64, ...attribute.KeyValue)) {
			put(float64(r.Clients), attribute.String("gridiron.peer", "client"))
			put(float64(r.Peers), attribute.String("gridiron.peer", "member"))
		}},
	{"gridiron.connections.limit", level, "{connection}", "Connections on all planes together that the member accepts.",
		one(func(r *Reading) float64 { return float64(r.MaxConnections) })},

	{"gridiron.events.routes", level, "{route}", "Routes to other members' NATS servers that are up: as many as there are other members. A connection to an external server counts as a route to each that has the same nats.url.",
		one(func(r *Reading) float64 { return float64(r.Routes) })},

	{"gridiron.tasks.submitted", counter, "{task}", "Tasks that were given to the member, by whether it accepted them.",
		func(r *Reading, put func(float64, ...attribute.KeyValue)) {
			put(float64(r.Tasks.Accepted), attribute.String("gridiron.task.outcome", "accepted"))
			put(float64(r.Tasks.Rejected), attribute.String("gridiron.task.outcome", "rejected"))
		}},
	{"gridiron.tasks.ended", counter, "{task}", "Tasks that came to their end, by how.",
		func(r *Reading, put func(float64, ...attribute.KeyValue)) {
			put(float64(r.Tasks.Succeeded), attribute.String("gridiron.task.outcome", "succeeded"))
			put(float64(r.Tasks.Failed), attribute.String("gridiron.task.outcome", "failed"))
			put(float64(r.Tasks.Cancelled), attribute.String("gridiron.task.outcome", "cancelled"))
		}},
	{"gridiron.executor.tasks", level, "{task}", "Tasks of an executor that has work, by whether they run or wait.",
		func(r *Reading, put func(float64, ...attribute.KeyValue)) {
			for _, e := range r.Tasks.Executors {
				name := attribute.String("gridiron.executor.name", e.Name)
				put(float64(e.Running), name, attribute.String("gridiron.task.state", "running"))
				put(float64(e.Waiting), name, attribute.String("gridiron.task.state", "waiting"))
			}
		}},
	{"gridiron.tasks.arguments.size", level, "By", "Arguments of the tasks that wait or run.",
		one(func(r *Reading) float64 { return float64(r.Tasks.ArgBytes) })},
	{"gridiron.tasks.results.size", level, "By", "Results that wait to be fetched.",
		one(func(r *Reading) float64 { return float64(r.Tasks.ResultBytes) })},

	{"gridiron.map.entries", level, "{entry}", "Entries of the map that the member owns.", perMap(func(c *wire.MapCounts) uint64 { return c.Entries })},
	{"gridiron.map.size", level, "By", "Memory of these entries.", perMap(func(c *wire.MapCounts) uint64 { return c.Bytes })},
	{"gridiron.map.locks", level, "{lock}", "Locks of the map's keys that are held.", perMap(func(c *wire.MapCounts) uint64 { return c.Locks })},
	{"gridiron.map.hits", counter, "{read}", "Reads of keys that found an entry.", perMap(func(c *wire.MapCounts) uint64 { return c.Hits })},
	{"gridiron.map.misses", counter, "{read}", "Reads of keys that found none.", perMap(func(c *wire.MapCounts) uint64 { return c.Misses })},
	{"gridiron.map.expirations", counter, "{entry}", "Entries whose TTL or max-idle came to its end.", perMap(func(c *wire.MapCounts) uint64 { return c.Expired })},
	{"gridiron.map.evictions", counter, "{entry}", "Entries that were evicted.", perMap(func(c *wire.MapCounts) uint64 { return c.Evicted })},
	{"gridiron.map.events", counter, "{event}", "Changes of which listeners hear.", perMap(func(c *wire.MapCounts) uint64 { return c.Events })},
	{"gridiron.map.events.kept", level, "{event}", "Events of the map that the member's partitions keep for listeners that are behind.", perMap(func(c *wire.MapCounts) uint64 { return c.EventsKept })},
	{"gridiron.map.events.kept.size", level, "By", "Memory of these events.", perMap(func(c *wire.MapCounts) uint64 { return c.EventsKeptSize })},
	{"gridiron.map.events.published", counter, "{event}", "Events that were sent to listeners.", perMap(func(c *wire.MapCounts) uint64 { return c.Published })},
	{"gridiron.map.events.repairs", counter, "{answer}", "Answers to listeners and near caches that asked for what they had missed.", perMap(func(c *wire.MapCounts) uint64 { return c.Repairs })},
	{"gridiron.map.events.lost", counter, "{loss}", "Losses of events that these answers told of.", perMap(func(c *wire.MapCounts) uint64 { return c.Lost })},
	{"gridiron.map.listeners", gauge, "{subscription}", "Subscriptions of clients, of which each member knows.", perMap(func(c *wire.MapCounts) uint64 { return c.Listeners })},
	{"gridiron.map.expiry.lag", gauge, "s", "Longest time that an expired entry has waited to be removed.",
		func(r *Reading, put func(float64, ...attribute.KeyValue)) {
			for name, c := range r.Maps {
				put(float64(c.ExpiryLag)/1000, mapName(name))
			}
		}},
}

// perMap returns a function that puts a value for each map.
func perMap(value func(c *wire.MapCounts) uint64) func(*Reading, func(float64, ...attribute.KeyValue)) {
	return func(r *Reading, put func(float64, ...attribute.KeyValue)) {
		for name, c := range r.Maps {
			put(float64(value(c)), mapName(name))
		}
	}
}

func mapName(name string) attribute.KeyValue { return attribute.String("gridiron.map.name", name) }

// latencyMetric is the one instrument that is recorded to as things happen.
var latencyMetric = instrument{"gridiron.map.operation.duration", histogram, "s",
	"How long operations took at the owner, from when the request was read to when it was answered.", nil}

// latencyBounds are those of latencyMetric's buckets, in seconds.
var latencyBounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
