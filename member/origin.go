package member

import (
	"sync/atomic"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// origin is who a member is, and of which cluster.
type origin struct {
	id          wire.ID // of the data directory
	incarnation wire.ID // of this start
	tempDir     bool    // the data directory goes with the member
	natsDigest  uint64  // of the NATS servers outside that it uses

	store  *bootstrap.Store
	runner *bootstrap.Runner

	cluster atomic.Pointer[wire.ID]
}

func (o *origin) clusterID() wire.ID {
	if id := o.cluster.Load(); id != nil {
		return *id
	}
	return wire.ID{}
}
