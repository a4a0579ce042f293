package update

import (
	"bytes"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// merge is what ProcessMerge does: RFC 7396, on MessagePack or on JSON. The result is the new value.
func merge(value, patch []byte) ([]byte, error) {
	if isJSON(patch) || isJSON(value) {
		return mergeJSON(value, patch)
	}

	// The merge walks both in the order of their keys, which canonical maps have.
	patch, err := codec.Canonical(nil, patch)
	if err != nil {
		return nil, refusedf("the argument: %v", err)
	}
	if value != nil {
		if value, err = codec.Canonical(nil, value); err != nil {
			return nil, refusedf("the value: %v", err)
		}
	}

	// A map's head says how many entries it has, and is written before them. So the first pass counts, and the second writes.
	m := merger{}
	m.value(value, patch)
	m = merger{counts: m.counts, writes: true, dst: make([]byte, 0, len(value)+len(patch)+maxHead)}
	m.value(value, patch)
	return m.dst, nil
}

// isJSON reports whether an encoded value is JSON: MessagePack that begins so is a small number, of one byte. Package query tells them apart
// in the same way.
func isJSON(b []byte) bool { return len(b) > 1 && b[0] < 0x80 }

// merger merges canonical values. Their depth is bounded, and so is that of its recursion.
type merger struct {
	counts []int // how many entries the maps have, in the order in which they begin
	next   int   // of counts, in the pass that writes
	writes bool
	dst    []byte
}

// copy appends b in the pass that writes.
func (m *merger) copy(b []byte) {
	if m.writes {
		m.dst = append(m.dst, b...)
	}
}

// open begins a map. close needs what it returns.
func (m *merger) open() (at int) {
	if m.writes {
		m.dst = codec.AppendHead(m.dst, codec.KindMap, m.counts[m.next])
		m.next++
		return 0
	}
	m.counts = append(m.counts, 0)
	return len(m.counts) - 1
}

// close ends a map of so many entries.
func (m *merger) close(at, entries int) {
	if !m.writes {
		m.counts[at] = entries
	}
}

// value merges a patch into the value that target begins with; nil is no value. It returns how many bytes of each it has used.
func (m *merger) value(target, patch []byte) (usedTarget, usedPatch int) {
	p, _ := codec.ReadToken(patch)
	if p.Kind() != codec.KindMap {
		usedPatch = size(patch)
		m.copy(patch[:usedPatch])
		return size(target), usedPatch
	}

	// A patch of attributes makes a map of whatever stands there.
	entries, left := target, 0
	if t, err := codec.ReadToken(target); err == nil && t.Kind() == codec.KindMap {
		entries, left = target[t.Head():], t.Len()
		usedTarget = t.Head()
	} else {
		usedTarget, entries = size(target), nil
	}

	at, n := m.open(), 0
	rest := patch[p.Head():]
	usedPatch = p.Head()
	for key, name, more := 0, 0, p.Len(); left > 0 || more > 0; {
		// The sizes of both keys, each found once: a key may be long.
		if key == 0 && left > 0 {
			key = size(entries)
		}
		if name == 0 && more > 0 {
			name = size(rest)
		}

		order := 0
		switch {
		case more == 0:
			order = -1
		case left == 0:
			order = 1
		default:
			order = bytes.Compare(entries[:key], rest[:name])
		}

		if order < 0 {
			// The patch says nothing of this entry.
			end := key + size(entries[key:])
			m.copy(entries[:end])
			entries, usedTarget, n = entries[end:], usedTarget+end, n+1
			key, left = 0, left-1
			continue
		}

		var old []byte
		if order == 0 {
			old = entries[key:]
		}

		// Null removes the attribute.
		usedOld, usedNew := 0, 1
		if t, _ := codec.ReadToken(rest[name:]); t.Kind() == codec.KindNil {
			usedOld = size(old)
		} else {
			m.copy(rest[:name])
			usedOld, usedNew = m.value(old, rest[name:])
			n++
		}

		rest, usedPatch = rest[name+usedNew:], usedPatch+name+usedNew
		name, more = 0, more-1
		if order == 0 {
			entries, usedTarget = entries[key+usedOld:], usedTarget+key+usedOld
			key, left = 0, left-1
		}
	}
	m.close(at, n)
	return usedTarget, usedPatch
}

// size returns how many bytes the valid value takes that b begins with; 0 for none.
func size(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	n, _ := codec.Skip(b) // it was found valid before
	return n
}
