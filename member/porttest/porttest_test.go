package porttest

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

func base(t *testing.T, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Nobody is given what another has, though nobody listens on it, until it is given back.
func TestTaken(t *testing.T) {
	s, err := Take(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Release)
	first := base(t, s.Addrs()[0])
	for i, a := range s.Addrs() {
		if b := base(t, a); b != first+i*Apart || !Free(b) {
			t.Errorf("base port %d of %v, free: %t", b, s.Addrs(), Free(b))
		}
		if other := take(first+i*Apart, 1); other != nil {
			other.Release()
			t.Errorf("%s is given out twice", a)
		}
	}
	s.Release()
	again := take(first, 3)
	if again == nil {
		t.Fatal("ports that were given back are not free")
	}
	again.Release()
	again.Release()
}

// A base port is free only with those that follow from it, and one that is not is not held.
func TestInUse(t *testing.T) {
	first := base(t, Addrs(t, 1)[0])
	for _, o := range offsets {
		l, err := net.Listen("tcp", addr(first+o))
		if err != nil {
			t.Fatal(err)
		}
		if Free(first) {
			t.Errorf("free although somebody listens on the port after %d", o)
		}
		_ = l.Close()
	}
}

func TestTooMany(t *testing.T) {
	for _, n := range []int{0, -1, highest} {
		if s, err := Take(n); err == nil {
			s.Release()
			t.Errorf("%d base ports are given", n)
		}
	}
}

// All that is held at the same time is different.
func TestManyAtOnce(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]bool)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			s, err := Take(4)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(s.Release)
			for _, a := range s.Addrs() {
				mu.Lock()
				if seen[a] {
					t.Errorf("%s is given out twice", a)
				}
				seen[a] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
