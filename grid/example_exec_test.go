package grid_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"sync"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/grid"
)

// A shop keeps prices in the memory of each member, beside the grid. When they change, every member has to load them again:
// a task that all members have, run on all of them by one call that returns when the last one is done.
func Example_executeOnAllMembers() {
	ctx := context.Background()
	var (
		mu     sync.Mutex
		loaded []string
	)
	reg := exec.NewRegistry()
	exec.RegisterTask(reg, "load-prices", func(_ context.Context, tc exec.TaskContext, season string) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		loaded = append(loaded, fmt.Sprintf("%s has the prices of %s", tc.Member().Name, season))
		return nil, nil
	})

	// Three members; in production each is a process of its own, and all of them have the same tasks.
	var members []*grid.Member
	var join []string
	for _, name := range []string{"alice", "bob", "carol"} {
		m, err := grid.Start(ctx, grid.Config{Name: name, Join: join, Registry: reg})
		if err != nil {
			log.Fatal(err)
		}
		defer m.Close(ctx)
		members, join = append(members, m), append(join, m.Addr())
	}

	client := members[len(members)-1].Client()
	if err := client.Executor("shop").ExecuteOnAllMembers(ctx, "load-prices", "summer"); err != nil {
		log.Fatal(err)
	}
	slices.Sort(loaded)
	for _, line := range loaded {
		fmt.Println(line)
	}
	// Output:
	// alice has the prices of summer
	// bob has the prices of summer
	// carol has the prices of summer
}
