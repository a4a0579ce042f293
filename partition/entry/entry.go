// Package entry is not API: programs use package grid, and it may change in any version.
//
// It owns the form of what stands in a partition's Raft log: who proposed it, under which ownership, at what
// cluster time, and the operations. It is the contract between the proposer, which writes entries, and the replicas, which
// apply them, maybe years later. The package is pure: no clock, no I/O, no goroutines.
//
// An entry is
//
//	format (1) · kind (1) · body
//
// and is never empty. Decoding is total: any bytes give an entry or an error, and a replica answers an error by doing
// nothing, the same on every replica.
package entry

import (
	"encoding/binary"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Format is the version of the entry format that this build writes.
const Format = 2

// Kind tells entries apart.
type Kind uint8

const (
	KindOwn           Kind = 1 // takes ownership
	KindRelease       Kind = 2 // gives it up
	KindBatch         Kind = 3 // operations of the owner; none at all is a tick of the clock
	KindStatePiece    Kind = 4 // a part of the state with which a generation begins
	KindStateComplete Kind = 5 // ends the state
)

// MaxBatchOps bounds the operations of one batch.
const MaxBatchOps = 1 << 14

// Own takes the ownership of a partition. It is accepted if and only if PrevEpoch is the state's epoch, and Term is at least
// the term of the last Own that was accepted.
type Own struct {
	Member      wire.ID
	Incarnation wire.ID
	Term        uint64 // Raft term in which the proposer was elected
	PrevEpoch   uint64
	LeaseMs     uint32 // largest lease that the owner will hold, in milliseconds; 0: none
	Now         int64  // cluster time in milliseconds
}

// Release gives up the ownership of an epoch, in favour of a member or of nobody in particular.
type Release struct {
	Epoch uint64
	To    wire.ID // zero: nobody in particular
}

// Header opens a batch.
type Header struct {
	Epoch     uint64  // under which it was proposed
	Now       int64   // cluster time at the proposer in milliseconds
	Published uint64  // position up to which the owner has published events
	Applied   uint64  // position up to which the owner has applied events, plus one; 0: others may read that have applied less
	Proposer  wire.ID // incarnation that proposed it
	Batch     uint64  // counts the proposer's batches; with Proposer the identity by which waiters are found
	Ops       int
}

// Op is one operation. Body is as it came over the wire and has been validated by the proposer.
type Op struct {
	Code     wire.Op
	Client   wire.ID // zero for operations of the owner itself, which are not recorded
	Seq      uint64
	Lowest   uint64 // lowest seq for which the client still waits in this partition
	Deadline int64  // cluster time in milliseconds
	Body     []byte

	// Keys is on how many keys it is executed, if on more than one: for who gathers operations into entries. It is not part of the entry.
	Keys int
}

// Result is what applying an operation gave. Body is what the answer's body will be.
type Result struct {
	Code wire.Code
	Body []byte
}

// AppendOwn appends an entry that holds o.
func AppendOwn(dst []byte, o *Own) []byte {
	dst = append(dst, Format, byte(KindOwn))
	// All fields have a fixed length, so the form needs no counts.
	dst = append(dst, o.Member[:]...)
	dst = append(dst, o.Incarnation[:]...)
	dst = wire.AppendU64(wire.AppendU64(dst, o.Term), o.PrevEpoch)
	return wire.AppendI64(wire.AppendU32(dst, o.LeaseMs), o.Now)
}

// AppendRelease appends an entry that holds r.
func AppendRelease(dst []byte, r *Release) []byte {
	dst = append(dst, Format, byte(KindRelease))
	return append(wire.AppendU64(dst, r.Epoch), r.To[:]...)
}

// StatePiece is a piece of the state with which a generation begins. It is taken if the pieces before it go as far as At.
type StatePiece struct {
	At    uint64
	Piece []byte
}

// StateComplete ends the state: the pieces are Size bytes with the CRC-32C Sum, and become the generation's state.
type StateComplete struct {
	Size     uint64
	Sum      uint32
	MaxLease uint32 // largest lease in milliseconds that an owner of the generation before may hold
}

// AppendStatePiece appends an entry that holds s.
func AppendStatePiece(dst []byte, s *StatePiece) []byte {
	return wire.AppendBytes(wire.AppendU64(append(dst, Format, byte(KindStatePiece)), s.At), s.Piece)
}

// AppendStateComplete appends an entry that holds s.
func AppendStateComplete(dst []byte, s *StateComplete) []byte {
	dst = wire.AppendU64(append(dst, Format, byte(KindStateComplete)), s.Size)
	return wire.AppendU32(wire.AppendU32(dst, s.Sum), s.MaxLease)
}

// headerSize is the size of a batch before its operations.
const headerSize = 2 + 8 + 8 + 8 + 8 + 16 + 8 + 4

// Builder gathers operations into one batch entry. The zero Builder is ready; it is not safe for concurrent use.
type Builder struct {
	ops   []byte
	count int
}

// opSlack bounds what an operation takes in an entry beside its body.
const opSlack = 1 + 16 + 4*binary.MaxVarintLen64

// Add appends an operation, whose body it copies.
func (b *Builder) Add(op *Op) {
	// In the order in which Batch.Next reads.
	b.ops = append(b.ops, byte(op.Code))
	b.ops = append(b.ops, op.Client[:]...)
	b.ops = wire.AppendUvarint(b.ops, op.Seq)
	b.ops = wire.AppendUvarint(b.ops, op.Lowest)
	b.ops = wire.AppendVarint(b.ops, op.Deadline)
	b.ops = wire.AppendBytes(b.ops, op.Body)
	b.count++
}

// Size returns an upper bound of the entry's size if an operation with a body of n bytes were added.
func (b *Builder) Size(n int) int { return headerSize + len(b.ops) + opSlack + n }

// Count returns how many operations were added.
func (b *Builder) Count() int { return b.count }

// Finish returns the entry, in memory of its own, and resets the builder.
func (b *Builder) Finish(h *Header) []byte {
	// The library keeps the entry for as long as the log does, and the builder's memory is used again.
	dst := make([]byte, 0, headerSize+len(b.ops))
	dst = append(dst, Format, byte(KindBatch))
	dst = wire.AppendU64(dst, h.Epoch)
	dst = wire.AppendI64(dst, h.Now)
	dst = wire.AppendU64(wire.AppendU64(dst, h.Published), h.Applied)
	dst = append(dst, h.Proposer[:]...)
	dst = wire.AppendU64(dst, h.Batch)
	dst = wire.AppendU32(dst, uint32(b.count))
	dst = append(dst, b.ops...)

	b.count = 0
	if cap(b.ops) > 1<<20 {
		// One large batch must not keep its memory for all that follow.
		b.ops = nil
	} else {
		b.ops = b.ops[:0]
	}
	return dst
}

// KindOf returns the kind of an entry, or an error for one of another format.
func KindOf(b []byte) (Kind, error) {
	if len(b) < 2 {
		return 0, fmt.Errorf("%w: an entry of %d bytes", wire.ErrMalformed, len(b))
	}
	if b[0] != Format {
		// Another version may have given the same bytes another meaning.
		return 0, fmt.Errorf("%w: an entry of format %d, this is %d", wire.ErrMalformed, b[0], Format)
	}
	return Kind(b[1]), nil
}

// DecodeOwn reads what AppendOwn wrote.
func DecodeOwn(b []byte) (Own, error) {
	// The first two bytes were looked at by KindOf. An entry without them fails in the reader.
	r := wire.NewReader(b[min(2, len(b)):])
	o := Own{Member: r.ID(), Incarnation: r.ID(), Term: r.U64(), PrevEpoch: r.U64(), LeaseMs: r.U32(), Now: r.I64()}
	return o, r.Done()
}

// DecodeRelease reads what AppendRelease wrote.
func DecodeRelease(b []byte) (Release, error) {
	r := wire.NewReader(b[min(2, len(b)):])
	e := Release{Epoch: r.U64(), To: r.ID()}
	return e, r.Done()
}

// DecodeStatePiece reads what AppendStatePiece wrote. Piece aliases b.
func DecodeStatePiece(b []byte) (StatePiece, error) {
	r := wire.NewReader(b[min(2, len(b)):])
	s := StatePiece{At: r.U64(), Piece: r.Bytes()}
	return s, r.Done()
}

// DecodeStateComplete reads what AppendStateComplete wrote.
func DecodeStateComplete(b []byte) (StateComplete, error) {
	r := wire.NewReader(b[min(2, len(b)):])
	s := StateComplete{Size: r.U64(), Sum: r.U32(), MaxLease: r.U32()}
	return s, r.Done()
}

// Batch reads a batch entry from front to back.
type Batch struct {
	Header
	r    wire.Reader
	left int
}

// DecodeBatch reads the header of a batch. Operations are read by Next.
func DecodeBatch(b []byte) (Batch, error) {
	r := wire.NewReader(b[min(2, len(b)):])
	var d Batch
	d.Header = Header{Epoch: r.U64(), Now: r.I64(), Published: r.U64(), Applied: r.U64(), Proposer: r.ID(), Batch: r.U64(), Ops: int(r.U32())}

	// An operation takes more than 20 bytes, so a count that the entry cannot hold is refused before anybody allocates for it.
	if d.Ops > MaxBatchOps || d.Ops > r.Len()/20 {
		r.Fail("a batch of %d operations in %d bytes", d.Ops, r.Len())
	}

	d.r, d.left = r, d.Ops
	return d, r.Err()
}

// Next reads the next operation into op and reports whether there was one. op.Body aliases the entry.
func (d *Batch) Next(op *Op) bool {
	if d.left == 0 || d.r.Err() != nil {
		return false
	}
	d.left--
	*op = Op{Code: wire.Op(d.r.U8()), Client: d.r.ID(), Seq: d.r.Uvarint(), Lowest: d.r.Uvarint(), Deadline: d.r.Varint(), Body: d.r.Bytes()}

	// A part of an operation is none: what was read of it is not executed.
	return d.r.Err() == nil
}

// Err returns what ended the reading early, or nil.
func (d *Batch) Err() error { return d.r.Err() }
