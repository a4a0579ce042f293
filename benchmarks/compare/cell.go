package main

import (
	"fmt"
	"strings"

	"github.com/gridiron-io/gridiron/benchmarks"
)

// Operations of cells.
const (
	opGet    = "get"
	opSet    = "set"
	opMixed  = "mixed" // four gets to one set
	opSetAll = "setall"
	opGetAll = "getall"
)

var allOps = []string{opGet, opSet, opMixed, opSetAll, opGetAll}

// Cell is what is measured of each peer.
type Cell struct {
	Op      string `json:"op"`
	Size    int    `json:"value_bytes"`
	Callers int    `json:"callers"`
	Batch   int    `json:"batch"` // keys of an operation; 1 for single ones
	Members int    `json:"members"`
}

// cells returns all cells in the order in which they are measured: those of a size together, because values are written again for each.
func cells(ops []string, sizes, callers []int, batch, batchCallers int) (list []Cell) {
	for i, size := range sizes {
		for _, op := range ops {
			if op != opSetAll && op != opGetAll {
				for _, n := range callers {
					list = append(list, Cell{Op: op, Size: size, Callers: n, Batch: 1})
				}
			} else if i == 0 {
				list = append(list, Cell{Op: op, Size: size, Callers: batchCallers, Batch: batch})
			}
		}
	}
	return list
}

// String returns the cell as in a progress line.
func (c Cell) String() string {
	return fmt.Sprintf("%s of %s by %d callers", c.title(), bytesText(c.Size), c.Callers)
}

// title returns the operation for people.
func (c Cell) title() string {
	switch c.Op {
	case opMixed:
		return "80 % Get, 20 % Set"
	case opSetAll:
		return fmt.Sprintf("SetAll of %d", c.Batch)
	case opGetAll:
		return fmt.Sprintf("GetAll of %d", c.Batch)
	}
	return strings.ToUpper(c.Op[:1]) + c.Op[1:]
}

// load returns how callers work in this cell.
func (c Cell) load(cfg *Config, pids []int) benchmarks.Config {
	l := benchmarks.Config{Callers: []int{c.Callers}, Keys: cfg.Keys, ValueSize: c.Size, Duration: cfg.Duration, WarmUp: cfg.WarmUp, PIDs: pids}
	if c.Batch > 1 {
		l.Batch = c.Batch
	}
	l.Op = map[string]benchmarks.Op{opGet: benchmarks.OpGet, opGetAll: benchmarks.OpGet, opSet: benchmarks.OpSet, opSetAll: benchmarks.OpSet,
		opMixed: benchmarks.OpMixed}[c.Op]
	return l
}

func bytesText(n int) string {
	if n >= 1000 && n%1000 == 0 {
		return fmt.Sprintf("%d KB", n/1000)
	}
	return fmt.Sprintf("%d B", n)
}
