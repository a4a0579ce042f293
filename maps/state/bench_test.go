//go:build !invariants

package state

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// benchKey returns the i-th key, in an order that is not that of the keys' bytes.
func benchKey(i int) []byte {
	return fmt.Appendf(nil, "\xabuser:%06d", uint32(i)*2654435761%1_000_000)
}

func benchOp(code wire.Op, key []byte, size int, ttl uint64) *entry.Op {
	w := wire.WriteBody{Map: []byte("users"), Key: key}
	if size > 0 {
		w.Value = bytes.Repeat([]byte{'v'}, size)
	}
	if ttl > 0 {
		w.Flags, w.TTL = wire.WriteTTL, ttl
	}
	return &entry.Op{Code: code, Body: wire.AppendWriteBody(nil, &w)}
}

// fill returns a state with n entries.
func fill(n, size int, ttl uint64) *State { return fillKeys(n, size, ttl, benchKey) }

func fillKeys(n, size int, ttl uint64, key func(int) []byte) *State {
	s := New(1, Limits{})
	s.Advance(1000, 0)
	for i := range n {
		s.Apply(benchOp(wire.OpSet, key(i), size, ttl))
	}
	return s
}

func BenchmarkApply(b *testing.B) {
	for _, c := range []struct {
		name string
		code wire.Op
		size int
		ttl  uint64
		call bool
	}{
		{"op=set/size=100", wire.OpSet, 100, 0, false},
		{"op=set/size=100/ttl=1h", wire.OpSet, 100, 3_600_000, false},
		{"op=set/size=100/call=true", wire.OpSet, 100, 0, true},
		{"op=put/size=100/call=true", wire.OpPut, 100, 0, true},
		{"op=set/size=10000", wire.OpSet, 10_000, 0, false},
		{"op=setttl/size=100", wire.OpSetTTL, 100, 3_600_000, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			const n = 10_000
			s := fill(n, c.size, c.ttl)
			size := c.size
			if c.code == wire.OpSetTTL {
				size = 0 // the value stays
			}
			ops := make([]*entry.Op, n)
			for i := range ops {
				ops[i] = benchOp(c.code, benchKey(i), size, c.ttl)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				op := ops[i%n]
				if i++; c.call {
					op = call(1, uint64(i), uint64(max(1, i-16)), s.Clock()+10_000, op)
				}
				if r := s.Apply(op); r.Code != wire.CodeOK {
					b.Fatal(r.Code)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			s := fill(n, 100, 0)
			keys := make([][]byte, 1000)
			for i := range keys {
				keys[i] = benchKey(i * (n / 1000))
			}
			name := []byte("users")
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := s.Get(name, keys[i%len(keys)]); !ok {
					b.Fatal("missing")
				}
				i++
			}
		})
	}
}

func BenchmarkFreeze(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			s := fill(n, 100, 0)
			b.ReportAllocs()
			for b.Loop() {
				_ = s.Freeze().Close()
			}
		})
	}
}

func BenchmarkWriteTo(b *testing.B) {
	img := fill(100_000, 100, 0).Freeze()
	b.ReportAllocs()
	for b.Loop() {
		n, err := img.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}

// BenchmarkMemory reports what an entry takes beside its key and value.
func BenchmarkMemory(b *testing.B) {
	for _, ttl := range []uint64{0, 3_600_000} {
		b.Run(fmt.Sprintf("ttl=%d", ttl), func(b *testing.B) {
			const n, size = 100_000, 100
			var over float64
			for b.Loop() {
				before := heap()
				s := fill(n, size, ttl)
				over = float64(heap()-before)/n - float64(size+len(benchKey(0)))
				runtime.KeepAlive(s)
			}
			b.ReportMetric(over, "overhead-bytes/entry")
		})
	}
}

// heap returns the bytes of live memory.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
