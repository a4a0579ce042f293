package partition

import (
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/logger"
	"go.uber.org/goleak"
)

// patience is for things that happen at once.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	for _, name := range []string{"raft", "rsm", "transport", "dragonboat", "logdb", "raftpb", "config", "settings", "utils", "order", "tests", "registry", "server", "grpc", "pebblekv"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
	goleak.VerifyTestMain(m)
}
