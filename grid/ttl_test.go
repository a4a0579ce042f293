package grid_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// early is how much before its time an entry may be gone: what members' clocks may disagree by.
const early = 50 * time.Millisecond

// life is what a test saw of one entry, on the test's own clock.
type life struct {
	ttl          time.Duration
	asked, known time.Time // before and after the write
	last         time.Time // when it was last asked for and found
	gone         time.Time // when it was first known not to be there
}

// check fails the test unless the entry was there for its time, and gone at most late after it.
func (l *life) check(t *testing.T, key string, late time.Duration) {
	t.Helper()
	if lived := l.gone.Sub(l.asked); lived < l.ttl-early {
		t.Errorf("%s: gone %v after it was written, its TTL is %v", key, lived, l.ttl)
	}
	if lived := l.last.Sub(l.known); lived > l.ttl+late {
		t.Errorf("%s: there %v after it was written, its TTL is %v", key, lived, l.ttl)
	}
}

// watchLives writes n entries of different TTLs around ttl and asks for them until none is left; meanwhile is called once all of
// them are written.
func watchLives(t *testing.T, m *sdk.Map[string, int], n int, ttl time.Duration, meanwhile func()) map[string]*life {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	lives := make(map[string]*life)
	for i := range n {
		l := &life{ttl: ttl + time.Duration(i%5)*50*time.Millisecond, asked: time.Now()}
		key := fmt.Sprintf("k%d", i)
		if err := m.Set(ctx, key, i, sdk.WithTTL(l.ttl)); err != nil {
			t.Fatalf("set: %v", err)
		}
		l.known, l.last = time.Now(), l.asked
		lives[key] = l
	}
	if meanwhile != nil {
		meanwhile()
	}
	for left := n; left > 0; {
		for key, l := range lives {
			if !l.gone.IsZero() {
				continue
			}
			asked := time.Now()
			_, found, err := m.Get(ctx, key)
			if err != nil {
				t.Fatalf("get: %v", err)
			}
			if found {
				l.last = asked
			} else {
				l.gone = time.Now()
				left--
			}
		}
	}
	return lives
}

func TestTTL(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d members", n), func(t *testing.T) {
			cl := gridtest.New(t, n, gridtest.WithPartitions(6))
			m, err := sdk.OpenMap[string, int](cl.Client(), "sessions")
			if err != nil {
				t.Fatal(err)
			}
			for key, l := range watchLives(t, m, 40, 300*time.Millisecond, nil) {
				l.check(t, key, early)
			}
			if size, err := m.Size(t.Context()); size != 0 || err != nil {
				t.Errorf("%d entries are counted that nobody sees: %v", size, err)
			}
		})
	}
}

// An entry goes at its time also when the owner that wrote it is no more, and never comes back.
func TestTTLSurvivesOwner(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	m, err := sdk.OpenMap[string, int](cl.Client(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	lives := watchLives(t, m, 40, time.Second, func() { cl.Kill(0) })
	for key, l := range lives {
		l.check(t, key, early)
	}
	for key := range lives {
		if _, found, err := m.Get(t.Context(), key); found || err != nil {
			t.Errorf("%s is there again: %v", key, err)
		}
	}
}
