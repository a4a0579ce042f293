// Package views keeps what a member knows of the cluster as one table: the members, and who holds and owns each partition. Clients get the table,
// and are pushed each new version.
//
// It owns what is known of the owners. They come from the replicas held here and from what other members say; of two claims the one with the
// greater epoch holds. The package must not know how members talk to each other or to clients.
package views

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// pushDelay gathers changes of the table for one push: an election of many partitions is one view, not hundreds.
const pushDelay = 10 * time.Millisecond

// stateSuspect is the state of a member that is not heard of. It stands in views alone, never in the metadata.
const stateSuspect = "suspect"

// Config is what Views are made of. All functions may be called by several goroutines at a time.
type Config struct {
	// Metadata returns the metadata as this member has applied them; nil before it has any.
	Metadata func() *meta.View
	// Owner returns the owner of a partition as the replica here knows it; false before replicas run.
	Owner func(partition int) (epoch uint64, owner wire.ID, ok bool)
	// Silent reports whether a member is suspect or unreachable.
	Silent func(member wire.ID) bool
	// Changed is called when there is a new table, before it is pushed. It does not block.
	Changed func()
	// Push sends a table to all who want it. It does not block.
	Push func(table []byte)
}

// Views keep the table. They are made by New, run from Start, and end with its context.
type Views struct {
	cfg     Config
	current atomic.Pointer[published]
	running sync.WaitGroup

	making sync.Mutex // held while a view is made

	mu     sync.Mutex // guards the following
	owners []claim

	wake chan struct{} // one slot: something changed
}

// claim is what somebody says of the owner of a partition.
type claim struct {
	epoch uint64
	owner wire.ID // zero: nobody under this epoch
}

// published is a view as it is sent.
type published struct {
	table *wire.Table
	bytes []byte
}

// New returns Views of nothing.
func New(cfg Config) *Views {
	v := &Views{cfg: cfg, wake: make(chan struct{}, 1)}
	v.current.Store(&published{table: &wire.Table{}})
	return v
}

// Start makes and pushes views until ctx ends.
func (v *Views) Start(ctx context.Context) {
	v.running.Add(1)
	go v.run(ctx) // ends with ctx
}

// Wait waits for what Start has begun. Its context has ended.
func (v *Views) Wait() { v.running.Wait() }

// Table returns the newest table. It must not be changed.
func (v *Views) Table() *wire.Table { return v.current.Load().table }

// Bytes returns the newest table as it is sent. It must not be changed.
func (v *Views) Bytes() []byte { return v.current.Load().bytes }

// Version returns the version of the newest table.
func (v *Views) Version() uint64 { return v.Table().Version }

// Notify has the view made again soon. It does not block.
func (v *Views) Notify() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// OwnerChanged takes what a replica held here has applied.
func (v *Views) OwnerChanged(p int) {
	epoch, owner, ok := v.cfg.Owner(p)
	if !ok {
		return
	}
	v.merge(p, claim{epoch, owner}, true)
	v.Notify()
}

// Claimed takes what another member says it owns.
func (v *Views) Claimed(member wire.ID, owned []wire.Owned) {
	for _, o := range owned {
		v.merge(int(o.Partition), claim{o.Epoch, member}, false)
	}
	v.Notify()
}

func (v *Views) merge(p int, c claim, certain bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p >= len(v.owners) {
		// The number comes from the metadata: a claim must not make the list longer than there are partitions.
		known := v.cfg.Metadata()
		if known == nil || p >= known.PartitionCount {
			return
		}
		grown := make([]claim, known.PartitionCount)
		copy(grown, v.owners)
		v.owners = grown
	}

	// Under one epoch the log knows best: a release leaves the epoch, and takes the owner away.
	if c.epoch > v.owners[p].epoch || certain && c.epoch == v.owners[p].epoch {
		v.owners[p] = c
	}
}

// Owner returns what is known of a partition's owner.
func (v *Views) Owner(p int) wire.Moved {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p >= len(v.owners) {
		return wire.Moved{}
	}
	return wire.Moved{Epoch: v.owners[p].epoch, Owner: v.owners[p].owner}
}

func (v *Views) run(ctx context.Context) {
	defer v.running.Done()
	for {
		select {
		case <-v.wake:
		case <-ctx.Done():
			return
		}

		// The first change is told at once. Those that follow within pushDelay go out together.
		v.Rebuild()

		// Changes during the pause stay in the wake slot, and are seen when it is over.
		t := time.NewTimer(pushDelay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// Rebuild makes the table of what is known now and, unless it says what the last one says, pushes it.
func (v *Views) Rebuild() {
	v.making.Lock()
	defer v.making.Unlock()
	known := v.cfg.Metadata()
	if known == nil || !known.Bootstrapped() {
		return
	}

	old := v.current.Load()
	table := v.make(known, old.table.Version)
	// The new table still has the old version, so equal bytes mean that nothing has changed.
	if bytes.Equal(wire.AppendTable(nil, table), old.bytes) {
		return
	}

	// Versions are this member's own, and only tell one of its tables from the next.
	table.Version++
	pub := &published{table: table, bytes: wire.AppendTable(nil, table)}
	v.current.Store(pub)
	v.cfg.Changed()
	v.cfg.Push(pub.bytes)
}

// make returns the table of metadata and of the owners that are known.
func (v *Views) make(known *meta.View, version uint64) *wire.Table {
	table := &wire.Table{Version: version, Meta: known.Version, Cluster: known.Cluster, Name: known.Name}
	index := make(map[wire.ID]uint16, len(known.Members))
	for i := range known.Members {
		mb := &known.Members[i]
		info := mb.Info()
		if mb.Live() && v.cfg.Silent(mb.ID) {
			info.State = stateSuspect
		}
		index[mb.ID] = uint16(len(table.Members))
		table.Members = append(table.Members, info)
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	table.Partitions = make([]wire.PartitionRoute, len(known.Table))
	for i := range known.Table {
		t, p := &known.Table[i], &table.Partitions[i]
		// Clients have nobody to ask until an owner is known.
		p.Owner = wire.NoOwner
		for _, r := range t.Replicas {
			if k, ok := index[r.Member]; ok {
				p.Replicas = append(p.Replicas, k)
			}
		}
		// An owner whose process has been followed by another is nobody to ask.
		if i < len(v.owners) && known.Runs(t, v.owners[i].owner) {
			p.Epoch, p.Owner = v.owners[i].epoch, index[v.owners[i].owner]
		}
	}
	return table
}
