package grid

import (
	"github.com/gridiron-io/gridiron/member"
)

// Errors of Start, Member.Err and ResetBootstrap. Ask for them with errors.Is. Errors of calls are those of package sdk.
var (
	// ErrConfig means that the Config cannot work. The error lists every problem, with the value and what is allowed.
	ErrConfig = member.ErrConfig
	// ErrPortInUse means that another process has a port of this member. The error names the port and its purpose.
	ErrPortInUse = member.ErrPortInUse
	// ErrLocked means that a running member uses the data directory.
	ErrLocked = member.ErrLocked
	// ErrOtherCluster means that the data directory, or a member in Join, belongs to another cluster, by its name or ID.
	ErrOtherCluster = member.ErrOtherCluster
	// ErrDataDir means that the data directory is not as the member left it: its metadata are missing, or it is an old copy.
	ErrDataDir = member.ErrDataDir
	// ErrCorrupt means that a file in the data directory is damaged. The error names the file. Nothing was changed.
	ErrCorrupt = member.ErrCorrupt
	// ErrRemoved means that the cluster has removed this member. Start it again to join as a member without data.
	ErrRemoved = member.ErrRemoved
	// ErrHasCluster means that a data directory belongs to a cluster, so that its bootstrap cannot be reset.
	ErrHasCluster = member.ErrHasCluster
)
