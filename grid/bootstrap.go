package grid

import "github.com/gridiron-io/gridiron/member"

// ResetBootstrap turns the member of a data directory into a new one whose cluster was never bootstrapped, and returns its new
// ID. It is for members whose bootstrap waits for a member that is lost for good. Nothing may use the directory meanwhile.
//
// Errors: fs.ErrNotExist if the directory holds no member; ErrHasCluster if the member already belongs to a cluster; ErrLocked
// while the member runs; ErrOtherCluster if the directory was made for another cluster name; ErrCorrupt.
//
// NOTE: the new member counts as one more that was started without data, see [Config].Expect.
func ResetBootstrap(dataDir, clusterName string) (id string, err error) {
	got, err := member.ResetBootstrap(dataDir, clusterName)
	if err != nil {
		return "", err
	}
	return got.String(), nil
}
