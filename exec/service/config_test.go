package service

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
)

func TestConfigReportsEverything(t *testing.T) {
	_, err := New(Config{Pool: -1, Queue: -2, MaxExecutors: -1, MaxArgBytes: -1, MaxResults: -1, MaxResultBytes: -1, ResultTTL: -1, FetchedTTL: time.Microsecond,
		StopTimeout: -1, Executors: map[string]exec.PoolConfig{"": {}, "x": {Pool: -3}}})
	if !errors.Is(err, sdk.ErrInvalid) {
		t.Fatalf("New: %v", err)
	}
	for _, want := range []string{"no Registry", "no Member", "no Client", "no LocalEntries", "Pool is -1", "Queue is -2", "MaxExecutors", "MaxArgBytes", "MaxResults",
		"MaxResultBytes", "ResultTTL", "FetchedTTL is 1µs", "StopTimeout", "is empty", "pool -3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if c := (Config{Pool: 4, Executors: map[string]exec.PoolConfig{"own": {Queue: 5}}}).WithDefaults(); true {
		if p, q := c.bounds("own"); p != 4 || q != 5 {
			t.Errorf("bounds of its own: %d, %d", p, q)
		}
		if p, q := c.bounds("other"); p != 4 || q != DefaultQueue {
			t.Errorf("bounds of another: %d, %d", p, q)
		}
	}
}
