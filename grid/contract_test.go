package grid_test

import (
	"context"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// Programs keep these functions in variables and fields of their own, so that a further parameter breaks them, also a variadic one.
var (
	_ func(context.Context, grid.Config) (*grid.Member, error) = grid.Start
	_ func(*grid.Member, context.Context) error                = (*grid.Member).Close
	_ func(*grid.Member) *sdk.Client                           = (*grid.Member).Client
	_ func(*grid.Member) string                                = (*grid.Member).Addr
)
