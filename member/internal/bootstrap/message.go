package bootstrap

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Kind says what a message is.
type Kind uint8

// Hello, Propose, Ask and Decided are requests, and every request has exactly one answer: HelloAnswer, Accept, Refuse,
// Wait or Decided.
const (
	KindHello       Kind = 1 // this is who I am
	KindHelloAnswer Kind = 2 // and this is who I am; also the answer of one who has nothing to say about a Proposal
	KindPropose     Kind = 3 // accept this Proposal
	KindAsk         Kind = 4 // what is your decision on this Proposal?
	KindAccept      Kind = 5 // I have accepted it; on disk
	KindRefuse      Kind = 6 // it is dead: I have refused it or know of one that has; on disk
	KindWait        Kind = 7 // I have accepted another one, and do not know yet whether that is dead
	KindDecided     Kind = 8 // all have accepted it; its cluster ID is on my disk
)

var kindNames = [...]string{"none", "hello", "hello-answer", "propose", "ask", "accept", "refuse", "wait", "decided"}

// String returns the kind's name as it appears in logs.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// State is how far a member has come.
type State uint8

const (
	StateFresh    State = 1 // it has accepted nothing that may be alive, and has no cluster
	StateAccepted State = 2 // it has accepted the Proposal named by Hello.ID
	StateMember   State = 3 // it belongs to the cluster named by Hello.ID
)

// Hello is what every message says about its sender.
type Hello struct {
	Member    wire.ID
	Addr      string // client base address, as advertised
	PeersAddr string // members' port, as advertised
	Cluster   string // name of the cluster
	Expect    int    // 0 for one that only joins
	State     State
	ID        wire.ID  // StateAccepted: of the Proposal. StateMember: of the cluster. Else zero
	Addrs     []string // StateMember: where the cluster's members are. Else who the sender has heard from lately
}

// Message is one request or answer.
type Message struct {
	Kind     Kind
	From     Hello
	Proposal *Proposal // KindPropose, KindAsk and KindDecided only
	About    wire.ID   // KindAccept, KindRefuse and KindWait only: the cluster ID of the Proposal
}

// messageVersion is the first byte of every message. 1: first version.
const messageVersion = 1

func (k Kind) hasProposal() bool { return k == KindPropose || k == KindAsk || k == KindDecided }
func (k Kind) hasAbout() bool    { return k == KindAccept || k == KindRefuse || k == KindWait }

// AppendMessage appends m without its length. The sender keeps within the bounds of this package, so the result is never
// longer than MaxMessage.
func AppendMessage(dst []byte, m *Message) []byte {
	h := &m.From
	// The version comes first, so a later format may differ in everything behind it.
	dst = append(dst, messageVersion, byte(m.Kind))
	dst = append(dst, h.Member[:]...)
	dst = wire.AppendString(dst, h.Addr)
	dst = wire.AppendString(dst, h.PeersAddr)
	dst = wire.AppendString(dst, h.Cluster)
	dst = append(dst, byte(h.Expect), byte(h.State))
	dst = append(dst, h.ID[:]...)
	dst = wire.AppendUvarint(dst, uint64(len(h.Addrs)))
	for _, a := range h.Addrs {
		dst = wire.AppendString(dst, a)
	}

	switch {
	case m.Kind.hasProposal():
		dst = appendProposal(dst, m.Proposal)
	case m.Kind.hasAbout():
		dst = append(dst, m.About[:]...)
	}
	return dst
}

// DecodeMessage reads what AppendMessage wrote. It accepts any bytes; what it refuses is an error wrapping
// wire.ErrMalformed. The message does not alias b.
func DecodeMessage(b []byte) (Message, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != messageVersion {
		r.Fail("bootstrap message of version %d, this is %d", v, messageVersion)
	}

	m := Message{Kind: Kind(r.U8())}
	h := &m.From
	h.Member, h.Addr, h.PeersAddr, h.Cluster = r.ID(), r.String(), r.String(), r.String()
	h.Expect, h.State, h.ID = int(r.U8()), State(r.U8()), r.ID()
	h.Addrs = readAddrs(&r)
	switch {
	case m.Kind < KindHello || m.Kind > KindDecided:
		r.Fail("unknown %v", m.Kind)
	case m.Kind.hasProposal():
		m.Proposal = readProposal(&r)
	case m.Kind.hasAbout():
		m.About = r.ID()
	}

	// The fields are checked only where all could be read. Otherwise the first error is the one that helps.
	if r.Err() == nil {
		checkHello(&r, h)
	}
	if err := r.Done(); err != nil {
		return Message{}, err
	}
	return m, nil
}

func readAddrs(r *wire.Reader) []string {
	n := r.Count(2)
	if n > MaxAddresses {
		r.Fail("%d addresses, at most %d are possible", n, MaxAddresses)
	}
	// The count is checked before memory is taken for it.
	if r.Err() != nil || n == 0 {
		return nil
	}

	addrs := make([]string, n)
	total := 0
	for i := range addrs {
		addrs[i] = r.String()
		total += len(addrs[i])
		if r.Err() == nil && !validText(addrs[i]) {
			r.Fail("an address of %d bytes", len(addrs[i]))
		}
	}

	if total > maxAddressBytes {
		r.Fail("%d bytes of addresses, at most %d are possible", total, maxAddressBytes)
	}
	return addrs
}

func checkHello(r *wire.Reader, h *Hello) {
	switch {
	case h.Member.IsZero():
		r.Fail("a member without a UUID")
	case !validText(h.Addr), !validText(h.PeersAddr), !validText(h.Cluster):
		r.Fail("an address or cluster name of no or more than %d bytes", MaxText)
	case h.Expect > MaxExpect:
		r.Fail("expect %d, at most %d is possible", h.Expect, MaxExpect)
	case h.State < StateFresh || h.State > StateMember:
		r.Fail("unknown state %d", h.State)
	// Only a fresh member has nothing that an ID could name.
	case (h.State == StateFresh) != h.ID.IsZero():
		r.Fail("state %d with ID %v", h.State, h.ID)
	}
}

// boundAddrs returns as many of the addresses as one message may name, without empty, over-long and repeated ones.
func boundAddrs(addrs []string) []string {
	var bounded []string
	seen := make(map[string]bool, len(addrs))
	total := 0
	for _, a := range addrs {
		// One address that nobody could use must not take the place of another.
		if !validText(a) || seen[a] {
			continue
		}
		// A message above the bounds would be refused as a whole. The first addresses matter most.
		if len(bounded) == MaxAddresses || total+len(a) > maxAddressBytes {
			break
		}
		seen[a] = true
		total += len(a)
		bounded = append(bounded, a)
	}
	return bounded
}
