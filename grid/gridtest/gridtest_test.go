package gridtest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // unless told otherwise: they wait for most of their time
	goleak.VerifyTestMain(m)
}

// callTime is within what every call must succeed that can.
const callTime = 20 * time.Second

func openMap(t *testing.T, c *sdk.Client) *sdk.Map[string, int] {
	t.Helper()
	m, err := sdk.OpenMap[string, int](c, "m")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func set(t *testing.T, m *sdk.Map[string, int], key string, value int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	if err := m.Set(ctx, key, value); err != nil {
		t.Fatalf("set %s: %v", key, err)
	}
}

func expect(t *testing.T, m *sdk.Map[string, int], key string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	if v, found, err := m.Get(ctx, key); err != nil || !found || v != want {
		t.Fatalf("%s is %d, %t, %v, want %d", key, v, found, err, want)
	}
}

// A member behind a pulled cable is neither asked nor answered, and goes on where it was when the cable is back.
func TestIsolate(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(4))
	m := openMap(t, cl.Client())
	inside := openMap(t, cl.Member(1).Client())
	set(t, m, "k", 1)
	cl.Isolate(1)
	set(t, m, "k", 2)
	for i := range 20 {
		set(t, m, fmt.Sprint(i), i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if v, _, err := inside.Get(ctx, "k"); err == nil {
		t.Errorf("inside the isolated member k is %d", v)
	}
	if _, err := sdk.Connect(ctx, []string{cl.Addr(1)}); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("connected to it: %v", err)
	}
	cl.Heal()
	expect(t, inside, "k", 2)
	cl.WaitSafe()
}

// A member that dies behind a pulled cable does so unheard, and the test ends all the same.
func TestIsolatedToTheEnd(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(4))
	m := openMap(t, cl.Client())
	set(t, m, "k", 1)
	cl.Isolate(0)
	cl.Kill(0)
	set(t, m, "k", 2)
	cl.Isolate(1)
	cl.Cut(1, 2)
}

// Members come and go.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(4))
	m := openMap(t, cl.Client())
	set(t, m, "k", 1)
	if i := cl.Add(); i != 3 || !cl.Runs(3) || cl.Size() != 4 || len(cl.Addrs()) != 4 {
		t.Errorf("the fourth member is %d of %d, at %v", i, cl.Size(), cl.Addrs())
	}
	id, added := cl.Member(3).ID(), openMap(t, cl.Member(3).Client())
	expect(t, added, "k", 1)
	cl.Stop(3)
	cl.Restart(3)
	if now := cl.Member(3).ID(); now != id {
		t.Errorf("it came back as %s, it was %s", now, id)
	}
	expect(t, openMap(t, cl.Member(3).Client()), "k", 1)
}
