package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
)

// Config is what a Runner needs.
type Config struct {
	Store       *Store // open; stays the caller's, who closes it after the Runner
	Addr        string // client base address, as advertised
	PeersAddr   string // members' port, as advertised
	ClusterName string // the Store's
	Expect      int    // 0 with Join: only join; 0 to 16

	// Join holds client base addresses to ask. This member's own may be among them, so that all members can have the same
	// list, but alone it would not do: whoever lists only itself is found by others, and finds nobody by itself.
	Join []string

	// Dial connects to a client base address for wire.PlaneJoin and returns once hellos have been exchanged, or as soon as
	// its context ends; it may be called by several goroutines at a time. An error matching ErrOtherCluster from one of
	// the Join addresses ends Run; any other means that nobody is there yet.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Members says which cluster this member is in and where its members are, once it knows; until then it returns the
	// zero ClusterRef, and the addresses of the record are told instead. It is called for every message served after
	// bootstrap, without locks. Nil: what SetCluster said last.
	Members func() ClusterRef
	// Heard is optional: it is called with what each sender of a request says of itself, without locks, and must not block.
	Heard  func(*Hello)
	Logger *slog.Logger // nil: slog.Default()
	Timing Timing       // zero: the protocol's
}

// validate returns everything that is wrong with c.
func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}

	check(c.Store != nil, "no Store")
	check(c.Dial != nil, "no Dial")
	check(validText(c.Addr), "Addr %q: 1 to %d bytes are possible", c.Addr, MaxText)
	check(validText(c.PeersAddr), "PeersAddr %q: 1 to %d bytes are possible", c.PeersAddr, MaxText)
	// A missing Store is reported above, and cannot be asked for its name.
	check(c.Store == nil || c.ClusterName == c.Store.ClusterName(), "ClusterName %q is not the Store's", c.ClusterName)
	check(c.Expect >= 0 && c.Expect <= MaxExpect, "Expect %d: 0 to %d are possible", c.Expect, MaxExpect)
	check(c.Expect <= 1 || len(c.Join) > 0, "Expect %d without Join: the others cannot be asked", c.Expect)
	check(len(c.Join) <= MaxAddresses, "Join has %d addresses: at most %d are possible", len(c.Join), MaxAddresses)
	for _, a := range c.Join {
		check(validText(a), "Join address %q: 1 to %d bytes are possible", a, MaxText)
	}
	return errors.Join(errs...)
}

// withDefaults returns a copy of c with its zero fields set.
func (c Config) withDefaults() Config {
	c.Join = slices.Clone(c.Join)
	c.Timing = c.Timing.WithDefaults()
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
