package partition

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// registers is the machine of these tests: numbers under numbers, some of which expire, and everything that was ever done,
// in order. It does not know one call from its repetition.
type registers struct {
	generation uint64
	clock      int64
	published  uint64
	values     map[uint64]register
	history    []uint64 // the values written, which the tests make unique
	touched    []uint64 // the keys that were written or removed, in order
	batches    int      // entries that held operations
	sweeps     int
	records    int // what RecordBytes says

	resumes []int // how long history was at each OpResume; not replicated
}

type register struct {
	value   uint64
	expires int64 // 0: never
}

// registerMachines makes them.
type registerMachines struct{}

func (registerMachines) New(_ int, generation uint64) Machine {
	return &registers{generation: generation, values: map[uint64]register{}}
}

func (registerMachines) Restore(_ int, generation uint64, r io.Reader) (Machine, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return decodeRegisters(generation, b)
}

// setOp writes a value; its result is the value before. A value above maxRecorded makes the machine remember it.
func setOp(key, value uint64, expires int64) *entry.Op {
	body := wire.AppendI64(wire.AppendU64(wire.AppendU64(nil, key), value), expires)
	return &entry.Op{Code: wire.OpSet, Body: body}
}

// casOp writes a value if the register holds another; its result is CodeConflict if it does not.
func casOp(key, old, value uint64) *entry.Op {
	return &entry.Op{Code: wire.OpReplaceIfSame, Body: wire.AppendU64(wire.AppendU64(wire.AppendU64(nil, key), old), value)}
}

// paddedOp is setOp with a body of the given size.
func paddedOp(key, value uint64, size int) *entry.Op {
	op := setOp(key, value, 0)
	op.Body = append(op.Body, make([]byte, max(0, size-len(op.Body)))...)
	return op
}

func (s *registers) Advance(now int64, published uint64) {
	s.clock, s.published = max(s.clock, now), max(s.published, published)
	s.batches++
}

func (s *registers) Apply(op *entry.Op) entry.Result {
	r := wire.NewReader(op.Body)
	switch op.Code {
	case wire.OpSet:
		key, v := r.U64(), register{value: r.U64(), expires: r.I64()}
		old := s.values[key].value
		s.values[key] = v
		s.touched = append(s.touched, key)
		s.history = append(s.history, v.value)
		return entry.Result{Body: wire.AppendU64(nil, old)}
	case wire.OpReplaceIfSame:
		key, old, value := r.U64(), r.U64(), r.U64()
		if s.values[key].value != old {
			return entry.Result{Code: wire.CodeConflict}
		}
		s.values[key] = register{value: value}
		s.touched = append(s.touched, key)
		s.history = append(s.history, value)
		return entry.Result{}
	case wire.OpSweep:
		s.sweeps++
		limit, removed := int(r.U32()), 0
		for _, key := range slices.Sorted(maps.Keys(s.values)) {
			if v := s.values[key]; removed < limit && v.expires != 0 && v.expires <= s.clock {
				delete(s.values, key)
				s.touched = append(s.touched, key)
				removed++
			}
		}
		return entry.Result{Body: binary.AppendUvarint(nil, uint64(removed))}
	case wire.OpResume:
		s.resumes = append(s.resumes, len(s.history))
		return entry.Result{}
	default:
		return entry.Result{Code: wire.CodeInvalid}
	}
}

// LastPos counts the touches of keys.
func (s *registers) LastPos() uint64 { return uint64(len(s.touched)) }

// untouched reports whether nothing has touched a key since a position, and it has not expired.
func (s *registers) untouched(key, since uint64, now int64) bool {
	v := s.values[key]
	return since <= s.LastPos() && !slices.Contains(s.touched[since:], key) && (v.expires == 0 || v.expires > max(s.clock, now))
}

var _ Positioned = (*registers)(nil)

func (s *registers) Clock() int64 { return s.clock }

func (s *registers) NextDue() (due int64, ok bool) {
	for _, v := range s.values {
		if v.expires != 0 && (!ok || v.expires < due) {
			due, ok = v.expires, true
		}
	}
	return due, ok
}

const sweepLimit = 1000

// Upkeep removes twice as many registers as before, while there are as many.
func (s *registers) Upkeep(done *entry.Op, result entry.Result) (next *entry.Op, again bool) {
	limit, removed := uint32(sweepLimit), uint64(0)
	if done != nil {
		removed, _ = binary.Uvarint(result.Body)
		if last := binary.BigEndian.Uint32(done.Body); removed >= uint64(last) {
			limit = 2 * last
		}
	}
	return &entry.Op{Code: wire.OpSweep, Body: wire.AppendU32(nil, limit), Keys: int(limit)}, removed > 0
}

// Resume returns the operation with which an owner begins.
func (registerMachines) Resume() *entry.Op { return &entry.Op{Code: wire.OpResume} }

func (s *registers) RecordBytes() int { return s.records }

func (s *registers) Bytes() int { return s.records + len(s.values) }

func (s *registers) Freeze() StateSnapshot { return &registersSnapshot{b: s.encode()} }

func (s *registers) MarkLoss() {}

func (s *registers) Hash() uint64 {
	h := fnv.New64a()
	h.Write(s.encode())
	return h.Sum64()
}

// encode returns everything that is replicated.
func (s *registers) encode() []byte {
	b := wire.AppendU64(wire.AppendI64(wire.AppendU64(nil, s.generation), s.clock), s.published)
	b = wire.AppendUvarint(b, uint64(s.batches))
	b = wire.AppendUvarint(b, uint64(s.sweeps))
	b = wire.AppendUvarint(b, uint64(len(s.values)))
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		b = wire.AppendI64(wire.AppendU64(wire.AppendU64(b, key), s.values[key].value), s.values[key].expires)
	}
	b = wire.AppendUvarint(b, uint64(len(s.history)))
	for _, v := range s.history {
		b = wire.AppendU64(b, v)
	}
	b = wire.AppendUvarint(b, uint64(len(s.touched)))
	for _, key := range s.touched {
		b = wire.AppendU64(b, key)
	}
	return b
}

func decodeRegisters(generation uint64, b []byte) (*registers, error) {
	r := wire.NewReader(b)
	s := &registers{generation: r.U64(), clock: r.I64(), published: r.U64(), values: map[uint64]register{}}
	s.batches, s.sweeps = int(r.Uvarint()), int(r.Uvarint())
	for range r.Count(24) {
		key := r.U64()
		s.values[key] = register{value: r.U64(), expires: r.I64()}
	}
	for range r.Count(8) {
		s.history = append(s.history, r.U64())
	}
	for range r.Count(8) {
		s.touched = append(s.touched, r.U64())
	}
	if r.Err() == nil && s.generation > generation {
		r.Fail("registers of generation %d, want %d", s.generation, generation)
	}
	s.generation = generation
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("read registers: %w", err)
	}
	return s, nil
}

type registersSnapshot struct {
	b      []byte
	closed int
}

func (i *registersSnapshot) WriteTo(w io.Writer) (int64, error) {
	return bytes.NewReader(i.b).WriteTo(w)
}

func (i *registersSnapshot) Close() { i.closed++ }
