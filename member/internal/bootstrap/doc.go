// Package bootstrap owns how a member without a cluster gets into one: it bootstraps a cluster together with the others that
// wait, or finds a cluster that is there. It also owns the member's identity on disk, on which the proof rests.
//
// Four parts, from the pure to the practical:
//
//   - [Machine] holds the rules. It has no clock, no I/O and no goroutine.
//   - [Store] is the data directory: the exclusive lock, the member's UUID, its start counter and the bootstrap [Record].
//   - [Message] and [Proposal] are what members say to each other, with total decoders.
//   - [Runner] drives a Machine over connections of the join plane and saves its Record in the Store.
//
// # The promise
//
// A [Proposal] F lists N members by UUID. It is decided once all N have accepted it and dead once one of them has refused
// it. A member that has accepted F never refuses it, and a member that has refused F never accepts it. After accepting F, a
// member accepts another proposal only when F is dead. So no F is ever both, and two decided F share no member. Acceptances and
// refusals are on disk before anybody hears of them, so crashes change nothing. A member that loses its directory comes back
// under another UUID and counts as another member.
//
// It follows that no order of starts, crashes, lost messages and lost directories makes two clusters. This holds as long as N
// (`expect`) is more than half of all members ever started fresh against these addresses. It has a price. When a member that
// accepted F loses its directory before F is decided, the others wait for it until an operator resets them.
//
// The package knows nothing of Raft, of the metadata group or of how connections are made and secured.
package bootstrap
