package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connected returns a client of g.
func connected(t testing.TB, g *fakegrid.Grid, opts ...Option) *Client {
	t.Helper()
	c, err := Connect(t.Context(), g.Addrs(), opts...)
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// opened returns a map of c.
func opened[K comparable, V any](t testing.TB, c *Client, name string, opts ...MapOption) *Map[K, V] {
	t.Helper()
	m, err := OpenMap[K, V](c, name, opts...)
	if err != nil {
		t.Fatalf("OpenMap(%q): %v", name, err)
	}
	return m
}

// eventually waits until cond holds; it looks again when the client's table or connections change.
func eventually(t testing.TB, c *Client, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		changed := c.changed.wait()
		if cond() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// wantErr checks that err is each of the wanted errors, and that its text says so once.
func wantErr(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("error %v is not %v", err, w)
		}
	}
	if twice := saidTwice(err); twice != "" {
		t.Errorf("%q is said more than once: %v", twice, err)
	}
}

// saidTwice returns the text of a sentinel that err says more than once, "" if there is none. What stands for several errors may say
// each of them.
func saidTwice(err error) string {
	var bulk *BulkError
	var multi *MultiError
	if errors.As(err, &bulk) || errors.As(err, &multi) {
		return ""
	}
	for _, sentinel := range sentinels {
		if sentinel == nil || !errors.Is(err, sentinel) {
			continue
		}
		times := 0
		for _, part := range strings.Split(err.Error(), ": ") {
			if text, _, _ := strings.Cut(part, " ("); text == sentinel.Error() {
				times++
			}
		}
		if times > 1 {
			return sentinel.Error()
		}
	}
	return ""
}

// noErr fails the test if err is not nil.
func noErr(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// allLive reports whether the client is connected to all members of g.
func allLive(c *Client, members int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.mu.peers {
		if p.live() != nil {
			n++
		}
	}
	return n == members
}

// keyIn returns the i-th of the keys "k0", "k1", … that lie in a partition.
func keyIn(t testing.TB, m *Map[string, string], partition, i int) string {
	t.Helper()
	for n := 0; ; n++ {
		key := fmt.Sprintf("k%d", n)
		cl, err := m.keyed(16, key)
		noErr(t, err)
		p := int(cl.req.Partition)
		cl.release()
		if p == partition {
			if i--; i < 0 {
				return key
			}
		}
	}
}
