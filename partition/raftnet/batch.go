package raftnet

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

// A batch's payload is uvarint BinVer, uvarint DeploymentId and messages up to its end. SourceAddress is not sent: the
// receiver learns addresses from the metadata alone, and an empty one spares it a registry call per message.
//
//	message:    uvarint type · flags · uvarints To, From, ShardID · what the flags name, in their order
//	entries:    uvarint count · uvarint bytes of all commands · entries
//	entry:      flags · what they name · command
//	bytes:      0 for nil, or uvarint length+1 and the bytes; maps and lists likewise with their count
//	membership: uvarint ConfigChangeId · Addresses · Removed · NonVotings · Witnesses, each by ascending replica ID
//
// The limits below bound what a frame can make its receiver allocate; senders start another frame before they reach them.
const (
	maxFrameMessages = 4096
	maxFrameEntries  = 1 << 16
	maxFrameMembers  = 1 << 20 // entries of membership maps
	maxFrameFiles    = 1 << 12 // external files of snapshots
)

// Flags of a message.
const (
	hasReject uint8 = 1 << iota
	hasTerm
	hasLog // LogIndex, LogTerm
	hasCommit
	hasHint
	hasHintHigh
	hasEntries
	hasSnapshot
)

// Flags of an entry; the lowest two bits are its type if that fits.
const (
	entryTypeBits uint8 = 3
	entryNext     uint8 = 1 << 2 // its index is that of the one before plus 1 (the first's: LogIndex plus 1)
	entrySameTerm uint8 = 1 << 3 // its term is that of the one before (the first's: the message's)
	entryKey      uint8 = 1 << 4 // 8 bytes
	entrySession  uint8 = 1 << 5 // ClientID in 8 bytes, uvarints SeriesID and RespondedTo
	entryOddType  uint8 = 1 << 6 // uvarint type
	entryUnknown  uint8 = 1 << 7
)

// Flags of a snapshot and of a chunk.
const (
	snapshotDummy uint8 = 1 << iota
	snapshotImported
	snapshotWitness
	snapshotUnknown
)

// tally is what became of a batch's messages. Of those that were sent, paced are the ones that tell of fewer commits.
type tally struct{ sent, suppressed, tooLarge, paced int }

// frameWriter appends messages to dst as frames.
type frameWriter struct {
	dst          []byte
	binVer       uint32
	deploymentID uint64
	start        int // of the open frame in dst; -1 if none is open
	messages     int // in the open frame
	entries      int // in the open frame
}

// appendBatch appends b to dst as one frame or several and returns dst, and how many of b's messages are in it. Messages
// that the gate refuses are left out, and so are those of which a single entry does not fit a frame. Nothing of b is kept.
func appendBatch(dst []byte, b *pb.MessageBatch, gate *gates, now time.Time) ([]byte, tally) {
	var t tally
	w := frameWriter{dst: dst, binVer: b.BinVer, deploymentID: b.DeploymentId, start: -1}
	for i := range b.Requests {
		m := &b.Requests[i]
		commit := m.Commit
		switch {
		case !gate.admits(m, now):
			// What the gates leave out is said again by a later message: see emptyGate and quietGate.
			t.suppressed++
		case w.add(m):
			t.sent++
			if m.Commit != commit {
				t.paced++
			}
		default:
			t.tooLarge++
		}
	}
	w.close()
	return w.dst, t
}

// add appends m, in parts if its entries do not fit one frame, and reports whether it could.
func (w *frameWriter) add(m *pb.Message) bool {
	size := messageBound(m)
	if size <= maxFrame-frameSlack && len(m.Entries) <= maxFrameEntries {
		w.addPart(m, size)
		return true
	}

	// Other messages have no entries between which they could be cut.
	if m.Type != pb.Replicate && m.Type != pb.Propose {
		return false
	}
	for i := range m.Entries {
		if messageSlack+entryBound(&m.Entries[i]) > maxFrame-frameSlack {
			// One entry is above the cap of a frame. Nothing that contains it can be sent.
			return false
		}
	}

	// A Replicate may be cut anywhere: each part follows the entry before it. A Propose is a list of proposals.
	part := *m
	rest := m.Entries
	for len(rest) > 0 {
		n, size := 0, messageSlack
		for n < len(rest) && n < maxFrameEntries && size+entryBound(&rest[n]) <= maxFrame-frameSlack {
			size += entryBound(&rest[n])
			n++
		}
		part.Entries = rest[:n]
		w.addPart(&part, size)
		if m.Type == pb.Replicate {
			// The next part follows the last entry of this one.
			part.LogIndex, part.LogTerm = rest[n-1].Index, rest[n-1].Term
		}
		rest = rest[n:]
	}
	return true
}

func (w *frameWriter) addPart(m *pb.Message, bound int) {
	// The open frame ends before it exceeds what a receiver takes in one frame.
	if w.start >= 0 && (len(w.dst)-w.start+bound > frameTarget || w.messages == maxFrameMessages || w.entries+len(m.Entries) > maxFrameEntries) {
		w.close()
	}

	// Version and deployment stand once in each frame, which is decoded by itself.
	if w.start < 0 {
		w.start = len(w.dst)
		w.dst = openFrame(w.dst)
		w.dst = binary.AppendUvarint(w.dst, uint64(w.binVer))
		w.dst = binary.AppendUvarint(w.dst, w.deploymentID)
	}

	w.dst = appendMessage(w.dst, m)
	w.messages++
	w.entries += len(m.Entries)
}

func (w *frameWriter) close() {
	if w.start >= 0 {
		// The header holds length and checksum, which are known only now.
		closeFrame(w.dst, w.start, nil)
		w.start, w.messages, w.entries = -1, 0, 0
	}
}

// Upper bounds of encoded sizes without their variable parts.
const (
	frameSlack    = 32
	messageSlack  = 128
	entrySlack    = 80
	snapshotSlack = 160
	fileSlack     = 64
	memberSlack   = 24
)

// batchBound returns a size that b's frames do not exceed.
func batchBound(b *pb.MessageBatch) int {
	n := 0
	for i := range b.Requests {
		n += frameHeader + frameSlack + messageBound(&b.Requests[i])
	}
	return n
}

func messageBound(m *pb.Message) int {
	// A bound is enough: it only decides where a frame ends.
	n := messageSlack
	for i := range m.Entries {
		n += entryBound(&m.Entries[i])
	}
	if !isZeroSnapshot(&m.Snapshot) {
		n += snapshotBound(&m.Snapshot)
	}
	return n
}

func entryBound(e *pb.Entry) int { return entrySlack + len(e.Cmd) }

func snapshotBound(s *pb.Snapshot) int {
	n := snapshotSlack + len(s.Filepath) + len(s.Checksum) + membershipBound(&s.Membership)
	for _, f := range s.Files {
		n += fileBound(f)
	}
	return n
}

func fileBound(f *pb.SnapshotFile) int { return fileSlack + len(f.Filepath) + len(f.Metadata) }

func membershipBound(m *pb.Membership) int {
	n := 64 + memberSlack*len(m.Removed)
	for _, addresses := range []map[uint64]string{m.Addresses, m.NonVotings, m.Witnesses} {
		for _, a := range addresses {
			n += memberSlack + len(a)
		}
	}
	return n
}

func isZeroSnapshot(s *pb.Snapshot) bool {
	// Nil and empty differ here, as they do in the encoding: what was sent arrives unchanged.
	return s.Index == 0 && s.Term == 0 && s.ShardID == 0 && s.FileSize == 0 && s.OnDiskIndex == 0 && s.Type == 0 &&
		len(s.Filepath) == 0 && s.Files == nil && s.Checksum == nil && !s.Dummy && !s.Imported && !s.Witness &&
		s.Membership.ConfigChangeId == 0 && s.Membership.Addresses == nil && s.Membership.Removed == nil &&
		s.Membership.NonVotings == nil && s.Membership.Witnesses == nil
}

func appendMessage(dst []byte, m *pb.Message) []byte {
	// Most fields of most messages are zero. Flags say which ones follow.
	var flags uint8
	if m.Reject {
		flags |= hasReject
	}
	if m.Term != 0 {
		flags |= hasTerm
	}
	if m.LogIndex|m.LogTerm != 0 {
		flags |= hasLog
	}
	if m.Commit != 0 {
		flags |= hasCommit
	}
	if m.Hint != 0 {
		flags |= hasHint
	}
	if m.HintHigh != 0 {
		flags |= hasHintHigh
	}
	if m.Entries != nil {
		flags |= hasEntries
	}
	if !isZeroSnapshot(&m.Snapshot) {
		flags |= hasSnapshot
	}

	dst = binary.AppendUvarint(dst, uint64(uint32(m.Type)))
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, m.To)
	dst = binary.AppendUvarint(dst, m.From)
	dst = binary.AppendUvarint(dst, m.ShardID)

	// In the order of the flags, in which the receiver reads.
	if flags&hasTerm != 0 {
		dst = binary.AppendUvarint(dst, m.Term)
	}
	if flags&hasLog != 0 {
		dst = binary.AppendUvarint(dst, m.LogIndex)
		dst = binary.AppendUvarint(dst, m.LogTerm)
	}
	if flags&hasCommit != 0 {
		dst = binary.AppendUvarint(dst, m.Commit)
	}
	if flags&hasHint != 0 {
		dst = binary.AppendUvarint(dst, m.Hint)
	}
	if flags&hasHintHigh != 0 {
		dst = binary.AppendUvarint(dst, m.HintHigh)
	}
	if flags&hasEntries != 0 {
		dst = appendEntries(dst, m)
	}
	if flags&hasSnapshot != 0 {
		dst = appendSnapshot(dst, &m.Snapshot)
	}
	return dst
}

func appendEntries(dst []byte, m *pb.Message) []byte {
	// The receiver allocates the commands of a message together, so their size goes first.
	commands := 0
	for i := range m.Entries {
		commands += len(m.Entries[i].Cmd)
	}

	dst = binary.AppendUvarint(dst, uint64(len(m.Entries)))
	dst = binary.AppendUvarint(dst, uint64(commands))
	// The first entry is compared with what the message itself says.
	index, term := m.LogIndex, m.Term
	for i := range m.Entries {
		dst = appendEntry(dst, &m.Entries[i], index, term)
		index, term = m.Entries[i].Index, m.Entries[i].Term
	}
	return dst
}

// appendEntry appends e, which follows an entry of the given index and term.
func appendEntry(dst []byte, e *pb.Entry, index, term uint64) []byte {
	// The entries of a message mostly follow each other in one term, so index and term take no bytes.
	flags := uint8(e.Type) & entryTypeBits
	if e.Type&^pb.EntryType(entryTypeBits) != 0 {
		// The type does not fit its two bits, and follows the flags.
		flags = entryOddType
	}
	if e.Index == index+1 {
		flags |= entryNext
	}
	if e.Term == term {
		flags |= entrySameTerm
	}
	if e.Key != 0 {
		flags |= entryKey
	}
	if e.ClientID|e.SeriesID|e.RespondedTo != 0 {
		flags |= entrySession
	}

	dst = append(dst, flags)
	if flags&entryOddType != 0 {
		dst = binary.AppendUvarint(dst, uint64(uint32(e.Type)))
	}
	if flags&entryNext == 0 {
		dst = binary.AppendUvarint(dst, e.Index)
	}
	if flags&entrySameTerm == 0 {
		dst = binary.AppendUvarint(dst, e.Term)
	}
	if flags&entryKey != 0 {
		dst = binary.BigEndian.AppendUint64(dst, e.Key)
	}
	if flags&entrySession != 0 {
		dst = binary.BigEndian.AppendUint64(dst, e.ClientID)
		dst = binary.AppendUvarint(dst, e.SeriesID)
		dst = binary.AppendUvarint(dst, e.RespondedTo)
	}
	return appendBytes(dst, e.Cmd)
}

// appendBytes keeps nil and empty apart, as Raft's own encoding does.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b))+1)
	return append(dst, b...)
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendSnapshot(dst []byte, s *pb.Snapshot) []byte {
	var flags uint8
	if s.Dummy {
		flags |= snapshotDummy
	}
	if s.Imported {
		flags |= snapshotImported
	}
	if s.Witness {
		flags |= snapshotWitness
	}

	dst = append(dst, flags)
	dst = appendText(dst, s.Filepath)
	for _, v := range [...]uint64{s.FileSize, s.Index, s.Term, s.ShardID, uint64(uint32(s.Type)), s.OnDiskIndex} {
		dst = binary.AppendUvarint(dst, v)
	}

	dst = appendMembership(dst, &s.Membership)
	if s.Files == nil {
		dst = append(dst, 0)
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(s.Files))+1)
		for _, f := range s.Files {
			dst = appendFile(dst, f)
		}
	}
	return appendBytes(dst, s.Checksum)
}

func appendFile(dst []byte, f *pb.SnapshotFile) []byte {
	dst = appendText(dst, f.Filepath)
	dst = binary.AppendUvarint(dst, f.FileSize)
	dst = binary.AppendUvarint(dst, f.FileId)
	return appendBytes(dst, f.Metadata)
}

func appendMembership(dst []byte, m *pb.Membership) []byte {
	dst = binary.AppendUvarint(dst, m.ConfigChangeId)
	dst = appendAddresses(dst, m.Addresses)
	if m.Removed == nil {
		dst = append(dst, 0)
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(m.Removed))+1)
		// In the order of IDs: equal memberships have one encoding.
		for _, id := range slices.Sorted(maps.Keys(m.Removed)) {
			dst = binary.AppendUvarint(dst, id)
			dst = appendBool(dst, m.Removed[id])
		}
	}
	dst = appendAddresses(dst, m.NonVotings)
	return appendAddresses(dst, m.Witnesses)
}

func appendAddresses(dst []byte, addresses map[uint64]string) []byte {
	if addresses == nil {
		// Zero stands for nil. Other counts are sent plus one.
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(addresses))+1)
	for _, id := range slices.Sorted(maps.Keys(addresses)) {
		dst = binary.AppendUvarint(dst, id)
		dst = appendText(dst, addresses[id])
	}
	return dst
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}
