package member

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// pushDelay gathers changes of the table for one push: an election of many partitions is one view, not hundreds.
const pushDelay = 10 * time.Millisecond

// views keeps what this member knows of the cluster as one table, and pushes it to the clients that asked for it. Owners come
// from the replicas held here and from what other members say; of two claims the one with the greater epoch holds.
type views struct {
	m       *Member
	current atomic.Pointer[published]

	making sync.Mutex // held while a view is made

	mu     sync.Mutex // guards the following
	owners []ownerClaim

	wake chan struct{} // one slot: something changed
}

// stateSuspect is the state of a member that is not heard of. It stands in views alone, never in the metadata.
const stateSuspect = "suspect"

type ownerClaim struct {
	epoch uint64
	owner wire.ID // zero: nobody under this epoch
}

// published is a view as it is sent.
type published struct {
	view  *wire.Table
	bytes []byte
}

func newViews(m *Member) *views {
	v := &views{m: m, wake: make(chan struct{}, 1)}
	v.current.Store(&published{view: &wire.Table{}})
	return v
}

func (v *views) version() uint64 { return v.current.Load().view.Version }

// notify has the view made again soon.
func (v *views) notify() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// ownerChanged takes what a replica held here has applied.
func (v *views) ownerChanged(p int) {
	host := v.m.dataHost()
	if host == nil {
		return
	}
	epoch, owner, _ := host.Owner(p)
	v.merge(p, ownerClaim{epoch, owner}, true)
	v.notify()
}

// claim takes what another member says it owns.
func (v *views) claim(member wire.ID, owned []wire.Owned) {
	for _, o := range owned {
		v.merge(int(o.Partition), ownerClaim{o.Epoch, member}, false)
	}
	v.notify()
}

func (v *views) merge(p int, c ownerClaim, certain bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p >= len(v.owners) {
		if p >= v.m.partitions() {
			return
		}
		grown := make([]ownerClaim, v.m.partitions())
		copy(grown, v.owners)
		v.owners = grown
	}

	// Under one epoch the log knows best: a release leaves the epoch, and takes the owner away.
	if c.epoch > v.owners[p].epoch || certain && c.epoch == v.owners[p].epoch {
		v.owners[p] = c
	}
}

// moved returns what is known of a partition's owner.
func (v *views) moved(p int) wire.Moved {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p >= len(v.owners) {
		return wire.Moved{}
	}
	return wire.Moved{Epoch: v.owners[p].epoch, Owner: v.owners[p].owner}
}

// run makes and pushes views until the member stops.
func (v *views) run() {
	defer v.m.wg.Done()
	for {
		select {
		case <-v.wake:
		case <-v.m.ctx.Done():
			return
		}
		v.rebuild()
		t := time.NewTimer(pushDelay)
		select {
		case <-t.C:
		case <-v.m.ctx.Done():
			t.Stop()
			return
		}
	}
}

// rebuild makes the view again and, unless it says what the last one says, pushes it.
func (v *views) rebuild() {
	v.making.Lock()
	defer v.making.Unlock()
	meta := v.m.metaView()
	if meta == nil || !meta.Bootstrapped() {
		return
	}

	old := v.current.Load()
	nv := &wire.Table{Version: old.view.Version, Meta: meta.Version, Cluster: meta.Cluster, Name: meta.Name}
	index := make(map[wire.ID]uint16, len(meta.Members))
	for i := range meta.Members {
		mb := &meta.Members[i]
		info := mb.Info()
		if mb.Live() && v.m.peers.Silent(mb.ID) {
			info.State = stateSuspect
		}
		index[mb.ID] = uint16(len(nv.Members))
		nv.Members = append(nv.Members, info)
	}

	v.mu.Lock()
	nv.Partitions = make([]wire.PartitionRoute, len(meta.Table))
	for i := range meta.Table {
		t, p := &meta.Table[i], &nv.Partitions[i]
		p.Owner = wire.NoOwner
		for _, r := range t.Replicas {
			if k, ok := index[r.Member]; ok {
				p.Replicas = append(p.Replicas, k)
			}
		}
		// An owner whose process has been followed by another is nobody to ask.
		if i < len(v.owners) && holds(meta, t, v.owners[i].owner) {
			p.Epoch, p.Owner = v.owners[i].epoch, index[v.owners[i].owner]
		}
	}

	v.mu.Unlock()
	// The new view still has the old version, so equal bytes mean that nothing has changed.
	if bytes.Equal(wire.AppendTable(nil, nv), old.bytes) {
		return
	}

	nv.Version++
	pub := &published{view: nv, bytes: wire.AppendTable(nil, nv)}
	v.current.Store(pub)
	v.m.viewChanged()
	v.m.server.Push(pub.bytes)
}
