package sdk

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkNearGet reads 100-byte values from a near cache.
func BenchmarkNearGet(b *testing.B) {
	for _, encoded := range []bool{false, true} {
		b.Run(fmt.Sprintf("encoded=%t", encoded), func(b *testing.B) {
			m, keys := nearFilled(b, NearCacheConfig{Encoded: encoded}, 1024)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, found, err := m.Get(b.Context(), keys[i%len(keys)]); !found || err != nil {
					b.Fatal(found, err)
				}
				i++
			}
		})
	}
}

// nearFilled returns a map all of whose keys are in its near cache, which stays fresh until the test ends.
func nearFilled(t testing.TB, cfg NearCacheConfig, n int) (*Map[string, string], []string) {
	t.Helper()
	g := newNearGrid(t)
	keys := make([]string, n)
	entries := make(map[string]string)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%d", i)
		entries[keys[i]] = strings.Repeat("v", 100)
	}
	noErr(t, g.m.SetAll(t.Context(), entries))
	m := g.open(cfg)
	_, err := m.GetAll(t.Context(), keys...)
	noErr(t, err)

	// Nothing changes in this grid any more.
	s := m.near().stream.Load()
	for i := range s.fresh {
		s.fresh[i].asOf.Store(never)
	}
	return m, keys
}
