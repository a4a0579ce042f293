package maps

import (
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// shortKeys is how many keys a read may look up on the goroutine that has brought it: others wait behind it meanwhile.
const shortKeys = 64

func (s *Service) read(req *wire.Request, caller Caller, at Moment) bool {
	d := req.Op.Descriptor()
	in, err := d.Check(req.Op, req.Body)
	// Nothing behind this point checks the body again.
	if err != nil {
		refuse(req.ID, caller, err)
		return false
	}

	// The request is reused when this function returns, so the call needs a body of its own.
	c := newCall(s, req, caller, at)
	cfg := s.config(in.Map)
	c.quorum = cfg.Reads == wire.ReadQuorum
	c.body = append(c.body[:0], req.Body...)
	c.reading.Op, c.reading.Body, c.reading.Cache = req.Op, c.body, req.Flags&wire.FlagCache != 0

	// A long read must not hold up the requests behind it on the same connection. It is queued in any case.
	short := d.ByKey && in.Keys <= shortKeys
	if !short || !s.cfg.Host.TryRead(int(req.Partition), c, at) {
		s.cfg.Host.Read(int(req.Partition), c)
	}
	return false
}

// Read carries the read out on the partition's state.
func (c *call) Read(m partition.Machine, at partition.ReadPoint) bool {
	st := stateOf(m)

	// RemoveAll is the only write that begins with a read.
	if c.removal != nil {
		c.removal.look(st)
		return true
	}

	c.point = state.ReadPoint{Partition: c.partition, Epoch: at.Epoch, Now: at.Now, AsOf: at.AsOf, Dropped: c.s.dropped[c.partition]}
	return st.Read(&c.reading, &c.point)
}

// Commit returns the operation that Read needs first: the use of entries, or nil if only the clock must go on.
func (c *call) Commit() *entry.Op {
	if len(c.reading.Idle.Keys) == 0 {
		return nil
	}
	return &entry.Op{Code: wire.OpTouch, Body: wire.AppendTouchBody(nil, &c.reading.Idle)}
}

// noteUses notes the uses of entries that the reading has found, and reports whether they go into the log at once: the next round of upkeep
// might come too late for one of the entries.
func (s *Service) noteUses(partition uint32, r *state.Reading) (flush bool) {
	for i, key := range r.Used.Keys {
		at := r.Used.At[i]
		full := s.touches[partition].add(r.Used.Map, key, at)
		flush = flush || full || r.UsedUntil-at <= touchSoon
	}
	return flush
}

// countRead counts a read that is about to be answered, which has taken so long. It begins no counts for a name that no map has.
func (s *Service) countRead(partition uint32, r *state.Reading, took time.Duration) {
	t := s.tallyOf(wire.MapOf(r.Body), r.Known)
	if t == nil {
		return
	}

	t.done(s, r.Op, partition, took)
	t.read(partition, r.Hits, r.Misses)
	if r.Repair {
		t.repairs.Add(1)
		t.lost.Add(uint64(r.Lost))
	}
}
