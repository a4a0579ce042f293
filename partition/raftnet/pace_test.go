package raftnet

import (
	"context"
	"testing"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Against a naive history of one replica: a commit index is lowered under all conditions that the pacer names, and only then. It is lowered
// to the highest that the replica was told in the term.
func TestPacer(t *testing.T) {
	const interval = 500 * time.Millisecond
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1000, 0)
		h := new(hurried)
		p := newPacer(interval, h)

		type sent struct {
			term, commit uint64
			at           time.Time
		}
		var told []sent // what the replica was told, newest last
		var led time.Time
		var until time.Time
		bytes, term, commit := 0, uint64(1), uint64(10)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "ms")) * time.Millisecond)
			switch rapid.IntRange(0, 30).Draw(t, "event") {
			case 0:
				term++
			case 1:
				until = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "hurried")) * time.Millisecond)
				h.table.Store(&map[uint64]time.Time{1: until})
			}

			commit += rapid.Uint64Range(0, 2).Draw(t, "committed")
			m := pb.Message{Type: rapid.SampledFrom([]pb.MessageType{pb.Replicate, pb.Replicate, pb.Replicate, pb.Heartbeat}).Draw(t, "type"),
				ShardID: 1, To: 2, Term: term, Commit: commit}
			if m.Type == pb.Heartbeat {
				m.Commit -= rapid.Uint64Range(0, 3).Draw(t, "not known to be there")
			} else if rapid.IntRange(0, 5).Draw(t, "entries") > 0 {
				m.LogIndex = commit + rapid.Uint64Range(0, 3).Draw(t, "under way") - 1
				m.Entries = []pb.Entry{{Cmd: make([]byte, rapid.SampledFrom([]int{100, paceBytes}).Draw(t, "bytes"))}}
			}

			if len(told) == 0 || told[len(told)-1].term != term {
				told, led, bytes = append(told, sent{term, m.Commit, now}), now, 0
				p.pace(&m, now)
				require.Equal(t, told[len(told)-1].commit, m.Commit, "the first of a term says all")
				continue
			}
			last := told[len(told)-1]
			want := m.Commit
			switch {
			case m.Commit <= last.commit:
			case len(m.Entries) > 0 && m.LogIndex >= m.Commit && now.Sub(last.at) < 100*time.Millisecond && bytes < paceBytes &&
				now.Sub(led) >= time.Second && !now.Before(until):
				want = last.commit
				bytes += len(m.Entries[0].Cmd)
			default:
				told, bytes = append(told, sent{term, m.Commit, now}), 0
			}
			p.pace(&m, now)
			require.Equal(t, want, m.Commit)
		}
	})
}

// Of a busy group a replica hears in each interval how far entries are committed. Of groups and replicas beside it the same holds.
func TestPacerTellsInEachInterval(t *testing.T) {
	p := newPacer(DefaultEmptyInterval, new(hurried))
	now := time.Unix(1000, 0)
	const each, entries = 10 * time.Millisecond, 1000
	told := map[[2]uint64]int{}
	for i := range uint64(entries) {
		now = now.Add(each)
		for shard := range uint64(2) {
			for to := range uint64(2) {
				m := pb.Message{Type: pb.Replicate, ShardID: shard + 1, To: to + 1, Term: 3, LogIndex: i + 1, Commit: i + 1, Entries: make([]pb.Entry, 1)}
				p.pace(&m, now)
				require.GreaterOrEqual(t, m.Commit+10, i+1, "a tenth of a second is ten entries")
				if m.Commit == i+1 {
					told[[2]uint64{shard, to}]++
				}
			}
		}
	}
	// In the first second each entry, then one of ten.
	for key, n := range told {
		require.InDelta(t, 100+90, n, 2, "%v", key)
	}
	require.Len(t, told, 4)
}

func TestPacerForgets(t *testing.T) {
	p := newPacer(time.Second, new(hurried))
	now := time.Unix(1000, 0)
	for i := range uint64(20 * minSweep) {
		now = now.Add(10 * time.Millisecond)
		p.pace(&pb.Message{Type: pb.Heartbeat, ShardID: i + 1, To: 1, Term: 1, Commit: 5}, now)
		require.LessOrEqual(t, len(p.told.of), minSweep)
	}
}

// A group that is hurried is so for a second, and others are not. The table does not grow.
func TestTellCommits(t *testing.T) {
	noLeaks(t)
	a, b := tcpPair(t)
	from, r := startedTransport(t, Config{Dial: dialing(a), EmptyInterval: time.Minute}, newReceived()), newReceived()
	serving(startedTransport(t, Config{}, r), b, helloMessages)
	c, err := from.GetConnection(context.Background(), testTarget)
	require.NoError(t, err)
	defer c.Close()

	// The groups have been led for long.
	pacer := &c.(*messageConn).gate.pacer
	pacer.settle = 0
	index := uint64(9)
	commits := func() (list []uint64) {
		t.Helper()
		index++
		var batch []pb.Message
		for shard := range uint64(2) {
			batch = append(batch, pb.Message{Type: pb.Replicate, To: 2, From: 1, ShardID: shard + 1, Term: 3, LogIndex: index, LogTerm: 3, Commit: index,
				Entries: []pb.Entry{{Index: index + 1, Term: 3}}})
		}
		require.NoError(t, c.SendMessageBatch(batchOf(batch...)))
		for _, m := range next(t, r.batches).Requests {
			list = append(list, m.Commit)
		}
		return list
	}
	require.Equal(t, []uint64{10, 10}, commits(), "the first says all")
	require.Equal(t, []uint64{10, 10}, commits())
	from.TellCommits(1)
	require.Equal(t, []uint64{12, 10}, commits())
	require.Equal(t, []uint64{13, 10}, commits())
	require.Equal(t, uint64(1), from.Stats().Hurried)

	ended := map[uint64]time.Time{1: time.Now()}
	from.hurried.table.Store(&ended)
	require.Equal(t, []uint64{13, 10}, commits())
	from.TellCommits(2)
	require.Equal(t, []uint64{13, 15}, commits())
	require.Len(t, *from.hurried.table.Load(), 1)
}
