package member

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// hour is a lease that no test outlives.
const hour = 3_600_000

// lockBody is the body of a call that waits for a lock, or to load, with a lease in milliseconds.
func lockBody(name, key string, id wire.ID, lease uint64) []byte {
	return wire.AppendLockBody(nil, &wire.LockBody{Map: []byte(name), Key: encodedKey(key), ID: id, Lease: lease, Flags: wire.LockWait})
}

// encodedKey is a short text as a key.
func encodedKey(key string) []byte { return append([]byte{0xa0 | byte(len(key))}, key...) }

// A caller that asks for a lock, and whose connection ends before it can be told, keeps nobody else from it: its lease is an hour.
func TestLockOfAConnectionThatEnds(t *testing.T) {
	t.Parallel()
	m := runningMember(t, Config{Settings: Settings{Partitions: 1}})
	locks, err := sdk.OpenMap[string, int](m.Client(), "locks")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for i, end := range []func(c *rawClient){
		func(c *rawClient) {}, // as the request is written
		func(c *rawClient) { _ = c.nc.(*net.TCPConn).SetLinger(0) },
		func(c *rawClient) { c.call(c.request(wire.OpPing, nil)) },
	} {
		key := string(rune('a' + i))
		held, ok, err := locks.TryLock(ctx, key)
		if err != nil || !ok {
			t.Fatalf("%v, %v", ok, err)
		}
		c := connected(t, m)
		c.id = wire.ID{1, 2, 3, byte(i)}
		c.send(c.request(wire.OpLock, lockBody("locks", key, wire.ID{byte(i + 1)}, hour)))
		if i == 2 {
			eventually(t, "it waits", func() bool { info, err := locks.LockInfo(ctx, key); return err == nil && info.Waiting == 1 })
		}
		end(c)
		_ = c.nc.Close()
		if err := held.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
		next, err := locks.Lock(ctx, key)
		if err != nil {
			t.Fatalf("key %s: %v", key, err)
		}
		if err := next.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// Where as many wait to load a value as may, a client waits until there is room; those whose connection has ended make room.
func TestLoadBehindManyOthers(t *testing.T) {
	t.Parallel()
	m := runningMember(t, Config{Settings: Settings{Partitions: 1}})
	loaded, err := sdk.OpenMap[string, string](m.Client(), "loaded")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	c := connected(t, m)
	const places = 1024
	lease := uint64(1000)           // of who loads, and was told so
	for i := range 1 + places + 1 { // who loads, who wait, and one too many
		c.send(c.request(wire.OpLoad, lockBody("loaded", "k", wire.ID{1, byte(i), byte(i >> 8)}, lease)))
		lease = hour
	}
	if a := c.answer(); a.Code != wire.CodeOK {
		t.Fatalf("%v", a.Code)
	}
	if a := c.answer(); a.Code != wire.CodeOverloaded {
		t.Fatalf("%v", a.Code)
	}
	began := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		v, err := loaded.GetOrLoad(ctx, "k", func(context.Context, string) (string, error) {
			close(began)
			return "v", nil
		})
		if v != "v" || err != nil {
			t.Errorf("%q, %v", v, err)
		}
	})
	_ = c.nc.Close()
	all.Wait()
	<-began
}
