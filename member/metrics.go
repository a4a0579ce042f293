package member

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	execsvc "github.com/gridiron-io/gridiron/exec/service"
	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// meterName is the scope of the metrics that this package makes.
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
	values func(r *reading, put func(v float64, attrs ...attribute.KeyValue))
}

// reading is what a member knows of itself at one moment, from which all instruments take their values.
type reading struct {
	m       *Member
	status  wire.Status
	states  map[string]int // members by state
	load    partition.HostLoad
	held    maps.Usage
	maps    map[string]*wire.MapCounts
	tasks   execsvc.Stats
	clients int
	members int
}

func (m *Member) read() *reading {
	r := &reading{m: m, status: m.status(), load: m.host.Load(), held: m.maps.Usage(), maps: m.maps.AllCounts(), tasks: m.tasks.Stats(), states: make(map[string]int)}
	for _, mb := range m.views.current.Load().view.Members {
		r.states[mb.State]++
	}

	for _, c := range m.server.Connections() {
		if c.Peer() {
			r.members++
		} else {
			r.clients++
		}
	}
	return r
}

var memberStates = []sdk.MemberState{sdk.MemberJoining, sdk.MemberReady, sdk.MemberSuspect, sdk.MemberDraining, sdk.MemberLeft, sdk.MemberDead}

// one returns a function that puts a single value without attributes of its own.
func one(value func(r *reading) float64) func(*reading, func(float64, ...attribute.KeyValue)) {
	return func(r *reading, put func(float64, ...attribute.KeyValue)) { put(value(r)) }
}

var instruments = []instrument{
	{"gridiron.cluster.members", gauge, "{member}", "Members that this one knows, by state.",
		func(r *reading, put func(float64, ...attribute.KeyValue)) {
			// A state without members is told too: its number has to fall to 0, and not stay as it was.
			for _, state := range memberStates {
				put(float64(r.states[string(state)]), attribute.String("gridiron.member.state", string(state)))
			}
		}},
	{"gridiron.cluster.partitions.under_replicated", gauge, "{partition}", "Partitions with fewer caught-up replicas than they should have.",
		one(func(r *reading) float64 { return float64(r.status.UnderReplicated) })},
	{"gridiron.cluster.replicas.no_room", gauge, "{replica}", "Replicas that are missing because no member that may hold them has memory for them.",
		one(func(r *reading) float64 { return float64(r.status.NoRoom) })},
	{"gridiron.cluster.partitions.unavailable", gauge, "{partition}", "Partitions without an owner or a majority.",
		one(func(r *reading) float64 { return float64(r.status.Unavailable) })},
	{"gridiron.cluster.partitions.lost", gauge, "{partition}", "Partitions that have lost data since the cluster was bootstrapped.",
		one(func(r *reading) float64 { return float64(r.status.Lost) })},
	{"gridiron.cluster.partitions.possible_data_loss", gauge, "{partition}", "Partitions that went on from what one replica had, so that acknowledged writes may be lost.",
		one(func(r *reading) float64 { return float64(r.status.PossibleDataLoss) })},
	{"gridiron.cluster.metadata.led", gauge, "1", "1 while a member that answers leads the metadata, else 0.",
		one(func(r *reading) float64 {
			if r.status.MetadataLed {
				return 1
			}
			return 0
		})},
	{"gridiron.cluster.moves", gauge, "{move}", "Replicas that are being moved or made.",
		one(func(r *reading) float64 { return float64(r.status.Moves) })},
	{"gridiron.cluster.tolerates", gauge, "{member}", "Members that may be lost at once without loss of data or an outage.",
		one(func(r *reading) float64 { return float64(r.status.Tolerates) })},
	{"gridiron.cluster.clock.skew", gauge, "s", "Largest disagreement of the members' clocks of cluster time.",
		one(func(r *reading) float64 { return float64(r.status.Skew) / 1000 })},
	{"gridiron.cluster.clock.out_of_step", gauge, "{member}", "Members whose clock differs by more than a second from the others': they do not own partitions that others can own.",
		one(func(r *reading) float64 { return float64(r.status.OutOfStep) })},

	{"gridiron.member.replicas", level, "{replica}", "Replicas of partitions that the member runs.",
		one(func(r *reading) float64 { return float64(r.load.Replicas) })},
	{"gridiron.member.partitions.owned", level, "{partition}", "Partitions that the member owns.",
		one(func(r *reading) float64 { return float64(r.load.Owned) })},
	{"gridiron.member.owner.changes", counter, "{change}", "Changes of owners that the member's replicas have applied.",
		one(func(r *reading) float64 { return float64(r.load.OwnerChanges) })},
	{"gridiron.raft.elections", counter, "{election}", "Leaders that the member's replicas have heard of.",
		one(func(r *reading) float64 { return float64(r.load.Elections) })},
	{"gridiron.raft.log.entries", level, "{entry}", "Entries that the member keeps in its logs.",
		one(func(r *reading) float64 { return float64(r.load.LogEntries) })},
	{"gridiron.raft.log.size", level, "By", "Memory of the entries that the member keeps in its logs.",
		one(func(r *reading) float64 { return float64(r.load.LogBytes) })},
	{"gridiron.raft.state_snapshots.sent", counter, "{snapshot}", "Whole states that the member has begun to send to replicas of other members.",
		one(func(r *reading) float64 { return float64(r.load.StateSnapshotsSent) })},
	{"gridiron.raft.state_snapshots.received", counter, "{snapshot}", "Whole states that replicas of the member were sent.",
		one(func(r *reading) float64 { return float64(r.load.StateSnapshotsReceived) })},
	{"gridiron.operations.pending.size", level, "By", "Operations that were submitted and not yet applied.",
		one(func(r *reading) float64 { return float64(r.load.PendingBytes) })},
	{"gridiron.operations.pending.limit", level, "By", "Beyond it operations are refused as overloaded.",
		one(func(*reading) float64 { return partition.MaxPendingBytes })},
	{"gridiron.reads.waiting", level, "{read}", "Reads that wait to be served.",
		one(func(r *reading) float64 { return float64(r.load.WaitingReads) })},
	{"gridiron.waiting.size", level, "By", "Memory of reads that wait to be served, and of calls that wait for locks, or to load values.",
		one(func(r *reading) float64 { return float64(r.load.WaitingBytes) })},
	{"gridiron.waiting.limit", level, "By", "Beyond it reads and such calls are refused as overloaded.",
		one(func(*reading) float64 { return partition.MaxWaitingBytes })},
	{"gridiron.calls.remembered.size", level, "By", "Results that replicas of the member keep for calls that may be repeated.",
		one(func(r *reading) float64 { return float64(r.load.RecordBytes) })},
	{"gridiron.calls.remembered.fullest", gauge, "By", "Likewise, of the partition that has most of them.",
		one(func(r *reading) float64 { return float64(r.load.FullRecords) })},
	{"gridiron.calls.remembered.limit", gauge, "By", "Beyond it a partition refuses calls as overloaded.",
		one(func(*reading) float64 { return partition.MaxRecordBytes })},
	{"gridiron.memory.size", level, "By", "What the member's replicas of maps' entries are counted with.",
		one(func(r *reading) float64 { return float64(r.held.Bytes) })},
	{"gridiron.events.kept.size", level, "By", "Events that have left the rings of the member's partitions and are kept for listeners for a little while; at most 32 MB.",
		one(func(r *reading) float64 { return float64(r.m.publisher.Dropped().Bytes()) })},
	{"gridiron.memory.limit", level, "By", "Beyond it maps with a bound are evicted from, and other writes refused as overloaded; 0: no bound.",
		one(func(r *reading) float64 { return float64(r.held.MaxBytes) })},
	{"gridiron.maps", level, "{map}", "Maps in the member's replicas, each counted in each partition, those emptied a short while ago among them.",
		one(func(r *reading) float64 { return float64(r.held.Maps) })},
	{"gridiron.locks.size", level, "By", "Memory of the locks in the member's replicas, and of who loads values; part of gridiron.memory.size.",
		one(func(r *reading) float64 { return float64(r.held.LockBytes) })},
	{"gridiron.locks.waiting", level, "{call}", "Calls that wait at the member for a lock, or for word that one is lost.",
		one(func(r *reading) float64 { return float64(r.held.LockWaiters) })},
	{"gridiron.connections", level, "{connection}", "Connections for calls, of clients and of other members.",
		func(r *reading, put func(float64, ...attribute.KeyValue)) {
			put(float64(r.clients), attribute.String("gridiron.peer", "client"))
			put(float64(r.members), attribute.String("gridiron.peer", "member"))
		}},
	{"gridiron.connections.limit", level, "{connection}", "Connections on all planes together that the member accepts.",
		one(func(r *reading) float64 { return float64(r.m.cfg.MaxConnections) })},

	{"gridiron.events.routes", level, "{route}", "Routes to other members' NATS servers that are up: as many as there are other members.",
		one(func(r *reading) float64 { return float64(r.m.events.Routes()) })},

	{"gridiron.tasks.submitted", counter, "{task}", "Tasks that were given to the member, by whether it accepted them.",
		func(r *reading, put func(float64, ...attribute.KeyValue)) {
			put(float64(r.tasks.Accepted), attribute.String("gridiron.task.outcome", "accepted"))
			put(float64(r.tasks.Rejected), attribute.String("gridiron.task.outcome", "rejected"))
		}},
	{"gridiron.tasks.ended", counter, "{task}", "Tasks that came to their end, by how.",
		func(r *reading, put func(float64, ...attribute.KeyValue)) {
			put(float64(r.tasks.Succeeded), attribute.String("gridiron.task.outcome", "succeeded"))
			put(float64(r.tasks.Failed), attribute.String("gridiron.task.outcome", "failed"))
			put(float64(r.tasks.Cancelled), attribute.String("gridiron.task.outcome", "cancelled"))
		}},
	{"gridiron.executor.tasks", level, "{task}", "Tasks of an executor that has work, by whether they run or wait.",
		func(r *reading, put func(float64, ...attribute.KeyValue)) {
			for _, e := range r.tasks.Executors {
				name := attribute.String("gridiron.executor.name", e.Name)
				put(float64(e.Running), name, attribute.String("gridiron.task.state", "running"))
				put(float64(e.Waiting), name, attribute.String("gridiron.task.state", "waiting"))
			}
		}},
	{"gridiron.tasks.arguments.size", level, "By", "Arguments of the tasks that wait or run.",
		one(func(r *reading) float64 { return float64(r.tasks.ArgBytes) })},
	{"gridiron.tasks.results.size", level, "By", "Results that wait to be fetched.",
		one(func(r *reading) float64 { return float64(r.tasks.ResultBytes) })},

	{"gridiron.map.entries", level, "{entry}", "Entries of the map that the member owns.", perMap(func(c *wire.MapCounts) uint64 { return c.Entries })},
	{"gridiron.map.size", level, "By", "Memory of these entries.", perMap(func(c *wire.MapCounts) uint64 { return c.Bytes })},
	{"gridiron.map.locks", level, "{lock}", "Locks of the map's keys that are held.", perMap(func(c *wire.MapCounts) uint64 { return c.Locks })},
	{"gridiron.map.hits", counter, "{read}", "Reads of keys that found an entry.", perMap(func(c *wire.MapCounts) uint64 { return c.Hits })},
	{"gridiron.map.misses", counter, "{read}", "Reads of keys that found none.", perMap(func(c *wire.MapCounts) uint64 { return c.Misses })},
	{"gridiron.map.expirations", counter, "{entry}", "Entries whose TTL or max-idle came to its end.", perMap(func(c *wire.MapCounts) uint64 { return c.Expired })},
	{"gridiron.map.evictions", counter, "{entry}", "Entries that were evicted.", perMap(func(c *wire.MapCounts) uint64 { return c.Evicted })},
	{"gridiron.map.events", counter, "{event}", "Changes of which listeners hear.", perMap(func(c *wire.MapCounts) uint64 { return c.Events })},
}

// perMap returns a function that puts a value for each map.
func perMap(value func(c *wire.MapCounts) uint64) func(*reading, func(float64, ...attribute.KeyValue)) {
	return func(r *reading, put func(float64, ...attribute.KeyValue)) {
		for name, c := range r.maps {
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

// latency returns what makes the recorder of an operation on a map; nil where nothing is measured.
func (m *Member) latency() (func(name string, op wire.Op) func(time.Duration), error) {
	if m.cfg.MeterProvider == nil {
		return nil, nil
	}

	meter := m.cfg.MeterProvider.Meter(meterName, metric.WithInstrumentationVersion(m.cfg.Version))
	h, err := meter.Float64Histogram(latencyMetric.name, metric.WithUnit(latencyMetric.unit), metric.WithDescription(latencyMetric.text),
		metric.WithExplicitBucketBoundaries(latencyBounds...))
	if err != nil {
		return nil, fmt.Errorf("register the metric %s: %w", latencyMetric.name, err)
	}

	return func(name string, op wire.Op) func(time.Duration) {
		with := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(mapName(name), attribute.String("gridiron.operation", op.String()),
			m.itself()))}
		return func(took time.Duration) { h.Record(m.ctx, took.Seconds(), with...) }
	}, nil
}

// itself names the member in what it measures: a provider may have several.
func (m *Member) itself() attribute.KeyValue {
	return attribute.String("gridiron.member.name", m.cfg.Name)
}

// startMetrics registers the member's instruments with the configured provider, if there is one. They are observed until
// stopMetrics.
func (m *Member) startMetrics() error {
	if m.cfg.MeterProvider == nil {
		return nil
	}

	meter := m.cfg.MeterProvider.Meter(meterName, metric.WithInstrumentationVersion(m.cfg.Version))
	all := make([]metric.Observable, len(instruments))
	for i, in := range instruments {
		var err error
		unit, text := metric.WithUnit(in.unit), metric.WithDescription(in.text)
		switch in.kind {
		case gauge:
			all[i], err = meter.Float64ObservableGauge(in.name, unit, text)
		case level:
			all[i], err = meter.Float64ObservableUpDownCounter(in.name, unit, text)
		default:
			all[i], err = meter.Float64ObservableCounter(in.name, unit, text)
		}
		if err != nil {
			return fmt.Errorf("register the metric %s: %w", in.name, err)
		}
	}

	mine := m.itself()
	registered, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		// All values come from one reading, so that they fit together.
		r := m.read()
		for i := range instruments {
			instruments[i].values(r, func(v float64, attrs ...attribute.KeyValue) {
				o.ObserveFloat64(all[i].(metric.Float64Observable), v, metric.WithAttributes(append(attrs, mine)...))
			})
		}
		return nil
	}, all...)
	if err != nil {
		return fmt.Errorf("register the metrics: %w", err)
	}
	m.metrics = registered
	return nil
}

// stopMetrics ends what startMetrics began.
func (m *Member) stopMetrics() {
	if m.metrics == nil {
		return
	}
	if err := m.metrics.Unregister(); err != nil {
		m.log.Warn("the metrics were not unregistered", "err", err)
	}
}
