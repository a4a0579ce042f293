package locate

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/liveness"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// doors are the members' ports that answer, by address, and who is there.
type doors map[string]wire.HelloAnswer

func (doors) Reached(wire.ID) bool           { return false }
func (doors) MetaMembers() []wire.MetaMember { return nil }

func (d doors) DialAddr(_ context.Context, id wire.ID, addr string, _ wire.Plane, _ uint8) (net.Conn, wire.HelloAnswer, error) {
	a, ok := d[addr]
	if !ok || a.Member != id {
		return nil, a, errors.New("nobody, or somebody else")
	}
	nc, other := net.Pipe()
	_ = other.Close()
	return nc, a, nil
}

// A member that says where it is is believed only once it answers there, and until the metadata know better.
func TestClaimsAreLookedAt(t *testing.T) {
	self, lost, cluster := wire.ID{1}, wire.ID{2}, wire.ID{9}
	before, now := wire.ID{2, 1}, wire.ID{2, 2}
	known := &meta.View{Cluster: cluster, Members: []meta.Member{{Registration: meta.Registration{ID: lost, Incarnation: before, PeerAddr: "old:2"}, State: meta.StateReady}}}
	d := doors{"true:2": {Member: lost, Incarnation: now}, "other:2": {Member: wire.ID{3}}}
	l := New(Config{Self: self, Addr: "self:1", Logger: slog.New(slog.DiscardHandler), Cluster: func() wire.ID { return cluster },
		Metadata: func() *meta.View { return known }, Peers: func() Peers { return d }})
	says := func(cluster wire.ID, addr string) (liveness.Location, bool) {
		l.Heard(&bootstrap.Hello{State: bootstrap.StateMember, ID: cluster, Member: lost, Addr: "client:1", PeersAddr: addr})
		l.Look(t.Context())
		return l.Locate(lost)
	}

	if at, ok := says(cluster, "nowhere:2"); ok {
		t.Errorf("nobody is there, and the member is found at %+v", at)
	}
	if at, ok := says(cluster, "other:2"); ok {
		t.Errorf("another member is there, and it is found at %+v", at)
	}
	if at, ok := says(wire.ID{8}, "true:2"); ok {
		t.Errorf("a member of another cluster is found at %+v", at)
	}
	want := liveness.Location{PeerAddr: "true:2", Incarnation: now, Registered: before}
	if at, ok := says(cluster, "true:2"); !ok || at != want {
		t.Errorf("it is found at %+v, %t; want %+v", at, ok, want)
	}

	// It registers where it is. The metadata know better from then on.
	next := *known
	next.Members = []meta.Member{{Registration: meta.Registration{ID: lost, Incarnation: now, PeerAddr: "true:2"}, State: meta.StateReady}}
	known = &next
	if at, ok := l.Locate(lost); ok {
		t.Errorf("the metadata know where it is, and it is found at %+v", at)
	}
}
