package liveness

import "github.com/gridiron-io/gridiron/sdk/wire"

// Apart reports whether a member has said that its events go over other NATS servers than this one's.
func (p *Peers) Apart(id wire.ID) bool {
	said, _, _, _ := p.Word(id)
	return p.apart(said.NATS)
}

// apart reports whether a member that says so has other NATS servers than this one. A member of an earlier version does not say.
func (p *Peers) apart(nats uint64) bool { return nats != 0 && nats != p.cfg.NATS }

// compareNATS tells what changes with what a member says of its NATS servers: nothing else shows that events between the two are late. It says
// the same ten times a second.
func (p *Peers) compareNATS(id wire.ID, before, now uint64) {
	if now == before || !p.apart(now) && !p.apart(before) {
		return
	}

	// A member that was removed meanwhile has no name any more.
	name := id.String()
	if mb := p.cfg.View().Member(id); mb != nil {
		name = mb.Name
	}
	if p.apart(now) {
		p.cfg.Log.Warn("another member has another nats.url than this one, or only one of the two has any; events between them may come late", "other", name)
		return
	}
	p.cfg.Log.Info("another member no longer has another nats.url than this one", "other", name)
}
