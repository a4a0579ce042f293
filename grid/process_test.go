package grid_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// clients returns clients of a cluster of both kinds: in a member's process, and over the network.
func clients(t *testing.T, cl *gridtest.Cluster) map[string]*sdk.Client {
	t.Helper()
	remote, err := sdk.Connect(t.Context(), cl.Addrs())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = remote.Close() })
	return map[string]*sdk.Client{"embedded": cl.Member(0).Client(), "remote": remote}
}

// sums adds to a value of each type of number, over its bound and back.
func sums[V sdk.Number](ctx context.Context, t *testing.T, c *sdk.Client, name string, most, less V) {
	t.Helper()
	m, err := sdk.OpenMap[string, V](c, name)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := sdk.Add(ctx, m, "k", most); got != most || err != nil {
		t.Errorf("%s: nothing plus %v is %v, %v", name, most, got, err)
	}
	if got, err := sdk.Add(ctx, m, "k", most); !errors.Is(err, sdk.ErrInvalid) || got != 0 {
		t.Errorf("%s: twice %v is %v, %v", name, most, got, err)
	}
	if got, found, err := m.Get(ctx, "k"); got != most || !found || err != nil {
		t.Errorf("%s: after a sum that was refused: %v, %v, %v", name, got, found, err)
	}
	if got, err := sdk.Add(ctx, m, "k", less); got != most+less || err != nil {
		t.Errorf("%s: %v plus %v is %v, %v", name, most, less, got, err)
	}
}

// Add, Append and MergeJSON change values where they stand, for clients of both kinds.
func TestUpdates(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(7))
	for kind, c := range clients(t, cl) {
		t.Run(kind, func(t *testing.T) {
			ctx := t.Context()
			sums(ctx, t, c, kind+"-int8", int8(math.MaxInt8), -1)
			sums(ctx, t, c, kind+"-int64", int64(math.MaxInt64), math.MinInt64)
			sums(ctx, t, c, kind+"-int", int(math.MinInt), math.MaxInt)
			sums(ctx, t, c, kind+"-uint8", uint8(math.MaxUint8), 0)
			sums(ctx, t, c, kind+"-uint64", uint64(math.MaxUint64), 0)
			sums(ctx, t, c, kind+"-float64", math.MaxFloat64, -1e300)
			sums(ctx, t, c, kind+"-float32", float32(math.MaxFloat32), -1e30)
			sums(ctx, t, c, kind+"-duration", time.Duration(math.MaxInt64), -time.Hour)

			// Floats of 32 bits are added as Go adds them.
			floats, _ := sdk.OpenMap[int, float32](c, kind+"-floats")
			if _, err := sdk.Add(ctx, floats, 1, float32(0.1)); err != nil {
				t.Fatal(err)
			}
			want := float32(0.1)
			want += 0.2
			if got, err := sdk.Add(ctx, floats, 1, float32(0.2)); got != want || err != nil {
				t.Errorf("0.1 + 0.2 = %v, %v", got, err)
			}

			bin, _ := sdk.OpenMap[string, []byte](c, kind+"-bytes")
			for i, part := range []string{"ab", "", "c"} {
				if n, err := sdk.Append(ctx, bin, "k", []byte(part)); n != 2+i/2 || err != nil {
					t.Errorf("Append(%q) = %d, %v", part, n, err)
				}
			}
			if got, _, err := bin.Get(ctx, "k"); string(got) != "abc" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if _, err := sdk.Append(ctx, bin, "k", make([]byte, 1<<20)); !errors.Is(err, sdk.ErrTooLarge) {
				t.Errorf("a value that would be too large: %v", err)
			}

			for codec, opts := range map[string][]sdk.MapOption{"MessagePack": nil, "JSON": {sdk.WithCodec(jsonCodec{})}} {
				m, _ := sdk.OpenMap[string, citizen](c, kind+codec, opts...)
				p := citizenOf(4)
				if got, err := sdk.MergeJSON(ctx, m, "k", p); !reflect.DeepEqual(got, p) || err != nil {
					t.Errorf("%s: %+v, %v", codec, got, err)
				}
				p.Age, p.Address.City = 7, "Bonn"
				got, err := sdk.MergeJSON(ctx, m, "k", map[string]any{"age": 7, "address": map[string]any{"city": "Bonn"}})
				if !reflect.DeepEqual(got, p) || err != nil {
					t.Errorf("%s: %+v, %v, want %+v", codec, got, err, p)
				}
				// The new value has the bytes that a program would have stored, so it is the same to ReplaceIfSame.
				if same, err := m.ReplaceIfSame(ctx, "k", got, citizenOf(8)); !same || err != nil {
					t.Errorf("%s: replaced %v, %v", codec, same, err)
				}
				p = citizenOf(8)
				p.Tags = nil
				if got, err := sdk.MergeJSON(ctx, m, "k", map[string]any{"tags": nil}); !reflect.DeepEqual(got, p) || err != nil {
					t.Errorf("%s: without tags %+v, %v", codec, got, err)
				}
			}
		})
	}
}

// An update keeps the entry's expiry unless it is told otherwise, heeds IfVersion, and makes the events of a write.
func TestUpdatesAreWrites(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 1)
	ctx := t.Context()
	m, err := sdk.OpenMap[string, int64](cl.Client(), "m")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Set(ctx, "k", 1, sdk.WithTTL(time.Hour), sdk.WithMaxIdle(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	updated := make(chan sdk.Event[string, int64], 9)
	sub, err := m.AddEntryListener(ctx, sdk.EntryListener[string, int64]{Updated: func(e sdk.Event[string, int64]) { updated <- e }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()

	if _, err := sdk.Add(ctx, m, "k", 2); err != nil {
		t.Fatal(err)
	}
	if e := <-updated; e.Old != 1 || e.New != 3 {
		t.Errorf("the event says %d and %d", e.Old, e.New)
	}
	view, _, err := m.EntryView(ctx, "k")
	if err != nil || view.TTL != time.Hour || view.MaxIdle != 2*time.Hour {
		t.Errorf("after Add: TTL %v, max-idle %v, %v", view.TTL, view.MaxIdle, err)
	}
	if _, err := sdk.Add(ctx, m, "k", 2, sdk.IfVersion(view.Version+1)); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("Add to another version: %v", err)
	}
	if n, err := sdk.Add(ctx, m, "k", 2, sdk.IfVersion(view.Version), sdk.WithTTL(time.Minute)); n != 5 || err != nil {
		t.Errorf("Add to this version: %d, %v", n, err)
	}
	if view, _, _ := m.EntryView(ctx, "k"); view.TTL != time.Minute || view.MaxIdle != 0 {
		t.Errorf("after Add with a TTL: TTL %v, max-idle %v", view.TTL, view.MaxIdle)
	}

	lock, err := m.Lock(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := sdk.Add(ctx, m, "k", 1, sdk.WithFence(lock)); n != 6 || err != nil {
		t.Errorf("Add under the lock: %d, %v", n, err)
	}
	if err := errors.Join(lock.Unlock(ctx), m.ForceUnlock(ctx, "k")); err != nil {
		t.Fatal(err)
	}
	again, err := m.Lock(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := sdk.Add(ctx, m, "k", 1, sdk.WithFence(lock)); !errors.Is(err, sdk.ErrFenced) {
		t.Errorf("Add under the lock of before: %d, %v", n, err)
	}
	if err := again.Unlock(ctx); err != nil {
		t.Fatal(err)
	}

	stats, err := m.Stats(ctx)
	if err != nil || stats.Operations["update"].Count == 0 {
		t.Errorf("no update is counted: %+v, %v", stats.Operations, err)
	}
}

// A processor has a name at every member, and says what it did.
func TestExecuteOnKey(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 2, gridtest.WithPartitions(7))
	for kind, c := range clients(t, cl) {
		t.Run(kind, func(t *testing.T) {
			ctx := t.Context()
			m, _ := sdk.OpenMap[string, any](c, kind)
			if n, err := sdk.ExecuteOnKey[int](ctx, m, "n", "increment", 5); n != 5 || err != nil {
				t.Errorf("increment: %d, %v", n, err)
			}
			if added, err := sdk.ExecuteOnKey[bool](ctx, m, "s", "set-add", "x"); !added || err != nil {
				t.Errorf("set-add: %v, %v", added, err)
			}
			if n, err := sdk.ExecuteOnKey[int](ctx, m, "s", "list-push", "y"); n != 2 || err != nil {
				t.Errorf("list-push: %d, %v", n, err)
			}
			if _, err := sdk.ExecuteOnKey[int](ctx, m, "n", "no-such", nil); !errors.Is(err, sdk.ErrUnknownProcessor) {
				t.Errorf("no such processor: %v", err)
			}
			if _, err := sdk.ExecuteOnKey[int](ctx, m, "n", "", nil); !errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("no name: %v", err)
			}
			if _, err := sdk.ExecuteOnKey[string](ctx, m, "n", "increment", 1); !errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("a result of another type: %v", err)
			}
			if v, _, err := m.Get(ctx, "n"); v != int64(6) || err != nil {
				t.Errorf("the value is %v, %v", v, err)
			}
		})
	}
}

// No addition is lost and none is made twice, although owners are killed and clients ask again.
func TestAddsThroughKills(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(3))
	m, err := sdk.OpenMap[int, int](cl.Client(), "m")
	if err != nil {
		t.Fatal(err)
	}
	const callers, keys, each = 16, 3, 60
	var done sync.WaitGroup
	half := make(chan struct{}, callers)
	for range callers {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := range keys * each {
				if i == keys*each/2 {
					half <- struct{}{}
				}
				if _, err := sdk.Add(context.Background(), m, i%keys, 1); err != nil {
					t.Errorf("Add: %v", err)
				}
			}
		}()
	}
	<-half
	cl.Kill(0)
	done.Wait()
	for k := range keys {
		if n, _, err := m.Get(t.Context(), k); n != callers*each || err != nil {
			t.Errorf("key %d is %d, %v, want %d", k, n, err, callers*each)
		}
	}
}
