package liveness

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// That a member has other NATS servers is told once, and again when it has others still. A member that does not say has none.
func TestOtherNATSServersAreToldOnce(t *testing.T) {
	var log harness.Log
	v := &meta.View{Members: []meta.Member{{Registration: meta.Registration{ID: wire.ID{1}, Name: "second"}}}}
	p := New(Config{NATS: 7, Log: log.Logger(slog.LevelInfo).With("member", "first"), View: func() *meta.View { return v }})
	before := uint64(0) // it has said nothing
	for _, c := range []struct {
		says uint64
		want string
	}{{0, ""}, {7, ""}, {7, ""}, {8, "WARN"}, {8, ""}, {9, "WARN"}, {7, "INFO"}, {7, ""}, {0, ""}, {9, "WARN"}, {0, "INFO"}} {
		told := len(log.Text())
		p.compareNATS(wire.ID{1}, before, c.says)
		line := log.Text()[told:]
		if c.want == "" && line != "" || c.want != "" && (strings.Count(line, "\n") != 1 || !strings.Contains(line, "level="+c.want)) {
			t.Errorf("%d after %d is told as %q, want level %q", c.says, before, line, c.want)
		}
		if line != "" && !strings.Contains(line, "member=first") || line != "" && !strings.Contains(line, "other=second") {
			t.Errorf("one of the members is not named: %s", line)
		}
		before = c.says
	}
}
