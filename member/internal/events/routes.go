package events

import (
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/partition/cadence"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// routesEvery is how often the routes are looked at without an event: the server tells of none.
	routesEvery = 100 * time.Millisecond
	// RouteSilence is for how long a suspect member must have been silent until its route is given up.
	RouteSilence = time.Second
	// redialAfter is how long a route may take to come about until it is dialed again, and redials how often.
	redialAfter = 250 * time.Millisecond
	redials     = 2
)

// Peer is another member as far as routes go.
type Peer struct {
	ID          wire.ID
	Incarnation wire.ID
	Addr        string // where its NATS server is to be reached
	Wanted      bool   // it lives and is heard of
	Answers     bool   // the process of this incarnation has been heard
	Apart       bool   // it has another external server, or only one of the two members has one
}

// routes keeps the routes between this member's NATS server and those of the others: one to each member that lives and is heard of.
//
// Of two members the one with the lower ID dials. Were both to dial at the same change of the metadata, each server would keep the
// connection that the other one closes, and the two would be without a route until a retry a second later. For the same reason the
// servers do not tell each other where the others are.
//
// The server redials a route that has ended after a second. Here it is made to dial at once: a route that was up and has ended, a
// member that is heard again, and another incarnation of a member are reasons to dial.
type routes struct {
	self  wire.ID
	nats  *natsServer
	peers func() []Peer
	log   *slog.Logger
	wake  chan struct{} // one slot: something changed

	// The following belong to the goroutine.
	dialed map[wire.ID]*dialing // incarnations to which this member dials
}

// dialing is what this member knows of a route that it dials.
type dialing struct {
	up    bool      // there was a route at the last look
	at    time.Time // when it was last dialed
	again int       // how often it was dialed again since there was a route
}

// due reports whether the route is to be dialed again: it was up and has ended, or is not there long after it was dialed. The server
// goes on by itself after that, once a second. A route that has ended right after it was dialed is one that the other side does not want.
func (d *dialing) due(up bool, now time.Time) bool {
	if up {
		d.up, d.again = true, 0
		return false
	}

	// A route that has ended soon after it was dialed was dropped by the other side. That is no reason to dial at once.
	ended := d.up && now.Sub(d.at) >= RouteSilence
	if d.up = false; !ended && (d.again >= redials || now.Sub(d.at) < redialAfter) {
		return false
	}
	d.at = now
	d.again++
	return true
}

func newRoutes(self wire.ID, nats *natsServer, peers func() []Peer, log *slog.Logger) *routes {
	return &routes{self: self, nats: nats, peers: peers, log: log, wake: make(chan struct{}, 1)}
}

// notify has the routes looked at soon. It never blocks.
func (r *routes) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run keeps the routes until done is closed.
func (r *routes) run(done <-chan struct{}) {
	tick := time.NewTimer(cadence.Next(routesEvery))
	defer tick.Stop()
	for {
		r.look()
		select {
		case <-r.wake:
		case <-tick.C:
			tick.Reset(cadence.Next(routesEvery))
		case <-done:
			return
		}
	}
}

// dials reports whether this member dials to another.
func (r *routes) dials(to wire.ID) bool { return slices.Compare(r.self[:], to[:]) < 0 }

// look brings the routes in line with what is known of the others.
func (r *routes) look() {
	dial, unwanted := make(map[wire.ID]string), make(map[wire.ID]bool)
	for _, p := range r.peers() {
		switch {
		case !p.Wanted:
			unwanted[p.Incarnation] = true
		case r.dials(p.ID):
			dial[p.Incarnation] = p.Addr
		}
	}

	now, up := time.Now(), r.nats.connected()
	var again []wire.ID
	known := r.dialed // those that are not to be dialed any more are left behind
	r.dialed = make(map[wire.ID]*dialing, len(dial))
	for inc := range dial {
		switch d := known[inc]; {
		// The server dials what is new to it by itself.
		case d == nil:
			r.dialed[inc] = &dialing{at: now, up: up[inc]}
		default:
			r.dialed[inc] = d
			if d.due(up[inc], now) {
				again = append(again, inc)
			}
		}
	}

	// One call for all of them: the server looks at all its routes at each change.
	r.nats.routeTo(dial, again)

	for inc := range up {
		// A route from a member that is not known stays: the member may have registered a moment ago.
		if unwanted[inc] {
			r.log.Debug("the route to a silent member is given up", "incarnation", inc.String())
			r.nats.drop(inc)
		}
	}
}

// complete reports whether there is a route to every member that answers.
func (r *routes) complete() bool {
	up := r.nats.connected()
	// A member that does not answer must not hold up the start of another.
	return !slices.ContainsFunc(r.peers(), func(p Peer) bool { return p.Wanted && p.Answers && !up[p.Incarnation] })
}

// connected returns the incarnations of the members to whose servers there is a route.
func (n *natsServer) connected() map[wire.ID]bool {
	up := make(map[wire.ID]bool)
	info, err := n.srv.Routez(nil)
	if err != nil {
		return up
	}
	for _, r := range info.Routes {
		// A server of another kind may have connected. It is no member's.
		if id, err := wire.ParseID(strings.TrimPrefix(r.RemoteName, serverPrefix)); err == nil {
			up[id] = true
		}
	}
	return up
}

// routeTo tells the server to which others it connects, by incarnation. It dials new ones and those that are named again at once, keeps
// trying, and ends its routes to those that are not there any more. It is called by one goroutine.
func (n *natsServer) routeTo(to map[wire.ID]string, again []wire.ID) {
	urls := make(map[wire.ID]*url.URL, len(to))
	for inc, addr := range to {
		// The path makes it the URL of one incarnation: another at the same address is dialed at once.
		urls[inc] = &url.URL{Scheme: "nats", Host: addr, Path: "/" + inc.String(), User: url.UserPassword(n.opts.Cluster.Username, n.opts.Cluster.Password)}
	}

	// The server dials at once only what is new to it, so what is to be dialed again is first taken away.
	if len(again) > 0 {
		without := maps.Clone(urls)
		for _, inc := range again {
			delete(without, inc)
		}
		n.reload(without)
	}

	// A change of options makes the server look at all its routes: without a change it is left alone.
	same := maps.EqualFunc(urls, n.dialed, func(a, b *url.URL) bool { return *a.User == *b.User && a.Host == b.Host })
	if !same {
		n.reload(urls)
	}
}

// drop ends the route to another server, whoever has dialed it. The server ends routes by their URLs, and only those that it was told
// to make: so it is told to, and not to, in the same breath.
func (n *natsServer) drop(incarnation wire.ID) {
	keep := n.dialed
	with := maps.Clone(keep)
	if with == nil {
		with = make(map[wire.ID]*url.URL)
	}

	// What the server calls a route that the other side has dialed.
	with[incarnation] = &url.URL{Scheme: "nats-route", Host: routeName(incarnation), Path: "/"}
	n.reload(with)
	n.reload(keep)
}

// reload has the server connect to these URLs and no others.
func (n *natsServer) reload(urls map[wire.ID]*url.URL) {
	opts := n.opts.Clone()
	opts.Routes = slices.SortedFunc(maps.Values(urls), func(a, b *url.URL) int { return strings.Compare(a.String(), b.String()) })

	if err := n.srv.ReloadOptions(opts); err != nil {
		n.dialed = nil // to be tried again at the next look
		n.log.Warn("the NATS routes were not changed", "err", err)
		return
	}
	n.dialed = urls
}
