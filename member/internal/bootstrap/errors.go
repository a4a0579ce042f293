package bootstrap

import (
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

var (
	// ErrLocked is wrapped by Open's error when another process, or another Store of this one, holds the directory.
	ErrLocked = errors.New("is held by a running member")
	// ErrOtherCluster is what every *OtherClusterError is.
	ErrOtherCluster = errors.New("another cluster")
	// ErrCorrupt is what every *CorruptError is.
	ErrCorrupt = errors.New("damaged record")
	// ErrHasCluster is wrapped by ResetBootstrap's error when the directory already belongs to a cluster.
	ErrHasCluster = errors.New("the member already belongs to a cluster")
	// ErrClosed is wrapped by the errors of a Store or Runner that has been closed.
	ErrClosed = errors.New("closed")
)

// OtherClusterError says that a data directory or a member belongs to a cluster other than the one wanted.
// errors.Is(err, ErrOtherCluster) is true for it.
type OtherClusterError struct {
	Where string  // "data directory /x" or "member at a:5701"
	Got   string  // the cluster found there: its name, or its ID where the names are equal
	Want  string  // the cluster wanted
	ID    wire.ID // of the cluster found, where names differ and it is known
}

// Error names both clusters.
func (e *OtherClusterError) Error() string {
	return fmt.Sprintf("%s belongs to cluster %q, not to %q", e.Where, e.Got, e.Want)
}

// Is reports whether target is ErrOtherCluster.
func (e *OtherClusterError) Is(target error) bool { return target == ErrOtherCluster }

// CorruptError says which file cannot be read and why. Nothing was changed: a damaged record is never taken for a missing
// one, since a member that forgot what it accepted could bootstrap a second cluster. errors.Is(err, ErrCorrupt) is true for it.
type CorruptError struct {
	Path   string
	Reason string
}

// Error names the file.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("member record %s is damaged: %s", e.Path, e.Reason)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
