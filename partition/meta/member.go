package meta

import (
	"fmt"
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// The states of a member. Within one incarnation they only go forward, in this order.
const (
	StateJoining  = "joining"  // has registered
	StateReady    = "ready"    // may hold replicas
	StateDraining = "draining" // holds replicas, gets no more
	StateLeft     = "left"     // has said goodbye, or its name was taken over

	// StateDead says that what the incarnation held is confirmed dead, because an operator said so. Silence is never death:
	// nobody else may set it.
	StateDead = "dead"
)

var states = [...]string{StateJoining, StateReady, StateDraining, StateLeft, StateDead}

// stateRank returns a state's place in the order, or -1 if it is none.
func stateRank(state string) int { return slices.Index(states[:], state) }

// Registration is what a member says of itself at each start.
type Registration struct {
	ID          wire.ID // of its directory, made once
	Name        string
	Incarnation wire.ID // of this start
	Start       uint64  // start counter of its directory, from 1
	Addr        string  // for clients
	PeerAddr    string  // for members
	RouteAddr   string  // host:port for the routes of its NATS server
	Zone        string  // "": not known to be apart from anybody
	Tags        map[string]string
	Version     string // of its program
	Lite        bool   // holds no replicas
}

func (g *Registration) texts() [6]*string {
	return [...]*string{&g.Name, &g.Addr, &g.PeerAddr, &g.RouteAddr, &g.Zone, &g.Version}
}

func (g *Registration) append(dst []byte) []byte {
	dst = append(dst, g.ID[:]...)
	dst = append(dst, g.Incarnation[:]...)
	dst = wire.AppendU64(dst, g.Start)
	for _, s := range g.texts() {
		dst = wire.AppendString(dst, *s)
	}

	// In the order of keys: equal registrations have one encoding.
	dst = wire.AppendUvarint(dst, uint64(len(g.Tags)))
	for _, k := range slices.Sorted(maps.Keys(g.Tags)) {
		dst = wire.AppendString(wire.AppendString(dst, k), g.Tags[k])
	}
	return appendBool(dst, g.Lite)
}

func (g *Registration) decode(r *wire.Reader) {
	g.ID, g.Incarnation, g.Start = r.ID(), r.ID(), r.U64()
	for _, s := range g.texts() {
		*s = r.String()
	}

	if n := r.Count(2); n > MaxTags {
		r.Fail("%d tags, at most %d are allowed", n, MaxTags)
	} else if n > 0 {
		g.Tags = make(map[string]string, n)
		last := ""
		for i := range n {
			k := r.String()
			// Another order, or a key twice, would be a second encoding of the same tags.
			if i > 0 && k <= last {
				r.Fail("tags out of order")
			}
			g.Tags[k], last = r.String(), k
		}
	}
	g.Lite = decodeBool(r)
}

func (g *Registration) check() error {
	switch {
	case g.ID.IsZero():
		return fmt.Errorf("a member without an ID")
	case g.Incarnation.IsZero():
		return fmt.Errorf("member %s without an incarnation", g.ID)
	case g.Start == 0:
		return fmt.Errorf("member %s with start counter 0", g.ID)
	case g.Name == "":
		return fmt.Errorf("member %s without a name", g.ID)
	case len(g.Tags) > MaxTags:
		return fmt.Errorf("member %s with %d tags, at most %d are allowed", g.ID, len(g.Tags), MaxTags)
	}

	for _, s := range g.texts() {
		if err := checkText(*s); err != nil {
			return fmt.Errorf("member %s: %w", g.ID, err)
		}
	}

	// In the order of keys, so that every replica refuses with the same text.
	for _, k := range slices.Sorted(maps.Keys(g.Tags)) {
		if err := checkText(k); err != nil {
			return fmt.Errorf("member %s: tag: %w", g.ID, err)
		}
		if err := checkText(g.Tags[k]); err != nil {
			return fmt.Errorf("member %s: value of tag %q: %w", g.ID, k, err)
		}
	}
	return nil
}

func (g *Registration) equal(o *Registration) bool {
	a, b := *g, *o
	// Maps are compared at the end, by what is in them.
	a.Tags, b.Tags = nil, nil
	for i, s := range a.texts() {
		if *s != *b.texts()[i] {
			return false
		}
	}
	return a.ID == b.ID && a.Incarnation == b.Incarnation && a.Start == b.Start && a.Lite == b.Lite && maps.Equal(g.Tags, o.Tags)
}

// Member is what the cluster knows of a member: its latest registration, and what became of it.
type Member struct {
	Registration
	State       string
	MetaReplica uint64 // ID of its replica in the metadata group; 0: it has none
	MetaVoter   bool   // that replica votes; else it learns
	Drained     bool   // an operator had it drained: this incarnation is not counted on any more
}

// Live reports whether the incarnation may still be at work: it has neither left nor been declared dead.
func (m *Member) Live() bool { return m.State != StateLeft && m.State != StateDead }

// Holder returns the member's incarnation as a possible holder of replicas.
func (m *Member) Holder() Holder { return Holder{Member: m.ID, Incarnation: m.Incarnation} }

// Info returns the member as views show it.
func (m *Member) Info() wire.MemberInfo {
	return wire.MemberInfo{ID: m.ID, Incarnation: m.Incarnation, Name: m.Name, Addr: m.Addr, PeerAddr: m.PeerAddr, Zone: m.Zone,
		Tags: m.Tags, State: m.State, Version: m.Version}
}

func (m *Member) append(dst []byte) []byte {
	dst = m.Registration.append(dst)
	dst = append(dst, byte(stateRank(m.State)))
	return appendBool(appendBool(wire.AppendUvarint(dst, m.MetaReplica), m.MetaVoter), m.Drained)
}

func (m *Member) decode(r *wire.Reader) {
	m.Registration.decode(r)
	m.State = decodeState(r)
	m.MetaReplica, m.MetaVoter, m.Drained = r.Uvarint(), decodeBool(r), decodeBool(r)
}

func decodeState(r *wire.Reader) string {
	rank := r.U8()
	if int(rank) >= len(states) {
		r.Fail("member state %d", rank)
		return ""
	}
	return states[rank]
}

// checkText refuses texts that are too long, are not UTF-8 or hold control characters, which would garble logs and terminals.
func checkText(s string) error {
	if len(s) > MaxText {
		return fmt.Errorf("a text of %d bytes, at most %d are allowed", len(s), MaxText)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("a text that is not UTF-8")
	}
	for _, c := range s {
		if unicode.IsControl(c) {
			return fmt.Errorf("the text %q with a control character", s)
		}
	}
	return nil
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// decodeBool accepts 0 and 1 alone, so that each value has one encoding.
func decodeBool(r *wire.Reader) bool {
	b := r.U8()
	if b > 1 {
		r.Fail("truth value %d", b)
	}
	return b == 1
}
