package meta

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// SnapshotFormat is the version of the snapshot format that this build writes and reads. History:
//
//	1: first version; before any release the configurations of maps were appended, and members that were drained marked.
const SnapshotFormat = 1

const (
	snapshotMagic  = "GRDM"
	snapshotHeader = len(snapshotMagic) + 2
	snapshotSum    = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendSnapshot appends a snapshot of v:
//
//	magic (4) · format (2) · the state · CRC-32C of all that (4)
//
// Equal states have equal snapshots.
func AppendSnapshot(dst []byte, v *View) []byte {
	at := len(dst)
	dst = wire.AppendU16(append(dst, snapshotMagic...), SnapshotFormat)
	dst = wire.AppendI64(wire.AppendU64(dst, v.Version), v.Time)

	// In the order in which DecodeSnapshot reads. A change of it is another format.
	dst = append(dst, v.Cluster[:]...)
	dst = wire.AppendString(dst, v.Name)
	dst = wire.AppendUvarint(wire.AppendUvarint(dst, uint64(v.PartitionCount)), uint64(v.ReplicasWanted))
	dst = wire.AppendU32(appendBool(dst, v.Durable), v.Level)
	dst = appendIDs(dst, v.InitialVoters)
	dst = wire.AppendU64(wire.AppendU64(dst, v.NextMeta), v.NextReplica)

	dst = wire.AppendUvarint(dst, uint64(len(v.Members)))
	for i := range v.Members {
		dst = v.Members[i].append(dst)
	}

	dst = wire.AppendUvarint(dst, uint64(len(v.Table)))
	for i := range v.Table {
		dst = v.Table[i].append(dst)
	}

	dst = wire.AppendMapConfigs(wire.AppendU64(dst, v.MapsVersion), v.Maps)
	return wire.AppendU32(dst, crc32.Checksum(dst[at:], castagnoli))
}

// minMember is the least that a member takes in a snapshot.
const minMember = 16 + 16 + 8 + 6 + 1 + 1 + 1 + 1 + 1 + 1

// DecodeSnapshot returns the state that AppendSnapshot wrote. It shares no memory with b. It accepts any bytes, and refuses what is
// not the snapshot of a sound state with an error that wraps wire.ErrMalformed.
func DecodeSnapshot(b []byte) (*State, error) {
	if len(b) < snapshotHeader+snapshotSum || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("%w: not a snapshot of metadata", wire.ErrMalformed)
	}

	// The checksum comes first: a damaged snapshot must not pass for one of another format.
	body, sum := b[:len(b)-snapshotSum], binary.BigEndian.Uint32(b[len(b)-snapshotSum:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, fmt.Errorf("%w: a snapshot of metadata with checksum %08x, computed %08x", wire.ErrMalformed, sum, got)
	}
	if f := binary.BigEndian.Uint16(b[len(snapshotMagic):]); f != SnapshotFormat {
		return nil, fmt.Errorf("%w: a snapshot of metadata of format %d, this is %d", wire.ErrMalformed, f, SnapshotFormat)
	}

	r := wire.NewReader(body[snapshotHeader:])
	v := &View{Version: r.U64(), Time: r.I64(), Cluster: r.ID(), Name: r.String(),
		PartitionCount: decodeInt(&r, MaxPartitions), ReplicasWanted: decodeInt(&r, MaxReplicas), Durable: decodeBool(&r), Level: r.U32(),
		InitialVoters: decodeIDs(&r, MaxInitialVoters), NextMeta: r.U64(), NextReplica: r.U64()}

	// Count refuses what the bytes cannot hold, so nothing is allocated for a mere claim.
	if n := r.Count(minMember); n > 0 {
		v.Members = make([]Member, n)
		for i := range v.Members {
			v.Members[i].decode(&r)
		}
	}
	if n := r.Count(minPartition); n > MaxPartitions {
		r.Fail("a table of %d partitions", n)
	} else if n > 0 {
		v.Table = make([]Partition, n)
		for i := range v.Table {
			v.Table[i].decode(&r)
		}
	}

	v.MapsVersion, v.Maps = r.U64(), wire.ReadMapConfigs(&r)
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("snapshot of metadata: %w", err)
	}

	// The checksum shows that the bytes have arrived, and not that the state is sound.
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("%w: snapshot of metadata: %w", wire.ErrMalformed, err)
	}
	return &State{v: v}, nil
}
