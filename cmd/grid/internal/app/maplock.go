package app

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

func (p *Process) mapLock() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "lock", usage: "lock a key and print the fence", args: "MAP KEY", least: 2, most: 2,
		flags: []cli.Flag{
			&cli.StringFlag{Name: "lease", Value: "30s", Usage: "the lock ends after `DURATION`, or by unlock before"},
			&cli.StringFlag{Name: "wait", Value: "0s", Usage: "wait up to `DURATION` for another holder"},
		},
		details: "The lock is not renewed: it ends with its lease, or with unlock. The key need not exist. If another holds the lock for longer than " +
			"--wait, the exit code is 4.",
		run: func(ctx context.Context, inv *invocation) error {
			lease, err := parseTime("--lease", inv.flags.String("lease"), "")
			if err == nil && lease == 0 {
				err = usagef("--lease %q: want a duration above zero such as 30s", inv.flags.String("lease"))
			}
			if err != nil {
				return err
			}

			wait, err := parseTime("--wait", inv.flags.String("wait"), ", or 0 for no wait")
			if err != nil {
				return err
			}
			// Both together may be longer than a duration can be.
			if inv.conn.timeout += wait; inv.conn.timeout < wait {
				inv.conn.timeout = math.MaxInt64
			}

			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				l, err := lock(ctx, m, inv.args[1], lease, wait)
				if err != nil {
					return err
				}
				return inv.print(lockDocument(inv.args[1], l.Fence(), lease.Milliseconds()))
			})
		},
	}, 1))
}

// lock waits for the lock of a key no longer than wait.
func lock(ctx context.Context, m *sdk.Map[string, any], key string, lease, wait time.Duration) (l *sdk.Lock, err error) {
	ok := false
	if wait == 0 {
		l, ok, err = m.TryLock(ctx, key, sdk.Lease(lease))
	} else {
		within, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		l, err = m.Lock(within, key, sdk.Lease(lease))
		// The wait is over, but not the command's time: another holds the lock, which is no error of the call.
		if ok = err == nil; errors.Is(err, sdk.ErrTimeout) && ctx.Err() == nil {
			err = nil
		}
	}

	if err == nil && !ok {
		err = failf(exitConflict, "map %q: the key %q is locked by another", m.Name(), key)
	}
	return l, err
}

// lockDocument is what lock and unlock print.
func lockDocument(key string, fence, leaseMs any) render.Document {
	return render.Record(render.Field{Name: "key", Value: key}, render.Field{Name: "fence", Value: fence}, render.Field{Name: "lease_ms", Value: leaseMs}).RawColumn("fence")
}

func (p *Process) mapUnlock() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "unlock", usage: "give up the lock of a key", args: "MAP KEY", least: 2, most: 2,
		flags: []cli.Flag{
			&cli.StringFlag{Name: "fence", Usage: "`N` as lock has printed it; that of another holder exits with 4"},
			&cli.BoolFlag{Name: "force", Usage: "whoever holds the lock"},
		},
		run: func(ctx context.Context, inv *invocation) error {
			force := inv.flags.Bool("force")
			// The two exclude each other, and without either it would not be clear whose lock is meant.
			if force == inv.flags.IsSet("fence") {
				return usagef("want either --fence or --force")
			}

			key, fence := inv.args[1], uint64(0)
			if !force {
				var err error
				if fence, err = parseVersion("--fence", inv.flags.String("fence"), "grid map lock"); err != nil {
					return err
				}
			}

			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				if force {
					if err := m.ForceUnlock(ctx, key); err != nil {
						return err
					}
					return inv.print(lockDocument(key, nil, nil))
				}

				if err := m.UnlockFence(ctx, key, fence); err != nil {
					return err
				}
				return inv.print(lockDocument(key, fence, nil))
			})
		},
	}, 1))
}
