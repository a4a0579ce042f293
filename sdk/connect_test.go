package sdk

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestConnectLearnsAllMembersFromOne(t *testing.T) {
	g := fakegrid.New(t, 3, 12)
	c, err := Connect(t.Context(), []string{g.Addr(1)}, WithClientName("test"))
	noErr(t, err)
	defer c.Close()
	members, err := c.Members(t.Context())
	noErr(t, err)
	if len(members) != 3 {
		t.Fatalf("%d members", len(members))
	}
	for i, m := range members {
		if m.ID != g.MemberID(i).String() || m.Addr != g.Addr(i) || m.State != MemberReady || m.Zone != "z1" || m.Tags["index"] == "" || m.Version != "test" {
			t.Errorf("member %d: %+v", i, m)
		}
	}
	eventually(t, c, "connected to all", func() bool { return allLive(c, 3) })
	for i := range 3 {
		if n := g.Hellos(i); n != 1 {
			t.Errorf("member %d: %d connections", i, n)
		}
	}
}

func TestConnectRefusals(t *testing.T) {
	g := fakegrid.New(t, 1, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()

	_, err := Connect(ctx, g.Addrs(), WithClusterName("other"))
	wantErr(t, err, ErrInvalid)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("a wrong name was tried again until the deadline")
	}
	_, err = Connect(ctx, nil)
	wantErr(t, err, ErrInvalid)
	for name, opt := range map[string]Option{
		"name": WithClusterName(""), "timeout": WithTimeout(0), "tls": WithTLS(nil), "logger": WithLogger(nil), "tracer": WithTracerProvider(nil),
		"dialer": WithDialer(nil), "nil": nil, "value": WithMaxValue(wire.MaxValueHard + 1), "client": WithClientName(strings.Repeat("x", 256)),
	} {
		if _, err := Connect(ctx, g.Addrs(), opt); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	g.RefuseHello(0, wire.CodeForbidden)
	_, err = Connect(ctx, g.Addrs())
	wantErr(t, err, ErrForbidden)
}

func TestConnectToNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noErr(t, err)
	addr := l.Addr().String()
	noErr(t, l.Close())

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = Connect(ctx, []string{addr})
	wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)

	_, err = Connect(context.Background(), []string{addr}, WithTimeout(20*time.Millisecond))
	wantErr(t, err, ErrUnavailable)

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = Connect(ctx, []string{addr})
	wantErr(t, err, ErrUnavailable, context.Canceled)
}

// A member that is starting up refuses for the time being: Connect tries again until it is ready.
func TestConnectWaitsForReadiness(t *testing.T) {
	g := fakegrid.New(t, 1, 2)
	g.RefuseHello(0, wire.CodeNotReady)
	var dials atomic.Int32
	c, err := Connect(t.Context(), g.Addrs(), WithDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		if dials.Add(1) == 3 {
			g.RefuseHello(0, wire.CodeOK)
		}
		return dialTCP(ctx, addr)
	}))
	noErr(t, err)
	noErr(t, c.Close())
	if n := dials.Load(); n < 3 {
		t.Fatalf("%d dials", n)
	}
}

// One address that answers is enough, whatever is behind the others: nobody, something that says nothing, something else.
func TestConnectAmongBadAddresses(t *testing.T) {
	g := fakegrid.New(t, 1, 2)
	mute := listener(t, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
	other := listener(t, func(nc net.Conn) { _, _ = nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	huge := listener(t, func(nc net.Conn) { _, _ = nc.Write([]byte("GRDN\xff\xff\xff\xff")) })
	c, err := Connect(t.Context(), []string{"127.0.0.1:1", mute, other, huge, g.Addr(0)})
	noErr(t, err)
	noErr(t, c.Close())

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Connect(ctx, []string{mute, other, huge})
	wantErr(t, err, ErrUnavailable)
}

// proxyTo carries bytes between a connection and addr.
func proxyTo(addr string) func(net.Conn) {
	return func(front net.Conn) {
		back, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(back, front); back.Close() })
		_, _ = io.Copy(front, back)
		front.Close()
		wg.Wait()
	}
}

// listener accepts connections for serve until the test ends.
func listener(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noErr(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				stop := context.AfterFunc(t.Context(), func() { nc.Close() })
				defer stop()
				serve(nc)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func TestCloseIsIdempotentAndFinal(t *testing.T) {
	g := fakegrid.New(t, 2, 4)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	noErr(t, c.Close())
	noErr(t, c.Close())
	_, _, err := m.Get(t.Context(), "a")
	wantErr(t, err, ErrClosed)
	wantErr(t, m.Set(t.Context(), "a", "b"), ErrClosed)
	_, err = m.Size(t.Context())
	wantErr(t, err, ErrClosed)
	_, err = c.Members(t.Context())
	wantErr(t, err, ErrClosed)
	_, err = c.Maps(t.Context())
	wantErr(t, err, ErrClosed)
	_, err = OpenMap[string, string](c, "m")
	wantErr(t, err, ErrClosed)
	for _, err := range m.Keys(t.Context()) {
		wantErr(t, err, ErrClosed)
	}
	_, err = c.dialPlane(t.Context(), g.MemberID(0), wire.PlaneEvents)
	wantErr(t, err, ErrClosed)
}

func TestClusterPartitionsMaps(t *testing.T) {
	g := fakegrid.New(t, 3, 12)
	c := connected(t, g)
	status, err := c.Cluster(t.Context())
	noErr(t, err)
	if status.Name != "grid" || status.ID != g.ID.String() || !status.Safe || status.Tolerates != 1 || status.Members != 3 || status.Partitions != 12 || !slices.Equal(status.Versions, []string{"test"}) {
		t.Errorf("%+v", status)
	}
	parts, err := c.Partitions(t.Context())
	noErr(t, err)
	if len(parts) != 12 {
		t.Fatalf("%d partitions", len(parts))
	}
	for i, p := range parts {
		if p.ID != i || p.Owner != g.MemberID(i%3).String() || len(p.Replicas) != 3 || !slices.Contains(p.Replicas, p.Owner) || p.Epoch != 1<<44 || p.Index != 1000+uint64(i) {
			t.Errorf("%+v", p)
		}
	}
	maps, err := c.Maps(t.Context())
	noErr(t, err)
	if maps == nil || len(maps) != 0 {
		t.Errorf("%v", maps)
	}
	entries := make(map[int]string)
	for i := range 100 {
		entries[i] = "12345"
	}
	noErr(t, opened[int, string](t, c, "b").SetAll(t.Context(), entries))
	noErr(t, opened[int, string](t, c, "a").Set(t.Context(), 1, "1"))
	maps, err = c.Maps(t.Context())
	noErr(t, err)
	if want := []MapInfo{{"a", 1, 2}, {"b", 100, 600}}; !slices.Equal(maps, want) {
		t.Errorf("%v, want %v", maps, want)
	}
}

func TestTLSAndDialer(t *testing.T) {
	g := fakegrid.New(t, 1, 2)
	cert, pool := certificate(t)
	// What terminates TLS stands in front of the member.
	front := listener(t, func(nc net.Conn) {
		tc := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		proxyTo(g.Addr(0))(tc)
	})
	dialer := WithDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dialTCP(ctx, front) })
	c, err := Connect(t.Context(), []string{"127.0.0.1:9"}, dialer, WithTLS(&tls.Config{RootCAs: pool}))
	noErr(t, err)
	defer c.Close()
	m := opened[string, string](t, c, "m")
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			key := string(rune('a' + i))
			if err := m.Set(t.Context(), key, strings.Repeat(key, 10_000)); err != nil {
				t.Error(err)
			}
			if v, ok, err := m.Get(t.Context(), key); !ok || err != nil || v != strings.Repeat(key, 10_000) {
				t.Errorf("%d bytes, %v, %v", len(v), ok, err)
			}
		})
	}
	wg.Wait()

	// A client that does not trust the certificate is told so, unless its time is up in the middle of another attempt.
	for range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err = Connect(ctx, []string{"127.0.0.1:9"}, dialer, WithTLS(&tls.Config{}))
		cancel()
		wantErr(t, err, ErrUnavailable)
		if strings.Contains(err.Error(), "TLS") {
			return
		}
	}
	t.Errorf("no word of TLS: %v", err)
}

func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noErr(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "member"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	noErr(t, err)
	leaf, err := x509.ParseCertificate(der)
	noErr(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestDialPlane(t *testing.T) {
	g := fakegrid.New(t, 2, 2)
	c := connected(t, g)
	nc, err := c.dialPlane(t.Context(), g.MemberID(1), wire.PlaneEvents)
	noErr(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte("hello"))
	noErr(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(nc, got)
	noErr(t, err)
	if string(got) != "hello" {
		t.Fatalf("%q", got)
	}
	_, err = c.dialPlane(t.Context(), wire.ID{9}, wire.PlaneEvents)
	wantErr(t, err, ErrMemberLeft)
}

// What happens to connections is logged, with nothing in it but who and why.
func TestLogger(t *testing.T) {
	g := fakegrid.New(t, 1, 2)
	var buf syncBuffer
	c := connected(t, g, WithLogger(slog.New(slog.NewTextHandler(&buf, nil))))
	g.Cut(0)
	_, err := c.Cluster(t.Context())
	noErr(t, err)
	noErr(t, c.Close())
	if s := buf.String(); strings.Count(s, "connected") != 2 || strings.Count(s, "connection lost") != 1 {
		t.Errorf("log:\n%s", s)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
