package liveness

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// pingScript drives a peer by a clock of the test's own.
type pingScript struct {
	*testing.T
	pr  *peer
	now time.Time
}

func newPingScript(t *testing.T) *pingScript {
	now := time.Now().Add(-time.Hour)
	return &pingScript{t, newPeer(wire.ID{1}, func() {}, now), now}
}

func (s *pingScript) pass(d time.Duration) { s.now = s.now.Add(d) }

// misses has pings fail for a while, one every 100 ms, as they do when the other side is silent.
func (s *pingScript) misses(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		began := s.now
		s.pass(PingEvery)
		s.pr.missed(began, s.now, errors.New("silence"))
	}
}

func (s *pingScript) hears(incarnation byte) {
	s.pr.heard(&wire.PingResult{}, wire.ID{incarnation}, s.now)
}

func (s *pingScript) is(what string, suspect, unreachable bool) {
	s.Helper()
	if s.pr.suspect != suspect || s.pr.unreachable != unreachable {
		s.Fatalf("%s: suspect %t, unreachable %t; want %t, %t", what, s.pr.suspect, s.pr.unreachable, suspect, unreachable)
	}
}

func TestSilence(t *testing.T) {
	s := newPingScript(t)
	s.hears(1)
	s.misses(300 * time.Millisecond)
	s.is("after 300 ms", false, false)
	s.misses(200 * time.Millisecond)
	s.is("after 500 ms", true, false)
	s.hears(1)
	s.is("when it answers", false, false)
	s.misses(700 * time.Millisecond)
	s.is("after 700 ms, having been wrong once", false, false)
	s.misses(200 * time.Millisecond)
	s.is("after 900 ms, having been wrong once", true, false)
	for range 5 {
		s.hears(1)
		s.misses(3 * time.Second)
	}
	s.hears(1)
	s.misses(1900 * time.Millisecond)
	s.is("after 1.9 s, having been wrong often", false, false)
	s.misses(300 * time.Millisecond)
	s.is("after 2.2 s, having been wrong often", true, false)
	s.hears(2)
	s.misses(500 * time.Millisecond)
	s.is("after 500 ms, of another process, about which nobody has been wrong", true, false)
}

func TestSilenceWhileHeldUp(t *testing.T) {
	s := newPingScript(t)
	s.hears(1)
	began := s.now
	s.pass(3 * time.Second) // this process did not run
	s.pr.missed(began, s.now, errors.New("silence"))
	s.is("after 3 s in which this process was held up", false, false)
	s.misses(300 * time.Millisecond)
	s.is("300 ms later", false, false)
	s.misses(200 * time.Millisecond)
	s.is("500 ms later", true, false)
}

func TestGone(t *testing.T) {
	s := newPingScript(t)
	s.hears(1)
	refused := fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	if !s.pr.missed(s.now, s.now, refused) {
		t.Error("that it is unreachable is no news")
	}
	s.is("when nobody listens", false, true)
	if s.pr.missed(s.now, s.now, refused) {
		t.Error("it is news a second time")
	}
	s.hears(2)
	s.is("when its next process answers", false, false)
	if s.pr.patience != minPatience {
		t.Errorf("a restart was taken for a false alarm: patience %v", s.pr.patience)
	}
}

func TestOwnedList(t *testing.T) {
	s := newPingScript(t)
	list := []wire.Owned{{Partition: 1, Epoch: 5}}
	if _, owned := s.pr.heard(&wire.PingResult{Version: 1, Changed: true, Owned: list}, wire.ID{1}, s.now); len(owned) != 1 {
		t.Errorf("news: %v", owned)
	}
	if _, owned := s.pr.heard(&wire.PingResult{Version: 1}, wire.ID{1}, s.now); owned != nil {
		t.Errorf("no news: %v", owned)
	}
	if said, _, _, _ := s.pr.word(); len(said.Owned) != 1 {
		t.Errorf("the list is forgotten: %v", said.Owned)
	}
	s.pr.heard(&wire.PingResult{}, wire.ID{2}, s.now)
	if said, _, _, _ := s.pr.word(); len(said.Owned) != 0 {
		t.Errorf("the next process is thought to own what the one before did: %v", said.Owned)
	}
}
