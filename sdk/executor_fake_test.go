package sdk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// taskCluster is a cluster of members that know tasks only, reached through pipes, so that tests run on a bubble's clock.
type taskCluster struct {
	t       *testing.T
	mu      sync.Mutex // guards the following, and all of the members
	version uint64
	members []*taskMember
	owners  []int // by partition
}

// taskMember is one member. Its functions run tasks at once; a nil result means that the task runs until finish or cancel.
type taskMember struct {
	cluster *taskCluster
	info    wire.MemberInfo
	up      bool
	conns   map[net.Conn]*sync.Mutex // with what orders writes
	tasks   map[string]func(arg []byte) *wire.TaskResult
	running map[wire.ID]*runningTask
	got     []wire.Request                                       // task operations in the order in which they came
	answer  func(req *wire.Request) (wire.Code, []byte, verdict) // goes first, may be nil
}

type runningTask struct {
	body   wire.TaskBody
	result wire.TaskResult
	done   chan struct{}
}

type verdict int

const (
	goOn     verdict = iota // the member's own answer
	instead                 // the function's answer
	cutFirst                // the connection ends before the request has an effect
	cutAfter                // the connection ends after it
	unheard                 // no answer, and no effect
	muted                   // no answer, but the effect
)

// newTaskCluster returns a cluster of n ready members with the tasks "echo" and "hold", and a client of it.
func newTaskCluster(t *testing.T, n int) (*taskCluster, *Client) {
	t.Helper()
	cl := &taskCluster{t: t, version: 1, owners: make([]int, 12)}
	for i := range n {
		m := &taskMember{cluster: cl, up: true, conns: map[net.Conn]*sync.Mutex{}, running: map[wire.ID]*runningTask{},
			info: wire.MemberInfo{ID: wire.ID{15: byte(i + 1)}, Incarnation: wire.ID{0: 1, 15: byte(i + 1)}, Name: fmt.Sprint("m", i), Addr: fmt.Sprint("m", i, ":5701"),
				State: string(MemberReady), Tags: map[string]string{"n": fmt.Sprint(i)}}}
		m.tasks = map[string]func([]byte) *wire.TaskResult{
			"echo": func(arg []byte) *wire.TaskResult { return &wire.TaskResult{Value: arg} },
			"hold": func([]byte) *wire.TaskResult { return nil },
		}
		cl.members = append(cl.members, m)
	}
	for p := range cl.owners {
		cl.owners[p] = p % n
	}
	c, err := Connect(t.Context(), []string{"m0:5701"}, WithDialer(cl.dial))
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		for i := range cl.members {
			cl.kill(i)
		}
	})
	return cl, c
}

func (cl *taskCluster) dial(_ context.Context, addr string) (net.Conn, error) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for _, m := range cl.members {
		if m.info.Addr == addr && m.up {
			client, server := net.Pipe()
			m.conns[server] = &sync.Mutex{}
			go m.serve(server, m.conns[server])
			return client, nil
		}
	}
	return nil, errors.New("connection refused")
}

// kill ends a member's process: its connections and tasks are gone.
func (cl *taskCluster) kill(i int) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	m := cl.members[i]
	m.up = false
	for _, task := range m.running {
		if !task.result.Done {
			close(task.done)
		}
	}
	m.running = map[wire.ID]*runningTask{}
	m.cutLocked()
}

// restart starts a killed member again, as another incarnation.
func (cl *taskCluster) restart(i int) {
	cl.mu.Lock()
	cl.members[i].up = true
	cl.members[i].info.Incarnation[0]++
	cl.mu.Unlock()
	cl.publish()
}

// cut ends a member's connections; it goes on.
func (cl *taskCluster) cut(i int) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.members[i].cutLocked()
}

func (m *taskMember) cutLocked() {
	for c := range m.conns {
		_ = c.Close()
	}
	clear(m.conns)
}

// change changes members or owners and tells the clients.
func (cl *taskCluster) change(f func()) {
	cl.mu.Lock()
	f()
	cl.mu.Unlock()
	cl.publish()
}

func (cl *taskCluster) publish() {
	cl.mu.Lock()
	cl.version++
	view := cl.viewLocked()
	conns := map[net.Conn]*sync.Mutex{}
	for _, m := range cl.members {
		for c, w := range m.conns {
			conns[c] = w
		}
	}
	cl.mu.Unlock()
	for c, w := range conns {
		send(c, w, &wire.Answer{ID: uint64(wire.OpTable), Flags: wire.FlagPush, Body: view})
	}
}

func (cl *taskCluster) viewLocked() []byte {
	v := &wire.Table{Version: cl.version, Meta: cl.version, Cluster: wire.ID{1}, Name: "grid"}
	for _, m := range cl.members {
		v.Members = append(v.Members, m.info)
	}
	for _, o := range cl.owners {
		p := wire.PartitionRoute{Epoch: cl.version, Owner: wire.NoOwner}
		if o >= 0 {
			p.Owner = uint16(o)
		}
		v.Partitions = append(v.Partitions, p)
	}
	return wire.AppendTable(nil, v)
}

func send(c net.Conn, w *sync.Mutex, a *wire.Answer) {
	a.Time = time.Now().UnixMilli()
	w.Lock()
	defer w.Unlock()
	_, _ = c.Write(wire.AppendAnswer(nil, a))
}

// serve answers one connection until it ends.
func (m *taskMember) serve(c net.Conn, w *sync.Mutex) {
	defer c.Close()
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return
	}
	n, err := wire.HelloLength(head)
	if err != nil {
		return
	}
	if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
		return
	}
	m.cluster.mu.Lock()
	hello := wire.HelloAnswer{Version: wire.Version, Cluster: "grid", ClusterID: wire.ID{1}, Member: m.info.ID, Incarnation: m.info.Incarnation,
		MemberName: m.info.Name, Time: time.Now().UnixMilli(), Partitions: uint32(len(m.cluster.owners))}
	m.cluster.mu.Unlock()
	if _, err := c.Write(wire.AppendHelloAnswer(nil, &hello)); err != nil {
		return
	}
	for {
		var length [4]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		var req wire.Request
		if err := wire.DecodeRequest(frame, &req); err != nil {
			m.cluster.t.Errorf("a request that cannot be read: %v", err)
			return
		}
		go m.handle(c, w, req)
	}
}

func (m *taskMember) handle(c net.Conn, w *sync.Mutex, req wire.Request) {
	code, body, v := wire.CodeOK, []byte(nil), goOn
	m.cluster.mu.Lock()
	if req.Op >= wire.OpTaskSubmit && req.Op <= wire.OpTaskList {
		m.got = append(m.got, req)
		if m.answer != nil {
			code, body, v = m.answer(&req)
		}
	}
	m.cluster.mu.Unlock()
	if v == unheard {
		return
	}
	if v == goOn || v == cutAfter || v == muted {
		code, body = m.execute(&req)
	}
	if v == muted {
		return
	}
	if v == cutFirst || v == cutAfter {
		m.cluster.mu.Lock()
		delete(m.conns, c)
		m.cluster.mu.Unlock()
		_ = c.Close()
		return
	}
	send(c, w, &wire.Answer{ID: req.ID, Code: code, Body: body})
}

func (m *taskMember) execute(req *wire.Request) (wire.Code, []byte) {
	m.cluster.mu.Lock()
	defer m.cluster.mu.Unlock()
	switch req.Op {
	case wire.OpTable:
		return wire.CodeOK, m.cluster.viewLocked()
	case wire.OpTaskList:
		var names []string
		for name := range m.tasks {
			names = append(names, name)
		}
		return wire.CodeOK, wire.AppendStrings(nil, names)
	case wire.OpTaskSubmit:
		body, err := wire.DecodeTaskBody(req.Body)
		if err != nil {
			return wire.CodeInvalid, []byte(err.Error())
		}
		if body.Keyed && m.cluster.members[m.cluster.owners[req.Partition]] != m {
			owner := m.cluster.members[m.cluster.owners[req.Partition]]
			return wire.CodeMoved, wire.AppendMoved(nil, wire.Moved{Epoch: m.cluster.version + 1, Owner: owner.info.ID})
		}
		f, ok := m.tasks[body.Task]
		if !ok {
			return wire.CodeUnknownTask, []byte("no such task")
		}
		if m.running[body.ID] == nil {
			task := &runningTask{body: body, done: make(chan struct{})}
			m.running[body.ID] = task
			if r := f(body.Arg); r != nil {
				task.finish(*r)
			}
		}
	case wire.OpTaskCancel:
		ref, _ := wire.DecodeTaskRef(req.Body)
		if task := m.running[ref.ID]; task != nil && !task.result.Done {
			task.finish(wire.TaskResult{Code: wire.CodeCancelled, Message: "cancelled"})
			return wire.CodeOK, []byte{1}
		}
		return wire.CodeOK, []byte{0}
	case wire.OpTaskWait:
		ref, _ := wire.DecodeTaskRef(req.Body)
		task := m.running[ref.ID]
		if task == nil {
			return wire.CodeOK, wire.AppendTaskResult(nil, &wire.TaskResult{Done: true, Code: wire.CodeNotFound, Message: "not known"})
		}
		m.cluster.mu.Unlock()
		timer := time.NewTimer(time.Duration(req.Deadline-time.Now().UnixMilli())*time.Millisecond - 100*time.Millisecond)
		select {
		case <-task.done:
		case <-timer.C:
		}
		timer.Stop()
		m.cluster.mu.Lock()
		return wire.CodeOK, wire.AppendTaskResult(nil, &task.result)
	}
	return wire.CodeOK, nil
}

func (r *runningTask) finish(result wire.TaskResult) {
	result.Done = true
	r.result = result
	close(r.done)
}

// finish ends all tasks that a member runs, with value.
func (cl *taskCluster) finish(i int, value any) {
	cl.t.Helper()
	b, err := codec.Msgpack{}.Encode(nil, value)
	if err != nil {
		cl.t.Fatal(err)
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for _, task := range cl.members[i].running {
		if !task.result.Done {
			task.finish(wire.TaskResult{Value: b})
		}
	}
}

// bodies returns the tasks that a member was asked to run, copies included.
func (cl *taskCluster) bodies(i int) (out []wire.TaskBody) {
	for _, req := range cl.requests(i, wire.OpTaskSubmit) {
		b, err := wire.DecodeTaskBody(req.Body)
		if err != nil {
			cl.t.Errorf("a task that cannot be read: %v", err)
		}
		out = append(out, b)
	}
	return out
}

// requests returns the requests of one kind that a member got.
func (cl *taskCluster) requests(i int, op wire.Op) (out []wire.Request) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for _, req := range cl.members[i].got {
		if req.Op == op {
			out = append(out, req)
		}
	}
	return out
}

// once makes a member's next request of one kind go as v says.
func (cl *taskCluster) once(i int, op wire.Op, code wire.Code, v verdict) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	m := cl.members[i]
	m.answer = func(req *wire.Request) (wire.Code, []byte, verdict) {
		if req.Op != op {
			return 0, nil, goOn
		}
		m.answer = nil
		return code, []byte("as the test says"), v
	}
}

// silence makes a member leave requests of one kind without an answer, as v says.
func (cl *taskCluster) silence(i int, op wire.Op, v verdict) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.members[i].answer = func(req *wire.Request) (wire.Code, []byte, verdict) {
		if req.Op == op {
			return 0, nil, v
		}
		return 0, nil, goOn
	}
}

func (cl *taskCluster) id(i int) string { return cl.members[i].info.ID.String() }
