package grid_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk"
)

// named returns the name of a member in the cluster.
func named(member int) string { return fmt.Sprint("m", member) }

func parseDrain(a *args) action {
	name := named(a.number("member"))
	return func(r *scriptRun) error {
		return r.eventually(func(ctx context.Context) error {
			l, err := r.cl.Client().DrainMember(ctx, name)
			if err == nil && !l.Done {
				err = fmt.Errorf("%+v", l)
			}
			return err
		})
	}
}

// parseRemove is of a command that waits until the member is forgotten. What is refused at first is asked again: a member must have
// been missed for a while.
func parseRemove(a *args) action {
	name, force := named(a.number("member")), len(a.words) > 0
	if force && a.word("force") != "force" {
		a.bad("a member is removed, or by force")
	}
	want := a.wanted()
	if want != "" && want != answersRefused {
		a.bad("a removal answers %s or nothing, not %q", answersRefused, want)
	}
	return func(r *scriptRun) error {
		if want != "" {
			_, err := r.cl.Client().RemoveMember(r.t.Context(), name, force)
			if !errors.Is(err, sdk.ErrConflict) {
				return fmt.Errorf("answered %w", orDone(err))
			}
			return nil
		}
		begun := false
		return r.eventually(func(ctx context.Context) error {
			l, err := r.cl.Client().RemoveMember(ctx, name, force)
			switch {
			case begun && errors.Is(err, sdk.ErrNotFound):
				return nil // it is forgotten
			case err == nil && !l.Done:
				begun, err = true, fmt.Errorf("%+v", l)
			}
			return err
		})
	}
}

// rebalance has replicas and owners spread again and waits until they are.
func rebalance(r *scriptRun) error {
	c := r.cl.Client()
	ask := c.Rebalance
	return r.eventually(func(ctx context.Context) error {
		b, err := ask(ctx)
		if err != nil {
			return err
		}
		ask = c.Balance
		if b.Left > 0 || b.MaxReplicas-b.MinReplicas > 1 || b.MaxOwned-b.MinOwned > 1 {
			return fmt.Errorf("%+v", b)
		}
		return nil
	})
}

// mayGo waits until the cluster says whether one more member may go, as "grid cluster safe" judges.
func (r *scriptRun) mayGo(want bool) error {
	return r.eventually(func(ctx context.Context) error {
		s, err := r.cl.Client().Cluster(ctx)
		if err != nil {
			return err
		}
		if may := s.Safe && s.Tolerates > 0; may != want {
			return fmt.Errorf("one more may go: %t: %+v", may, s)
		}
		return nil
	})
}

func parseHolds(a *args) action {
	i, n := a.number("member"), a.number("number of replicas")
	return func(r *scriptRun) error {
		id := r.cl.Member(i).ID()
		return r.eventually(func(ctx context.Context) error {
			list, err := r.cl.Client().Partitions(ctx)
			if err != nil {
				return err
			}
			replicas, owned := holdings(list, id)
			if replicas != n || n == 0 && owned > 0 {
				return fmt.Errorf("it holds %d and owns %d", replicas, owned)
			}
			return nil
		})
	}
}

// holdings counts the replicas and partitions of a member.
func holdings(list []sdk.Partition, id string) (replicas, owned int) {
	for _, p := range list {
		if p.Owner == id {
			owned++
		}
		for _, r := range p.Replicas {
			if r == id {
				replicas++
			}
		}
	}
	return replicas, owned
}
