package sdk

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gridiron-io/gridiron/sdk/taskwait"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// MultiFuture is a task that was submitted to several members, with its outcome on each. It is safe for concurrent use.
type MultiFuture[R any] struct{ m *multiTask }

// All yields the members' results, each as soon as it is known. A member's failure is the Err of its result. It waits for as
// long as ctx lasts; the client's timeout does not apply. When ctx ends first, the last thing it yields is ErrTimeout, which
// also is ctx.Err(). All may be called any number of times.
func (f *MultiFuture[R]) All(ctx context.Context) iter.Seq2[MemberResult[R], error] {
	return func(yield func(MemberResult[R], error) bool) {
		for n := range f.m.members {
			// n counts outcomes in the order in which they came, so each call of All sees all of them.
			i, err := f.m.next(ctx, n)
			if err != nil {
				yield(MemberResult[R]{}, err)
				return
			}
			if !yield(f.result(i), nil) {
				return
			}
		}
	}
}

// Wait waits for the results of all members and returns them by member ID. When ctx ends first, it returns the known results and
// ErrTimeout, which also is ctx.Err().
func (f *MultiFuture[R]) Wait(ctx context.Context) (map[string]MemberResult[R], error) {
	results := make(map[string]MemberResult[R], len(f.m.members))
	for r, err := range f.All(ctx) {
		if err != nil {
			return results, err
		}
		results[r.Member] = r
	}
	return results, nil
}

// Cancel cancels the task on each member whose outcome is not known yet, and returns on how many that took effect. Members that
// could not be asked are in a *MultiError.
func (f *MultiFuture[R]) Cancel(ctx context.Context) (cancelled int, err error) {
	return f.m.cancel(ctx)
}

func (f *MultiFuture[R]) result(i int) MemberResult[R] {
	r := MemberResult[R]{Member: f.m.members[i].String(), Err: f.m.refused[i]}
	if t := f.m.tasks[i]; t != nil {
		if r.Err = t.err; r.Err == nil {
			r.Value, r.Err = decodeResult[R](t, t.value)
		}
	}
	return r
}

// multiTask is a MultiFuture that does not know the type of its results. For each member it has either the task that the member
// accepted, or the error of a submission that failed.
type multiTask struct {
	ex      *Executor
	members []wire.ID
	tasks   []*remoteTask
	refused []error
	unknown []*remoteTask // where the refusal leaves it open: the task that may have been accepted

	mu    sync.Mutex // guards the following
	known []int      // places in members whose outcome is known, in the order in which it came
	more  broadcast  // known has grown
}

func newMultiTask(ex *Executor, members []wire.ID) *multiTask {
	return &multiTask{ex: ex, members: members, tasks: make([]*remoteTask, len(members)), refused: make([]error, len(members)),
		unknown: make([]*remoteTask, len(members))}
}

// submit offers the task to the i-th member.
func (m *multiTask) submit(ctx context.Context, i int, body *wire.TaskBody) {
	t, err := m.ex.submitTo(ctx, m.members[i], body)
	if m.refused[i] = err; err == nil {
		m.tasks[i] = t
	} else {
		m.unknown[i] = t
	}
}

// next waits for the n-th outcome in the order in which they become known, and returns its member's place.
func (m *multiTask) next(ctx context.Context, n int) (int, error) {
	for {
		m.mu.Lock()
		// Taken under the lock, before known is looked at, so that no outcome is missed.
		more := m.more.wait()
		if n < len(m.known) {
			i := m.known[n]
			m.mu.Unlock()
			return i, nil
		}

		left := len(m.members) - len(m.known)
		waits := m.unknownLocked()
		m.mu.Unlock()

		// The tasks are named to the pool that may run the caller, so that it can notice a wait without end.
		stuck, leave := taskwait.Await(ctx, waits...)
		select {
		case <-more:
			leave()
		case <-stuck:
			leave()
			return 0, m.ex.fail(wire.OpTaskWait, wire.ID{}, ErrDeadlock, textDeadlock)
		case <-ctx.Done():
			leave()
			return 0, m.ex.fail(wire.OpTaskWait, wire.ID{}, because(ErrTimeout, ctx.Err()), fmt.Sprintf("%d of %d members have not finished; their tasks go on", left, len(m.members)))
		}
	}
}

// unknownLocked returns the tasks whose outcomes are not known. REQUIRES m.mu.
func (m *multiTask) unknownLocked() (ids []wire.ID) {
	for i, t := range m.tasks {
		if t != nil && !slices.Contains(m.known, i) {
			ids = append(ids, t.id)
		}
	}
	return ids
}

// watch counts the outcomes that are known and sees to it that later ones will be. It is called once, after submit for all.
func (m *multiTask) watch() {
	for i, t := range m.tasks {
		if t == nil {
			m.note(i)
		} else {
			t.whenDone(func() { m.note(i) })
		}
	}
}

func (m *multiTask) note(i int) {
	m.mu.Lock()
	m.known = append(m.known, i)
	m.mu.Unlock()
	m.more.signal()
}

// each calls f for each task whose outcome is not known, all at the same time, and returns their errors by member.
func (m *multiTask) each(f func(*remoteTask) error) *MultiError {
	var mu sync.Mutex
	errs := make(map[string]error)
	var wg sync.WaitGroup
	for _, t := range m.tasks {
		if t == nil || t.isDone() {
			continue
		}

		// All at the same time: one member that does not answer must not delay the others.
		wg.Go(func() {
			if err := f(t); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs[t.member.String()] = err
			}
		})
	}
	wg.Wait()
	if len(errs) == 0 {
		return nil
	}
	return &MultiError{Errs: errs}
}

func (m *multiTask) cancel(ctx context.Context) (int, error) {
	var effective atomic.Int64
	errs := m.each(func(t *remoteTask) error {
		took, err := t.cancel(ctx)
		if took {
			effective.Add(1)
		}
		return err
	})
	if errs != nil {
		return int(effective.Load()), errs
	}
	return int(effective.Load()), nil
}

// join waits for all outcomes and returns the errors among them. When ctx ends, it cancels the remaining tasks, and the end of ctx is
// their outcome. It cancels at once a task that may or may not have been accepted.
func (m *multiTask) join(ctx context.Context) error {
	for _, t := range m.unknown {
		if t != nil {
			t.cancelBehind()
		}
	}

	// The waits may be one after the other: the tasks run at the same time, and the slowest decides.
	errs := make(map[string]error)
	for i, t := range m.tasks {
		// A member has either a task or a refusal.
		err := m.refused[i]
		if t != nil {
			if _, err = t.wait(ctx); err != nil && !t.isDone() {
				t.cancelBehind()
			}
		}
		if err != nil {
			errs[m.members[i].String()] = err
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &MultiError{Errs: errs}
}
