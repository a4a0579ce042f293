package app

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

// cancelTime bounds how long an interrupted command tries to cancel what it has submitted.
const cancelTime = time.Second

// submission is a task on its way to members.
type submission struct {
	c    *sdk.Client
	ex   *sdk.Executor
	task string
	arg  any
}

// run submits the task and waits for its outcomes, ordered by the members' names. The task ends with ctx. An error says
// that there are no outcomes.
func (s submission) run(ctx context.Context, where target) ([]outcome, error) {
	// Asked for before the task runs: a member that dies meanwhile still has a name.
	members, err := s.c.Members(ctx)
	if err != nil {
		return nil, err
	}

	// Results name members by ID. People know them by name.
	names := make(map[string]string, len(members))
	for _, m := range members {
		names[m.ID] = m.Name
	}

	var outcomes []outcome
	switch where.kind {
	case "all":
		outcomes, err = s.onAll(ctx)
	case "key":
		outcomes, err = s.onKey(ctx, where.name)
	case "member":
		outcomes, err = s.onMember(ctx, where.name)
	case "tag":
		outcomes, err = s.onTag(ctx, where.name)
	default:
		outcomes, err = s.onAny(ctx)
	}
	if err != nil {
		return nil, err
	}

	for i := range outcomes {
		outcomes[i].name = names[outcomes[i].member]
	}
	slices.SortFunc(outcomes, func(a, b outcome) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.member, b.member)) })
	return outcomes, nil
}

// until is the option by which the task ends on its members when ctx ends by its deadline.
func until(ctx context.Context) sdk.SubmitOption {
	end, ok := ctx.Deadline()
	if !ok {
		return sdk.Timeout(defaultTimeout)
	}

	return sdk.Timeout(max(time.Until(end), time.Millisecond))
}

func (s submission) onAll(ctx context.Context) ([]outcome, error) {
	f, err := sdk.SubmitToAllMembers[any](ctx, s.ex, s.task, s.arg, until(ctx))
	if err != nil {
		return nil, err
	}
	return s.waitAll(ctx, f)
}

// onTag runs the task on every member that has a tag, given as KEY:VALUE.
func (s submission) onTag(ctx context.Context, tag string) ([]outcome, error) {
	chosen := false
	f, err := sdk.SubmitToMembers[any](ctx, s.ex, func(m sdk.Member) bool {
		has := hasTag(m.Tags, tag)
		chosen = chosen || has
		return has
	}, s.task, s.arg, until(ctx))
	// The library says only that no member was chosen. A person needs to know that it is for the tag.
	if err != nil && !chosen && errors.Is(err, sdk.ErrNotFound) {
		return nil, failf(exitNotFound, "no member has the tag %q; \"grid cluster members\" shows their tags", tag)
	}
	if err != nil {
		return nil, err
	}
	return s.waitAll(ctx, f)
}

// hasTag reports whether one of the tags reads KEY:VALUE. A key may itself contain colons, so the text is compared whole.
func hasTag(tags map[string]string, tag string) bool {
	for k, v := range tags {
		if k+":"+v == tag {
			return true
		}
	}
	return false
}

// waitAll waits for the outcomes of a task on several members.
func (s submission) waitAll(ctx context.Context, f *sdk.MultiFuture[any]) ([]outcome, error) {
	results, err := f.Wait(ctx)
	if err != nil {
		// Nobody will ask for the results, so the tasks need not go on.
		cancelling(ctx, func(ctx context.Context) { _, _ = f.Cancel(ctx) })
		return nil, s.unfinished(err)
	}

	outcomes := make([]outcome, 0, len(results))
	for id, r := range results {
		outcomes = append(outcomes, outcome{member: id, result: r.Value, err: r.Err})
	}
	return outcomes, nil
}

func (s submission) onMember(ctx context.Context, idOrName string) ([]outcome, error) {
	f, err := sdk.SubmitToMember[any](ctx, s.ex, idOrName, s.task, s.arg, until(ctx))
	if err != nil {
		return nil, err
	}
	return s.wait(ctx, f)
}

func (s submission) onAny(ctx context.Context) ([]outcome, error) {
	f, err := sdk.Submit[any](ctx, s.ex, s.task, s.arg, until(ctx))
	if err != nil {
		return nil, err
	}
	return s.wait(ctx, f)
}

func (s submission) onKey(ctx context.Context, key string) ([]outcome, error) {
	f, err := sdk.SubmitToKeyOwner[any](ctx, s.ex, key, s.task, s.arg, until(ctx))
	if err != nil {
		return nil, err
	}
	return s.wait(ctx, f)
}

// wait waits for the outcome of a task on one member.
func (s submission) wait(ctx context.Context, f *sdk.Future[any]) ([]outcome, error) {
	result, err := f.Get(ctx)

	// Nobody waits for the task any more. The members must not go on with it.
	if err != nil && ctx.Err() != nil {
		cancelling(ctx, func(ctx context.Context) { _, _ = f.Cancel(ctx) })
		return nil, s.unfinished(err)
	}

	return []outcome{{member: f.Member(), result: result, err: err}}, nil
}

// unfinished is the error of a task that had not ended in time. It is cancelled then, whatever the end of waiting says.
func (s submission) unfinished(err error) error {
	if errors.Is(err, sdk.ErrTimeout) {
		return failf(exitTimeout, "task %q did not end in time and was cancelled; give it longer with --timeout", s.task)
	}
	return err
}

// cancelling calls f with a context that goes on for a moment after ctx has ended.
func cancelling(ctx context.Context, f func(context.Context)) {
	// ctx may have ended, and the task must be cancelled all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer cancel()
	f(ctx)
}
