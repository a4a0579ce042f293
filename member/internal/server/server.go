// Package server is the side of a member that others connect to: its ports, hellos, connections, and which request goes where.
//
// It owns the listeners, every accepted connection with its goroutines, and the answers that wait to be written. It must not know
// what the metadata say, who the other members are, or how an operation is carried out: that is in its Config, its Services, and the
// handlers that are registered with it.
package server

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Config is what a Server is made of.
type Config struct {
	Ports          *Ports
	ClusterName    string
	HelloTimeout   time.Duration // for which a connection may take until it has said who it is
	SlowPeer       time.Duration // for which a peer may take nothing of what is written to it
	MaxConnections int
	Tracer         trace.Tracer // nil: no spans
	Logger         *slog.Logger

	Identity func() wire.HelloAnswer                  // what this member says of itself in the answer to a hello
	Standing func() Standing                          // who may connect now
	Stamp    func() (clusterTime int64, table uint64) // what every answer carries

	// Planes serve the connections that carry no calls until they end.
	Planes map[wire.Plane]func(net.Conn, *wire.Hello) error
	HTTP   HTTPConfig
}

// Standing is how far a member is in its life.
type Standing struct {
	Ready    bool // clients are let in
	Stopping bool // nobody is let in
	Metadata bool // it has metadata, which an operator may ask it to recover
}

// Services carry out what clients ask for. They are there before the first client is let in.
type Services struct {
	Partitions int
	Maps       Maps
	Tasks      Tasks
	Events     Events
	Owner      func(partition int) (here bool, owner wire.Moved)
	Now        func() int64 // cluster time in milliseconds
}

// Maps carry out operations on maps.
type Maps interface {
	Moment() maps.Moment
	Handle(req *wire.Request, caller maps.Caller, at maps.Moment) (flush bool)
	Flush(partition int)
	Gone(c maps.Caller)
}

// Tasks run tasks.
type Tasks interface {
	Names() []string
	Submit(b wire.TaskBody) (wire.Code, string)
	Cancel(task wire.ID) bool
	Wait(ctx context.Context, task wire.ID) wire.TaskResult
}

// Events keep account of who listens to what.
type Events interface {
	Interest(name string) []wire.Position
	Uninterest(name string)
}

// Handler starts a request. It runs on the reader of the connection and must not block: what takes long goes to Conn.Later. It sees to it
// that the request is answered once. The request and its body are reused when it has returned.
type Handler func(c *Conn, req *wire.Request)

// Server accepts connections and serves them. It is made by New, runs from Start, and ends with Cut.
type Server struct {
	cfg Config
	log *slog.Logger
	ctx context.Context // set by Start, before anything is accepted: it ends when the member stops
	wg  sync.WaitGroup  // all goroutines of the server

	handlers [256]Handler // by operation; nil: not for callers
	services atomic.Pointer[Services]
	conns    connections
	sockets  sockets
	http     *httpServer // nil without HTTP
}

// New returns a Server that accepts nothing yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, log: cfg.Logger}
	// Whoever gets an answer knows that the connection and its reader are alive.
	s.handlers[wire.OpPing] = func(c *Conn, req *wire.Request) { c.Answer(req.ID, wire.CodeOK, nil) }

	for _, op := range [...]wire.Op{wire.OpInterest, wire.OpUninterest} {
		s.handlers[op] = s.interest
	}

	for _, op := range [...]wire.Op{wire.OpTaskSubmit, wire.OpTaskWait, wire.OpTaskCancel, wire.OpTaskList} {
		s.handlers[op] = s.task
	}

	return s
}

// Handle registers who carries out an operation. It is called before Start.
func (s *Server) Handle(op wire.Op, h Handler) { s.handlers[op] = h }

// Provide gives the server what carries out operations on maps, tasks and events.
func (s *Server) Provide(services Services) { s.services.Store(&services) }

// Start begins to accept. ctx ends when the member stops: what runs on behalf of callers ends with it.
func (s *Server) Start(ctx context.Context) {
	s.ctx = ctx
	s.wg.Add(2)
	go s.accept(newDoor(s.cfg.Ports.client, false)) // ends when its listener is closed
	go s.accept(newDoor(s.cfg.Ports.peer, true))    // likewise
	if s.cfg.Ports.http != nil {
		s.http = s.startHTTP(s.cfg.Ports.http)
	}
}

// StopAccepting closes the listeners. It may be called twice.
func (s *Server) StopAccepting() { s.cfg.Ports.Close() }

// Drain waits until the answers to what clients have asked are on their way, or until ctx ends.
func (s *Server) Drain(ctx context.Context) { s.conns.drain(ctx) }

// Cut ends all connections but those of HTTP, and every one that is accepted later. With abruptly, the other side sees them reset.
func (s *Server) Cut(abruptly bool) { s.sockets.closeAll(abruptly) }

// CloseHTTP ends the HTTP server; requests under way are answered, unless abruptly.
func (s *Server) CloseHTTP(abruptly bool) {
	if s.http != nil {
		s.http.close(abruptly)
	}
}

// Wait waits for all goroutines of the server. Its listeners and connections are closed, and the context of Start has ended.
func (s *Server) Wait() { s.wg.Wait() }

// Push sends a table to all connections that have asked for it.
func (s *Server) Push(table []byte) {
	for _, c := range s.conns.all() {
		// Who has asked for the table once hears of later ones. The others learn its version from each answer.
		if c.tables.Load() {
			c.push(wire.OpTable, table)
		}
	}
}

// Connections returns the connections of the calls plane.
func (s *Server) Connections() []*Conn { return s.conns.all() }

// Accepted returns how many connections there are, on whatever plane.
func (s *Server) Accepted() int { return s.sockets.count() }
