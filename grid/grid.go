package grid

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/grid/internal/network"
	"github.com/gridiron-io/gridiron/member"
	"github.com/gridiron-io/gridiron/sdk"
)

// Config says what a member shall be. Zero values mean the defaults.
type Config struct {
	// Name of the member, unique in the cluster; by default hostname-port.
	Name string
	// ClusterName is the name of the cluster to found or join; by default "grid".
	ClusterName string
	// Listen is host:port of the client port; members, NATS routes and HTTP follow at +1, +2 and +79. With port 0 all are free
	// ports. By default 127.0.0.1:0.
	Listen string
	// Advertise is the host under which others reach this member; by default the host of Listen.
	Advertise string
	// Zone is where the member runs: replicas of one partition are kept in different zones where there are enough.
	Zone string
	// Tags are shown to clients, who can select members by them.
	Tags map[string]string

	// DataDir keeps metadata and identity on disk. By default a temporary directory that Close removes.
	DataDir string
	// Durability of the data: "memory", the default. Another is not built yet and is refused.
	Durability string

	// Join holds client addresses of members to found a cluster with, or to join; port 5701 if left out.
	Join []string
	// Expect is how many members found the cluster together: with more than one, start them at the same time, each with all
	// addresses in Join. It must be more than half of all members ever started fresh against these addresses. 0 with Join:
	// only join.
	Expect int
	// Partitions of a cluster that this member founds, fixed from then on; by default 271, from 1 to 4,096.
	Partitions int
	// Replicas of each partition, as far as there are members; by default 3.
	Replicas int
	// Grace is for how long a member may be silent before the replicas that it holds are built anew on others; by default 10 s. The
	// one counts of the member that leads the cluster's metadata, so give all the same.
	Grace time.Duration
	// Lite makes a member that holds no data and owns nothing: clients and tasks use it all the same. It cannot found a cluster alone.
	Lite bool
	// MaxValue is the largest encoded value in bytes; by default 1 MB, at most 4 MB.
	MaxValue int
	// MaxMemory is how many bytes the entries of all maps on this member may be counted with, those of replicas included; by
	// default as many as come. When that is used up, maps that have a bound are evicted from, and writes that would take more
	// are refused as overloaded, while reads and removals go on. Leave the process a good part of its memory beside that.
	MaxMemory int64
	// Insecure allows to listen on other than loopback addresses without authentication.
	Insecure bool
	// NoHTTP leaves out the listener for health checks.
	NoHTTP bool

	// Maps are configured when this member founds a cluster: by a map's name, or a glob that stands for several. Of members that
	// found one together, the configuration of the one that places the partitions counts. Later it is changed by the client's
	// SetMapConfig or "grid map config"; a member that is configured otherwise than its cluster says so in its log.
	Maps map[string]sdk.MapConfig
	// Executors have pools and queues of their own on this member, by name; zero numbers are the defaults, 16 and 10,000.
	Executors map[string]exec.PoolConfig
	// Registry holds the tasks that this member runs. It may be shared by members of one process.
	Registry *exec.Registry
	// Logger takes the member's logs; by default there are none.
	Logger *slog.Logger
	// TracerProvider takes the member's spans; by default there are none, at no cost.
	TracerProvider trace.TracerProvider
	// MeterProvider takes the member's metrics, which docs/METRICS.md lists; by default there are none.
	MeterProvider metric.MeterProvider
	// MetricsPage answers GET /metrics on the HTTP port; by default nothing does. What a provider gathers its exporter may show
	// there, as that for Prometheus does.
	MetricsPage http.Handler
}

// Member is a running member of a cluster. Its methods are safe for concurrent use.
type Member struct{ m *member.Member }

// Start starts a member in this process and returns once it is ready: part of a cluster, its replicas running, every
// partition owned. With Expect > 1 it returns when all of them are there, so start them concurrently. ctx bounds the start
// alone. Errors wrap member.ErrConfig for a Config that cannot be, member.ErrPortInUse, founding.ErrLocked and
// founding.ErrOtherCluster.
func Start(ctx context.Context, cfg Config) (*Member, error) {
	m, err := member.Start(ctx, member.Config{
		Name: cfg.Name, ClusterName: cfg.ClusterName, Listen: cfg.Listen, Advertise: cfg.Advertise, Zone: cfg.Zone, Tags: cfg.Tags,
		DataDir: cfg.DataDir, Durability: cfg.Durability, Join: cfg.Join, Expect: cfg.Expect, Partitions: cfg.Partitions,
		Replicas: cfg.Replicas, MaxValue: cfg.MaxValue, MaxMemory: cfg.MaxMemory, Grace: cfg.Grace, Lite: cfg.Lite, Insecure: cfg.Insecure,
		NoHTTP: cfg.NoHTTP, Registry: cfg.Registry,
		Maps: cfg.Maps, Executors: cfg.Executors,
		Logger: cfg.Logger, TracerProvider: cfg.TracerProvider, MeterProvider: cfg.MeterProvider,
		MetricsPage: cfg.MetricsPage, Network: network.From(ctx),
	})
	if err != nil {
		return nil, err
	}
	return &Member{m}, nil
}

// Client returns a client of the cluster in this process. It belongs to the member and ends with it.
func (m *Member) Client() *sdk.Client { return m.m.Client() }

// Addr returns the address for clients.
func (m *Member) Addr() string { return m.m.Addr() }

// ID returns the member's identity, which its data directory keeps.
func (m *Member) ID() string { return m.m.ID().String() }

// Name returns the member's name.
func (m *Member) Name() string { return m.m.Name() }

// Done returns a channel that is closed when the member has stopped: by Close, by Kill, or by itself.
func (m *Member) Done() <-chan struct{} { return m.m.Done() }

// Err returns why the member has stopped by itself, an error that wraps member.ErrExpelled: the cluster has given it up, as an operator
// does with a member that is dead for certain. It is nil otherwise. Started again it joins anew, without data.
func (m *Member) Err() error { return m.m.Err() }

// Close leaves the cluster: other members take over what this one owns and holds, it answers what is under way, and stops. ctx
// bounds the handing over; the member stops in any case. A second Close does nothing.
func (m *Member) Close(ctx context.Context) error { return m.m.Close(ctx) }

// Kill stops the member as a crash would: connections are cut, nothing is handed over. It is for tests and demonstrations.
func (m *Member) Kill() { m.m.Kill() }
