package member

import (
	"context"
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ErrExpelled is what Err returns of a member that the others have given up: an operator declared it dead, its name was taken over
// while it was silent, or a later start of the same directory has taken its place.
var ErrExpelled = errors.New("the cluster has given this member up")

// Done returns a channel that is closed when everything of the member has ended: after Close, Kill, or by itself, which Err tells.
func (m *Member) Done() <-chan struct{} { return m.ended }

// Err returns why the member has stopped, or stops, by itself: an error that wraps ErrExpelled. It is nil otherwise.
func (m *Member) Err() error {
	if err := m.expelled.Load(); err != nil {
		return *err
	}
	return nil
}

// notIn returns why metadata do not count this process among the cluster's members; "" if they do.
func (m *Member) notIn(v *meta.View) string {
	switch mb := v.Member(m.id); {
	case mb == nil:
		return "it was removed"
	case mb.Incarnation != m.incarnation:
		return "another process was started as the same member"
	case mb.State == meta.StateDead:
		return "it was declared dead"
	case mb.State == meta.StateLeft:
		return "another member has taken its name while it was silent"
	}
	return ""
}

// stranger reports whether a process is no member, as far as this member knows: not yet, or none any more.
func (m *Member) stranger(id, incarnation wire.ID) bool {
	v := m.metaView()
	if v == nil || !v.Founded() {
		return false
	}
	mb := v.Member(id)
	return mb == nil || mb.Incarnation != incarnation || !mb.Live()
}

// doubt is called when another member answers this one as a stranger. Without a seat in the metadata group nobody else would ever tell
// this one that it was given up. Only metadata newer than its own are believed: here this incarnation has been a member, and it is that
// once only.
func (m *Member) doubt(other wire.ID) {
	if !m.started.Load() || m.isClosing() || !m.doubting.CompareAndSwap(false, true) {
		return
	}
	m.goOn(func() {
		defer m.doubting.Store(false)
		ctx, cancel := context.WithTimeout(m.ctx, metaTimeout)
		defer cancel()
		mine := m.metaView().Version
		a, err := m.peers.ask(ctx, other, wire.OpMetaRead, nil)
		if err != nil || a.Code != wire.CodeOK {
			return
		}
		st, err := meta.DecodeImage(a.Body)
		if err != nil {
			m.log.Warn("a member's metadata cannot be read", "of", other.String(), "err", err)
			return
		}
		if v := st.Snapshot(); v.Cluster == m.clusterID() && v.Version > mine {
			if reason := m.notIn(v); reason != "" {
				m.expel(reason)
			}
		}
	})
}

// expel stops this member as a crash would: what it owned and held is others' by now, and nobody may be answered from it.
func (m *Member) expel(reason string) {
	err := fmt.Errorf("%w: %s", ErrExpelled, reason)
	if m.isClosing() || !m.expelled.CompareAndSwap(nil, &err) {
		return
	}
	m.log.Error("this member is none of the cluster any more, and stops; started again it joins anew, without data", "reason", reason,
		"event", "MEMBER_EXPELLED", "incarnation", m.incarnation.String())
	go m.Kill() // ends when everything of the member has
}
