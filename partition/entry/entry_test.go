package entry

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func id(b byte) (id wire.ID) {
	for i := range id {
		id[i] = b + byte(i)
	}
	return id
}

var (
	goldenOwn     = Own{Member: id(0x10), Incarnation: id(0x20), Term: 7, PrevEpoch: 1<<44 | 5, LeaseMs: 300, Now: 1_700_000_000_123}
	goldenRelease = Release{Epoch: 1<<44 | 9, To: id(0x30)}
	goldenHeader  = Header{Epoch: 1<<44 | 9, Now: 1_700_000_000_123, Published: 77, Applied: 79, Proposer: id(0x20), Batch: 3}
	goldenOps     = []Op{
		{Code: wire.OpSet, Client: id(0x40), Seq: 300, Lowest: 299, Deadline: 1_700_000_010_123, Body: []byte("body")},
		{Code: wire.OpSweep, Deadline: -1},
	}
)

func batchOf(h Header, ops []Op) []byte {
	var b Builder
	for i := range ops {
		b.Add(&ops[i])
	}
	return b.Finish(&h)
}

// The form of entries never changes under the same format number: logs and the members of a cluster being upgraded hold them.
func TestGoldenBytes(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"own": {AppendOwn(nil, &goldenOwn), `02 01
			101112131415161718191a1b1c1d1e1f 202122232425262728292a2b2c2d2e2f
			0000000000000007 0000100000000005 0000012c 0000018bcfe5687b`},
		"release": {AppendRelease(nil, &goldenRelease), `02 02 0000100000000009 303132333435363738393a3b3c3d3e3f`},
		"batch": {batchOf(goldenHeader, goldenOps), `02 03
			0000100000000009 0000018bcfe5687b 000000000000004d 000000000000004f 202122232425262728292a2b2c2d2e2f 0000000000000003 00000002
			20 404142434445464748494a4b4c4d4e4f ac02 ab02 96beacfef962 04 626f6479
			40 00000000000000000000000000000000 00 00 01 00`},
		"tick": {batchOf(Header{Epoch: 1, Now: 2}, nil), `02 03
			0000000000000001 0000000000000002 0000000000000000 0000000000000000 00000000000000000000000000000000 0000000000000000 00000000`},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.Join(strings.Fields(c.want), ""))
			require.NoError(t, err)
			require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(c.got))
		})
	}
}

func TestKinds(t *testing.T) {
	for kind, b := range map[Kind][]byte{KindOwn: AppendOwn(nil, &goldenOwn), KindRelease: AppendRelease(nil, &goldenRelease),
		KindBatch: batchOf(goldenHeader, nil)} {
		got, err := KindOf(b)
		require.NoError(t, err)
		require.Equal(t, kind, got)
	}
	for _, b := range [][]byte{nil, {}, {Format}, {Format + 1, byte(KindOwn)}, {0, 0}} {
		_, err := KindOf(b)
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
}

// readBatch reads all of a batch.
func readBatch(b []byte) (Header, []Op, error) {
	d, err := DecodeBatch(b)
	if err != nil {
		return Header{}, nil, err
	}
	var ops []Op
	var op Op
	for d.Next(&op) {
		ops = append(ops, op)
	}
	return d.Header, ops, d.Err()
}

func TestBatchesComeBack(t *testing.T) {
	var b Builder // one for all: Finish leaves it as new
	rapid.Check(t, func(t *rapid.T) {
		ops := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Op {
			return Op{
				Code: wire.Op(rapid.Byte().Draw(t, "code")), Client: id(rapid.Byte().Draw(t, "client")),
				Seq: rapid.Uint64().Draw(t, "seq"), Lowest: rapid.Uint64().Draw(t, "lowest"),
				Deadline: rapid.Int64().Draw(t, "deadline"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
			}
		}), 0, 8).Draw(t, "ops")
		h := Header{Epoch: rapid.Uint64().Draw(t, "epoch"), Now: rapid.Int64().Draw(t, "now"), Published: rapid.Uint64().Draw(t, "published"),
			Applied: rapid.Uint64().Draw(t, "applied"), Proposer: id(rapid.Byte().Draw(t, "proposer")), Batch: rapid.Uint64().Draw(t, "batch")}
		bound := 0
		for i := range ops {
			bound = b.Size(len(ops[i].Body))
			b.Add(&ops[i])
			require.Equal(t, i+1, b.Count())
		}
		entry := b.Finish(&h)
		require.Zero(t, b.Count())
		if len(ops) > 0 {
			require.LessOrEqual(t, len(entry), bound, "Size is an upper bound")
		}
		h.Ops = len(ops)
		gotHeader, gotOps, err := readBatch(entry)
		require.NoError(t, err)
		require.Equal(t, h, gotHeader)
		require.Len(t, gotOps, len(ops))
		for i := range ops {
			require.True(t, bytes.Equal(ops[i].Body, gotOps[i].Body))
			ops[i].Body, gotOps[i].Body = nil, nil
			require.Equal(t, ops[i], gotOps[i])
		}
	})
}

func TestSizeIsABoundForTheLargestFields(t *testing.T) {
	var b Builder
	op := Op{Client: id(1), Seq: math.MaxUint64, Lowest: math.MaxUint64, Deadline: math.MinInt64, Body: make([]byte, 4<<20)}
	for range 3 {
		bound := b.Size(len(op.Body))
		b.Add(&op)
		var c Builder
		c.ops, c.count = bytes.Clone(b.ops), b.count
		require.LessOrEqual(t, len(c.Finish(&Header{})), bound)
	}
}

// What Finish returned stays as it is when the builder is used again, and a body may change once it was added.
func TestEntriesHaveMemoryOfTheirOwn(t *testing.T) {
	var b Builder
	body := []byte("first")
	b.Add(&Op{Body: body})
	copy(body, "XXXXX")
	entry := b.Finish(&Header{})
	b.Add(&Op{Body: []byte("other")})
	_, ops, err := readBatch(entry)
	require.NoError(t, err)
	require.Equal(t, "first", string(ops[0].Body))
	copy(entry[len(entry)-5:], "alias")
	require.Equal(t, "alias", string(ops[0].Body), "a decoded body is a part of the entry")
}

// A large batch does not keep its memory for the small ones after it.
func TestBuilderFreesLargeMemory(t *testing.T) {
	var b Builder
	b.Add(&Op{Body: make([]byte, 2<<20)})
	b.Finish(&Header{})
	require.Zero(t, cap(b.ops))
	b.Add(&Op{Body: make([]byte, 1000)})
	b.Finish(&Header{})
	require.NotZero(t, cap(b.ops), "a small one is used again")
}

func TestTruncatedEntries(t *testing.T) {
	own, release, batch := AppendOwn(nil, &goldenOwn), AppendRelease(nil, &goldenRelease), batchOf(goldenHeader, goldenOps)
	for n := range own {
		_, err := DecodeOwn(own[:n])
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
	for n := range release {
		_, err := DecodeRelease(release[:n])
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
	for n := range batch {
		_, ops, err := readBatch(batch[:n])
		require.ErrorIs(t, err, wire.ErrMalformed)
		require.Less(t, len(ops), len(goldenOps))
	}
	_, err := DecodeOwn(append(own, 0))
	require.ErrorIs(t, err, wire.ErrMalformed)
	_, err = DecodeRelease(append(release, 0))
	require.ErrorIs(t, err, wire.ErrMalformed)
	gotOwn, err := DecodeOwn(own)
	require.NoError(t, err)
	require.Equal(t, goldenOwn, gotOwn)
	gotRelease, err := DecodeRelease(release)
	require.NoError(t, err)
	require.Equal(t, goldenRelease, gotRelease)
}

// A batch cannot make its reader allocate more than its bytes could hold.
func TestBatchCountIsChecked(t *testing.T) {
	for _, ops := range []uint32{3, 1000, MaxBatchOps + 1, math.MaxUint32} {
		b := batchOf(goldenHeader, goldenOps)
		copy(b[headerSize-4:], wire.AppendU32(nil, ops))
		_, err := DecodeBatch(b)
		require.ErrorIs(t, err, wire.ErrMalformed, "%d operations", ops)
	}
	many := make([]Op, MaxBatchOps)
	h, ops, err := readBatch(batchOf(Header{}, many))
	require.NoError(t, err)
	require.Equal(t, MaxBatchOps, h.Ops)
	require.Len(t, ops, MaxBatchOps)
}

// Any bytes give an entry or an error, and an entry that was read gives the same again when it is written.
func FuzzDecode(f *testing.F) {
	f.Add(AppendOwn(nil, &goldenOwn))
	f.Add(AppendRelease(nil, &goldenRelease))
	f.Add(batchOf(goldenHeader, goldenOps))
	f.Add(batchOf(goldenHeader, nil))
	f.Add([]byte{})
	f.Add([]byte{Format, byte(KindStatePiece), 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, err := KindOf(b)
		if err == nil && kind == KindOwn {
			if o, err := DecodeOwn(b); err == nil {
				require.Equal(t, b, AppendOwn(nil, &o))
			}
		}
		if err == nil && kind == KindRelease {
			if r, err := DecodeRelease(b); err == nil {
				require.Equal(t, b, AppendRelease(nil, &r))
			}
		}
		_, _ = DecodeOwn(b)
		_, _ = DecodeRelease(b)
		h, ops, err := readBatch(b)
		if err != nil {
			return
		}
		require.Len(t, ops, h.Ops)
		h2, ops2, err := readBatch(batchOf(h, ops)) // varints may have been written longer than need be
		require.NoError(t, err)
		require.Equal(t, h, h2)
		require.Equal(t, ops, ops2)
	})
}

func BenchmarkBuild(b *testing.B) {
	op := Op{Code: wire.OpSet, Client: id(1), Seq: 1000, Lowest: 990, Deadline: 1_700_000_000_000, Body: make([]byte, 128)}
	b.ReportAllocs()
	var builder Builder
	for b.Loop() {
		for range 64 {
			builder.Add(&op)
		}
		builder.Finish(&goldenHeader)
	}
}

func BenchmarkRead(b *testing.B) {
	ops := make([]Op, 64)
	for i := range ops {
		ops[i] = Op{Code: wire.OpSet, Client: id(1), Seq: 1000, Lowest: 990, Deadline: 1_700_000_000_000, Body: make([]byte, 128)}
	}
	entry := batchOf(goldenHeader, ops)
	b.ReportAllocs()
	for b.Loop() {
		d, err := DecodeBatch(entry)
		if err != nil {
			b.Fatal(err)
		}
		var op Op
		for d.Next(&op) {
		}
	}
}
