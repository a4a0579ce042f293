package grid_test

import (
	"testing"

	"github.com/gridiron-io/gridiron/grid/gridtest"
)

// Initial members beyond the first one, three or five have no vote in the metadata group and must get their place in it from those
// who have, before anybody is ready.
func TestClustersOfEverySize(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 4, 5} {
		gridtest.New(t, n, gridtest.WithPartitions(8))
	}
}
