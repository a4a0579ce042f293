//go:build chaos

package grid_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/sdk"
)

// underLock adds one to a number by reading and writing it while its key is locked, which is right only if nobody else does so
// meanwhile, and if a holder that has lost the lock writes nothing.
func (l *chaosLoad) underLock(ctx context.Context, m *sdk.Map[string, int], number int) (err error) {
	key := fmt.Sprintf("locked-%d", number)
	lock, err := m.Lock(ctx, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock(ctx)) }()
	n, _, err := m.Get(ctx, key)
	if err != nil {
		return err
	}
	err = m.Set(ctx, key, n+1, sdk.WithFence(lock))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.locked[number].acknowledged++
	case errors.Is(err, sdk.ErrUnknownOutcome):
		l.locked[number].unknown++
	}
	return err
}

// checkLocked compares the numbers with what the workers were told.
func (l *chaosLoad) checkLocked(t *testing.T, ctx context.Context) {
	t.Helper()
	for i, c := range l.locked {
		n, _, err := l.maps[0].Get(ctx, fmt.Sprintf("locked-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if n < c.acknowledged || n > c.acknowledged+c.unknown {
			t.Errorf("number %d is %d after %d acknowledged additions under its lock and %d of unknown outcome", i, n, c.acknowledged, c.unknown)
		}
	}
}
