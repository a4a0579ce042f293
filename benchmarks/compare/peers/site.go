package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/member/porttest"
)

// stopTimeout is how long processes may take to end by themselves.
const stopTimeout = 10 * time.Second

// Site is where clusters run. Its fields are set before the first Start.
type Site struct {
	Dir  string // for data and logs, which each cluster removes when it stops
	Bin  string // a folder of programs that come before those on PATH; may be empty
	Grid string // the grid binary
	Self string // this program, which is also a member of Olric
	Heap string // of each Hazelcast member, as for java -Xmx
}

// program returns the path of a program, or ErrAbsent.
func (s *Site) program(name string) (string, error) {
	if s.Bin != "" {
		if path, err := exec.LookPath(filepath.Join(s.Bin, name)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, ErrAbsent)
	}
	return path, nil
}

// group is the processes of a cluster. It is used by one goroutine at a time.
type group struct {
	dir   string
	ports *porttest.Set
	list  []*proc.Process
}

// newGroup takes a folder, and n base ports. The two ports after each are free too.
func (s *Site) newGroup(name string, n int) (*group, error) {
	ports, err := porttest.Take(n)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.Dir, name+"-")
	if err != nil {
		ports.Release()
		return nil, err
	}
	return &group{dir: dir, ports: ports}, nil
}

// addr returns the address of a member: its offset-th port, from 0 to 2.
func (g *group) addr(i, offset int) string {
	return fmt.Sprintf("127.0.0.1:%d", g.port(i, offset))
}

func (g *group) port(i, offset int) int {
	_, text, _ := net.SplitHostPort(g.ports.Addrs()[i])
	base, _ := strconv.Atoi(text) // porttest made it of a number
	return base + offset
}

// addrs returns the addresses of the first n members.
func (g *group) addrs(n int) []string { return g.ports.Addrs()[:n] }

// launch starts a process of the group. Its log is in the group's folder.
func (g *group) launch(name string, cmd *exec.Cmd) (*proc.Process, error) {
	cmd.Dir = g.dir
	p, err := proc.Launch(name, cmd, filepath.Join(g.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	g.list = append(g.list, p)
	return p, nil
}

// pids returns the process IDs.
func (g *group) pids() []int {
	pids := make([]int, len(g.list))
	for i, p := range g.list {
		pids[i] = p.PID()
	}
	return pids
}

// stop ends all processes and removes the folder.
func (g *group) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var wg sync.WaitGroup
	// Kill does nothing to a process that has ended, so asking all of them is safe.
	for _, p := range g.list {
		wg.Go(func() { _ = p.Stop(ctx) }) // a status is nothing to anybody: it has ended, or is killed below
	}
	wg.Wait()

	var errs []error
	for _, p := range g.list {
		errs = append(errs, p.Kill())
	}
	g.ports.Release()
	return errors.Join(append(errs, os.RemoveAll(g.dir))...)
}

// failed ends a group whose start has failed.
func (g *group) failed(err error) (*Cluster, error) { return nil, errors.Join(err, g.stop()) }

// cluster returns what runs now.
func (g *group) cluster(about string, copies, members int) *Cluster {
	return &Cluster{About: about, Copies: copies, Addrs: g.addrs(members), PIDs: g.pids(), stop: g.stop}
}

// poll calls ready until it returns no error, and returns its last one when ctx ends or a process of the group does.
func (g *group) poll(ctx context.Context, ready func() error) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}

		// A process that has ended will never be ready, so waiting longer is of no use.
		for _, p := range g.list {
			select {
			case <-p.Exited():
				return p.Exit()
			default:
			}
		}

		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("it is not ready: %w: %w", context.Cause(ctx), err)
		}
	}
}

// dialed returns no error if somebody listens at all addresses.
func dialed(addrs []string) error {
	for _, a := range addrs {
		conn, err := net.DialTimeout("tcp", a, time.Second)
		if err != nil {
			return err
		}
		_ = conn.Close()
	}
	return nil
}
