package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

// listen changes an entry in every way and checks that a listener hears of it in that order.
func (d *demo) listen(ctx context.Context) (string, error) {
	const patience = 10 * time.Second
	users, err := sdk.OpenMap[string, string](d.c, "users")
	if err != nil {
		return "", err
	}

	heard := make(chan sdk.EventKind, 16)
	hear := func(e sdk.Event[string, string]) {
		select {
		case heard <- e.Kind:
		default: // more events than changes: the order will be wrong
		}
	}

	// It returns once it covers all later changes, so nothing below can be missed.
	sub, err := users.AddEntryListener(ctx, sdk.EntryListener[string, string]{Added: hear, Updated: hear, Removed: hear, Expired: hear, Lost: hear})
	if err != nil {
		return "", err
	}
	defer func() { _ = sub.Close() }()

	changes := []func() error{
		func() error { return users.Set(ctx, "bob", "away") },
		func() error { return users.Set(ctx, "bob", "here") },
		func() error { _, err := users.Delete(ctx, "bob"); return err },
		func() error { return users.Set(ctx, "bob", "back", sdk.WithTTL(200*time.Millisecond)) },
	}
	for _, change := range changes {
		if err := change(); err != nil {
			return "", err
		}
	}

	// The TTL adds an event that no call makes: the entry's end.
	want := []sdk.EventKind{sdk.EventAdded, sdk.EventUpdated, sdk.EventRemoved, sdk.EventAdded, sdk.EventExpired}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	var got []sdk.EventKind
	for len(got) < len(want) {
		select {
		case kind := <-heard:
			got = append(got, kind)
		case <-ctx.Done():
			return "", fmt.Errorf("the listener heard %v of %v: %w", got, want, ctx.Err())
		}
	}

	if !slices.Equal(got, want) {
		return "", fmt.Errorf("the listener heard %v, not %v", got, want)
	}
	return fmt.Sprintf("heard %v, in this order", got), nil
}
