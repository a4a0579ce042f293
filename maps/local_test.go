package maps

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// The entries of a map in the partitions owned here are shown once each, over more than one page, until the caller has enough.
func TestEachLocal(t *testing.T) {
	o := newOwner(t, 3)
	const n = 2*localPage + 7
	for i := range n {
		o.set("m", fmt.Sprint("key", i), "v")
	}
	o.set("other", "x", "v")

	seen := make(map[string]int)
	if err := o.EachLocal(t.Context(), "m", func(key, value []byte) bool {
		if string(value) != "v" {
			t.Errorf("the value of %s is %q", key, value)
		}
		seen[string(key)]++
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != n {
		t.Errorf("%d of %d entries are shown", len(seen), n)
	}
	for key, times := range seen {
		if times != 1 {
			t.Errorf("%s is shown %d times", key, times)
		}
	}

	calls := 0
	if err := o.EachLocal(t.Context(), "m", func([]byte, []byte) bool { calls++; return calls < 5 }); err != nil || calls != 5 {
		t.Errorf("a caller that wanted 5 entries has %d, and the error %v", calls, err)
	}

	ended, end := context.WithCancel(t.Context())
	end()
	if err := o.EachLocal(ended, "m", func([]byte, []byte) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context the error is %v", err)
	}
}

// A partition that passes to another member while it is read ends the reading with an error; one that has passed before is the other's.
func TestEachLocalOfAPartitionThatPasses(t *testing.T) {
	o := newOwner(t, 1)
	for i := range 2 * localPage {
		o.set("m", fmt.Sprint("key", i), "v")
	}

	calls := 0
	err := o.EachLocal(t.Context(), "m", func([]byte, []byte) bool {
		if calls++; calls == 1 {
			o.host.Release(t.Context())
		}
		return true
	})
	if !errors.Is(err, ErrUnreadable) || calls != localPage {
		t.Errorf("after the partition has passed, %d entries were shown, with the error %v", calls, err)
	}

	calls = 0
	if err := o.EachLocal(t.Context(), "m", func([]byte, []byte) bool { calls++; return true }); err != nil || calls != 0 {
		t.Errorf("of a partition that is not owned here %d entries were shown, with the error %v", calls, err)
	}
}
