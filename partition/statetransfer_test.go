package partition

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// bulk is a machine that holds large pieces and nothing else. It is frozen in constant time, and written and read piece by piece.
type bulk struct{ pieces [][]byte }

type bulkMachines struct{}

func (bulkMachines) New(int, uint64) Machine { return &bulk{} }

func (bulkMachines) Resume() *entry.Op { return &entry.Op{Code: wire.OpResume} }

func (bulkMachines) Restore(_ int, _ uint64, r io.Reader) (Machine, error) {
	b := &bulk{}
	for {
		var n [4]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return nil, err
		}
		if n == [4]byte{} {
			return b, nil
		}
		p := make([]byte, binary.BigEndian.Uint32(n[:]))
		if _, err := io.ReadFull(r, p); err != nil {
			return nil, err
		}
		b.pieces = append(b.pieces, p)
	}
}

func (b *bulk) Advance(int64, uint64) {}
func (b *bulk) Apply(op *entry.Op) entry.Result {
	if op.Code == wire.OpSet {
		b.pieces = append(b.pieces, bytes.Clone(op.Body))
	}
	return entry.Result{}
}
func (b *bulk) MarkLoss()              {}
func (b *bulk) Clock() int64           { return 0 }
func (b *bulk) NextDue() (int64, bool) { return 0, false }
func (b *bulk) RecordBytes() int       { return 0 }

func (b *bulk) Upkeep(*entry.Op, entry.Result) (*entry.Op, bool) { return nil, false }

func (b *bulk) Freeze() StateSnapshot { return &bulk{slices.Clip(b.pieces)} }
func (b *bulk) Close()                {}

func (b *bulk) Bytes() (n int) {
	for _, p := range b.pieces {
		n += len(p)
	}
	return n
}

func (b *bulk) Hash() uint64 {
	h := fnv.New64a()
	_, _ = b.WriteTo(h)
	return h.Sum64()
}

func (b *bulk) WriteTo(w io.Writer) (n int64, err error) {
	for _, p := range append(b.pieces[:len(b.pieces):len(b.pieces)], nil) {
		if _, err = w.Write(wire.AppendU32(nil, uint32(len(p)))); err == nil {
			_, err = w.Write(p)
		}
		if err != nil {
			return n, err
		}
		n += 4 + int64(len(p))
	}
	return n, nil
}

// A survivor gives many partitions to their next generations, and holds little besides their states.
func TestRecoveryHoldsLittle(t *testing.T) {
	const partitions, each, piece = 16, 6 << 20, 100_000
	c := newCluster(t, 1, partitions)
	h := c.hosts[0]
	h.cfg.Machines = bulkMachines{}
	h.transferMax = 8 << 20
	c.found()
	c.awaitPreferred()
	random := rand.NewChaCha8([32]byte{1})
	hashes := make([]uint64, partitions)
	for p := range partitions {
		for range each / piece {
			op := &entry.Op{Code: wire.OpSet, Body: make([]byte, piece)}
			_, _ = random.Read(op.Body)
			done := h.submit(p, op)
			h.Flush(p)
			require.Equal(t, Applied, done.wait(t).what)
		}
	}
	targets := make(map[raftio.NodeInfo]string)
	for p := range partitions {
		h.Inspect(p, func(m Machine) { hashes[p] = m.Hash() })
		_, _, err := h.StopForRecovery(t.Context(), p, 1)
		require.NoError(t, err)
		targets[raftio.NodeInfo{ShardID: ShardOf(2, p), ReplicaID: 7}] = h.id.String()
	}
	h.cfg.Registry.SetAll(targets)
	before := liveHeap()
	for p := range partitions {
		require.NoError(t, h.StartReplica(Placement{Partition: p, Generation: 2, Replica: 7, Initial: map[uint64]wire.ID{7: h.id}, Preferred: true, FromSurvivor: true}))
	}
	most := int64(0)
	c.await("all partitions are served", func() bool {
		require.LessOrEqual(t, h.transferring.Load(), int64(2*each+transferOverhead), "one in any case")
		most = max(most, int64(liveHeap())-int64(before))
		for p := range partitions {
			if h.Serving(p) == 0 {
				return false
			}
		}
		return true
	})
	t.Logf("%d MB of states, %d MB besides at most", partitions*each>>20, most>>20)
	require.Less(t, most, int64(partitions*each*3/4), "each log keeps 2 MB, and one partition is there twice")
	require.Zero(t, h.transferring.Load())
	for p := range partitions {
		h.Inspect(p, func(m Machine) { require.Equal(t, hashes[p], m.Hash()) })
	}
}

// What comes of a first state makes no difference to anybody until it is whole: pieces that come twice or do not follow are left out, and a
// whole that does not fit is no state, on every replica alike.
func TestStatePieces(t *testing.T) {
	from := newScripted(t, 1)
	from.owned(bob, 0)
	var whole bytes.Buffer
	_, err := from.freeze().machine.WriteTo(&whole)
	require.NoError(t, err)
	state := whole.Bytes()
	transferred := func() *scripted {
		s := newScripted(t, 2)
		s.replica = newReplica(s.host, Placement{Generation: 2, Replica: 1, FromSurvivor: true})
		s.host.replicas[0].Store(s.replica)
		t.Cleanup(s.stop)
		return s
	}
	piece := func(at int, b []byte) []byte {
		return entry.AppendStatePiece(nil, &entry.StatePiece{At: uint64(at), Piece: b})
	}
	done := func(b []byte) []byte {
		return entry.AppendStateComplete(nil, &entry.StateComplete{Size: uint64(len(b)), Sum: crc32.Checksum(b, castagnoli), MaxLease: 5})
	}
	half := len(state) / 2

	s := transferred()
	s.commit(piece(half, state[half:]), piece(0, state[:half]), piece(0, state[:half]), done(state))
	require.True(t, s.awaitsState(), "a half is missing")
	s.commit(piece(half, state[half:]), done(state[:half]))
	require.True(t, s.awaitsState(), "another state is said to be the whole")
	s.commit(done(state))
	require.False(t, s.awaitsState())
	require.EqualValues(t, 5, s.state.own.MaxLease)
	require.Equal(t, from.state.machine.(*registers).values, s.state.machine.(*registers).values)

	broken := bytes.Clone(state)
	broken = broken[:len(broken)-1]
	s = transferred()
	s.commit(piece(0, broken), done(broken))
	require.True(t, s.awaitsState(), "it does not decode")
	s.commit(piece(len(broken), state[len(broken):]), done(state))
	require.True(t, s.awaitsState(), "and is no state any more")

	require.NoError(t, s.take(from.stateSnapshotOfGeneration(t, 2)))
	require.False(t, s.awaitsState(), "another's whole state is")
	<-s.whole.ch
}

// stateSnapshotOfGeneration is stateSnapshotOf as if of another generation.
func (s *scripted) stateSnapshotOfGeneration(t *testing.T, generation uint64) []byte {
	t.Helper()
	frozen := s.freeze()
	frozen.own.Generation, frozen.applied = generation, frozen.applied+100
	var b bytes.Buffer
	_, err := frozen.writeTo(&b)
	require.NoError(t, err)
	return b.Bytes()
}

// Whoever needs the whole state of a generation that has only a part of its first one waits until that is whole.
func TestPartOfAStateIsNotSent(t *testing.T) {
	from := newScripted(t, 1)
	from.owned(bob, 0)
	var state bytes.Buffer
	_, err := from.freeze().machine.WriteTo(&state)
	require.NoError(t, err)
	s := newScripted(t, 2)
	s.replica = newReplica(s.host, Placement{Generation: 2, Replica: 1, FromSurvivor: true})
	s.host.replicas[0].Store(s.replica)
	t.Cleanup(s.stop)

	s.commit(entry.AppendStatePiece(nil, &entry.StatePiece{Piece: state.Bytes()[:1]}))
	waits := ask(t, t.Context(), s)
	require.Eventually(t, func() bool {
		s.host.stateSnapshots.Lock()
		defer s.host.stateSnapshots.Unlock()
		return len(s.host.stateSnapshots.byReplica) == 1
	}, patience, time.Millisecond)
	require.Empty(t, waits)
	require.Empty(t, s.host.stateSnapshots.slots, "it does not hold others up")
	s.commit(entry.AppendStatePiece(nil, &entry.StatePiece{At: 1, Piece: state.Bytes()[1:]}),
		entry.AppendStateComplete(nil, &entry.StateComplete{Size: uint64(state.Len()), Sum: crc32.Checksum(state.Bytes(), castagnoli)}))
	s.logged()
	got := <-waits
	require.NoError(t, got.err)
	require.Equal(t, s.state.machine.Hash(), hashOf(t, got.stateSnapshot.(*outgoing).stateSnapshot.machine))
	got.stateSnapshot.Close(nil)
}

// hashOf returns the digest of the registers that a state snapshot shows.
func hashOf(t *testing.T, snap StateSnapshot) uint64 {
	t.Helper()
	var b bytes.Buffer
	_, err := snap.WriteTo(&b)
	require.NoError(t, err)
	m, err := registerMachines{}.Restore(0, 2, &b)
	require.NoError(t, err)
	return m.Hash()
}
