package meta

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func ttl(pattern string, ms uint64) wire.PatternConfig {
	return wire.PatternConfig{Pattern: pattern, MapConfig: wire.MapConfig{Fields: wire.MapTTL, TTL: ms}}
}

func TestMapConfigsAtBirth(t *testing.T) {
	s := New()
	do(t, s, foundation(2, false), wire.CodeOK)
	found := &InitMapConfigs{List: wire.MapConfigs{ttl("users", 5), ttl("u*", 7)}}
	do(t, s, found, wire.CodeOK)
	unchanged(t, s, found, wire.CodeOK)
	unchanged(t, s, &InitMapConfigs{List: wire.MapConfigs{ttl("users", 6)}}, wire.CodeConflict)
	if got := s.v.MapConfig("users"); got.TTL != 5 {
		t.Errorf("users: %+v", got)
	}
	if got := s.v.MapConfig("u"); got.TTL != 7 || !got.Stats {
		t.Errorf("u: %+v", got)
	}

	// A cluster that was bootstrapped without any takes none from a file that came later.
	s = newTable(t, 2, false)
	unchanged(t, s, found, wire.CodeConflict)
	unchanged(t, s, &InitMapConfigs{List: wire.MapConfigs{ttl("b", 1), ttl("a", 1)}}, wire.CodeInvalid)
}

func TestSetMapConfig(t *testing.T) {
	s := newTable(t, 2, false)
	first := &SetMapConfig{Config: ttl("users", 5)}
	do(t, s, first, wire.CodeOK)
	unchanged(t, s, first, wire.CodeOK)
	kept := s.View()

	second := &SetMapConfig{From: s.v.MapsVersion, Config: ttl("users", 6)}
	do(t, s, second, wire.CodeOK)
	unchanged(t, s, first, wire.CodeConflict) // a late copy undoes nothing
	if kept.MapConfig("users").TTL != 5 || s.v.MapConfig("users").TTL != 6 {
		t.Errorf("before %+v, after %+v", kept.MapConfig("users"), s.v.MapConfig("users"))
	}

	end := &SetMapConfig{From: s.v.MapsVersion, Config: wire.PatternConfig{Pattern: "users"}}
	do(t, s, end, wire.CodeOK)
	unchanged(t, s, end, wire.CodeOK)
	unchanged(t, s, second, wire.CodeConflict)
	unchanged(t, s, first, wire.CodeConflict) // not even where nothing is set again
	if s.v.MapConfig("users") != wire.DefaultMapConfig {
		t.Errorf("it is still %+v", s.v.MapConfig("users"))
	}
	unchanged(t, s, &SetMapConfig{From: s.v.MapsVersion, Config: wire.PatternConfig{Pattern: "a["}}, wire.CodeInvalid)
	unchanged(t, s, &SetMapConfig{From: s.v.MapsVersion, Config: ttl("a", wire.Forever)}, wire.CodeInvalid)
}

func TestMapConfigsAreBounded(t *testing.T) {
	s := newTable(t, 2, false)
	for i := range wire.MaxMapConfigs {
		do(t, s, &SetMapConfig{From: s.v.MapsVersion, Config: ttl(fmt.Sprint("m", i), 1)}, wire.CodeOK)
	}
	unchanged(t, s, &SetMapConfig{From: s.v.MapsVersion, Config: ttl("one more", 1)}, wire.CodeOverloaded)
	do(t, s, &SetMapConfig{From: s.v.MapsVersion, Config: ttl("m1", 2)}, wire.CodeOK)
}
