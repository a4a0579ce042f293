package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// Ports are the listeners of a member.
type Ports struct {
	client, peer net.Listener
	http         net.Listener // nil without HTTP
	routeHost    string
	routePort    int // 0: any free port
	advertise    string
}

// PortsConfig says where to listen.
type PortsConfig struct {
	Listen    string // host:port of the client port; the others follow it
	Advertise string // host under which others reach this member; empty: the host of Listen, or an address of this machine
	NoHTTP    bool
	NoRoutes  bool                            // the member's NATS server has none, so nobody needs the port for them
	Wrap      func(net.Listener) net.Listener // what to accept from in the place of a listener

	PeerOffset, RouteOffset, HTTPOffset int // of the other ports from the client port
}

// Listen takes the ports, all or none. Errors wrap ErrPortInUse where one is taken.
func Listen(cfg PortsConfig) (_ *Ports, err error) {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen %q: want host:port", cfg.Listen)
	}

	base, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("listen %q: want host:port", cfg.Listen)
	}

	p := &Ports{routeHost: host, advertise: cfg.Advertise}
	if p.advertise == "" {
		p.advertise = host
		// Others cannot connect to an address that means all addresses of a machine.
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			p.advertise = outwardHost()
		}
	}

	// A member that cannot have all its ports must not keep some of them from the next attempt.
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	at := func(offset int) int {
		// Without a base port the system chooses each port.
		if base == 0 {
			return 0
		}
		return base + offset
	}

	open := func(offset int, what string) (net.Listener, error) {
		l, err := listenPort(host, at(offset), what)
		if err != nil {
			return nil, err
		}
		return cfg.Wrap(l), nil
	}

	if p.client, err = open(0, "clients"); err != nil {
		return nil, err
	}

	if p.peer, err = open(cfg.PeerOffset, "members"); err != nil {
		return nil, err
	}

	if !cfg.NoHTTP {
		if p.http, err = open(cfg.HTTPOffset, "HTTP"); err != nil {
			return nil, err
		}
	}

	if p.routePort = at(cfg.RouteOffset); p.routePort != 0 && !cfg.NoRoutes {
		// The NATS server listens itself, and would say nothing clear of a port in use.
		l, err := listenPort(host, p.routePort, "NATS routes")
		if err != nil {
			return nil, err
		}
		_ = l.Close()
	}

	return p, nil
}

// outwardHost returns an address of this machine under which others may reach it: the first that is neither loopback nor local to
// its link, IPv4 before IPv6; the loopback address where there is none.
func outwardHost() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}

	six := ""
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		// Addresses of IPv4 are reached from more networks, so the first one is taken at once.
		if n.IP.To4() != nil {
			return n.IP.String()
		}
		if six == "" {
			six = n.IP.String()
		}
	}

	if six != "" {
		return six
	}

	return "127.0.0.1"
}

// ErrPortInUse is what the error of Listen wraps when a port is taken.
var ErrPortInUse = errors.New("port in use")

func listenPort(host string, port int, what string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	switch {
	// This is the mistake that operators make most, so the error says which port it is and what for.
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: %s, wanted for %s", ErrPortInUse, net.JoinHostPort(host, strconv.Itoa(port)), what)
	case err != nil:
		return nil, fmt.Errorf("listen for %s: %w", what, err)
	}

	return l, nil
}

// Close closes the listeners. It may be called twice.
func (p *Ports) Close() {
	for _, l := range []net.Listener{p.client, p.peer, p.http} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// Client returns the address of the client port as others reach it.
func (p *Ports) Client() string { return p.addr(p.client) }

// Peer returns the address of the members' port as others reach it.
func (p *Ports) Peer() string { return p.addr(p.peer) }

// ClientPort returns the number of the client port.
func (p *Ports) ClientPort() int { return p.client.Addr().(*net.TCPAddr).Port }

// Route returns where the NATS server listens for others; port 0 is any free one.
func (p *Ports) Route() (host string, port int) { return p.routeHost, p.routePort }

// Advertised returns the host under which others reach this member.
func (p *Ports) Advertised() string { return p.advertise }

// addr returns the address under which others reach a listener.
func (p *Ports) addr(l net.Listener) string {
	return net.JoinHostPort(p.advertise, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}
