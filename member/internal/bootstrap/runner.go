package bootstrap

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Result is how bootstrap ended.
type Result struct {
	ClusterID    wire.ID
	Proposal     *Proposal // by which the member bootstrapped the cluster; nil if it joins it
	Bootstrapped bool      // Proposal is not nil: its Voters start the metadata group, the other participants join them
	JoinAddrs    []string  // client base addresses at which members may be, without this one's
}

// Runner drives one member's Machine over connections and saves its Record. Run bootstraps or joins a cluster; Serve answers other members, before,
// while and after Run works. Methods are safe for concurrent use.
//
// Goroutines: Run has one per address that it talks to; they end before it returns. Serve runs on its caller's.
type Runner struct {
	cfg   Config
	start time.Time

	// mu guards the machine and the record behind it, and is held while a record is saved.
	mu struct {
		sync.Mutex
		machine *Machine
		failed  error // saving failed or the Runner was closed; the machine is not to be used
	}
	// links guards what Run sends with.
	links struct {
		sync.Mutex
		byAddr map[string]*link // nil while Run does not run
		drive  func(*link)      // what the goroutine of a link does
		wg     sync.WaitGroup
	}
	// conns guards the connections that are being served.
	conns struct {
		sync.Mutex
		open   map[net.Conn]struct{}
		closed bool
		wg     sync.WaitGroup
	}

	ended     chan struct{} // closed when bootstrap ended
	endedOnce sync.Once
	endErr    error // why it ended without a cluster; written before ended is closed
}

// NewRunner makes a Runner. It returns everything that is wrong with cfg. From now on the Store's Record is the Runner's to
// change.
func NewRunner(cfg Config) (*Runner, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}

	cfg = cfg.withDefaults()
	r := &Runner{cfg: cfg, start: time.Now(), ended: make(chan struct{})}

	// The machine begins with what an earlier start has promised.
	rec := cfg.Store.Record()
	r.mu.machine = NewMachine(Settings{
		Member: cfg.Store.Member(), Addr: cfg.Addr, PeersAddr: cfg.PeersAddr, ClusterName: cfg.ClusterName,
		Expect: cfg.Expect, Join: cfg.Join, Timing: cfg.Timing, NewID: newID,
	}, rec)
	r.conns.open = make(map[net.Conn]struct{})
	// A member that has a cluster only serves others. Run returns at once.
	if !rec.ClusterID.IsZero() {
		r.end(nil)
	}
	return r, nil
}

// Run bootstraps or finds a cluster and returns once its ID is on disk: at once for a member that has one. It waits for other
// members as long as ctx allows and logs for whom.
//
// Errors: ctx's; an error matching ErrOtherCluster when a member at a Join address belongs to a cluster of another name;
// ErrClosed; and what kept the record from being saved, after which the Store has to be opened again. Run may be called
// again after ctx ended it, but not twice at a time.
func (r *Runner) Run(ctx context.Context) (Result, error) {
	select {
	case <-r.ended:
		return r.result()
	default:
	}

	// The links outlive ctx: what was decided last still has to reach the others.
	linkCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if err := r.openLinks(linkCtx); err != nil {
		return Result{}, err
	}

	err := r.tick(ctx)
	if err == nil {
		// What has been decided is on its way to those who wait for it. They would ask if it did not reach them.
		defer context.AfterFunc(ctx, cancel)()
		timer := time.AfterFunc(r.cfg.Timing.HelloEvery, cancel)
		defer timer.Stop()
	} else {
		cancel()
	}

	r.closeLinks()
	if err != nil {
		return Result{}, err
	}
	return r.result()
}

// tick lets time pass for the machine until bootstrap ends.
func (r *Runner) tick(ctx context.Context) error {
	ticker := time.NewTicker(max(r.cfg.Timing.HelloEvery/4, time.Millisecond))
	defer ticker.Stop()
	for {
		// The machine has no clock of its own: all that depends on time happens in these steps.
		if _, err := r.step((*Machine).Tick); err != nil {
			return err
		}
		select {
		case <-r.ended:
			return r.endErr
		case <-ctx.Done():
			return fmt.Errorf("bootstrap: %w", context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// SetCluster tells where the members of the cluster are, for those who ask. A member without a cluster ID belongs to this
// cluster from then on, on disk, and Run ends. One of another cluster gets an error matching ErrOtherCluster.
func (r *Runner) SetCluster(ref ClusterRef) error {
	out, err := r.step(func(m *Machine, now time.Duration) Effects { return m.SetCluster(now, ref) })
	if err != nil {
		return err
	}
	return out.Err
}

// Close ends Run and every Serve, and waits for the latter. The Store stays open.
func (r *Runner) Close() {
	r.mu.Lock()
	// An earlier failure says more than that the Runner was closed.
	if r.mu.failed == nil {
		r.mu.failed = fmt.Errorf("bootstrap: %w", ErrClosed)
	}

	err := r.mu.failed
	r.mu.Unlock()
	r.end(err)

	r.conns.Lock()
	r.conns.closed = true
	for c := range r.conns.open {
		// The read that Serve waits in ends with an error. Serve closes the connection again, which does no harm.
		_ = c.Close()
	}

	r.conns.Unlock()
	r.conns.wg.Wait()
}

// step takes one step of the machine, saves what it promises, and only then does what it wants done.
func (r *Runner) step(take func(*Machine, time.Duration) Effects) (Output, error) {
	r.mu.Lock()
	if err := r.mu.failed; err != nil {
		r.mu.Unlock()
		return Output{}, err
	}

	out, err := take(r.mu.machine, time.Since(r.start)).Commit(r.cfg.Store.Save)
	if err != nil {
		err = fmt.Errorf("bootstrap: %w", err)
		// What is on disk is unknown now. The machine must say nothing more that could contradict it.
		r.mu.failed = err
	}

	r.mu.Unlock()

	if err != nil {
		r.end(err)
		return Output{}, err
	}

	// The record is on disk now, so what it promises may be said.
	for _, line := range out.Log {
		r.cfg.Logger.Info(line, "cluster", r.cfg.ClusterName, "addr", r.cfg.Addr)
	}

	// Sending takes another lock and may start goroutines, so it happens without r.mu.
	for _, e := range out.Send {
		r.send(e)
	}

	// The end comes after the messages are on their way: Run lets the links deliver them.
	if out.Decided != nil || out.Join != nil {
		r.end(nil)
	}

	return out, nil
}

// end ends bootstrap; the first call counts.
func (r *Runner) end(err error) {
	r.endedOnce.Do(func() {
		r.endErr = err
		close(r.ended)
	})
}

// result says how bootstrap ended. REQUIRES: r.ended is closed.
func (r *Runner) result() (Result, error) {
	if r.endErr != nil {
		return Result{}, r.endErr
	}

	// The record on disk is the result, since an earlier start may have written it.
	rec := r.cfg.Store.Record()
	f := rec.Decided()
	// The members may have moved since the record was written. The configured addresses are another way to them.
	addrs := boundAddrs(append(slices.Clone(rec.Addrs), r.cfg.Join...))
	return Result{
		ClusterID: rec.ClusterID, Proposal: f, Bootstrapped: f != nil,
		JoinAddrs: slices.DeleteFunc(addrs, func(a string) bool { return a == r.cfg.Addr }),
	}, nil
}
