package member

import (
	"context"
	"time"

	"github.com/gridiron-io/gridiron/member/clock"
	"github.com/gridiron-io/gridiron/partition/meta"
)

const (
	// compareEvery is how often the clock is compared with the peers' clocks when no sample has shown that it is behind.
	compareEvery = 100 * time.Millisecond
	// transferFor bounds how long a member whose clock is behind waits for others to take over what it owned.
	transferFor = 3 * time.Second
	// alarmAfter is for how long the members' clocks must disagree by more than clock.AlarmDisagreement until the log says so.
	alarmAfter = 10 * time.Second
)

// inStep keeps the member from owning anything under a wrong time. While its clock is behind, because its machine was suspended, the
// member gives its partitions to others, steps its clock forward, and takes part again. While its clock is ahead, others take over
// what they can. It owns one goroutine.
type inStep struct {
	m    *Member
	wake chan struct{} // one slot: a sample has shown that the clock is behind

	// The following belong to the goroutine.
	standing clock.Standing // what the log says
	apart    time.Time      // since when the clocks disagree; zero if they do not
	alarmed  bool           // the log says that they do
}

func newInStep(m *Member) *inStep { return &inStep{m: m, wake: make(chan struct{}, 1)} }

// notify has the clock looked at soon. It never blocks.
func (s *inStep) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run looks at the clock until the member stops.
func (s *inStep) run() {
	m := s.m
	defer m.wg.Done()
	tick := time.NewTicker(compareEvery)
	defer tick.Stop()
	for {
		standing, gap := m.clock.Standing()
		s.say(standing, gap)
		if standing == clock.Behind && !m.isClosing() {
			s.stepForward()
			standing, gap = m.clock.Standing()
			s.say(standing, gap)
		}
		s.alarm(time.Now())
		select {
		case <-s.wake:
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
	}
}

// stepForward has others own what this member owns, and then steps the clock. Nobody may be there to take over: then what was owned
// here is released all the same, and taken again afterwards.
func (s *inStep) stepForward() {
	m := s.m
	if host := m.dataHost(); host != nil {
		ctx, cancel := context.WithTimeout(m.ctx, transferFor)
		defer cancel()
		host.Release(ctx)
		for p := range m.partitions() {
			if host.Serving(p) != 0 {
				return // it came to be owned meanwhile: the next look is soon
			}
		}
	}
	if by := m.clock.StepForward(); by > 0 {
		m.log.Info("the clock was stepped forward to the other members' time", "by", by.Round(time.Millisecond).String())
	}
}

// say logs a change of the clock's standing.
func (s *inStep) say(standing clock.Standing, gap time.Duration) {
	if standing == s.standing {
		return
	}
	s.standing = standing
	by := gap.Abs().Round(time.Millisecond).String()
	switch standing {
	case clock.Behind:
		s.m.log.Warn("the clock is behind the other members', as after a suspension of the machine: this member owns nothing until its clock is right",
			"event", "CLOCK_BEHIND", "by", by)
	case clock.Ahead:
		s.m.log.Warn("the clock is ahead of most other members': they take over what this member owns; restart it to have it take their time",
			"event", "CLOCK_AHEAD", "by", by)
	default:
		s.m.log.Info("the clock is in step with the other members': this member may own partitions again", "event", "CLOCK_IN_STEP")
	}
	s.m.views.notify()
}

// alarm logs that the members' clocks have disagreed for a while, and that they agree again.
func (s *inStep) alarm(now time.Time) {
	apart := s.m.clock.Disagreement()
	switch {
	case apart <= clock.AlarmDisagreement:
		if s.alarmed {
			s.m.log.Info("the members' clocks agree again")
		}
		s.apart, s.alarmed = time.Time{}, false
	case s.apart.IsZero():
		s.apart = now
	case !s.alarmed && now.Sub(s.apart) >= alarmAfter:
		s.alarmed = true
		s.m.log.Warn("the members' clocks disagree", "by", apart.Round(time.Millisecond).String(), "limit", clock.AlarmDisagreement.String())
	}
}

// outOfStep counts the members that live and whose clock is not the one that most agree on, as far as this member knows.
func (m *Member) outOfStep(v *meta.View) (n uint32) {
	for i := range v.Members {
		mb := &v.Members[i]
		switch {
		case !mb.Live():
		case mb.ID == m.id:
			if s, _ := m.clock.Standing(); s != clock.InStep {
				n++
			}
		case m.peers.answers(mb.ID, mb.Incarnation) && !m.clock.Agrees(mb.ID):
			n++
		}
	}
	return n
}
