package maps

import (
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// There is a reader for each read, and for the write that begins with one.
func TestReaders(t *testing.T) {
	for i := range 256 {
		op := wire.Op(i)
		if has, want := readers[op] != nil, op.IsRead() || op == wire.OpRemoveAll; has != want {
			t.Errorf("%v: has a reader %v, want %v", op, has, want)
		}
	}
}
