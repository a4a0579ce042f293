package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// portsApart is how far apart the base ports of members on one machine are.
const portsApart = 10

// maxLocal is how many members a cluster in one process may have.
const maxLocal = 9

// local is a cluster in this process whose files are in one temporary directory.
type local struct {
	dir     string
	members []*grid.Member // nil where one was killed
	addrs   []string       // by the members' places, also of those that were killed
}

// localConfig describes a local cluster.
type localConfig struct {
	cluster      string
	members      int
	host         string
	port         int // base port of the first member; 0: any that are free
	partitions   int // 0: the default
	rebuildDelay time.Duration
	reads        sdk.ReadPolicy
	log          *slog.Logger
}

// startLocal starts a cluster and returns once all its members serve. The directory is made before anything else and passed
// to made, so that it can be removed whatever happens.
func startLocal(ctx context.Context, cfg localConfig, made func(dir string)) (*local, error) {
	dir, err := os.MkdirTemp("", "gridiron-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}

	made(dir)

	const attempts = 5
	for attempt := 1; ; attempt++ {
		// Each attempt has members and ports of its own, so nothing of a failed one is left.
		l := &local{dir: dir, members: make([]*grid.Member, cfg.members)}

		ports, err := choosePorts(cfg)
		if err == nil {
			err = l.start(ctx, cfg, ports)
		}
		if err == nil {
			return l, nil
		}

		l.kill()
		// Free ports were free when they were chosen; another process may have come first.
		if cfg.port == 0 && errors.Is(err, grid.ErrPortInUse) && attempt < attempts {
			err = os.RemoveAll(dir)
			if err == nil {
				continue
			}
		}
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
}

// start starts the members at the same time: they bootstrap the cluster together.
func (l *local) start(ctx context.Context, cfg localConfig, ports []int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	// All addresses are known before the first member starts, since each member gets the whole list.
	for _, port := range ports {
		l.addrs = append(l.addrs, net.JoinHostPort(cfg.host, strconv.Itoa(port)))
	}

	var mu sync.Mutex
	var first error // the others' errors are that they were cancelled
	var wg sync.WaitGroup
	tasks := builtinTasks()
	for i, addr := range l.addrs {
		name := "m" + strconv.Itoa(i+1)
		c := grid.Config{Name: name, ClusterName: cfg.cluster, Listen: addr, DataDir: filepath.Join(l.dir, name), Expect: cfg.members,
			Partitions: cfg.partitions, RebuildDelay: cfg.rebuildDelay, Reads: cfg.reads, Registry: tasks, Logger: cfg.log}
		if cfg.members > 1 {
			c.Join = l.addrs
		}

		wg.Go(func() {
			m, err := grid.Start(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			l.members[i] = m
			// Without one of the members the others would wait for it until ctx ends.
			if err != nil && first == nil {
				first = err
				cancel()
			}
		})
	}
	wg.Wait()
	return first
}

// kill ends all members at once. They transfer nothing: what they hold goes with them.
func (l *local) kill() {
	var wg sync.WaitGroup
	for i, m := range l.members {
		if m != nil {
			l.members[i] = nil
			wg.Go(m.Kill)
		}
	}
	wg.Wait()
}

// close ends the cluster and removes its files.
func (l *local) close() error {
	l.kill()
	return os.RemoveAll(l.dir)
}

// choosePorts returns the base ports of the members.
func choosePorts(cfg localConfig) ([]int, error) {
	ports := make([]int, cfg.members)
	for i := range ports {
		ports[i] = cfg.port + i*portsApart
	}

	// Ports that were asked for are used or fail: others would surprise the caller.
	if cfg.port != 0 {
		return ports, nil
	}

	// These ports lie below the range that systems use for connections. Each process most likely begins at another place.
	const first, last = 20_000, 30_000
	span := cfg.members * portsApart
	for try := range 200 {
		base := first + (os.Getpid()*37+try*101)%(last-first-span-100)
		free := true
		for i := range ports {
			ports[i] = base + i*portsApart
			free = free && allFree(cfg.host, ports[i])
		}
		if free {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("%w: no free ones between %d and %d", grid.ErrPortInUse, first, last)
}

// allFree reports whether a base port and those that follow from it are free.
func allFree(host string, base int) bool {
	// A member listens for clients at its port, for members at +1, for routes of events at +2, and for HTTP at +79.
	for _, offset := range []int{0, 1, 2, 79} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(base+offset)))
		if err != nil {
			return false
		}
		if l.Close() != nil {
			return false
		}
	}
	return true
}
