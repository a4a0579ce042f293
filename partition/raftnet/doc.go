// Package raftnet is not API: programs use package grid, and it may change in any version.
//
// It carries Raft messages between members: it is the transport and the node registry of a member's two
// NodeHosts (one Transport each, for the data partitions and for the metadata group).
//
// It owns the encoding of Raft messages and snapshot chunks, and their framing. It owns the queue and the writer of every
// outgoing connection, and the reader of every incoming one. It decides which messages may come from another process. It
// must not know addresses, TLS, cluster IDs or members: its owner dials and accepts, says and checks the hellos, and hands
// connections over. A target is the NodeHostID of a process, a UUID, and nothing else.
//
// # Life of a message
//
// A NodeHost resolves (shard, replica) to a target in the Registry, which also makes all messages to that target share one
// stream. Its sender goroutine calls SendMessageBatch, which leaves out superfluous commit-only Replicates and heartbeats (see gates),
// lowers the commit indexes of others (see pacer), encodes them into the connection's queue and returns; it never waits for the peer. The connection's writer sends
// all that is queued in one write. At the other side Serve reads; everything that one read of the socket brought is checked
// (see admit) and handed to the NodeHost as one batch, without acknowledgements that may wait (see acks).
//
// # Promises
//
// Messages to one target arrive in the order sent, or not at all: a full queue drops whole batches, a broken connection
// everything that was queued. Raft repairs both. Nothing that arrives is trusted for its form: sizes are checked before
// memory is allocated for them, decoders are total, and messages that only a replica may send to itself are refused. What
// cannot be checked here is whether a peer lies about its log: whoever can speak as a member can stop other members.
//
// # Wire form
//
// A frame is a payload's length and CRC-32C, four bytes each in big-endian order, and the payload: of a batch (batch.go) on
// stream 0, of one snapshot chunk (chunk.go), or a piece of a state snapshot (statesnapshot.go), on stream 1. Both sides of a
// connection speak the protocol version that its hello agreed on. Golden tests fix the bytes.
package raftnet
