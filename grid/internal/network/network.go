// Package network hands a test's network down to the members that it starts, past the public configuration.
package network

import (
	"context"

	"github.com/gridiron-io/gridiron/member"
)

type key struct{}

// With returns a context under which members start on a network.
func With(ctx context.Context, n member.Network) context.Context {
	return context.WithValue(ctx, key{}, n)
}

// From returns the network of a context, nil for TCP.
func From(ctx context.Context) member.Network {
	n, _ := ctx.Value(key{}).(member.Network)
	return n
}
