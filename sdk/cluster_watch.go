package sdk

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// watchPace is how long a watch of the cluster waits at least before it looks again.
	watchPace = 200 * time.Millisecond
	// watchAtLeast is how often it looks although nobody tells it of a change.
	watchAtLeast = time.Second
)

// ClusterView is the cluster's status with its members, ordered by name.
type ClusterView struct {
	Status  ClusterStatus
	Members []Member
}

// WatchCluster iterates over the state of the cluster: at once, and then after each change of status or members. It yields at
// most five times a second, so short-lived states may be missed. It asks one member for as long as that answers, since members
// learn of changes at different times. If no member answers, it waits.
//
// An error is the last thing that comes: the context's error when that ends, or ErrClosed. Without an end of the context the
// iteration waits for ever.
func (c *Client) WatchCluster(ctx context.Context) iter.Seq2[ClusterView, error] {
	return func(yield func(ClusterView, error) bool) {
		pace := time.NewTimer(0)
		defer pace.Stop()
		var last ClusterView
		var from wire.ID
		for first := true; ; {
			// Taken before the look, so that a change during the look ends the wait below.
			changed := c.changed.wait()
			v, err := c.look(ctx, &from)

			switch {
			case ctx.Err() != nil:
				yield(ClusterView{}, ctx.Err())
				return
			case errors.Is(err, ErrClosed) || c.life.Err() != nil:
				yield(ClusterView{}, &Error{Op: "watch_cluster", Partition: -1, Err: ErrClosed})
				return
			case err != nil && !unanswered(err):
				yield(ClusterView{}, err)
				return
			case err != nil:
				// No member answered. The watch goes on, since a cluster without answers is one of the states to sit out.
				c.refresh(nil)
			case first || !reflect.DeepEqual(v, last):
				if first, last = false, v; !yield(v, nil) {
					return
				}
			}

			// The pause makes one view of many changes. After it the watch waits for a change, or for its next look without one.
			pace.Reset(watchPace)

			// Changes that come during the pace are seen by the next look.
			select {
			case <-pace.C:
				pace.Reset(watchAtLeast - watchPace)
			case <-ctx.Done():
			case <-c.life.Done():
			}
			select {
			case <-changed:
			case <-pace.C:
			case <-ctx.Done():
			case <-c.life.Done():
			}
		}
	}
}

// look asks a member, that of from if it answers, how the cluster is.
func (c *Client) look(ctx context.Context, from *wire.ID) (v ClusterView, err error) {
	err = &Error{Op: wire.OpStatus.String(), Partition: -1, Err: ErrUnavailable, Hint: "no member is known to serve"}
	ids := c.inTurn()

	// Members learn of changes at different times. Staying with one keeps the view from going back.
	if !from.IsZero() {
		ids = append([]wire.ID{*from}, ids...)
	}
	for _, id := range ids {
		if v, err = c.viewOf(ctx, id); err == nil || !unanswered(err) {
			*from = id
			return v, err
		}
		// A member that did not answer is not preferred any more.
		*from = wire.ID{}
	}
	return v, err
}

func (c *Client) viewOf(ctx context.Context, member wire.ID) (v ClusterView, err error) {
	// Status and table are two answers, so the table may be newer. The next look brings both up to date.
	body, err := c.ask(ctx, wire.OpStatus, member, nil)
	if err != nil {
		return v, err
	}
	if v.Status, err = statusOf(body); err != nil {
		return v, err
	}
	if body, err = c.ask(ctx, wire.OpTable, member, nil); err != nil {
		return v, err
	}
	table, err := wire.DecodeTable(body)
	if err != nil {
		return v, unreadable(wire.OpTable, "", -1, err)
	}
	v.Members = membersOf(table.Members)
	return v, nil
}
