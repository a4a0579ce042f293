package server

import (
	"errors"
	"net"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// MaxUnknownPeers bounds the connections of one port that have not said yet who they are.
const MaxUnknownPeers = 256

// readHello reads the hello of a connection, no byte further.
func readHello(nc net.Conn) (wire.Hello, error) {
	b, err := rpc.ReadHello(nc)
	if err != nil {
		return wire.Hello{}, err
	}

	return wire.DecodeHello(b)
}

// greet reads a hello, decides whether to take the connection, and answers. A refusal is answered and returned as an error.
func (s *Server) greet(nc net.Conn, peer bool) (wire.Hello, error) {
	_ = nc.SetDeadline(time.Now().Add(s.cfg.HelloTimeout))
	h, err := readHello(nc)
	if err != nil {
		if errors.Is(err, wire.ErrMalformed) || errors.Is(err, wire.ErrTooLarge) {
			_ = s.answerHello(nc, wire.CodeInvalid, err.Error()) // it is turned away either way
		}
		return h, err
	}

	if r := s.judge(&h, peer); r != nil {
		_ = s.answerHello(nc, r.Code, r.Text) // it is turned away either way
		return h, r
	}

	if err := s.answerHello(nc, wire.CodeOK, ""); err != nil {
		return h, err
	}

	return h, nc.SetDeadline(time.Time{})
}

func (s *Server) answerHello(nc net.Conn, code wire.Code, text string) error {
	if len(text) > maxRefusal {
		text = strings.ToValidUTF8(text[:maxRefusal], "")
	}

	a := s.cfg.Identity()
	a.Version, a.Code, a.Message = wire.Version, code, text
	_, err := nc.Write(wire.AppendHelloAnswer(nil, &a))
	return err
}

// maxRefusal bounds the text of a refusal in bytes: with the two names it must fit into a hello.
const maxRefusal = 512

// judge decides whether a connection is taken; nil if it is.
func (s *Server) judge(h *wire.Hello, peer bool) *rpc.Refusal {
	if h.Version != wire.Version {
		return rpc.Refuse(wire.CodeInvalid, "protocol version %d, this member speaks %d", h.Version, wire.Version)
	}

	// A client that has mistaken the port may name no cluster. Then the port is what it has to hear of first.
	if peer && (!h.Plane.ForMembers() || h.Member.IsZero() || h.Incarnation.IsZero() || h.ClusterID.IsZero()) {
		return rpc.Refuse(wire.CodeInvalid, "this is the members' port; clients connect to %s", s.cfg.Ports.Client())
	}

	// A client that names no cluster takes what it finds. Members never do.
	if anyCluster := !peer && h.Cluster == "" && h.Plane != wire.PlaneJoin; !anyCluster && h.Cluster != s.cfg.ClusterName {
		return rpc.Refuse(wire.CodeInvalid, "this is cluster %q, not %q", s.cfg.ClusterName, h.Cluster)
	}

	// The rest depends on how far this member is in its life, and may be otherwise at the next attempt.
	standing := s.cfg.Standing()
	switch id := s.cfg.Identity().ClusterID; {
	case !peer && !h.Plane.ForClients():
		return rpc.Refuse(wire.CodeInvalid, "this is the client port; members connect to %s", s.cfg.Ports.Peer())
	case !h.ClusterID.IsZero() && h.ClusterID != id && id.IsZero():
		// The caller may be right, so it is told to come again.
		return rpc.Refuse(wire.CodeNotReady, "this member is not part of a cluster yet")
	case !h.ClusterID.IsZero() && h.ClusterID != id:
		return rpc.Refuse(wire.CodeInvalid, "this cluster's ID is %v, not %v", id, h.ClusterID)
	case h.Plane == wire.PlaneJoin:
		// Members bootstrap a cluster over this plane, so it is open before there is one.
		return nil
	case h.Plane == wire.PlaneAdmin && standing.Metadata && !standing.Stopping:
		// An operator reaches a member that waits for a lost metadata group, which never becomes ready by itself.
		return nil
	case !peer && !standing.Ready:
		return rpc.Refuse(wire.CodeNotReady, "this member is starting or stopping")
	case peer && standing.Stopping:
		return rpc.Refuse(wire.CodeNotReady, "this member is stopping")
	}

	return nil
}
