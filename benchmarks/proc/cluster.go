package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/gridiron-io/gridiron/member/porttest"
)

// ErrNotRunning is what errors about a member wrap that has ended, or was never there.
var ErrNotRunning = errors.New("the member is not running")

// Cluster is a cluster of member processes. Members count from 0. Its methods are safe for concurrent use.
//
// A member that is alone is bootstrapped alone; several bootstrap their cluster together. A member keeps its data on disk only if its
// durability says so. Else a restarted member comes back empty under its old identity.
type Cluster struct {
	cfg    Config
	dir    string
	remove bool // dir is temporary
	env    []string

	mu        sync.Mutex // guards the following
	closed    bool
	ports     []*porttest.Set
	addrs     []string   // of all members, those of the bootstrap first
	processes []*Process // the last life of each member
}

// Start starts the members together and returns once all are ready. ctx bounds only the start. On an error nothing is left running.
//
// Errors tell which member failed, and with what last words.
func Start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}

	c := &Cluster{cfg: cfg, dir: cfg.Dir, env: cfg.environ(os.Environ())}
	ports, err := porttest.Take(cfg.Members)
	if err != nil {
		return nil, fmt.Errorf("start a cluster: %w", err)
	}

	// The ports stay taken until Close, so that no other process gets one while its member is down.
	c.ports, c.addrs = append(c.ports, ports), ports.Addrs()
	if c.dir == "" {
		c.remove = true
		if c.dir, err = os.MkdirTemp("", "gridiron-proc-"); err != nil {
			ports.Release()
			return nil, fmt.Errorf("start a cluster: %w", err)
		}
	}

	c.processes = make([]*Process, cfg.Members)
	if err := c.startAll(ctx); err != nil {
		return nil, errors.Join(err, c.kill(), c.cleanUp())
	}
	return c, nil
}

// startAll starts all members, then waits for them. The first to fail ends the wait for the others.
func (c *Cluster) startAll(ctx context.Context) error {
	for i := range c.processes {
		p, err := c.launch(i)
		if err != nil {
			return err
		}
		c.processes[i] = p
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	// Members bootstrap together, so none is ready before the others run.
	var wg sync.WaitGroup
	for i, p := range c.processes {
		wg.Go(func() {
			if err := c.waitReady(ctx, i, p); err != nil {
				cancel(err) // the first is the cause; those of the others follow from it
			}
		})
	}

	wg.Wait()
	return context.Cause(ctx)
}

// launch starts member i. REQUIRES c.mu, or that nobody else knows c.
func (c *Cluster) launch(i int) (*Process, error) {
	name := fmt.Sprintf("m%d", i)
	path := filepath.Join(c.dir, name)
	// The first members bootstrap the cluster. Those that are added later join it.
	cmd := exec.Command(c.cfg.Binary, c.cfg.args(name, c.addrs[i], path, c.addrs[:c.cfg.Members], i < c.cfg.Members)...)
	cmd.Env = c.env
	return Launch(name, cmd, path+".log")
}

// waitReady waits until member i says that it is ready, at the address that it was given.
func (c *Cluster) waitReady(ctx context.Context, i int, p *Process) error {
	line, err := p.WaitReady(ctx)
	if err != nil {
		return err
	}

	// A member at another address would be measured under a wrong name.
	if want := c.Addr(i); line != want {
		return fmt.Errorf("member %s should be ready at %s and printed %q", p.name, want, line)
	}
	return nil
}

// Addrs returns the client addresses of all members, also of those that do not run. The slice is the caller's.
func (c *Cluster) Addrs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.addrs...)
}

// Addr returns the client address of member i, which it keeps over restarts. It panics if there never was a member i.
func (c *Cluster) Addr(i int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addrs[i]
}

// PIDs returns the process IDs of the members that run, in the order of the members. The slice is the caller's.
func (c *Cluster) PIDs() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	pids := make([]int, 0, len(c.processes))

	for _, p := range c.processes {
		if p.running() {
			pids = append(pids, p.cmd.Process.Pid)
		}
	}
	return pids
}

// PID returns the process ID of member i. Errors wrap ErrNotRunning.
func (c *Cluster) PID(i int) (int, error) {
	p, err := c.running(i)
	if err != nil {
		return 0, err
	}
	return p.cmd.Process.Pid, nil
}

// running returns the process of member i.
func (c *Cluster) running(i int) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runningLocked(i)
}

// runningLocked is running. REQUIRES c.mu.
func (c *Cluster) runningLocked(i int) (*Process, error) {
	if i < 0 || i >= len(c.processes) {
		return nil, fmt.Errorf("member %d of %d: %w", i, len(c.processes), ErrNotRunning)
	}
	if p := c.processes[i]; p.running() {
		return p, nil
	}
	return nil, fmt.Errorf("member %s: %w", c.processes[i].name, ErrNotRunning)
}

// Kill ends member i as a crash would, with SIGKILL, and returns once it is gone. Errors wrap ErrNotRunning.
func (c *Cluster) Kill(i int) error {
	p, err := c.running(i)
	if err != nil {
		return err
	}
	return p.Kill()
}

// Stop ends member i with SIGTERM, upon which it leaves the cluster, and returns once it is gone. When ctx ends first, the
// member is killed.
//
// Errors: ErrNotRunning; ctx's where the member had to be killed; an *exec.ExitError where its exit status was not 0.
func (c *Cluster) Stop(ctx context.Context, i int) error {
	p, err := c.running(i)
	if err != nil {
		return err
	}
	return p.Stop(ctx)
}

// Signal sends a signal to member i, and does not wait for what it does. Errors wrap ErrNotRunning or os.ErrProcessDone.
//
// NOTE: after SIGSTOP a member neither leaves nor answers; Kill and Close end it all the same.
func (c *Cluster) Signal(i int, sig os.Signal) error {
	p, err := c.running(i)
	if err != nil {
		return err
	}
	return p.signal(sig)
}

// Exited returns a channel that is closed once the process that member i is now, or was last, is gone. It panics if there
// never was a member i.
func (c *Cluster) Exited(i int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[i].exited
}

// Restart starts member i again, with the address and the data directory that it had, and returns once it is ready. One
// that still runs is killed first. If ctx ends before it is ready, it goes on starting.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	p, err := c.relaunch(i)
	if err != nil {
		return err
	}
	return c.waitReady(ctx, i, p)
}

func (c *Cluster) relaunch(i int) (*Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.New("restart a member: the cluster is closed")
	}
	if i < 0 || i >= len(c.processes) {
		return nil, fmt.Errorf("restart member %d of %d: %w", i, len(c.processes), ErrNotRunning)
	}

	// The directory has one owner at a time, so the earlier process must have ended.
	if err := c.processes[i].Kill(); err != nil {
		return nil, err
	}

	p, err := c.launch(i)
	if err == nil {
		c.processes[i] = p
	}
	return p, err
}

// Add starts a further member, which joins by way of those that bootstrapped the cluster, and returns its number once it is ready. If
// ctx ends before, it goes on starting.
func (c *Cluster) Add(ctx context.Context) (i int, err error) {
	i, p, err := c.launchNext()
	if err != nil {
		return 0, err
	}
	return i, c.waitReady(ctx, i, p)
}

func (c *Cluster) launchNext() (i int, p *Process, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i = len(c.processes); c.closed || i == maxMembers {
		return 0, nil, fmt.Errorf("add a member to %d: the cluster is closed, or has all that it may have", i)
	}

	ports, err := porttest.Take(1)
	if err != nil {
		return 0, nil, fmt.Errorf("add a member: %w", err)
	}

	// launch reads the address by the member's number, so it is set before.
	c.addrs = append(c.addrs, ports.Addrs()...)
	if p, err = c.launch(i); err != nil {
		c.addrs = c.addrs[:i]
		ports.Release()
		return 0, nil, err
	}

	c.ports = append(c.ports, ports)
	c.processes = append(c.processes, p)
	return i, p, nil
}

// Logs returns what member i wrote to its standard error in all its lives. It panics if there never was a member i.
func (c *Cluster) Logs(i int) (string, error) {
	c.mu.Lock()
	path := c.processes[i].log
	c.mu.Unlock()
	b, err := os.ReadFile(path)
	return string(b), err
}

// Close ends all members, by SIGTERM where they obey within the stop timeout and by SIGKILL else, and removes the temporary directory. It
// may be called more than once. It returns no error for how the members ended, but one for what is left behind.
func (c *Cluster) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true

	// Without the lock from here on: processes may take until the stop timeout to end.
	list := append([]*Process(nil), c.processes...)
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.StopTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, p := range list {
		wg.Go(func() { _ = p.Stop(ctx) })
	}

	wg.Wait()

	// What has not obeyed in time is killed.
	return errors.Join(c.kill(), c.cleanUp())
}

// kill ends what runs. REQUIRES that nobody starts a member any more.
func (c *Cluster) kill() error {
	var errs []error
	for _, p := range c.processes {
		if p != nil {
			errs = append(errs, p.Kill())
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) cleanUp() error {
	for _, p := range c.ports {
		p.Release()
	}
	if !c.remove {
		return nil
	}
	return os.RemoveAll(c.dir)
}
