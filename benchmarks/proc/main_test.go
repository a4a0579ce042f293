package proc_test

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/benchmarks/proc"
)

func TestMain(m *testing.M) {
	standin.Main()
	_ = flag.Set("test.parallel", "6") // unless told otherwise: they wait for most of their time
	os.Exit(m.Run())
}

// start returns a running cluster that ends with the test.
func start(t *testing.T, cfg proc.Config) *proc.Cluster {
	t.Helper()
	cfg.Binary, cfg.Env = executable(t), append(cfg.Env, standin.Env()...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := proc.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	return cl
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
