//go:build linux

package benchmarks

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	rest := " S 1 2 3 4 5 6 7 8 9 10 1200 34 17 18 19 20"
	for _, c := range []struct {
		stat string
		want time.Duration
	}{
		{"42 (grid)" + rest, 12340 * time.Millisecond},
		{"42 (a b) c) 1 2" + ")" + rest, 12340 * time.Millisecond}, // whatever a process calls itself
		{"42 ()" + rest + "\n", 12340 * time.Millisecond},
	} {
		if d, err := parseStat([]byte(c.stat)); d != c.want || err != nil {
			t.Errorf("parseStat(%q) = %v, %v, want %v", c.stat, d, err, c.want)
		}
	}
	for _, bad := range []string{"", "42 (grid", "42 (grid) S 1 2 3 4 5 6 7 8 9 10 1200", "42 (grid)" + strings.Replace(rest, "34", "x", 1)} {
		if d, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("parseStat(%q) = %v, want an error", bad, d)
		}
	}
}

func TestCPUTimeGrowsWithWork(t *testing.T) {
	before, err := readCPU(nil)
	if err != nil {
		t.Fatal(err)
	}
	const work = 50 * time.Millisecond
	x := 1.0
	for after := before; after.client < before.client+work; {
		for range 100_000 {
			x = x*1.0000001 + 1
		}
		if after, err = readCPU([]int{os.Getpid()}); err != nil {
			t.Fatal(err)
		}
		if after.members != 0 {
			t.Fatalf("this process counts twice: %+v", after)
		}
		if after.client < before.client {
			t.Fatalf("CPU time goes backwards: %v after %v", after.client, before.client)
		}
	}
}

func TestCPUTimeOfNobody(t *testing.T) {
	const none = 1<<22 + 1 // above the highest process ID
	if _, err := readCPU([]int{none}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("CPU time of process %d: %v", none, err)
	}
}
