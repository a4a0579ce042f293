package raftnet

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// openGate lets everything pass.
func openGate() *gates {
	return &gates{newEmptyGate(0), newQuietGate(0, time.Time{}, newAnswers()), newPacer(0, new(hurried))}
}

// frames encodes a batch that must be complete.
func frames(t require.TestingT, b pb.MessageBatch) []byte {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	out, sums := appendBatch(nil, &b, openGate(), time.Time{})
	require.Equal(t, tally{sent: len(b.Requests)}, sums)
	return out
}

// readFrames decodes a stream of whole frames and returns all messages, and how many frames there were.
func readFrames(t require.TestingT, stream []byte) (messages []pb.Message, binVer uint32, deploymentID uint64, n int) {
	if h, ok := t.(interface{ Helper() }); ok {
		h.Helper()
	}
	r := newFrameReader(bytes.NewReader(stream))
	for {
		payload, ok, err := r.next()
		require.NoError(t, err)
		if ok {
			n++
			messages, binVer, deploymentID, err = decodeBatch(payload, messages)
			require.NoError(t, err)
			continue
		}
		if _, err := r.fill(); err != nil {
			require.Equal(t, "EOF", err.Error())
			return messages, binVer, deploymentID, n
		}
	}
}

// Whatever dragonboat can put into a batch comes out of it as it was, nil and empty kept apart, and its size was foretold.
func TestBatchRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := pb.MessageBatch{
			Requests:     rapid.SliceOfN(someMessage(), 1, 6).Draw(t, "messages"),
			BinVer:       rapid.Uint32().Draw(t, "binver"),
			DeploymentId: number().Draw(t, "deployment"),
		}
		stream := frames(t, b)
		require.LessOrEqual(t, len(stream), batchBound(&b))
		messages, binVer, deploymentID, _ := readFrames(t, stream)
		require.Equal(t, b, pb.MessageBatch{Requests: messages, BinVer: binVer, DeploymentId: deploymentID})
	})
}

// goldenBatch has every kind of field once.
func goldenBatch() pb.MessageBatch {
	return pb.MessageBatch{BinVer: 210, DeploymentId: 7, Requests: []pb.Message{
		{Type: pb.Replicate, To: 2, From: 1, ShardID: 4097, Term: 5, LogTerm: 4, LogIndex: 99, Commit: 98, Entries: []pb.Entry{
			{Term: 4, Index: 100, Type: pb.EncodedEntry, Key: 0x0102030405060708, ClientID: 0x1112131415161718, Cmd: []byte("\x00put")},
			{Term: 5, Index: 101, Type: pb.ApplicationEntry},
			{Term: 5, Index: 300, Type: pb.EntryType(9), SeriesID: 2, RespondedTo: 1, Cmd: []byte{}},
		}},
		{Type: pb.HeartbeatResp, To: 1, From: 3, ShardID: 4098, Term: 5, Hint: 300, HintHigh: 1},
		{Type: pb.ReplicateResp, To: 1, From: 3, ShardID: 4098, Term: 5, LogIndex: 7, Reject: true, Hint: 6},
		{Type: pb.InstallSnapshot, To: 3, From: 1, ShardID: 4098, Term: 5, Snapshot: pb.Snapshot{
			Filepath: "s", FileSize: 9, Index: 8, Term: 5, ShardID: 4098, Type: pb.OnDiskStateMachine, OnDiskIndex: 8, Witness: true,
			Membership: pb.Membership{
				ConfigChangeId: 3, Addresses: map[uint64]string{2: "b", 1: "a"}, Removed: map[uint64]bool{9: true},
				NonVotings: map[uint64]string{}, Witnesses: nil,
			},
			Files: []*pb.SnapshotFile{{Filepath: "f", FileSize: 1, FileId: 2, Metadata: []byte("m")}}, Checksum: []byte{0xcc},
		}},
	}}
}

// The bytes are a contract between versions: a change of them is a change of the protocol.
const goldenBatchHex = "" +
	"00000075" + "09f118fa" + "d201" + "07" +
	"0c4e0201812005630462" + "0304" +
	"3604" + "0102030405060708" + "1112131415161718" + "0000" + "0500707574" +
	"040500" +
	"68" + "09" + "ac02" + "0000000000000000" + "0201" + "01" +
	"1232010382200" + "5ac0201" +
	"0d17010382200507" + "0006" +
	"108203018220" + "05" + "04" + "0173" + "09080582200308" +
	"03" + "03" + "010161" + "020162" + "02" + "0901" + "01" + "00" +
	"02" + "0166" + "0102" + "026d" + "02cc"

func TestBatchGolden(t *testing.T) {
	b := goldenBatch()
	got := frames(t, b)
	require.Equal(t, goldenBatchHex, hex.EncodeToString(got))
	messages, _, _, n := readFrames(t, got)
	require.Equal(t, 1, n)
	require.Equal(t, b.Requests, messages)
}

// A frame keeps its limits whatever it is asked to hold; what comes out at the other side is the same list of messages.
func TestBatchIsCutIntoFrames(t *testing.T) {
	t.Run("bytes", func(t *testing.T) {
		var b pb.MessageBatch
		for i := range 40 {
			b.Requests = append(b.Requests, pb.Message{Type: pb.Replicate, To: 2, From: 1, ShardID: uint64(i + 1), Term: 1,
				Entries: []pb.Entry{{Index: 1, Term: 1, Cmd: bytes.Repeat([]byte{byte(i)}, 100<<10)}}})
		}
		messages, _, _, n := readFrames(t, frames(t, b))
		require.Equal(t, b.Requests, messages)
		require.Greater(t, n, 3)
	})
	t.Run("messages", func(t *testing.T) {
		var b pb.MessageBatch
		for i := range 2*maxFrameMessages + 1 {
			b.Requests = append(b.Requests, pb.Message{Type: pb.Heartbeat, To: 2, From: 1, ShardID: uint64(i + 1), Term: 1})
		}
		messages, _, _, n := readFrames(t, frames(t, b))
		require.Equal(t, b.Requests, messages)
		require.Equal(t, 3, n)
	})
}

// A Replicate that fits no frame goes in parts, each of which follows the one before.
func TestHugeReplicateGoesInParts(t *testing.T) {
	for name, list := range map[string][]pb.Entry{
		"bytes":   make([]pb.Entry, 9),
		"entries": make([]pb.Entry, 2*maxFrameEntries+1),
	} {
		t.Run(name, func(t *testing.T) {
			for i := range list {
				list[i] = pb.Entry{Index: 51 + uint64(i), Term: 3, ClientID: 1}
				if name == "bytes" {
					list[i].Cmd = bytes.Repeat([]byte{byte(i)}, 4<<20)
				}
			}
			m := pb.Message{Type: pb.Replicate, To: 2, From: 1, ShardID: 7, Term: 4, LogIndex: 50, LogTerm: 2, Commit: 44, Entries: list}
			messages, _, _, _ := readFrames(t, frames(t, pb.MessageBatch{Requests: []pb.Message{m}}))
			require.Greater(t, len(messages), 1)
			index, term := m.LogIndex, m.LogTerm
			var got []pb.Entry
			for _, p := range messages {
				require.Equal(t, pb.Message{Type: pb.Replicate, To: 2, From: 1, ShardID: 7, Term: 4, LogIndex: index, LogTerm: term, Commit: 44, Entries: p.Entries}, p)
				require.NotEmpty(t, p.Entries)
				got = append(got, p.Entries...)
				index, term = p.Entries[len(p.Entries)-1].Index, p.Entries[len(p.Entries)-1].Term
			}
			require.True(t, reflect.DeepEqual(list, got))
		})
	}
}

// What cannot be sent is left out and counted, and the rest goes.
func TestEntryAboveTheCapIsLeftOut(t *testing.T) {
	b := pb.MessageBatch{Requests: []pb.Message{
		{Type: pb.Replicate, To: 2, From: 1, ShardID: 1, Term: 1, Entries: []pb.Entry{{Index: 1, Term: 1}, {Index: 2, Term: 1, Cmd: make([]byte, maxFrame)}}},
		{Type: pb.Heartbeat, To: 2, From: 1, ShardID: 2, Term: 1},
	}}
	out, sums := appendBatch(nil, &b, openGate(), time.Time{})
	require.Equal(t, tally{sent: 1, tooLarge: 1}, sums)
	messages, _, _, _ := readFrames(t, out)
	require.Equal(t, b.Requests[1:], messages)
}

// The commands of a message are its own memory: neither the read buffer nor another message's commands live on with them.
func TestDecodedCommandsAreOwned(t *testing.T) {
	b := pb.MessageBatch{Requests: []pb.Message{
		{Type: pb.Replicate, To: 2, From: 1, ShardID: 1, Term: 1, Entries: []pb.Entry{{Index: 1, Term: 1, Cmd: []byte("one")}, {Index: 2, Term: 1, Cmd: []byte("two")}}},
		{Type: pb.Replicate, To: 2, From: 1, ShardID: 2, Term: 1, Entries: []pb.Entry{{Index: 1, Term: 1, Cmd: []byte("three")}}},
	}}
	payload := frames(t, b)[frameHeader:]
	messages, _, _, err := decodeBatch(payload, nil)
	require.NoError(t, err)
	clear(payload)
	require.Equal(t, b.Requests, messages)
	one := messages[0].Entries[0].Cmd
	require.Equal(t, len(one), cap(one), "an append to a command must not write into the next")
	require.Equal(t, 5, cap(messages[1].Entries[0].Cmd))
}

// A few bytes cannot make the decoder allocate much: it refuses counts that the frame cannot hold or that are above the limits.
func TestDecodeRefuses(t *testing.T) {
	head := func(tail ...byte) []byte { return append([]byte{1, 1}, tail...) }
	huge := binary.AppendUvarint(nil, 1<<60)
	entries := []byte{byte(pb.Replicate), hasEntries, 1, 1, 1}
	snapshot := []byte{byte(pb.InstallSnapshot), hasSnapshot, 1, 1, 1}
	for name, payload := range map[string][]byte{
		"nothing":                  {},
		"no deployment":            {1},
		"version above 32 bits":    append(bytes.Clone(huge), 1),
		"endless varint":           bytes.Repeat([]byte{0xff}, 20),
		"message cut":              head(12),
		"type above 32 bits":       head(append(bytes.Clone(huge), 0, 1, 1, 1)...),
		"entries beyond the frame": head(append(bytes.Clone(entries), huge...)...),
		"commands beyond":          head(append(append(bytes.Clone(entries), 1), huge...)...),
		"command beyond":           head(append(bytes.Clone(entries), 1, 0, entryNext|entrySameTerm, 9)...),
		"more commands than said":  head(append(bytes.Clone(entries), 1, 1, entryNext|entrySameTerm, 3, 'a', 'b')...),
		"fewer commands than said": head(append(bytes.Clone(entries), 1, 2, entryNext|entrySameTerm, 2, 'a', 0, 0)...),
		"unknown entry flag":       head(append(bytes.Clone(entries), 1, 0, entryUnknown, 0)...),
		"two types":                head(append(bytes.Clone(entries), 1, 0, entryOddType|1|entryNext|entrySameTerm, 1, 0)...),
		"unknown snapshot flag":    head(append(bytes.Clone(snapshot), snapshotUnknown)...),
		"members beyond the frame": head(append(append(bytes.Clone(snapshot), 0, 0, 0, 0, 0, 0, 0, 0, 0), huge...)...),
		"too many messages":        head(bytes.Repeat([]byte{17, 0, 1, 1, 1}, maxFrameMessages+1)...),
		"too many entries": head(append(append(binary.AppendUvarint(bytes.Clone(entries), maxFrameEntries+1), 0),
			bytes.Repeat([]byte{entryNext | entrySameTerm, 0}, maxFrameEntries+1)...)...),
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			before := []pb.Message{{Type: pb.Heartbeat}}
			got, _, _, err := decodeBatch(payload, before)
			require.ErrorIs(t, err, wire.ErrMalformed)
			require.Equal(t, before, got)
		})
	}
}

// FuzzDecodeBatch: any bytes are an error or messages, and those messages have an encoding that means the same.
func FuzzDecodeBatch(f *testing.F) {
	b := goldenBatch()
	golden := frames(f, b)[frameHeader:]
	f.Add(golden)
	f.Add([]byte{1, 1, 12, hasEntries, 1, 1, 1, 1, 1, entryNext | entrySameTerm, 2, 'a'})
	for i := 0; i < len(golden); i += 7 {
		f.Add(golden[:i])
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		messages, binVer, deploymentID, err := decodeBatch(payload, nil)
		if err != nil {
			if !errors.Is(err, wire.ErrMalformed) || len(messages) != 0 {
				t.Fatalf("%d messages and %v", len(messages), err)
			}
			return
		}
		for i := range messages {
			admit(&messages[i]) // total as well
		}
		again := frames(t, pb.MessageBatch{Requests: messages, BinVer: binVer, DeploymentId: deploymentID})
		if len(messages) == 0 {
			return
		}
		same, _, _, _ := readFrames(t, again)
		require.Equal(t, messages, same)
	})
}
