package mapconfig

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// known are metadata that nobody changes.
type known func() *meta.View

func (k known) View() *meta.View              { return k() }
func (k known) Barrier(context.Context) error { return nil }
func (k known) Commit(context.Context, meta.Command) (meta.Result, error) {
	return meta.Result{}, errors.New("nobody commits")
}

// viewOf returns metadata at a version of the configurations in which all maps have a TTL.
func viewOf(version, ttl uint64) *meta.View {
	return &meta.View{MapsVersion: version, Maps: wire.MapConfigs{{Pattern: "*", MapConfig: wire.MapConfig{Fields: wire.MapTTL, TTL: ttl}}}}
}

func TestMapConfigsOfAView(t *testing.T) {
	var now *meta.View
	c := New(known(func() *meta.View { return now }))
	name := []byte("users")
	if got := c.Of(name); got != wire.DefaultMapConfig {
		t.Errorf("without metadata: %+v", got)
	}
	for version := range uint64(3) {
		now = viewOf(version+1, version+10)
		for range 2 {
			if got := c.Of(name); got.TTL != version+10 {
				t.Errorf("at version %d: %+v", version+1, got)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.Of(name) }); n != 0 {
		t.Errorf("%v allocations for a name that is known", n)
	}
	// Names without end do not fill the memory, and have their configuration all the same.
	for i := range maxResolved + 10 {
		if got := c.Of(fmt.Appendf(nil, "m%d", i)); got.TTL != 12 {
			t.Fatalf("map %d: %+v", i, got)
		}
	}
	if n := len(c.byName.Load().byName); n != maxResolved {
		t.Errorf("%d names are kept, want %d", n, maxResolved)
	}
	now = &meta.View{MapsVersion: 9}
	if got := c.Of(name); got != wire.DefaultMapConfig {
		t.Errorf("when nothing is set any more: %+v", got)
	}
}

// Whoever asks while configurations change gets those of a version that was there when it asked, or later.
func TestMapConfigsWhileTheyChange(t *testing.T) {
	var now atomic.Pointer[meta.View]
	now.Store(viewOf(1, 1))
	c := New(known(now.Load))
	var wg sync.WaitGroup
	var done atomic.Bool
	for i := range 4 {
		wg.Go(func() {
			for n := 0; !done.Load(); n++ {
				least := now.Load().MapsVersion
				if got := c.Of(fmt.Appendf(nil, "m%d", (i+n)%7)); got.TTL < least {
					t.Errorf("version %d when it was at %d", got.TTL, least)
					return
				}
			}
		})
	}
	for v := range uint64(2000) {
		now.Store(viewOf(v+2, v+2))
	}
	done.Store(true)
	wg.Wait()
}
