package proc

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Base ports lie below the range from which systems take ports of their own accord, in steps that keep the ports which
// follow from one base apart from those of another.
const (
	lowestBase  = 10000
	highestBase = 32000
	baseStep    = 10
)

// offsets of a member's ports from its base: clients, members, NATS routes, HTTP.
var offsets = [...]int{0, 1, 2, 79}

// freeAddrs returns n addresses whose port, and those that follow from it, nobody listens on.
//
// NOTE: they are free when it returns; another process can take one before a member does, whose start then fails.
func freeAddrs(n int) ([]string, error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	addrs := make([]string, 0, n)
	for _, step := range rand.Perm((highestBase - lowestBase) / baseStep) {
		base := lowestBase + step*baseStep
		if listeners := hold(base); listeners != nil {
			held = append(held, listeners...)
			if addrs = append(addrs, address(base)); len(addrs) == n {
				return addrs, nil
			}
		}
	}
	return nil, errors.New("find free ports: there are none")
}

// hold listens on all ports of a base, or returns nil if one of them is taken.
func hold(base int) []net.Listener {
	listeners := make([]net.Listener, 0, len(offsets))
	for _, o := range offsets {
		l, err := net.Listen("tcp", address(base+o))
		if err != nil {
			for _, l := range listeners {
				_ = l.Close()
			}
			return nil
		}
		listeners = append(listeners, l)
	}
	return listeners
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
