// Package sdk is the client of a Gridiron cluster. [Connect] connects to a cluster through any of its members. [OpenMap] opens a
// distributed map. [Client.Executor] submits tasks to members.
//
// A [Client] keeps one connection to each member and sends every operation straight to the member that owns its key. Members
// tell it about every change of owners. A process needs one Client: all goroutines share its connections. A Client and
// everything made from it are safe for concurrent use.
//
// # Deadlines and outcomes
//
// A call ends with its context. If the context has no deadline, the client's timeout ends it: 10 seconds, or what [WithTimeout]
// says. Until then the call survives members that fail or leave: the client repeats it under one identity, and members execute
// an identity once.
//
// The error of a call says what the call left behind. After [ErrUnknownOutcome] a write may or may not have happened. After
// every other error it has not.
//
// # Keys, values and callbacks
//
// Keys and values are encoded before a call returns, so the caller may change them afterwards. What a call returns belongs to
// the caller. Each callback's documentation says on which goroutine it runs.
//
// # Not for programs
//
// Packages [github.com/gridiron-io/gridiron/sdk/wire], with the formats in which clients and members talk, and
// [github.com/gridiron-io/gridiron/sdk/taskwait] are not API.
package sdk
