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

// tokenWriter makes one token after the other for a map.
type tokenWriter struct {
	head []byte
	buf  []byte
	last int // partition written last
}

func newTokenWriter(of uint64, partitions, places int) *tokenWriter {
	b := wire.AppendU64([]byte{tokenVersion}, of)
	b = wire.AppendUvarint(wire.AppendUvarint(b, uint64(partitions)), uint64(places))
	return &tokenWriter{head: b}
}

// begin begins a token. After it come as many calls of add as there are places, and finish.
func (w *tokenWriter) begin() { w.buf, w.last = append(w.buf[:0], w.head...), -1 }

// add appends a place. Partitions come in ascending order.
func (w *tokenWriter) add(partition int, p place) {
	w.buf = wire.AppendUvarint(w.buf, uint64(partition-w.last-1))
	w.buf = wire.AppendUvarint(w.buf, p.instance>>instanceBits)
	w.buf = wire.AppendUvarint(w.buf, p.instance&(1<<instanceBits-1))
	w.buf = wire.AppendUvarint(w.buf, p.seq)
	w.last = partition
}

func (w *tokenWriter) finish() ResumeToken {
	w.buf = binary.BigEndian.AppendUint32(w.buf, crc32.Checksum(w.buf, tokenChecksum))
	return ResumeToken(base64.RawURLEncoding.EncodeToString(w.buf))
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
