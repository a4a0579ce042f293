package gridtest

import (
	"os"
	"sync/atomic"
)

// Base ports begin below the ephemeral range, at a place of each process's own, so that tests of several packages running at
// the same time do not meet.
var lastBase atomic.Int64

func init() { lastBase.Store(int64(10000 + os.Getpid()%2000*10)) }

// nextBase returns a base port that this process has not tried yet. The next two belong to it.
func nextBase() int {
	const step = 4
	return int(lastBase.Add(step))
}
