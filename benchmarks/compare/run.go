package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/compare/peers"
)

const (
	// passDuration is the time of a cell in the round that is not counted: code is compiled, connections are opened, maps grow.
	passDuration = time.Second
	// idleTime is how long clusters are watched without work.
	idleTime = 5 * time.Second
)

// run measures all stages. What was measured until an error is in the result.
func run(ctx context.Context, cfg *Config, site *peers.Site, say func(string, ...any)) (*Result, error) {
	r := &Result{Started: time.Now(), Machine: machine(ctx)}
	var err error
	if slices.Contains(cfg.Stages, stageSpeed) {
		err = speed(ctx, cfg, site, r, say)
	}
	if err == nil && slices.Contains(cfg.Stages, stageMembers) {
		err = memberCounts(ctx, cfg, site, r, say)
	}
	if err == nil && slices.Contains(cfg.Stages, stageMemory) {
		err = memory(ctx, cfg, site, r, say)
	}

	// Also after an error: what was measured until then may reach goals.
	r.Goals = judge(r, cfg.Members)
	return r, err
}

// speed measures all cells.
func speed(ctx context.Context, cfg *Config, site *peers.Site, r *Result, say func(string, ...any)) (err error) {
	say("speed: %d cells, %d peers, %d rounds: about %.0f minutes", len(cfg.Cells), len(cfg.Peers), cfg.Rounds, cfg.estimate().Minutes())
	f := startFleet(ctx, site, cfg.Peers, cfg.Members, say, func(peer, why string) { r.skip(peer, "all", why) })
	defer func() { err = errors.Join(err, f.stop()) }()

	for _, one := range f.running {
		r.Peers = append(r.Peers, Took{Name: one.peer.Name, About: one.cluster.About, Copies: one.cluster.Copies})
	}

	if err := idle(ctx, f, r); err != nil {
		return err
	}

	list := make([]Cell, len(cfg.Cells))
	for i, c := range cfg.Cells {
		c.Members = cfg.Members
		list[i] = c
	}
	return rounds(ctx, cfg, f, list, r, say)
}

// memberCounts measures clusters of several sizes.
func memberCounts(ctx context.Context, cfg *Config, site *peers.Site, r *Result, say func(string, ...any)) error {
	for _, n := range cfg.Counts {
		say("clusters of %d", n)
		if err := oneCount(ctx, cfg, site, n, r, say); err != nil {
			return err
		}
	}
	return nil
}

func oneCount(ctx context.Context, cfg *Config, site *peers.Site, n int, r *Result, say func(string, ...any)) (err error) {
	const size, callers = 100, 512
	var list []Cell
	for _, op := range []string{opGet, opSet} {
		c := Cell{Op: op, Size: size, Callers: callers, Batch: 1, Members: n}
		if s := r.Cells; !slices.ContainsFunc(s, func(s Series) bool { return s.Cell == c }) { // else the speed stage has it
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil
	}

	f := startFleet(ctx, site, cfg.Peers, n, say, func(peer, why string) { r.skip(peer, "members", why) })
	defer func() { err = errors.Join(err, f.stop()) }()
	return rounds(ctx, cfg, f, list, r, say)
}

// rounds measures cells of all that runs: first a round that is not counted, then those that are.
func rounds(ctx context.Context, cfg *Config, f *fleet, list []Cell, r *Result, say func(string, ...any)) error {
	base := &baseline{binary: cfg.Baseline}
	for round := range cfg.Rounds + 1 {
		say("round %d of %d", round, cfg.Rounds)
		for _, c := range list {
			for i := range f.running {
				// Another one begins in each round, so nobody always follows the same.
				one := f.running[(i+round)%len(f.running)]
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				measured := one.measure(ctx, cfg, c, round == 0)
				if round > 0 {
					r.add(one.peer.Name, c, measured)
				}
				if measured.Error != "" {
					say("%s, %v: %d operations failed: %s", one.peer.Name, c, measured.Errors, measured.Error)
				}
			}

			// The older program comes last in its cell, right after the others.
			if round > 0 && base.measures(c) {
				measured := base.measure(ctx, cfg, c)
				r.add(baselineName, c, measured)
				if measured.Error != "" {
					say("%s, %v: %s", baselineName, c, measured.Error)
				}
			}
		}
	}
	return nil
}

// measure measures one cell once.
func (one *runner) measure(ctx context.Context, cfg *Config, c Cell, pass bool) Round {
	if err := one.fill(ctx, cfg.Keys, c.Size); err != nil {
		return Round{Error: err.Error()}
	}

	load := c.load(cfg, one.cluster.PIDs)
	if pass {
		load.Duration, load.WarmUp = min(passDuration, cfg.Duration), 0
	}

	l, err := benchmarks.NewLoad(one.client, load)
	if err != nil {
		return Round{Error: err.Error()}
	}
	runtime.GC() // what the peer before has left behind is not this one's
	measured, err := l.Round(ctx, c.Callers)
	return newRound(c, measured, err)
}
