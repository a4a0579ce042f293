package metadata

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// tryTimeout bounds how long the first attempt waits for one voter. Each further attempt waits twice as long, up to timeout.
const tryTimeout = 500 * time.Millisecond

// Commit commits a command, by this member's replica if it votes, else by another's, and repeats it until it has a result or ctx ends. Every
// command may be repeated.
func (md *Metadata) Commit(ctx context.Context, c meta.Command) (meta.Result, error) {
	cmd := meta.Append(nil, c)
	// The first attempts are short: a voter that hangs must not use up the caller's time. Later ones leave a slow group its time.
	for try := tryTimeout; ; try = min(2*try, timeout) {
		res, err := md.commitOnce(ctx, cmd, try)
		if err == nil {
			return res, nil
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return meta.Result{}, fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		}
	}
}

// commitOnce asks one voter after the other, and waits for each no longer than try. A voter may have been removed from the group without
// hearing of it, or may send the command to a leader that was deposed.
func (md *Metadata) commitOnce(ctx context.Context, cmd []byte, try time.Duration) (meta.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var errs []error
	if md.Votes() {
		// The own replica is asked first, for which no other member need be reached.
		short, cancel := context.WithTimeout(ctx, try)
		res, err := md.Propose(short, cmd)
		cancel()
		if err == nil || md.life.Err() != nil {
			return res, err
		}
		// The command may have been committed although no answer came. It may be repeated, so the next voter is asked.
		errs = append(errs, err)
	}

	for _, id := range md.Voters() {
		short, cancel := context.WithTimeout(ctx, try)
		a, err := md.cfg.Peers.Ask(short, id, wire.OpMetaPropose, cmd)
		cancel()
		// A refusal by the state is an answer too. Any other code only means that this voter cannot help.
		if err == nil && a.Code == wire.CodeOK {
			return meta.DecodeResult(a.Body)
		}
		if err == nil {
			err = fmt.Errorf("member %v: %v: %s", id, a.Code, a.Body)
		}
		errs = append(errs, err)
	}

	if len(errs) == 0 {
		return meta.Result{}, errors.New("no voter of the metadata group is known")
	}

	return meta.Result{}, errors.Join(errs...)
}

// AnswerPropose commits a command for a member whose replica does not vote.
func (md *Metadata) AnswerPropose(ctx context.Context, cmd []byte) (wire.Code, []byte) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if md.View() == nil || !md.Votes() {
		return wire.CodeNotReady, []byte("this member does not vote")
	}
	// The log takes any bytes. A command that does not decode is refused before it gets there.
	if _, err := meta.Decode(cmd); err != nil {
		return wire.CodeInvalid, []byte(err.Error())
	}

	res, err := md.Propose(ctx, cmd)
	if err != nil {
		return wire.CodeUnavailable, []byte(err.Error())
	}
	return wire.CodeOK, meta.AppendResult(nil, &res)
}
