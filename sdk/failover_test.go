package sdk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// impatient makes silence noticed fast.
func impatient() Option {
	return clientOption(func(c *clientConfig) error {
		c.silence, c.pongWait = 20*time.Millisecond, 40*time.Millisecond
		return nil
	})
}

// one is a grid of two members with one partition, owned by member 0, and a map in it.
func one(t *testing.T, opts ...Option) (*fakegrid.Grid, *Client, *Map[string, string]) {
	t.Helper()
	g := fakegrid.New(t, 2, 1)
	c := connected(t, g, opts...)
	eventually(t, c, "connected to all", func() bool { return allLive(c, 2) })
	return g, c, opened[string, string](t, c, "m")
}

func short(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// Each operation goes straight to the member that owns its key.
func TestRouting(t *testing.T) {
	g := fakegrid.New(t, 3, 31)
	m := opened[string, string](t, connected(t, g), "m")
	g.Record()
	for i := range 100 {
		noErr(t, m.Set(t.Context(), fmt.Sprint(i), "v"))
	}
	for _, s := range g.Requests() {
		if s.Member != int(s.Partition)%3 || s.Epoch != 1<<44 || s.Flags != 0 {
			t.Fatalf("%+v", s)
		}
	}
}

// A member that does not own the partition any more says who does; the call goes there at once, as the same call.
func TestMovedIsFollowed(t *testing.T) {
	g, c, m := one(t)
	g.Record()
	g.Move(0, 1, false)
	noErr(t, m.Set(t.Context(), "a", "v"))
	seen := g.Requests(wire.OpSet)
	if len(seen) != 2 || seen[0].Member != 0 || seen[1].Member != 1 || seen[0].Seq != seen[1].Seq || seen[1].Epoch != 1<<44+1 || seen[1].Flags != 0 {
		t.Fatalf("%+v", seen)
	}
	noErr(t, m.Set(t.Context(), "b", "v"))
	if seen = g.Requests(wire.OpSet); len(seen) != 3 || seen[2].Member != 1 {
		t.Fatalf("%+v", seen)
	}
	if c.table.Load().routes[0].epoch != 1<<44+1 {
		t.Fatal("what was learned was not kept")
	}
}

// A pushed table is followed without asking the old owner.
func TestPushedTableIsFollowed(t *testing.T) {
	g, c, m := one(t)
	g.Record()
	g.Move(0, 1, true)
	eventually(t, c, "the move", func() bool { return c.table.Load().routes[0].epoch == 1<<44+1 })
	noErr(t, m.Set(t.Context(), "a", "v"))
	if seen := g.Requests(wire.OpSet); len(seen) != 1 || seen[0].Member != 1 {
		t.Fatalf("%+v", seen)
	}
}

// A call that waits for a member that has fallen silent goes to the new owner as soon as there is one, as the same call.
func TestSilentOwnerIsNotWaitedFor(t *testing.T) {
	patient := clientOption(func(c *clientConfig) error {
		c.silence, c.pongWait = time.Hour, time.Hour // the connection stays
		return nil
	})
	g, _, m := one(t, patient)
	g.Record()
	reached := make(chan struct{}, 2)
	g.OnRequest(func(f *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if f.Info.ID == g.MemberID(0) && (req.Op == wire.OpPut || req.Op == wire.OpGet) {
			reached <- struct{}{}
			return fakegrid.Verdict{Ignore: true}
		}
		return fakegrid.Verdict{}
	})
	ended := make(chan error, 2)
	go func() {
		_, _, err := m.Put(t.Context(), "a", "v")
		ended <- err
	}()
	go func() {
		_, _, err := m.Get(t.Context(), "b")
		ended <- err
	}()
	<-reached
	<-reached
	select {
	case err := <-ended:
		t.Fatalf("ended without an owner that answers: %v", err)
	case <-time.After(2 * ownAnswer):
	}
	g.Move(0, 1, true)
	noErr(t, <-ended)
	noErr(t, <-ended)
	seen := g.Requests(wire.OpPut)
	if len(seen) != 2 || seen[1].Member != 1 || seen[0].Seq != seen[1].Seq || seen[1].Flags&wire.FlagRetry == 0 {
		t.Fatalf("%+v", seen)
	}
}

// While nobody owns the partition calls wait; they go on as soon as somebody does.
func TestWaitsForAnOwner(t *testing.T) {
	g, _, m := one(t)
	refused := make(chan struct{}, 100)
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Op == wire.OpSet {
			select {
			case refused <- struct{}{}:
			default:
			}
		}
		return fakegrid.Verdict{}
	})
	g.Move(0, -1, false)
	ended := make(chan error, 1)
	go func() { ended <- m.Set(t.Context(), "a", "v") }()
	select {
	case <-refused:
	case err := <-ended:
		t.Fatalf("ended without an owner: %v", err)
	case <-t.Context().Done():
	}
	g.Move(0, 1, false) // nobody is told: the client asks
	noErr(t, <-ended)

	g.Move(0, -1, true)
	err := m.Set(short(t), "a", "v")
	wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)
	if errors.Is(err, ErrUnknownOutcome) || !Retryable(err) {
		t.Fatal(err)
	}
	_, _, err = m.Get(short(t), "a")
	wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)
}

// A member dies after it executed a write and before it answered. The client repeats the call under the same identity at
// the new owner, which knows it: it is executed once and succeeds.
func TestDeathAfterExecuting(t *testing.T) {
	g, _, m := one(t)
	g.Record()
	var cut atomic.Bool
	g.OnRequest(func(f *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Op == wire.OpPut && cut.CompareAndSwap(false, true) {
			go g.Move(0, 1, true)
			return fakegrid.Verdict{Cut: true, Execute: true}
		}
		return fakegrid.Verdict{}
	})
	prev, existed, err := m.Put(t.Context(), "a", "v")
	if err != nil || existed {
		t.Fatalf("%q %v %v: the second copy must get the first one's result", prev, existed, err)
	}
	seen := g.Requests(wire.OpPut)
	last := seen[len(seen)-1]
	if len(seen) < 2 || last.Seq != seen[0].Seq || last.Client != seen[0].Client || last.Deadline != seen[0].Deadline ||
		seen[0].Flags&wire.FlagRetry != 0 || last.Flags&wire.FlagRetry == 0 {
		t.Fatalf("%+v", seen)
	}
	if n := g.Runs(last.Client, last.Seq); n != 1 {
		t.Fatalf("executed %d times", n)
	}
}

// The owner is killed for good; the calls wait for the next one and none fails, reads and writes alike.
func TestKilledOwner(t *testing.T) {
	g := fakegrid.New(t, 3, 12)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	var wg sync.WaitGroup
	started := make(chan struct{}, 16)
	for w := range 16 {
		wg.Go(func() {
			for i := range 200 {
				key := fmt.Sprintf("%d/%d", w, i)
				if prev, existed, err := m.Put(t.Context(), key, "v"); err != nil || existed {
					t.Errorf("Put %s: %q %v %v", key, prev, existed, err)
					return
				}
				if v, _, err := m.Get(t.Context(), key); v != "v" || err != nil {
					t.Errorf("Get %s: %q %v", key, v, err)
					return
				}
				if i == 50 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 16 {
		<-started
	}
	g.Kill(0)
	g.SetState(0, "dead")
	g.MoveAll(0, 1, true)
	wg.Wait()
}

// A member that neither answers nor dies is noticed by its silence, and its calls go to the next owner.
func TestFrozenOwner(t *testing.T) {
	g, c, m := one(t, impatient())
	noErr(t, m.Set(t.Context(), "a", "1"))
	thaw := g.Freeze(0)
	defer thaw()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := m.Set(t.Context(), "a", "2"); err != nil {
				t.Error(err)
			}
			if v, _, err := m.Get(t.Context(), "a"); v != "2" || err != nil {
				t.Error(v, err)
			}
		})
	}
	eventually(t, c, "the frozen member's connection ended", func() bool { return c.peer(g.MemberID(0)).live() == nil })
	g.Move(0, 1, true)
	wg.Wait()
}

// Callers that each give up early do not keep a silent member from being noticed.
func TestFrozenOwnerWithImpatientCallers(t *testing.T) {
	g, c, m := one(t, impatient())
	thaw := g.Freeze(0)
	defer thaw()
	for c.peer(g.MemberID(0)).live() != nil {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, _, err := m.Get(ctx, "a")
		cancel()
		if err == nil {
			t.Fatal("a frozen member answered")
		}
	}
}

// A member that works on one call for long, and answers pings, keeps its connection.
func TestSlowIsNotSilent(t *testing.T) {
	g, c, m := one(t, impatient())
	conn := c.peer(g.MemberID(0)).live()
	pings := make(chan struct{}, 100)
	var held atomic.Uint64
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		switch req.Op {
		case wire.OpGet:
			held.Store(req.ID)
			return fakegrid.Verdict{Ignore: true}
		case wire.OpPing:
			pings <- struct{}{}
			if len(pings) == 3 { // at last
				r := wire.GetResult{}
				a := wire.Answer{ID: held.Load(), Body: wire.AppendGetResult(nil, &r)}
				return fakegrid.Verdict{Raw: wire.AppendAnswer(nil, &a)}
			}
		}
		return fakegrid.Verdict{}
	})
	_, found, err := m.Get(t.Context(), "a")
	if found || err != nil || len(pings) < 3 {
		t.Fatalf("%v %v after %d pings", found, err, len(pings))
	}
	if c.peer(g.MemberID(0)).live() != conn {
		t.Fatal("the connection was ended")
	}
}

// Close ends calls under way: reads as closed, writes that were sent as of unknown outcome.
func TestCloseDuringCalls(t *testing.T) {
	g, c, m := one(t)
	const n = 50
	arrived := make(chan struct{}, 2*n)
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Partition != wire.NoPartition {
			arrived <- struct{}{}
			return fakegrid.Verdict{Ignore: true}
		}
		return fakegrid.Verdict{}
	})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := m.Set(t.Context(), "a", "v"); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, ErrClosed) {
				t.Errorf("Set: %v", err)
			}
		})
		wg.Go(func() {
			if _, _, err := m.Get(t.Context(), "a"); !errors.Is(err, ErrClosed) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("Get: %v", err)
			}
		})
	}
	for range 2 * n {
		<-arrived
	}
	noErr(t, c.Close())
	wg.Wait()
}

// Close ends calls that wait for an owner.
func TestCloseWhileWaiting(t *testing.T) {
	g, c, m := one(t)
	refused := make(chan struct{}, 100)
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Op == wire.OpSet {
			select {
			case refused <- struct{}{}:
			default:
			}
			return fakegrid.Verdict{Code: wire.CodeNotReady}
		}
		return fakegrid.Verdict{}
	})
	ended := make(chan error)
	go func() { ended <- m.Set(t.Context(), "a", "v") }()
	<-refused
	noErr(t, c.Close())
	wantErr(t, <-ended, ErrClosed)
}

// What makes no sense from a member ends the connection, not the client: another connection is made.
func TestGarbageFromMember(t *testing.T) {
	for name, raw := range map[string][]byte{
		"too large":     {0xff, 0xff, 0xff, 0xff},
		"short":         {0, 0, 0, 3, 1, 2, 3},
		"other version": append([]byte{0, 0, 0, 28, 99}, make([]byte, 27)...),
		"unknown ID":    wire.AppendAnswer(nil, &wire.Answer{ID: 0x7fffffff00ffffff}),
		"bad table":     wire.AppendAnswer(nil, &wire.Answer{ID: uint64(wire.OpTable), Flags: wire.FlagPush, Body: []byte("nonsense")}),
		"other cluster": wire.AppendAnswer(nil, &wire.Answer{ID: uint64(wire.OpTable), Flags: wire.FlagPush,
			Body: wire.AppendTable(nil, &wire.Table{Cluster: wire.ID{9}, Members: []wire.MemberInfo{{ID: wire.ID{1}}}, Partitions: make([]wire.PartitionRoute, 1)})}),
	} {
		t.Run(name, func(t *testing.T) {
			g, c, m := one(t)
			before := c.peer(g.MemberID(0)).live()
			once := false
			g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
				if req.Op == wire.OpGet && !once {
					once = true
					return fakegrid.Verdict{Raw: raw}
				}
				return fakegrid.Verdict{}
			})
			if _, _, err := m.Get(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if before.Alive() || c.peer(g.MemberID(0)).live() == nil {
				t.Fatal("the connection was not replaced")
			}
		})
	}
	g, _, m := one(t)
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Partition != wire.NoPartition {
			return fakegrid.Verdict{Code: wire.CodeOK, Raw: wire.AppendAnswer(nil, &wire.Answer{ID: req.ID, Body: []byte{1, 2}})}
		}
		return fakegrid.Verdict{}
	})
	_, _, err := m.Get(t.Context(), "a")
	wantErr(t, err, errInternal)
	wantErr(t, m.Set(t.Context(), "a", "v"), ErrUnknownOutcome)
	_, err = m.GetAll(t.Context(), "a")
	wantErr(t, err, errInternal)
	wantErr(t, m.SetAll(t.Context(), map[string]string{"a": "b"}), ErrUnknownOutcome)
}

// The lowest seq that a request carries never passes a write that is still waited for.
func TestLowestOnTheWire(t *testing.T) {
	g, _, m := one(t)
	g.Record()
	hold := make(chan struct{})
	held := make(chan struct{})
	var first atomic.Uint64
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Op == wire.OpPut && first.CompareAndSwap(0, req.Seq) {
			close(held)
			return fakegrid.Verdict{Ignore: true}
		}
		return fakegrid.Verdict{}
	})
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		_, _, err := m.Put(ctx, "a", "v")
		if !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("Put: %v", err)
		}
		close(hold)
	}()
	<-held
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := m.Set(t.Context(), "b", "v"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, s := range g.Requests(wire.OpSet) {
		if s.Lowest != first.Load() {
			t.Fatalf("lowest %d while %d is waited for", s.Lowest, first.Load())
		}
	}
	giveUp()
	<-hold
	noErr(t, m.Set(t.Context(), "b", "v"))
	seen := g.Requests(wire.OpSet)
	if last := seen[len(seen)-1]; last.Lowest != last.Seq {
		t.Fatalf("lowest %d, want %d: the call before was given up", last.Lowest, last.Seq)
	}
}

// A thousand callers, members that lose their connections, partitions that move: every call succeeds, and each write is
// executed exactly once.
func TestThousandCallers(t *testing.T) {
	g := fakegrid.New(t, 3, 31)
	c := connected(t, g)
	m := opened[string, int](t, c, "m")
	done := make(chan struct{})
	var troubles atomic.Int64
	var trouble sync.WaitGroup
	trouble.Go(func() {
		for i := 0; ; i++ {
			if _, err := c.callAny(t.Context(), wire.OpPing, nil); err != nil { // paced by round trips
				return
			}
			select {
			case <-done:
				return
			default:
			}
			if i%20 == 10 {
				g.Cut(i / 20 % 3)
			}
			g.Move(i%31, (i/31)%3, i%2 == 0)
			troubles.Add(1)
		}
	})
	var wg sync.WaitGroup
	for w := range 1000 {
		wg.Go(func() {
			key := fmt.Sprint(w)
			i := 0
			for ; i < 10 || troubles.Load() < 100; i++ {
				if prev, existed, err := m.Put(t.Context(), key, i); err != nil || existed != (i > 0) || existed && prev != i-1 {
					t.Errorf("Put %d of %s: %v %v %v", i, key, prev, existed, err)
					return
				}
			}
			if v, _, err := m.Get(t.Context(), key); v != i-1 || err != nil {
				t.Errorf("Get %s: %v %v", key, v, err)
			}
		})
	}
	wg.Wait()
	close(done)
	trouble.Wait()
}

// All members restart under their addresses: the client finds them again.
func TestAllMembersRestart(t *testing.T) {
	g := fakegrid.New(t, 2, 4)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	noErr(t, m.Set(t.Context(), "a", "v"))
	g.Kill(0)
	g.Kill(1)
	ended := make(chan error)
	go func() { ended <- m.Set(t.Context(), "a", "w") }()
	g.Restart(0)
	g.Restart(1)
	noErr(t, <-ended)
	if v, _, err := m.Get(t.Context(), "a"); v != "w" || err != nil {
		t.Fatal(v, err)
	}
}

// A member that announces an address at which it cannot be reached is reached under the one that was given to Connect.
func TestUnreachableAnnouncedAddress(t *testing.T) {
	g := fakegrid.New(t, 1, 2)
	front := listener(t, proxyTo(g.Addr(0)))
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		if addr != front {
			return nil, errors.New("no route")
		}
		return dialTCP(ctx, addr)
	}
	c, err := Connect(t.Context(), []string{front}, WithDialer(dial))
	noErr(t, err)
	defer c.Close()
	m := opened[string, string](t, c, "m")
	noErr(t, m.Set(t.Context(), "a", "v"))
	g.Cut(0)
	noErr(t, m.Set(t.Context(), "a", "w"))
}

// Calls to one member end when it is gone: they go nowhere else.
func TestCallMember(t *testing.T) {
	g, c, _ := one(t)
	body, err := c.callMember(t.Context(), wire.OpStatus, g.MemberID(1), nil)
	noErr(t, err)
	if s, err := wire.DecodeStatus(body); err != nil || s.Name != "grid" {
		t.Fatal(s, err)
	}
	_, err = c.callMember(t.Context(), wire.OpStatus, wire.ID{42}, nil)
	wantErr(t, err, ErrMemberLeft)

	// A question is asked again on a new connection, anything else is not.
	var cut atomic.Int32
	g.OnRequest(func(f *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if (req.Op == wire.OpTaskSubmit || req.Op == wire.OpStatus) && cut.Add(1) == 1 {
			return fakegrid.Verdict{Cut: true}
		}
		if req.Op == wire.OpTaskSubmit {
			return fakegrid.Verdict{Code: wire.CodeRejected}
		}
		return fakegrid.Verdict{}
	})
	_, err = c.callMember(t.Context(), wire.OpStatus, g.MemberID(1), nil)
	noErr(t, err)
	cut.Store(0)
	_, err = c.callMember(t.Context(), wire.OpTaskSubmit, g.MemberID(1), nil)
	wantErr(t, err, ErrMemberLeft)
	cut.Store(0)
	_, err = c.callPartition(t.Context(), wire.OpTaskSubmit, "ex", 0, nil)
	wantErr(t, err, ErrMemberLeft)
	_, owner, err := c.callOwner(t.Context(), wire.OpTaskSubmit, "ex", 0, nil)
	wantErr(t, err, ErrRejected)
	if owner != g.MemberID(0) {
		t.Fatalf("asked %v", owner)
	}
	g.OnRequest(func(*fakegrid.Member, *wire.Request) fakegrid.Verdict { return fakegrid.Verdict{Code: wire.CodeClosed} })
	_, err = c.callMember(t.Context(), wire.OpStatus, g.MemberID(1), nil)
	wantErr(t, err, ErrMemberLeft)
	g.OnRequest(nil)
	g.Kill(1)
	_, err = c.callMember(t.Context(), wire.OpStatus, g.MemberID(1), nil)
	wantErr(t, err, ErrMemberLeft)
	g.Forget(1)
	eventually(t, c, "the member is gone", func() bool { return len(c.members()) == 1 })
	if c.peer(g.MemberID(1)) != nil {
		t.Fatal("the peer of a member that left is kept")
	}
}
