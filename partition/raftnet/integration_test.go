package raftnet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/raftio"
	sm "github.com/lni/dragonboat/v4/statemachine"
	"github.com/lni/vfs"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"raft", "rsm", "transport", "dragonboat", "logdb", "raftpb", "config", "settings", "utils", "order", "tests", "registry", "server", "grpc", "pebblekv"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
	os.Exit(m.Run())
}

const testShard = 4097

// testNet is the members' side of a cluster in one process: it knows the address of every target, and which are cut off.
type testNet struct {
	mu       sync.Mutex
	addrs    map[string]string
	cut      map[string]bool
	conns    map[net.Conn][2]string  // who dialed whom
	noChunks atomic.Bool             // connections for snapshots cannot be made
	lossy    map[string]*atomic.Bool // by target: nothing that is sent to it arrives, and nobody notices
}

// lossyConn loses whole writes while drop is set: the stream goes on with the next frame, as after a dropped batch.
type lossyConn struct {
	net.Conn
	drop *atomic.Bool
}

func (c *lossyConn) Write(b []byte) (int, error) {
	if c.drop.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func newTestNet() *testNet {
	return &testNet{addrs: map[string]string{}, cut: map[string]bool{}, conns: map[net.Conn][2]string{}, lossy: map[string]*atomic.Bool{}}
}

// dialFrom does what a member's dialer does: find the address, connect, say hello, read the answer.
func (n *testNet) dialFrom(self string) func(context.Context, string, uint8) (net.Conn, error) {
	return func(ctx context.Context, target string, stream uint8) (net.Conn, error) {
		n.mu.Lock()
		addr, ok := n.addrs[target]
		cut := n.cut[self] || n.cut[target]
		n.mu.Unlock()
		if !ok || cut || stream == StreamChunks && n.noChunks.Load() {
			return nil, fmt.Errorf("%s is not reachable", target)
		}
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		hello := wire.Hello{Version: wire.Version, Plane: wire.PlaneRaft, Name: self, Stream: stream}
		if _, err := nc.Write(wire.AppendHello(nil, &hello)); err != nil {
			nc.Close()
			return nil, err
		}
		body, err := readHello(nc)
		if err == nil {
			_, err = wire.DecodeHelloAnswer(body)
		}
		if err != nil {
			nc.Close()
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.conns[nc] = [2]string{self, target}
		return &lossyConn{nc, n.lossy[target]}, nil
	}
}

func readHello(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size, err := wire.HelloLength(head)
	if err != nil {
		return nil, err
	}
	body := make([]byte, size)
	_, err = io.ReadFull(r, body)
	return body, err
}

// setCut cuts a member off, breaking its connections, or lets it back in.
func (n *testNet) setCut(id string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[id] = cut
	for nc, ends := range n.conns {
		if ends[0] == id || ends[1] == id {
			nc.Close()
			delete(n.conns, nc)
		}
	}
}

// testMember is a NodeHost with its transport, registry and listener.
type testMember struct {
	id       string
	nh       *dragonboat.NodeHost
	tr       *Transport
	registry *Registry
	leaders  chan raftio.LeaderInfo
	machine  atomic.Pointer[testMachine]
}

func (m *testMember) LeaderUpdated(info raftio.LeaderInfo) { m.leaders <- info }

// newTestMember starts a NodeHost on memory whose clock ticks every rtt milliseconds.
func newTestMember(t *testing.T, n *testNet, rtt uint64) *testMember {
	t.Helper()
	return makeTestMember(t, n, rtt, false)
}

// newCarryingMember is newTestMember with a transport that carries state snapshots.
func newCarryingMember(t *testing.T, n *testNet, rtt uint64) *testMember {
	t.Helper()
	return makeTestMember(t, n, rtt, true)
}

func makeTestMember(t *testing.T, n *testNet, rtt uint64, carries bool) *testMember {
	t.Helper()
	m := &testMember{id: uuid.NewString(), registry: NewRegistry(), leaders: make(chan raftio.LeaderInfo, 1000)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n.mu.Lock()
	n.addrs[m.id] = l.Addr().String()
	n.lossy[m.id] = new(atomic.Bool)
	n.mu.Unlock()
	// As with the defaults there are five ticks in the interval.
	m.tr, err = New(Config{Plane: wire.PlaneRaft, Dial: n.dialFrom(m.id), EmptyInterval: 5 * time.Duration(rtt) * time.Millisecond})
	require.NoError(t, err)
	if carries {
		m.tr.Carry(carriedMachine{m})
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				body, err := readHello(nc)
				if err != nil {
					nc.Close()
					return
				}
				hello, err := wire.DecodeHello(body)
				if err != nil {
					t.Errorf("hello: %v", err)
				}
				if _, err := nc.Write(wire.AppendHelloAnswer(nil, &wire.HelloAnswer{Version: wire.Version})); err != nil {
					nc.Close()
					return
				}
				if err := m.tr.Serve(nc, hello); errors.Is(err, wire.ErrMalformed) {
					t.Errorf("serve: %v", err)
				}
			})
		}
	})
	logdb := config.GetTinyMemLogDBConfig()
	logdb.Shards = 1
	cfg := config.NodeHostConfig{
		NodeHostDir: "/raftnet", NodeHostID: m.id, RTTMillisecond: rtt, RaftAddress: "member.test:5702", DeploymentID: testDeployment,
		RaftEventListener: m,
		Expert: config.ExpertConfig{
			FS: vfs.NewMem(), TransportFactory: m.tr.Factory(), NodeRegistryFactory: m.registry, LogDB: logdb,
			Engine: config.EngineConfig{ExecShards: 1, CommitShards: 1, ApplyShards: 1, SnapshotShards: 2, CloseShards: 1},
		},
	}
	m.nh, err = dragonboat.NewNodeHost(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		l.Close()
		m.nh.Close()
		serving.Wait()
		s := m.tr.Stats()
		require.Zero(t, s.Malformed)
		require.Zero(t, s.Refused, "what dragonboat sends is admitted")
		require.Zero(t, s.Inbound)
		require.Zero(t, s.Outbound)
	})
	return m
}

// start runs a replica of the test's shard.
func (m *testMember) start(t *testing.T, replica uint64, initial map[uint64]string, cfg config.Config) {
	t.Helper()
	cfg.ShardID, cfg.ReplicaID, cfg.CheckQuorum, cfg.PreVote, cfg.OrderedConfigChange = testShard, replica, true, true, true
	require.NoError(t, m.nh.StartOnDiskReplica(initial, initial == nil, func(_, _ uint64) sm.IOnDiskStateMachine {
		machine := newTestMachine()
		m.machine.Store(machine)
		return machine
	}, cfg))
}

// startShard starts three members with one replica each, IDs 1 to 3 in the order of the list.
func startShard(t *testing.T, n *testNet, rtt uint64, cfg config.Config) []*testMember {
	t.Helper()
	members := make([]*testMember, 3)
	initial := map[uint64]string{}
	for i := range members {
		members[i] = newTestMember(t, n, rtt)
		initial[uint64(i+1)] = members[i].id
	}
	for i, m := range members {
		m.registry.SetAll(targets(initial))
		m.start(t, uint64(i+1), initial, cfg)
	}
	return members
}

func targets(replicas map[uint64]string) map[raftio.NodeInfo]string {
	out := map[raftio.NodeInfo]string{}
	for id, target := range replicas {
		out[raftio.NodeInfo{ShardID: testShard, ReplicaID: id}] = target
	}
	return out
}

// awaitLeader returns the first leader that any of the members hears of which is not `not`, and its term.
func awaitLeader(t *testing.T, members []*testMember, not uint64) raftio.LeaderInfo {
	t.Helper()
	found := make(chan raftio.LeaderInfo, len(members))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, m := range members {
		go func() {
			for {
				select {
				case info := <-m.leaders:
					if info.LeaderID != 0 && info.LeaderID != not {
						found <- info
						return
					}
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	return next(t, found)
}

// injectUntilLed asks one replica to campaign until somebody other than `from` leads, as failover does, and returns who that is.
func injectUntilLed(t *testing.T, members []*testMember, replica, from, term uint64) raftio.LeaderInfo {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		again := time.NewTicker(10 * time.Millisecond)
		defer again.Stop()
		for {
			members[replica-1].tr.Inject(testShard, replica, from, term)
			select {
			case <-again.C:
			case <-stop:
				return
			}
		}
	}()
	leader := awaitLeader(t, members, from)
	close(stop)
	<-done
	return leader
}

// propose gets a command through, wherever the leader is.
func propose(t *testing.T, m *testMember, cmd []byte) {
	t.Helper()
	session := m.nh.GetNoOPSession(testShard)
	deadline := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, err := m.nh.SyncPropose(ctx, session, cmd)
		cancel()
		if err == nil {
			return
		}
		require.True(t, dragonboat.IsTempError(err), "%v", err)
		require.True(t, time.Now().Before(deadline), "%v", err)
	}
}

// awaitApplied waits until the member has applied n commands.
func awaitApplied(t *testing.T, m *testMember, n int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		have, changed := m.machine.Load().watch()
		if have >= n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			require.FailNow(t, "not applied", "%d of %d", have, n)
		}
	}
}

// quiet is given on a machine that does nothing else: then it is judged how long elections take, which says nothing of a busy one.
var quiet = flag.Bool("quiet", false, "also judge how long elections take; for a machine that does nothing else")

// A fresh shard whose election timeout is 2 to 4 seconds has a leader long before, the one that was asked to stand; and when
// that is cut off, the next that is asked.
func TestInjectElects(t *testing.T) {
	n := newTestNet()
	const electionTimeout = 20 * 100 * time.Millisecond
	members := startShard(t, n, 100, config.Config{ElectionRTT: 20, HeartbeatRTT: 2})
	began := time.Now()
	leader := injectUntilLed(t, members, 2, 0, 1)
	took := time.Since(began)
	require.Equal(t, uint64(2), leader.LeaderID)
	if *quiet {
		require.Less(t, took, electionTimeout/2)
	}
	t.Logf("elected after %s", took)
	propose(t, members[1], command(1, 10))

	// A message of a term gone by is not acted on: the leader stays.
	require.True(t, members[2].tr.Inject(testShard, 3, 1, leader.Term-1))
	propose(t, members[1], command(2, 10))
	awaitApplied(t, members[2], 2)
	id, term, ok, err := members[2].nh.GetLeaderID(testShard)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, leader.LeaderID, id)
	require.Equal(t, leader.Term, term)

	n.setCut(members[1].id, true)
	began = time.Now()
	second := injectUntilLed(t, []*testMember{members[0], members[1], members[2]}, 3, 2, leader.Term)
	took = time.Since(began)
	require.Equal(t, uint64(3), second.LeaderID)
	require.Greater(t, second.Term, leader.Term)
	if *quiet {
		require.Less(t, took, electionTimeout/2)
	}
	t.Logf("failed over after %s", took)
	propose(t, members[2], command(3, 10))
	awaitApplied(t, members[0], 3)
	n.setCut(members[1].id, false)
	awaitApplied(t, members[1], 3)
}

// Proposals from every member, with Replicates left out: all replicas apply all of them, in the same order, and a follower
// that was cut off for a while catches up.
func TestProposalsReachAllReplicas(t *testing.T) {
	n := newTestNet()
	members := startShard(t, n, 20, config.Config{ElectionRTT: 20, HeartbeatRTT: 2})
	leader := members[injectUntilLed(t, members, 1, 0, 1).LeaderID-1]
	var proposers sync.WaitGroup
	const each = 60
	for i, m := range members {
		proposers.Go(func() {
			for j := range each {
				propose(t, m, command(i*1000+j, 100))
			}
		})
	}
	proposers.Wait()
	for _, m := range members {
		awaitApplied(t, m, 3*each)
	}

	lagging := otherThan(members, leader)
	n.setCut(lagging.id, true)
	for j := range each {
		propose(t, leader, command(5000+j, 100))
	}
	n.setCut(lagging.id, false)
	for _, m := range members {
		awaitApplied(t, m, 4*each)
		require.Equal(t, members[0].machine.Load().keys(), m.machine.Load().keys())
	}
	s := leader.tr.Stats()
	require.NotZero(t, s.Suppressed)
	require.Zero(t, s.Dropped)
}

// otherThan returns a member that is not m.
func otherThan(members []*testMember, m *testMember) *testMember {
	if members[0] == m {
		return members[1]
	}
	return members[0]
}

// Entries that were lost on a connection that lives on are found missing although nothing is proposed any more: the empty
// Replicate by which the leader probes gets through, even if a useless one has just used up the interval.
func TestLostEntriesAreRepairedWhenIdle(t *testing.T) {
	n := newTestNet()
	members := startShard(t, n, 20, config.Config{ElectionRTT: 50, HeartbeatRTT: 2})
	leader := members[injectUntilLed(t, members, 1, 0, 1).LeaderID-1]
	follower := otherThan(members, leader)
	for round := range 3 {
		propose(t, leader, command(10*round, 10))
		propose(t, leader, command(10*round+1, 10))
		awaitApplied(t, follower, 4*round+2)
		n.lossy[follower.id].Store(true)
		propose(t, leader, command(10*round+2, 10))
		propose(t, leader, command(10*round+3, 10))
		n.lossy[follower.id].Store(false)
		began := time.Now()
		awaitApplied(t, follower, 4*round+4)
		t.Logf("repaired after %s", time.Since(began))
	}
	require.NotZero(t, leader.tr.Stats().Suppressed)
}

// In a busy group followers hear of several commits at once. They hear of all in the end, also if messages were lost meanwhile on a connection
// that lives on, and also a follower that was cut off.
func TestFollowersOfABusyGroupHearOfAll(t *testing.T) {
	t.Parallel() // it waits for most of its time
	n := newTestNet()
	members := startShard(t, n, 20, config.Config{ElectionRTT: 50, HeartbeatRTT: 2})
	leader := members[injectUntilLed(t, members, 1, 0, 1).LeaderID-1]
	follower := otherThan(members, leader)

	count := 0
	busy := func(paced uint64) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for until := leader.tr.Stats().Paced + paced; leader.tr.Stats().Paced < until; count++ {
			require.True(t, time.Now().Before(deadline), "%d of %d", leader.tr.Stats().Paced, until)
			propose(t, leader, command(count, 10))
		}
	}
	applied := func() {
		t.Helper()
		for _, m := range members {
			awaitApplied(t, m, count)
		}
	}

	busy(50)
	applied()

	n.lossy[follower.id].Store(true)
	busy(20)
	n.lossy[follower.id].Store(false)
	applied()

	busy(20)
	n.setCut(follower.id, true)
	busy(20)
	n.setCut(follower.id, false)
	applied()
	for _, m := range members {
		require.Equal(t, leader.machine.Load().keys(), m.machine.Load().keys())
	}
}

// A group at rest keeps its leader for many election timeouts, though most of its heartbeats are left out. What is written then is applied
// everywhere.
func TestQuietGroupKeepsItsLeader(t *testing.T) {
	n := newTestNet()
	members := startShard(t, n, 20, config.Config{ElectionRTT: 20, HeartbeatRTT: 2})
	led := injectUntilLed(t, members, 1, 0, 1)
	leader := members[led.LeaderID-1]
	propose(t, leader, command(0, 10))
	for _, m := range members {
		awaitApplied(t, m, 1)
	}

	_, term, ok, err := leader.nh.GetLeaderID(testShard)
	require.NoError(t, err)
	require.True(t, ok)

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const leftOut = 120 // 30 a second: ten election timeouts
	for tick := time.NewTicker(10 * time.Millisecond); leader.tr.Stats().Suppressed < leftOut; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d messages were left out", leader.tr.Stats().Suppressed)
		}
	}
	for _, m := range members {
		id, now, ok, err := m.nh.GetLeaderID(testShard)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, led.LeaderID, id)
		require.Equal(t, term, now, "there was no election")
	}

	_, err = leader.nh.SyncRead(ctx, testShard, nil)
	require.NoError(t, err, "a read is confirmed by heartbeats")
	propose(t, leader, command(1, 10))
	for _, m := range members {
		awaitApplied(t, m, 2)
	}
}

// While snapshots cannot be sent to a process, messages reach it as ever: the library would hold them back.
func TestMessagesPassWhileSnapshotsFail(t *testing.T) {
	n := newTestNet()
	members := startShard(t, n, 20, config.Config{ElectionRTT: 20, HeartbeatRTT: 2})
	injectUntilLed(t, members, 1, 0, 1)
	propose(t, members[0], command(0, 10))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := members[0].nh.SyncRequestSnapshot(ctx, testShard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionOverhead: 1})
	require.NoError(t, err)

	n.noChunks.Store(true)
	late := newTestMember(t, n, 20)
	replicas := map[uint64]string{1: members[0].id, 2: members[1].id, 3: members[2].id, 4: late.id}
	for _, m := range append(members, late) {
		m.registry.SetAll(targets(replicas))
	}
	membership, err := members[0].nh.SyncGetShardMembership(ctx, testShard)
	require.NoError(t, err)
	require.NoError(t, members[0].nh.SyncRequestAddNonVoting(ctx, testShard, 4, late.id, membership.ConfigChangeID))
	late.start(t, 4, nil, config.Config{ElectionRTT: 20, HeartbeatRTT: 2, IsNonVoting: true})
	const heartbeats = 100 // one every 40 ms
	for tick := time.NewTicker(10 * time.Millisecond); late.tr.Stats().ReceivedMessages < heartbeats; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d messages have come", late.tr.Stats().ReceivedMessages)
		}
	}
	require.Zero(t, late.tr.Stats().ReceivedChunks)

	n.noChunks.Store(false)
	awaitApplied(t, late, 1)
}

// A learner that comes when the log has been compacted gets a snapshot of several chunks, streamed, then follows.
func TestSnapshotReachesLateJoiner(t *testing.T) {
	n := newTestNet()
	members := startShard(t, n, 20, config.Config{ElectionRTT: 20, HeartbeatRTT: 2})
	injectUntilLed(t, members, 1, 0, 1)
	const commands = 100
	for i := range commands {
		propose(t, members[0], command(i, 64<<10)) // 6.4 MB
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, m := range members {
		awaitApplied(t, m, commands)
		_, err := m.nh.SyncRequestSnapshot(ctx, testShard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionOverhead: 1})
		require.NoError(t, err)
	}

	late := newTestMember(t, n, 20)
	replicas := map[uint64]string{1: members[0].id, 2: members[1].id, 3: members[2].id, 4: late.id}
	for _, m := range append(members, late) {
		m.registry.SetAll(targets(replicas))
	}
	membership, err := members[0].nh.SyncGetShardMembership(ctx, testShard)
	require.NoError(t, err)
	require.NoError(t, members[0].nh.SyncRequestAddNonVoting(ctx, testShard, 4, late.id, membership.ConfigChangeID))
	late.start(t, 4, nil, config.Config{ElectionRTT: 20, HeartbeatRTT: 2, IsNonVoting: true})
	awaitApplied(t, late, commands)
	propose(t, members[0], command(commands, 10))
	awaitApplied(t, late, commands+1)
	require.Equal(t, members[0].machine.Load().keys(), late.machine.Load().keys())
	require.Greater(t, late.tr.Stats().ReceivedChunks, uint64(3))
}
