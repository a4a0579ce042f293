package grid_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// quiet is given on a machine that does nothing else: then it is judged how long calls take, which says nothing of a busy one.
var quiet = flag.Bool("quiet", false, "also judge how long calls take; for a machine that does nothing else")

func TestMain(m *testing.M) {
	// The tests wait for most of their time: more run side by side than there are processors, unless told otherwise.
	_ = flag.Set("test.parallel", "6")
	goleak.VerifyTestMain(m)
}
