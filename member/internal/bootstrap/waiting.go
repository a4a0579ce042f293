package bootstrap

import (
	"fmt"
	"strings"
)

// maxLogKeys bounds the kinds of lines whose repetition is watched.
const maxLogKeys = 128

// logf adds a line to the step's Output; lines of the same key at most once in Timing.LogEvery, those of key "" always.
func (m *Machine) logf(key, format string, args ...any) {
	if key != "" {
		if at, said := m.logged[key]; said && m.now-at < m.set.Timing.LogEvery {
			return
		}
		if len(m.logged) >= maxLogKeys {
			// Keys hold addresses that others choose, so their number has to be bounded. At worst a line comes early.
			clear(m.logged)
		}
		m.logged[key] = m.now
	}
	m.out.Log = append(m.out.Log, fmt.Sprintf(format, args...))
}

// logWaiting says for whom the member waits.
func (m *Machine) logWaiting() {
	if m.settled() || m.now < m.waitLogAt {
		return
	}

	m.waitLogAt = m.now + m.set.Timing.LogEvery
	// Nothing but the other participants can bring a member further that has accepted a proposal.
	if m.rec.Accepted != nil {
		m.logf("", "%s", m.waitingForParticipants())
		return
	}

	silent := ""
	if s := m.addrs.silent(m.now, m.set.Timing); len(s) > 0 {
		silent = "; no answer from " + strings.Join(s, ", ")
	}

	// Such a member bootstraps nothing and waits for a cluster that is there.
	if m.set.Expect == 0 {
		m.logf("", "waiting for a member of cluster %q to join%s", m.set.ClusterName, silent)
		return
	}

	fresh := m.sight.last
	m.logf("", "waiting to bootstrap cluster %q: %d of %d expected members are in sight%s", m.set.ClusterName, len(fresh), m.set.Expect, silent)
}

func (m *Machine) waitingForParticipants() string {
	f := m.rec.Accepted
	var b strings.Builder
	fmt.Fprintf(&b, "waiting for %d of %d members to accept cluster %v:", len(f.Participants)-len(m.accepts), len(f.Participants), f.ClusterID)
	for _, s := range f.Participants {
		if m.accepts[s.Member] {
			continue
		}
		fmt.Fprintf(&b, " %v at %q", s.Member, s.Addr)
		// Another member at the participant's address means that the participant's directory was lost. Only an operator can tell.
		if other, ok := m.sight.at(s.Addr, m.now); ok && other != s.Member {
			fmt.Fprintf(&b, " (where %v is now: if its data directory is lost for good, reset the bootstrap here)", other)
		}
	}
	return b.String()
}
