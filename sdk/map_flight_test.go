package sdk

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// joined returns how many callers of the client wait for values, or load them.
func (s *flights) joined() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.open {
		n += f.callers
	}
	return n
}

// loadersSeen has the grid tell which IDs have asked to load, and answer OpLoad as said while another loads.
type loadersSeen struct {
	mu      sync.Mutex
	ids     map[wire.ID]int
	left    map[wire.ID]bool
	answer  fakegrid.Verdict
	waiting bool
}

func watchLoaders(g *fakegrid.Grid) *loadersSeen {
	s := &loadersSeen{ids: map[wire.ID]int{}, left: map[wire.ID]bool{}}
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch req.Op {
		case wire.OpLoad:
			if b, _ := wire.DecodeLockBody(req.Body); b.Flags&wire.LockAgain == 0 {
				s.ids[b.ID]++
				if s.waiting {
					return s.answer
				}
			}
		case wire.OpLoaded:
			if b, _ := wire.DecodeLoadedBody(req.Body); b.Value == nil {
				s.left[b.ID] = true
			}
		}
		return fakegrid.Verdict{}
	})
	return s
}

func (s *loadersSeen) wait(v fakegrid.Verdict, waiting bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.waiting = v, waiting
}

func (s *loadersSeen) seen() (ids, left []wire.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.ids {
		ids = append(ids, id)
	}
	for id := range s.left {
		left = append(left, id)
	}
	return ids, left
}

// Any number of callers of one client make one call of the cluster and get one value, by whichever Map of the name they ask.
func TestManyLoadTheSame(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		seen := watchLoaders(g)
		const callers = 1500
		var loads atomic.Int32
		ready, all := make(chan struct{}), sync.WaitGroup{}
		others := []*Map[string, string]{m, opened[string, string](t, c, "m"), opened[string, string](t, c, "m")}
		for i := range callers {
			all.Go(func() {
				v, err := others[i%len(others)].GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
					loads.Add(1)
					<-ready
					return "v", nil
				}, WithTTL(time.Duration(1+i%2)*time.Hour))
				if v != "v" || err != nil {
					t.Errorf("%q, %v", v, err)
				}
			})
		}
		synctest.Wait()
		if n := c.loads.joined(); n != callers {
			t.Errorf("%d of %d share the load", n, callers)
		}
		close(ready)
		all.Wait()
		if ids, _ := seen.seen(); len(ids) != 1 || loads.Load() != 1 {
			t.Errorf("%d loads by %d IDs", loads.Load(), len(ids))
		}
		if n := c.loads.joined(); n != 0 {
			t.Errorf("%d are still there", n)
		}
	})
}

// Who leads and goes away leaves the lead, and the place among those who wait, to another; the last gives the place up.
func TestTheLeadIsPassedOn(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		seen := watchLoaders(g)
		seen.wait(fakegrid.Verdict{Ignore: true}, true) // it is held
		load := func(context.Context, string) (string, error) { return "v", nil }
		start := func(ctx context.Context) <-chan error {
			done := make(chan error, 1)
			go func() {
				_, err := m.GetOrLoad(ctx, "k", load)
				done <- err
			}()
			synctest.Wait()
			return done
		}
		lead, cancel := context.WithCancel(t.Context())
		first := start(lead)
		rest := []<-chan error{start(lasting(t, time.Minute)), start(lasting(t, time.Minute))}
		cancel()
		wantErr(t, <-first, ErrTimeout, context.Canceled)
		synctest.Wait()
		seen.wait(fakegrid.Verdict{}, false)
		for _, done := range rest {
			noErr(t, <-done)
		}
		ids, left := seen.seen()
		if len(ids) != 1 || len(left) != 0 {
			t.Errorf("%d IDs asked, %d left", len(ids), len(left))
		}

		// All go away: the place is given up.
		_, err := m.Delete(t.Context(), "k")
		noErr(t, err)
		seen.wait(fakegrid.Verdict{Ignore: true}, true)
		both, cancel := context.WithCancel(t.Context())
		rest = []<-chan error{start(both), start(both)}
		cancel()
		for _, done := range rest {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		}
		synctest.Wait()
		if ids, left = seen.seen(); len(ids) != 2 || len(left) != 1 {
			t.Errorf("%d IDs asked, %d left", len(ids), len(left))
		}
	})
}

// An error is for one caller alone, whatever it is; the others go on, each under another ID.
func TestSharedLoadsFailAlone(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		broken, begun := errors.New("broken"), make(chan struct{})
		var n, failed, panicked atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				defer func() {
					if recover() != nil {
						panicked.Add(1)
					}
				}()
				v, err := m.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) {
					<-begun
					switch n.Add(1) {
					case 1:
						return "", broken
					case 2:
						panic("load")
					case 3:
						return strings.Repeat("x", 2<<20), nil // is too large to be stored
					}
					return "v", nil
				})
				switch {
				case errors.Is(err, broken), errors.Is(err, ErrTooLarge):
					failed.Add(1)
				case v != "v" || err != nil:
					t.Errorf("%q, %v", v, err)
				}
			})
		}
		synctest.Wait()
		close(begun)
		if all.Wait(); n.Load() != 4 || failed.Load() != 2 || panicked.Load() != 1 {
			t.Errorf("loaded %d times, %d failed and %d panicked", n.Load(), failed.Load(), panicked.Load())
		}
	})
}

// A value that was deleted while it was loaded is not shared: who waits for it loads again.
func TestDeletedLoadIsNotShared(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		var n atomic.Int32
		refuse := true
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if b, err := wire.DecodeLoadedBody(req.Body); req.Op == wire.OpLoaded && err == nil && b.Value != nil && refuse {
				refuse = false
				return fakegrid.Verdict{Code: wire.CodeLockNotHeld}
			}
			return fakegrid.Verdict{}
		})
		load := func(context.Context, string) (string, error) {
			if n.Add(1) == 1 {
				time.Sleep(time.Second)
				return "old", nil
			}
			return "new", nil
		}
		var all sync.WaitGroup
		var old atomic.Int32
		for range 3 {
			all.Go(func() {
				v, err := m.GetOrLoad(t.Context(), "k", load)
				if v == "old" {
					old.Add(1)
				}
				noErr(t, err)
			})
		}
		if all.Wait(); old.Load() != 1 || n.Load() != 2 {
			t.Errorf("%d got what was deleted, loaded %d times", old.Load(), n.Load())
		}
	})
}

// While members are overloaded a load is asked for again, for as long as its caller waits.
func TestLoadThroughOverload(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		var asked atomic.Int32
		most := int32(40)
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if (req.Op == wire.OpLoad || req.Op == wire.OpGet) && asked.Add(1) <= most {
				return fakegrid.Verdict{Code: wire.CodeOverloaded}
			}
			return fakegrid.Verdict{}
		})
		load := func(context.Context, string) (string, error) { return "v", nil }
		v, err := m.GetOrLoad(t.Context(), "k", load)
		if noErr(t, err); v != "v" || asked.Load() < most {
			t.Errorf("%q after %d requests", v, asked.Load())
		}
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op == wire.OpLoad {
				return fakegrid.Verdict{Code: wire.CodeOverloaded, Body: []byte("too many wait")}
			}
			return fakegrid.Verdict{}
		})
		_, err = m.GetOrLoad(lasting(t, time.Minute), "other", load)
		wantErr(t, err, ErrTimeout, context.DeadlineExceeded)
		if !strings.Contains(err.Error(), "too many wait") {
			t.Errorf("%v", err)
		}
	})
}

// A wait that was answered "moved", though it may stand in the log, is given up when its caller goes away.
func TestMovedWaitLeavesItsPlace(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		for name, wait := range map[string]func(ctx context.Context) error{
			"lock": func(ctx context.Context) error { _, err := m.Lock(ctx, "k"); return err },
			"try":  func(ctx context.Context) error { _, _, err := m.TryLock(ctx, "k"); return err },
			"load": func(ctx context.Context) error {
				_, err := m.GetOrLoad(ctx, "k", func(context.Context, string) (string, error) { return "", nil })
				return err
			},
		} {
			var mu sync.Mutex
			var asked, left wire.ID
			g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
				mu.Lock()
				defer mu.Unlock()
				switch req.Op {
				case wire.OpLock, wire.OpLoad:
					b, _ := wire.DecodeLockBody(req.Body)
					asked = b.ID
					return fakegrid.Verdict{Execute: true, Code: wire.CodeMoved, Body: wire.AppendMoved(nil, wire.Moved{})}
				case wire.OpUnlock:
					b, _ := wire.DecodeUnlockBody(req.Body)
					left = b.ID
				case wire.OpLoaded:
					b, _ := wire.DecodeLoadedBody(req.Body)
					left = b.ID
				}
				return fakegrid.Verdict{}
			})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if err := wait(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
			time.Sleep(time.Second)
			mu.Lock()
			if asked.IsZero() || left != asked {
				t.Errorf("%s: %v asked, %v left", name, asked, left)
			}
			mu.Unlock()
		}
	})
}
