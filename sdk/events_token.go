package sdk

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// tokenVersion opens every resume token. What follows in version 1: eight bytes that tell the map, the number of
// partitions of the cluster, the number of places, the places {partitions since the last, generation and counter of the
// instance, seq}, and four bytes of checksum. Integers are uvarints; the text is base64 for URLs.
const tokenVersion = 1

// instanceBits is how many low bits of an instance, which is a version, hold its counter.
const instanceBits = 44

// errToken is wrapped by what parseToken reports.
var errToken = errors.New("the resume token cannot be used")

var tokenChecksum = crc32.MakeTable(crc32.Castagnoli)

// tokenMap returns what a token names a map by.
func tokenMap(cluster wire.ID, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(cluster[:])
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// tokenWriter makes one token after the other of the same partitions of a map. Each is made for one event, and differs from
// the one before in few places: what the others are encoded as is kept.
type tokenWriter struct {
	head  []byte
	slots []tokenSlot // by the order of partitions in the token
	next  int         // slot
	last  int         // partition added last
	buf   []byte
	text  []byte
}

// tokenSlot is one place in its encoding. Its size is that of four uvarints: of a partition, of the 20 and the 44 bits of an
// instance, and of a seq.
type tokenSlot struct {
	place
	n int // 0: not encoded yet
	b [3 + 3 + 7 + 10]byte
}

func newTokenWriter(of uint64, partitions, places int) *tokenWriter {
	b := wire.AppendU64([]byte{tokenVersion}, of)
	b = wire.AppendUvarint(wire.AppendUvarint(b, uint64(partitions)), uint64(places))
	return &tokenWriter{head: b, slots: make([]tokenSlot, places)}
}

// begin begins a token. After it come as many calls of add as there are places, and finish.
func (w *tokenWriter) begin() { w.buf, w.next, w.last = append(w.buf[:0], w.head...), 0, -1 }

// add appends a place. Partitions come in ascending order, in every token the same.
func (w *tokenWriter) add(partition int, p place) {
	s := &w.slots[w.next]
	if s.n == 0 || s.place != p {
		b := wire.AppendUvarint(s.b[:0], uint64(partition-w.last-1))
		b = wire.AppendUvarint(wire.AppendUvarint(b, p.instance>>instanceBits), p.instance&(1<<instanceBits-1))
		s.place, s.n = p, len(wire.AppendUvarint(b, p.seq))
	}
	w.buf = append(w.buf, s.b[:s.n]...)
	w.next++
	w.last = partition
}

func (w *tokenWriter) finish() ResumeToken {
	w.buf = binary.BigEndian.AppendUint32(w.buf, crc32.Checksum(w.buf, tokenChecksum))
	w.text = base64.RawURLEncoding.AppendEncode(w.text[:0], w.buf)
	return ResumeToken(w.text)
}

// parseToken returns the places that a token of the map names, by partition.
func parseToken(token ResumeToken, of uint64, partitions int) (map[int]place, error) {
	b, err := base64.RawURLEncoding.DecodeString(string(token))
	if err != nil || len(b) < 5 || crc32.Checksum(b[:len(b)-4], tokenChecksum) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil, fmt.Errorf("%w: it is damaged", errToken)
	}
	if b[0] != tokenVersion {
		return nil, fmt.Errorf("%w: it is of version %d, this is %d", errToken, b[0], tokenVersion)
	}
	r := wire.NewReader(b[1 : len(b)-4])
	if r.U64() != of {
		return nil, fmt.Errorf("%w: it is of another map or cluster", errToken)
	}
	if n := r.Uvarint(); n != uint64(partitions) {
		return nil, fmt.Errorf("%w: it is of a cluster with %d partitions, this one has %d", errToken, n, partitions)
	}
	places := make(map[int]place)
	next := uint64(0)
	for range r.Count(4) {
		next += r.Uvarint()
		p := place{instance: r.Uvarint() << instanceBits}
		p.instance |= r.Uvarint() & (1<<instanceBits - 1)
		p.seq = r.Uvarint()
		if next >= uint64(partitions) {
			r.Fail("partition %d of %d", next, partitions)
			break
		}
		places[int(next)] = p
		next++
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	return places, nil
}
