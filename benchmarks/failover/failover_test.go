package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestMain(m *testing.M) {
	standin.Main()
	_ = flag.Set("test.parallel", "3") // unless told otherwise: scenarios wait for most of their time
	os.Exit(m.Run())
}

// TestScenarios runs scenarios in small: each comes to its end, and says all that it is to say. What the numbers are is the
// business of a machine that does nothing else, and not looked at here.
func TestScenarios(t *testing.T) {
	for scenario, want := range map[string][]string{
		"kill": {"kill -9 of one of three members", "… detection", "… election", "… client's retry", "to the first successful write",
			"calls, failed", "longest call", "to the first read of a key that is not written", "reads there that began within a second", "reads, failed", "to all replicas after the return"},
		"disagree": {"on which the others do not agree", "rounds in which they agreed", "by nobody", "to the first successful write", "longest call"},
		"leave":    {"SIGTERM of one of three members", "to the end of the process", "calls meanwhile", "reads meanwhile", "calls, failed", "longest call"},
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel() // they wait for most of their time
			var out strings.Builder
			args := strings.Fields("-partitions 6 -rounds 1 -rate 100 -settle 100ms -scenario " + scenario + " -dir " + t.TempDir())
			if err := run(t.Context(), args, &out); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			// Detection is read from a member's log by the words of a line.
			if scenario == "kill" && regexp.MustCompile(`… detection +none`).MatchString(text) {
				t.Errorf("no member was seen to notice that another is down:\n%s", text)
			}
			for _, want := range append(want, "6 partitions, 100 writes per second") {
				if !strings.Contains(text, want) {
					t.Errorf("there is no %q in\n%s", want, text)
				}
			}
		})
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"-scenario dance", "-rounds 0", "-rate 0", "-reads -1", "-partitions 0", "-megabytes 0", "-members 1", "-write-mb-s -1", "-write-mb-s much", "-settle 0s", "more"} {
		if _, err := parse(strings.Fields(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// What comes over a connection in pieces of any size is seen as it is.
func TestSight(t *testing.T) {
	a, b := wire.ID{1}, wire.ID{2}
	view := func(owner uint16, epoch uint64) []byte {
		body := wire.AppendTable(nil, &wire.Table{Members: []wire.MemberInfo{{ID: a}, {ID: b}}, Partitions: []wire.PartitionRoute{{Epoch: epoch, Owner: owner}}})
		return wire.AppendAnswer(nil, &wire.Answer{ID: uint64(wire.OpTable), Flags: wire.FlagPush, Body: body})
	}
	stream := wire.AppendHelloAnswer(nil, &wire.HelloAnswer{})
	stream = append(stream, view(0, 1)...)
	stream = append(stream, wire.AppendAnswer(nil, &wire.Answer{ID: 7, Body: []byte("an answer")})...)
	stream = append(stream, view(1, 2)...)
	for size := 1; size <= len(stream); size++ {
		s := newSight()
		c := &seenConn{sight: s}
		at := time.Unix(1, 0)
		for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			c.buf = append(c.buf, rest[:min(size, len(rest))]...)
			c.look(at)
			at = at.Add(time.Second)
		}
		if c.blind || len(s.told[0]) != 2 || s.since(0, a.String(), time.Time{}) != s.told[0][1].at || !s.since(0, a.String(), at).IsZero() {
			t.Fatalf("in pieces of %d bytes: %+v", size, s.told)
		}
	}
}

func TestDurations(t *testing.T) {
	var d durations
	for i := range 100 {
		d = append(d, time.Duration(100-i)*time.Millisecond)
	}
	if got, want := d.String(), "p50 51.0 · p99 99.0 · max 100.0 ms (100)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := durations(nil).String(); got != "none" {
		t.Errorf("%s of nothing", got)
	}
}
