package maps

import (
	"flag"
	"testing"

	"github.com/lni/dragonboat/v4/logger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "8") // unless told otherwise: those that run side by side wait for most of their time
	for _, name := range []string{"raft", "rsm", "transport", "dragonboat", "logdb", "raftpb", "config", "settings", "utils", "registry"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
	goleak.VerifyTestMain(m)
}
