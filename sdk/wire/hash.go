package wire

import (
	"encoding/binary"
	"math/bits"
)

// hashSeed is the seed with which Hazelcast's members and clients hash; see PartitionOf.
const hashSeed = 0x01000193

// PartitionOf returns the partition of an encoded key (msgpack, as sdk/codec writes it) out of n partitions:
// MurmurHash3_x86_32 with seed 0x01000193 over the key's canonical payload, then |hash| modulo n, where the smallest
// integer counts as 0. The canonical payload of a text or of bytes is its length in four bytes and itself; of an integer
// its eight bytes; of a float64 its eight bytes; of a bool one byte; of anything else its encoding.
//
// The algorithm is Austin Appleby's MurmurHash3; the seed and the rule are those by which Hazelcast routes texts and longs.
// It can never change: data would be looked for where it is not.
func PartitionOf(encodedKey []byte, n int) int {
	h := int32(keyHash(encodedKey))
	switch {
	case h == -1<<31:
		h = 0
	case h < 0:
		h = -h
	}
	return int(h) % n
}

func keyHash(b []byte) uint32 {
	if len(b) == 0 {
		return murmur3(nil, nil)
	}
	// All forms of one value hash alike: an integer as eight bytes, a text as its length and bytes.
	var eight [8]byte
	long := func(v uint64) uint32 {
		binary.BigEndian.PutUint64(eight[:], v)
		return murmur3(nil, eight[:])
	}

	text := func(header int) uint32 {
		// Such bytes are no key. They hash all the same, since nothing here may panic.
		if header > len(b) {
			return murmur3(nil, b)
		}
		binary.BigEndian.PutUint32(eight[:4], uint32(len(b)-header))
		return murmur3(eight[:4], b[header:])
	}

	c := b[0]
	switch {
	case c < 0x80:
		return long(uint64(c))
	case c >= 0xe0:
		return long(uint64(int64(int8(c))))
	case c >= 0xa0 && c < 0xc0:
		return text(1)
	}

	need := func(k int) bool { return len(b) == k }

	// The codes are those of msgpack. What has another length than its code says is hashed as it is.
	switch {
	case c == 0xc2, c == 0xc3:
		return murmur3(nil, []byte{c - 0xc2})
	case c == 0xc4, c == 0xd9:
		return text(2)
	case c == 0xc5, c == 0xda:
		return text(3)
	case c == 0xc6, c == 0xdb:
		return text(5)
	case c == 0xcb && need(9):
		return murmur3(nil, b[1:])
	case c == 0xcc && need(2):
		return long(uint64(b[1]))
	case c == 0xcd && need(3):
		return long(uint64(binary.BigEndian.Uint16(b[1:])))
	case c == 0xce && need(5):
		return long(uint64(binary.BigEndian.Uint32(b[1:])))
	case (c == 0xcf || c == 0xd3) && need(9):
		return murmur3(nil, b[1:])
	case c == 0xd0 && need(2):
		return long(uint64(int64(int8(b[1]))))
	case c == 0xd1 && need(3):
		return long(uint64(int64(int16(binary.BigEndian.Uint16(b[1:])))))
	case c == 0xd2 && need(5):
		return long(uint64(int64(int32(binary.BigEndian.Uint32(b[1:])))))
	}
	return murmur3(nil, b)
}

// murmur3 is MurmurHash3_x86_32 over prefix followed by b; prefix is empty or four bytes.
func murmur3(prefix, b []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	h := uint32(hashSeed)
	mix := func(k uint32) {
		h ^= bits.RotateLeft32(k*c1, 15) * c2
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}

	n := len(prefix) + len(b)
	if len(prefix) == 4 {
		mix(binary.LittleEndian.Uint32(prefix))
	}

	// All constants and steps are those of the reference. Another hash would look for entries where they are not.
	for len(b) >= 4 {
		mix(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}

	var k uint32
	switch len(b) {
	case 3:
		k ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		k ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		k ^= uint32(b[0])
		h ^= bits.RotateLeft32(k*c1, 15) * c2
	}

	h ^= uint32(n)
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}
