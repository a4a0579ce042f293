package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/benchmarks/proc"
)

// seen is what the calls of a stretch of load came to.
type seen struct {
	calls, failed int
	firstError    error
	longest       time.Duration
	took          durations
}

// add takes in the calls of a kind that began between two moments.
func (s *seen) add(list []sample, k kind, from, to time.Time) {
	for i := range list {
		one := &list[i]
		if one.kind != k || one.began.Before(from) || one.began.After(to) {
			continue
		}

		if s.calls++; one.err != nil {
			if s.failed++; s.firstError == nil {
				s.firstError = one.err
			}
		}

		s.longest = max(s.longest, one.took)
		s.took = append(s.took, one.took)
	}
}

// readsOf returns how long the reads of some partitions took that began between two moments.
func readsOf(list []sample, partitions []int, from, to time.Time) (took durations) {
	for i := range list {
		if s := &list[i]; s.kind == read && slices.Contains(partitions, s.partition) && !s.began.Before(from) && s.began.Before(to) {
			took = append(took, s.took)
		}
	}
	return took
}

// aside is how long before a fault a call must have begun to be one that has nothing to do with it.
const aside = 100 * time.Millisecond

// say tells of a round.
func (o *options) say(format string, args ...any) {
	if o.verbose {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

// faultKind is what becomes of a member.
type faultKind struct {
	title string
	sig   syscall.Signal
	// disputed: the others answer each other too slowly to agree that the member is down. Only the election timeout is left then.
	disputed bool
	flags    []string // of the members
}

var (
	killed   = faultKind{title: "kill -9 of one of three members", sig: syscall.SIGKILL}
	paused   = faultKind{title: "SIGSTOP of one of three members", sig: syscall.SIGSTOP}
	disputed = faultKind{title: "kill -9 of one of three members on which the others do not agree", sig: syscall.SIGKILL, disputed: true,
		flags: []string{"--mediate", "127.0.0.2"}}
)

// fault kills or pauses the member that owns most, again and again, and brings it back each time.
func (o *options) fault(ctx context.Context, kind faultKind) (r report, err error) {
	const members = 3
	r.title = kind.title

	cl, err := o.start(ctx, members, kind.flags...)
	if err != nil {
		return r, err
	}
	defer cl.close()

	var total, unwritten, soon, detection, election, retry, back durations
	var all, looks seen
	affected, agreed := 0, 0
	for round := range o.rounds {
		victim, partitions, err := cl.most(ctx, members)
		if err != nil {
			return r, err
		}

		id, err := cl.id(ctx, victim)
		if err != nil {
			return r, err
		}

		// The load is started for each round, so that a round's calls are its own.
		l, err := startLoad(ctx, cl.measured, o.partitions, o.rate, o.reads)
		if err != nil {
			return r, err
		}

		// Load before the fault shows that the calls went well until then.
		if err := benchmarks.Wait(ctx, o.settle); err != nil {
			l.stop()
			return r, err
		}

		if kind.disputed {
			if err := cl.each(members, standin.BeginSlow); err != nil {
				l.stop()
				return r, err
			}
		}

		began := time.Now()

		// A killed process is waited for. A paused one stays, and only falls silent.
		if err = cl.Signal(victim, kind.sig); err == nil && kind.sig == syscall.SIGKILL {
			<-cl.Exited(victim)
		}

		down := time.Now()
		l.try(ctx, partitions)

		if err == nil {
			if err = l.await(ctx, partitions, down); err == nil {
				err = benchmarks.Wait(ctx, o.settle)
			}
		}

		if kind.disputed && err == nil {
			err = cl.each(members, standin.EndSlow)
		}

		samples := l.stop()
		if err != nil {
			return r, err
		}

		noticed, err := cl.noticed(began)
		if err != nil {
			return r, err
		}
		switch {
		case kind.disputed && !noticed.IsZero() && noticed.Before(l.last(partitions, down)):
			// The answers came so late that the members agreed after all. Such a round measures something else.
			agreed++
			all.add(samples, write, began.Add(-awaitFor), time.Now())
			looks.add(samples, read, began.Add(-awaitFor), time.Now())
			if back, err = o.bringBack(ctx, cl, victim, members, back); err != nil {
				return r, err
			}
			continue
		case kind.disputed:
			noticed = began // the time for the election runs from the last that was heard of the leader
		case !noticed.IsZero():
			detection = append(detection, noticed.Sub(began))
		}

		// Times count from the signal, which includes what detection and election take.
		first, _ := l.firsts(write, partitions, down)
		firstRead, _ := l.firsts(read, partitions, down)
		var mine, theirs durations
		for _, p := range partitions {
			mine = append(mine, first[p].Sub(began))
			if o.reads > 0 {
				theirs = append(theirs, firstRead[p].Sub(began))
			}

			if told := cl.sight.since(p, id, began); !told.IsZero() {
				if !noticed.IsZero() {
					election = append(election, told.Sub(noticed))
				}
				retry = append(retry, first[p].Sub(told))
			}
		}

		unwritten = append(unwritten, theirs...)
		soon = append(soon, readsOf(samples, partitions, began, began.Add(time.Second))...)
		total, affected = append(total, mine...), affected+len(partitions)
		all.add(samples, write, began.Add(-awaitFor), time.Now())
		looks.add(samples, read, began.Add(-awaitFor), time.Now())

		o.say("round %d: member %d with %d partitions: noticed after %v, first writes after %v, first reads after %v; longest call %v, %d failed",
			round+1, victim, len(partitions), noticed.Sub(began).Round(time.Millisecond), mine, theirs, all.longest.Round(time.Millisecond), all.failed)
		if back, err = o.bringBack(ctx, cl, victim, members, back); err != nil {
			return r, err
		}
	}

	r.rowf("rounds, partitions affected", "%d, %d", o.rounds, affected)
	if kind.disputed {
		r.rowf("rounds in which they agreed, not counted", "%d", agreed)
	}

	r.spread("to the first successful write", total)
	if kind.disputed {
		r.rowf("… detection", "by nobody")
	} else {
		r.spread("… detection", detection)
	}
	r.spread("… election, until the client is told", election)
	r.spread("… client's retry", retry)
	r.calls(all)
	if o.reads > 0 {
		r.spread("to the first read of a key that is not written", unwritten)
		r.spread("reads there that began within a second", soon)
		r.reads(looks)
	}
	r.spread("to all replicas after the return", back)
	return r, nil
}

// each signals all members that run.
func (cl *cluster) each(members int, sig syscall.Signal) error {
	for i := range members {
		if err := cl.Signal(i, sig); err != nil && !errors.Is(err, proc.ErrNotRunning) {
			return err
		}
	}
	return nil
}

// bringBack starts a member again that was killed, paused or stopped, and waits until the cluster is whole. A paused member is killed: the
// other members would have more patience with a process that was silent before and came back.
func (o *options) bringBack(ctx context.Context, cl *cluster, i, members int, back durations) (durations, error) {
	began := time.Now()
	if err := o.restart(ctx, cl, i); err != nil {
		return back, err
	}

	if err := cl.whole(ctx, members); err != nil {
		return back, err
	}

	return append(back, time.Since(began)), nil
}

func (o *options) restart(ctx context.Context, cl *cluster, i int) error {
	ctx, cancel := context.WithTimeout(ctx, awaitFor)
	defer cancel()
	return cl.Restart(ctx, i)
}

// leave stops the member that owns most in good order, and starts it again.
func (o *options) leave(ctx context.Context) (r report, err error) {
	const members = 3
	r.title = "SIGTERM of one of three members"

	cl, err := o.start(ctx, members)
	if err != nil {
		return r, err
	}
	defer cl.close()

	var gone, back durations
	var before, during, looks seen
	affected := 0
	for round := range o.rounds {
		victim, partitions, err := cl.most(ctx, members)
		if err != nil {
			return r, err
		}

		affected += len(partitions)

		l, err := startLoad(ctx, cl.measured, o.partitions, o.rate, o.reads)
		if err != nil {
			return r, err
		}

		started := time.Now()
		if err = benchmarks.Wait(ctx, o.settle); err != nil {
			l.stop()
			return r, err
		}

		began := time.Now()

		// The leave is bounded, since a member that never ends would stop the measurement.
		stopping, cancel := context.WithTimeout(ctx, awaitFor)
		err = cl.Stop(stopping, victim)
		cancel()
		took := time.Since(began)
		if err == nil {
			err = benchmarks.Wait(ctx, o.settle)
		}

		samples := l.stop()
		if err != nil {
			return r, err
		}

		gone = append(gone, took)
		before.add(samples, write, started, began.Add(-aside))
		during.add(samples, write, began.Add(-aside), time.Now())
		looks.add(samples, read, began.Add(-aside), time.Now())

		o.say("round %d: member %d with %d partitions left in %v; longest call %v, %d failed", round+1, victim, len(partitions),
			took.Round(time.Millisecond), during.longest.Round(time.Millisecond), during.failed)
		if back, err = o.bringBack(ctx, cl, victim, members, back); err != nil {
			return r, err
		}
	}

	r.rowf("rounds, partitions transferred", "%d, %d", o.rounds, affected)
	r.spread("from SIGTERM to the end of the process", gone)
	r.spread("calls before", before.took)
	r.spread("calls meanwhile", during.took)
	r.calls(during)
	if o.reads > 0 {
		r.spread("reads meanwhile", looks.took)
		r.reads(looks)
	}
	r.spread("to all replicas after the return", back)
	return r, nil
}

// held counts the replicas of a member.
func (cl *cluster) held(ctx context.Context, member int) (n int, err error) {
	id, err := cl.id(ctx, member)
	if err != nil {
		return 0, err
	}

	_, list, err := cl.owners(ctx)
	for _, p := range list {
		for _, r := range p.Replicas {
			if r == id {
				n++
			}
		}
	}
	return n, err
}
