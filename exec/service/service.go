package service

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/exec/internal/tasks"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// The causes with which the ctx of a task ends before its function has returned.
var (
	errTimeUp    = fmt.Errorf("the task's time is up: %w", context.DeadlineExceeded)
	errCancelled = fmt.Errorf("the task was cancelled: %w", context.Canceled)
	errStopped   = fmt.Errorf("the member is stopping: %w", context.Canceled)
	errReturned  = fmt.Errorf("the task has returned: %w", context.Canceled)
)

// Service runs the tasks that were submitted to a member. Its methods are safe for concurrent use. None blocks but Wait and
// Stop.
//
// Lock order: mu is a leaf. No task, logger or function of the Config is called while it is held.
type Service struct {
	cfg Config

	mu struct {
		sync.Mutex
		phase phase

		// Invariant: a job is in jobs from its submission until its result is dropped, and in results exactly while it is
		// settled. A settled job whose function has not returned yet still counts in running and in its pool.
		jobs     map[wire.ID]*job
		pools    map[string]*pool
		results  *results
		running  int   // functions that have not returned
		argBytes int64 // of the jobs that wait or run
		stats    Stats
	}

	root    context.Context // what the ctx of every task descends from; set by Start
	endRoot context.CancelCauseFunc
	idle    chan struct{} // closed when the service is stopped and no function runs any more
	janitor chan struct{} // closed when the janitor has ended
	stopped chan struct{} // closed when Stop has done its work
}

type phase uint8

const (
	phaseNew phase = iota
	phaseServing
	phaseStopped
)

// New returns a Service that has not started. Its error wraps sdk.ErrInvalid and lists all that is wrong with cfg.
func New(cfg Config) (*Service, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, idle: make(chan struct{}), janitor: make(chan struct{}), stopped: make(chan struct{})}
	s.mu.jobs = make(map[wire.ID]*job)
	s.mu.pools = make(map[string]*pool)
	s.mu.results = newResults(&cfg)
	return s, nil
}

// Start makes the service accept tasks until Stop. Tasks see the values in ctx, but not its end. Errors: sdk.ErrClosed after
// Stop; sdk.ErrInvalid if it was called before.
func (s *Service) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.mu.phase {
	case phaseServing:
		return fmt.Errorf("start the executors: %w: started already", sdk.ErrInvalid)
	case phaseStopped:
		return fmt.Errorf("start the executors: %w", sdk.ErrClosed)
	}

	// The caller's ctx may end when the start is over. Tasks end with Stop alone.
	s.root, s.endRoot = context.WithCancelCause(context.WithoutCancel(ctx))
	s.mu.phase = phaseServing
	go s.sweep()
	return nil
}

// Stop refuses further tasks, drops those that wait, ends the contexts of those that run and gives them Config.StopTimeout to
// return. A task that returns in time without an error has its result; every other one ends in wire.CodeMemberLeft. Results can
// still be fetched afterwards. Later calls wait for the first to finish.
//
// NOTE: the goroutine of a function that ignores the end of its context outlives Stop. The log names it.
func (s *Service) Stop() {
	s.mu.Lock()
	was := s.mu.phase
	if was == phaseStopped {
		s.mu.Unlock()
		// Another call is stopping the service. Both return when it has stopped.
		<-s.stopped
		return
	}

	// From here on Submit refuses tasks, so the loops below see all of them.
	s.mu.phase = phaseStopped

	for _, p := range s.mu.pools {
		for p.waiting.Len() > 0 {
			j := p.pop()
			s.releaseLocked(j)
			s.settleLocked(j, memberStopped())
		}
		if p.idle() {
			delete(s.mu.pools, p.name)
		}
	}

	if s.mu.running == 0 {
		close(s.idle)
	}
	s.mu.Unlock()

	defer close(s.stopped)
	// Nothing was started, so there is nothing to wait for.
	if was == phaseNew {
		return
	}

	// The lock is released: functions that heed the end of their contexts return, and their places need it.
	s.endRoot(errStopped)
	patience := time.NewTimer(s.cfg.StopTimeout)
	defer patience.Stop()

	select {
	case <-s.idle:
	case <-patience.C:
		// Go cannot end a goroutine from outside. Callers must still get an outcome.
		for _, j := range s.abandon() {
			s.cfg.Logger.Warn("task ignores the end of its context; its goroutine goes on after the member's stop (fix the task to return when its context ends)", j.attrs())
		}
	}

	// The sweeper ends with the root context. Stop returns only when no goroutine of the service is left but those named above.
	<-s.janitor
}

// abandon settles all tasks whose functions have not returned yet, and returns them.
func (s *Service) abandon() []*job {
	s.mu.Lock()
	defer s.mu.Unlock()

	var left []*job
	for _, j := range s.mu.jobs {
		// Tasks without a context were never launched. Those that waited have been settled.
		if j.end != nil {
			left = append(left, j)
			s.settleLocked(j, memberStopped())
		}
	}
	return left
}

// sweep is the service's one goroutine besides those of the tasks. It drops results whose time is up, at most a quarter of that time late.
// Start starts it; the end of the root context, which Stop brings about, stops it.
func (s *Service) sweep() {
	defer close(s.janitor)
	tick := time.NewTicker(max(min(s.cfg.ResultTTL, s.cfg.FetchedTTL)/4, time.Millisecond))
	defer tick.Stop()

	for {
		select {
		case <-s.root.Done():
			return
		case <-tick.C:
			// Expired results and their jobs go together, so that Wait never finds one without the other.
			s.mu.Lock()
			s.forgetLocked(s.mu.results.expire(time.Now()))
			s.mu.Unlock()
		}
	}
}

// Submit accepts a task, to run as soon as its executor has a place, and copies what it keeps of body. It does not wait: the
// answer is
//
//   - CodeOK: accepted, now or by an earlier call with the same ID, which is not run again while the service remembers it;
//   - CodeRejected: the executor's queue or the room for arguments is full;
//   - CodeOverloaded: too many executors have work;
//   - CodeUnknownTask: no task has that name here;
//   - CodeInvalid, CodeTooLarge: the request contradicts itself or its limits;
//   - CodeNotReady, CodeClosed: not started yet, stopped already;
//
// with a text for people unless it is CodeOK. Nothing was accepted under any other code.
func (s *Service) Submit(body wire.TaskBody) (wire.Code, string) {
	j, code, text := s.prepare(&body)
	if code != wire.CodeOK {
		return code, text
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	// A caller that has lost the answer submits again. The task must not run twice.
	if old, ok := s.mu.jobs[j.id]; ok {
		if old.task != j.task || old.executor != j.executor {
			return wire.CodeInvalid, fmt.Sprintf("task ID %s is taken by task %q of executor %q", j.id, old.task, old.executor)
		}
		// The first copy of the same task was accepted, which is what the caller asks for.
		return wire.CodeOK, ""
	}

	switch s.mu.phase {
	case phaseNew:
		return wire.CodeNotReady, "the member's executors have not started yet"
	case phaseStopped:
		return wire.CodeClosed, "the member is stopping"
	}

	// Waiting tasks keep their arguments. Without this bound, full queues could use up the member's memory.
	if s.mu.argBytes+j.size > s.cfg.MaxArgBytes {
		s.mu.stats.Rejected++
		return wire.CodeRejected, fmt.Sprintf("the arguments of the member's tasks take %d bytes, the limit is %d", s.mu.argBytes, s.cfg.MaxArgBytes)
	}

	// A pool is there only while it has work.
	p, ok := s.mu.pools[j.executor]
	if !ok {
		// Names of executors come from callers, so their number has to be bounded.
		if len(s.mu.pools) >= s.cfg.MaxExecutors {
			s.mu.stats.Rejected++
			return wire.CodeOverloaded, fmt.Sprintf("%d executors have work, which is the limit", len(s.mu.pools))
		}
		p = &pool{name: j.executor}
		p.size, p.depth = s.cfg.bounds(j.executor)
		s.mu.pools[j.executor] = p
	}

	// The pool exists and is full, so refusing leaves no empty pool behind.
	if p.running >= p.size && p.waiting.Len() >= p.depth {
		s.mu.stats.Rejected++
		return wire.CodeRejected, fmt.Sprintf("executor %q: %d tasks run and %d wait, which is its limit", j.executor, p.running, p.waiting.Len())
	}

	s.mu.stats.Accepted++
	s.mu.jobs[j.id] = j
	s.mu.argBytes += j.size

	// A free place means that nobody waits: leave gives places to waiting tasks first.
	if p.running < p.size {
		s.launchLocked(p, j)
	} else {
		p.push(j)
	}
	return wire.CodeOK, ""
}

// prepare checks all of body that does not depend on the service's state and copies it into a job.
func (s *Service) prepare(body *wire.TaskBody) (*job, wire.Code, string) {
	// The ID is the identity by which a repeated submission is recognised.
	if body.ID.IsZero() {
		return nil, wire.CodeInvalid, "a task without an ID"
	}
	if body.Attempt == 0 {
		return nil, wire.CodeInvalid, "a task's attempts count from 1"
	}
	if problem := tasks.CheckName(body.Executor); problem != "" {
		return nil, wire.CodeInvalid, fmt.Sprintf("the name of executor %q %s", body.Executor, problem)
	}
	if problem := tasks.CheckName(body.Task); problem != "" {
		return nil, wire.CodeInvalid, fmt.Sprintf("the name of task %q %s", body.Task, problem)
	}

	if len(body.Arg) > wire.MaxValue {
		return nil, wire.CodeTooLarge, fmt.Sprintf("the argument of task %q has %d bytes, the limit is %d", body.Task, len(body.Arg), wire.MaxValue)
	}
	if len(body.Key) > wire.MaxKey {
		return nil, wire.CodeTooLarge, fmt.Sprintf("the key of task %q has %d bytes, the limit is %d", body.Task, len(body.Key), wire.MaxKey)
	}

	run, ok := (*tasks.Registry)(s.cfg.Registry).Lookup(body.Task)
	if !ok {
		// Members may have different programs, so the text names this one.
		m := s.cfg.Member()
		return nil, wire.CodeUnknownTask, fmt.Sprintf("member %s (%s) has no task %q", m.Name, m.ID, body.Task)
	}

	j := &job{id: body.ID, executor: body.Executor, task: body.Task, attempt: int(body.Attempt), run: run,
		arg: slices.Clone(body.Arg), size: int64(len(body.Arg) + len(body.Key)), done: make(chan struct{})}

	if body.Keyed {
		if err := (codec.Msgpack{}).Decode(body.Key, &j.key); err != nil {
			return nil, wire.CodeInvalid, fmt.Sprintf("the key of task %q: %v", body.Task, err)
		}
	}
	// A time beyond what a Duration holds is as good as none.
	if ms := body.Timeout; ms <= uint64(math.MaxInt64/time.Millisecond) {
		j.timeout = time.Duration(ms) * time.Millisecond
	}
	return j, wire.CodeOK, ""
}

// Wait returns the outcome of a task when it is known, or Done = false when ctx has ended first. From its first return with
// Done the result is kept for Config.FetchedTTL only. A task that this service does not know, or does not remember any
// more, is Done with CodeNotFound. The caller must not change the result's Value.
func (s *Service) Wait(ctx context.Context, id wire.ID) wire.TaskResult {
	s.mu.Lock()
	j, ok := s.mu.jobs[id]
	s.mu.Unlock()
	if !ok {
		return wire.TaskResult{Done: true, Code: wire.CodeNotFound,
			Message: fmt.Sprintf("task %s is not known here: it was not submitted to this start of the member, or its result has been dropped", id)}
	}

	// A known outcome goes before the end of ctx.
	select {
	case <-j.done:
	default:
		select {
		case <-j.done:
		case <-ctx.Done():
			return wire.TaskResult{}
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	// The caller may lose this answer and ask again, so a fetched result stays for a while.
	s.mu.results.fetch(id, time.Now())
	return j.result
}

// Cancel ends the task: a waiting task never runs, and the context of a running task ends. Its outcome is CodeCancelled from now
// on, whatever its function still does. Cancel reports false for an unknown task, and for one whose outcome was known before.
func (s *Service) Cancel(id wire.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.mu.jobs[id]
	if !ok || j.settled {
		return false
	}

	// A task that still waits gives its place in the queue to others at once.
	if p := s.mu.pools[j.executor]; p != nil && p.remove(j) {
		s.releaseLocked(j)
	}

	s.settleLocked(j, wire.TaskResult{Code: wire.CodeCancelled, Message: fmt.Sprintf("task %q was cancelled", j.task)})
	// The outcome is settled first, so the function's own end cannot become the outcome.
	if j.end != nil {
		j.end(errCancelled)
	}
	return true
}

// Names returns the names of the tasks that this member can run, sorted. They are the same for every executor.
func (s *Service) Names() []string { return s.cfg.Registry.Tasks() }

// settleLocked makes r the outcome of j unless it has one. REQUIRES mu.
func (s *Service) settleLocked(j *job, r wire.TaskResult) {
	// The first outcome counts: a caller may have seen it already.
	if j.settled {
		return
	}

	r.Done = true
	r.Message = presentable(r.Message)
	j.settled, j.result = true, r

	switch r.Code {
	case wire.CodeOK:
		s.mu.stats.Succeeded++
	case wire.CodeCancelled:
		s.mu.stats.Cancelled++
	default:
		s.mu.stats.Failed++
	}

	// The result is set before, so whoever sees the closed channel may read it.
	close(j.done)
	s.forgetLocked(s.mu.results.add(j.id, int64(len(r.Value)+len(r.Message)), time.Now()))
}

// releaseLocked gives back the room that j's argument and key took. REQUIRES mu, and that it is called once per job.
func (s *Service) releaseLocked(j *job) {
	s.mu.argBytes -= j.size
	j.arg, j.key = nil, nil
}

// forgetLocked forgets settled jobs. REQUIRES mu.
func (s *Service) forgetLocked(ids []wire.ID) {
	for _, id := range ids {
		delete(s.mu.jobs, id)
	}
}

// memberStopped is the outcome of a task that the end of its member ended.
func memberStopped() wire.TaskResult {
	return wire.TaskResult{Code: wire.CodeMemberLeft, Message: "the member stopped before the task was done"}
}

// maxMessage bounds the text of a task's error in bytes.
const maxMessage = 16 << 10

// presentable returns text as it may travel: UTF-8 of bounded size.
func presentable(text string) string {
	if len(text) > maxMessage {
		text = text[:maxMessage] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
