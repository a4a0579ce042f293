// Package startoption holds what grid.StartWith takes beside its Config. It is not API: only packages under grid can make an Option.
package startoption

import "github.com/gridiron-io/gridiron/member"

// Option changes a member's configuration in a way that grid.Config does not offer.
type Option struct{ apply func(*member.Config) }

// Network makes the member listen and connect on n in the place of TCP.
func Network(n member.Network) Option {
	return Option{func(c *member.Config) { c.Network = n }}
}

// Apply changes c.
func (o Option) Apply(c *member.Config) { o.apply(c) }
