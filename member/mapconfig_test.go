package member

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Every field of a program's configuration reaches the metadata.
func TestMapConfigIsWhole(t *testing.T) {
	var set sdk.MapConfig
	v := reflect.ValueOf(&set).Elem()
	for i := range v.NumField() {
		v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
	}
	set.Eviction, set.Reads, set.NearCacheMaxEntries = new(sdk.EvictNone), new(sdk.ReadQuorum), new(int64(1))
	set.EventsMaxEntries, set.EventsMaxBytes = new(int64(1)), new(int64(1))

	if got, err := mapConfig(set); err != nil || got.Fields != wire.AllMapFields {
		t.Errorf("fields %b of %b, %v", got.Fields, wire.AllMapFields, err)
	}
}

func TestMapsAreValidated(t *testing.T) {
	cfg := Config{Settings: Settings{
		Maps: map[string]sdk.MapConfig{
			"ok":          {TTL: new(time.Minute)},
			"a[":          {TTL: new(-time.Second)},
			"empty":       {},
			"both":        {Eviction: new(sdk.EvictNone), MaxEntries: new(int64(4))},
			"fifo":        {Eviction: new(sdk.EvictionPolicy("fifo"))},
			"dirty":       {Reads: new(sdk.ReadPolicy("dirty"))},
			"near":        {NearCacheMaxEntries: new(int64(0)), NearCacheVerify: new(1.5)},
			"empty cache": {NearCacheMaxEntries: new(int64(0))},
		},
		Executors: map[string]exec.PoolConfig{"": {Pool: 1}, "x": {Queue: -1}},
	}}.WithDefaults()
	err := cfg.Validate()
	if !errors.Is(err, ErrConfig) {
		t.Fatal(err)
	}
	for _, want := range []string{`maps "a[":`, "glob", "ttl(-1s)", `maps "empty"`, `maps "both"`, `maps "fifo"`, `maps "dirty"`, `maps "near": near_cache verify 1.5: want 0`, "near_cache max_entries 0", `name of executor ""`, `executor "x"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q too", err, want)
		}
	}
	if strings.Contains(err.Error(), `"ok"`) {
		t.Errorf("%v", err)
	}
}
