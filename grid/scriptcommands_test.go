package grid_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// patience is within what the cluster must be as a script expects it.
const patience = 3 * time.Minute

// scriptCommands are the commands by name. Each takes its arguments and returns what it does; what is wrong with the arguments
// they remember.
var scriptCommands = map[string]func(a *args) action{
	"start":           parseStart,
	"add":             parseAdd,
	"kill":            eachMember((*gridtest.Cluster).Kill),
	"stop":            eachMember((*gridtest.Cluster).Stop),
	"isolate":         eachMember((*gridtest.Cluster).Isolate),
	"restart":         parseRestart,
	"cut":             parseCut,
	"heal":            func(*args) action { return func(r *scriptRun) error { r.cl.Heal(); return nil } },
	"drain":           parseDrain,
	"remove":          parseRemove,
	"rebalance":       func(*args) action { return rebalance },
	"safe":            func(*args) action { return func(r *scriptRun) error { return r.mayGo(true) } },
	"not-safe":        func(*args) action { return func(r *scriptRun) error { return r.mayGo(false) } },
	"holds":           parseHolds,
	"put":             parsePut,
	"get":             parseGet,
	"fill":            parseFill,
	"verify":          parseVerify,
	"wait-safe":       func(*args) action { return func(r *scriptRun) error { r.cl.WaitSafe(); return nil } },
	"status":          parseStatus,
	"members":         parseMembers,
	"owners":          parseOwners,
	"owners-balanced": func(*args) action { return ownersBalanced },
	"load":            parseLoad,
}

func parseStart(a *args) action {
	n, partitions, replicas := a.number("number of members"), a.count("partitions", 12), a.count("replicas", 3)
	rebuildDelay := a.duration("rebuild-delay", 0)
	return func(r *scriptRun) error {
		r.cl = gridtest.New(r.t, n, gridtest.WithPartitions(partitions), gridtest.WithReplicas(replicas),
			gridtest.WithLogger(slog.New(slog.NewTextHandler(&r.log, nil))),
			gridtest.WithConfig(func(_ int, cfg *grid.Config) { cfg.RebuildDelay, cfg.Lite = rebuildDelay, r.lite }))
		return nil
	}
}

func parseAdd(a *args) action {
	lite := len(a.words) > 0
	if lite && a.word("lite") != "lite" {
		a.bad("a member is added as it is, or lite")
	}
	return func(r *scriptRun) error {
		r.lite = lite
		r.cl.Add()
		return nil
	}
}

// eachMember is a command that does something to one member after the other.
func eachMember(do func(cl *gridtest.Cluster, i int)) func(a *args) action {
	return func(a *args) action {
		list := a.members()
		return func(r *scriptRun) error {
			for _, i := range list {
				do(r.cl, i)
			}
			return nil
		}
	}
}

func parseRestart(a *args) action {
	list := a.members()
	return func(r *scriptRun) error {
		r.cl.Restart(list...)
		return nil
	}
}

func parseCut(a *args) action {
	i, j := a.number("member"), a.number("member")
	return func(r *scriptRun) error {
		r.cl.Cut(i, j)
		return nil
	}
}

// nobody is the member through which a call goes that goes through no particular one.
const nobody = -1

// client returns the client of member via.
func (r *scriptRun) client(via int) *sdk.Client {
	r.t.Helper()
	if via == nobody {
		return r.cl.Client()
	}
	return r.cl.Member(via).Client()
}

// openMap returns a map through member via.
func (r *scriptRun) openMap(name string, via int) (*sdk.Map[string, string], error) {
	r.t.Helper()
	return sdk.OpenMap[string, string](r.client(via), name)
}

// What a call may answer other than a value.
const (
	answersNone    = "(none)"
	answersRefused = "(refused)"
)

func parsePut(a *args) action {
	name, key, value := a.word("map"), a.word("key"), a.word("value")
	ttl, via, within, want := a.duration("ttl", 0), a.count("via", nobody), a.duration("within", callTime), a.wanted()
	if want != "" && want != answersRefused {
		a.bad("a put answers %s or nothing, not %q", answersRefused, want)
	}
	return func(r *scriptRun) error {
		m, err := r.openMap(name, via)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), within)
		defer cancel()
		err = m.Set(ctx, key, value, sdk.WithTTL(ttl))
		if (want == answersRefused) != (err != nil) {
			return fmt.Errorf("answered %w", orDone(err))
		}
		return nil
	}
}

var errDone = errors.New("that it is done")

func orDone(err error) error {
	if err == nil {
		return errDone
	}
	return err
}

func parseGet(a *args) action {
	name, key := a.word("map"), a.word("key")
	via, within, want := a.count("via", nobody), a.duration("within", callTime), a.wanted()
	if want == "" {
		a.bad("say after -> what it answers")
	}
	return func(r *scriptRun) error {
		m, err := r.openMap(name, via)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), within)
		defer cancel()
		got, found, err := m.Get(ctx, key)
		switch {
		case err != nil && want != answersRefused:
			return err
		case err != nil:
			got = answersRefused
		case !found:
			got = answersNone
		}
		if got != want {
			return fmt.Errorf("answered %s", got)
		}
		return nil
	}
}

// filled returns entry i of a map that fill has filled.
func filled(i int) (key, value string) { return fmt.Sprintf("key-%d", i), fmt.Sprintf("value-%d", i) }

// bulk is how many entries one call of fill and verify takes.
const bulk = 500

func parseFill(a *args) action {
	name, n := a.word("map"), a.number("number of entries")
	return func(r *scriptRun) error {
		m, err := r.openMap(name, nobody)
		if err != nil {
			return err
		}
		for from := 0; from < n; from += bulk {
			entries := make(map[string]string, bulk)
			for i := from; i < min(n, from+bulk); i++ {
				k, v := filled(i)
				entries[k] = v
			}
			ctx, cancel := context.WithTimeout(r.t.Context(), callTime)
			err := m.SetAll(ctx, entries)
			cancel()
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func parseVerify(a *args) action {
	name, n := a.word("map"), a.number("number of entries")
	return func(r *scriptRun) error {
		m, err := r.openMap(name, nobody)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.t.Context(), patience)
		defer cancel()
		var wrong []string
		for from := 0; from < n; from += bulk {
			keys := make([]string, 0, bulk)
			for i := from; i < min(n, from+bulk); i++ {
				k, _ := filled(i)
				keys = append(keys, k)
			}
			got, err := m.GetAll(ctx, keys...)
			if err != nil {
				return err
			}
			for i := from; i < min(n, from+bulk); i++ {
				if k, v := filled(i); got[k] != v {
					wrong = append(wrong, fmt.Sprintf("%s=%q", k, got[k]))
				}
			}
		}
		if len(wrong) > 0 {
			return fmt.Errorf("%d of %d entries are missing or wrong: %.5v", len(wrong), n, wrong[:min(5, len(wrong))])
		}
		if size, err := m.Size(ctx); err != nil || size != n {
			return fmt.Errorf("it holds %d entries: %w", size, orDone(err))
		}
		return nil
	}
}

// poll looks now and every 20 ms until look reports true, which it does too, or ctx ends.
func poll(ctx context.Context, look func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// eventually asks until ok returns nil, and fails with its last answer.
func (r *scriptRun) eventually(ok func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var err error
	if poll(ctx, func() bool { err = ok(ctx); return err == nil }) {
		return nil
	}
	return fmt.Errorf("in %v not, but %w", patience, err)
}

// statusFields are the fields of a status that are numbers.
var statusFields = map[string]func(s *sdk.ClusterStatus) int{
	"tolerates":        func(s *sdk.ClusterStatus) int { return s.Tolerates },
	"members":          func(s *sdk.ClusterStatus) int { return s.Members },
	"ready":            func(s *sdk.ClusterStatus) int { return s.Ready },
	"partitions":       func(s *sdk.ClusterStatus) int { return s.Partitions },
	"replicas":         func(s *sdk.ClusterStatus) int { return s.Replicas },
	"under_replicated": func(s *sdk.ClusterStatus) int { return s.UnderReplicated },
	"unavailable":      func(s *sdk.ClusterStatus) int { return s.Unavailable },
	"lost":             func(s *sdk.ClusterStatus) int { return s.Lost },
	"moves":            func(s *sdk.ClusterStatus) int { return s.Moves },
}

func parseStatus(a *args) action {
	via := a.count("via", nobody)
	var checks []func(s *sdk.ClusterStatus) bool
	for name, text := range a.options {
		delete(a.options, name)
		if field, ok := statusFields[name]; ok {
			want, err := strconv.Atoi(text)
			if err != nil {
				a.bad("%s=%s: want a number", name, text)
			}
			checks = append(checks, func(s *sdk.ClusterStatus) bool { return field(s) == want })
			continue
		}
		switch name {
		case "state":
			checks = append(checks, func(s *sdk.ClusterStatus) bool { return s.State == text })
		case "safe":
			want, err := strconv.ParseBool(text)
			if err != nil || strconv.FormatBool(want) != text {
				a.bad("safe=%s: want true or false", text)
			}
			checks = append(checks, func(s *sdk.ClusterStatus) bool { return s.Safe == want })
		default:
			a.bad("unknown field %q", name)
		}
	}
	if len(checks) == 0 {
		a.bad("no field")
	}
	return func(r *scriptRun) error {
		c := r.client(via)
		return r.eventually(func(ctx context.Context) error {
			s, err := c.Cluster(ctx)
			if err != nil {
				return err
			}
			for _, ok := range checks {
				if !ok(&s) {
					return fmt.Errorf("%+v", s)
				}
			}
			return nil
		})
	}
}

func parseMembers(a *args) action {
	n := a.number("number of members")
	return func(r *scriptRun) error {
		return r.eventually(func(ctx context.Context) error {
			list, err := r.cl.Client().Members(ctx)
			if err != nil {
				return err
			}
			there := 0
			for _, m := range list {
				if m.State != sdk.MemberLeft && m.State != sdk.MemberDead {
					there++
				}
			}
			if there != n {
				return fmt.Errorf("%d members: %+v", there, list)
			}
			return nil
		})
	}
}

func ownersBalanced(r *scriptRun) error {
	return r.eventually(func(ctx context.Context) error {
		members, err := r.cl.Client().Members(ctx)
		if err != nil {
			return err
		}
		parts, err := r.cl.Client().Partitions(ctx)
		if err != nil {
			return err
		}
		owned := make(map[string]int)
		for _, m := range members {
			if m.State == sdk.MemberReady {
				owned[m.ID] = 0
			}
		}
		share := float64(len(parts)) / float64(len(owned))
		for _, p := range parts {
			if _, ok := owned[p.Owner]; !ok {
				return fmt.Errorf("partition %d is owned by %q, who is not ready", p.ID, p.Owner)
			}
			owned[p.Owner]++
		}
		for _, n := range owned {
			if math.Abs(float64(n)-share) > 1 {
				return fmt.Errorf("the share is %.1f, and they own %v", share, owned)
			}
		}
		return nil
	})
}

func parseOwners(a *args) action {
	watched := func(judge func(r *scriptRun, w *ownerWatch) error) action {
		return func(r *scriptRun) error {
			if r.owners == nil {
				return errors.New("nobody has watched them")
			}
			r.owners.stop()
			return judge(r, r.owners)
		}
	}
	switch what := a.word("watch, changed or were-ready"); what {
	case "watch":
		return func(r *scriptRun) error {
			if r.owners != nil {
				r.owners.stop()
			}
			r.owners = watchOwners(r.cl.Client())
			return nil
		}
	case "changed":
		most := a.count("max", nobody)
		if most == nobody {
			a.bad("no max=N")
		}
		return watched(func(r *scriptRun, w *ownerWatch) error {
			n := w.changes()
			r.t.Logf("owners have changed %d times", n)
			if n > most {
				return fmt.Errorf("they have changed %d times", n)
			}
			return nil
		})
	case "were-ready":
		return watched(func(r *scriptRun, w *ownerWatch) error {
			r.t.Logf("owners were looked at %d times", w.looks)
			if w.looks == 0 {
				return errors.New("they were never seen")
			}
			// A member that is taken for down, as on a busy machine, has others elected that hold its replicas, whether they are ready or not.
			if w.unready != nil && strings.Contains(r.log.text(), "member down; electing other leaders") {
				r.t.Logf("after a member was taken for down: %v", w.unready)
				return nil
			}
			return w.unready
		})
	default:
		a.bad("owners %q: want watch, changed or were-ready", what)
		return nil
	}
}

// ownerWatch sees who owns what.
type ownerWatch struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// The following are the watcher's until it has ended.
	epochs  map[int]map[uint64]struct{} // by partition
	looks   int
	unready error // the first owner that clients could not have reached yet
}

// watchOwners asks for the owners again and again until it is stopped.
func watchOwners(c *sdk.Client) *ownerWatch {
	w := &ownerWatch{epochs: make(map[int]map[uint64]struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.wg.Go(func() { poll(ctx, func() bool { w.look(ctx, c); return false }) })
	return w
}

// look sees who owns what now.
func (w *ownerWatch) look(ctx context.Context, c *sdk.Client) {
	parts, err := c.Partitions(ctx)
	if err != nil {
		return // asked again
	}
	for _, p := range parts {
		if w.epochs[p.ID] == nil {
			w.epochs[p.ID] = make(map[uint64]struct{})
		}
		w.epochs[p.ID][p.Epoch] = struct{}{}
	}
	members, err := c.Members(ctx)
	if err != nil {
		return
	}
	w.looks++
	for _, m := range members { // as they are by now, so one that was joining before still is
		for _, p := range parts {
			if m.State == sdk.MemberJoining && p.Owner == m.ID && w.unready == nil {
				w.unready = fmt.Errorf("partition %d is owned by %s, which is still joining", p.ID, m.Name)
			}
		}
	}
}

// stop ends the watch. It may be called twice.
func (w *ownerWatch) stop() {
	w.cancel()
	w.wg.Wait()
}

// changes returns how often owners have changed. REQUIRES that the watch has ended.
func (w *ownerWatch) changes() (n int) {
	for _, e := range w.epochs {
		n += len(e) - 1
	}
	return n
}
