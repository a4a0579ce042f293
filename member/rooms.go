package member

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// roomLag is how long a write may take from where an owner lets it in to the log of a follower, which counts it from then on: what was
	// let in so shortly before a follower said what it uses is not taken to be in that.
	roomLag = 15 * time.Millisecond
	// askAgain is the least time between two questions that writes ask for.
	askAgain = 5 * time.Millisecond
	// sizesEvery is how often owners are asked for the sizes of their partitions by those who go by them, and sizesFor for how long they go
	// by what they have heard.
	sizesEvery = pingEvery
	sizesFor   = pingTimeout
)

// rooms is what this member knows of the others' memory, from the answers to its pings. An owner goes by it before it lets a write in:
// its followers store what it admits. The controller goes by it before it places a replica.
type rooms struct {
	m      *Member
	owners atomic.Int32              // members that may own partitions, this one included
	table  atomic.Pointer[[][]*room] // by partition: members that hold a replica beside this one, or will
	view   *meta.View                // of which table was made; follow's own

	learning atomic.Pointer[[]int] // partitions of which this member has a replica that learns

	mu      sync.Mutex // guards the following
	members map[wire.ID]*room
	sizes   []sized // by partition, as its owner said last
}

// room is the memory of one other member. What writes touch of it is atomic.
type room struct {
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

func newRooms(m *Member) *rooms {
	return &rooms{m: m, members: make(map[wire.ID]*room)}
}

// of returns the room of a member.
func (rs *rooms) of(id wire.ID) *room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.members[id]
	if r == nil {
		r = &room{ask: make(chan struct{}, 1)}
		rs.members[id] = r
	}
	return r
}

// follow brings the table in line with the metadata. It is called by follow alone.
func (rs *rooms) follow(v *meta.View) {
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
		if mb.ID != rs.m.id && mb.Live() {
			rs.of(mb.ID).name.Store(&mb.Name)
		}
	}
	rs.owners.Store(int32(owners))
	table := make([][]*room, len(v.Table))
	var learning []int
	for p := range v.Table {
		for _, r := range v.Table[p].Replicas {
			switch {
			case r.Member == rs.m.id:
				if r.Role == meta.RoleLearner && r.Incarnation == rs.m.incarnation {
					learning = append(learning, p)
				}
			case r.Role != meta.RoleLeaving && holds(v, &v.Table[p], r.Member):
				table[p] = append(table[p], rs.of(r.Member))
			}
		}
	}
	rs.learning.Store(&learning)
	rs.table.Store(&table)
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for id := range rs.members {
		if mb := v.Member(id); mb == nil || !mb.Live() {
			delete(rs.members, id)
		}
	}
	for len(rs.sizes) < len(v.Table) {
		rs.sizes = append(rs.sizes, sized{})
	}
}

// share returns among how many members' writes the room of one is shared.
func (rs *rooms) share() int { return int(max(1, rs.owners.Load())) }

// admit decides, for the owner of a partition, whether a write that stores so many bytes may be proposed: every member that holds a
// replica, and answers, must have room for it. A map that makes room by itself may use somewhat more for a while, as at the owner.
//
// Other owners fill the same members at the same time. What they have let in since a member was heard is not known: it is taken to be as
// much as this one has, each.
func (rs *rooms) admit(partition uint32, bytes int64, evictable bool) error {
	t := rs.table.Load()
	if t == nil || int(partition) >= len(*t) {
		return nil
	}
	followers, share := (*t)[partition], int64(rs.share())
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
	for _, r := range followers {
		if r.limit.Load() != 0 {
			r.total.Add(bytes)
		}
	}
	return nil
}

// askSoon has a member asked what it uses. It never blocks.
func (r *room) askSoon() {
	now := int64(time.Since(roomsBegan))
	if last := r.asked.Load(); now-last < int64(askAgain) || !r.asked.CompareAndSwap(last, now) {
		return
	}
	select {
	case r.ask <- struct{}{}:
	default:
	}
}

// roomsBegan is what askSoon counts from.
var roomsBegan = time.Now()

// asking notes that the member is about to be asked. It is for the goroutine that pings.
func (r *room) asking(now time.Time) {
	r.sent = append(r.sent, sentAt{now, r.total.Load()})
	if n := len(r.sent); n > 64 {
		r.sent = append(r.sent[:0], r.sent[n-32:]...)
	}
}

// answered takes what the member said about its memory when it was last asked. It is for the goroutine that pings.
func (r *room) answered(said *wire.PingResult) {
	if said.Limit == 0 {
		r.limit.Store(0)
		return
	}
	// The newest of those totals whose writes the member has surely counted.
	asked := r.sent[len(r.sent)-1].at
	base := r.base.Load()
	for _, s := range r.sent {
		if asked.Sub(s.at) >= roomLag {
			base = max(base, s.total)
		}
	}
	r.left.Store(clamp(said.Limit) - clamp(said.Used) - clamp(said.Expected))
	r.base.Store(base)
	r.limit.Store(clamp(said.Limit))
}

// silent notes that the member does not answer. Writes do not wait for one that may be dead.
func (r *room) silent() { r.limit.Store(0) }

// clamp makes a number of bytes from the wire one that can be reckoned with.
func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64/4)) }

// wantSizes reports whether the sizes of partitions are wanted from others: the controller and members that are being given a replica go by
// them.
func (rs *rooms) wantSizes() bool {
	if l := rs.learning.Load(); l != nil && len(*l) > 0 && rs.m.cfg.MaxMemory > 0 {
		return true
	}
	if rs.m.metaView() == nil {
		return false
	}
	_, leads := rs.m.meta.Leads()
	return leads
}

// sized takes what an owner said about the sizes of its partitions.
func (rs *rooms) sized(list []wire.PartitionSize) {
	now := time.Now()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, s := range list {
		if int(s.Partition) < len(rs.sizes) {
			rs.sizes[s.Partition] = sized{clamp(s.Bytes), now}
		}
	}
}

// partitionSizes returns what each partition takes: as the replica here has it, else as its owner said lately; -1 where neither is known.
func (rs *rooms) partitionSizes(v *meta.View) []int64 {
	rs.mu.Lock()
	sizes := make([]int64, len(v.Table))
	for p := range sizes {
		if sizes[p] = -1; p < len(rs.sizes) && time.Since(rs.sizes[p].at) < sizesFor {
			sizes[p] = rs.sizes[p].bytes
		}
	}
	rs.mu.Unlock()
	for p := range sizes {
		if r, ok := v.Table[p].Replica(rs.m.id); ok && r.Role == meta.RoleVoter && r.Incarnation == rs.m.incarnation && rs.m.dataHost() != nil {
			sizes[p] = rs.m.maps.Size(p)
		}
	}
	return sizes
}

// expected returns how many bytes the replicas will take yet that this member is being given.
func (rs *rooms) expected() (bytes int64) {
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
		bytes += max(0, size-rs.m.maps.Size(p))
	}
	return bytes
}

// roomAt asks a member whether it has room for a replica of a size. One that does not answer is taken to have it: nothing is sent to it before it
// answers.
func (m *Member) roomAt(ctx context.Context, id wire.ID, size int64) bool {
	ctx, cancel := context.WithTimeout(ctx, caughtUpFor)
	defer cancel()
	a, err := m.peers.ask(ctx, id, wire.OpMemberPing, wire.AppendPingBody(nil, wire.PingBody{}))
	if err != nil {
		return true
	}
	said, err := wire.DecodePingResult(a.Body)
	if err != nil || a.Code != wire.CodeOK || said.Limit == 0 {
		return true
	}
	// What it expects has this replica in it, as soon as it has heard of that.
	return clamp(said.Used)+max(clamp(said.Expected), size) <= clamp(said.Limit)
}

// memoryOf returns the memory of a member, and how much of it is used, as the process that is registered said last; a limit of 0 is none,
// or it has said nothing yet.
func (m *Member) memoryOf(mb *meta.Member) (limit, used int64) {
	if mb.ID == m.id {
		if m.dataHost() == nil {
			return m.cfg.MaxMemory, 0
		}
		return m.cfg.MaxMemory, m.maps.Used()
	}
	if pr := m.peers.find(mb.ID); pr != nil {
		if said, _, from, ok := pr.word(); ok && from == mb.Incarnation {
			return clamp(said.Limit), clamp(said.Used)
		}
	}
	return 0, 0
}
