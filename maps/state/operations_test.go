package state

import (
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// The state executes what may stand in the log, and nothing else.
func TestOperations(t *testing.T) {
	for i := range 256 {
		op := wire.Op(i)
		logged := op.IsWrite() || op.Descriptor().Kind == wire.KindLogged
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
