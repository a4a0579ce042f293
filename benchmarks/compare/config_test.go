package main

import (
	"errors"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func parsed(t *testing.T, line string) Config {
	t.Helper()
	c, err := parseFlags(strings.Fields(line), io.Discard)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return c
}

func TestDefaultsAreEverything(t *testing.T) {
	c := parsed(t, "")
	// Three sizes, three operations by four numbers of callers; batches of the first size.
	if len(c.Cells) != 3*3*4+2 || len(c.Peers) != 8 || !slices.Equal(c.Stages, stages) || c.Rounds != 3 {
		t.Errorf("%d cells, %d peers: %+v", len(c.Cells), len(c.Peers), c)
	}
	for i, cell := range c.Cells[1:] {
		if cell.Size < c.Cells[i].Size {
			t.Errorf("%v comes after %v, and values would be written again", cell, c.Cells[i])
		}
	}
	if d := c.estimate(); d < 30*time.Minute || d > 3*time.Hour {
		t.Errorf("estimated %v", d)
	}
}

func TestQuickHasTheGoalsCells(t *testing.T) {
	c := parsed(t, "-quick")
	has := func(s side) bool {
		return slices.ContainsFunc(c.Cells, func(cell Cell) bool {
			return cell.Op == s.op && cell.Size == 100 && (cell.Callers == s.callers || s.callers == 0)
		}) && (s.peer == baselineName || slices.Contains(strings.Split(quick["peers"], ","), s.peer))
	}
	for _, g := range goals {
		if !has(g.mine) || g.other.peer != "" && !has(g.other) {
			t.Errorf("the goal %v over %v is not measured", g.mine, g.other)
		}
	}
	if d := c.estimate(); d > 6*time.Minute { // two are for starts, and the older binary
		t.Errorf("estimated %v", d)
	}
}

func TestGivenFlagsStandWithQuick(t *testing.T) {
	c := parsed(t, "-peers rueidis,gridiron-24 -duration 7s -quick -ops get -callers 3")
	if len(c.Peers) != 2 || c.Peers[0].Name != "gridiron-24" || c.Duration != 7*time.Second || !slices.Equal(c.Stages, []string{stageSpeed}) {
		t.Errorf("%+v", c)
	}
	if want := []Cell{{Op: opGet, Size: 100, Callers: 3, Batch: 1}}; !slices.Equal(c.Cells, want) {
		t.Errorf("%v, want %v", c.Cells, want)
	}
}

func TestFlagsNameAllThatIsWrong(t *testing.T) {
	_, err := parseFlags(strings.Fields("-peers redis,olric -stages fast -ops put -sizes 7,x -callers 0 -rounds 0 -keys 5 -batch 6 -duration -1s "+
		"-entries 5,4 -member-counts 10 more"), io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`peer "redis"`, `stages "fast"`, `ops "put"`, `sizes "7"`, `sizes "x"`, `callers "0"`, "rounds 0", "batch 6: want 1 to 5",
		"duration -1s", "entries 5,4", `member-counts "10"`, "more"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := parseFlags([]string{"-h"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}
