package raftnet

import (
	"encoding/binary"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
)

// Every message type of this dragonboat is decided, with a reason. A type that a new version adds fails here first.
func TestEveryMessageTypeIsDecided(t *testing.T) {
	require.Len(t, pb.MessageType_name, len(rules))
	var admitted []string
	for i, r := range rules {
		require.NotEmpty(t, r.why, pb.MessageType(i))
		m := validMessage(pb.MessageType(i))
		require.Equal(t, r.admitted, admit(&m), pb.MessageType(i))
		if r.admitted {
			admitted = append(admitted, pb.MessageType(i).String())
		}
	}
	require.Equal(t, []string{
		"NoOP", "Propose", "Replicate", "ReplicateResp", "RequestVote", "RequestVoteResp", "Heartbeat", "HeartbeatResp",
		"ReadIndex", "ReadIndexResp", "Quiesce", "SnapshotReceived", "LeaderTransfer", "TimeoutNow", "RateLimit", "RequestPreVote",
		"RequestPreVoteResp",
	}, admitted)
	for _, typ := range []pb.MessageType{-1, 29, 1 << 30} {
		require.False(t, admit(&pb.Message{Type: typ, To: 1, From: 2, ShardID: 3, Term: 4}), "type %d", typ)
	}
}

// validMessage is as a well-behaved peer would send it.
func validMessage(typ pb.MessageType) pb.Message {
	m := pb.Message{Type: typ, To: 1, From: 2, ShardID: 3, Hint: 1, Term: 4}
	if rules[typ].term == termForbidden {
		m.Term = 0
	}
	if typ == pb.Propose {
		m.Entries = []pb.Entry{{Type: pb.EncodedEntry, ClientID: 1, Cmd: []byte{0, 'x'}}}
	}
	return m
}

// Who sent it, to whom, for which shard and in which term must be said, for every type.
func TestAdmitNeedsAddressAndTerm(t *testing.T) {
	for i, r := range rules {
		if !r.admitted {
			continue
		}
		for name, spoil := range map[string]func(*pb.Message){
			"from":  func(m *pb.Message) { m.From = 0 },
			"to":    func(m *pb.Message) { m.To = 0 },
			"shard": func(m *pb.Message) { m.ShardID = 0 },
		} {
			m := validMessage(pb.MessageType(i))
			spoil(&m)
			require.False(t, admit(&m), "%s without %s", m.Type, name)
		}
		m := validMessage(pb.MessageType(i))
		m.Term = 4 - m.Term
		require.Equal(t, r.term == termIgnored, admit(&m), "%s with the wrong kind of term", m.Type)
	}
}

func TestAdmitReplicate(t *testing.T) {
	entry := func(index, term uint64) pb.Entry { return pb.Entry{Index: index, Term: term} }
	for name, c := range map[string]struct {
		logIndex, logTerm uint64
		entries           []pb.Entry
		want              bool
	}{
		"first entries of a log":  {0, 0, []pb.Entry{entry(1, 1), entry(2, 1), entry(3, 4)}, true},
		"commit index alone":      {9, 3, nil, true},
		"following":               {9, 3, []pb.Entry{entry(10, 3), entry(11, 4)}, true},
		"gap at the start":        {9, 3, []pb.Entry{entry(11, 3)}, false},
		"gap within":              {9, 3, []pb.Entry{entry(10, 3), entry(12, 3)}, false},
		"repeated":                {9, 3, []pb.Entry{entry(10, 3), entry(10, 3)}, false},
		"term falls":              {9, 3, []pb.Entry{entry(10, 4), entry(11, 3)}, false},
		"term below the previous": {9, 3, []pb.Entry{entry(10, 2)}, false},
		"term above the leader's": {9, 3, []pb.Entry{entry(10, 5)}, false},
		"zero term":               {0, 0, []pb.Entry{entry(1, 0)}, false},
		"index without its term":  {9, 0, nil, false},
		"index overflows":         {1<<64 - 1, 3, []pb.Entry{entry(0, 3)}, false},
		"metadata for a witness":  {9, 3, []pb.Entry{{Index: 10, Term: 3, Type: pb.MetadataEntry}}, true},
		"metadata with a session": {9, 3, []pb.Entry{{Index: 10, Term: 3, Type: pb.MetadataEntry, ClientID: 1}}, false},
		"metadata with a command": {9, 3, []pb.Entry{{Index: 10, Term: 3, Type: pb.MetadataEntry, Cmd: []byte{1}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := pb.Message{Type: pb.Replicate, To: 1, From: 2, ShardID: 3, Term: 4, LogIndex: c.logIndex, LogTerm: c.logTerm, Entries: c.entries}
			require.Equal(t, c.want, admit(&m))
		})
	}
}

// An entry that would stop every replica when it is applied gets in neither way.
func TestAdmitEntry(t *testing.T) {
	change := func(cc pb.ConfigChange) []byte { return pb.MustMarshal(&cc) }
	for name, c := range map[string]struct {
		entry pb.Entry
		want  bool
	}{
		"empty":                      {pb.Entry{}, true},
		"plain command":              {pb.Entry{Type: pb.EncodedEntry, ClientID: 1, Cmd: []byte{0, 1}}, true},
		"command in old form":        {pb.Entry{ClientID: 1, Cmd: []byte{1}}, true},
		"command without session":    {pb.Entry{Cmd: []byte{1}}, false},
		"encoded without session":    {pb.Entry{Type: pb.EncodedEntry, Cmd: []byte{0, 1}}, false},
		"encoded without header":     {pb.Entry{Type: pb.EncodedEntry, ClientID: 1}, false},
		"encoded without payload":    {pb.Entry{Type: pb.EncodedEntry, ClientID: 1, Cmd: []byte{0}}, false},
		"unknown encoding":           {pb.Entry{Type: pb.EncodedEntry, ClientID: 1, Cmd: []byte{1 << 4, 1}}, false},
		"unknown compression":        {pb.Entry{Type: pb.EncodedEntry, ClientID: 1, Cmd: []byte{2 << 1, 1}}, false},
		"session flag":               {pb.Entry{Type: pb.EncodedEntry, ClientID: 1, Cmd: []byte{1, 1}}, false},
		"compressed":                 {pb.Entry{Type: pb.EncodedEntry, ClientID: 1, Cmd: []byte{2, 5, 1}}, true},
		"compressed to nothing":      {pb.Entry{Type: pb.EncodedEntry, ClientID: 1, Cmd: []byte{2, 0, 1}}, false},
		"compressed beyond measure":  {pb.Entry{Type: pb.EncodedEntry, ClientID: 1, Cmd: binary.AppendUvarint([]byte{2}, 1<<40)}, false},
		"unknown type":               {pb.Entry{Type: 4}, false},
		"negative type":              {pb.Entry{Type: -1}, false},
		"config change":              {pb.Entry{Type: pb.ConfigChangeEntry, Cmd: change(pb.ConfigChange{Type: pb.AddWitness, ReplicaID: 3, Address: "x"})}, true},
		"config change of no kind":   {pb.Entry{Type: pb.ConfigChangeEntry, Cmd: change(pb.ConfigChange{Type: 4, ReplicaID: 3})}, false},
		"config change of nobody":    {pb.Entry{Type: pb.ConfigChangeEntry, Cmd: change(pb.ConfigChange{Type: pb.AddNode})}, false},
		"config change that is none": {pb.Entry{Type: pb.ConfigChangeEntry, Cmd: []byte{0xff}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			propose := pb.Message{Type: pb.Propose, To: 1, From: 2, ShardID: 3, Entries: []pb.Entry{{}, c.entry}}
			require.Equal(t, c.want, admit(&propose), "proposed")
			c.entry.Index, c.entry.Term = 1, 1
			replicate := pb.Message{Type: pb.Replicate, To: 1, From: 2, ShardID: 3, Term: 1, Entries: []pb.Entry{c.entry}}
			require.Equal(t, c.want, admit(&replicate), "replicated")
		})
	}
	require.False(t, admit(&pb.Message{Type: pb.Propose, To: 1, From: 2, ShardID: 3}), "a proposal of nothing")
	require.False(t, admit(&pb.Message{Type: pb.Propose, To: 1, From: 2, ShardID: 3, Entries: []pb.Entry{{Type: pb.MetadataEntry}}}), "metadata proposed")
	require.False(t, admit(&pb.Message{Type: pb.LeaderTransfer, To: 1, From: 2, ShardID: 3}), "a leadership transfer to nobody")
}

func TestChunkOrder(t *testing.T) {
	chunk := func(id, fileID uint64, file string) pb.Chunk {
		return pb.Chunk{ShardID: 1, ReplicaID: 2, From: 3, Index: 4, Term: 5, ChunkId: id, FileChunkId: fileID, Filepath: "/dir/" + file, ChunkCount: 3}
	}
	with := func(c pb.Chunk, change func(*pb.Chunk)) pb.Chunk {
		change(&c)
		return c
	}
	first := chunk(0, 0, "a")
	for name, c := range map[string]struct {
		chunks []pb.Chunk
		want   bool
	}{
		"one file":              {[]pb.Chunk{first, chunk(1, 1, "a"), chunk(2, 2, "a")}, true},
		"another file":          {[]pb.Chunk{first, chunk(1, 0, "b"), chunk(2, 1, "b")}, true},
		"begins late":           {[]pb.Chunk{chunk(1, 0, "a")}, false},
		"begins within a file":  {[]pb.Chunk{chunk(0, 1, "a")}, false},
		"begins again":          {[]pb.Chunk{first, first}, false},
		"gap":                   {[]pb.Chunk{first, chunk(2, 1, "a")}, false},
		"gap within a file":     {[]pb.Chunk{first, chunk(1, 2, "a")}, false},
		"continues another":     {[]pb.Chunk{first, chunk(1, 1, "b")}, false},
		"after the last":        {[]pb.Chunk{first, chunk(1, 1, "a"), chunk(2, 2, "a"), chunk(3, 3, "a")}, false},
		"another shard":         {[]pb.Chunk{first, with(chunk(1, 1, "a"), func(c *pb.Chunk) { c.ShardID = 9 })}, false},
		"another replica":       {[]pb.Chunk{first, with(chunk(1, 1, "a"), func(c *pb.Chunk) { c.ReplicaID = 9 })}, false},
		"another sender":        {[]pb.Chunk{first, with(chunk(1, 1, "a"), func(c *pb.Chunk) { c.From = 9 })}, false},
		"another snapshot":      {[]pb.Chunk{first, with(chunk(1, 1, "a"), func(c *pb.Chunk) { c.Index = 9 })}, false},
		"another term":          {[]pb.Chunk{first, with(chunk(1, 1, "a"), func(c *pb.Chunk) { c.Term = 9 })}, false},
		"poison":                {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.ChunkCount = pb.PoisonChunkCount })}, false},
		"no path":               {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.Filepath = "" })}, false},
		"parent directory":      {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.Filepath = "x/.." })}, false},
		"root directory":        {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.Filepath = "/" })}, false},
		"no shard":              {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.ShardID = 0 })}, false},
		"no replica":            {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.ReplicaID = 0 })}, false},
		"no sender":             {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.From = 0 })}, false},
		"no index":              {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.Index = 0 })}, false},
		"no term":               {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.Term = 0 })}, false},
		"streamed, count later": {[]pb.Chunk{with(first, func(c *pb.Chunk) { c.ChunkCount = 0 }), with(chunk(1, 1, "a"), func(c *pb.Chunk) { c.ChunkCount = pb.LastChunkCount })}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var o chunkOrder
			last := len(c.chunks) - 1
			for i := range c.chunks[:last] {
				require.True(t, o.admit(&c.chunks[i]), "chunk %d", i)
			}
			require.Equal(t, c.want, o.admit(&c.chunks[last]))
		})
	}
}
