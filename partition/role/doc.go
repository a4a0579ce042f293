// Package role is not API: programs use package grid, and it may change in any version.
//
// It decides what a process does in one partition: when it proposes to own the partition, when it serves, from
// when on it answers, when it campaigns, and when it gives the partition up.
//
// It owns two things. Ownership is the replicated part of a partition that says who may write: a pure state that every
// replica computes from the log. Role is the part of this process: one Step takes an input, such as an entry that was
// applied or a leader that Raft elected, and returns the effects that the replica carries out.
//
// The package is pure: it knows no clock, lock, goroutine, network or Raft library. Scripts in testdata drive it, and a
// simulation checks what docs/CONSISTENCY.md promises.
//
// The rules that a reader of Step has to know:
//
//  1. A process serves an epoch only while Raft calls it the leader, the applied Own names it, and the member lets it own.
//  2. A process that gives an epoch up never serves under that epoch again. Its Release may be applied at any time.
//  3. Nothing is answered before the serve-after time: an owner before may still answer reads under its lease until then.
//  4. A Release is proposed only after the serve-after time.
//  5. A campaign is only a hint when to campaign. Votes and logs decide who leads, and the log decides who owns.
package role
