package grid

import (
	"context"

	"github.com/gridiron-io/gridiron/grid/internal/startoption"
	"github.com/gridiron-io/gridiron/member"
	"github.com/gridiron-io/gridiron/sdk"
)

// Version is the version of this module, which members show to clients.
const Version = member.Version

// Member is a running member of a cluster. Its methods are safe for concurrent use.
type Member struct{ m *member.Member }

// Start starts a member in this process and returns once it is ready: it is part of a cluster, its replicas run, and every
// partition has an owner. With Expect > 1 that takes all expected members, so start them concurrently. ctx bounds the start alone.
//
// Errors: ErrConfig for a Config that cannot work; ErrPortInUse; ErrLocked, ErrOtherCluster, ErrDataDir and ErrCorrupt for the
// data directory; ErrOtherCluster also for an address in Join. ErrRemoved if the cluster removes the member while it starts.
// The error of ctx, with what the start was waiting for.
func Start(ctx context.Context, cfg Config) (*Member, error) { return StartWith(ctx, cfg) }

// Option changes how StartWith starts a member. Only package gridtest can make one.
type Option = startoption.Option

// StartWith is Start with options, for package gridtest.
func StartWith(ctx context.Context, cfg Config, opts ...Option) (*Member, error) {
	c := member.Config{Settings: member.Settings(cfg)}
	for _, o := range opts {
		o.Apply(&c)
	}

	m, err := member.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Member{m}, nil
}

// Client returns a client of the cluster in this process. It belongs to the member, which closes it.
func (m *Member) Client() *sdk.Client { return m.m.Client() }

// Addr returns the member's address for clients.
func (m *Member) Addr() string { return m.m.Addr() }

// ID returns the member's identity, which its data directory keeps.
func (m *Member) ID() string { return m.m.ID().String() }

// Name returns the member's name.
func (m *Member) Name() string { return m.m.Name() }

// Done returns a channel that is closed when the member has stopped: after Close, after Kill, or by itself.
func (m *Member) Done() <-chan struct{} { return m.m.Done() }

// Err returns why the member stopped by itself, an error that wraps ErrRemoved. It is nil for a member that runs, or was stopped
// by Close or Kill.
func (m *Member) Err() error { return m.m.Err() }

// Close leaves the cluster and stops the member. Other members first take over what it owns and holds, and it answers the calls
// under way. ctx bounds the takeover; when it ends, the member stops all the same. A second Close does nothing.
func (m *Member) Close(ctx context.Context) error { return m.m.Close(ctx) }

// Kill stops the member as a crash would: it cuts the connections and transfers nothing. It is for tests and demonstrations.
func (m *Member) Kill() { m.m.Kill() }
