package wire

import "sort"

// Questions to a member about the cluster.
const (
	OpPing       Op = 1 // no body; the answer's cluster time is the point
	OpTable      Op = 2 // nothing or UpToDate -> Table: subscribe to the table, later Tables are pushed
	OpStatus     Op = 3 // nothing or UpToDate -> ClusterStatus
	OpPartitions Op = 4 // []PartitionInfo, with the indexes of the replicas on the member asked
	OpMaps       Op = 5 // []MapInfo over the partitions that the member asked owns
)

var clusterOps = []Descriptor{
	{Op: OpPing, Name: "ping", Kind: KindMember, Repeatable: true},
	{Op: OpTable, Name: "table", Kind: KindMember, Repeatable: true},
	{Op: OpStatus, Name: "status", Kind: KindMember, Repeatable: true},
	{Op: OpPartitions, Name: "partitions", Kind: KindMember, Repeatable: true},
	{Op: OpMaps, Name: "maps", Kind: KindMember, Repeatable: true},
}

// UpToDate is the body of a question about all metadata that is committed when the question comes. The member that is asked first
// learns of them, if it can do so soon. Without UpToDate the answer is what the member knows.
var UpToDate = []byte{1}

// NoOwner is the owner's index of a partition that nobody is known to own.
const NoOwner = 0xFFFF

// Table is what a member knows of the cluster: its members and who owns and holds each partition. It is the answer to
// OpTable and is pushed whenever it has changed. A caller that gets views from several members keeps, for each
// partition, the owner with the greatest epoch.
type Table struct {
	Version    uint64 // counts at the member that sent it; answers carry it
	Meta       uint64 // counts metadata changes, over all members: of two views' members and replicas the greater is newer
	Cluster    ID
	Name       string
	Members    []MemberInfo
	Partitions []PartitionRoute
}

// MemberInfo describes one member.
type MemberInfo struct {
	ID          ID
	Incarnation ID
	Name        string
	Addr        string // for clients
	PeerAddr    string // for members
	Zone        string
	Tags        map[string]string
	State       string // joining, ready, suspect, draining, left, dead
	Version     string // of its program
}

// PartitionRoute describes one partition. Owner and Replicas are places in Table.Members.
type PartitionRoute struct {
	Epoch    uint64 // 0 while nobody is known to own it
	Owner    uint16 // NoOwner if nobody is known
	Replicas []uint16
}

func (m *MemberInfo) append(dst []byte) []byte {
	dst = append(dst, m.ID[:]...)
	dst = append(dst, m.Incarnation[:]...)
	for _, s := range [...]string{m.Name, m.Addr, m.PeerAddr, m.Zone, m.State, m.Version} {
		dst = AppendString(dst, s)
	}

	dst = AppendUvarint(dst, uint64(len(m.Tags)))
	keys := make([]string, 0, len(m.Tags))
	for k := range m.Tags {
		keys = append(keys, k)
	}
	sort.Strings(keys)

	// The order of a Go map is chance. Equal tags have equal bytes.
	for _, k := range keys {
		dst = AppendString(AppendString(dst, k), m.Tags[k])
	}
	return dst
}

func (m *MemberInfo) decode(r *Reader) {
	m.ID, m.Incarnation = r.ID(), r.ID()
	for _, s := range [...]*string{&m.Name, &m.Addr, &m.PeerAddr, &m.Zone, &m.State, &m.Version} {
		*s = r.String()
	}

	n := r.Count(2)
	if n == 0 {
		return
	}
	// A map takes far more room than its keys: it grows by what is there, not by what is announced.
	m.Tags = make(map[string]string, min(n, 8))
	last := ""
	for i := range n {
		k, v := r.String(), r.String()
		if i > 0 && k <= last {
			r.Fail("tags that are not in order")
		}
		if r.Err() != nil {
			return
		}
		m.Tags[k], last = v, k
	}
}

// AppendMemberInfo appends m.
func AppendMemberInfo(dst []byte, m *MemberInfo) []byte { return m.append(dst) }

// DecodeMemberInfo reads what AppendMemberInfo wrote from r.
func DecodeMemberInfo(r *Reader) (m MemberInfo) { m.decode(r); return m }

// AppendTable appends v.
func AppendTable(dst []byte, v *Table) []byte {
	dst = AppendU64(dst, v.Version)
	dst = AppendU64(dst, v.Meta)
	dst = append(dst, v.Cluster[:]...)
	dst = AppendString(dst, v.Name)

	dst = AppendUvarint(dst, uint64(len(v.Members)))
	for i := range v.Members {
		dst = v.Members[i].append(dst)
	}

	dst = AppendUvarint(dst, uint64(len(v.Partitions)))
	for i := range v.Partitions {
		p := &v.Partitions[i]
		dst = AppendU64(dst, p.Epoch)
		// Members are named by their places in the list, so a partition takes few bytes.
		dst = AppendU16(dst, p.Owner)
		dst = AppendUvarint(dst, uint64(len(p.Replicas)))
		for _, m := range p.Replicas {
			dst = AppendU16(dst, m)
		}
	}
	return dst
}

// DecodeTable reads what AppendTable wrote. It copies.
func DecodeTable(b []byte) (*Table, error) {
	r := NewReader(b)
	v := &Table{Version: r.U64(), Meta: r.U64(), Cluster: r.ID(), Name: r.String()}

	// 39 is the least size of a member: two IDs and seven lengths.
	v.Members = make([]MemberInfo, r.Count(39))
	for i := range v.Members {
		v.Members[i].decode(&r)
	}
	if len(v.Members) > NoOwner {
		r.Fail("%d members", len(v.Members))
	}

	// 11 is the least size of a partition: epoch, owner and number of replicas.
	n := r.Count(11)
	if n > MaxPartitions {
		r.Fail("%d partitions, the limit is %d", n, MaxPartitions)
		n = 0
	}

	v.Partitions = make([]PartitionRoute, n)

	// Places become indexes later, so a wrong one must not get through.
	check := func(m uint16) uint16 {
		if int(m) >= len(v.Members) && m != NoOwner {
			r.Fail("member %d of %d", m, len(v.Members))
		}
		return m
	}

	for i := range v.Partitions {
		p := &v.Partitions[i]
		p.Epoch, p.Owner = r.U64(), check(r.U16())
		p.Replicas = make([]uint16, r.Count(2))
		for j := range p.Replicas {
			if p.Replicas[j] = check(r.U16()); p.Replicas[j] == NoOwner {
				r.Fail("a replica on no member")
			}
		}
	}

	if err := r.Done(); err != nil {
		return nil, err
	}
	return v, nil
}

// Status is the answer to OpStatus.
type Status struct {
	ID                                                                                         ID
	Name                                                                                       string
	State                                                                                      string // forming, active, degraded, unavailable
	Safe                                                                                       bool
	Tolerates, Members, Ready, Partitions, Replicas, UnderReplicated, Unavailable, Lost, Moves uint32
	PossibleDataLoss                                                                           uint32 // partitions that were recovered from one replica: acknowledged writes may be lost
	Versions                                                                                   []string
	Skew                                                                                       uint32 // largest disagreement of the members' cluster clocks in milliseconds
	OutOfStep                                                                                  uint32 // members whose cluster clock differs from that of the majority
	MetadataLed                                                                                bool   // a member that answers leads the metadata group
	NoRoom                                                                                     uint32 // replicas that are placed nowhere because no member has room for them
	Reason                                                                                     string // why under-replicated partitions are not repaired; empty: they are being repaired
}

func (s *Status) numbers() [11]*uint32 {
	return [...]*uint32{&s.Tolerates, &s.Members, &s.Ready, &s.Partitions, &s.Replicas, &s.UnderReplicated, &s.Unavailable, &s.Lost, &s.Moves,
		&s.PossibleDataLoss, &s.NoRoom}
}

// AppendStatus appends s.
func AppendStatus(dst []byte, s *Status) []byte {
	dst = append(dst, s.ID[:]...)
	dst = AppendString(dst, s.Name)
	dst = AppendString(dst, s.State)
	dst = appendFlags(dst, s.Safe, s.MetadataLed)

	// numbers lists the counts once, for writing and for reading, so that the two cannot part.
	for _, n := range s.numbers() {
		dst = AppendU32(dst, *n)
	}

	dst = AppendUvarint(dst, uint64(len(s.Versions)))
	for _, v := range s.Versions {
		dst = AppendString(dst, v)
	}

	return AppendString(AppendU32(AppendU32(dst, s.Skew), s.OutOfStep), s.Reason)
}

// DecodeStatus reads what AppendStatus wrote.
func DecodeStatus(b []byte) (s Status, err error) {
	r := NewReader(b)
	s.ID, s.Name, s.State = r.ID(), r.String(), r.String()
	flags := r.U8()
	s.Safe, s.MetadataLed = flags&1 != 0, flags&2 != 0

	// The same list as in AppendStatus, so the order is the same.
	for _, n := range s.numbers() {
		*n = r.U32()
	}

	s.Versions = make([]string, r.Count(1))
	for i := range s.Versions {
		s.Versions[i] = r.String()
	}

	s.Skew, s.OutOfStep, s.Reason = r.U32(), r.U32(), r.String()
	return s, r.Done()
}

// PartitionInfo is one element of the answer to OpPartitions.
type PartitionInfo struct {
	Epoch    uint64
	Index    uint64 // last applied index at the member asked; 0 if it holds no replica
	Owner    ID     // zero if unknown
	Replicas []ID
}

// AppendPartitionInfos appends list.
func AppendPartitionInfos(dst []byte, list []PartitionInfo) []byte {
	dst = AppendUvarint(dst, uint64(len(list)))
	for i := range list {
		p := &list[i]
		dst = AppendU64(AppendU64(dst, p.Epoch), p.Index)

		dst = append(dst, p.Owner[:]...)
		dst = AppendUvarint(dst, uint64(len(p.Replicas)))
		for _, id := range p.Replicas {
			dst = append(dst, id[:]...)
		}
	}
	return dst
}

// DecodePartitionInfos reads what AppendPartitionInfos wrote.
func DecodePartitionInfos(b []byte) ([]PartitionInfo, error) {
	r := NewReader(b)
	// 33 is the least size of an element: epoch, index, owner and number of replicas.
	list := make([]PartitionInfo, r.Count(33))
	for i := range list {
		list[i].Epoch, list[i].Index, list[i].Owner = r.U64(), r.U64(), r.ID()

		list[i].Replicas = make([]ID, r.Count(16))
		for j := range list[i].Replicas {
			list[i].Replicas[j] = r.ID()
		}
	}
	return list, r.Done()
}

// MapInfo is one element of the answer to OpMaps: a map's share on the member asked.
type MapInfo struct {
	Name    string
	Entries uint64
	Bytes   uint64
}

// AppendMapInfos appends list.
func AppendMapInfos(dst []byte, list []MapInfo) []byte {
	dst = AppendUvarint(dst, uint64(len(list)))
	for _, m := range list {
		dst = AppendUvarint(AppendUvarint(AppendString(dst, m.Name), m.Entries), m.Bytes)
	}
	return dst
}

// DecodeMapInfos reads what AppendMapInfos wrote.
func DecodeMapInfos(b []byte) ([]MapInfo, error) {
	r := NewReader(b)
	list := make([]MapInfo, r.Count(3))
	for i := range list {
		list[i] = MapInfo{Name: r.String(), Entries: r.Uvarint(), Bytes: r.Uvarint()}
	}
	return list, r.Done()
}
