package events

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// outsideServer starts a NATS server that is no member's, until the test ends.
func outsideServer(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.NoSigs, opts.NoLog = "127.0.0.1", true, true
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start() // ends with Shutdown
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	return srv
}

// openEvents opens the events of a member of a cluster. Of its peers one lives and has the same servers.
func openEvents(t *testing.T, log *slog.Logger, id byte, cluster wire.ID, x External) *Events {
	t.Helper()
	e, err := Open(Config{Self: wire.ID{id}, Incarnation: wire.ID{id, 1}, Cluster: cluster, RouteHost: "127.0.0.1", Now: func() int64 { return 5000 },
		Log: log, External: x, Peers: func() []Peer { return []Peer{{Wanted: true}, {}, {Wanted: true, Apart: true}} }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// subscriberOf returns what a client of a member hears on a subject.
func subscriberOf(t *testing.T, e *Events, subject string) *nats.Subscription {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(e.server.srv), nats.UserInfo(subscriberUser, wire.EventsUser))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

// crosses checks that what one member publishes comes to clients of another one, once.
func crosses(t *testing.T, from, to *Events) {
	t.Helper()
	harness.Eventually(t, "a connection of both", func() bool { return from.RoutesComplete() && to.RoutesComplete() })
	sub := subscriberOf(t, to, wire.EventSubject("m"))
	// The outside server hears of subscriptions in the background.
	if err := to.bus.external.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := from.bus.publish(wire.EventSubject("m"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		m, err := sub.NextMsg(20 * time.Second)
		if err != nil || string(m.Data) != text || m.Subject != wire.EventSubject("m") {
			t.Fatalf("heard %v, %v; want %s", m, err, text)
		}
	}
}

// certificates makes a CA, and one certificate for server and members, as files.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	it := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, it, it, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = write("cert.pem", "CERTIFICATE", der)
	return cert, cert, write("key.pem", "PRIVATE KEY", keyBytes)
}

// Members are let in by whatever the server asks for, and no secret is logged.
func TestExternalServer(t *testing.T) {
	ca, cert, key := certificates(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(pair.Leaf)

	jwt := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(jwt("account.key"), jwt("account.jwt")); err != nil {
		t.Fatal(err)
	}

	for name, c := range map[string]struct {
		opts server.Options
		as   External
	}{
		"open":        {},
		"user":        {server.Options{Username: "grid", Password: "pass-secret"}, External{User: "grid", Password: "pass-secret"}},
		"token":       {server.Options{Authorization: "token-secret"}, External{Token: "token-secret"}},
		"tls":         {server.Options{TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}}}, External{CA: ca}},
		"certificate": {server.Options{TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}, TLSVerify: true}, External{CA: ca, Cert: cert, Key: key}},
		"credentials": {server.Options{TrustedKeys: []string{jwt("operator.key")}, AccountResolver: resolver}, External{Credentials: filepath.Join("testdata", "user.creds")}},
	} {
		t.Run(name, func(t *testing.T) {
			c.as.URL = outsideServer(t, &c.opts).ClientURL()
			var log harness.Log
			a := openEvents(t, log.Logger(slog.LevelDebug), 1, wire.ID{9}, c.as)
			b := openEvents(t, log.Logger(slog.LevelDebug), 2, wire.ID{9}, c.as)
			crosses(t, a, b)
			if a.RoutePort() != 0 || a.Routes() != 1 {
				t.Errorf("port %d for routes, %d routes", a.RoutePort(), a.Routes())
			}
			if strings.Contains(log.Text(), "secret") {
				t.Errorf("a secret is logged:\n%s", log.Text())
			}
		})
	}
}

// Who is not let in goes on trying, and says so without saying the password.
func TestExternalServerRefuses(t *testing.T) {
	var log harness.Log
	srv := outsideServer(t, &server.Options{Username: "grid", Password: "right-secret"})
	e := openEvents(t, log.Logger(slog.LevelDebug), 1, wire.ID{9}, External{URL: srv.ClientURL(), User: "grid", Password: "wrong-secret"})
	harness.Eventually(t, "a line in the log", func() bool { return strings.Contains(log.Text(), "uthorization") })
	if e.RoutesComplete() || e.Routes() != 0 {
		t.Error("it is connected")
	}
	if strings.Contains(log.Text(), "secret") {
		t.Errorf("a secret is logged:\n%s", log.Text())
	}

	// Clients of this member hear what it publishes all the same.
	sub := subscriberOf(t, e, wire.EventSubject("m"))
	if err := e.bus.publish(wire.EventSubject("m"), []byte("here")); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.NextMsg(20 * time.Second); err != nil || string(m.Data) != "here" {
		t.Errorf("heard %v, %v", m, err)
	}

	if _, err := Open(Config{Log: log.Logger(slog.LevelDebug), External: External{URL: srv.ClientURL(), CA: "none.pem"}}); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("without the file: %v", err)
	}
}

// The server goes away and comes back. Meanwhile nobody waits, and afterwards everything is as before.
func TestExternalServerRestarts(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	srv := outsideServer(t, &server.Options{})
	port := srv.Addr().(*net.TCPAddr).Port
	a := openEvents(t, log, 1, wire.ID{9}, External{URL: srv.ClientURL()})
	b := openEvents(t, log, 2, wire.ID{9}, External{URL: srv.ClientURL()})
	crosses(t, a, b)

	srv.Shutdown()
	srv.WaitForShutdown()
	harness.Eventually(t, "the end of the connections", func() bool { return a.Routes() == 0 && b.Routes() == 0 })
	for range 3 * maxOutward { // more than may wait
		if err := a.bus.publish(wire.EventSubject("other"), []byte("text")); err != nil {
			t.Fatal(err)
		}
	}

	outsideServer(t, &server.Options{Port: port})
	crosses(t, b, a)
}

func TestExternalDigest(t *testing.T) {
	digest := func(url string) uint64 { return (&External{URL: url}).Digest() }
	if a := digest("nats://a,nats://b"); a != digest("nats://b, nats://a") || a != (&External{URL: "nats://a,nats://b", User: "u", Token: "t"}).Digest() {
		t.Error("the same servers have several digests")
	}
	seen := make(map[uint64]bool)
	for _, url := range []string{"", "nats://a", "nats://b", "nats://a,nats://b", "tls://a"} {
		seen[digest(url)] = true
	}
	if len(seen) != 5 || seen[0] {
		t.Errorf("five lists of servers have the digests %v", seen)
	}
}

// Several clusters use one server, and hear nothing of each other.
func TestExternalServerOfTwoClusters(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	x := External{URL: outsideServer(t, &server.Options{}).ClientURL()}
	a, b := openEvents(t, log, 1, wire.ID{8}, x), openEvents(t, log, 2, wire.ID{8}, x)
	other := openEvents(t, log, 3, wire.ID{9}, x)
	harness.Eventually(t, "a connection", other.RoutesComplete)
	sub := subscriberOf(t, other, wire.EventSubject("m"))
	crosses(t, a, b)
	// What the server has for the other cluster comes before its answer.
	if err := other.bus.external.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := sub.Pending(); n != 0 || err != nil {
		t.Errorf("the other cluster hears %d messages, %v", n, err)
	}
}

// A client may subscribe to events and watermarks, and nothing else.
func TestClientsMayOnlySubscribe(t *testing.T) {
	e := openEvents(t, slog.New(slog.DiscardHandler), 1, wire.ID{9}, External{})
	refused := make(chan error, 10)
	nc, err := nats.Connect("", nats.InProcessServer(e.server.srv), nats.UserInfo(subscriberUser, wire.EventsUser),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	heard := subscriberOf(t, e, wire.EventSubject("m"))
	if err := nc.Publish(wire.EventSubject("m"), []byte("forged")); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{">", "grid.>", "$SYS.>", "other"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		select {
		case err := <-refused:
			if !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
				t.Errorf("refused with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("something was not refused")
		}
	}
	if n, _, err := heard.Pending(); n != 0 || err != nil {
		t.Errorf("%d forged messages are heard, %v", n, err)
	}
}
