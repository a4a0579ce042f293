package wire

import "fmt"

// Plane is what a connection is for. It is named in its hello, once.
type Plane uint8

const (
	PlaneCalls  Plane = 1 // both ports: requests and answers
	PlaneEvents Plane = 2 // client port: spliced to the member's NATS server after the answer
	PlaneJoin   Plane = 3 // client port: bootstrap and joining
	PlaneRaft   Plane = 4 // members' port: Raft messages of the data partitions
	PlaneMeta   Plane = 5 // members' port: Raft messages of the metadata group
	PlaneAdmin  Plane = 6 // client port: OpRecover and pings alone, also of a member that is not ready
)

// ForClients reports whether the plane is served on the client port.
func (p Plane) ForClients() bool { return p >= PlaneCalls && p <= PlaneJoin || p == PlaneAdmin }

// ForMembers reports whether the plane is served on the members' port.
func (p Plane) ForMembers() bool { return p == PlaneCalls || p == PlaneRaft || p == PlaneMeta }

// Hello is the first thing on a connection, from the side that dialed: Magic, four bytes of length, and these fields.
type Hello struct {
	Version     uint16
	Plane       Plane
	Cluster     string // name of the cluster that the caller wants; clients: empty if any will do
	ClusterID   ID     // zero if the caller does not know it
	Name        string // the client's or member's name, for logs
	Client      ID     // clients: the client ID of its calls
	Member      ID     // members: identity
	Incarnation ID     // members: this start of the process
	Stream      uint8  // raft and meta planes: 0 messages, 1 snapshot chunks
}

// HelloAnswer answers a Hello in the same form. With a Code other than CodeOK the connection ends after it.
type HelloAnswer struct {
	Version     uint16
	Code        Code
	Message     string // for people; why it was refused
	Cluster     string
	ClusterID   ID
	Member      ID
	Incarnation ID
	MemberName  string
	Time        int64 // cluster time in milliseconds
	Partitions  uint32
}

func appendHelloFrame(dst []byte, body func([]byte) []byte) []byte {
	dst = append(dst, Magic...)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = body(dst)
	n := uint32(len(dst) - at - 4)
	dst[at], dst[at+1], dst[at+2], dst[at+3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return dst
}

// AppendHello appends h with magic and length.
func AppendHello(dst []byte, h *Hello) []byte {
	return appendHelloFrame(dst, func(b []byte) []byte {
		b = AppendU16(b, h.Version)
		b = append(b, byte(h.Plane))
		b = AppendString(b, h.Cluster)
		b = append(b, h.ClusterID[:]...)
		b = AppendString(b, h.Name)
		b = append(b, h.Client[:]...)
		b = append(b, h.Member[:]...)
		b = append(b, h.Incarnation[:]...)
		return append(b, h.Stream)
	})
}

// DecodeHello reads a hello's body, without magic and length. Later versions may append fields.
func DecodeHello(b []byte) (Hello, error) {
	r := NewReader(b)
	h := Hello{Version: r.U16(), Plane: Plane(r.U8()), Cluster: r.String(), ClusterID: r.ID(), Name: r.String(),
		Client: r.ID(), Member: r.ID(), Incarnation: r.ID(), Stream: r.U8()}
	return h, r.Err()
}

// AppendHelloAnswer appends a with magic and length.
func AppendHelloAnswer(dst []byte, a *HelloAnswer) []byte {
	return appendHelloFrame(dst, func(b []byte) []byte {
		b = AppendU16(b, a.Version)
		b = AppendU16(b, uint16(a.Code))
		b = AppendString(b, a.Message)
		b = AppendString(b, a.Cluster)
		b = append(b, a.ClusterID[:]...)
		b = append(b, a.Member[:]...)
		b = append(b, a.Incarnation[:]...)
		b = AppendString(b, a.MemberName)
		b = AppendI64(b, a.Time)
		return AppendU32(b, a.Partitions)
	})
}

// DecodeHelloAnswer reads a hello answer's body, without magic and length. Later versions may append fields.
func DecodeHelloAnswer(b []byte) (HelloAnswer, error) {
	r := NewReader(b)
	a := HelloAnswer{Version: r.U16(), Code: Code(r.U16()), Message: r.String(), Cluster: r.String(), ClusterID: r.ID(),
		Member: r.ID(), Incarnation: r.ID(), MemberName: r.String(), Time: r.I64(), Partitions: r.U32()}
	return a, r.Err()
}

// HelloLength checks the eight bytes that open a hello and returns the length of the body that follows.
func HelloLength(b [8]byte) (int, error) {
	if string(b[:4]) != Magic {
		return 0, fmt.Errorf("%w: not a gridiron connection", ErrMalformed)
	}
	n, _, err := FrameLength(b[4:], MaxHello-8)
	return n, err
}
