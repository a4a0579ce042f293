// Package events owns how events leave a member: the embedded NATS server, the routes between the members' servers, and the publisher
// of the partitions that are owned here. What NATS loses, subscribers see missing and ask for: nothing here is acknowledged.
//
// The package knows nothing of the member around it, of its metadata or of its heartbeats. It is told who the other members are.
package events

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Config is what the events of a member need.
type Config struct {
	// External is the NATS server by which events reach other members, if there is one. There are no routes then.
	External External

	Self        wire.ID // the member
	Incarnation wire.ID // of this start
	Cluster     wire.ID
	RouteHost   string       // where other members' servers connect
	RoutePort   int          // 0: any free one
	Now         func() int64 // cluster time in milliseconds
	Log         *slog.Logger

	// Peers returns the other members as they are known now. It is called by the goroutine that keeps the routes, and must not block.
	Peers func() []Peer
}

// Events are the NATS server of a member, its routes, and its publisher.
type Events struct {
	cfg    Config
	server *natsServer
	bus    *bus
	routes *routes
	wg     sync.WaitGroup // goroutines that end with the contexts of Start and Publish
}

// Open starts the server. Start and Publish begin the rest.
func Open(cfg Config) (*Events, error) {
	n, err := startNATS(&cfg)
	if err != nil {
		return nil, err
	}

	conn, err := n.connect()
	if err != nil {
		// A start that fails must leave no server behind.
		n.close()
		return nil, err
	}

	e := &Events{cfg: cfg, server: n, bus: &bus{local: conn}, routes: newRoutes(cfg.Self, n, cfg.Peers, cfg.Log)}
	if cfg.External.URL == "" {
		return e, nil
	}

	if e.bus.external, err = connectExternal(&cfg, conn); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// bus is where a member publishes: its own NATS server, and the one outside if there is one.
type bus struct {
	local    *nats.Conn
	external *external // may be nil
}

func (b *bus) publish(subject string, data []byte) error {
	if b.external != nil {
		b.external.publish(subject, data)
	}
	return b.local.Publish(subject, data)
}

// Start begins to keep the routes to the other members' servers, until ctx ends. It is called once.
func (e *Events) Start(ctx context.Context) {
	// Without routes there is nothing to keep.
	if e.bus.external != nil {
		return
	}

	e.wg.Add(1)
	go func() { // ends with ctx; owns the routes
		defer e.wg.Done()
		e.routes.run(ctx.Done())
	}()
}

// NewPublisher returns a publisher of a cluster with so many partitions. Publish starts it.
func (e *Events) NewPublisher(partitions int) *Publisher {
	return newPublisher(e.cfg.Self, partitions, e.bus, e.cfg.Now, e.cfg.Log)
}

// Publish has a publisher send what comes of the partitions, until ctx ends. It is called once, before anybody takes interest.
func (e *Events) Publish(ctx context.Context, p *Publisher, partitions Partitions) {
	p.partitions = partitions
	e.wg.Add(1)
	go func() { // ends with ctx; owns what was published up to where
		defer e.wg.Done()
		p.run(ctx)
	}()
}

// RoutePort returns the port on which other members' servers connect; 0 if events go over an external server.
func (e *Events) RoutePort() int { return e.server.routePort() }

// NotifyRoutes has the routes looked at soon, because what Peers returns has changed. It never blocks.
func (e *Events) NotifyRoutes() { e.routes.notify() }

// RoutesComplete reports whether there is a route to every member that answers, or a connection to the external server.
func (e *Events) RoutesComplete() bool {
	if e.bus.external != nil {
		return e.bus.external.connected()
	}
	return e.routes.complete()
}

// Routes returns how many routes to other members' servers are up. A connection to the external server stands for a route to each member that
// has the same one.
func (e *Events) Routes() int {
	switch {
	case e.bus.external == nil:
		return len(e.server.connected())
	case !e.bus.external.connected():
		return 0
	}

	n := 0
	for _, p := range e.cfg.Peers() {
		if p.Wanted && !p.Apart {
			n++
		}
	}
	return n
}

// Connect connects to the server within the process, for a client of another one.
func (e *Events) Connect() (net.Conn, error) { return e.server.inProcess() }

// Wait waits for what Start and Publish have begun. Their context has ended.
func (e *Events) Wait() { e.wg.Wait() }

// Close ends the server. It is called once, after Wait.
func (e *Events) Close() {
	if e.bus.external != nil {
		e.bus.external.close()
	}
	e.bus.local.Close()
	e.server.close()
}
