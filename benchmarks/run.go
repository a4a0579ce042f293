package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
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

	var opts []sdk.MapOption
	if cfg.NearCache {
		// Twice as many, so that nothing is evicted.
		opts = append(opts, sdk.WithNearCache(sdk.NearCacheConfig{MaxEntries: 2 * cfg.Keys}))
	}
	m, err := sdk.OpenMap[string, []byte](client, cfg.Map, opts...)
	if err != nil {
		return Result{}, err
	}
	n, err := m.Size(ctx)
	if err != nil {
		return Result{}, err
	}
	if n > 0 {
		return Result{}, fmt.Errorf("%w: the map %q has %d entries, which would be overwritten and destroyed", sdk.ErrInvalid, cfg.Map, n)
	}

	store := NewMapStore(m)
	if cfg.Op == OpAdd {
		numbers, err := sdk.OpenMap[string, int64](client, cfg.Map)
		if err != nil {
			return Result{}, err
		}
		store = counters{store, numbers}
	}
	l, err := NewLoad(store, cfg)
	if err != nil {
		return Result{}, err
	}
	// Also what part of the keys was written, and when ctx has ended: the client's own timeout bounds it.
	defer func() { err = errors.Join(err, m.Destroy(context.WithoutCancel(ctx))) }()
	if err := l.Fill(ctx); err != nil {
		return Result{}, err
	}

	if cfg.Listeners > 0 {
		if l.heard, err = listen(ctx, cfg); err != nil {
			return Result{}, err
		}
		defer func() { err = errors.Join(err, l.heard.close()) }()
	}

	// The size of the cluster stands in the result, since numbers mean little without it.
	status, err := client.Cluster(ctx)
	if err != nil {
		return Result{}, err
	}

	result := Result{Op: cfg.Op, Mix: cfg.mix(), Keys: cfg.Keys, Batch: cfg.Batch, Zipf: cfg.Zipf, Rate: cfg.Rate, ValueSize: cfg.ValueSize,
		Listeners: cfg.Listeners, Members: status.Members, Partitions: status.Partitions}
	if result.Op == "" {
		result.Op = opMix
	}

	for _, callers := range cfg.Callers {
		round, err := l.Round(ctx, callers)
		if err != nil {
			return Result{}, err
		}
		result.Rounds = append(result.Rounds, round)
	}
	return result, nil
}

// Round lets callers warm up and work, and returns what they did. Operations that fail are counted and do not end it.
//
// Errors: an error if the CPU time of one of PIDs cannot be read; ctx's cause; the first operation's error, if none succeeded.
func (l *Load) Round(ctx context.Context, callers int) (Round, error) {
	if l.cfg.WarmUp > 0 {
		now := time.Now()
		l.run(ctx, callers, &pace{start: now, at: now.Add(l.cfg.WarmUp), rate: int64(l.cfg.Rate)})
	}
	if l.heard != nil {
		l.heard.settle(ctx)
		l.heard.begin()
	}

	// From here on everything counts. The warm-up has filled caches and opened connections.
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

	// What is heard late was written in this round too, and costs as much.
	heard := elapsed
	if l.heard != nil {
		l.heard.settle(ctx)
		heard = time.Since(start)
	}

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

	if l.heard != nil {
		l.heard.report(&round, heard)
	}

	// Operations that nobody began count as overruns too: a rate that was not kept must not look kept.
	if l.cfg.Rate > 0 {
		round.NotBegun = p.planned() - round.Operations - round.Errors
		round.Overruns = p.late.Load() + round.NotBegun
	}

	round.Bytes = round.Operations * int64(max(1, l.cfg.Batch)) * int64(len(l.keys[0])+l.cfg.ValueSize)
	if known {
		round.setCPU(after.client-before.client, after.members-before.members, len(l.cfg.PIDs) > 0)
	}
	return round, nil
}
