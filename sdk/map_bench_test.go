package sdk

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
)

// BenchmarkGet reads 100-byte values over loopback from three fake members in the same process: the time is that of both
// sides, the allocations are the client's and, per batch, the members'.
func BenchmarkGet(b *testing.B) {
	benchmarkMap(b, func(ctx context.Context, m *Map[string, string], key, _ string) error {
		_, _, err := m.Get(ctx, key)
		return err
	})
}

// BenchmarkSet writes 100-byte values, as BenchmarkGet reads them.
func BenchmarkSet(b *testing.B) {
	benchmarkMap(b, func(ctx context.Context, m *Map[string, string], key, value string) error {
		return m.Set(ctx, key, value)
	})
}

func benchmarkMap(b *testing.B, op func(ctx context.Context, m *Map[string, string], key, value string) error) {
	for _, callers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			g := fakegrid.New(b, 3, 271)
			c := connected(b, g)
			m := opened[string, string](b, c, "bench")
			keys := make([]string, 1024)
			value := strings.Repeat("v", 100)
			entries := make(map[string]string)
			for i := range keys {
				keys[i] = fmt.Sprintf("user:%d", i)
				entries[keys[i]] = value
			}
			noErr(b, m.SetAll(b.Context(), entries))
			ctx := context.Background()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			var next atomic.Int64
			for range callers {
				wg.Go(func() {
					for {
						i := next.Add(1)
						if i > int64(b.N) {
							return
						}
						if err := op(ctx, m, keys[i%1024], value); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
