package member

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// viewOf returns metadata at a version of the configurations in which all maps have a TTL.
func viewOf(version, ttl uint64) *meta.View {
	return &meta.View{MapsVersion: version, Maps: wire.MapConfigs{{Pattern: "*", MapConfig: wire.MapConfig{Fields: wire.MapTTL, TTL: ttl}}}}
}

func TestMapConfigsOfAView(t *testing.T) {
	var now *meta.View
	c := mapConfigs{view: func() *meta.View { return now }}
	name := []byte("users")
	if got := c.of(name); got != wire.DefaultMapConfig {
		t.Errorf("without metadata: %+v", got)
	}
	for version := range uint64(3) {
		now = viewOf(version+1, version+10)
		for range 2 {
			if got := c.of(name); got.TTL != version+10 {
				t.Errorf("at version %d: %+v", version+1, got)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.of(name) }); n != 0 {
		t.Errorf("%v allocations for a name that is known", n)
	}
	// Names without end do not fill the memory, and have their configuration all the same.
	for i := range maxResolved + 10 {
		if got := c.of(fmt.Appendf(nil, "m%d", i)); got.TTL != 12 {
			t.Fatalf("map %d: %+v", i, got)
		}
	}
	if n := len(c.byName.Load().byName); n != maxResolved {
		t.Errorf("%d names are kept, want %d", n, maxResolved)
	}
	now = &meta.View{MapsVersion: 9}
	if got := c.of(name); got != wire.DefaultMapConfig {
		t.Errorf("when nothing is set any more: %+v", got)
	}
}

// Whoever asks while configurations change gets those of a version that was there when it asked, or later.
func TestMapConfigsWhileTheyChange(t *testing.T) {
	var now atomic.Pointer[meta.View]
	now.Store(viewOf(1, 1))
	c := mapConfigs{view: now.Load}
	var wg sync.WaitGroup
	var done atomic.Bool
	for i := range 4 {
		wg.Go(func() {
			for n := 0; !done.Load(); n++ {
				least := now.Load().MapsVersion
				if got := c.of(fmt.Appendf(nil, "m%d", (i+n)%7)); got.TTL < least {
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

// Every field of a program's configuration reaches the metadata.
func TestMapConfigIsWhole(t *testing.T) {
	var set sdk.MapConfig
	v := reflect.ValueOf(&set).Elem()
	for i := range v.NumField() {
		v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
	}
	set.Eviction = new(sdk.EvictNone)

	if got, err := mapConfig(set); err != nil || got.Fields != wire.AllMapFields {
		t.Errorf("fields %b of %b, %v", got.Fields, wire.AllMapFields, err)
	}
}

func TestMapsAreValidated(t *testing.T) {
	cfg := Config{Settings: Settings{
		Maps: map[string]sdk.MapConfig{
			"ok":    {TTL: new(time.Minute)},
			"a[":    {TTL: new(-time.Second)},
			"empty": {},
			"both":  {Eviction: new(sdk.EvictNone), MaxEntries: new(int64(4))},
			"fifo":  {Eviction: new(sdk.EvictionPolicy("fifo"))},
		},
		Executors: map[string]exec.PoolConfig{"": {Pool: 1}, "x": {Queue: -1}},
	}}.WithDefaults()
	err := cfg.Validate()
	if !errors.Is(err, ErrConfig) {
		t.Fatal(err)
	}
	for _, want := range []string{`maps "a[":`, "glob", "ttl(-1s)", `maps "empty"`, `maps "both"`, `maps "fifo"`, `name of executor ""`, `executor "x"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q too", err, want)
		}
	}
	if strings.Contains(err.Error(), `"ok"`) {
		t.Errorf("%v", err)
	}
}
