package partition

import (
	"io"

	"github.com/gridiron-io/gridiron/partition/entry"
)

// Machine is the replicated state of one partition, without its ownership. All replicas are given the same calls in the
// same order and must come to the same state: nothing else may influence it, no clock, no randomness, no map order, no
// I/O. A Machine never fails and never panics, whatever bytes an operation holds: what cannot be done is a result code.
//
// Advance, Apply and Freeze are called under the partition's write lock, readers run under its read lock.
type Machine interface {
	// Advance begins a log entry: cluster time goes on to now milliseconds (never back), and the owner has published
	// events up to position published.
	Advance(now int64, published uint64)
	// Apply executes one operation. op.Body aliases the log: what is kept of it must be copied. The result belongs to the
	// caller, who does not change it; it may alias memory of the machine that is never written again.
	Apply(op *entry.Op) entry.Result
	// Clock returns the cluster time that Advance has reached.
	Clock() int64
	// NextDue returns the cluster time at which upkeep is due, and false if it never is as the state is now.
	NextDue() (int64, bool)
	// Upkeep returns the operation that the owner proposes for the state's own sake once NextDue has come: to remove what has
	// expired, say. done is the one that the owner proposed last and result what applying it gave; done is nil for the first, and
	// after one that was not applied. again reports whether the owner looks at NextDue at once, and not after a while. Upkeep
	// changes nothing, and is called under the read lock.
	Upkeep(done *entry.Op, result entry.Result) (next *entry.Op, again bool)
	// RecordBytes returns the memory held by the results of calls that may be repeated.
	RecordBytes() int
	// Bytes returns the memory that the state is counted with.
	Bytes() int
	// Freeze returns the state as it is now, in constant time. The state snapshot may be written while operations go on.
	Freeze() StateSnapshot
	// MarkLoss says that acknowledged operations may be missing from the state, with which the next generation is to begin. The
	// state snapshot carries that.
	MarkLoss()
	// Hash returns a digest of everything that is replicated.
	Hash() uint64
}

// Positioned is a Machine that counts what happens to its keys. A KeyReader may be made earlier after a failover if the machine is
// Positioned.
type Positioned interface {
	Machine
	// LastPos returns how many changes there were. All replicas count alike.
	LastPos() uint64
}

// StateSnapshot is a state that no longer changes.
type StateSnapshot interface {
	// WriteTo writes the state. It is called from another goroutine than the machine, without a lock.
	WriteTo(w io.Writer) (int64, error)
	// Close frees what the state snapshot holds. It is called once.
	Close()
}

// Machines makes the machines of a host.
type Machines interface {
	// New returns the empty machine of a generation of a partition.
	New(partition int, generation uint64) Machine
	// Restore reads what StateSnapshot.WriteTo wrote, of this generation or of one before, which then goes on as this one.
	Restore(partition int, generation uint64, r io.Reader) (Machine, error)
	// Resume returns the operation with which an owner begins to serve: nothing else that it proposes is executed before. It may be
	// executed again, after the partition has stalled. Nobody changes the operation.
	Resume() *entry.Op
}

// Outcome is what became of a proposal.
type Outcome uint8

const (
	_ Outcome = iota // no outcome: whoever is told this has found a mistake in the program
	// Applied: it was executed, or refused by the machine; the result says which.
	Applied
	// Moved: it was not executed and never will be; another process owns the partition, or nobody.
	Moved
	// NotProposed: it never reached the log.
	NotProposed
	// Unknown: it may or may not be executed.
	Unknown
	// Overloaded: it was refused before it reached the log, for want of memory.
	Overloaded
)

// Completion is told, exactly once, what became of an operation. Complete must not block and must not call the Host; it
// may run on any goroutine, also before the call that submitted the operation has returned.
type Completion interface {
	Complete(o Outcome, r entry.Result)
}

// Reader is one linearizable read.
type Reader interface {
	// Size returns how many bytes of memory the read holds while it waits. It is always the same.
	Size() int
	// Read is called under the partition's read lock. The state holds all that anybody was told when the read was submitted.
	// Read returns false, having done nothing, if something must be committed first: it met an entry that is due by at.Now though not
	// by the machine's clock, or one whose use must be in the log. What Commit returns is then applied, and Read called again.
	Read(m Machine, at ReadPoint) bool
	// Commit is called after Read has returned false, and returns the operation that must be applied; nil if a tick of the
	// clock will do.
	Commit() *entry.Op
	// Fail is called instead of Read when this process turned out not to own the partition, or could not make sure.
	Fail(o Outcome)
	// Quorum reports whether the read insists on asking a majority, also where a lease would do. It is always the same.
	Quorum() bool
	// Finish is called once, after Read has returned true and the lock was released.
	Finish()
}

// KeyReader is a Reader that knows which keys it looks at. A new owner has to wait until the leases of earlier owners are over; it may make
// a KeyReader of a Positioned machine before that if nothing has touched the keys lately.
type KeyReader interface {
	Reader
	// Untouched reports whether Read finds what it would have found in each state since a position of the machine. It returns false where
	// it cannot tell. It is called under the partition's read lock, and Read right after it in the same critical section.
	Untouched(m Machine, since uint64, at ReadPoint) bool
}

// ReadPoint tells when a read takes place.
type ReadPoint struct {
	Epoch uint64
	Now   int64 // cluster time in milliseconds
	AsOf  int64 // cluster time of a moment at which this process owned the partition: whatever anybody had been told by then, the read sees
}
