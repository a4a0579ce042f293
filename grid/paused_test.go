//go:build chaos

package grid_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// pausedFor is how long a process is stopped: beyond what the others wait for it until its replicas count as missing.
const pausedFor = 25 * time.Second

// A process is stopped for 25 s while the others are written to, and continued. Its monotonic clock has gone on: its time is right, and
// everything else that it believes is late. It takes part again, owns partitions, sends events, and has stepped no clock.
func TestProcessPausedForLong(t *testing.T) {
	cl := startProcesses(t, proc.Config{Members: 3, Partitions: 24})
	client := processClient(t, cl.Addrs()[1:]...)
	awaitStatus(t, client, "whole", whole(3))
	victim := ""
	members, err := client.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Addr == cl.Addr(0) {
			victim = m.ID
		}
	}
	m, err := sdk.OpenMap[string, int](client, "paused")
	if err != nil {
		t.Fatal(err)
	}
	signalMember(t, cl, 0, syscall.SIGSTOP)
	n, ends := 0, make(map[string]int64)
	for began := time.Now(); time.Since(began) < pausedFor; n++ {
		key := fmt.Sprint("key", n%500)
		before := client.Now()
		if err := m.Set(t.Context(), key, n, sdk.WithTTL(time.Hour)); err != nil {
			t.Fatal(err)
		}
		ends[key] = before.Add(time.Hour).UnixMilli()
	}
	signalMember(t, cl, 0, syscall.SIGCONT)
	awaitStatus(t, client, "whole", func(s *sdk.ClusterStatus) bool { return whole(3)(s) && s.OutOfStep == 0 })
	awaitOwner(t, client, victim)
	through := processClient(t, cl.Addr(0))
	same, err := sdk.OpenMap[string, int](through, "paused")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan int, 1000)
	sub, err := same.AddEntryListener(t.Context(), sdk.EntryListener[string, int]{Updated: func(e sdk.Event[string, int]) { heard <- e.New }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	for key, end := range ends {
		view, found, err := same.EntryView(t.Context(), key)
		if err != nil || !found {
			t.Fatalf("%s: %v, %v", key, found, err)
		}
		if off := view.Expires.UnixMilli() - end; off < -1000 || off > chaosPatience.Milliseconds() {
			t.Errorf("%s ends %d ms late", key, off)
		}
		if err := m.Set(t.Context(), key, -1); err != nil {
			t.Fatal(err)
		}
	}
	for range ends {
		select {
		case <-heard:
		case <-time.After(chaosPatience):
			t.Fatal("events are missing")
		}
	}
	if logs, err := cl.Logs(0); err != nil || strings.Contains(logs, "CLOCK_") {
		t.Errorf("its log: %v\n%s", err, logs)
	}
	t.Logf("%d writes while it was paused", n)
}

// awaitOwner waits until a member owns something.
func awaitOwner(t *testing.T, c *sdk.Client, member string) {
	t.Helper()
	deadline := time.After(processPatience)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		list, err := c.Partitions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			if p.Owner == member {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the member owns nothing")
		}
	}
}
