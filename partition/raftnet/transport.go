package raftnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

// ErrNotRunning is what Serve and the connections return before the NodeHost has started the Transport and after it closed it.
var ErrNotRunning = errors.New("raftnet: the transport is not running")

// ErrTooManyConnections is what Serve returns when Config.MaxInbound connections are being served.
var ErrTooManyConnections = errors.New("raftnet: too many connections")

type state uint8

const (
	stateNew     state = iota // made; no NodeHost yet
	stateCreated              // a NodeHost has named its handlers
	stateRunning
	stateClosed
)

// Transport exchanges the Raft messages of one NodeHost with other processes. Its owner makes it before the NodeHost, passes
// Factory in its configuration, and hands it the connections that others open (Serve). The NodeHost starts and closes it;
// an owner whose NodeHost could not be made closes it itself. A Transport serves one NodeHost and cannot be started again.
type Transport struct {
	cfg      Config
	counters counters
	made     time.Time
	answers  *answers // to heartbeats
	acks     *acks    // to leaders here

	// Set by Create, before the state leaves stateNew.
	handler        raftio.MessageHandler
	chunkHandler   raftio.ChunkHandler
	deploymentID   uint64
	stateSnapshots StateSnapshots // set by Carry, before that

	limits  atomic.Pointer[map[raftio.NodeInfo]commitLimit] // replaced under mu; nil: there are none
	hurried hurried                                         // likewise

	began     chan struct{} // closed by Start and Close
	beganOnce sync.Once

	mu struct {
		sync.Mutex
		state    state
		inbound  map[*net.Conn]struct{} // by identity: a connection's type need not be comparable
		outbound map[outbound]struct{}
	}

	// busy counts what may be calling the handlers: connections being served and messages being injected. It grows only under
	// mu while the Transport is running.
	busy sync.WaitGroup
}

// outbound is a connection to another process. shut makes it fail and may be called at any time; it does not wait.
type outbound interface {
	shut(cause error)
	Close()
}

var _ raftio.ITransport = (*Transport)(nil)

// New returns a Transport, or what is wrong with cfg.
func New(cfg Config) (*Transport, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("raftnet: %w", err)
	}
	t := &Transport{cfg: cfg, began: make(chan struct{}), made: time.Now(), answers: newAnswers(), acks: newAcks()}
	t.mu.inbound = make(map[*net.Conn]struct{})
	t.mu.outbound = make(map[outbound]struct{})
	return t, nil
}

// Factory returns what makes a NodeHost use t, for its configuration.
func (t *Transport) Factory() config.TransportFactory { return factory{t} }

type factory struct{ t *Transport }

// Create tells the transport whom to call and returns it. It panics if the transport has a NodeHost already.
func (f factory) Create(nh config.NodeHostConfig, handler raftio.MessageHandler, chunks raftio.ChunkHandler) raftio.ITransport {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.state == stateNew {
		t.handler, t.chunkHandler, t.deploymentID = handler, chunks, nh.GetDeploymentID()
		t.mu.state = stateCreated
	} else if t.mu.state != stateClosed { // closed before it began: Start will say so
		panic("raftnet: a transport for a second NodeHost")
	}
	return t
}

// Validate reports whether a NodeHost's RaftAddress is of the form host:port. Targets are not addresses and never come here.
func (f factory) Validate(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// Name names the implementation in dragonboat's log.
func (t *Transport) Name() string { return "gridiron raftnet" }

// Start lets connections in. It is called by the NodeHost.
func (t *Transport) Start() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.state != stateCreated {
		// It was closed before, or belongs to no NodeHost yet.
		return ErrNotRunning
	}
	t.mu.state = stateRunning
	t.beganOnce.Do(func() { close(t.began) })
	return nil
}

// awaitStart waits until the NodeHost has started or closed the transport, not for long. Others dial as soon as they hear of this
// process, which may be a moment before. If they were refused, their NodeHosts would not try again for half a second and more.
func (t *Transport) awaitStart() {
	timer := time.NewTimer(t.cfg.StartTimeout)
	defer timer.Stop()
	select {
	case <-t.began:
	case <-timer.C:
	}
}

// Close breaks all connections and waits until no handler runs any more and every goroutine has ended. It may be called
// more than once and before Start, but not from a handler.
func (t *Transport) Close() error {
	t.mu.Lock()
	// From here on nothing is adopted or entered, so the lists below are all that there is.
	t.mu.state = stateClosed
	t.beganOnce.Do(func() { close(t.began) })

	in := make([]net.Conn, 0, len(t.mu.inbound))
	for c := range t.mu.inbound {
		in = append(in, *c)
	}
	out := make([]outbound, 0, len(t.mu.outbound))
	for c := range t.mu.outbound {
		out = append(out, c)
	}
	t.mu.Unlock()

	// All connections are broken before one is waited for: a slow one must not keep the others open.
	for _, c := range out {
		c.shut(ErrNotRunning)
	}
	for _, c := range in {
		_ = c.Close() // its Serve ends with the error
	}
	for _, c := range out {
		c.Close()
	}

	// Connections are broken, so whatever still calls a handler ends soon.
	t.busy.Wait()
	return nil
}

// GetConnection opens the stream of messages to the process with the given NodeHostID. It returns Dial's error, or
// ErrNotRunning.
func (t *Transport) GetConnection(ctx context.Context, target string) (raftio.IConnection, error) {
	nc, err := t.dial(ctx, target, StreamMessages)
	if err != nil {
		// The library has the leaders here try again.
		t.acks.unsettle()
		return nil, err
	}
	c := newMessageConn(t, nc)
	if err := t.adopt(c); err != nil {
		// Close came first, and adopt has ended the connection.
		return nil, err
	}
	return c, nil
}

// GetSnapshotConnection opens a connection for the chunks of one snapshot. Its only error is ErrNotRunning: where the process cannot be dialed
// it returns a connection that drops all chunks, as one does that has failed. See chunkConn.SendChunk.
func (t *Transport) GetSnapshotConnection(ctx context.Context, target string) (raftio.ISnapshotConnection, error) {
	// A replica that is sent a snapshot says with an acknowledgement that it has it.
	t.acks.unsettle()
	nc, err := t.dial(ctx, target, StreamChunks)
	if errors.Is(err, ErrNotRunning) {
		return nil, err
	}
	if err != nil {
		// The NodeHost would blame the whole process: see chunkConn.SendChunk.
		return unreachable{t}, nil
	}
	c := newChunkConn(t, nc)
	if err := t.adopt(c); err != nil {
		return nil, err
	}
	return c, nil
}

func (t *Transport) dial(ctx context.Context, target string, stream uint8) (net.Conn, error) {
	t.mu.Lock()
	running := t.mu.state == stateRunning
	t.mu.Unlock()
	if !running {
		return nil, ErrNotRunning
	}

	// The NodeHost's context may have no end of its own.
	ctx, cancel := context.WithTimeout(ctx, t.cfg.DialTimeout)
	defer cancel()
	nc, err := t.cfg.Dial(ctx, target, stream)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	return nc, nil
}

// adopt makes Close end c, or ends it itself.
func (t *Transport) adopt(c outbound) error {
	t.mu.Lock()
	running := t.mu.state == stateRunning
	if running {
		t.mu.outbound[c] = struct{}{}
	}
	t.mu.Unlock()

	// Close may have looked for connections before this one was there, so nobody else would end it.
	if !running {
		c.Close()
		return ErrNotRunning
	}
	return nil
}

// forget undoes adopt.
func (t *Transport) forget(c outbound) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.outbound, c)
}

// Inject hands the local replica `to` a TimeoutNow, as if the leader `from` of the given term asked it to take over. It reports
// whether the NodeHost was there to take the message. The message makes that replica campaign at once, in term+1 or the term
// after its own, whichever is higher, without waiting for an election timeout. This is what fast failover, leadership transfer
// and the first election of a new shard are made of. It is as safe as any election.
//
// What the replica makes of it (internal/raft/raft.go of dragonboat; it never reports back):
//
//   - Only a follower acts. A learner, witness, candidate or leader ignores it, but for a leader of a lower term: that becomes a
//     follower first, as below, and if it is the group's only voter it leads again before it has answered anything else.
//   - term below the replica's own: ignored, and a NoOP with its own term goes to `from`. So a late one does no harm, and the
//     caller passes the highest term that it knows. term 0 is not compared and always acted on; equal: acted on; above:
//     the replica first becomes a follower of `from` in that term. A replica that has never seen a leader is in term
//     1 if it is an initial member of its shard, which 1 matches.
//   - `from` needs no membership: only answers are checked for that. Pass the leader that is being replaced, or 0 if there
//     never was one: the NoOP of the rule before then goes nowhere.
//   - It is skipped silently while the replica has committed entries that it has not applied, the configuration entries of a
//     replica that has just started among them. It is lost like any message if the replica's queue is full, or if this NodeHost
//     does not run it or runs it under another ID. So repeat it every 10 to 50 ms until the term moves.
//   - It campaigns as the target of a leadership transfer: no pre-vote round, and its RequestVote carries the hint by which voters grant
//     it although they heard from a leader within the election timeout (dropRequestVoteFromHighTermNode). A voter
//     with a longer log still refuses, and whoever lost has moved the shard's term on.
func (t *Transport) Inject(shardID, to, from, term uint64) bool {
	if shardID == 0 || to == 0 || t.enter(nil) != nil {
		return false
	}
	defer t.busy.Done()
	t.counters.injected.Add(1)
	t.handLocal(pb.Message{Type: pb.TimeoutNow, ShardID: shardID, To: to, From: from, Term: term})
	return true
}

// Retry tells the local replica `leader` of the given term that the learner may be sent to again. It does so by the message with which
// the learner answers a heartbeat, and reports whether the NodeHost was there to take it.
//
// dragonboat sends learners no heartbeats while reads wait for the voters to confirm who leads. If a group shrinks to one voter
// meanwhile, nobody is left to confirm that. The reads then wait until there is another voter or another term. A learner that did not
// run when the leader first sent to it would never be sent anything again: that takes the learner's answer to a heartbeat.
//
// A term below the replica's own is ignored, and one above deposes a leader: pass the term in which the leader was elected. A replica
// that does not lead, or has no such learner, ignores the message. A learner that does not run must not be retried: the leader takes it to
// be there, and may send it a snapshot.
func (t *Transport) Retry(shardID, leader, learner, term uint64) bool {
	if shardID == 0 || leader == 0 || learner == 0 || term == 0 || t.enter(nil) != nil {
		// A message of term 0 is not compared with the replica's own term, and would always be acted on.
		return false
	}
	defer t.busy.Done()
	t.handLocal(pb.Message{Type: pb.HeartbeatResp, ShardID: shardID, To: leader, From: learner, Term: term})
	return true
}

// handLocal delivers a message that no process has sent. REQUIRES the transport entered.
func (t *Transport) handLocal(m pb.Message) {
	t.handler(pb.MessageBatch{BinVer: raftio.TransportBinVersion, DeploymentId: t.deploymentID, Requests: []pb.Message{m}})
}

// enter keeps Close waiting until leave (with a connection, which Close then ends) or busy.Done (without).
func (t *Transport) enter(nc *net.Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.state != stateRunning {
		return ErrNotRunning
	}
	if nc != nil {
		if len(t.mu.inbound) >= t.cfg.MaxInbound {
			// Each connection has buffers of its own, so their number bounds the memory.
			return ErrTooManyConnections
		}
		t.mu.inbound[nc] = struct{}{}
	}

	// Under the lock in which the state was seen: Close waits only for what entered before.
	t.busy.Add(1)
	return nil
}

// leave undoes enter and reports whether the transport is still running.
func (t *Transport) leave(nc *net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.inbound, nc)
	t.busy.Done()
	return t.mu.state == stateRunning
}
