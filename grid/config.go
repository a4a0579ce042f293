package grid

import (
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/member"
	"github.com/gridiron-io/gridiron/sdk"
)

// Config describes a member. Every zero value means its default.
type Config struct {
	// Name of the member, unique in the cluster. The default is the host's name and the client port, as in "host-5701".
	Name string
	// ClusterName names the cluster to bootstrap or to join. The default is "grid".
	ClusterName string
	// Listen is the host:port of the client port. The other ports follow from it: members at +1, NATS routes at +2, HTTP at +79.
	// With port 0 all of them are free ports. The default is 127.0.0.1:0.
	Listen string
	// Advertise is the host at which others reach this member. The default is the host of Listen.
	Advertise string
	// Zone names the place where the member runs. Replicas of one partition are kept in different zones while there are enough.
	Zone string
	// Tags describe the member to clients, which can select members by them.
	Tags map[string]string

	// DataDir holds the member's identity and the cluster's metadata. The default is a temporary directory, which Close removes.
	DataDir string
	// Durability of the data. The only value today is "memory", the default; "disk" is not built yet and is ErrConfig.
	Durability string

	// Join lists client addresses of members with which to bootstrap the cluster, or through which to join it. An address without
	// a port has port 5701.
	Join []string
	// Expect is how many members bootstrap the cluster together. With more than one, start them at the same time, each with all
	// addresses in Join. With 0 and addresses in Join the member only joins.
	//
	// NOTE: Expect must be more than half of all members that are ever started without data against these addresses.
	Expect int
	// Partitions of the cluster, if this member bootstraps it: 1 to 4,096, by default 271. The number never changes afterwards.
	Partitions int
	// Replicas of each partition: 1 to 7, by default 3. A cluster with fewer members has fewer.
	Replicas int
	// RebuildDelay is how long a member may be silent before its replicas are rebuilt on others, by default 10 seconds. The value of the
	// member that leads the cluster's metadata counts, so give all members the same.
	RebuildDelay time.Duration
	// Reads is how this member answers reads of partitions that it owns: by default sdk.ReadLease. With sdk.ReadQuorum it asks a majority
	// each time and has no leases, so that nobody has to wait for one when it is gone. Give all members the same. For single maps there is
	// sdk.MapConfig.
	Reads sdk.ReadPolicy
	// Lite makes a member that holds no data. Clients and tasks use it like any other. It cannot bootstrap a cluster alone.
	Lite bool

	// MaxValue is the largest encoded value in bytes: by default 1 MB, at most 4 MB.
	MaxValue int
	// MaxMemory is how many bytes the entries on this member may take, replicas included. The default is no limit. When it is used
	// up, maps that have a bound evict entries, and writes that need more memory fail with sdk.ErrOverloaded. Reads and removals
	// go on.
	//
	// NOTE: the process needs memory beside its entries. Give MaxMemory half of what the process may have.
	MaxMemory int64
	// Insecure allows Listen to be other than a loopback address although no authentication is configured.
	Insecure bool
	// NoHTTP leaves out the HTTP port, which serves health checks and metrics.
	NoHTTP bool
	// NATS names NATS servers outside of the members that carry events between them. The default is none: each member has its own
	// server, and these are connected to each other.
	NATS NATSConfig

	// Maps holds configurations by a map's name, or by a glob that matches several. It counts when this member bootstraps the
	// cluster; of several that bootstrap together, one member's Maps count. Change it later by sdk.Client.SetMapConfig or
	// "grid map config". A member whose Maps differ from the cluster's logs a warning.
	Maps map[string]sdk.MapConfig
	// Executors sets the pools and queues of executors on this member, by name. The defaults are 16 and 10,000.
	Executors map[string]exec.PoolConfig
	// Registry holds the tasks that this member runs. Several members of one process may share it. The default has no tasks.
	Registry *exec.Registry
	// Logger receives the member's logs. The default discards them.
	Logger *slog.Logger
	// TracerProvider receives the member's spans. The default records none, at no cost.
	TracerProvider trace.TracerProvider
	// MeterProvider receives the member's metrics, which docs/METRICS.md lists. The default records none.
	MeterProvider metric.MeterProvider
	// MetricsPage answers GET /metrics on the HTTP port, as the Prometheus exporter of a MeterProvider can. The default is no page.
	MetricsPage http.Handler
}

// NATSConfig names NATS servers that run outside of the members, and what lets a member in there.
type NATSConfig = member.NATSConfig

// Validate returns everything that is wrong with c in one error, which wraps ErrConfig. Start does the same before anything else.
func (c Config) Validate() error {
	return member.Config{Settings: member.Settings(c)}.WithDefaults().Validate()
}

// DefaultDataDir returns the directory in which "grid start" keeps a member of these names unless told another:
// $XDG_STATE_HOME/gridiron/<cluster>/<member>, else the same under ~/.local/state. It does not create the directory.
func DefaultDataDir(clusterName, memberName string) (string, error) {
	return member.DefaultDataDir(clusterName, memberName)
}
