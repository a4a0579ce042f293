package maps

import (
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// lockRequest is a call that locks a key for a minute.
func lockRequest(key string, id byte, flags uint8) []byte {
	return wire.AppendLockBody(nil, &wire.LockBody{Map: []byte("m"), Key: []byte(key), ID: wire.ID{id}, Lease: 60_000, Flags: flags})
}

// What waits at a member has one budget in bytes. Beyond it, who would wait is refused, and a renewal is answered at once; what does not wait
// goes on, and all is given back.
func TestWhatWaitsIsBounded(t *testing.T) {
	o := newOwner(t, 1)
	o.Start()
	t.Cleanup(o.Stop)
	o.set("m", "k", "v")
	o.call(0, wire.OpLock, lockRequest("k", 1, 0))
	parked := o.begin(0, wire.OpLock, lockRequest("k", 2, wire.LockWait))
	o.await("it waits", func() bool { return o.waitQueue.total.Load() == 1 })
	before := o.host.Load().WaitingBytes
	if before < callBytes {
		t.Errorf("a call that waits counts for %d bytes", before)
	}
	rest := int64(partition.MaxWaitingBytes) - before
	if !o.host.Hold(rest) || o.host.Hold(1) {
		t.Fatal("there is more room than the bound, or less")
	}
	for what, r := range map[string]struct {
		op   wire.Op
		body []byte
		code wire.Code
	}{
		"a read that is queued":     {wire.OpSize, wire.AppendMapBody(nil, "m"), wire.CodeOverloaded},
		"a wait for a lock":         {wire.OpLock, lockRequest("k", 3, wire.LockWait), wire.CodeOverloaded},
		"a wait for a value":        {wire.OpLoad, lockRequest("other", 3, wire.LockWait), wire.CodeOverloaded},
		"a removal":                 {wire.OpRemoveAll, removeBody("m", "*", nil), wire.CodeOverloaded},
		"a try":                     {wire.OpLock, lockRequest("free", 3, 0), wire.CodeOK},
		"a write":                   {wire.OpSet, wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("m"), Key: []byte("k"), Value: []byte("w")}), wire.CodeOK},
		"a renewal that can't wait": {wire.OpRenew, lockRequest("k", 1, wire.LockWait), wire.CodeOK},
	} {
		if got := o.wait(o.begin(0, r.op, r.body)); got.code != r.code {
			t.Errorf("%s: %v %s", what, got.code, got.body)
		}
	}
	o.host.Free(rest)
	o.call(0, wire.OpUnlock, wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{1}}))
	o.Touched(0)
	if got := o.wait(parked); got.code != wire.CodeOK {
		t.Errorf("%v %s", got.code, got.body)
	}
	if got := o.get("m", "k"); got != "w" {
		t.Errorf("%q", got)
	}
	o.await("all is given back", func() bool { return o.host.Load().WaitingBytes == 0 })
}

// Locks take memory, too: where it is used up, no more are given, but who has one keeps it, and gives it back.
func TestLocksCountAsMemory(t *testing.T) {
	t.Parallel()
	const most = 2 << 20
	o := newOwner(t, 1, func(c *Config) { c.MaxMemory = most })
	value := strings.Repeat("v", 1000)
	o.call(0, wire.OpLock, lockRequest("held", 1, 0))
	for i := 0; o.try("m", keyOf(i), value).code == wire.CodeOK; i++ {
		if i > most/len(value) {
			t.Fatal("the memory is never used up")
		}
	}
	more := 0
	o.await("locks are refused", func() bool {
		more++
		got := o.wait(o.begin(0, wire.OpLock, lockRequest(keyOf(more), 2, 0)))
		if got.code == wire.CodeOverloaded && !strings.Contains(string(got.body), "memory") {
			t.Fatalf("%s", got.body)
		}
		o.try("m", keyOf(0), value)
		return got.code == wire.CodeOverloaded
	})
	for _, r := range []struct {
		what string
		op   wire.Op
		body []byte
	}{
		{"the holder asks again", wire.OpLock, lockRequest("held", 1, 0)},
		{"the holder renews", wire.OpRenew, lockRequest("held", 1, 0)},
		{"the holder unlocks", wire.OpUnlock, wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte("m"), Key: []byte("held"), ID: wire.ID{1}})},
	} {
		if got := o.wait(o.begin(0, r.op, r.body)); got.code != wire.CodeOK {
			t.Errorf("%s: %v %s", r.what, got.code, got.body)
		}
	}
}
