package benchmarks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

func TestMainAgainstMembersOfItsOwn(t *testing.T) {
	var pids []int
	o := Options{Members: 3, Partitions: 6, Env: standin.Env(), Format: "json", Started: func(cl *proc.Cluster) { pids = cl.PIDs() },
		Config: Config{Op: OpMixed, Callers: []int{8}, Keys: 20, Operations: 2_000}}
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := Main(ctx, o, &out); err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Members, Partitions, Operations int
		CPU                             *float64 `json:"cpu_us"`
		ClientCPU                       *float64 `json:"client_cpu_us"`
		MembersCPU                      *float64 `json:"members_cpu_us"`
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	if len(got) != 1 || got[0].Members != 3 || got[0].Partitions != 6 || got[0].Operations != 2_000 {
		t.Fatalf("%s", out.Bytes())
	}
	if r := got[0]; r.CPU == nil || r.ClientCPU == nil || r.MembersCPU == nil || *r.MembersCPU <= 0 {
		t.Errorf("CPU time: %s", out.Bytes())
	}
	if len(pids) != 3 {
		t.Fatalf("processes %v, want three", pids)
	}
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d is there after Main", pid)
		}
	}
}

func TestMainAgainstServers(t *testing.T) {
	m, _ := member(t)
	var out bytes.Buffer
	o := Options{Config: Config{Servers: []string{m.Addr()}, Callers: []int{2, 3}, Keys: 10, Operations: 50, PIDs: []int{os.Getpid()}}}
	if err := Main(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 || lines[0] != "set · 1 member, 5 partitions · 10 keys, values of 100 bytes" ||
		!strings.HasPrefix(strings.TrimSpace(lines[3]), "2 ") || !strings.HasPrefix(strings.TrimSpace(lines[4]), "3 ") {
		t.Errorf("\n%s", out.String())
	}
}

// impatient is sdk.Connect that gives up soon.
func impatient(ctx context.Context, servers []string) (*sdk.Client, error) {
	return sdk.Connect(ctx, servers, sdk.WithTimeout(time.Millisecond))
}

func TestMainFailsWithoutOutput(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want error
	}{
		"options that cannot be": {Options{}, sdk.ErrInvalid},
		"no such binary":         {Options{Members: 1, Binary: "/grid-not-here"}, os.ErrNotExist},
		"nobody there":           {Options{Config: Config{Servers: []string{"127.0.0.1:1"}, Connect: impatient}}, sdk.ErrUnavailable},
	} {
		var out bytes.Buffer
		if err := Main(t.Context(), c.o, &out); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if out.Len() > 0 {
			t.Errorf("%s: prints %q", name, out.String())
		}
	}
}
