package raftnet

import (
	"encoding/binary"
	"fmt"

	pb "github.com/lni/dragonboat/v4/raftpb"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// What can be wrong with a payload. Made once: a decoder formats nothing.
var (
	errShort    = fmt.Errorf("%w: a Raft frame ends early", wire.ErrMalformed)
	errVarint   = fmt.Errorf("%w: a bad varint in a Raft frame", wire.ErrMalformed)
	errRange    = fmt.Errorf("%w: a number out of range in a Raft frame", wire.ErrMalformed)
	errFlags    = fmt.Errorf("%w: unknown flags in a Raft frame", wire.ErrMalformed)
	errTooMany  = fmt.Errorf("%w: too many elements in a Raft frame", wire.ErrMalformed)
	errCommands = fmt.Errorf("%w: commands of another size than announced", wire.ErrMalformed)
)

// decoder reads a payload from front to back. The first thing that does not fit is kept in err, and everything read after
// it is zero. Nothing it returns aliases the payload.
type decoder struct {
	b   []byte
	err error

	// What this frame may still ask for.
	messages, entries, members, files int
}

func newDecoder(payload []byte) decoder {
	return decoder{b: payload, messages: maxFrameMessages, entries: maxFrameEntries, members: maxFrameMembers, files: maxFrameFiles}
}

// decodeBatch appends the messages of a batch's payload to dst and returns it with the batch's other fields. With an error,
// dst is what it was. Each message's entries and their commands are two allocations of the message's own. So a log that keeps
// an entry keeps at most what came with it in one Replicate. The payload may be reused at once.
func decodeBatch(payload []byte, dst []pb.Message) (messages []pb.Message, binVer uint32, deploymentID uint64, err error) {
	d := newDecoder(payload)
	binVer = d.uint32()
	deploymentID = d.uvarint()

	had := len(dst)
	for d.err == nil && len(d.b) > 0 {
		// A message takes far more memory than bytes in a frame.
		if d.messages == 0 {
			d.fail(errTooMany)
			break
		}
		d.messages--
		dst = append(dst, pb.Message{})
		d.message(&dst[len(dst)-1])
	}

	if d.err != nil {
		// The caller uses dst again, and must not keep half of a message alive by it.
		clear(dst[had:])
		return dst[:had], 0, 0, d.err
	}
	return dst, binVer, deploymentID, nil
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}

	// With nothing left to read, every later read fails too, and loops end.
	d.b = nil
}

func (d *decoder) byte() uint8 {
	if len(d.b) == 0 {
		d.fail(errShort)
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		// Numbers below 128, such as types and most lengths, take one byte and no loop.
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	return d.longUvarint()
}

func (d *decoder) longUvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		if n == 0 {
			d.fail(errShort)
		} else {
			// The number does not end within 64 bits.
			d.fail(errVarint)
		}
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	v := d.uvarint()
	if v > 1<<32-1 {
		d.fail(errRange)
		return 0
	}
	return uint32(v)
}

func (d *decoder) uint64() uint64 {
	if len(d.b) < 8 {
		d.fail(errShort)
		return 0
	}
	v := binary.BigEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

func (d *decoder) bool() bool {
	switch d.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	d.fail(errRange)
	return false
}

// take returns the next n bytes, which alias the payload.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail(errShort)
		return nil
	}

	// The capacity ends with the bytes, so that an append cannot reach what follows.
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) text() string { return string(d.take(d.uvarint())) }

// bytes returns a copy, nil or not as it was sent.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n == 0 {
		return nil
	}

	// The length is sent plus one, so that zero can stand for nil.
	b := d.take(n - 1)
	if d.err != nil {
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// count reads the count of a list of which every element takes at least minSize bytes, and takes it off the budget.
func (d *decoder) count(n uint64, minSize int, budget *int) int {
	if n > uint64(len(d.b)/minSize) {
		// The payload cannot hold so many, whatever the sender claims.
		d.fail(errShort)
		return 0
	}
	if n > uint64(*budget) {
		// A frame of tiny elements takes many times its size in memory.
		d.fail(errTooMany)
		return 0
	}
	*budget -= int(n)
	return int(n)
}

func (d *decoder) message(m *pb.Message) {
	m.Type = pb.MessageType(d.uint32())
	flags := d.byte()
	m.To, m.From, m.ShardID = d.uvarint(), d.uvarint(), d.uvarint()
	// In the order in which appendMessage writes.
	m.Reject = flags&hasReject != 0
	if flags&hasTerm != 0 {
		m.Term = d.uvarint()
	}
	if flags&hasLog != 0 {
		m.LogIndex, m.LogTerm = d.uvarint(), d.uvarint()
	}
	if flags&hasCommit != 0 {
		m.Commit = d.uvarint()
	}
	if flags&hasHint != 0 {
		m.Hint = d.uvarint()
	}
	if flags&hasHintHigh != 0 {
		m.HintHigh = d.uvarint()
	}
	if flags&hasEntries != 0 {
		d.messageEntries(m)
	}
	if flags&hasSnapshot != 0 {
		d.snapshot(&m.Snapshot)
	}
}

func (d *decoder) messageEntries(m *pb.Message) {
	n := d.count(d.uvarint(), 2, &d.entries)
	commands := d.uvarint()
	// Memory is allocated only for what the payload can hold.
	if commands > uint64(len(d.b)) {
		d.fail(errShort)
	}
	if d.err != nil {
		return
	}

	// One array for the entries and one for all commands, both of the message's own.
	m.Entries = make([]pb.Entry, n)
	slab := make([]byte, 0, commands)
	index, term := m.LogIndex, m.Term
	for i := range m.Entries {
		slab = d.entry(&m.Entries[i], index, term, slab)
		if d.err != nil {
			return
		}
		index, term = m.Entries[i].Index, m.Entries[i].Term
	}

	if uint64(len(slab)) != commands {
		d.fail(errCommands)
	}
}

// entry reads an entry that follows one of the given index and term. Its command is copied to the end of slab, whose
// capacity is never exceeded.
func (d *decoder) entry(e *pb.Entry, index, term uint64, slab []byte) []byte {
	flags := d.byte()
	if flags&entryUnknown != 0 || flags&entryOddType != 0 && flags&entryTypeBits != 0 {
		// An odd type stands behind the flags, so their own two bits must be free.
		d.fail(errFlags)
		return slab
	}

	e.Type = pb.EntryType(flags & entryTypeBits)
	if flags&entryOddType != 0 {
		e.Type = pb.EntryType(d.uint32())
	}

	// What the flags do not say otherwise follows from the entry before.
	e.Index, e.Term = index+1, term
	if flags&entryNext == 0 {
		e.Index = d.uvarint()
	}
	if flags&entrySameTerm == 0 {
		e.Term = d.uvarint()
	}

	if flags&entryKey != 0 {
		e.Key = d.uint64()
	}
	if flags&entrySession != 0 {
		e.ClientID, e.SeriesID, e.RespondedTo = d.uint64(), d.uvarint(), d.uvarint()
	}

	size := d.uvarint()
	if size == 0 {
		// The command is nil. Zero cannot be the length of an empty one, which is sent as one.
		return slab
	}
	cmd := d.take(size - 1)
	// Commands beyond the announced size would move the slab, and leave the earlier ones behind in another array.
	if len(cmd) > cap(slab)-len(slab) {
		d.fail(errCommands)
		return slab
	}
	at := len(slab)
	slab = append(slab, cmd...)
	// The capacity ends with the command: an append must not reach the next one.
	e.Cmd = slab[at:len(slab):len(slab)]
	return slab
}

func (d *decoder) snapshot(s *pb.Snapshot) {
	flags := d.byte()
	if flags >= snapshotUnknown {
		d.fail(errFlags)
		return
	}
	s.Dummy, s.Imported, s.Witness = flags&snapshotDummy != 0, flags&snapshotImported != 0, flags&snapshotWitness != 0
	s.Filepath = d.text()
	s.FileSize, s.Index, s.Term, s.ShardID = d.uvarint(), d.uvarint(), d.uvarint(), d.uvarint()
	s.Type = pb.StateMachineType(d.uint32())
	s.OnDiskIndex = d.uvarint()
	d.membership(&s.Membership)
	if n := d.uvarint(); n > 0 {
		// The count is checked against the payload before the list is allocated.
		files := make([]*pb.SnapshotFile, 0, d.count(n-1, 4, &d.files))
		for range cap(files) {
			f := &pb.SnapshotFile{}
			d.file(f)
			files = append(files, f)
		}
		s.Files = files
	}
	s.Checksum = d.bytes()
}

func (d *decoder) file(f *pb.SnapshotFile) {
	f.Filepath = d.text()
	f.FileSize, f.FileId = d.uvarint(), d.uvarint()
	f.Metadata = d.bytes()
}

func (d *decoder) membership(m *pb.Membership) {
	m.ConfigChangeId = d.uvarint()
	m.Addresses = d.addresses()
	if n := d.uvarint(); n > 0 {
		// Without a size: a count that is only claimed allocates nothing.
		m.Removed = make(map[uint64]bool)
		for range d.count(n-1, 2, &d.members) {
			id := d.uvarint()
			m.Removed[id] = d.bool()
		}
	}
	m.NonVotings = d.addresses()
	m.Witnesses = d.addresses()
}

func (d *decoder) addresses() map[uint64]string {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	// Without a size: a count that is only claimed allocates nothing.
	addresses := make(map[uint64]string)
	for range d.count(n-1, 2, &d.members) {
		id := d.uvarint()
		addresses[id] = d.text()
	}
	return addresses
}
