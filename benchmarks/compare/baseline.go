package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// baselineName is the peer that an older grid binary is.
const baselineName = "gridiron-271 before"

// baselineWarmUp is for members that have just been started.
const baselineWarmUp = time.Second

// baseline is an older grid binary. It has its own client: each measurement is a run of its "grid bench", which starts members and ends them.
type baseline struct{ binary string }

// measures reports whether a cell is measured: those of the goals, because each takes the start of a cluster.
func (b *baseline) measures(c Cell) bool {
	return b.binary != "" && c.Members == 3 && c.Size == 100 && (c.Op == opGet || c.Op == opSet) && c.Callers == 64
}

// benched is what "grid bench -o json" prints of a round.
type benched struct {
	PerSecond  float64  `json:"per_second"`
	P50        float64  `json:"p50_us"`
	P90        float64  `json:"p90_us"`
	P99        float64  `json:"p99_us"`
	P999       float64  `json:"p999_us"`
	Max        float64  `json:"max_us"`
	CPU        *float64 `json:"cpu_us"`
	ClientCPU  *float64 `json:"client_cpu_us"`
	Errors     int64    `json:"errors"`
	FirstError *string  `json:"first_error"`
}

func (b *baseline) measure(ctx context.Context, cfg *Config, c Cell) Round {
	cmd := exec.CommandContext(ctx, b.binary, "bench", "-o", "json", "--members", strconv.Itoa(c.Members), "--partitions", "271", "--op", c.Op,
		"--callers", strconv.Itoa(c.Callers), "--keys", strconv.Itoa(cfg.Keys), "--size", strconv.Itoa(c.Size),
		"--duration", cfg.Duration.String(), "--warm-up", max(cfg.WarmUp, baselineWarmUp).String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr

	out, err := cmd.Output()
	if err != nil {
		return Round{Error: fmt.Sprintf("%v: %s", err, bytes.TrimSpace(stderr.Bytes()))}
	}

	r, err := parseBenched(out)
	if err != nil {
		return Round{Error: err.Error()}
	}
	return r
}

// parseBenched reads the one round that was printed.
func parseBenched(out []byte) (Round, error) {
	var list []benched
	if err := json.Unmarshal(out, &list); err != nil {
		return Round{}, fmt.Errorf("read what grid bench printed: %w", err)
	}

	// One number of callers was asked for, so one round must come back.
	if len(list) != 1 {
		return Round{}, errors.New("grid bench printed not one round")
	}

	p := list[0]
	r := Round{PerSecond: p.PerSecond, P50: p.P50, P90: p.P90, P99: p.P99, P999: p.P999, Max: p.Max, Errors: p.Errors}
	if p.CPU != nil && p.ClientCPU != nil {
		r.CPU, r.ClientCPU = *p.CPU, *p.ClientCPU
	}
	if p.FirstError != nil {
		r.Error = *p.FirstError
	}
	return r, nil
}
