package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gridiron-io/gridiron/member/porttest"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is the protocol at a fraction of its time.
var quick = Timing{HelloEvery: 10 * time.Millisecond, StableFor: 60 * time.Millisecond, AskEvery: 20 * time.Millisecond,
	RefuseAfter: 200 * time.Millisecond, LogEvery: 50 * time.Millisecond}

// process is a member's process as far as bootstrap sees it: a directory, a listener and a Runner.
type process struct {
	t        *testing.T
	dir      string
	name     string // of the cluster
	listener net.Listener
	runner   *Runner
	store    *Store
	wg       sync.WaitGroup
	closing  sync.Once
}

// newListener listens on a port that is free, and the test's also while nobody listens.
func newListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", porttest.Addrs(t, 1)[0])
	require.NoError(t, err)
	return l
}

// startProcess starts a member that lets others in; Run is left to the test.
func startProcess(t *testing.T, dir string, l net.Listener, name string, adapt func(*Config)) *process {
	t.Helper()
	store, err := Open(dir, name)
	require.NoError(t, err)
	p := &process{t: t, dir: dir, name: name, listener: l, store: store}
	cfg := Config{Store: store, Addr: l.Addr().String(), PeersAddr: "peers " + l.Addr().String(), ClusterName: name,
		Dial: p.dial, Logger: slog.New(slog.DiscardHandler), Timing: quick}
	adapt(&cfg)
	p.runner, err = NewRunner(cfg)
	require.NoError(t, err)
	p.wg.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

// stop ends the process; what it holds can be taken by another.
func (p *process) stop() {
	p.closing.Do(func() {
		_ = p.listener.Close() // may be closed by the test
		p.runner.Close()
		p.wg.Wait()
		require.NoError(p.t, p.store.Close())
	})
}

func (p *process) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() {
			if err := p.welcome(conn); err != nil {
				_ = conn.Close() // refused
				return
			}
			_ = p.runner.Serve(conn) // ends with the connection
		})
	}
}

// dial and welcome exchange the connection's hellos as a member does.
func (p *process) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	ok := false
	defer func() {
		if !ok {
			_ = conn.Close() // refused
		}
	}()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	hello := wire.Hello{Version: wire.Version, Plane: wire.PlaneJoin, Cluster: p.name, Member: p.store.Member()}
	if _, err := conn.Write(wire.AppendHello(nil, &hello)); err != nil {
		return nil, err
	}
	b, err := readHello(conn)
	if err != nil {
		return nil, err
	}
	ans, err := wire.DecodeHelloAnswer(b)
	if err != nil {
		return nil, err
	}
	if ans.Cluster != p.name {
		return nil, &OtherClusterError{Where: "member at " + addr, Got: ans.Cluster, Want: p.name}
	}
	ok = true
	return conn, nil
}

func (p *process) welcome(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	b, err := readHello(conn)
	if err != nil {
		return err
	}
	hello, err := wire.DecodeHello(b)
	if err != nil {
		return err
	}
	ans := wire.HelloAnswer{Version: wire.Version, Code: wire.CodeOK, Cluster: p.name, Member: p.store.Member()}
	if hello.Cluster != p.name {
		ans.Code = wire.CodeInvalid
	}
	if _, err := conn.Write(wire.AppendHelloAnswer(nil, &ans)); err != nil || ans.Code != wire.CodeOK {
		return errors.Join(err, errors.New("refused"))
	}
	return nil
}

func readHello(conn net.Conn) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	n, err := wire.HelloLength(head)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err = io.ReadFull(conn, b)
	return b, err
}

// sees reports whether the process has another in sight.
func (p *process) sees(member wire.ID) bool {
	p.runner.mu.Lock()
	defer p.runner.mu.Unlock()
	_, ok := p.runner.mu.machine.sight.peers[member]
	return ok
}

type outcome struct {
	result Result
	err    error
}

// run starts Run and returns where its outcome will come.
func (p *process) run(ctx context.Context) <-chan outcome {
	ch := make(chan outcome, 1)
	p.wg.Go(func() {
		result, err := p.runner.Run(ctx)
		ch <- outcome{result, err}
	})
	return ch
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func listeners(t *testing.T, n int) ([]net.Listener, []string) {
	t.Helper()
	ls, addrs := make([]net.Listener, n), make([]string, n)
	for i := range ls {
		ls[i] = newListener(t)
		addrs[i] = ls[i].Addr().String()
	}
	return ls, addrs
}

// bootstrapThree starts three members that bootstrap a cluster.
func bootstrapThree(t *testing.T, base string) ([]*process, []string) {
	t.Helper()
	ctx := testContext(t)
	ls, addrs := listeners(t, 3)
	ps, outcomes := make([]*process, 3), make([]<-chan outcome, 3)
	for i := range ps {
		ps[i] = startProcess(t, filepath.Join(base, fmt.Sprint(i)), ls[i], "grid", func(c *Config) { c.Expect, c.Join = 3, addrs })
		outcomes[i] = ps[i].run(ctx)
	}
	var first Result
	for i := range ps {
		o := <-outcomes[i]
		require.NoError(t, o.err)
		require.True(t, o.result.Bootstrapped)
		require.Equal(t, o.result.ClusterID, o.result.Proposal.ClusterID)
		require.Equal(t, o.result.ClusterID, ps[i].store.Record().ClusterID)
		require.Len(t, o.result.JoinAddrs, 2)
		require.NotContains(t, o.result.JoinAddrs, addrs[i])
		if i == 0 {
			first = o.result
		}
		require.Equal(t, first.Proposal, o.result.Proposal)
	}
	require.Len(t, first.Proposal.Voters(), 3)
	return ps, addrs
}

func TestThreeRunnersBootstrapOneCluster(t *testing.T) {
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) { bootstrapThree(t, t.TempDir()) })
	}
}

func TestMembersOfAClusterLetOthersJoin(t *testing.T) {
	ps, addrs := bootstrapThree(t, t.TempDir())
	id := ps[0].store.Record().ClusterID
	for name, expect := range map[string]int{"join only": 0, "would bootstrap": 3} {
		t.Run(name, func(t *testing.T) {
			p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) { c.Expect, c.Join = expect, addrs[:1] })
			o := <-p.run(testContext(t))
			require.NoError(t, o.err)
			require.Equal(t, Result{ClusterID: id, JoinAddrs: o.result.JoinAddrs}, o.result)
			require.ElementsMatch(t, addrs, o.result.JoinAddrs, "it is told all of them by one")
		})
	}
}

func TestRestartReturnsAtOnce(t *testing.T) {
	base := t.TempDir()
	ps, _ := bootstrapThree(t, base)
	before := ps[1].store.Record()
	for _, p := range ps {
		p.stop()
	}
	p := startProcess(t, filepath.Join(base, "1"), newListener(t), "grid", func(c *Config) { c.Join = []string{"127.0.0.1:1"} })
	o := <-p.run(testContext(t))
	require.NoError(t, o.err)
	require.Equal(t, before.ClusterID, o.result.ClusterID)
	require.Equal(t, before.Accepted, o.result.Proposal)
	require.True(t, o.result.Bootstrapped)
	require.EqualValues(t, 2, p.store.Starts())
}

func TestRestartWithinBootstrap(t *testing.T) {
	base := t.TempDir()
	ls, addrs := listeners(t, 3)
	ctx := testContext(t)
	adapt := func(c *Config) { c.Expect, c.Join = 3, addrs }
	early, stop := context.WithCancel(ctx)
	defer stop()
	var few []*process
	var ends []<-chan outcome
	for i := range 2 { // they meet, but are too few
		p := startProcess(t, filepath.Join(base, fmt.Sprint(i)), ls[i], "grid", adapt)
		few, ends = append(few, p), append(ends, p.run(early))
	}
	for i, p := range few {
		other := few[1-i].store.Member()
		require.Eventually(t, func() bool { return p.sees(other) }, time.Minute, time.Millisecond)
	}
	stop()
	for i, p := range few {
		require.ErrorIs(t, (<-ends[i]).err, context.Canceled)
		p.stop()
	}
	require.NoError(t, ls[2].Close())
	for i := range ls {
		l, err := net.Listen("tcp", addrs[i])
		require.NoError(t, err)
		ls[i] = l
	}
	var outcomes []<-chan outcome
	for i := range ls {
		outcomes = append(outcomes, startProcess(t, filepath.Join(base, fmt.Sprint(i)), ls[i], "grid", adapt).run(ctx))
	}
	for _, o := range outcomes {
		require.NoError(t, (<-o).err)
	}
}

func TestRunAloneAndMembersList(t *testing.T) {
	var list atomic.Pointer[ClusterRef]
	l := newListener(t)
	alone := startProcess(t, t.TempDir(), l, "grid", func(c *Config) {
		c.Members = func() ClusterRef {
			if ref := list.Load(); ref != nil {
				return *ref
			}
			return ClusterRef{}
		}
	})
	o := <-alone.run(testContext(t))
	require.NoError(t, o.err)
	require.True(t, o.result.Bootstrapped)
	require.Len(t, o.result.Proposal.Participants, 1)
	require.Empty(t, o.result.JoinAddrs)

	join := func() Result {
		p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) { c.Join = []string{l.Addr().String()} })
		o := <-p.run(testContext(t))
		require.NoError(t, o.err)
		return o.result
	}
	require.Equal(t, []string{l.Addr().String()}, join().JoinAddrs)
	list.Store(&ClusterRef{ID: o.result.ClusterID, Addrs: []string{"later:1", "and:1"}})
	require.Equal(t, []string{l.Addr().String(), "later:1", "and:1"}, join().JoinAddrs)
}

func TestSetClusterEndsRun(t *testing.T) {
	p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) { c.Join = []string{"127.0.0.1:1"} })
	o := p.run(testContext(t))
	ref := ClusterRef{ID: wire.ID{1}, Addrs: []string{"a:1"}}
	require.NoError(t, p.runner.SetCluster(ref))
	got := <-o
	require.NoError(t, got.err)
	require.Equal(t, ref.ID, got.result.ClusterID)
	require.Equal(t, ref.ID, p.store.Record().ClusterID)
	require.ErrorIs(t, p.runner.SetCluster(ClusterRef{ID: wire.ID{2}}), ErrOtherCluster)
}

func TestAnotherClusterEndsRun(t *testing.T) {
	other := startProcess(t, t.TempDir(), newListener(t), "other", func(*Config) {})
	require.NoError(t, (<-other.run(testContext(t))).err)
	addr := other.listener.Addr().String()

	t.Run("told by the hello of the connection", func(t *testing.T) {
		p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) { c.Expect, c.Join = 3, []string{addr} })
		err := (<-p.run(testContext(t))).err
		require.ErrorIs(t, err, ErrOtherCluster)
		require.ErrorContains(t, err, addr)
		require.Equal(t, Record{}, p.store.Record())
	})
	t.Run("told by the answer", func(t *testing.T) {
		p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) {
			c.Expect, c.Join = 3, []string{addr}
			c.Dial = other.dial // a listener that takes everybody
		})
		err := (<-p.run(testContext(t))).err
		require.ErrorIs(t, err, ErrOtherCluster)
		require.ErrorContains(t, err, addr)
		require.Equal(t, Record{}, p.store.Record())
	})
}

func TestCloseEndsRunAndServe(t *testing.T) {
	p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) { c.Join = []string{"127.0.0.1:1"} })
	o := p.run(testContext(t))
	near, far := net.Pipe()
	defer func() { require.NoError(t, near.Close()) }()
	served := make(chan error, 1)
	p.wg.Go(func() { served <- p.runner.Serve(far) })
	req := Message{Kind: KindHello, From: peer(6)}
	require.NoError(t, writeMessage(near, &req))
	ans, err := readMessage(near)
	require.NoError(t, err)
	require.Equal(t, KindHelloAnswer, ans.Kind)

	p.runner.Close()
	require.ErrorIs(t, <-served, ErrClosed)
	require.ErrorIs(t, (<-o).err, ErrClosed)
	late, other := net.Pipe()
	require.ErrorIs(t, p.runner.Serve(other), ErrClosed)
	_, err = late.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "it has been closed")
	_, err = p.runner.Run(testContext(t))
	require.ErrorIs(t, err, ErrClosed)
	p.runner.Close()
}

func TestServeEndsWhatItDoesNotUnderstand(t *testing.T) {
	p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) { c.Join = []string{"127.0.0.1:1"} })
	for _, c := range []struct {
		name  string
		bytes []byte
		err   error
	}{
		{"too large", []byte{0, 1, 0, 0}, wire.ErrTooLarge},
		{"malformed", []byte{0, 0, 0, 2, 1, 1}, wire.ErrMalformed},
		{"another version", []byte{0, 0, 0, 2, 9, 1}, wire.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := net.Pipe()
			served := make(chan error, 1)
			p.wg.Go(func() { served <- p.runner.Serve(far) })
			_, err := near.Write(c.bytes)
			require.NoError(t, err)
			require.ErrorIs(t, <-served, c.err)
			_, err = near.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		})
	}
	l := newListener(t)
	near, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, near.Close())
	require.NoError(t, p.runner.Serve(far), "the other side has ended it")
}

func TestRunTwiceAtATime(t *testing.T) {
	dialed := make(chan struct{}, 1)
	p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) {
		c.Join = []string{"a:1"}
		c.Dial = func(ctx context.Context, _ string) (net.Conn, error) {
			select {
			case dialed <- struct{}{}:
			default:
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	ctx, cancel := context.WithCancel(testContext(t))
	o := p.run(ctx)
	<-dialed
	_, err := p.runner.Run(ctx)
	require.ErrorContains(t, err, "while it runs")
	cancel()
	require.ErrorIs(t, (<-o).err, context.Canceled, "also while it dials")
}

func TestNothingIsSaidThatCannotBeSaved(t *testing.T) {
	p := startProcess(t, t.TempDir(), newListener(t), "grid", func(c *Config) { c.Expect, c.Join = 3, []string{"127.0.0.1:1"} })
	o := p.run(testContext(t))
	temp := filepath.Join(p.dir, tempName)
	require.NoError(t, os.Mkdir(temp, 0o700)) // in the way

	near, far := net.Pipe()
	served := make(chan error, 1)
	p.wg.Go(func() { served <- p.runner.Serve(far) })
	self := Participant{Member: p.store.Member(), Addr: p.listener.Addr().String(), PeersAddr: "p"}
	h := peer(6)
	f := newProposal(wire.ID{1}, []Participant{self, {Member: h.Member, Addr: h.Addr, PeersAddr: h.PeersAddr}})
	propose := Message{Kind: KindPropose, From: h, Proposal: f}
	require.NoError(t, writeMessage(near, &propose))
	_, err := readMessage(near)
	require.ErrorIs(t, err, io.EOF, "no answer")
	require.ErrorContains(t, <-served, "save the bootstrap record")
	require.ErrorContains(t, (<-o).err, "save the bootstrap record")
}

func TestConfigReportsAllProblems(t *testing.T) {
	store := openStore(t, t.TempDir())
	_, err := NewRunner(Config{})
	for _, want := range []string{"no Store", "no Dial", "Addr", "PeersAddr"} {
		require.ErrorContains(t, err, want)
	}
	_, err = NewRunner(Config{Store: store, ClusterName: "other", Expect: 17, Addr: "a:1", PeersAddr: "a:2",
		Dial: (&process{}).dial})
	for _, want := range []string{"not the Store's", "Expect 17: 0 to 16", "without Join"} {
		require.ErrorContains(t, err, want)
	}
}
