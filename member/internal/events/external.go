package events

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// External names NATS servers outside of the members, over which events go from member to member in place of routes.
type External struct {
	URL            string // of one server, or of several, separated by commas; "": there is none
	User, Password string
	Token          string
	Credentials    string // file with a user's JWT and key
	CA             string // file with certificates that sign the server's
	Cert, Key      string // files of this member's certificate
}

// Digest tells servers apart without naming them: it is the same for the same URLs in any order, and another one for none. It is never 0.
func (e *External) Digest() uint64 {
	var urls []string
	for one := range strings.SplitSeq(e.URL, ",") {
		urls = append(urls, strings.TrimSpace(one))
	}
	slices.Sort(urls)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(urls), ",")))
	return max(1, binary.BigEndian.Uint64(sum[:]))
}

// Bounds of the events that wait for the external server to take them.
const (
	maxOutward      = 8192
	maxOutwardBytes = maxPendingEvents
)

// external is a member's connection to a NATS server outside. Clients never reach that server: they are connected to the member's own, as they
// are without one. The connection carries what the member publishes to the other members, and what they publish to the member's own server.
//
// So a client can subscribe and nothing else, whatever the credentials of the member allow. And events of a client's own member reach it also
// while the server outside is away.
type external struct {
	conn   *nats.Conn
	prefix string // of this cluster's subjects at the server: several clusters may use it
	log    *slog.Logger

	out      chan outward
	outBytes atomic.Int64 // of what waits in out
	ended    sync.WaitGroup

	told atomic.Pointer[string] // what was last logged of an attempt to connect that failed
}

// outward is a message on its way to the server.
type outward struct {
	subject string
	data    []byte
}

// connectExternal connects to the server, or begins to try. Messages of other members go to local. It returns an error only for what cannot
// become right by itself: a file that cannot be read, or a URL that is none.
func connectExternal(cfg *Config, local *nats.Conn) (*external, error) {
	x := &external{prefix: "grid." + cfg.Cluster.String() + ".", log: cfg.Log, out: make(chan outward, maxOutward)}
	opts := []nats.Option{
		nats.Name(serverPrefix + cfg.Incarnation.String()), nats.NoEcho(),
		// A start does not wait for the server, and a refusal may be due to a password that is about to be changed there.
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(100 * time.Millisecond), nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.Timeout(2 * time.Second), nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2), nats.FlusherTimeout(routeDeadline),
		// What cannot be sent now is asked for before it could be sent later.
		nats.ReconnectBufSize(-1),
		nats.ConnectHandler(func(*nats.Conn) { x.up() }),
		nats.ReconnectHandler(func(*nats.Conn) { x.up() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			x.log.Warn("connection to the NATS server lost; events reach clients of other members late until it is back", "err", err)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { x.refused(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { x.log.Debug("events", "err", err) }),
	}
	opts = append(opts, cfg.External.options()...)

	conn, err := nats.Connect(cfg.External.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the NATS server: %w", err)
	}
	x.conn = conn

	for _, subject := range [...]string{wire.EventSubjects, wire.WatermarkSubjects} {
		sub, err := conn.Subscribe(x.outside(subject), func(m *nats.Msg) {
			// An error means that the member's own server ends.
			_ = local.Publish(subjectRoot+strings.TrimPrefix(m.Subject, x.prefix), m.Data)
		})
		if err == nil {
			err = sub.SetPendingLimits(maxOutward, maxOutwardBytes)
		}
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("subscribe at the NATS server: %w", err)
		}
	}

	x.ended.Go(x.run) // ends with close; owns sending
	return x, nil
}

// subjectRoot is what all subjects of events begin with.
const subjectRoot = "grid."

// outside returns the name that a subject has at the server.
func (x *external) outside(subject string) string {
	return x.prefix + strings.TrimPrefix(subject, subjectRoot)
}

// options returns what the connection needs to be let in.
func (e *External) options() []nats.Option {
	var opts []nats.Option
	if e.User != "" {
		opts = append(opts, nats.UserInfo(e.User, e.Password))
	}
	if e.Token != "" {
		opts = append(opts, nats.Token(e.Token))
	}
	if e.Credentials != "" {
		opts = append(opts, nats.UserCredentials(e.Credentials))
	}
	if e.CA != "" {
		opts = append(opts, nats.RootCAs(e.CA))
	}
	if e.Cert != "" {
		opts = append(opts, nats.ClientCert(e.Cert, e.Key))
	}
	return opts
}

// publish has a message sent. Nobody waits for a server that is slow: what finds no room is dropped, and asked for by the subscribers.
func (x *external) publish(subject string, data []byte) {
	if x.outBytes.Add(int64(len(data))) <= maxOutwardBytes {
		select {
		case x.out <- outward{subject, data}:
			return
		default:
		}
	}
	x.outBytes.Add(-int64(len(data)))
}

// run sends what was published until close.
func (x *external) run() {
	for m := range x.out {
		x.outBytes.Add(-int64(len(m.data)))
		// Without a connection the message is dropped.
		if err := x.conn.Publish(x.outside(m.subject), m.data); err != nil {
			x.log.Debug("events were not published to the NATS server", "err", err)
		}
	}
}

// up says that there is a connection.
func (x *external) up() {
	x.told.Store(nil)
	x.log.Info("connected to the NATS server for events")
}

// refused says why there is no connection. It is tried several times a second, so the same reason is told once.
func (x *external) refused(err error) {
	text := err.Error()
	if told := x.told.Swap(&text); told == nil || *told != text {
		x.log.Warn("no connection to the NATS server for events; it is tried again until there is one", "err", err)
	}
}

// connected reports whether there is a connection.
func (x *external) connected() bool { return x.conn.IsConnected() }

// close ends the connection. Nothing is published any more.
func (x *external) close() {
	close(x.out)
	x.conn.Close()
	x.ended.Wait()
}
