package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// joinRetry is the pause before a cluster is asked again for a place in it.
	joinRetry = 500 * time.Millisecond
	// joinTimeout bounds one round of asking.
	joinTimeout = 5 * time.Second
	// copyTimeout bounds how long a member that starts again waits to hear how often it has started.
	copyTimeout = time.Second
)

var (
	// errRefused is the error of a cluster that will not have this member as it is.
	errRefused = errors.New("refused")
	// ErrDataDir is what Start's error wraps when the data directory is not what the member left there: metadata that is gone, or an
	// old copy.
	ErrDataDir = errors.New("unusable data directory")
)

// dialJoin connects to a client port for the join plane.
func (m *Member) dialJoin(ctx context.Context, addr string) (net.Conn, error) {
	nc, _, err := m.dialClientPort(ctx, addr, wire.PlaneJoin)
	return nc, err
}

func (m *Member) dialClientPort(ctx context.Context, addr string, plane wire.Plane) (net.Conn, wire.HelloAnswer, error) {
	nc, err := m.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, wire.HelloAnswer{}, err
	}

	a, err := rpc.ExchangeHello(ctx, nc, &wire.Hello{Version: wire.Version, Plane: plane, Cluster: m.cfg.ClusterName, Name: m.cfg.Name,
		Client: m.incarnation, Member: m.id, Incarnation: m.incarnation}, m.cfg.HelloTimeout)
	if err != nil {
		_ = nc.Close()
		var r *rpc.Refusal
		if errors.As(err, &r) && a.Cluster != "" && a.Cluster != m.cfg.ClusterName {
			return nil, a, &bootstrap.OtherClusterError{Where: "member at " + addr, Want: m.cfg.ClusterName, Got: a.Cluster, ID: a.ClusterID}
		}
		return nil, a, err
	}
	return nc, a, nil
}

// clusterRef tells others which cluster this member is in.
func (m *Member) clusterRef() bootstrap.ClusterRef {
	v := m.metaView()
	if v == nil || !v.Bootstrapped() {
		return bootstrap.ClusterRef{}
	}

	ref := bootstrap.ClusterRef{ID: v.Cluster, Name: v.Name}
	var others []string
	for i := range v.Members {
		switch mb := &v.Members[i]; {
		case mb.MetaVoter:
			// The list is cut to a bound. Voters go first, for nothing can be registered without them.
			ref.Addrs = append(ref.Addrs, mb.Addr)
		case mb.Live():
			others = append(others, mb.Addr)
		}
	}

	ref.Addrs = slices.Concat(ref.Addrs, m.locator.addrs(), others)
	return ref
}

// startMeta starts the metadata replica: as an initial voter, as a learner that asks for its place, or as it was on disk.
func (m *Member) startMeta(ctx context.Context, found bootstrap.Result) error {
	dir := filepath.Join(m.cfg.DataDir, "meta")
	start, members := m.initialStart(found)
	last, err := loadMetaMembers(m.cfg.DataDir)
	if err != nil {
		return err
	}
	// The list on disk is newer than the proposal: members may have moved since, and others have joined.
	if last != nil {
		// Initial members that had not registered when the list was written are in the proposal alone.
		for _, s := range members {
			if !slices.ContainsFunc(last, func(known wire.MetaMember) bool { return known.Member == s.Member }) {
				last = append(last, s)
			}
		}
		members = last
		// Another voter may lead already, and says so within a heartbeat. A campaign before that would depose it.
		start.Campaign *= 4
		if len(start.Initial) > 1 {
			start.Campaign += 500 * time.Millisecond
		}
	}

	m.peers.SetMetaMembers(members)
	kept, givenUp, err := keptMetaReplica(m.cfg.DataDir)
	if err != nil {
		return err
	}

	holds := kept != (metaReplica{}) && !givenUp
	// given is the metadata replica that the others know of this member, as far as they answer.
	given := kept
	if holds {
		led := false
		if given, led, err = m.checkCopy(ctx, kept); err != nil {
			return err
		}
		if led {
			// A campaign would only depose the leader.
			start.Campaign = 0
		}
	}

	m.meta, err = partition.StartMeta(partition.MetaConfig{Dir: dir, Member: m.id, Cluster: found.ClusterID, Addr: m.peerAddr(),
		Transport: m.metaNet, Registry: m.metaReg, Logger: m.log})
	if err != nil {
		return err
	}

	next, err := loadRecovery(m.cfg.DataDir)
	switch {
	case err != nil:
		return err
	case next != nil && next.Generation() >= given.generation:
		// The member stopped in the middle of a recovery, which it alone may complete.
		m.metaReady.Store(true)
		return m.begin(ctx, next)
	case next != nil:
		// Another member has meanwhile begun a later generation, so this recovery is void.
		if err := endRecovery(m.cfg.DataDir); err != nil {
			return err
		}
	}

	if holds && given != kept {
		// Its metadata replica was removed while it was away: it learns again, under another replica ID.
		m.log.Info("the metadata group has removed this member's replica; asking for a new one")
		if err := keepMetaReplica(m.cfg.DataDir, kept, true); err != nil {
			return err
		}
		holds, givenUp = false, true
	}

	at := metaReplica{replica: start.Replica, first: true} // as an initial voter
	// A replica that was given after the bootstrap begins as it was. A member without a replica asks for one.
	if holds && kept != at {
		at = kept
		start.Generation, start.Replica, start.Initial, start.Join = at.generation, at.replica, nil, !at.first
	} else if at.replica == 0 || givenUp {
		if at, members, err = m.askForMetaReplica(ctx, found, kept); err != nil {
			return err
		}
		start = partition.MetaStart{Generation: at.generation, Replica: at.replica, Join: true}
	}

	m.metaJoined = !at.first
	for _, s := range members {
		m.metaReg.Set(partition.MetaShard(at.generation), s.Replica, s.Member.String())
	}

	if holds && !m.meta.Has(at.generation, at.replica) {
		// To begin again under the same replica ID would be to forget votes and acknowledgements that others rely on.
		return fmt.Errorf("%w: the metadata in %s is gone, though this member had a replica of it: remove the whole data directory %s to join again",
			ErrDataDir, dir, m.cfg.DataDir)
	}

	if err := m.takeMetaReplica(ctx, at, start); err != nil {
		return err
	}

	m.metaReady.Store(true)
	return nil
}

// takeMetaReplica runs a replica of the metadata in the place of any other that the directory holds.
func (m *Member) takeMetaReplica(ctx context.Context, at metaReplica, start partition.MetaStart) error {
	if err := m.meta.Clear(ctx, at.generation, at.replica); err != nil {
		return err
	}
	if err := m.meta.Run(start); err != nil {
		return err
	}
	// The note comes after the replica is on disk: a note without its replica means that the replica was lost.
	return keepMetaReplica(m.cfg.DataDir, at, false)
}

// initialStart returns how the metadata replica of a member begins that bootstraps the cluster, and all participants of the bootstrap. For a
// member that joins the cluster both are zero.
func (m *Member) initialStart(found bootstrap.Result) (start partition.MetaStart, members []wire.MetaMember) {
	if found.Proposal == nil {
		return start, nil
	}

	m.participants = found.Proposal.Participants
	for _, s := range found.Proposal.Participants {
		members = append(members, wire.MetaMember{Replica: s.ReplicaID, Member: s.Member, PeerAddr: s.PeersAddr})
	}

	start.Initial = make(map[uint64]wire.ID)
	for _, s := range found.Proposal.Voters() {
		m.initialVoters = append(m.initialVoters, s.Member)
		start.Initial[s.ReplicaID] = s.Member
		if s.Member == m.id {
			start.Replica = s.ReplicaID
			// The voters campaign one after the other, so that they do not take votes from each other.
			start.Campaign = time.Duration(s.ReplicaID-1)*150*time.Millisecond + 20*time.Millisecond
		}
	}
	return start, members
}

// checkCopy asks the others, before anything is started from the directory, how often this member has started. A directory that was started
// no more often than they know is an old copy: its metadata replica would break what it has promised to the group.
//
// It returns the replica of the metadata that the others say this member has, and their generation; replica 0 if that replica was removed.
// Where no member answers, nothing can be checked, and kept is returned. led says that the group has a leader.
func (m *Member) checkCopy(ctx context.Context, kept metaReplica) (given metaReplica, led bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var newest *meta.View
	for _, id := range m.peers.MetaMemberIDs() {
		wg.Go(func() { // ends with its call
			v, leads, err := m.readMeta(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			led = led || leads
			if err == nil && (newest == nil || v.Version > newest.Version) {
				newest = v
			}
		})
	}

	wg.Wait()
	// Nobody answers, as when the whole cluster starts again. Then the directory is believed.
	if newest == nil {
		return kept, led, nil
	}

	mb := newest.Member(m.id)
	switch {
	case mb == nil && slices.Contains(newest.InitialVoters, m.id):
		// This member bootstraps the cluster, and stopped before it was registered.
		return kept, led, nil
	case mb == nil:
		// The cluster has forgotten this member, and its replica with it.
		return metaReplica{generation: newest.Generation()}, led, nil
	}

	if mb.Start >= m.store.Starts() {
		return metaReplica{}, led, fmt.Errorf("%w: %s has been started %d times and the cluster knows of start %d: it was restored or copied; remove it to join again",
			ErrDataDir, m.cfg.DataDir, m.store.Starts(), mb.Start)
	}

	if newest.Generation() == kept.generation && mb.MetaReplica == kept.replica {
		return kept, led, nil
	}

	return metaReplica{generation: newest.Generation(), replica: mb.MetaReplica}, led, nil
}

// askForMetaReplica asks the cluster for a place in the metadata group until it has one, the cluster refuses, or ctx ends. It returns the
// place and where the group's members are. gone is the replica that this member has given up, if it had one.
func (m *Member) askForMetaReplica(ctx context.Context, found bootstrap.Result, gone metaReplica) (metaReplica, []wire.MetaMember, error) {
	what := "a place in the cluster"
	m.waiting.Store(&what)
	for {
		res, err := m.askToJoin(ctx, found, gone)
		if err == nil {
			m.peers.SetMetaMembers(res.Members)
			return metaReplica{generation: res.Generation, replica: res.Replica}, res.Members, nil
		}
		// A refusal is about this member, and would come again. Anything else may pass.
		if errors.Is(err, errRefused) {
			return metaReplica{}, nil, fmt.Errorf("join the cluster: %w", err)
		}

		m.log.Info("waiting for a place in the cluster", "err", err)
		select {
		case <-time.After(joinRetry):
		case <-ctx.Done():
			return metaReplica{}, nil, fmt.Errorf("join the cluster: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// askToJoin asks for a place in the metadata group. It asks the voters with whom this member has bootstrapped the cluster first: they take
// no clients until all initial members are there. Then it asks the members that it knows, and those behind the client addresses.
func (m *Member) askToJoin(ctx context.Context, found bootstrap.Result, gone metaReplica) (wire.JoinResult, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	var errs []error
	asked := map[wire.ID]bool{m.id: true}
	if found.Proposal != nil {
		for _, s := range found.Proposal.Voters() {
			res, err := m.joinThrough(ctx, &wire.MemberInfo{ID: s.Member, Name: s.Addr, PeerAddr: m.peers.Whereabouts(s.Member, s.PeersAddr)}, gone)
			if err == nil || errors.Is(err, errRefused) {
				return res, err
			}
			errs = append(errs, err)
		}
	}

	// These are the addresses that this member knew last.
	for _, s := range m.peers.MetaMembers() {
		if asked[s.Member] {
			continue
		}
		asked[s.Member] = true
		at := m.peers.Whereabouts(s.Member, s.PeerAddr)
		res, err := m.joinThrough(ctx, &wire.MemberInfo{ID: s.Member, Name: at, PeerAddr: at}, gone)
		if err == nil || errors.Is(err, errRefused) {
			return res, err
		}
		errs = append(errs, err)
		// The member may be at another address by now, which the views below would name.
		asked[s.Member] = false
	}

	// No member that this one knows gives it a place. A member behind a client address names those of today.
	for _, addr := range found.JoinAddrs {
		view, err := m.viewFrom(ctx, addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("ask %s: %w", addr, err))
			continue
		}

		for i := range view.Members {
			mb := &view.Members[i]
			if asked[mb.ID] {
				continue
			}
			asked[mb.ID] = true
			res, err := m.joinThrough(ctx, mb, gone)
			if err == nil || errors.Is(err, errRefused) {
				return res, err
			}
			errs = append(errs, err)
		}
	}

	if len(errs) == 0 {
		errs = append(errs, errors.New("no member answers"))
	}

	return wire.JoinResult{}, errors.Join(errs...)
}

// viewFrom asks the member behind a client address for the table.
func (m *Member) viewFrom(ctx context.Context, addr string) (*wire.Table, error) {
	nc, a, err := m.dialClientPort(ctx, addr, wire.PlaneCalls)
	if err != nil {
		return nil, err
	}

	c := rpc.New(nc, a)
	defer c.Close()
	ans, err := c.Call(ctx, wire.OpTable, nil)
	if err != nil {
		return nil, err
	}
	return wire.DecodeTable(ans.Body)
}

// joinThrough asks one member for a place in the metadata group.
func (m *Member) joinThrough(ctx context.Context, mb *wire.MemberInfo, gone metaReplica) (wire.JoinResult, error) {
	nc, a, err := m.peers.DialAddr(ctx, mb.ID, mb.PeerAddr, wire.PlaneCalls, 0)
	if err != nil {
		return wire.JoinResult{}, err
	}

	c := rpc.New(nc, a)
	defer c.Close()
	ans, err := c.Call(ctx, wire.OpMetaJoin, wire.AppendJoinBody(nil, wire.JoinBody{Generation: gone.generation, Gone: gone.replica,
		Registration: meta.Append(nil, &meta.Register{Registration: m.registration()})}))
	switch {
	case err != nil:
		return wire.JoinResult{}, fmt.Errorf("member %s: %w", mb.Name, err)
	case ans.Code == wire.CodeConflict || ans.Code == wire.CodeInvalid || ans.Code == wire.CodeMemberLeft:
		return wire.JoinResult{}, fmt.Errorf("%w: %s", errRefused, ans.Body)
	case ans.Code != wire.CodeOK:
		return wire.JoinResult{}, fmt.Errorf("member %s: %v: %s", mb.Name, ans.Code, ans.Body)
	}
	return wire.DecodeJoinResult(ans.Body)
}

// registration is what this member says of itself.
func (m *Member) registration() meta.Registration {
	return meta.Registration{ID: m.id, Name: m.cfg.Name, Incarnation: m.incarnation, Start: m.store.Starts(), Addr: m.Addr(),
		PeerAddr: m.peerAddr(), RouteAddr: routeAddr(m.ports.Advertised(), m.events.RoutePort()), Zone: m.cfg.Zone, Tags: m.cfg.Tags, Version: m.cfg.Version,
		Lite: m.cfg.Lite}
}

// register announces this start of the member. A name that a live member holds is refused; that of one that is unreachable is taken
// over.
func (m *Member) register(ctx context.Context) error {
	cmd := &meta.Register{Registration: m.registration()}
	what := "the metadata group to register this start"
	m.waiting.Store(&what)
	for {
		res, err := m.metaPropose(ctx, cmd)
		switch {
		case err != nil:
			return fmt.Errorf("register: %w", err)
		case res.OK():
			return nil
		case res.Code == wire.CodeNotReady:
			// The cluster is being bootstrapped: its first command is on its way.
		case res.Code == wire.CodeConflict:
			// Another member has the name. Only one that is unreachable loses it.
			if again, err := m.mayTakeOver(ctx, cmd); err != nil {
				return fmt.Errorf("register: %w", err)
			} else if !again {
				return fmt.Errorf("register: %w: %s", errRefused, res.Text)
			}
		default:
			return fmt.Errorf("register: %w: %s", errRefused, res.Text)
		}

		select {
		case <-time.After(metaRetry):
		case <-ctx.Done():
			return fmt.Errorf("register: %w", ctx.Err())
		}
	}
}

// mayTakeOver looks, after a registration was refused, whether it may be repeated. It may if the member that holds the name has left
// meanwhile. It also may if that member is unreachable; then the command replaces it.
func (m *Member) mayTakeOver(ctx context.Context, cmd *meta.Register) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, metaTimeout)
	defer cancel()
	before := m.metaView().Version
	// The refusal rests on metadata that may not be applied here yet.
	if err := m.meta.Barrier(ctx); err != nil {
		return false, err
	}

	v := m.metaView()
	other := v.Named(cmd.Name)
	if other == nil || other.ID == m.id {
		// The name is free. Where nothing has changed meanwhile, the refusal had another reason.
		return v.Version != before, nil
	}
	// The takeover of this very process was refused already, or the process still answers.
	if other.Incarnation == cmd.Takeover || !m.unreachable(ctx, other) {
		return false, nil
	}

	cmd.Takeover = other.Incarnation
	return true, nil
}
