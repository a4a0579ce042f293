package member

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/sdk"
)

// natsServer starts a NATS server outside of any member, until the test ends.
func natsServer(t *testing.T, opts server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.NoSigs, opts.NoLog = "127.0.0.1", true, true
	srv, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Start() // ends with Shutdown
	t.Cleanup(srv.Shutdown)
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	return srv
}

// Members use a NATS server outside, by their credentials. Clients of any member hear of all writes, also while that server is away.
func TestMembersUseAnExternalNATSServer(t *testing.T) {
	t.Parallel()
	outside := func(port int) *server.Server {
		return natsServer(t, server.Options{Port: port, Username: "grid", Password: "open sesame"})
	}
	srv := outside(server.RANDOM_PORT)
	members := runningMembers(t, 3, func(_ int, cfg *Config) {
		cfg.NATS = NATSConfig{URL: srv.ClientURL(), User: "grid", Password: "open sesame"}
	})
	for _, m := range members {
		eventually(t, "the others to be there", func() bool { return m.events.Routes() == 2 })
		if m.events.RoutePort() != 0 {
			t.Errorf("%s listens for routes at port %d", m.Name(), m.events.RoutePort())
		}
	}

	ctx := testContext(t)
	m := newcomer(t, members)
	var heard atomic.Int64
	sub, err := m.AddEntryListener(ctx, sdk.EntryListener[string, string]{Added: func(sdk.Event[string, string]) { heard.Add(1) },
		Lost: func(e sdk.Event[string, string]) { t.Errorf("events were lost: %+v", e) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()

	const keys = 50
	write := func(round string) {
		before := heard.Load()
		for i := range keys {
			if err := m.Set(ctx, fmt.Sprint(round, i), "v"); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "all events "+round, func() bool { return heard.Load() == before+keys })
	}
	write("with the server")
	if v, err := srv.Varz(nil); err != nil || v.InMsgs == 0 || v.OutMsgs == 0 {
		t.Errorf("the server has taken %d messages and sent %d, %v", v.InMsgs, v.OutMsgs, err)
	}

	port := srv.Addr().String()[strings.LastIndex(srv.Addr().String(), ":")+1:]
	srv.Shutdown()
	srv.WaitForShutdown()
	write("without the server")

	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	outside(n)
	eventually(t, "the connections", func() bool {
		for _, m := range members {
			if m.events.Routes() != 2 {
				return false
			}
		}
		return true
	})
	write("with the server again")
}

// A member without the NATS server of the others is named in the log of each, and they in its own. Nobody counts a route to it.
func TestMembersWithoutTheSameNATSServer(t *testing.T) {
	t.Parallel()
	srv := natsServer(t, server.Options{Port: server.RANDOM_PORT})
	logs := make([]harness.Log, 3)
	members := runningMembers(t, 3, func(i int, cfg *Config) {
		cfg.Logger = logs[i].Logger(slog.LevelInfo)
		if i < 2 {
			cfg.NATS = NATSConfig{URL: srv.ClientURL()}
		}
	})
	for i, want := range [][]string{{"m2"}, {"m2"}, {"m0", "m1"}} {
		var warned []string
		eventually(t, "a warning about each", func() bool {
			warned = warned[:0]
			for line := range strings.Lines(logs[i].Text()) {
				if _, other, ok := strings.Cut(line, "other="); ok && strings.Contains(line, "nats.url") && strings.Contains(line, "member="+members[i].Name()) {
					warned = append(warned, strings.TrimSpace(other))
				}
			}
			return len(warned) >= len(want)
		})
		if slices.Sort(warned); !slices.Equal(warned, want) {
			t.Errorf("%s warns of %v, want %v", members[i].Name(), warned, want)
		}
		if strings.Contains(logs[i].Text(), srv.ClientURL()) {
			t.Errorf("%s logs the URL", members[i].Name())
		}
		eventually(t, "the routes to those with the same server", func() bool { return members[i].events.Routes() == 2-len(want) })
	}
}
