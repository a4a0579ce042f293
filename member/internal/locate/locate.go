// Package locate finds members that are not where the metadata say. After a restart with other addresses no member may be there, and the metadata
// cannot change before their voters have found each other.
//
// It owns where members were found, who says to be where, and what came of asking addresses. It must not know why a member is wanted, or what is
// said to it.
package locate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/liveness"
	"github.com/gridiron-io/gridiron/partition/cadence"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// every is how often members that are missing are looked for.
	every = time.Second
	// askFor bounds one question to one address.
	askFor = time.Second
	// lateEvery is how often a join address that has never answered is asked again.
	lateEvery = 5 * time.Second
	// foreignEvery is how often a member that runs says that a join address belongs to another cluster.
	foreignEvery = time.Minute
	// waitingEvery is how often a member says for whom it waits.
	waitingEvery = 10 * time.Second
	// maxLearned bounds the addresses that are kept because others have named them, and the claims that wait to be looked at.
	maxLearned = 128
)

// Config is what a Locator is made of. All functions may be called by several goroutines at a time.
type Config struct {
	Self   wire.ID  // the member
	Addr   string   // of its client port
	Join   []string // the addresses that the operator has named
	Dir    string   // the data directory
	Logger *slog.Logger

	// Cluster returns the cluster of this member.
	Cluster func() wire.ID
	// Metadata returns the metadata as this member has applied them; nil before it has any.
	Metadata func() *meta.View
	// Leader returns the replica that leads the metadata group; 0 if none is known. It is called once Metadata has returned some.
	Leader func() uint64
	// Addrs returns the client addresses that the data directory names.
	Addrs func() []string
	// Ask asks the member at a client address what it is and whom it knows.
	Ask func(ctx context.Context, addr string) (bootstrap.Hello, error)
	// Peers returns the other members.
	Peers func() Peers
	// Started reports whether the start is over.
	Started func() bool
	// Waiting returns what the start waits for.
	Waiting func() string
	// Abort ends the start.
	Abort func(cause error)
}

// Peers are the other members.
type Peers interface {
	// Reached reports whether a member answers.
	Reached(member wire.ID) bool
	// MetaMembers returns who is in the metadata group, as far as that is known without metadata.
	MetaMembers() []wire.MetaMember
	// DialAddr connects to the members' port at an address, where a member is meant to be. The answer tells who is there.
	DialAddr(ctx context.Context, member wire.ID, addr string, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error)
}

// Locator asks the join addresses, the addresses of the metadata, and those that the answers name. It also takes what members that look for this one
// say of themselves. It is made by New, looks from Start, and ends with its context.
//
// An address is believed only after a connection to the members' port there. The member that is meant has to answer, by its identity and as
// one of this cluster. So a swapped address leads nowhere, and a false claim costs one connection.
//
// It also sees to it that a join address of another cluster is noticed. It owns one goroutine.
type Locator struct {
	cfg  Config
	wake chan struct{} // one slot: there are claims
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the following
	found   map[wire.ID]liveness.Location
	claims  map[wire.ID]string // members' ports where members say that they are
	learned []string           // client addresses that answers have named
	tried   map[string]string  // client addresses, and what came of asking there last
	late    map[string]bool    // join addresses that have not answered yet
	foreign error              // a join address belongs to another cluster
	told    time.Time          // when that was last logged
}

// New returns a Locator that has found nobody.
func New(cfg Config) *Locator {
	return &Locator{cfg: cfg, wake: make(chan struct{}, 1), found: make(map[wire.ID]liveness.Location), claims: make(map[wire.ID]string),
		tried: make(map[string]string), late: make(map[string]bool)}
}

// Begin asks the join addresses once, before this member becomes part of its cluster. Its error wraps bootstrap.ErrOtherCluster: one of
// them belongs to another cluster. Those that do not answer hold nothing up for longer than it takes to ask.
func (l *Locator) Begin(ctx context.Context) error {
	joins := slices.DeleteFunc(slices.Clone(l.cfg.Join), func(a string) bool { return a == l.cfg.Addr })
	if len(joins) == 0 {
		return nil
	}

	l.mu.Lock()
	for _, a := range joins {
		l.late[a] = true
	}

	l.mu.Unlock()

	// Asking takes up to askFor, so it happens without the lock.
	l.ask(ctx, joins)
	l.mu.Lock()
	defer l.mu.Unlock()
	// A directory of one cluster and a join address of another are a mistake of the operator, which a start must not hide.
	if l.foreign != nil {
		return l.foreign
	}
	if len(l.late) == len(joins) && ctx.Err() == nil {
		l.cfg.Logger.Warn("no join address answers: this member goes on with the cluster of its data directory", "cluster", l.cfg.Cluster().String(),
			"data_dir", l.cfg.Dir, "tried", l.triedLocked())
	}
	return nil
}

// Start looks for members that are missing, until ctx ends.
func (l *Locator) Start(ctx context.Context) {
	l.wg.Add(1)
	go l.run(ctx) // ends with ctx
}

// Wait waits for what Start has begun. Its context has ended.
func (l *Locator) Wait() { l.wg.Wait() }

func (l *Locator) run(ctx context.Context) {
	defer l.wg.Done()
	tick := time.NewTimer(cadence.Next(every))
	defer tick.Stop()
	// since is when all was last well, or the last warning was logged. asked is when the late join addresses were last asked.
	since, asked := time.Now(), time.Now()
	for {
		select {
		case <-l.wake:
			l.Look(ctx)
			continue
		case <-tick.C:
			tick.Reset(cadence.Next(every))
		case <-ctx.Done():
			return
		}

		missing := l.missing()
		// Addresses that answers have named are of use only while a member is missing.
		if len(missing) == 0 {
			l.settled()
		}

		unled := l.cfg.Metadata() != nil && l.cfg.Leader() == 0
		switch {
		case l.cfg.Started() && !unled:
			since = time.Now()
		case time.Since(since) >= waitingEvery:
			since = time.Now()
			l.warn(missing, unled)
		}

		// While the metadata group has a leader, a member that has moved registers there, and the metadata tell its address.
		// A join address that never answered may yet turn out to be of another cluster.
		if len(missing) > 0 && (!l.cfg.Started() || unled) {
			l.ask(ctx, l.candidates())
		} else if late := l.lateOnes(); len(late) > 0 && time.Since(asked) >= lateEvery {
			asked = time.Now()
			l.ask(ctx, late)
		}

		l.tellForeign()
	}
}

// Locate returns where a member was found, if that was not where the metadata say.
func (l *Locator) Locate(id wire.ID) (liveness.Location, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.found[id]
	// The member has registered since, so the metadata know better.
	if ok && l.registered(id) != at.Registered {
		delete(l.found, id)
		return liveness.Location{}, false
	}
	return at, ok
}

// registered returns the incarnation at which the metadata have a member; zero if they do not know it.
func (l *Locator) registered(id wire.ID) wire.ID {
	if v := l.cfg.Metadata(); v != nil {
		if mb := v.Member(id); mb != nil {
			return mb.Incarnation
		}
	}
	return wire.ID{}
}

// Lost forgets where a member was found, for it does not answer there.
func (l *Locator) Lost(id wire.ID, at liveness.Location) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found[id] == at {
		delete(l.found, id)
	}
}

// Met takes the answer to a hello on a members' port. It comes from a member of this cluster, which may be another than the one that was called.
func (l *Locator) Met(a *wire.HelloAnswer, peerAddr string) {
	// A member that answers elsewhere needs no other address. A second process with its directory must not lead others astray.
	if a.Member == l.cfg.Self || a.Member.IsZero() || l.cfg.Peers().Reached(a.Member) {
		return
	}

	at := liveness.Location{PeerAddr: peerAddr, Incarnation: a.Incarnation, Registered: l.registered(a.Member)}

	// What the metadata have already need not be kept here, nor told again.
	v := l.cfg.Metadata()
	name, was := "", ""
	if v != nil {
		if mb := v.Member(a.Member); mb != nil {
			if name, was = mb.Name, mb.PeerAddr; mb.Incarnation == a.Incarnation && mb.PeerAddr == peerAddr {
				return
			}
		}
	}

	// The bound is against members that name many others. A member that was found once may be found again elsewhere.
	l.mu.Lock()
	old, known := l.found[a.Member]
	if known || len(l.found) < maxLearned {
		l.found[a.Member] = at
	}

	l.mu.Unlock()
	if !known || old.PeerAddr != peerAddr {
		l.cfg.Logger.Info("a member was found", "id", a.Member.String(), "name", name, "addr", peerAddr, "was", was)
	}
}

// Heard takes what a member says of itself, in a question to this one or in an answer. It does not block.
func (l *Locator) Heard(h *bootstrap.Hello) {
	if h.State != bootstrap.StateMember || h.ID != l.cfg.Cluster() || h.Member == l.cfg.Self {
		return
	}

	// Only a missing member's claim is looked at, for each costs a connection.
	missing := !l.cfg.Peers().Reached(h.Member)
	l.mu.Lock()
	for _, a := range append([]string{h.Addr}, h.Addrs...) {
		// Addresses of other members count too: each may lead to somebody who is missing.
		if a == l.cfg.Addr || slices.Contains(l.learned, a) {
			continue
		}
		if l.learned = append(l.learned, a); len(l.learned) > maxLearned {
			// The oldest address is the least likely to be right.
			l.learned = slices.Delete(l.learned, 0, 1)
		}
	}

	if _, waits := l.claims[h.Member]; missing && (waits || len(l.claims) < maxLearned) && l.found[h.Member].PeerAddr != h.PeersAddr {
		l.claims[h.Member] = h.PeersAddr
	}

	l.mu.Unlock()
	if missing {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Look goes where members say that they are.
func (l *Locator) Look(ctx context.Context) {
	l.mu.Lock()
	// Claims are taken out at once, so that those which come meanwhile are looked at in the next round.
	claims := l.claims
	l.claims = make(map[wire.ID]string)
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	var wg sync.WaitGroup
	for id, addr := range claims {
		wg.Go(func() { // ends with its connection
			nc, a, err := l.cfg.Peers().DialAddr(ctx, id, addr, wire.PlaneCalls, 0)
			if err != nil {
				l.cfg.Logger.Debug("a member is not where it was said to be", "id", id.String(), "addr", addr, "err", err)
				return
			}
			_ = nc.Close() // it was only to see who answers
			l.Met(&a, addr)
		})
	}
	wg.Wait()
}

// ask asks the members at some addresses what they are and whom they know. It goes on with the addresses that their answers name, until
// there are no new ones.
func (l *Locator) ask(ctx context.Context, addrs []string) {
	asked := map[string]bool{l.cfg.Addr: true}
	for len(addrs) > 0 && ctx.Err() == nil {
		var wg sync.WaitGroup
		for _, a := range addrs {
			// Answers name the same addresses again and again, and each is asked once in a round.
			if !asked[a] {
				asked[a] = true
				wg.Go(func() { l.askOne(ctx, a) }) // ends with its connection
			}
		}

		wg.Wait()

		// Answers bring claims and addresses. The claims are looked at first, since they may end the search.
		l.Look(ctx)
		l.mu.Lock()
		addrs = slices.DeleteFunc(slices.Clone(l.learned), func(a string) bool { return asked[a] })
		l.mu.Unlock()

		// The answers may have led to all that were missing.
		if len(l.missing()) == 0 {
			return
		}
	}
}

// askOne asks one address.
func (l *Locator) askOne(ctx context.Context, addr string) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	h, err := l.cfg.Ask(ctx, addr)
	var other *bootstrap.OtherClusterError
	var result, cluster string
	switch {
	case errors.As(err, &other):
		cluster = strconv.Quote(other.Got)
		if !other.ID.IsZero() {
			cluster += " with ID " + other.ID.String()
		}
		result = "a member of cluster " + cluster
	case err != nil:
		result = plainly(err)
	case h.State != bootstrap.StateMember:
		result = "a member without a cluster"
	case h.ID != l.cfg.Cluster():
		cluster = h.ID.String()
		result = "a member of cluster " + cluster
	case h.Member == l.cfg.Self:
		result = "this member"
	default:
		result = "member " + h.Member.String()
	}

	// What came of each address is shown to the operator, who may have named a wrong one.
	l.mu.Lock()
	l.tried[addr] = result
	// Addresses come from others, so their number is bounded. The next round fills the list again.
	if len(l.tried) > 4*maxLearned {
		clear(l.tried)
	}

	joins := slices.Contains(l.cfg.Join, addr)
	if joins && err == nil {
		delete(l.late, addr)
	}
	// Only the operator named join addresses. A learned address of another cluster is nobody's mistake.
	if joins && cluster != "" {
		l.foreign = l.otherCluster(addr, cluster)
	}

	l.mu.Unlock()

	// Only a member of this cluster may name addresses that are asked next.
	if err == nil && cluster == "" {
		l.Heard(&h)
	}
}

// otherCluster is the error of a join address at which there is a member of another cluster.
func (l *Locator) otherCluster(addr, cluster string) error {
	dir := l.cfg.Dir
	return fmt.Errorf("%w: data directory %s belongs to cluster %v, and the member at %s, which is to be joined, to cluster %s: "+
		"use another data directory, or remove this one to join that cluster as a new member, or leave the address out to go on with this cluster",
		bootstrap.ErrOtherCluster, dir, l.cfg.Cluster(), addr, cluster)
}

// tellForeign ends a start, or says again and again, that a join address belongs to another cluster: it may have answered only now.
func (l *Locator) tellForeign() {
	l.mu.Lock()
	err := l.foreign
	due := err != nil && time.Since(l.told) >= foreignEvery
	if due {
		l.told = time.Now()
	}

	l.mu.Unlock()
	switch {
	// During a start somebody waits for the result. Later only the log can tell.
	case err != nil && !l.cfg.Started():
		l.cfg.Abort(err)
	case due:
		l.cfg.Logger.Error("a join address belongs to another cluster; this member goes on with its own", "event", "OTHER_CLUSTER", "err", err)
	}
}

// settled forgets addresses that are of use only while somebody is missing.
func (l *Locator) settled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.learned = nil
}

// lateOnes returns the join addresses that have not answered yet.
func (l *Locator) lateOnes() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.late))
}

// lostMember is one that does not answer, and where it was.
type lostMember struct {
	id       wire.ID
	name     string
	peerAddr string
	voter    bool // of the metadata group
}

// missing returns the members that do not answer.
func (l *Locator) missing() []lostMember {
	v := l.cfg.Metadata()
	var list []lostMember
	// Before the metadata can be read, the members of the metadata group count that the directory or the proposal names.
	if v == nil || len(v.Members) == 0 {
		for _, s := range l.cfg.Peers().MetaMembers() {
			if s.Member != l.cfg.Self && !l.cfg.Peers().Reached(s.Member) {
				list = append(list, lostMember{id: s.Member, peerAddr: s.PeerAddr, voter: true})
			}
		}
		return list
	}

	for i := range v.Members {
		// A voter that has left may still be needed for a majority.
		if mb := &v.Members[i]; mb.ID != l.cfg.Self && (mb.Live() || mb.MetaVoter) && mb.State != meta.StateDead && !l.cfg.Peers().Reached(mb.ID) {
			list = append(list, lostMember{mb.ID, mb.Name, mb.PeerAddr, mb.MetaVoter})
		}
	}
	return list
}

// candidates returns all client addresses at which members may be, this member's own former one among them: another may be there now.
func (l *Locator) candidates() []string {
	// The operator's addresses come first. Those of the directory are as old as this member's entry into the cluster.
	list := append(slices.Clone(l.cfg.Join), l.cfg.Addrs()...)
	if v := l.cfg.Metadata(); v != nil {
		for i := range v.Members {
			if mb := &v.Members[i]; mb.Live() || mb.MetaVoter {
				list = append(list, mb.Addr)
			}
		}
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	return append(list, l.learned...)
}

// Addrs returns client addresses of members that were found or have named themselves. It is for members that ask this one.
func (l *Locator) Addrs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.learned)
}

// warn says for whom this member waits.
func (l *Locator) warn(missing []lostMember, unled bool) {
	what := l.cfg.Waiting()
	if unled {
		// Only voters elect a leader, so this member waits for no others.
		what = "a leader of the metadata group"
		missing = slices.DeleteFunc(missing, func(one lostMember) bool { return !one.voter })
	}

	names := make([]string, 0, len(missing))
	for _, one := range missing {
		at := one.peerAddr
		// Where the member was found says more than where the metadata have it.
		if found, ok := l.Locate(one.id); ok {
			at = found.PeerAddr
		}
		names = append(names, strings.TrimSpace(fmt.Sprintf("%s %s, last at %s", one.name, one.id, at)))
	}

	l.mu.Lock()
	tried := l.triedLocked()
	l.mu.Unlock()
	l.cfg.Logger.Warn("waiting for other members", "for", what, "members", names, "tried", tried)
}

// triedLocked returns what came of asking addresses. REQUIRES l.mu.
func (l *Locator) triedLocked() []string {
	list := make([]string, 0, len(l.tried))
	for _, a := range slices.Sorted(maps.Keys(l.tried)) {
		list = append(list, a+": "+l.tried[a])
	}
	return list
}

// plainly returns what an error of a connection comes down to, without the addresses, which the reader has.
func plainly(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err.Error()
	}
	return err.Error()
}
