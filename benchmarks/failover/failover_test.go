package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestMain(m *testing.M) {
	standin.Main()
	os.Exit(m.Run())
}

// TestScenarios runs three of the scenarios in small: every number is there, and no call fails.
func TestScenarios(t *testing.T) {
	var out strings.Builder
	args := strings.Fields("-scenario kill,disagree,leave -partitions 12 -rounds 1 -rate 200 -settle 200ms -dir " + t.TempDir())
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, want := range []string{
		"12 partitions, 200 writes per second", "kill -9 of one of three members", "SIGTERM of one of three members",
		"on which the others do not agree", "by nobody",
		"to the first successful write", "… detection", "… election", "… client's retry", "longest call", "to the end of the process",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "calls, failed") && !strings.HasSuffix(strings.TrimSpace(line), ", 0") {
			t.Errorf("calls failed:\n%s", text)
		}
		if strings.HasSuffix(strings.TrimSpace(line), "none") {
			t.Errorf("nothing was measured: %s", line)
		}
	}
}

func TestParse(t *testing.T) {
	for _, bad := range []string{"-scenario dance", "-rounds 0", "-rate 0", "-partitions 0", "-megabytes 0", "-members 1", "-write-mb-s -1", "-write-mb-s much", "-settle 0s", "more"} {
		if _, err := parse(strings.Fields(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// What comes over a connection in pieces of any size is seen as it is.
func TestSight(t *testing.T) {
	a, b := wire.ID{1}, wire.ID{2}
	view := func(owner uint16, epoch uint64) []byte {
		body := wire.AppendView(nil, &wire.View{Members: []wire.MemberInfo{{ID: a}, {ID: b}}, Partitions: []wire.PartitionView{{Epoch: epoch, Owner: owner}}})
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
