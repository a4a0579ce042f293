package role

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts of testdata give into them; commit a change only if you understand it")

// TestScripts runs the scripts of testdata, each with a role of its own. A step is
//
//	command argument key=value
//	----
//	the effects, one a line
//
// and ends with an empty line. What a command does is told in testdata/README.md.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			got := runScript(t, string(text))
			if *rewrite {
				require.NoError(t, os.WriteFile(name, []byte(got), 0o600))
				return
			}
			require.Equal(t, string(text), got)
		})
	}
}

// runScript returns a script with the effects that its commands have.
func runScript(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	w := newWorld(t)
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		out.WriteString(line + "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		got := w.run(line)
		out.WriteString("----\n" + got)
		// What was expected goes up to the next empty line.
		for i+1 < len(lines) && lines[i+1] != "" {
			i++
		}
	}
	return out.String()
}

// world is a role, the log that it sees, and a clock.
type world struct {
	t      *testing.T
	cfg    Config
	role   *Role
	own    Ownership // what the log has come to
	index  uint64
	queue  []proposal // on their way
	start  time.Time
	now    time.Time
	mayOwn bool
}

// proposal is an Own or a Release on its way.
type proposal struct {
	own     *entry.Own
	release *entry.Release
}

func newWorld(t *testing.T) *world {
	start := time.Unix(1_000_000, 0)
	return &world{t: t, start: start, now: start, mayOwn: true}
}

// command is one line of a script.
type command struct {
	t    *testing.T
	name string
	args []string
	keys map[string]string
}

func (w *world) parse(line string) command {
	fields := strings.Fields(line)
	c := command{t: w.t, name: fields[0], keys: make(map[string]string)}
	for _, f := range fields[1:] {
		if k, v, ok := strings.Cut(f, "="); ok {
			c.keys[k] = v
		} else {
			c.args = append(c.args, f)
		}
	}
	return c
}

// number returns a key's number, or what stands in for one that is missing.
func (c command) number(key string, missing uint64) uint64 {
	c.t.Helper()
	if c.keys[key] == "" {
		return missing
	}
	n, err := strconv.ParseUint(c.keys[key], 10, 64)
	require.NoError(c.t, err, "%s of %s", key, c.name)
	return n
}

// id returns the identity of a member, which is a letter, and of its one process.
func id(name string) wire.ID {
	if name == "" {
		return wire.ID{}
	}
	return wire.ID{name[0]}
}

func nameOf(id wire.ID) string {
	if id.IsZero() {
		return "nobody"
	}
	return string(id[:1])
}

// epoch reads an epoch from its log index; "now" is the present one.
func (w *world) epoch(text string) uint64 {
	if text == "" || text == "now" {
		return w.own.Epoch
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(w.t, err)
	return uint64(wire.StampOf(w.own.Generation, n))
}

func (w *world) run(line string) string {
	c := w.parse(line)
	switch c.name {
	case "new":
		return w.create(c)
	case "wait":
		d, err := time.ParseDuration(c.args[0])
		require.NoError(w.t, err)
		w.now = w.now.Add(d)
		return ""
	case "may-own":
		w.mayOwn = c.args[0] == "yes"
		return ""
	case "lose":
		require.NotEmpty(w.t, w.queue, "nothing is on its way")
		w.queue = w.queue[1:]
		return ""
	case "commit":
		require.NotEmpty(w.t, w.queue, "nothing is on its way")
		p := w.queue[0]
		w.queue = w.queue[1:]
		return w.apply(p)
	case "own":
		by := id(c.args[0])
		return w.apply(proposal{own: &entry.Own{Member: by, Incarnation: by, Term: c.number("term", w.own.OwnTerm+1),
			PrevEpoch: w.epoch(c.keys["prev"]), LeaseMs: uint32(c.number("lease", 0))}})
	case "release":
		return w.apply(proposal{release: &entry.Release{Epoch: w.epoch(c.keys["epoch"]), To: id(c.keys["to"])}})
	case "state":
		return w.state()
	}
	return w.effects(w.step(w.input(c)))
}

// input returns the input of a command that is nothing else.
func (w *world) input(c command) Input {
	switch c.name {
	case "leader":
		replica, err := strconv.ParseUint(c.args[0], 10, 64)
		require.NoError(w.t, err)
		return LeaderChanged{Leader: replica, Term: c.number("term", 1)}
	case "snapshot":
		w.index += 10
		by := id(c.keys["by"])
		w.own = Ownership{Generation: w.own.Generation, Epoch: uint64(wire.StampOf(w.own.Generation, w.index)), PrevEpoch: w.own.Epoch,
			PrevOwned: c.keys["prev-owned"] == "yes", OwnTerm: c.number("term", w.own.OwnTerm+1), Owner: by, Incarnation: by,
			MaxLease: uint32(c.number("lease", 0))}
		return SnapshotInstalled{Own: w.own}
	case "tick":
		return Tick{Applied: c.number("applied", 0)}
	case "voters":
		return VotersChanged{Voters: voters(c.args[0])}
	case "down":
		agreed := make(map[wire.ID]bool)
		for _, a := range c.args[1:] {
			who, says, _ := strings.Cut(a, ":")
			agreed[id(who)] = says == "down"
		}
		return MemberDown{Incarnation: id(c.args[0]), Agreed: agreed}
	case "give-up":
		return GiveUp{}
	case "transfer":
		return Transfer{To: id(c.args[0])}
	case "hold":
		n, err := strconv.ParseUint(c.args[0], 10, 64)
		require.NoError(w.t, err)
		return Hold{Batch: n, Epoch: w.own.Epoch, NotBefore: w.role.ServeAfter()}
	case "answers":
		return AnswersDue{}
	case "kept":
		return StateKept{}
	case "lost":
		return StateLost{}
	case "piece":
		return PieceProposed{At: c.number("at", 0)}
	case "complete":
		w.own.AwaitsState, w.own.MaxLease = false, uint32(c.number("lease", 0))
		return StateComplete{Own: w.own}
	case "proven":
		ago, err := time.ParseDuration(c.keys["ago"])
		require.NoError(w.t, err)
		return Proven{Epoch: w.epoch(c.keys["epoch"]), Began: w.now.Add(-ago), Wall: w.now.Add(-ago).UnixNano()}
	case "suspended":
		ago, err := time.ParseDuration(c.keys["ago"])
		require.NoError(w.t, err)
		return Suspended{Began: w.now.Add(-ago)}
	case "stop":
		return Stop{}
	}
	w.t.Fatalf("unknown command %q", c.name)
	return nil
}

// voters reads the voters of a group, as in a,b,c: replica 1 is a's, and so on.
func voters(list string) (all []Voter) {
	for i, name := range strings.Split(list, ",") {
		all = append(all, Voter{ID: uint64(i + 1), Incarnation: id(name)})
	}
	return all
}

func (w *world) create(c command) string {
	w.own = NewOwnership(c.number("generation", 1))
	w.own.AwaitsState = c.keys["awaits-state"] == "yes"
	w.own.MaxLease = uint32(c.number("max-lease", 0))
	w.index = 4
	w.cfg = Config{Member: id(c.args[0]), Incarnation: id(c.args[0]), Replica: c.number("replica", 1), Partition: int(c.number("partition", 0)),
		Preferred: c.keys["preferred"] == "yes", LeaseMs: uint32(c.number("lease", 0))}
	w.role = New(w.cfg, w.own, voters("a,b,c"))
	return ""
}

func (w *world) step(in Input) Effects {
	fx := w.role.Step(in, Now{Time: w.now, MayOwn: w.mayOwn})
	if fx.Own != nil {
		w.queue = append(w.queue, proposal{own: fx.Own})
	}
	if fx.Release != nil {
		w.queue = append(w.queue, proposal{release: &entry.Release{Epoch: fx.Release.Epoch, To: fx.Release.To}})
	}
	return fx
}

// apply appends an entry to the log and applies it.
func (w *world) apply(p proposal) string {
	w.index++
	if p.own != nil {
		was, ok := w.own.ApplyOwn(p.own, w.index)
		switch {
		case ok:
			return fmt.Sprintf("accepted at %d\n", w.index) + w.effects(w.step(OwnApplied{Own: w.own, Superseded: was}))
		case p.own.Incarnation == w.cfg.Incarnation:
			return "refused\n" + w.effects(w.step(OwnRefused{PrevEpoch: p.own.PrevEpoch}))
		default:
			return "refused\n"
		}
	}
	effect := w.own.ApplyRelease(p.release)
	if effect == ReleaseRefused {
		return "refused\n"
	}
	return "accepted\n" + w.effects(w.step(ReleaseApplied{Own: w.own, Previous: effect == PrevReleased}))
}

func (w *world) at(t time.Time) string { return "+" + t.Sub(w.start).String() }

func index(epoch uint64) uint64 {
	return epoch - uint64(wire.StampOf(wire.Stamp(epoch).Generation(), 0))
}

// state describes the role.
func (w *world) state() string {
	var b bytes.Buffer
	leader, term := w.role.Leader()
	fmt.Fprintf(&b, "leader=%d term=%d serving=%d", leader, term, index(w.role.serving))
	if t := w.role.ServeAfter(); !t.IsZero() {
		fmt.Fprintf(&b, " serve-after=%s", w.at(t))
	}
	if c := w.role.Campaign(); c.Replaces != 0 {
		fmt.Fprintf(&b, " campaign=%s replaces=%d", c.Cause, c.Replaces)
	}
	fmt.Fprintf(&b, " leaving=%t\n", w.role.Leaving())
	return b.String()
}

// effects describes what is to be carried out.
func (w *world) effects(fx Effects) string {
	var b bytes.Buffer
	say := func(when bool, format string, args ...any) {
		if when {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	say(fx.ServingChanged && fx.Serving != 0, "serve epoch=%d", index(fx.Serving))
	say(fx.ServingChanged && fx.Serving == 0, "serve no more")
	if l := fx.Lease; l != nil {
		say(true, "lease epoch=%d until=%s", index(l.Epoch), w.at(l.Until))
		say(!l.From.IsZero(), "lease from=%s", w.at(l.From))
	}
	say(fx.LeaseChanged && fx.Lease == nil, "no lease")
	say(fx.OwnerChanged && fx.Live != 0, "owner changed live=%d", index(fx.Live))
	say(fx.OwnerChanged && fx.Live == 0, "owner changed live=none")
	say(fx.FailInFlight, "fail in flight as unknown")
	if o := fx.Own; o != nil {
		say(true, "propose own term=%d prev=%d lease=%d", o.Term, index(o.PrevEpoch), o.LeaseMs)
	}
	if r := fx.Release; r != nil {
		to := "to=" + nameOf(r.To)
		if r.Choose {
			to = "to=whom the member chooses"
		}
		say(true, "propose release epoch=%d %s", index(r.Epoch), to)
	}
	say(fx.RepeatRelease, "repeat release")
	say(fx.ProposePiece, "propose piece")
	say(fx.Campaign, "campaign replaces=%d after=%d", fx.Replaces, fx.After)
	for _, n := range fx.Answer {
		say(true, "answer %d", n)
	}
	for _, n := range fx.Abandon {
		say(true, "abandon %d", n)
	}
	say(!fx.WakeAt.IsZero(), "wake at=%s", w.at(fx.WakeAt))
	say(fx.TellMember, "tell member")
	say(fx.Reconcile, "reconcile")
	say(fx.LookSoon, "look soon")
	return b.String()
}
