package wire

// Operations between members.
const (
	OpMemberPing  Op = 128 // PingBody -> PingResult
	OpMetaPropose Op = 129 // a metadata command -> its result
	OpMetaRead    Op = 130 // -> one byte, 1 if it is what was committed when it was asked for, and the metadata's state snapshot
	OpMetaJoin    Op = 131 // JoinBody -> JoinResult: a member asks for its place in the metadata group
	OpMemberDown  Op = 132 // DownBody -> one byte, 1 if the member asked finds that process down too
	OpReplica     Op = 133 // ReplicaBody -> ReplicaResult: how far a replica is
	// OpMetaCaughtUp asks a member to catch up with what the metadata group has committed: CodeOK when it has.
	OpMetaCaughtUp Op = 134
	// OpMetaLeave tells the member that leads the metadata group that the caller leaves: CodeOK when the group can do without it.
	OpMetaLeave Op = 135
	// OpMetaLead asks a member to lead the metadata group in the place of the caller, which leads it: CodeOK when its replica stands for that.
	OpMetaLead Op = 136
	// OpAdmin passes an operation of administration on: AdminBody -> its answer; CodeNotReady where the member does not lead the metadata group.
	OpAdmin Op = 160
)

var peerOps = []Descriptor{
	{Op: OpMemberPing, Name: "member_ping", Kind: KindPeer},
	{Op: OpMetaPropose, Name: "meta_propose", Kind: KindPeer},
	{Op: OpMetaRead, Name: "meta_read", Kind: KindPeer},
	{Op: OpMetaJoin, Name: "meta_join", Kind: KindPeer},
	{Op: OpMemberDown, Name: "member_down", Kind: KindPeer},
	{Op: OpReplica, Name: "replica", Kind: KindPeer},
	{Op: OpMetaCaughtUp, Name: "meta_caught_up", Kind: KindPeer},
	{Op: OpMetaLeave, Name: "meta_leave", Kind: KindPeer},
	{Op: OpMetaLead, Name: "meta_lead", Kind: KindPeer},
	{Op: OpAdmin, Name: "admin", Kind: KindPeer},
}

// PingBody is what members send one another ten times a second.
type PingBody struct {
	Have  uint64 // version of the answerer's Owned list that the asker has; 0 if none
	Sizes bool   // the asker wants to know how large the partitions are that the answerer owns
}

// AppendPingBody appends p.
func AppendPingBody(dst []byte, p PingBody) []byte {
	return appendFlags(AppendU64(dst, p.Have), p.Sizes)
}

// DecodePingBody reads what AppendPingBody wrote. Later versions may append fields.
func DecodePingBody(b []byte) (PingBody, error) {
	r := NewReader(b)
	p := PingBody{Have: r.U64(), Sizes: r.U8()&1 != 0}
	return p, r.Err()
}

// Owned is one partition that a member owns.
type Owned struct {
	Partition uint32
	Epoch     uint64
}

// PartitionSize is what the entries of a partition are counted with, in bytes.
type PartitionSize struct {
	Partition uint32
	Bytes     uint64
}

// PingResult answers a ping.
type PingResult struct {
	ClockSet bool
	Clock    int64   // cluster time in microseconds; only with ClockSet
	Wall     int64   // wall clock in microseconds
	Replicas uint32  // replicas that the member runs and that know a leader
	Version  uint64  // of Owned
	Changed  bool    // Owned follows: it is not the version that the asker has
	Owned    []Owned // partitions that the member owns

	// Unknown: as far as the member knows, the process that asks is no member of the cluster, or none any more.
	Unknown bool
	// NoMetaReplica: as far as the member knows, the process that asks has no place in the metadata group.
	NoMetaReplica bool

	Limit    uint64          // bytes that all replicas of the member together may be counted with; 0: no limit
	Used     uint64          // bytes that the replicas are counted with
	Expected uint64          // bytes that replicas under construction will still take
	NoRoom   uint32          // replicas for which no member has room, if this member controls the cluster
	Sizes    []PartitionSize // of the partitions that the member owns, if it was asked

	// NATS tells apart the servers that carry the member's events to the others. It is 0 if a member of an earlier version answers.
	NATS uint64
}

// AppendPingResult appends p.
func AppendPingResult(dst []byte, p *PingResult) []byte {
	dst = AppendI64(AppendI64(appendFlags(dst, p.ClockSet, p.Changed, p.Unknown, p.NoMetaReplica), p.Clock), p.Wall)
	dst = AppendU64(AppendU32(dst, p.Replicas), p.Version)

	dst = AppendUvarint(dst, uint64(len(p.Owned)))
	for _, o := range p.Owned {
		dst = AppendU64(AppendU32(dst, o.Partition), o.Epoch)
	}

	dst = AppendU32(AppendUvarint(AppendUvarint(AppendUvarint(dst, p.Limit), p.Used), p.Expected), p.NoRoom)
	dst = AppendUvarint(dst, uint64(len(p.Sizes)))

	for _, s := range p.Sizes {
		dst = AppendUvarint(AppendU32(dst, s.Partition), s.Bytes)
	}
	return AppendU64(dst, p.NATS)
}

// DecodePingResult reads what AppendPingResult wrote. Later versions may append fields.
func DecodePingResult(b []byte) (PingResult, error) {
	r := NewReader(b)
	flags := r.U8()
	p := PingResult{ClockSet: flags&1 != 0, Changed: flags&2 != 0, Unknown: flags&4 != 0, NoMetaReplica: flags&8 != 0, Clock: r.I64(), Wall: r.I64(),
		Replicas: r.U32(), Version: r.U64()}

	p.Owned = make([]Owned, r.Count(12))
	for i := range p.Owned {
		p.Owned[i] = Owned{Partition: r.U32(), Epoch: r.U64()}
	}

	p.Limit, p.Used, p.Expected, p.NoRoom = r.Uvarint(), r.Uvarint(), r.Uvarint(), r.U32()
	p.Sizes = make([]PartitionSize, r.Count(5))
	for i := range p.Sizes {
		p.Sizes[i] = PartitionSize{Partition: r.U32(), Bytes: r.Uvarint()}
	}

	// Earlier versions end here.
	if r.Len() > 0 {
		p.NATS = r.U64()
	}

	// Err and not Done: members of a later version may send more.
	return p, r.Err()
}

// DownBody is the body of OpMemberDown: a process that its sender finds dead or silent.
type DownBody struct{ Member, Incarnation ID }

// AppendDownBody appends d.
func AppendDownBody(dst []byte, d DownBody) []byte {
	return append(append(dst, d.Member[:]...), d.Incarnation[:]...)
}

// DecodeDownBody reads what AppendDownBody wrote. Later versions may append fields.
func DecodeDownBody(b []byte) (DownBody, error) {
	r := NewReader(b)
	d := DownBody{Member: r.ID(), Incarnation: r.ID()}
	return d, r.Err()
}

// ReplicaBody is the body of OpReplica.
type ReplicaBody struct {
	Shard, Replica uint64
	// CaughtUp asks the replica to catch up with what its group has committed by now. The answer waits for that, for less than a
	// second.
	CaughtUp bool
}

// ReplicaResult answers OpReplica.
type ReplicaResult struct {
	Runs     bool
	CaughtUp bool   // the replica has caught up; false if it was not asked to
	Applied  uint64 // index
}

// AppendReplicaBody appends b.
func AppendReplicaBody(dst []byte, b ReplicaBody) []byte {
	return appendFlags(AppendU64(AppendU64(dst, b.Shard), b.Replica), b.CaughtUp)
}

// DecodeReplicaBody reads what AppendReplicaBody wrote. Later versions may append fields.
func DecodeReplicaBody(b []byte) (ReplicaBody, error) {
	r := NewReader(b)
	v := ReplicaBody{Shard: r.U64(), Replica: r.U64(), CaughtUp: r.U8()&1 != 0}
	return v, r.Err()
}

// AppendReplicaResult appends v.
func AppendReplicaResult(dst []byte, v ReplicaResult) []byte {
	return AppendU64(appendFlags(dst, v.Runs, v.CaughtUp), v.Applied)
}

// DecodeReplicaResult reads what AppendReplicaResult wrote. Later versions may append fields.
func DecodeReplicaResult(b []byte) (ReplicaResult, error) {
	r := NewReader(b)
	flags := r.U8()
	v := ReplicaResult{Runs: flags&1 != 0, CaughtUp: flags&2 != 0, Applied: r.U64()}
	return v, r.Err()
}

// appendFlags appends a byte with a bit for each flag, beginning with the lowest.
func appendFlags(dst []byte, flags ...bool) []byte {
	var b byte
	for i, set := range flags {
		if set {
			b |= 1 << i
		}
	}
	return append(dst, b)
}

// MetaMember is a member's place in the metadata group.
type MetaMember struct {
	Replica  uint64
	Member   ID
	PeerAddr string
}

// JoinBody is the body of OpMetaJoin.
type JoinBody struct {
	Generation   uint64 // of the metadata in which the asker had a replica that it never starts again
	Gone         uint64 // that replica; 0 if there is none
	Registration []byte // a metadata command; refers to what it was decoded from
}

// AppendJoinBody appends b.
func AppendJoinBody(dst []byte, b JoinBody) []byte {
	return AppendBytes(AppendU64(AppendU64(dst, b.Generation), b.Gone), b.Registration)
}

// DecodeJoinBody reads what AppendJoinBody wrote.
func DecodeJoinBody(b []byte) (JoinBody, error) {
	r := NewReader(b)
	v := JoinBody{Generation: r.U64(), Gone: r.U64(), Registration: r.Bytes()}
	return v, r.Err()
}

// JoinResult answers OpMetaJoin: the asker's place, and where the others are.
type JoinResult struct {
	Generation uint64 // of the metadata
	Replica    uint64
	Members    []MetaMember
}

// AppendJoinResult appends j.
func AppendJoinResult(dst []byte, j *JoinResult) []byte {
	dst = AppendU64(AppendU64(dst, j.Generation), j.Replica)
	return AppendMetaMembers(dst, j.Members)
}

// DecodeJoinResult reads what AppendJoinResult wrote.
func DecodeJoinResult(b []byte) (JoinResult, error) {
	r := NewReader(b)
	j := JoinResult{Generation: r.U64(), Replica: r.U64()}
	j.Members = decodeMetaMembers(&r)
	return j, r.Done()
}

// AppendMetaMembers appends a list of places in the metadata group.
func AppendMetaMembers(dst []byte, members []MetaMember) []byte {
	dst = AppendUvarint(dst, uint64(len(members)))
	for _, s := range members {
		dst = append(AppendU64(dst, s.Replica), s.Member[:]...)
		dst = AppendString(dst, s.PeerAddr)
	}
	return dst
}

// DecodeMetaMembers reads what AppendMetaMembers wrote.
func DecodeMetaMembers(b []byte) ([]MetaMember, error) {
	r := NewReader(b)
	members := decodeMetaMembers(&r)
	return members, r.Done()
}

func decodeMetaMembers(r *Reader) []MetaMember {
	members := make([]MetaMember, r.Count(25))
	for i := range members {
		members[i] = MetaMember{Replica: r.U64(), Member: r.ID(), PeerAddr: r.String()}
	}
	return members
}
