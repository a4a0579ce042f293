// Package sdk is the client of a Gridiron cluster: [Connect] to any of its members, [OpenMap] a distributed map, submit
// tasks with [Client.Executor].
//
// A [Client] keeps one connection to each member and sends every operation straight to the member that owns its key. It
// learns who that is from the members, which tell it about every change. Calls of all goroutines share the connections:
// a Client is made once per process and is safe for concurrent use, as is everything made from it.
//
// # Deadlines and outcomes
//
// A call lasts as long as its context; where that has no deadline, the client's timeout holds (10 seconds, [WithTimeout]).
// Until then it survives members that fail, leave or transfer their partitions: it is repeated under one identity, and members execute an
// identity once. What a call that did not end well leaves behind is told by its error: [ErrUnknownOutcome] is the only one
// after which a write may or may not have happened, after every other one it has not.
//
// The package knows how to reach members and what to say to them ([github.com/gridiron-io/gridiron/sdk/wire]) and how
// values become bytes ([github.com/gridiron-io/gridiron/sdk/codec]); it knows nothing of how members keep data.
package sdk
