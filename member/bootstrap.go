package member

import (
	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Errors of Start and ResetBootstrap about the data directory and the cluster that it belongs to.
var (
	// ErrLocked: a running member holds the data directory.
	ErrLocked = bootstrap.ErrLocked
	// ErrOtherCluster: the data directory, or a join address, belongs to another cluster.
	ErrOtherCluster = bootstrap.ErrOtherCluster
	// ErrCorrupt: the data directory's record of this member is damaged.
	ErrCorrupt = bootstrap.ErrCorrupt
	// ErrHasCluster: the data directory belongs to a cluster already, so its bootstrap cannot be reset.
	ErrHasCluster = bootstrap.ErrHasCluster
)

// ResetBootstrap makes the member of a data directory a fresh one, and returns its new ID. It is for a bootstrap that waits for a
// member that is lost for good. No member may run in the directory. A directory without a member is fs.ErrNotExist, and stays as it
// is. Other errors wrap ErrLocked, ErrOtherCluster, ErrCorrupt or ErrHasCluster.
func ResetBootstrap(dir, clusterName string) (wire.ID, error) {
	return bootstrap.Reset(dir, clusterName)
}
