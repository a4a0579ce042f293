package member

import (
	"context"
	"errors"
	"net"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// dialMembersPort connects to another member's port for members. Of a hello that was refused, the answer is returned with the error.
func (m *Member) dialMembersPort(ctx context.Context, addr string, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error) {
	nc, err := m.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, wire.HelloAnswer{}, err
	}

	// The hello names the cluster by its ID too: a member of another cluster of the same name refuses it.
	h := wire.Hello{Version: wire.Version, Plane: plane, Cluster: m.cfg.ClusterName, ClusterID: m.clusterID(), Name: m.cfg.Name,
		Member: m.id, Incarnation: m.incarnation, Stream: stream}
	a, err := rpc.ExchangeHello(ctx, nc, &h, m.cfg.HelloTimeout)
	if err != nil {
		_ = nc.Close()
		return nil, a, err
	}
	return nc, a, nil
}

// dialJoin connects to a client port for the join plane.
func (m *Member) dialJoin(ctx context.Context, addr string) (net.Conn, error) {
	nc, _, err := m.dialClientPort(ctx, addr, wire.PlaneJoin)
	return nc, err
}

func (m *Member) dialClientPort(ctx context.Context, addr string, plane wire.Plane) (net.Conn, wire.HelloAnswer, error) {
	nc, err := m.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, wire.HelloAnswer{}, err
	}

	a, err := rpc.ExchangeHello(ctx, nc, &wire.Hello{Version: wire.Version, Plane: plane, Cluster: m.cfg.ClusterName, Name: m.cfg.Name,
		Client: m.incarnation, Member: m.id, Incarnation: m.incarnation}, m.cfg.HelloTimeout)
	if err != nil {
		_ = nc.Close()
		// A refusal by a cluster of another name is no passing trouble: the operator has named a wrong address.
		var r *rpc.Refusal
		if errors.As(err, &r) && a.Cluster != "" && a.Cluster != m.cfg.ClusterName {
			return nil, a, &bootstrap.OtherClusterError{Where: "member at " + addr, Want: m.cfg.ClusterName, Got: a.Cluster, ID: a.ClusterID}
		}
		return nil, a, err
	}
	return nc, a, nil
}

// tableFrom asks the member behind a client address for the table.
func (m *Member) tableFrom(ctx context.Context, addr string) (*wire.Table, error) {
	nc, a, err := m.dialClientPort(ctx, addr, wire.PlaneCalls)
	if err != nil {
		return nil, err
	}

	// One question is all that is asked here, so the connection is not kept.
	c := rpc.New(nc, a)
	defer c.Close()
	ans, err := c.Call(ctx, wire.OpTable, nil)
	if err != nil {
		return nil, err
	}
	return wire.DecodeTable(ans.Body)
}
