// Package porttest is not API: programs use package gridtest, and it may change in any version.
//
// It gives tests and benchmarks ports on which members can listen, and keeps them theirs: no other process that asks here
// is given the same ones until they are given back, whether or not anybody listens on them meanwhile. So a member can be started on
// ports that are known before, be killed, and come back where it was, while other tests do the same beside it.
//
// Ports come in rows of ten. One of each row is listened on by who took the row, which is how processes keep out of each other's way
// and how a row is free again when its process dies.
package porttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const (
	// Rows lie below the range from which systems give out ports of their own accord, and that from which "grid dev" chooses.
	lowest, highest = 10_000, 19_900
	// Apart is by how much the base ports of a set are apart.
	Apart = 10
	// guardOffset is that of the port in a row that its taker listens on. Members use none of its row but those of offsets, and the
	// last one of a row is the HTTP port of another.
	guardOffset = 8
)

// offsets of a member's ports from its base: clients, members, NATS routes, HTTP.
var offsets = [...]int{0, 1, 2, 79}

// Set is a number of base ports that belong together.
type Set struct {
	bases  []int
	guards []net.Listener
}

// Take takes n base ports, each Apart from the one before, whose ports are free. Give them back with Release.
func Take(n int) (*Set, error) {
	if n < 1 || n > (highest-lowest)/Apart {
		return nil, fmt.Errorf("find free ports for %d members", n)
	}
	// From a place of its own, so that processes that start at the same time seldom try the same.
	for _, row := range rand.Perm((highest-lowest)/Apart - n + 1) {
		if s := take(lowest+row*Apart, n); s != nil {
			return s, nil
		}
	}
	return nil, errors.New("find free ports: there are none")
}

// take takes the n base ports from one on, or returns nil where they are not free.
func take(base, n int) *Set {
	s := new(Set)
	for i := range n {
		b := base + i*Apart
		// First the guard: only who has it may try the others, so that nobody is in the way of a member that starts on its own.
		guard, err := net.Listen("tcp", addr(b+guardOffset))
		if err != nil {
			s.Release()
			return nil
		}
		s.guards, s.bases = append(s.guards, guard), append(s.bases, b)
		if !Free(b) {
			s.Release()
			return nil
		}
	}
	return s
}

// Free reports whether nobody listens on a base port and those that follow from it.
func Free(base int) bool {
	for _, o := range offsets {
		l, err := net.Listen("tcp", addr(base+o))
		if err != nil {
			return false
		}
		if l.Close() != nil {
			return false
		}
	}
	return true
}

// Addrs returns the addresses of the base ports. The slice is the caller's.
func (s *Set) Addrs() []string {
	addrs := make([]string, len(s.bases))
	for i, b := range s.bases {
		addrs[i] = addr(b)
	}
	return addrs
}

// Release gives the ports back. Call it once nobody of the caller's listens on them any more. It may be called twice.
func (s *Set) Release() {
	for _, l := range s.guards {
		_ = l.Close()
	}
	s.guards = nil
}

func addr(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// TB is what Addrs uses of a test.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Addrs returns the addresses of n base ports that are the test's until its end: those of members whose end it registers later.
func Addrs(t TB, n int) []string {
	t.Helper()
	s, err := Take(n)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(s.Release)
	return s.Addrs()
}
