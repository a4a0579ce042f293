package events

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// natsServer is the NATS server inside a member. Members' servers are joined by routes; clients reach one through the client
// port only, spliced to an in-process connection: its own listener is on loopback, because NATS needs one to open routes.
type natsServer struct {
	srv      *server.Server
	opts     *server.Options
	password string // of the publisher's user
	log      *slog.Logger

	dialed map[wire.ID]*url.URL // owned by routeTo's caller: to which the server connects, by incarnation
}

// Users of the NATS server. What they may do is the protection, not their passwords: a connection comes here only after the
// member's own authentication.
const (
	publisherUser  = "publisher"
	subscriberUser = wire.EventsUser
)

const (
	// serverPrefix stands before the incarnation in a server's name.
	serverPrefix = "gridiron-"
	// maxPendingEvents is how many bytes may wait for one client or route. Messages for one that is nearly full are dropped, and asked for
	// by the subscriber: nobody else waits for it.
	maxPendingEvents = 16 << 20
	// routeDeadline bounds one write to another member's server. That is enough for all that may wait at 8 MB/s.
	routeDeadline = 2 * time.Second
)

// routeName is what a server calls itself to others. It is a host name that cannot be: its first label has 64 characters. Servers tell
// each other where others are, and each dials what it hears of. Who dials is decided by routes alone, so what they hear must lead nowhere.
func routeName(incarnation wire.ID) string {
	return hex.EncodeToString(incarnation[:]) + hex.EncodeToString(incarnation[:]) + ":1"
}

// routePassword is what servers of one cluster let each other in by. It keeps clusters apart, and is no protection from who can reach the port
// and knows the cluster's ID. It is not the ID itself, which stands in logs.
func routePassword(cluster wire.ID) string {
	sum := sha256.Sum256(append([]byte("gridiron routes "), cluster[:]...))
	return hex.EncodeToString(sum[:])
}

// startNATS starts the server and returns once it takes connections.
func startNATS(cfg *Config) (*natsServer, error) {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails
	password := hex.EncodeToString(secret[:])

	port := cfg.RoutePort
	if port == 0 {
		port = server.RANDOM_PORT
	}

	opts := &server.Options{
		ServerName: serverPrefix + cfg.Incarnation.String(),
		Host:       "127.0.0.1", Port: server.RANDOM_PORT,
		NoSigs: true, NoSystemAccount: true,
		MaxPayload:    1 << 20,
		MaxPending:    maxPendingEvents,
		WriteDeadline: 5 * time.Second,
		// The publisher must not be slowed by whoever does not keep up: what is dropped is a gap, and gaps are asked for.
		NoFastProducerStall: true,
		Cluster: server.ClusterOpts{
			Name: cfg.Cluster.String(), Host: cfg.RouteHost, Port: port,
			Username: "route", Password: routePassword(cfg.Cluster), AuthTimeout: 5, PoolSize: 1,
			Advertise:     routeName(cfg.Incarnation),
			WriteDeadline: routeDeadline, WriteTimeout: server.WriteTimeoutPolicyClose,
		},
		Users: []*server.User{
			{Username: publisherUser, Password: password, Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"grid.>"}},
				Subscribe: &server.SubjectPermission{Deny: []string{">"}},
			}},
			{Username: subscriberUser, Password: wire.EventsUser, Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Deny: []string{">"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"grid.ev.>", "grid.beat.>"}},
			}},
		},
	}

	// Nobody connects over the network, so nothing listens.
	if cfg.External.URL != "" {
		opts.DontListen, opts.Cluster = true, server.ClusterOpts{}
	}

	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}

	srv.SetLoggerV2(&natsLog{cfg.Log}, false, false, false)

	// The server begins to listen in the background. Only then is the port of its routes known.
	go srv.Start() // ends with Shutdown
	if !srv.ReadyForConnections(10 * time.Second) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, errors.New("start NATS: it was not ready in 10 s; is its port for routes in use?")
	}

	return &natsServer{srv: srv, opts: opts, password: password, log: cfg.Log}, nil
}

// routePort returns the port on which other members' servers connect.
func (n *natsServer) routePort() int {
	// With a port of 0 the system has chosen one, which the others must be told.
	if a := n.srv.ClusterAddr(); a != nil {
		return a.Port
	}
	return 0
}

// connect returns the connection on which the member publishes.
func (n *natsServer) connect() (*nats.Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(n.srv), nats.UserInfo(publisherUser, n.password), nats.Name("publisher"),
		nats.MaxReconnects(-1), nats.NoEcho())
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, nil
}

// inProcess connects to the server within the process, for a client of another one.
func (n *natsServer) inProcess() (net.Conn, error) {
	in, err := n.srv.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return in, nil
}

func (n *natsServer) close() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

// natsLog sends the server's warnings to the member's log.
type natsLog struct{ log *slog.Logger }

var _ server.Logger = (*natsLog)(nil)

// Noticef logs at debug level: routes that begin and end.
func (l *natsLog) Noticef(format string, v ...any) {
	l.log.Debug(fmt.Sprintf(format, v...), "component", "nats")
}

// Warnf logs at debug level: routes that are not there yet are warnings to NATS.
func (l *natsLog) Warnf(format string, v ...any) {
	l.log.Debug(fmt.Sprintf(format, v...), "component", "nats")
}

// Fatalf logs; the server ends itself where it cannot go on.
func (l *natsLog) Fatalf(format string, v ...any) {
	l.log.Error(fmt.Sprintf(format, v...), "component", "nats")
}

// Errorf logs at debug level: a route to a member that is down is an error to NATS, once a second.
func (l *natsLog) Errorf(format string, v ...any) {
	l.log.Debug(fmt.Sprintf(format, v...), "component", "nats")
}

// Debugf drops.
func (l *natsLog) Debugf(string, ...any) {}

// Tracef drops.
func (l *natsLog) Tracef(string, ...any) {}
