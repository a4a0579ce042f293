package benchmarks

import (
	"flag"
	"os"
	"testing"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
)

// profiles is where BenchmarkOp leaves the CPU profiles of all processes: those of the client and of the members m0, m1, ….
var profiles = flag.String("profiles", "", "directory for CPU profiles of the client and the members")

func TestMain(m *testing.M) {
	standin.Main()
	os.Exit(m.Run())
}
