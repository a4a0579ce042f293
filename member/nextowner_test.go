package member

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// inProcess connects to a member's NATS server within the process.
type inProcess func() (net.Conn, error)

// InProcessConn connects.
func (f inProcess) InProcessConn() (net.Conn, error) { return f() }

// What an owner has not published is in the messages of the next one. Nobody asks for anything here: no client listens.
func TestTheNextOwnerPublishesWhatIsMissing(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	members := runningMembers(t, 3, func(_ int, cfg *Config) { cfg.Partitions = 1 })
	m := newcomer(t, members)
	const n = 20
	for i := range n {
		if err := m.Set(ctx, fmt.Sprint(i), "v"); err != nil {
			t.Fatal(err)
		}
	}

	messages := make(chan *nats.Msg, 1000)
	for _, member := range members {
		nc, err := nats.Connect("", nats.InProcessServer(inProcess(member.events.Connect)), nats.UserInfo(wire.EventsUser, wire.EventsUser), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		if _, err := nc.ChanSubscribe(wire.EventSubject(m.Name()), messages); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}

	// All but the owner are told that somebody listens, so the owner publishes nothing until its end.
	var old *Member
	eventually(t, "an owner", func() bool {
		i := slices.IndexFunc(members, func(m *Member) bool { return m.host.Serving(0) != 0 })
		if i >= 0 {
			old = members[i]
		}
		return i >= 0
	})
	epoch := old.host.Serving(0)
	for _, member := range members {
		if member != old {
			member.publisher.Interest(m.Name())
		}
	}
	old.Kill()
	if err := m.Set(ctx, "last", "v"); err != nil {
		t.Fatal(err)
	}

	heard := make(map[string]bool)
	for len(heard) < n+1 {
		select {
		case msg := <-messages:
			b, err := wire.DecodeEventBatch(msg.Data)
			if err != nil || b.Epoch == epoch {
				t.Fatalf("a message of epoch %x, the one that has ended is %x: %v", b.Epoch, epoch, err)
			}
			for _, e := range b.Events {
				heard[string(e.Key)] = true
			}
		case <-ctx.Done():
			t.Fatalf("the next owner has published %d events of %d", len(heard), n+1)
		}
	}
}
