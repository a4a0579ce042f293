package maps

import (
	"testing"

	"github.com/lni/dragonboat/v4/logger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"raft", "rsm", "transport", "dragonboat", "logdb", "raftpb", "config", "settings", "utils", "registry"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
	goleak.VerifyTestMain(m)
}
