package maps

import (
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// maxAhead is how far in the future a call's deadline may be, in milliseconds: so long its result is remembered.
const maxAhead = 60_000

// Config describes a Service.
type Config struct {
	Host       *partition.Host
	Partitions int
	Now        func() int64 // cluster time in milliseconds
	// Owner returns what this member knows of a partition's owner, for callers that came to the wrong member.
	Owner    func(partition int) wire.Moved
	MaxValue int // bytes of an encoded value; at most wire.MaxValueHard
	// MapConfig is optional: it returns the configuration of a map. It is called for every operation and must not block.
	MapConfig func(name []byte) wire.MapConfig
	// ClockConfirmed is optional: it reports whether this member may hold its clock for right, though a caller's deadline does not fit it.
	ClockConfirmed func(deadline int64) bool
	// Latency is optional: it is asked once for each map and operation for whom to tell how long each took. That must not block.
	Latency func(name string, op wire.Op) func(took time.Duration)
	// MaxMemory is how many bytes the replicas on this member may be counted with, all together; 0: as many as come. When that
	// is used up, maps that have a bound are evicted from, and writes that would take more are refused as overloaded.
	MaxMemory int64
	// Dropped is optional: events that the rings have dropped.
	Dropped *DroppedEvents
	// Owners is optional: among how many members' writes the room of a member is shared, for replicas of the same member are filled by
	// several owners. Nil: this one alone.
	Owners func() int
	// Expected is optional: how many bytes replicas will take here yet which are being built.
	Expected func() int64
	// Room is optional: it is asked for every write that stores so many bytes, whether the other members that hold a replica of the
	// partition have room for them, and answers why not. evictable says that the map makes room by itself. It must not block.
	Room func(partition uint32, bytes int64, evictable bool) error
}

// Service answers the operations on maps. Beside the replicated state it keeps only what an owner alone knows: who used
// what, and counts; and the calls that wait for locks.
type Service struct {
	cfg       Config
	touches   []touches // by partition
	folded    []folded  // by partition
	tallies   tallies
	waitQueue *waitQueue
	evictor   evictor
	chooser   chooser
}

// New returns a Service. Its Run must be running too.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, touches: make([]touches, cfg.Partitions), folded: make([]folded, cfg.Partitions),
		waitQueue: newWaitQueue(cfg.Host, cfg.Now, cfg.Partitions)}
	s.chooser.wake = make(chan struct{}, 1)
	s.evictor.init(s)
	return s
}

// Start starts telling those who wait for locks that they have them.
func (s *Service) Start() { s.waitQueue.start() }

// Stop ends that; calls that wait are told to ask again. It may be called twice, and before Start.
func (s *Service) Stop() { s.waitQueue.close() }

// Touched is to be called when operations of a partition were applied here, and when its owner, or whether it is served here,
// has changed. It does not block.
func (s *Service) Touched(partition int) { s.waitQueue.touched(partition) }

// Gone is to be called when a caller has gone away and can be answered no more.
func (s *Service) Gone(caller Caller) { s.waitQueue.gone(caller) }

// Caller is where answers go. Answer is called exactly once for each request, on any goroutine; it copies body and does not
// block.
type Caller interface {
	Answer(id uint64, code wire.Code, body []byte)
}

// Connection is a Caller that may end before its answers have left. Once it has ended, Gone is called.
type Connection interface {
	Caller
	// Ended reports whether the connection has ended.
	Ended() bool
	// Deliver is Answer, and tells what became of the answer: told is called once, on any goroutine, with true when it was handed to
	// the network whole, with false if the connection ended before. told does not block.
	Deliver(id uint64, code wire.Code, body []byte, told func(delivered bool))
}

// Handle carries out a read or write of one partition. It reports whether the partition must be flushed: the caller does that
// once it has handled all requests at hand (Host.Flush). req and its body may be reused when Handle has returned.
func (s *Service) Handle(req *wire.Request, caller Caller) (flush bool) {
	if int64(req.Partition) >= int64(s.cfg.Partitions) {
		caller.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("partition %d of %d", req.Partition, s.cfg.Partitions)))
		return false
	}
	now := s.cfg.Now()
	if req.Deadline > now+maxAhead+1000 || req.Deadline <= now {
		s.refuseDeadline(req, caller)
		return false
	}
	if req.Op.IsRead() {
		return s.read(req, caller)
	}
	return s.write(req, caller)
}

func (s *Service) write(req *wire.Request, caller Caller) bool {
	if req.Client.IsZero() || req.Seq == 0 || req.Lowest > req.Seq {
		caller.Answer(req.ID, wire.CodeInvalid, []byte("a write without the identity of its call"))
		return false
	}
	if req.Op == wire.OpRemoveAll {
		return s.removeAll(req, caller)
	}
	c := newCall(s, req, caller)
	body, err := s.prepare(c, req.Op, req.Body)
	if err != nil {
		c.free()
		refuse(req.ID, caller, err)
		return false
	}
	c.tally = s.tallyOf(wire.MapOf(req.Body), true)
	s.cfg.Host.Submit(int(req.Partition), &entry.Op{Code: req.Op, Client: req.Client, Seq: req.Seq, Lowest: req.Lowest,
		Deadline: req.Deadline, Body: body, Keys: c.keys}, c)
	return true
}

// refuseDeadline answers a request whose deadline has passed or is too far ahead. It is this member's clock that may be wrong: one
// that owns nothing for that reason sends the caller to the owner, and one that cannot be sure has it ask again.
func (s *Service) refuseDeadline(req *wire.Request, caller Caller) {
	switch now := s.cfg.Now(); {
	case s.cfg.Host.Serving(int(req.Partition)) == 0:
		s.answerOutcome(partition.Moved, req.Partition, req.ID, caller)
	case req.Deadline <= now:
		caller.Answer(req.ID, wire.CodeExpired, nil)
	case req.Deadline <= now+maxAhead+1000, // the clock was stepped since it was looked at
		s.cfg.ClockConfirmed != nil && !s.cfg.ClockConfirmed(req.Deadline):
		s.answerOutcome(partition.NotProposed, req.Partition, req.ID, caller)
	default:
		caller.Answer(req.ID, wire.CodeInvalid, []byte("a deadline more than 60 seconds ahead"))
	}
}

// refuse answers a request that cannot be understood, or is above a limit.
func refuse(id uint64, caller Caller, err error) {
	code := wire.CodeInvalid
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		code = wire.CodeTooLarge
	case errors.Is(err, errMemory), errors.Is(err, errNoRoom), errors.Is(err, errWaiting):
		code = wire.CodeOverloaded
	}
	caller.Answer(id, code, []byte(err.Error()))
}

// prepare makes sure that a write is one that every replica can apply: nothing is checked after it stands in the log. It
// returns the body that goes there: the caller's, or one in c's buffer that says what the map's configuration adds.
func (s *Service) prepare(c *call, op wire.Op, body []byte) ([]byte, error) {
	if len(body) > wire.MaxOperation {
		return nil, fmt.Errorf("%w: an operation of %d bytes, the limit is %d", wire.ErrTooLarge, len(body), wire.MaxOperation)
	}
	d := op.Descriptor()
	if d.Parks {
		return body, s.prepareLock(c, op, body)
	}

	in, err := d.Check(op, body)
	if err != nil {
		return nil, err
	}
	if in.Largest > s.cfg.MaxValue {
		return nil, fmt.Errorf("%w: a value of %d bytes, the limit is %d: raise limits.max_value of the members", wire.ErrTooLarge, in.Largest, s.cfg.MaxValue)
	}
	if err := in.Options.CheckRequest(); err != nil {
		return nil, err
	}

	c.keys = in.Keys
	if in.Values == 0 {
		return body, nil
	}
	changed, err := s.storing(c, in.Map, &in.Options, in.Values, len(body))
	if err != nil || !changed {
		return body, err
	}
	c.body, err = d.WithOptions(c.body[:0], body, &in.Options)
	return c.body, err
}

// prepareLock is prepare for a call that locks. The call keeps a copy of the body: the wait queue looks at it when the call was applied.
func (s *Service) prepareLock(c *call, op wire.Op, body []byte) error {
	l, err := wire.DecodeLockBody(body)
	if err == nil {
		err = wire.CheckLock(op, &l)
	}
	if err == nil {
		err = s.admitLock(c, op, &l, len(body))
	}
	c.locks, c.body = true, append(c.body[:0], body...)
	return err
}

// lockBytes is what a lock, or a place in its wait queue, takes at most in the state, about, beside the names of its map and key.
const lockBytes = 512

// admitLock decides whether a call that locks may be proposed. A lock takes memory of the partition's replicas; a call that waits takes
// memory here. Who has a lock, or a place, already keeps it, whatever there is.
func (s *Service) admitLock(c *call, op wire.Op, l *wire.LockBody, body int) error {
	if l.Flags&wire.LockWait != 0 && !c.hold(2*callBytes+3*body) {
		if op != wire.OpRenew {
			return errWaiting
		}
		c.hurry = true
	}
	if op == wire.OpRenew || l.Flags&wire.LockAgain != 0 {
		return nil
	}
	err := s.evictor.reserve(c.partition, lockBytes+len(l.Map)+len(l.Key))
	if err != nil && s.has(int(c.partition), op, l) {
		return nil
	}
	return err
}

// has reports whether a caller has a lock, or a place in its wait queue, as far as is known here.
func (s *Service) has(p int, op wire.Op, l *wire.LockBody) (has bool) {
	s.cfg.Host.Inspect(p, func(m partition.Machine) { has = hasClaim(StateOf(m), l.Map, l.Key, op == wire.OpLoad, l.ID) })
	return has
}

// storing looks at a write that stores so many values, in a body of so many bytes, in the light of its map's configuration: it
// returns whether the options have changed with that, or why the write is refused.
func (s *Service) storing(c *call, name []byte, o *wire.WriteOptions, values, body int) (changed bool, err error) {
	cfg := s.config(name)
	c.bodySize = body
	if c.bound, err = s.evictor.admit(c.partition, name, &cfg, values, body); err != nil {
		return false, err
	}
	return setDefaults(&cfg, o), nil
}

// config returns the configuration of a map.
func (s *Service) config(name []byte) wire.MapConfig {
	if s.cfg.MapConfig == nil {
		return wire.DefaultMapConfig
	}
	return s.cfg.MapConfig(name)
}

// setDefaults gives a write that stores a value the TTL and max-idle of its map where it has none of its own, and reports
// whether that changed anything. What an owner reads in its configuration is thus in the log: replicas need not have the
// same at the same time.
func setDefaults(cfg *wire.MapConfig, o *wire.WriteOptions) (changed bool) {
	if cfg.TTL != 0 && o.Flags&wire.WriteTTL == 0 {
		o.Flags, o.TTL, changed = o.Flags|wire.WriteTTL, cfg.TTL, true
	}
	if cfg.MaxIdle != 0 && o.Flags&wire.WriteMaxIdle == 0 {
		o.Flags, o.MaxIdle, changed = o.Flags|wire.WriteMaxIdle, cfg.MaxIdle, true
	}
	return changed
}

// answerOutcome answers a request that was not applied.
func (s *Service) answerOutcome(o partition.Outcome, p uint32, id uint64, caller Caller) {
	switch o {
	case partition.Moved:
		caller.Answer(id, wire.CodeMoved, wire.AppendMoved(nil, s.cfg.Owner(int(p))))
	case partition.NotProposed:
		caller.Answer(id, wire.CodeNotReady, nil)
	case partition.Overloaded:
		caller.Answer(id, wire.CodeOverloaded, []byte("too much waits to be applied"))
	default:
		caller.Answer(id, wire.CodeUnknown, nil)
	}
}
