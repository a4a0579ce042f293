package app

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/config"
	"github.com/gridiron-io/gridiron/grid"
)

func TestChoosePorts(t *testing.T) {
	ports, err := choosePorts(localConfig{members: 3, host: "127.0.0.1", port: 5701})
	require.NoError(t, err)
	require.Equal(t, []int{5701, 5711, 5721}, ports)

	// Ports that are in use are not chosen; nor are those whose followers are.
	first, err := choosePorts(localConfig{members: 2, host: "127.0.0.1"})
	require.NoError(t, err)
	require.Equal(t, first[0]+portsApart, first[1])
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first[1]+79)))
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	second, err := choosePorts(localConfig{members: 2, host: "127.0.0.1"})
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	require.False(t, allFree("127.0.0.1", first[1]))
}

func TestStartFailure(t *testing.T) {
	err := startFailure(errors.Join(errors.Join(grid.ErrConfig, errors.New("x")), grid.ErrPortInUse))
	require.Equal(t, exitUsage, exitCode(err))
	invalid := grid.Config{Durability: "disk", Replicas: 99}.Validate()
	err = startFailure(invalid)
	require.Equal(t, exitUsage, exitCode(err))
	require.Equal(t, `invalid configuration: durability "disk" is not built yet: only "memory"; replicas 99: want 1 to 7`, oneLine(err))
	require.Equal(t, exitOther, exitCode(startFailure(grid.ErrPortInUse)))
}

// The data directory is the member's name's, and temporary only where the name would not outlast a restart.
func TestGridConfig(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/state")
	host, err := os.Hostname()
	require.NoError(t, err)
	cfg := config.Default()
	got, err := gridConfig(cfg)
	require.NoError(t, err)
	require.Equal(t, host+"-5701", got.Name)
	require.Equal(t, "127.0.0.1:5701", got.Listen)
	require.Equal(t, "/state/gridiron/grid/"+host+"-5701", got.DataDir)

	cfg.Listen.Port = 0
	got, err = gridConfig(cfg)
	require.NoError(t, err)
	require.Empty(t, got.DataDir)
	require.Empty(t, got.Name)

	cfg.Member.Name, cfg.Cluster.Name = "m1", "shop"
	got, err = gridConfig(cfg)
	require.NoError(t, err)
	require.Equal(t, "/state/gridiron/shop/m1", got.DataDir)

	cfg.Storage.Dir = "here"
	got, err = gridConfig(cfg)
	require.NoError(t, err)
	require.Equal(t, "here", got.DataDir)
}

// The first interrupt ends the context, the second the process.
func TestUntilInterrupted(t *testing.T) {
	codes, removed := make(chan int, 1), make(chan struct{}, 1)
	p := &Process{Exit: func(code int) { codes <- code }}
	ctx, stop := p.untilInterrupted(t.Context(), func() { removed <- struct{}{} })
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, self.Signal(syscall.SIGTERM))
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("not interrupted")
	}
	require.Empty(t, codes)
	require.NoError(t, self.Signal(os.Interrupt))
	select {
	case code := <-codes:
		require.Equal(t, exitInterrupted, code)
	case <-time.After(time.Minute):
		t.Fatal("not ended")
	}
	require.Len(t, removed, 1)
}
