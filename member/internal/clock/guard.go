package clock

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/cadence"
)

const (
	// compareEvery is how often the clock is compared with the peers' clocks when no sample has shown that it is behind.
	compareEvery = 100 * time.Millisecond
	// transferFor bounds how long a member whose clock is behind waits for others to take over what it owned.
	transferFor = 3 * time.Second
	// alarmAfter is for how long the members' clocks must disagree by more than AlarmDisagreement until the log says so.
	alarmAfter = 10 * time.Second
)

// GuardConfig is what a Guard needs of the member around it.
type GuardConfig struct {
	Clock *Clock
	Log   *slog.Logger

	// Closing reports whether the member stops, so that it need not be put right any more.
	Closing func() bool
	// Release has others own what this member owns, as far as anybody is there to take over. It reports whether nothing is owned here.
	Release func(ctx context.Context) bool
	// Changed is called when the member may own partitions again, or must not any more. It does not block.
	Changed func()
}

// Guard keeps a member from owning anything under a wrong time. While the clock is behind, because the machine was suspended, the member
// gives its partitions to others, steps its clock forward, and takes part again. While its clock is ahead, others take over what
// they can. It is made by NewGuard, works from Start, and ends with its context.
type Guard struct {
	cfg  GuardConfig
	wake chan struct{} // one slot: a sample has shown that the clock is behind
	wg   sync.WaitGroup

	// The following belong to the goroutine.
	standing Standing  // what the log says
	apart    time.Time // since when the clocks disagree; zero if they do not
	alarmed  bool      // the log says that they do
}

// NewGuard returns a guard that does nothing yet.
func NewGuard(cfg GuardConfig) *Guard { return &Guard{cfg: cfg, wake: make(chan struct{}, 1)} }

// Notify has the clock looked at soon. It never blocks.
func (s *Guard) Notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Start looks at the clock until ctx ends.
func (s *Guard) Start(ctx context.Context) {
	s.wg.Add(1)
	go s.run(ctx) // ends with ctx
}

// Wait waits for what Start has begun. Its context has ended.
func (s *Guard) Wait() { s.wg.Wait() }

func (s *Guard) run(ctx context.Context) {
	defer s.wg.Done()
	tick := time.NewTimer(cadence.Next(compareEvery))
	defer tick.Stop()
	for {
		standing, gap := s.cfg.Clock.Standing()
		s.say(standing, gap)
		// A clock that is ahead is left alone: it is slewed, and must never go back.
		if standing == Behind && !s.cfg.Closing() {
			s.stepForward(ctx)
			standing, gap = s.cfg.Clock.Standing()
			s.say(standing, gap)
		}

		// Disagreement is told whether or not this clock is the one that is wrong.
		s.alarm(time.Now())

		select {
		case <-s.wake:
		case <-tick.C:
			tick.Reset(cadence.Next(compareEvery))
		case <-ctx.Done():
			return
		}
	}
}

// stepForward has others own what this member owns, and then steps the clock. Nobody may be there to take over: then what was owned
// here is released all the same, and taken again afterwards.
func (s *Guard) stepForward(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, transferFor)
	defer cancel()
	// A step while something is owned could make an entry expire early, or a lease end early.
	if !s.cfg.Release(ctx) {
		// Something is still owned here. The next look tries again.
		return
	}

	if by := s.cfg.Clock.StepForward(); by > 0 {
		s.cfg.Log.Info("the clock was stepped forward to the other members' time", "by", by.Round(time.Millisecond).String())
	}
}

// say logs a change of the clock's standing.
func (s *Guard) say(standing Standing, gap time.Duration) {
	if standing == s.standing {
		return
	}

	s.standing = standing

	by := gap.Abs().Round(time.Millisecond).String()
	switch standing {
	case Behind:
		s.cfg.Log.Warn("the clock is behind the other members', as after a suspension of the machine: this member owns nothing until its clock is right",
			"event", "CLOCK_BEHIND", "by", by)
	case Ahead:
		s.cfg.Log.Warn("the clock is ahead of most other members': they take over what this member owns; restart it to have it take their time",
			"event", "CLOCK_AHEAD", "by", by)
	default:
		s.cfg.Log.Info("the clock is in step with the other members': this member may own partitions again", "event", "CLOCK_IN_STEP")
	}
	// The partitions are looked at again, since the clock's standing decides whether this member may own any.
	s.cfg.Changed()
}

// alarm logs that the members' clocks have disagreed for a while, and that they agree again.
func (s *Guard) alarm(now time.Time) {
	apart := s.cfg.Clock.Disagreement()
	switch {
	case apart <= AlarmDisagreement:
		// The end of the alarm is told only to those who have heard of its beginning.
		if s.alarmed {
			s.cfg.Log.Info("the members' clocks agree again")
		}
		s.apart, s.alarmed = time.Time{}, false
	case s.apart.IsZero():
		// The log waits for alarmAfter: the clocks are being slewed, and may agree by then.
		s.apart = now
	case !s.alarmed && now.Sub(s.apart) >= alarmAfter:
		s.alarmed = true
		s.cfg.Log.Warn("the members' clocks disagree", "by", apart.Round(time.Millisecond).String(), "limit", AlarmDisagreement.String())
	}
}
