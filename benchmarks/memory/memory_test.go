package main

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-binary", "grid", "-entries", "5000000", "-key", "7"})
	if err != nil || o.entries != 5_000_000 || o.keySize != 7 || o.members != 3 {
		t.Errorf("parse = %+v, %v", o, err)
	}
	for _, args := range [][]string{{}, {"-binary", "grid", "x"}, {"-binary", "grid", "-entries", "0"}, {"-binary", "grid", "-key", "6"},
		{"-binary", "grid", "-settle", "-1s"}, {"-binary", "grid", "-mixed", "-1s"},
		{"-binary", "grid", "-entries", "5", "-key", "7", "-mixed", "1s"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}

func TestSum(t *testing.T) {
	const page = "# HELP gridiron_a_bytes A.\n# TYPE gridiron_a_bytes gauge\ngridiron_a_bytes{x=\"1\"} 2\ngridiron_a_bytes{x=\"2\"} 3e+06\ngridiron_a_bytes_more 5\ngridiron_b_bytes 7\n"
	got := []float64{sum(page, "gridiron_a_bytes"), sum(page, "gridiron_b_bytes"), sum(page, "gridiron_c_bytes")}
	if want := []float64{3_000_002, 7, 0}; !slices.Equal(got, want) {
		t.Errorf("sums are %v, want %v", got, want)
	}
}
