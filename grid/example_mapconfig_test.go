package grid_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// Sessions of a shop end after half an hour without a word about it in the code that writes them; those of its own staff
// after a day. Both are said to the cluster, and may be changed while it works.
func Example_mapConfig() {
	ctx := context.Background()
	m, err := grid.Start(ctx, grid.Config{Maps: map[string]sdk.MapConfig{"session:*": {TTL: new(30 * time.Minute)}}})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close(ctx)
	client := m.Client()
	if err := client.SetMapConfig(ctx, "session:staff", sdk.MapConfig{TTL: new(24 * time.Hour)}); err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"session:shop", "session:staff"} {
		sessions, err := sdk.OpenMap[string, string](client, name)
		if err != nil {
			log.Fatal(err)
		}
		if err := sessions.Set(ctx, "4711", "ada"); err != nil {
			log.Fatal(err)
		}
		view, _, err := sessions.EntryView(ctx, "4711")
		if err != nil {
			log.Fatal(err)
		}
		stats, err := sessions.Stats(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, view.TTL, stats.Entries, stats.Operations["set"].Count)
	}
	// Output:
	// session:shop 30m0s 1 1
	// session:staff 24h0m0s 1 1
}
