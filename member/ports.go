package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// ports are the listeners of a member.
type ports struct {
	client, peer net.Listener
	http         net.Listener // nil without HTTP
	routeHost    string
	routePort    int // 0: any free port
	advertise    string
}

func listen(cfg *Config) (_ *ports, err error) {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("%w: listen %q: want host:port", ErrConfig, cfg.Listen)
	}
	base, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("%w: listen %q: want host:port", ErrConfig, cfg.Listen)
	}
	p := &ports{routeHost: host, advertise: cfg.Advertise}
	if p.advertise == "" {
		p.advertise = host
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			p.advertise = outwardHost()
		}
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	at := func(offset int) int {
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
		return cfg.Network.Listener(l), nil
	}
	if p.client, err = open(0, "clients"); err != nil {
		return nil, err
	}
	if p.peer, err = open(peerOffset, "members"); err != nil {
		return nil, err
	}
	if !cfg.NoHTTP {
		if p.http, err = open(httpOffset, "HTTP"); err != nil {
			return nil, err
		}
	}
	if p.routePort = at(routeOffset); p.routePort != 0 {
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

// ErrPortInUse is what Start's error wraps when a port of the member is taken.
var ErrPortInUse = errors.New("port in use")

func listenPort(host string, port int, what string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: %s, wanted for %s", ErrPortInUse, net.JoinHostPort(host, strconv.Itoa(port)), what)
	case err != nil:
		return nil, fmt.Errorf("listen for %s: %w", what, err)
	}
	return l, nil
}

func (p *ports) close() {
	for _, l := range []net.Listener{p.client, p.peer, p.http} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// addr returns the address under which others reach a listener.
func (p *ports) addr(l net.Listener) string {
	return net.JoinHostPort(p.advertise, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}
