package maps

import (
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// maxAhead is how far in the future a call's deadline may be, in milliseconds. The state remembers the result until then.
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
	// EventBounds is optional: it returns the version of the configurations, and whether one of them says how many events a partition
	// keeps. Nil: none does.
	EventBounds func() (version uint64, set bool)
	// ClockConfirmed is optional: it reports whether this member may trust its clock although a caller's deadline does not fit it.
	ClockConfirmed func(deadline int64) bool
	// Latency is optional: it is called once for each map and operation and returns a function that is told how long each call took. Neither
	// may block.
	Latency func(name string, op wire.Op) func(took time.Duration)
	// MaxMemory is how many bytes all replicas on this member together may be counted with; 0 is no bound. When it is used up, maps that
	// have a bound lose entries, and writes that would take more are refused as overloaded.
	MaxMemory int64
	// Dropped is optional: events that the rings have dropped.
	Dropped *DroppedEvents
	// Owners is optional: how many members own partitions of which this member holds replicas. Their writes share its memory. Nil: this
	// member alone.
	Owners func() int
	// Expected is optional: how many bytes the replicas will take that are being built here.
	Expected func() int64
	// Room is optional: it is called for every write that stores bytes. It returns an error if another member that holds a replica of the
	// partition has no room for them. evictable says that the map makes room by itself. It must not block.
	Room func(partition uint32, bytes int64, evictable bool) error
}

// Service answers the operations on maps. Beside the replicated state it keeps only what an owner alone knows: uses of entries, counts, and
// the calls that wait for locks.
type Service struct {
	cfg       Config
	touches   []touches       // by partition
	folded    []folded        // by partition
	dropped   []state.Dropped // by partition; made once, for each read is given one
	rings     []ringLook      // by partition
	tallies   tallies
	waitQueue *waitQueue
	evictor   evictor
	chooser   chooser
}

// New returns a Service. Its Run must be running too.
func New(cfg Config) *Service {
	s := &Service{cfg: cfg, touches: make([]touches, cfg.Partitions), folded: make([]folded, cfg.Partitions), rings: make([]ringLook, cfg.Partitions),
		waitQueue: newWaitQueue(cfg.Host, cfg.Now, cfg.Partitions)}
	for p := range cfg.Partitions {
		s.dropped = append(s.dropped, cfg.Dropped.of(p))
	}
	s.chooser.wake = make(chan struct{}, 1)
	s.evictor.init(s)
	return s
}

// Start starts answering the calls that wait for locks.
func (s *Service) Start() { s.waitQueue.start() }

// Stop ends what Start has started. Calls that wait are told to ask again. It may be called twice, and before Start.
func (s *Service) Stop() { s.waitQueue.close() }

// Touched must be called when operations of a partition were applied here and when its owner has changed. It must also be called when this
// member begins or ends to serve the partition. It does not block.
func (s *Service) Touched(partition int) { s.waitQueue.touched(partition) }

// Gone must be called when the connection of a caller has ended.
func (s *Service) Gone(caller Caller) { s.waitQueue.gone(caller) }

// Caller is where answers go. Answer is called exactly once for each request, on any goroutine; it copies body and does not
// block.
type Caller interface {
	Answer(id uint64, code wire.Code, body []byte)
}

// Connection is a Caller whose answers may be lost when it ends. Once it has ended, Gone is called.
type Connection interface {
	Caller
	// Ended reports whether the connection has ended.
	Ended() bool
	// Deliver is Answer and reports what became of the answer. told is called once, on any goroutine. It gets true when the network has
	// taken the whole answer, and false if the connection ended before. told does not block.
	Deliver(id uint64, code wire.Code, body []byte, told func(delivered bool))
}

// Moment is one look at the clocks, which may serve for all requests that have come by then.
type Moment = partition.Moment

// Moment returns the present one.
func (s *Service) Moment() Moment { return s.cfg.Host.Moment() }

// Handle carries out a read or write of one partition, which had come at the moment at. It reports whether the partition must be flushed:
// the caller does that once it has handled all requests at hand (Host.Flush). req and its body may be reused when Handle has returned.
func (s *Service) Handle(req *wire.Request, caller Caller, at Moment) (flush bool) {
	if int64(req.Partition) >= int64(s.cfg.Partitions) {
		caller.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("partition %d of %d", req.Partition, s.cfg.Partitions)))
		return false
	}

	// One second more: the clocks of caller and member may differ a little.
	if req.Deadline > at.Cluster+maxAhead+1000 || req.Deadline <= at.Cluster {
		s.refuseDeadline(req, caller)
		return false
	}

	// A read may be repeated freely, so only writes need an identity.
	if req.Op.IsRead() {
		return s.read(req, caller, at)
	}
	return s.write(req, caller, at)
}

func (s *Service) write(req *wire.Request, caller Caller, at Moment) bool {
	// Without an identity, a copy would be executed a second time.
	if req.Client.IsZero() || req.Seq == 0 || req.Lowest > req.Seq {
		caller.Answer(req.ID, wire.CodeInvalid, []byte("a write without the identity of its call"))
		return false
	}

	// The only write that begins with a read: the owner chooses what it removes.
	if req.Op == wire.OpRemoveAll {
		return s.removeAll(req, caller, at)
	}

	c := newCall(s, req, caller, at)
	body, err := s.prepare(c, req.Op, req.Body)
	if err != nil {
		c.free()
		refuse(req.ID, caller, err)
		return false
	}

	code := req.Op
	if code == wire.OpExecute {
		code = wire.OpUpdate
	}

	c.tally = s.tallyOf(wire.MapOf(req.Body), true)
	s.cfg.Host.Submit(int(req.Partition), &entry.Op{Code: code, Client: req.Client, Seq: req.Seq, Lowest: req.Lowest,
		Deadline: req.Deadline, Body: body, Keys: c.keys}, c)
	return true
}

// refuseDeadline answers a request whose deadline has passed or is too far ahead. This member's clock may be wrong. If it owns nothing for that
// reason, it sends the caller to the owner. If it cannot be sure of its clock, it tells the caller to ask again.
func (s *Service) refuseDeadline(req *wire.Request, caller Caller) {
	switch now := s.cfg.Now(); {
	// Another member owns the partition. Its clock decides, not this one.
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

// refuse answers a request that is malformed or above a limit.
func refuse(id uint64, caller Caller, err error) { caller.Answer(id, codeOf(err), []byte(err.Error())) }

func codeOf(err error) wire.Code {
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		return wire.CodeTooLarge
	case errors.Is(err, errNoProcessor):
		return wire.CodeUnknownProcessor
	case errors.Is(err, errMemory), errors.Is(err, errNoRoom), errors.Is(err, errWaiting):
		// The caller may try again later, when memory is free. Other errors would come again.
		return wire.CodeOverloaded
	}
	return wire.CodeInvalid
}

// prepare makes sure that every replica can apply a write: nothing is checked after it stands in the log. It returns the body for the log: the
// caller's body, or a body in c's buffer with what the map's configuration adds.
func (s *Service) prepare(c *call, op wire.Op, body []byte) ([]byte, error) {
	if len(body) > wire.MaxOperation {
		return nil, fmt.Errorf("%w: an operation of %d bytes, the limit is %d", wire.ErrTooLarge, len(body), wire.MaxOperation)
	}

	if op == wire.OpUpdate || op == wire.OpExecute {
		return s.prepareUpdate(c, op, body)
	}

	// A call that locks is checked by its own rules, and stores no value.
	d := op.Descriptor()
	if d.Parks {
		return body, s.prepareLock(c, op, body)
	}

	in, err := d.Check(op, body)
	if err != nil {
		return nil, err
	}

	// This bound is the member's own and may be below that of the wire format.
	if in.Largest > s.cfg.MaxValue {
		return nil, fmt.Errorf("%w: a value of %d bytes, the limit is %d: raise limits.max_value of the members", wire.ErrTooLarge, in.Largest, s.cfg.MaxValue)
	}

	// A caller may not give all the options that storing adds below.
	if err := in.Options.CheckRequest(); err != nil {
		return nil, err
	}

	c.keys = in.Keys

	// A call that stores no value needs no room, and gets nothing from the map's configuration.
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

// lockBytes is about the most that a lock, or a place in its queue, takes in the state, without the names of map and key.
const lockBytes = 512

// admitLock decides whether a call that locks may be proposed. A lock takes memory of the partition's replicas, and a call that waits takes
// memory here. A caller that already has a lock, or a place, keeps it without memory.
func (s *Service) admitLock(c *call, op wire.Op, l *wire.LockBody, body int) error {
	if l.Flags&wire.LockWait != 0 && !c.hold(2*callBytes+3*body) {
		if op != wire.OpRenew {
			return errWaiting
		}
		// The lease must be renewed all the same. Only the wait for the loss of the lock is left out.
		c.hurry = true
	}
	// The caller has the lock already. A member without memory must not let a lease end.
	if op == wire.OpRenew || l.Flags&wire.LockAgain != 0 {
		return nil
	}

	err := s.evictor.reserve(c.partition, lockBytes+len(l.Map)+len(l.Key))
	if err != nil && s.has(int(c.partition), op, l) {
		return nil
	}
	return err
}

// has reports whether a caller has a lock, or a place in its queue, as far as this replica knows.
func (s *Service) has(p int, op wire.Op, l *wire.LockBody) (has bool) {
	s.cfg.Host.Inspect(p, func(m partition.Machine) { has = hasClaim(stateOf(m), l.Map, l.Key, op == wire.OpLoad, l.ID) })
	return has
}

// storing applies the configuration of a map to a write that stores so many values, in a body of so many bytes. It returns whether the options
// have changed, or why the write is refused.
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

// setDefaults gives a write that stores a value the TTL and max-idle of its map, unless it has its own. It reports whether that changed anything.
// So the log has what the owner read in its configuration, and replicas need not have the same configuration at the same time.
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
	// Nobody knows whether the operation will be applied, so the caller must not take it for refused.
	default:
		caller.Answer(id, wire.CodeUnknown, nil)
	}
}
