package sdk

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// tokenVersion opens every resume token. In version 2, parts follow. Each part is padded with zeros to a length that is a multiple
// of three, with four bytes of checksum at its end. The checksum covers all bytes before it, also those of earlier parts.
//
// The first part has eight bytes that name the map, the cluster's number of partitions, the number of places, and the places. Each
// place there is {partitions since the last, generation, position}. Each other part has one place {partition, generation, position},
// which replaces the earlier one of that partition. Integers are uvarints. The text is base64 for URLs.
const tokenVersion = 2

const (
	// tokenAge is how old the first part of a token may be: places that no event has come from since are as old as that.
	tokenAge = time.Second
	// minTokenParts is how many parts a token may have at least before it begins with another first part.
	minTokenParts = 64
	// tokenPart is about the text of one part.
	tokenPart = 16
)

// errToken is wrapped by what parseToken reports.
var errToken = errors.New("the resume token cannot be used")

var tokenChecksum = crc32.MakeTable(crc32.Castagnoli)

// tokenMap returns the number by which tokens name a map.
func tokenMap(cluster wire.ID, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(cluster[:])
	_, _ = h.Write([]byte(name))
	return h.Sum64()
}

// tokenWriter makes a token for each event of a stream. Most tokens are the previous token with the event's place appended, in the
// same memory. Another first part begins only after many of them. So a token costs next to nothing, whatever the number of
// partitions.
type tokenWriter struct {
	head  []byte
	text  strings.Builder // the last token
	crc   uint32          // of the bytes that text encodes
	parts int             // how many may still be appended
	until int64           // when it needs another first part
	buf   []byte
}

func newTokenWriter(of uint64, partitions, places int) *tokenWriter {
	b := wire.AppendU64([]byte{tokenVersion}, of)
	b = wire.AppendUvarint(wire.AppendUvarint(b, uint64(partitions)), uint64(places))
	return &tokenWriter{head: b}
}

// next returns the token after an event, which has led to a place. all calls its argument for every partition that is listened
// to, in ascending order, with how far the listener has come there.
func (w *tokenWriter) next(now int64, partition int, p place, all func(func(int, place))) ResumeToken {
	// Places without events stand in the first part alone, so it must not grow old.
	if w.parts == 0 || now >= w.until {
		return w.begin(now, all)
	}

	w.parts--
	b := wire.AppendUvarint(wire.AppendUvarint(wire.AppendUvarint(w.buf[:0], uint64(partition)), p.generation), p.pos)
	w.append(b)
	return ResumeToken(w.text.String())
}

// begin returns a token of one part.
func (w *tokenWriter) begin(now int64, all func(func(int, place))) ResumeToken {
	b, last := append(w.buf[:0], w.head...), -1
	all(func(partition int, p place) {
		// Only the distance from the partition before is written. With all partitions listened to, that is one zero byte each.
		b = wire.AppendUvarint(b, uint64(partition-last-1))
		b = wire.AppendUvarint(wire.AppendUvarint(b, p.generation), p.pos)
		last = partition
	})
	// Nothing is appended to the old memory any more: tokens that the program keeps still use it.
	w.text, w.crc, w.until = strings.Builder{}, 0, now+int64(tokenAge)

	// What may follow takes about as much text as the first part, or 64 small parts.
	size := base64.RawURLEncoding.EncodedLen(len(b) + 6)
	w.parts = max(minTokenParts, size/tokenPart)
	w.text.Grow(size)
	w.append(b)
	return ResumeToken(w.text.String())
}

// append appends a part to the text. b becomes w.buf.
func (w *tokenWriter) append(b []byte) {
	b = append(b, "\x00\x00"[:tokenPadding(len(b))]...)
	// The checksum goes on from the earlier parts, so a part cannot be moved to another token unnoticed.
	w.crc = crc32.Update(w.crc, tokenChecksum, b)
	b = binary.BigEndian.AppendUint32(b, w.crc)

	// 48 bytes are 64 characters: each piece ends at the end of a base64 group.
	var text [64]byte
	for at := 0; at < len(b); at += 48 {
		n := min(48, len(b)-at)
		base64.RawURLEncoding.Encode(text[:], b[at:at+n])
		w.text.Write(text[:base64.RawURLEncoding.EncodedLen(n)])
	}
	w.buf = b
}

// tokenPadding returns how many zeros make n bytes and a checksum a multiple of three.
func tokenPadding(n int) int { return (3 - (n+4)%3) % 3 }

// parseToken returns the places that a token of the map names, by partition.
func parseToken(token ResumeToken, of uint64, partitions int) (map[int]place, error) {
	b, err := base64.RawURLEncoding.DecodeString(string(token))
	if err != nil || len(b) < 1 || b[0] == tokenVersion && len(b) < 9 {
		return nil, fmt.Errorf("%w: it is damaged", errToken)
	}
	if b[0] != tokenVersion {
		return nil, fmt.Errorf("%w: it is of version %d, this is %d", errToken, b[0], tokenVersion)
	}

	// A token comes from the program, which may have stored it anywhere. Every number in it is checked.
	p := tokenParser{all: b, r: wire.NewReader(b[1:]), places: make(map[int]place)}
	p.first(of, partitions)
	for p.err == nil && p.r.Len() > 0 {
		p.part()
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.places, nil
}

// tokenParser reads a token.
type tokenParser struct {
	all    []byte
	done   int // bytes of all whose checksum was right
	crc    uint32
	r      wire.Reader
	places map[int]place
	err    error
}

// first reads the first part.
func (p *tokenParser) first(of uint64, partitions int) {
	is, n := p.r.U64(), p.r.Uvarint()
	next := uint64(0)
	for range p.r.Count(3) {
		next += p.r.Uvarint()
		at := place{p.r.Uvarint(), p.r.Uvarint()}
		// The number becomes an index of the caller's.
		if next >= n {
			p.r.Fail("partition %d of %d", next, n)
			break
		}
		p.places[int(next)] = at
		next++
	}

	// The checksum is judged before the meaning: a damaged token must not be taken for that of another map.
	p.close()
	switch {
	case p.err != nil:
	case is != of:
		p.err = fmt.Errorf("%w: it is of another map or cluster", errToken)
	case n != uint64(partitions):
		p.err = fmt.Errorf("%w: it is of a cluster with %d partitions, this one has %d", errToken, n, partitions)
	}
}

// part reads a part with one place.
func (p *tokenParser) part() {
	partition := p.r.Uvarint()
	at := place{p.r.Uvarint(), p.r.Uvarint()}
	p.close()

	// The first part names every partition that was listened to. The bound keeps a damaged number from becoming another one.
	if _, ok := p.places[int(min(partition, 1<<31))]; !ok && p.err == nil {
		p.err = fmt.Errorf("%w: it is damaged", errToken)
	}
	if p.err == nil {
		p.places[int(partition)] = at
	}
}

// close reads what closes a part.
func (p *tokenParser) close() {
	n := len(p.all) - p.r.Len() - p.done
	end := p.done + n + tokenPadding(n)
	for range tokenPadding(n) {
		if p.r.U8() != 0 {
			p.r.Fail("padding")
		}
	}

	sum := p.r.U32()
	// Without an error the padding is known to lie within the token, so the slice is in bounds.
	if p.r.Err() == nil {
		p.crc = crc32.Update(p.crc, tokenChecksum, p.all[p.done:end])
	}
	if p.r.Err() != nil || sum != p.crc {
		p.err = fmt.Errorf("%w: it is damaged", errToken)
	}
	p.done = end + 4
}
