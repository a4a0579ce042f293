package cable

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// aMoment is for how long nothing must be heard where nothing can be.
const aMoment = 50 * time.Millisecond

// newNetwork returns a network that ends with the test.
func newNetwork(t *testing.T) *Network {
	t.Helper()
	n := New()
	t.Cleanup(n.Close)
	return n
}

// listening returns a listener of member i that ends with the test.
func listening(t *testing.T, n *Network, i int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return n.Port(i).Listener(l)
}

// joined returns both ends of a connection that member i has made to member j, or somebody outside with i below 0, over which a
// byte has gone each way.
func joined(t *testing.T, n *Network, i, j int) (near, far net.Conn) {
	t.Helper()
	l := listening(t, n, j)
	var err error
	if i >= 0 {
		near, err = n.Port(i).Dial(t.Context(), l.Addr().String())
	} else {
		near, err = net.Dial("tcp", l.Addr().String())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	say(t, near, "a")
	hears(t, far, "a")
	say(t, far, "b")
	hears(t, near, "b")
	return near, far
}

func say(t *testing.T, nc net.Conn, s string) {
	t.Helper()
	if _, err := nc.Write([]byte(s)); err != nil {
		t.Fatalf("write %q: %v", s, err)
	}
}

func hears(t *testing.T, nc net.Conn, want string) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, len(want))
	if _, err := io.ReadFull(nc, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v, want %q", b, err, want)
	}
}

func hearsNothing(t *testing.T, nc net.Conn) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(aMoment))
	b := make([]byte, 10)
	if k, err := nc.Read(b); k != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %q, %v, want nothing", b[:k], err)
	}
}

// hearsTheEnd waits for the end of what comes.
func hearsTheEnd(t *testing.T, nc net.Conn) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection goes on")
	}
}

// What is said while a connection is cut arrives afterwards, in its order.
func TestWhatIsSaidInSilenceArrivesLater(t *testing.T) {
	for name, c := range map[string]struct {
		from  int
		fault func(n *Network)
	}{
		"cut":          {0, func(n *Network) { n.Cut(1, 0) }},
		"isolated":     {0, func(n *Network) { n.Isolate(1) }},
		"isolated too": {0, func(n *Network) { n.Isolate(0) }},
		"from outside": {outside, func(n *Network) { n.Isolate(1) }},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t)
			near, far := joined(t, n, c.from, 1)
			c.fault(n)
			for _, s := range []string{"one ", "two ", "three"} {
				say(t, near, s)
				say(t, far, s)
			}
			hearsNothing(t, near)
			hearsNothing(t, far)
			n.Heal()
			hears(t, near, "one two three")
			hears(t, far, "one two three")
			say(t, near, "four")
			hears(t, far, "four")
		})
	}
}

// A fault is where it is and nowhere else.
func TestOthersTalkOn(t *testing.T) {
	n := newNetwork(t)
	ab, ba := joined(t, n, 0, 1)
	ac, ca := joined(t, n, 0, 2)
	client, b := joined(t, n, outside, 1)
	n.Cut(0, 1)
	say(t, ab, "x")
	hearsNothing(t, ba)
	say(t, ac, "x")
	hears(t, ca, "x")
	say(t, client, "x")
	hears(t, b, "x")
	self, own := joined(t, n, 2, 2)
	n.Isolate(2)
	say(t, self, "x")
	hears(t, own, "x")
	say(t, ac, "x")
	hearsNothing(t, ca)
}

// Dialing neither succeeds nor is refused while it is cut: not where somebody listens, and not where nobody does.
func TestDialingInSilence(t *testing.T) {
	n := newNetwork(t)
	l := listening(t, n, 1)
	gone := listening(t, n, 1)
	_ = gone.Close()
	if _, err := n.Port(0).Dial(t.Context(), gone.Addr().String()); err == nil {
		t.Fatal("connected to nobody")
	}
	n.Isolate(1)
	for _, l := range []net.Listener{l, gone} {
		ctx, cancel := context.WithTimeout(t.Context(), aMoment)
		if _, err := n.Port(0).Dial(ctx, l.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		cancel()
	}
	done := make(chan error)
	go func() {
		nc, err := n.Port(0).Dial(context.Background(), l.Addr().String())
		if err == nil {
			_ = nc.Close()
		}
		done <- err
	}()
	n.Heal()
	if err := <-done; err != nil {
		t.Errorf("dial after the fault: %v", err)
	}
}

// Who closes a connection that is cut goes, and the other side hears of it afterwards, with what was said before.
func TestClosingInSilence(t *testing.T) {
	for _, from := range []int{0, outside} {
		n := newNetwork(t)
		near, far := joined(t, n, from, 1)
		n.Isolate(1)
		say(t, far, "bye")
		if err := far.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, net.ErrClosed) && from == outside {
			t.Errorf("write after close: %v", err)
		}
		hearsNothing(t, near)
		n.Heal()
		hears(t, near, "bye")
		hearsTheEnd(t, near)
	}
}

// Close ends whoever reads or writes.
func TestCloseWakesReadersAndWriters(t *testing.T) {
	n := newNetwork(t)
	near, _ := joined(t, n, 0, 1)
	n.Cut(0, 1)
	done := make(chan error, 2)
	go func() {
		_, err := near.Read(make([]byte, 1))
		done <- err
	}()
	go func() {
		_, err := near.Write(make([]byte, 2*maxHeld)) // more than waits
		done <- err
	}()
	_ = near.Close()
	for range 2 {
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	}
}

// Writing blocks once as much waits as may, until the fault or the deadline is over, also one that is set meanwhile.
func TestDeadlinesInSilence(t *testing.T) {
	n := newNetwork(t)
	near, far := joined(t, n, 0, 1)
	n.Cut(0, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		k, err := near.Write(make([]byte, maxHeld+1))
		if k != maxHeld || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v", k, err)
		}
	}()
	_ = near.SetWriteDeadline(time.Now().Add(aMoment))
	<-done
	n.Heal()
	_ = far.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(far, make([]byte, maxHeld)); err != nil {
		t.Errorf("what was written before the deadline: %v", err)
	}
}

// What a library dials by itself goes a way that can be cut.
func TestRoute(t *testing.T) {
	n := newNetwork(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	n.Port(1).Place(l.Addr().String())
	route := n.Port(0).Route(l.Addr().String())
	if again := n.Port(0).Route(l.Addr().String()); again != route || route == n.Port(2).Route(l.Addr().String()) {
		t.Errorf("routes %s and %s", route, again)
	}
	near, err := net.Dial("tcp", route)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = near.Close() }()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	say(t, far, "first")
	hears(t, near, "first")
	n.Cut(0, 1)
	say(t, near, "x")
	hearsNothing(t, far)
	n.Heal()
	hears(t, far, "x")
	_ = far.Close()
	hearsTheEnd(t, near)
}
