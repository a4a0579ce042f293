package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk"
)

// readNear reads an entry through a near cache until a copy answers, and checks that a change by another client reaches the copy.
func (d *demo) readNear(ctx context.Context) (_ string, err error) {
	// The copy is this client's, and the demo's own client changes the entry.
	c, err := d.connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	near, err := sdk.OpenMap[string, int](c, "prices", sdk.WithNearCache(sdk.NearCacheConfig{}))
	if err != nil {
		return "", err
	}
	prices, err := sdk.OpenMap[string, int](d.c, "prices")
	if err != nil {
		return "", err
	}
	if err := prices.Set(ctx, "apple", 3); err != nil {
		return "", err
	}

	// The first reads ask the owner: the near cache begins to hear of changes in the background.
	var price int
	var before sdk.NearCacheStats
	err = poll(ctx, func() (bool, error) {
		before = near.NearCacheStats()
		if price, _, err = near.Get(ctx, "apple"); err != nil {
			return false, err
		}
		return near.NearCacheStats().Hits > before.Hits, nil
	})
	if err != nil {
		return "", fmt.Errorf("no read was answered by a copy: %w", err)
	}
	if price != 3 {
		return "", fmt.Errorf("the copy is %d, not 3", price)
	}

	read := near.NearCacheStats()
	if err := prices.Set(ctx, "apple", 4); err != nil {
		return "", err
	}

	// Whatever has dropped the copy since it answered, the next read asks the owner.
	err = poll(ctx, func() (bool, error) { return near.NearCacheStats().Invalidations > before.Invalidations, nil })
	if err != nil {
		return "", fmt.Errorf("the near cache did not hear of the change: %w", err)
	}
	price, _, err = near.Get(ctx, "apple")
	if err != nil {
		return "", err
	}
	if price != 4 {
		return "", fmt.Errorf("after the change was heard of, the read found %d, not 4", price)
	}

	after := near.NearCacheStats()
	return fmt.Sprintf("misses: %d, which asked the owner; hits: %d, without any call\nanother client changed 3 to 4: the copy was dropped, and the next read found %d (misses: %d)",
		read.Misses, read.Hits, price, after.Misses), nil
}
