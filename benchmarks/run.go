package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Run connects, writes the keys, lets the callers of each round work, and destroys the map. Operations that fail are counted
// and do not end it. ctx bounds it all; when it ends early, so does Run, with its error.
//
// Errors: sdk.ErrInvalid for an invalid Config and for a map that is not empty. What Connect, SetAll and Destroy report. An error if the
// CPU time of one of PIDs cannot be read. The first operation's error, if no operation of a round succeeded.
func Run(ctx context.Context, cfg Config) (_ Result, err error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}

	client, err := cfg.Connect(ctx, cfg.Servers)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()

	l, err := newLoad(cfg, client)
	if err != nil {
		return Result{}, err
	}
	if err := l.fill(ctx); err != nil {
		return Result{}, err
	}
	// Also when ctx has ended: the client's own timeout bounds it.
	defer func() { err = errors.Join(err, l.m.Destroy(context.WithoutCancel(ctx))) }()

	status, err := client.Cluster(ctx)
	if err != nil {
		return Result{}, err
	}

	result := Result{Op: cfg.Op, Mix: cfg.mix(), Keys: cfg.Keys, Zipf: cfg.Zipf, Rate: cfg.Rate, ValueSize: cfg.ValueSize,
		Members: status.Members, Partitions: status.Partitions}
	if result.Op == "" {
		result.Op = opMix
	}

	for _, callers := range cfg.Callers {
		round, err := l.round(ctx, callers)
		if err != nil {
			return Result{}, err
		}
		result.Rounds = append(result.Rounds, round)
	}
	return result, nil
}

// round warms up and measures.
func (l *load) round(ctx context.Context, callers int) (Round, error) {
	if l.cfg.WarmUp > 0 {
		now := time.Now()
		l.run(ctx, callers, &pace{start: now, at: now.Add(l.cfg.WarmUp), rate: int64(l.cfg.Rate)})
	}

	l.cfg.Measuring(true)
	before, err := readCPU(l.cfg.PIDs)
	known := err == nil
	// A system without /proc has no CPU times to show. That is a failure only if members' processes were named.
	if err != nil && (len(l.cfg.PIDs) > 0 || !errors.Is(err, errNoProc)) {
		return Round{}, err
	}

	start := time.Now()
	p := &pace{start: start, operations: l.cfg.Operations, at: start.Add(l.cfg.Duration), rate: int64(l.cfg.Rate)}
	r := l.run(ctx, callers, p)
	elapsed := time.Since(start)

	var after cpuTimes
	if known {
		if after, err = readCPU(l.cfg.PIDs); err != nil {
			return Round{}, err
		}
	}

	l.cfg.Measuring(false)
	if ctx.Err() != nil {
		return Round{}, context.Cause(ctx)
	}

	round := newRound(callers, r, elapsed)
	if round.Operations == 0 {
		return Round{}, fmt.Errorf("no operation of %d callers succeeded: %w", callers, r.err)
	}

	if l.cfg.Rate > 0 {
		round.NotBegun = p.planned() - round.Operations - round.Errors
		round.Overruns = p.late.Load() + round.NotBegun
	}

	round.Bytes = round.Operations * int64(len(l.keys[0])+l.cfg.ValueSize)
	if known {
		round.setCPU(after.client-before.client, after.members-before.members, len(l.cfg.PIDs) > 0)
	}
	return round, nil
}
