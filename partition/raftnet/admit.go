package raftnet

import (
	"encoding/binary"
	"path"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

// termRule says what the Term of a message must be. A zero term passes dragonboat's comparison of terms unseen, so that
// a message that should have one would be obeyed at any time; one that should have none makes a follower that forwards it
// panic (finalizeMessageTerm).
type termRule uint8

const (
	termRequired  termRule = iota // not zero
	termForbidden                 // zero
	termIgnored
)

// rule says whether a message of a type may come from another process.
type rule struct {
	admitted bool
	term     termRule
	why      string
}

// rules has one entry per message type that dragonboat knows; its table of handlers is indexed by type without a check, so
// that a type beyond it would panic. Of the refused, Peer.Handle panics on Election, LeaderHeartbeat, CheckQuorum,
// LocalTick and BatchedReadIndex ("local message sent to Step"), if node.handleMessage has not obeyed them before.
var rules = [...]rule{
	pb.LocalTick:          {false, termIgnored, "the replica's own clock"},
	pb.Election:           {false, termIgnored, "the replica's own election timer"},
	pb.LeaderHeartbeat:    {false, termIgnored, "the leader's own heartbeat timer"},
	pb.ConfigChangeEvent:  {false, termIgnored, "the replica's own applied configuration change; an unknown kind panics"},
	pb.NoOP:               {true, termRequired, "carries a higher term to a leader that was cut off, which then steps down"},
	pb.Ping:               {false, termIgnored, "not used"},
	pb.Pong:               {false, termIgnored, "not used"},
	pb.Propose:            {true, termForbidden, "proposals that a follower forwards to its leader"},
	pb.SnapshotStatus:     {false, termIgnored, "the sender's own transport reports on its snapshot"},
	pb.Unreachable:        {false, termIgnored, "the sender's own transport reports on its connection"},
	pb.CheckQuorum:        {false, termIgnored, "the leader's own timer"},
	pb.BatchedReadIndex:   {false, termIgnored, "not used"},
	pb.Replicate:          {true, termRequired, "leader to all: entries and commit index"},
	pb.ReplicateResp:      {true, termRequired, "its answer"},
	pb.RequestVote:        {true, termRequired, "candidate to voters"},
	pb.RequestVoteResp:    {true, termRequired, "its answer"},
	pb.InstallSnapshot:    {false, termIgnored, "made by the NodeHost itself once all chunks of a snapshot are stored and checked"},
	pb.Heartbeat:          {true, termRequired, "leader to all"},
	pb.HeartbeatResp:      {true, termRequired, "its answer"},
	pb.ReadIndex:          {true, termForbidden, "reads that a follower or learner forwards to its leader"},
	pb.ReadIndexResp:      {true, termRequired, "its answer"},
	pb.Quiesce:            {true, termIgnored, "idle shards agree to rest; without effect where Quiesce is off"},
	pb.SnapshotReceived:   {true, termIgnored, "a replica has a whole snapshot; the NodeHost takes it out before Raft sees it"},
	pb.LeaderTransfer:     {true, termForbidden, "a leadership transfer request that a follower forwards to its leader"},
	pb.TimeoutNow:         {true, termRequired, "leader to the target of a leadership transfer"},
	pb.RateLimit:          {true, termRequired, "follower to leader: the size of its unapplied log"},
	pb.RequestPreVote:     {true, termRequired, "candidate to voters; with a zero term it panics"},
	pb.RequestPreVoteResp: {true, termRequired, "its answer"},
	pb.LogQuery:           {false, termIgnored, "a query of the local log; a second one before the first is answered panics"},
}

// admit reports whether m, which came from another process, may be handed to the NodeHost. It refuses what only a replica
// itself may say. It also refuses messages that would make dragonboat panic, here or on every replica when an entry is
// applied, as far as they are cheap to recognise. It cannot recognise a sender that lies about its log: a Heartbeat whose commit index
// is beyond the local log, or entries that contradict committed ones, still panic, as they should.
func admit(m *pb.Message) bool {
	if m.ShardID == 0 || m.To == 0 || m.From == 0 || m.Type < 0 || int(m.Type) >= len(rules) {
		return false
	}

	// The table is indexed by type, so a type beyond it was refused above.
	r := &rules[m.Type]
	if !r.admitted || r.term == termRequired && m.Term == 0 || r.term == termForbidden && m.Term != 0 {
		return false
	}

	switch m.Type {
	case pb.Replicate:
		return admitReplicate(m)
	case pb.Propose:
		// Proposals have no place in the log yet, so each entry is checked by itself.
		return admitPropose(m)
	case pb.LeaderTransfer:
		return m.Hint != 0 // without a target it panics
	}
	return true
}

// admitReplicate checks each entry, and that the entries follow LogIndex without gaps and with terms that never fall. The log
// panics on both, in part only when the entries are applied.
func admitReplicate(m *pb.Message) bool {
	// Term 0 matches any index beyond the log, and the commit index would then be moved there.
	if m.LogTerm == 0 && m.LogIndex != 0 {
		return false
	}

	// Terms begin at 1 in the log, also where the entry before the first is none.
	index, term := m.LogIndex, max(m.LogTerm, 1)
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Index != index+1 || e.Index == 0 || e.Term < term || e.Term > m.Term || !admitEntry(e) {
			return false
		}

		// A metadata entry stands in for an entry that a witness does not need, and is empty.
		if e.Type == pb.MetadataEntry && (len(e.Cmd) != 0 || e.ClientID != 0) {
			return false
		}
		index, term = e.Index, e.Term
	}
	return true
}

func admitPropose(m *pb.Message) bool {
	for i := range m.Entries {
		// A leader makes metadata entries itself, for witnesses.
		if m.Entries[i].Type == pb.MetadataEntry || !admitEntry(&m.Entries[i]) {
			return false
		}
	}
	return len(m.Entries) > 0
}

// admitEntry checks what every replica will look at when it applies e.
func admitEntry(e *pb.Entry) bool {
	switch e.Type {
	case pb.ConfigChangeEntry:
		var cc pb.ConfigChange
		// Each replica decodes the change when it applies the entry, and panics on what it cannot read.
		return cc.Unmarshal(e.Cmd) == nil && cc.Type >= pb.AddNode && cc.Type <= pb.AddWitness && cc.ReplicaID != 0
	case pb.ApplicationEntry:
		return e.ClientID != 0 || len(e.Cmd) == 0 // a command without a session panics
	case pb.EncodedEntry:
		return e.ClientID != 0 && admitEncoded(e.Cmd)
	case pb.MetadataEntry:
		return true
	}

	// No replica would know what to do with an entry of another type.
	return false
}

// Header of an encoded command: version in the upper four bits, compression in the next three, session in the last.
const (
	encodedPlain  = 0
	encodedSnappy = 1 << 1

	maxUncompressed = 4 * maxFrame
)

func admitEncoded(cmd []byte) bool {
	if len(cmd) < 2 {
		// A header, and at least one byte that it describes.
		return false
	}
	switch cmd[0] {
	case encodedPlain:
		return true
	case encodedSnappy:
		size, n := binary.Uvarint(cmd[1:])
		// The size is claimed by the sender, and each replica allocates that much when it uncompresses.
		return n > 0 && size > 0 && size <= maxUncompressed
	}
	return false
}

// chunkOrder checks the chunks of one connection, which carries one snapshot: dragonboat puts them together by what each
// says about itself, and panics on a chunk that continues a file that it has not begun.
type chunkOrder struct {
	last pb.Chunk // without data
	any  bool
}

// admit reports whether c may come next.
func (o *chunkOrder) admit(c *pb.Chunk) bool {
	// The NodeHost makes a file of the path's last part, which must not name a directory.
	name := path.Base(c.Filepath)
	if c.ShardID == 0 || c.ReplicaID == 0 || c.From == 0 || c.Index == 0 || c.Term == 0 ||
		name == "." || name == ".." || name == "/" || c.IsPoisonChunk() {
		return false
	}

	if !o.any {
		if c.ChunkId != 0 || c.FileChunkId != 0 {
			// The first chunk of a connection begins the snapshot and its first file.
			return false
		}
	} else {
		l := &o.last
		if c.ShardID != l.ShardID || c.ReplicaID != l.ReplicaID || c.From != l.From || c.Index != l.Index || c.Term != l.Term ||
			c.ChunkId != l.ChunkId+1 || l.IsLastChunk() {
			return false
		}

		// dragonboat panics on a chunk that goes on with a file that it has not begun.
		if c.FileChunkId != 0 && (c.FileChunkId != l.FileChunkId+1 || name != path.Base(l.Filepath)) {
			return false
		}
	}

	// What the next chunk is compared with needs none of the large parts, which would stay in memory.
	o.last, o.any = *c, true
	o.last.Data, o.last.Membership, o.last.FileInfo = nil, pb.Membership{}, pb.SnapshotFile{}
	return true
}
