package metadata

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// copyTimeout bounds how long a member that starts again waits to hear how often it has started.
const copyTimeout = time.Second

// ErrDataDir is the error of a data directory that is not what the member left there: metadata that is gone, or an old copy.
var ErrDataDir = errors.New("unusable data directory")

// Enter starts the metadata host with this member's replica: as an initial voter, as a learner that asks for its place, or as it was on disk. ctx
// bounds that alone. Its errors wrap ErrDataDir, or those of the cluster that refuses this member.
func (md *Metadata) Enter(ctx context.Context, found bootstrap.Result) error {
	md.cluster = found.ClusterID
	dir := filepath.Join(md.cfg.Dir, "meta")
	start, members := md.initialStart(found)
	last, err := loadMembers(md.cfg.Dir)
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

	// From here on the others can be asked, though no metadata can be read yet.
	md.cfg.Peers.SetMetaMembers(members)
	kept, givenUp, err := keptPlace(md.cfg.Dir)
	if err != nil {
		return err
	}

	holds := kept != (place{}) && !givenUp
	// given is the metadata replica that the others know of this member, as far as they answer.
	given := kept
	if holds {
		led := false
		if given, led, err = md.checkCopy(ctx, kept); err != nil {
			return err
		}
		if led {
			// A campaign would only depose the leader.
			start.Campaign = 0
		}
	}

	md.MetaHost, err = partition.StartMeta(partition.MetaConfig{Dir: dir, Member: md.cfg.Self, Cluster: found.ClusterID, Addr: md.cfg.Addr,
		Transport: md.cfg.Transport, Registry: md.cfg.Registry, Logger: md.log})
	if err != nil {
		return err
	}

	next, err := loadRecovery(md.cfg.Dir)
	switch {
	case err != nil:
		return err
	case next != nil && next.Generation() >= given.generation:
		// The member stopped in the middle of a recovery, which it alone may complete.
		md.ready.Store(true)
		return md.begin(ctx, next)
	case next != nil:
		// Another member has meanwhile begun a later generation, so this recovery is void.
		if err := endRecovery(md.cfg.Dir); err != nil {
			return err
		}
	}

	if holds && given != kept {
		// Its metadata replica was removed while it was away: it learns again, under another replica ID.
		md.log.Info("the metadata group has removed this member's replica; asking for a new one")
		if err := keepPlace(md.cfg.Dir, kept, true); err != nil {
			return err
		}
		holds, givenUp = false, true
	}

	at := place{replica: start.Replica, first: true} // as an initial voter
	// A replica that was given after the bootstrap begins as it was. A member without a replica asks for one.
	if holds && kept != at {
		at = kept
		start.Generation, start.Replica, start.Initial, start.Join = at.generation, at.replica, nil, !at.first
	} else if at.replica == 0 || givenUp {
		if at, members, err = md.askForPlace(ctx, found, kept); err != nil {
			return err
		}
		start = partition.MetaStart{Generation: at.generation, Replica: at.replica, Join: true}
	}

	md.joined = !at.first
	// The registry must know where the others are before the replica runs and sends to them.
	md.locate(at.generation, members)

	if holds && !md.Has(at.generation, at.replica) {
		// To begin again under the same replica ID would be to forget votes and acknowledgements that others rely on.
		return fmt.Errorf("%w: the metadata in %s is gone, though this member had a replica of it: remove the whole data directory %s to join again",
			ErrDataDir, dir, md.cfg.Dir)
	}

	if err := md.take(ctx, at, start); err != nil {
		return err
	}

	md.ready.Store(true)
	return nil
}

// take runs a replica of the metadata in the place of any other that the directory holds.
func (md *Metadata) take(ctx context.Context, at place, start partition.MetaStart) error {
	// A member runs one replica of the metadata. What the directory has of others must never start again.
	if err := md.Clear(ctx, at.generation, at.replica); err != nil {
		return err
	}
	if err := md.Run(start); err != nil {
		return err
	}
	// The note comes after the replica is on disk: a note without its replica means that the replica was lost.
	return keepPlace(md.cfg.Dir, at, false)
}

// initialStart returns how the metadata replica of a member begins that bootstraps the cluster, and all participants of the bootstrap. For a
// member that joins the cluster both are zero.
func (md *Metadata) initialStart(found bootstrap.Result) (start partition.MetaStart, members []wire.MetaMember) {
	if found.Proposal == nil {
		return start, nil
	}

	// All who bootstrapped the cluster are told to those who join early, voters or not.
	md.participants = found.Proposal.Participants
	for _, s := range found.Proposal.Participants {
		members = append(members, wire.MetaMember{Replica: s.ReplicaID, Member: s.Member, PeerAddr: s.PeersAddr})
	}

	start.Initial = make(map[uint64]wire.ID)
	for _, s := range found.Proposal.Voters() {
		md.initialVoters = append(md.initialVoters, s.Member)
		start.Initial[s.ReplicaID] = s.Member
		if s.Member == md.cfg.Self {
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
func (md *Metadata) checkCopy(ctx context.Context, kept place) (given place, led bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var newest *meta.View
	for _, id := range md.cfg.Peers.MetaMemberIDs() {
		wg.Go(func() { // ends with its call
			v, leads, err := md.Read(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			// One leader that confirms its lead is enough, whoever reaches it.
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

	mb := newest.Member(md.cfg.Self)
	switch {
	case mb == nil && slices.Contains(newest.InitialVoters, md.cfg.Self):
		// This member bootstraps the cluster, and stopped before it was registered.
		return kept, led, nil
	case mb == nil:
		// The cluster has forgotten this member, and its replica with it.
		return place{generation: newest.Generation()}, led, nil
	}

	if mb.Start >= md.cfg.Starts {
		return place{}, led, fmt.Errorf("%w: %s has been started %d times and the cluster knows of start %d: it was restored or copied; remove it to join again",
			ErrDataDir, md.cfg.Dir, md.cfg.Starts, mb.Start)
	}

	if newest.Generation() == kept.generation && mb.MetaReplica == kept.replica {
		return kept, led, nil
	}

	return place{generation: newest.Generation(), replica: mb.MetaReplica}, led, nil
}
