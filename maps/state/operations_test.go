package state

import (
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// The state executes what may stand in the log, and nothing else.
func TestOperations(t *testing.T) {
	for i := range 256 {
		op := wire.Op(i)
		// The owner makes another operation of OpExecute.
		logged := op.IsWrite() && op != wire.OpExecute || op.Descriptor().Kind == wire.KindLogged
		if has := operations[op] != nil; has != logged {
			t.Errorf("%v: stands in the log %v, has a function that applies it %v", op, logged, has)
		}
	}

	defer func() {
		if recover() == nil {
			t.Error("an operation that is registered twice was not noticed")
		}
	}()
	registered(lockOperations, lockOperations[:1])
}

// There is a reader for each read of a partition, and for nothing else.
func TestReaders(t *testing.T) {
	for i := range 256 {
		op := wire.Op(i)
		if has := readers[op] != nil; has != op.IsRead() {
			t.Errorf("%v: reads a partition %v, has a reader %v", op, op.IsRead(), has)
		}
	}

	defer func() {
		if recover() == nil {
			t.Error("a read that is registered twice was not noticed")
		}
	}()
	registeredReads(lockReads, lockReads)
}
