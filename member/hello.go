package member

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// maxUnknownPeers bounds the connections of one port that have not said yet who they are.
const maxUnknownPeers = 256

// readHello reads the hello of a connection, no byte further.
func readHello(nc net.Conn) (wire.Hello, error) {
	b, err := readHelloFrame(nc)
	if err != nil {
		return wire.Hello{}, err
	}
	return wire.DecodeHello(b)
}

func readHelloFrame(r io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read a hello: %w", err)
	}
	n, err := wire.HelloLength(head)
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read a hello: %w", err)
	}
	return b, nil
}

// refusal is a hello answer that ends the connection.
type refusal struct {
	code wire.Code
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(code wire.Code, format string, args ...any) *refusal {
	return &refusal{code: code, text: fmt.Sprintf(format, args...)}
}

// greet reads a hello, decides whether to take the connection, and answers. A refusal is answered and returned as an error.
func (m *Member) greet(nc net.Conn, peer bool) (wire.Hello, error) {
	_ = nc.SetDeadline(time.Now().Add(m.cfg.HelloTimeout))
	h, err := readHello(nc)
	if err != nil {
		if errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge) {
			_ = m.answerHello(nc, wire.CodeInvalid, err.Error()) // it is turned away either way
		}
		return h, err
	}
	if r := m.judge(&h, peer); r != nil {
		_ = m.answerHello(nc, r.code, r.text) // it is turned away either way
		return h, r
	}
	if err := m.answerHello(nc, wire.CodeOK, ""); err != nil {
		return h, err
	}
	return h, nc.SetDeadline(time.Time{})
}

func (m *Member) answerHello(nc net.Conn, code wire.Code, text string) error {
	if len(text) > maxRefusal {
		text = strings.ToValidUTF8(text[:maxRefusal], "")
	}
	a := wire.HelloAnswer{Version: wire.Version, Code: code, Message: text, Cluster: m.cfg.ClusterName, ClusterID: m.clusterID(),
		Member: m.id, Incarnation: m.incarnation, MemberName: m.cfg.Name, Time: m.clock.Agreed(), Partitions: uint32(m.partitions())}
	_, err := nc.Write(wire.AppendHelloAnswer(nil, &a))
	return err
}

// maxRefusal bounds the text of a refusal in bytes: with the two names it must fit into a hello.
const maxRefusal = 512

// judge decides whether a connection is taken; nil if it is.
func (m *Member) judge(h *wire.Hello, peer bool) *refusal {
	if h.Version != wire.Version {
		return refuse(wire.CodeInvalid, "protocol version %d, this member speaks %d", h.Version, wire.Version)
	}
	// Said before anything is said of the cluster: a client that has mistaken the port may name none.
	if peer && (!h.Plane.ForMembers() || h.Member.IsZero() || h.Incarnation.IsZero() || h.ClusterID.IsZero()) {
		return refuse(wire.CodeInvalid, "this is the members' port; clients connect to %s", m.Addr())
	}
	// A client that names no cluster takes what it finds. Members never do.
	if anyCluster := !peer && h.Cluster == "" && h.Plane != wire.PlaneJoin; !anyCluster && h.Cluster != m.cfg.ClusterName {
		return refuse(wire.CodeInvalid, "this is cluster %q, not %q", m.cfg.ClusterName, h.Cluster)
	}
	switch id := m.clusterID(); {
	case !peer && !h.Plane.ForClients():
		return refuse(wire.CodeInvalid, "this is the client port; members connect to %s", m.peerAddr())
	case !h.ClusterID.IsZero() && h.ClusterID != id && id.IsZero():
		return refuse(wire.CodeNotReady, "this member is not part of a cluster yet")
	case !h.ClusterID.IsZero() && h.ClusterID != id:
		return refuse(wire.CodeInvalid, "this cluster's ID is %v, not %v", id, h.ClusterID)
	case h.Plane == wire.PlaneJoin:
		return nil // also before this member is part of a cluster: that is what it is for
	case h.Plane == wire.PlaneAdmin && m.metaView() != nil && !m.isClosing():
		return nil // where it waits for a metadata group that is lost, it is never ready
	case !peer && !m.isReady():
		return refuse(wire.CodeNotReady, "this member is starting or stopping")
	case peer && m.isClosing():
		return refuse(wire.CodeNotReady, "this member is stopping")
	}
	return nil
}

// exchangeHello says hello and reads the answer, no byte further. The end of ctx, and the timeout, end it. Of a refusal, the
// answer is returned with the error.
func exchangeHello(ctx context.Context, nc net.Conn, h *wire.Hello, timeout time.Duration) (wire.HelloAnswer, error) {
	_ = nc.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	a, err := sayHello(nc, h)
	if !stop() {
		return a, fmt.Errorf("say hello: %w", ctx.Err())
	}
	if err != nil {
		return a, err
	}
	return a, nc.SetDeadline(time.Time{})
}

func sayHello(nc net.Conn, h *wire.Hello) (wire.HelloAnswer, error) {
	if _, err := nc.Write(wire.AppendHello(nil, h)); err != nil {
		return wire.HelloAnswer{}, fmt.Errorf("say hello: %w", err)
	}
	b, err := readHelloFrame(nc)
	if err != nil {
		return wire.HelloAnswer{}, err
	}
	a, err := wire.DecodeHelloAnswer(b)
	if err != nil {
		return a, err
	}
	if a.Code != wire.CodeOK {
		return a, &refusal{code: a.Code, text: a.Message}
	}
	return a, nil
}
