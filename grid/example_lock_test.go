package grid_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// Two workers must not bill a customer at the same time. The first takes the customer's lock and is then held up for so long that
// an operator gives the lock to the second. When the first wakes up it does not know: its write is refused all the same, for the
// lock was given out again since.
func Example_lockWithFence() {
	ctx := context.Background()
	m, err := grid.Start(ctx, grid.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close(ctx)
	bills, err := sdk.OpenMap[string, string](m.Client(), "bills")
	if err != nil {
		log.Fatal(err)
	}

	first, err := bills.Lock(ctx, "alice", sdk.Lease(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	if _, ok, err := bills.TryLock(ctx, "alice"); err == nil && !ok {
		fmt.Println("the second worker has to wait")
	}
	if err := bills.ForceUnlock(ctx, "alice"); err != nil {
		log.Fatal(err)
	}
	second, err := bills.Lock(ctx, "alice")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("its fence is greater:", second.Fence() > first.Fence())
	if err := bills.Set(ctx, "alice", "billed by the second", sdk.WithFence(second)); err != nil {
		log.Fatal(err)
	}

	err = bills.Set(ctx, "alice", "billed again by the first", sdk.WithFence(first))
	fmt.Println("the first is fenced off:", errors.Is(err, sdk.ErrFenced))
	fmt.Println("and told so when it unlocks:", errors.Is(first.Unlock(ctx), sdk.ErrLockNotHeld))
	if err := second.Unlock(ctx); err != nil {
		log.Fatal(err)
	}
	bill, _, err := bills.Get(ctx, "alice")
	fmt.Println(bill, err)
	// Output:
	// the second worker has to wait
	// its fence is greater: true
	// the first is fenced off: true
	// and told so when it unlocks: true
	// billed by the second <nil>
}
