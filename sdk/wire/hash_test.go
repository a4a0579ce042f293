package wire

import "testing"

// The partitions that a real Hazelcast 5.5 member with 271 partitions puts these keys in.
func TestPartitionOfGolden(t *testing.T) {
	text := func(s string) []byte {
		if len(s) < 32 {
			return append([]byte{0xa0 | byte(len(s))}, s...)
		}
		return append([]byte{0xda, byte(len(s) >> 8), byte(len(s))}, s...)
	}
	long := make([]byte, 1024)
	for i := range long {
		long[i] = 'x'
	}
	for _, c := range []struct {
		name string
		key  []byte
		want int
	}{
		{"a", text("a"), 73}, {"user:1001", text("user:1001"), 155}, {"empty", text(""), 11}, {"x@y", text("x@y"), 55},
		{"köln", text("köln"), 85}, {"日本", text("日本"), 220}, {"1024 x", text(string(long)), 39},
		{"0", []byte{0}, 109}, {"1", []byte{1}, 110}, {"-1", []byte{0xff}, 231}, {"42", []byte{42}, 145},
		{"MinInt64", []byte{0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0}, 32},
		{"MaxInt64", []byte{0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 21},
		{"bytes []", []byte{0xc4, 0}, 11}, {"bytes 0 1 2 255", []byte{0xc4, 4, 0, 1, 2, 255}, 195},
		{"1.5", []byte{0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0}, 109}, {"-0.0", []byte{0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0}, 32},
		{"true", []byte{0xc3}, 223}, {"false", []byte{0xc2}, 195},
	} {
		if got := PartitionOf(c.key, 271); got != c.want {
			t.Errorf("PartitionOf(%s) = %d, a Hazelcast member says %d", c.name, got, c.want)
		}
	}
}
