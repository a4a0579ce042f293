package metadata

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Register announces this start of the member. A name that a live member holds is refused; that of one that is unreachable is taken
// over.
func (md *Metadata) Register(ctx context.Context) error {
	cmd := &meta.Register{Registration: md.cfg.Registration()}
	md.cfg.Waiting("the metadata group to register this start")
	for {
		res, err := md.Commit(ctx, cmd)
		switch {
		case err != nil:
			return fmt.Errorf("register: %w", err)
		case res.OK():
			return nil
		case res.Code == wire.CodeNotReady:
			// The cluster is being bootstrapped: its first command is on its way.
		case res.Code == wire.CodeConflict:
			// Another member has the name. Only one that is unreachable loses it.
			if again, err := md.mayTakeOver(ctx, cmd); err != nil {
				return fmt.Errorf("register: %w", err)
			} else if !again {
				return fmt.Errorf("register: %w: %s", errRefused, res.Text)
			}
		default:
			return fmt.Errorf("register: %w: %s", errRefused, res.Text)
		}

		// Nothing tells when the reason has passed, so the question is repeated.
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return fmt.Errorf("register: %w", ctx.Err())
		}
	}
}

// mayTakeOver looks, after a registration was refused, whether it may be repeated. It may if the member that holds the name has left
// meanwhile. It also may if that member is unreachable; then the command replaces it.
func (md *Metadata) mayTakeOver(ctx context.Context, cmd *meta.Register) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	before := md.View().Version
	// The refusal rests on metadata that may not be applied here yet.
	if err := md.Barrier(ctx); err != nil {
		return false, err
	}

	v := md.View()
	other := v.Named(cmd.Name)
	if other == nil || other.ID == md.cfg.Self {
		// The name is free. Where nothing has changed meanwhile, the refusal had another reason.
		return v.Version != before, nil
	}
	// The takeover of this very process was refused already, or the process still answers.
	if other.Incarnation == cmd.Takeover || !md.unreachable(ctx, other) {
		return false, nil
	}

	cmd.Takeover = other.Incarnation
	return true, nil
}

// unreachable reports whether the process that a member is registered at is no longer where it was: nothing listens there, or
// somebody else does. Silence is not enough.
func (md *Metadata) unreachable(ctx context.Context, mb *meta.Member) bool {
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	nc, a, err := md.cfg.Peers.DialAddr(ctx, mb.ID, mb.PeerAddr, wire.PlaneCalls, 0)
	// The connection was only to see who answers.
	if err == nil {
		_ = nc.Close()
	}

	// A refused connection, or another process in its place, is enough to take over a name. A time-out is not.
	return errors.Is(err, syscall.ECONNREFUSED) || !a.Incarnation.IsZero() && a.Incarnation != mb.Incarnation
}
