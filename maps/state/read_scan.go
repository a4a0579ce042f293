package state

import (
	"bytes"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

var scanReads = []reader{
	{wire.OpSize, (*State).readSize},
	{wire.OpScan, (*State).readScan},
}

func (s *State) readSize(r *Reading, at *ReadPoint) bool {
	name, _ := wire.DecodeMapBody(r.Body)
	// A later owner must not count an entry that this answer leaves out, so the clock goes into the log first.
	if s.AnyDue(name, at.Now) {
		return false
	}

	r.text = wire.AppendUvarint(r.text, uint64(s.Size(name)))
	return true
}

func (s *State) readScan(r *Reading, at *ReadPoint) bool {
	b, _ := wire.DecodeScanBody(r.Body)
	if s.AnyDue(b.Map, at.Now) {
		return false
	}

	// A page of keys alone holds more of them, for it copies no values.
	values := b.What&wire.ScanValues != 0
	limit, most := pageEntries, pageBytes
	var res wire.ScanResult
	if values {
		res.Values = [][]byte{}
	} else {
		limit, most = pageKeys, 0 // values are not looked at: their bytes must not end the page
	}
	if b.Limit > 0 {
		limit = min(limit, int(b.Limit))
	}

	size := 0
	var last []byte
	next := s.Scan(b.Map, b.After, limit, most, func(key []byte, v Entry) bool {
		last = key
		res.Keys = append(res.Keys, key)
		if values {
			res.Values = append(res.Values, v.Value)
		}
		size += len(key)

		// Without values the state counts no bytes for the page, so the keys end it here.
		return values || size < pageBytes
	})

	// The caller knows the last key of its page. Next travels only where expired entries lie behind that key.
	if res.More = next != nil; !bytes.Equal(next, last) {
		res.Next = next
	}

	r.text = wire.AppendScanResult(r.text, &res)
	return true
}

// AnyDue reports whether an entry of the map has expired at now, which is cluster time, but not yet by the log's clock. Then the clock must be
// advanced before a read of many entries may answer.
func (s *State) AnyDue(name []byte, now int64) bool {
	t, ok := s.MinExpires(name)
	return ok && t <= now && s.clock < now
}
