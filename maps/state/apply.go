package state

import (
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Texts of refusals.
const (
	textExpired  = "the call's deadline had passed when its turn came; it was not executed"
	textStale    = "the call is below its client's request window; it was not executed"
	textNoKey    = "no such key"
	textVersion  = "the entry has another version"
	textLifetime = "a removal was given a TTL or max-idle"
)

// Apply executes one operation at its place in the log and returns its answer. It never fails: an operation that cannot be
// executed has a result that says so. Apply copies what it keeps of op.Body. Callers must not change Result.Body, for the state
// may keep it too.
//
// A call is an operation with a client and a sequence number. It is executed at most once. A copy of an executed call gets the same
// result until the call's deadline has passed on the log's clock. A later copy gets CodeExpired and is not executed. A call below
// its client's request window gets CodeStale and is not executed. The state remembers every result of an execution. It does not remember
// CodeInvalid and CodeTooLarge, unless what the entry held has decided that.
//
// The answers' bodies are those of wire.Op's documentation.
func (s *State) Apply(op *entry.Op) entry.Result {
	r := s.apply(op)
	s.verify()
	return r
}

func (s *State) apply(op *entry.Op) entry.Result {
	// The owner proposes this operation by itself: nobody repeats it, so its result need not be remembered.
	if op.Client.IsZero() || op.Seq == 0 {
		o := s.execute(op)
		return o.entryResult()
	}

	// The record of an earlier copy may be forgotten from the deadline on. Executing this copy could execute the call twice.
	if op.Deadline < s.clock {
		return entry.Result{Code: wire.CodeExpired, Body: []byte(textExpired)}
	}

	// Copies move the window too: each tells how far its client has come, and keeps the window alive.
	w := s.calls.admit(op.Client, op.Lowest, op.Deadline, s.clock)
	if op.Seq < w.floor {
		return entry.Result{Code: wire.CodeStale, Body: []byte(textStale)}
	}

	// This is a copy of an executed call: the same answer goes out, and the state does not change twice.
	if o := w.get(op.Seq); o != nil {
		return o.entryResult()
	}

	// A body that no replica can read is refused again whenever it comes: there is no need to remember it.
	o := s.execute(op)
	if o.kept || o.code != wire.CodeInvalid && o.code != wire.CodeTooLarge {
		o.deadline, o.kept = op.Deadline, false
		s.calls.add(w, op.Seq, &o)
	}
	return o.entryResult()
}

// operation is how an operation of the log changes the state.
type operation struct {
	code  wire.Op
	apply func(s *State, op *entry.Op) outcome
}

// operations are the operations of the log, by code: what each family has registered in its file.
var operations = registered(keyWriteOperations, bulkOperations, wholeOperations, lockOperations, loadOperations, removeOperations,
	updateOperations, upkeepOperations)

func registered(families ...[]operation) (all [256]func(s *State, op *entry.Op) outcome) {
	for _, family := range families {
		for _, o := range family {
			if all[o.code] != nil {
				// Only one of the two could ever be executed.
				panic(fmt.Sprintf("state: operation %v is registered twice", o.code))
			}
			all[o.code] = o.apply
		}
	}
	return all
}

// execute does what op says.
func (s *State) execute(op *entry.Op) outcome {
	apply := operations[op.Code]
	if apply == nil {
		// Replicas must agree on this too, so an unknown code is a result and not a failure.
		return refused(wire.CodeInvalid, op.Code.String()+" is no operation of the log")
	}
	return apply(s, op)
}

// refused returns the outcome of an operation that was not executed.
func refused(code wire.Code, text string) outcome {
	return outcome{code: code, data: []byte(text), whole: true}
}

// malformed returns the outcome of an operation whose body does not decode.
func malformed(err error) outcome {
	if errors.Is(err, wire.ErrTooLarge) {
		return refused(wire.CodeTooLarge, err.Error())
	}

	return refused(wire.CodeInvalid, err.Error())
}
