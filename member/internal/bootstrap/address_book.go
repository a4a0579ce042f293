package bootstrap

import (
	"slices"
	"time"
)

// addressBook holds the addresses that hear a member's hellos. Those of its configuration stay for ever. Those that it has learned stay as
// long as a member speaks from there.
type addressBook struct {
	self    string
	entries []address // configured ones first, then in the order of learning
	learned int       // entries that are not configured; at most MaxAddresses
}

type address struct {
	addr       string
	configured bool
	has        bool          // an answer came from here, or a member of this address spoke
	at         time.Duration // when it last did; if it never did, when it was learned
}

func newAddressBook(self string, join []string) addressBook {
	b := addressBook{self: self}
	for _, a := range join {
		if a != self && !b.knows(a) {
			b.entries = append(b.entries, address{addr: a, configured: true})
		}
	}
	return b
}

func (b *addressBook) find(addr string) *address {
	i := slices.IndexFunc(b.entries, func(e address) bool { return e.addr == addr })
	if i < 0 {
		return nil
	}
	return &b.entries[i]
}

func (b *addressBook) knows(addr string) bool { return b.find(addr) != nil }

func (b *addressBook) configured(addr string) bool {
	e := b.find(addr)
	return e != nil && e.configured
}

// learn adds an address while there is room.
func (b *addressBook) learn(addr string, now time.Duration) {
	// The bound keeps a member that names many addresses from having this one send to all of them.
	if addr != b.self && b.learned < MaxAddresses && !b.knows(addr) {
		b.entries = append(b.entries, address{addr: addr, at: now})
		b.learned++
	}
}

// spoke notes that a member that is to be reached here has spoken, or that a request sent here was answered.
func (b *addressBook) spoke(addr string, now time.Duration) {
	if e := b.find(addr); e != nil {
		e.has, e.at = true, now
	}
}

func (b *addressBook) forget(addr string) {
	b.entries = slices.DeleteFunc(b.entries, func(e address) bool {
		gone := e.addr == addr && !e.configured
		if gone {
			b.learned--
		}
		return gone
	})
}

// targets returns the addresses to say hello to, and forgets those that have been silent for too long.
func (b *addressBook) targets(now time.Duration, t Timing) []string {
	b.entries = slices.DeleteFunc(b.entries, func(e address) bool {
		// Configured addresses stay for ever: a member may come up there at any time.
		gone := !e.configured && now-e.at > learnedFor*t.HelloEvery
		if gone {
			b.learned--
		}
		return gone
	})
	addrs := make([]string, len(b.entries))
	for i, e := range b.entries {
		addrs[i] = e.addr
	}
	return addrs
}

// lately returns the addresses that spoke within the last ten hellos: those worth telling others.
func (b *addressBook) lately(now time.Duration, t Timing) []string {
	var addrs []string
	for _, e := range b.entries {
		// An address from which nobody has spoken would be passed from member to member for ever.
		if e.has && now-e.at <= 10*t.HelloEvery {
			addrs = append(addrs, e.addr)
		}
	}
	return addrs
}

// silent returns the configured addresses that did not speak within the last ten hellos.
func (b *addressBook) silent(now time.Duration, t Timing) []string {
	var addrs []string
	for _, e := range b.entries {
		if e.configured && (!e.has || now-e.at > 10*t.HelloEvery) {
			addrs = append(addrs, e.addr)
		}
	}
	return addrs
}
