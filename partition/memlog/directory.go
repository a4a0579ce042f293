package memlog

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/raftio"
)

// stripes divide the directory, so that adding a replica copies a small map also where a member holds thousands.
const stripes = 64

type stripe = map[raftio.NodeInfo]*replica

// directory finds replicas. Readers take no lock: each stripe is a map that never changes, replaced as a whole.
type directory struct {
	stripes [stripes]atomic.Pointer[stripe]
	ended   atomic.Bool // set with mu held

	mu sync.Mutex // held while a stripe is replaced
}

// get returns a replica, or nil.
func (d *directory) get(id raftio.NodeInfo) *replica {
	if m := d.stripe(id).Load(); m != nil {
		return (*m)[id]
	}
	return nil
}

// getOrAdd returns a replica, which is new if there was none, or nil if the directory is closed.
func (d *directory) getOrAdd(id raftio.NodeInfo) *replica {
	if r := d.get(id); r != nil {
		// The usual call ends here, without a lock.
		return r
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended.Load() {
		return nil
	}

	// Another caller may have added the replica while this one waited for the lock.
	if r := d.get(id); r != nil {
		return r
	}

	// The stripe with the replica is published as a whole, so readers never find a part of a change.
	r := new(replica)
	d.replaceLocked(id, func(m stripe) { m[id] = r })
	return r
}

// remove takes a replica out and returns it, or nil if there was none.
func (d *directory) remove(id raftio.NodeInfo) *replica {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.get(id)
	if r != nil {
		d.replaceLocked(id, func(m stripe) { delete(m, id) })
	}
	return r
}

// close takes all replicas out and returns them. None can be added any more.
func (d *directory) close() []*replica {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended.Store(true) // under the lock of getOrAdd, which adds nothing after that

	var all []*replica
	for i := range d.stripes {
		// Readers that have the map already find replicas that the caller marks as removed.
		if m := d.stripes[i].Swap(nil); m != nil {
			for _, r := range *m {
				all = append(all, r)
			}
		}
	}
	return all
}

// closed reports whether close was called.
func (d *directory) closed() bool { return d.ended.Load() }

// each calls f for every replica, in no order. Replicas added or removed meanwhile may be left out or included.
func (d *directory) each(f func(raftio.NodeInfo, *replica)) {
	for i := range d.stripes {
		// The map never changes, so it is walked without a lock.
		if m := d.stripes[i].Load(); m != nil {
			for id, r := range *m {
				f(id, r)
			}
		}
	}
}

func (d *directory) stripe(id raftio.NodeInfo) *atomic.Pointer[stripe] {
	return &d.stripes[id.ShardID%stripes]
}

// replaceLocked publishes a changed copy of the stripe of id. REQUIRES: d.mu.
func (d *directory) replaceLocked(id raftio.NodeInfo, change func(stripe)) {
	p := d.stripe(id)
	next := make(stripe)
	if m := p.Load(); m != nil {
		// Readers may still look at the map that is there, so it is never written.
		next = maps.Clone(*m)
	}
	change(next)
	p.Store(&next)
}
