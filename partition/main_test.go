package partition

import (
	"flag"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/logger"
	"go.uber.org/goleak"
)

// patience is for things that happen at once.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // unless told otherwise: those that run side by side wait for most of their time
	for _, name := range []string{"raft", "rsm", "transport", "dragonboat", "logdb", "raftpb", "config", "settings", "utils", "order", "tests", "registry", "server", "grpc", "pebblekv"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
	goleak.VerifyTestMain(m)
}
