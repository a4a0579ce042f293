package sdk

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// taskLists remembers which tasks members have, by member and incarnation: another start of a member may have others. A task
// that is not on a member's list may have been registered since, so only its presence is believed.
type taskLists struct {
	mu       sync.Mutex
	byMember map[wire.ID]taskList // at most one for each member there ever was in the table
}

type taskList struct {
	incarnation wire.ID
	tasks       []string // sorted
}

func (l *taskLists) has(m *wire.MemberInfo, task string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, ok := l.byMember[m.ID]
	// A later start of the member may have other tasks.
	if !ok || list.incarnation != m.Incarnation {
		return false
	}
	_, found := slices.BinarySearch(list.tasks, task)
	return found
}

// keep remembers a member's list, and forgets those of members that are no longer in the table.
func (l *taskLists) keep(t *table, member, incarnation wire.ID, tasks []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byMember == nil {
		l.byMember = make(map[wire.ID]taskList)
	}

	// The incarnation goes with the list: a member that has restarted may have other tasks.
	l.byMember[member] = taskList{incarnation, tasks}
	for id := range l.byMember {
		if t.member(id) == nil {
			delete(l.byMember, id)
		}
	}
}

// Tasks returns the registered tasks, sorted by name, each with the sorted IDs of its members. It asks the members of
// SubmitToAllMembers. Members that leave meanwhile are left out. If another one cannot be asked, the error is a *MultiError.
func (ex *Executor) Tasks(ctx context.Context) ([]TaskInfo, error) {
	if err := checkTaskName(wire.OpTaskList.String(), ex.name, "executor", ex.name); err != nil {
		return nil, err
	}
	var targets []wire.ID
	for _, m := range ex.c.workingMembers() {
		targets = append(targets, m.ID)
	}

	// Every member is asked, since members with other programs may have other tasks.
	lists, errs := ex.listTasks(ctx, targets)
	failed := make(map[string]error)
	members := make(map[string][]string)
	for i, id := range targets {
		if errs[i] != nil {
			// A member that has left has no tasks, so its absence is no failure.
			if !errors.Is(errs[i], ErrMemberLeft) {
				failed[id.String()] = errs[i]
			}
			continue
		}
		for _, name := range lists[i] {
			members[name] = append(members[name], id.String())
		}
	}

	if len(failed) > 0 {
		return nil, &MultiError{Errs: failed}
	}
	out := make([]TaskInfo, 0, len(members))
	for name, ids := range members {
		slices.Sort(ids)
		out = append(out, TaskInfo{Name: name, Members: ids})
	}
	slices.SortFunc(out, func(a, b TaskInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// listTasks asks members for their tasks, all at the same time. Results and errors are in the members' order; the lists are
// sorted.
func (ex *Executor) listTasks(ctx context.Context, members []wire.ID) ([][]string, []error) {
	lists, errs := make([][]string, len(members)), make([]error, len(members))
	var wg sync.WaitGroup
	for i, id := range members {
		wg.Go(func() {
			// The table from before the call names the incarnation that was asked. A later table may name its successor.
			t := ex.c.table.Load()
			answer, err := ex.c.callMember(ctx, wire.OpTaskList, id, wire.AppendString(nil, ex.name))
			if err != nil {
				errs[i] = named(err, ex.name)
				return
			}
			list, err := wire.DecodeStrings(answer)
			if err != nil {
				errs[i] = ex.fail(wire.OpTaskList, id, ErrInvalid, "the answer: "+err.Error())
				return
			}
			slices.Sort(list)
			lists[i] = list
			if m := t.member(id); m != nil {
				ex.known.keep(ex.c.table.Load(), id, m.Incarnation, list)
			}
		})
	}
	wg.Wait()
	return lists, errs
}

// haveTask returns ErrUnknownTask if one of the members is known not to have a task. A member that cannot be asked does not
// count: the submission will show.
func (ex *Executor) haveTask(ctx context.Context, task string, members []wire.ID) error {
	t := ex.c.table.Load()
	var ask []wire.ID
	for _, id := range members {
		// Lists of one incarnation do not shrink, so a member that is known to have the task is not asked again.
		if m := t.member(id); m == nil || !ex.known.has(m, task) {
			ask = append(ask, id)
		}
	}

	lists, errs := ex.listTasks(ctx, ask)

	var without []string
	for i, id := range ask {
		// The submission will show what is wrong with this member.
		if errs[i] != nil {
			continue
		}
		if _, found := slices.BinarySearch(lists[i], task); !found {
			without = append(without, id.String())
		}
	}
	if len(without) == 0 {
		return nil
	}
	slices.Sort(without)
	return &Error{Op: wire.OpTaskSubmit.String(), Name: ex.name, Partition: -1, Member: without[0], Code: CodeUnknownTask, Err: ErrUnknownTask,
		Hint: "task " + task + " is not registered on " + strings.Join(without, ", ") + "; nothing was submitted"}
}

// named returns a call's error with the executor's name, which calls to members do not know.
func named(err error, executor string) error {
	var e *Error
	if errors.As(err, &e) && e.Name == "" {
		copied := *e
		copied.Name = executor
		return &copied
	}
	return err
}
