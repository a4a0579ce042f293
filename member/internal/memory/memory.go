// Package memory is what a member knows of the memory of the others, from their answers to its pings.
//
// It owns one room for each other member, and the sizes of partitions as their owners said last. It must not know how members are asked,
// nor what comes of the answers: owners go by it before they admit a write, the controller before it places a replica.
package memory

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// lag is how long a write may take from its owner's admission to the log of a follower, which counts it from then on. So what an owner
	// admitted less than lag before it asked a follower may be missing in the answer.
	lag = 15 * time.Millisecond
	// askAgain is the least time between two questions that writes ask for.
	askAgain = 5 * time.Millisecond
)

// Rooms is what this member knows of the others' memory, from the answers to its pings. An owner goes by it before it lets a write in:
// its followers store what it admits. The controller goes by it before it places a replica.
type Rooms struct {
	cfg    Config
	owners atomic.Int32              // members that may own partitions, this one included
	table  atomic.Pointer[[][]*Room] // by partition: members that hold a replica beside this one, or will
	view   *meta.View                // from which table was made; it belongs to Follow

	learning atomic.Pointer[[]int] // partitions of which this member has a replica that learns

	mu      sync.Mutex // guards the following
	members map[wire.ID]*Room
	sizes   []sized // by partition, as its owner said last
}

// Room is the memory of one other member. What writes touch of it is atomic.
type Room struct {
	name  atomic.Pointer[string]
	limit atomic.Int64 // bytes; 0: no bound is known, or the member does not answer and nothing waits for it
	left  atomic.Int64 // bytes that it had left when it answered last
	total atomic.Int64 // bytes that this owner has let in for it, ever
	base  atomic.Int64 // of those, what was let in so early that left takes account of it

	asked atomic.Int64  // when writes last had the member asked, in nanoseconds of the monotonic clock
	ask   chan struct{} // one slot: the member is to be asked at once

	sent []sentAt // by the goroutine that pings: what total was at the last pings
}

type sized struct {
	bytes int64
	at    time.Time
}

type sentAt struct {
	at    time.Time
	total int64
}

// Config is what Rooms are made of.
type Config struct {
	Member, Incarnation wire.ID
	Limit               int64                     // bytes that this member may hold; 0: no bound
	SizesFor            time.Duration             // for how long the size of a partition counts that its owner said
	Leads               func() bool               // this member controls the cluster
	Size                func(p int) (int64, bool) // bytes of the replica here; false before this member runs replicas
}

// New returns Rooms that know of nobody.
func New(cfg Config) *Rooms { return &Rooms{cfg: cfg, members: make(map[wire.ID]*Room)} }

// Of returns the room of a member, and makes it where there is none.
func (rs *Rooms) Of(id wire.ID) *Room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.members[id]
	if r == nil {
		r = &Room{ask: make(chan struct{}, 1)}
		rs.members[id] = r
	}

	return r
}

// Follow brings the table in line with the metadata. It is called by one goroutine.
func (rs *Rooms) Follow(v *meta.View) {
	if rs.view == v {
		return
	}

	rs.view = v
	owners := 0
	for i := range v.Members {
		mb := &v.Members[i]
		if mb.Live() && !mb.Lite {
			owners++
		}
		if mb.ID != rs.cfg.Member && mb.Live() {
			rs.Of(mb.ID).name.Store(&mb.Name)
		}
	}

	rs.owners.Store(int32(owners))
	table := make([][]*Room, len(v.Table))
	var learning []int
	for p := range v.Table {
		for _, r := range v.Table[p].Replicas {
			switch {
			case r.Member == rs.cfg.Member:
				if r.Role == meta.RoleLearner && r.Incarnation == rs.cfg.Incarnation {
					learning = append(learning, p)
				}
			case r.Role != meta.RoleLeaving && runs(v, r):
				// A replica that leaves is dropped soon. Want of room at its member must not refuse writes.
				table[p] = append(table[p], rs.Of(r.Member))
			}
		}
	}

	rs.learning.Store(&learning)
	rs.table.Store(&table)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	// A member that comes back may have another bound.
	for id := range rs.members {
		if mb := v.Member(id); mb == nil || !mb.Live() {
			delete(rs.members, id)
		}
	}

	for len(rs.sizes) < len(v.Table) {
		rs.sizes = append(rs.sizes, sized{})
	}
}

// Forget drops what is known of a member.
func (rs *Rooms) Forget(id wire.ID) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.members, id)
}

// Share returns among how many members' writes the room of one is shared.
func (rs *Rooms) Share() int { return int(max(1, rs.owners.Load())) }

// Admit decides, for the owner of a partition, whether a write that stores so many bytes may be proposed: every member that holds a
// replica, and answers, must have room for it. A map that makes room by itself may use somewhat more for a while, as at the owner.
//
// Other owners fill the same members at the same time. What they have let in since a member was heard is not known: it is taken to be as
// much as this one has, each.
func (rs *Rooms) Admit(partition uint32, bytes int64, evictable bool) error {
	t := rs.table.Load()
	// Before there is a table nobody is known to have a bound.
	if t == nil || int(partition) >= len(*t) {
		return nil
	}

	followers, share := (*t)[partition], int64(rs.Share())
	for _, r := range followers {
		limit := r.limit.Load()
		if limit == 0 {
			continue
		}
		left := r.left.Load()
		if evictable {
			left += limit / 16
		}
		unknown := share * (r.total.Load() - r.base.Load())
		// What is not known has become a large part of the room. A fresh word of the member may show more room.
		if unknown > left/4 {
			r.askSoon()
		}
		if left-unknown < bytes {
			name := ""
			if n := r.name.Load(); n != nil {
				name = *n
			}
			return fmt.Errorf("member %s has %d of %d bytes left", name, max(0, left-unknown), limit)
		}
	}

	// The write counts only when all have room for it: one that is refused is stored nowhere.
	for _, r := range followers {
		if r.limit.Load() != 0 {
			r.total.Add(bytes)
		}
	}

	return nil
}

// askSoon has a member asked what it uses. It never blocks.
func (r *Room) askSoon() {
	now := int64(time.Since(began))
	// Many writes find the room small at the same time. One question answers them all.
	if last := r.asked.Load(); now-last < int64(askAgain) || !r.asked.CompareAndSwap(last, now) {
		return
	}

	select {
	case r.ask <- struct{}{}:
	default:
	}
}

// began is what askSoon counts from.
var began = time.Now()

// Asking notes that the member is about to be asked. It is for the goroutine that pings.
func (r *Room) Asking(now time.Time) {
	r.sent = append(r.sent, sentAt{now, r.total.Load()})
	if n := len(r.sent); n > 64 {
		r.sent = append(r.sent[:0], r.sent[n-32:]...)
	}
}

// Answered takes what the member said about its memory when it was last asked. It is for the goroutine that pings.
func (r *Room) Answered(said *wire.PingResult) {
	if said.Limit == 0 {
		r.limit.Store(0)
		return
	}

	// The newest of those totals whose writes the member has surely counted.
	asked := r.sent[len(r.sent)-1].at
	base := r.base.Load()
	for _, s := range r.sent {
		if asked.Sub(s.at) >= lag {
			base = max(base, s.total)
		}
	}

	// A write in between sees the new room with the old base, and is only too careful.
	// The limit goes last: without a limit the other two do not count.
	r.left.Store(Clamp(said.Limit) - Clamp(said.Used) - Clamp(said.Expected))
	r.base.Store(base)
	r.limit.Store(Clamp(said.Limit))
}

// Wanted gives a signal when the member is to be asked at once.
func (r *Room) Wanted() <-chan struct{} { return r.ask }

// Limit returns how many bytes the member may hold; 0: it has no bound, none is known, or the member does not answer.
func (r *Room) Limit() int64 { return r.limit.Load() }

// Silent notes that the member does not answer. Writes do not wait for one that may be dead.
func (r *Room) Silent() { r.limit.Store(0) }

// Clamp makes a number of bytes from the wire one that can be reckoned with.
func Clamp(n uint64) int64 { return int64(min(n, math.MaxInt64/4)) }

// WantSizes reports whether the sizes of partitions are wanted from others: the controller and members that are being given a replica go by
// them.
func (rs *Rooms) WantSizes() bool {
	// A member that is being given replicas keeps room for them, by their sizes.
	if l := rs.learning.Load(); l != nil && len(*l) > 0 && rs.cfg.Limit > 0 {
		return true
	}

	return rs.cfg.Leads()
}

// Sized takes what an owner said about the sizes of its partitions.
func (rs *Rooms) Sized(list []wire.PartitionSize) {
	now := time.Now()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, s := range list {
		if int(s.Partition) < len(rs.sizes) {
			rs.sizes[s.Partition] = sized{Clamp(s.Bytes), now}
		}
	}
}

// PartitionSizes returns what each partition takes: as the replica here has it, else as its owner said lately; -1 where neither is known.
func (rs *Rooms) PartitionSizes(v *meta.View) []int64 {
	rs.mu.Lock()
	sizes := make([]int64, len(v.Table))
	for p := range sizes {
		if sizes[p] = -1; p < len(rs.sizes) && time.Since(rs.sizes[p].at) < rs.cfg.SizesFor {
			sizes[p] = rs.sizes[p].bytes
		}
	}

	rs.mu.Unlock()
	for p := range sizes {
		// The state of a learner is not whole yet, so its size says nothing.
		if r, ok := v.Table[p].Replica(rs.cfg.Member); !ok || r.Role != meta.RoleVoter || r.Incarnation != rs.cfg.Incarnation {
			continue
		}
		if size, ok := rs.cfg.Size(p); ok {
			sizes[p] = size
		}
	}

	return sizes
}

// Expected returns how many bytes the replicas will take yet that this member is being given.
func (rs *Rooms) Expected() (bytes int64) {
	l := rs.learning.Load()
	if l == nil || len(*l) == 0 {
		return 0
	}

	for _, p := range *l {
		rs.mu.Lock()
		size := int64(0)
		if p < len(rs.sizes) {
			size = rs.sizes[p].bytes
		}
		rs.mu.Unlock()

		here, _ := rs.cfg.Size(p)
		// What has arrived already counts as used.
		bytes += max(0, size-here)
	}

	return bytes
}

// runs reports whether a replica is one of its member's present process.
func runs(v *meta.View, r meta.Replica) bool {
	mb := v.Member(r.Member)
	return mb != nil && mb.Incarnation == r.Incarnation
}
