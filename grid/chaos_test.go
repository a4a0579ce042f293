//go:build chaos

package grid_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

var (
	chaosRounds = flag.Int("chaos.rounds", 3, "how often a member is paused before one is killed")
	chaosSeed   = flag.Uint64("chaos.seed", 0, "seed of the load and the faults; 0 draws one")
)

const (
	chaosMembers    = 3
	chaosPartitions = 24
	chaosClients    = 3
	chaosWorkers    = 6
	chaosRegisters  = 12
	chaosCounters   = 4
	// chaosStep is how many operations every worker completes between one fault and the next.
	chaosStep = 150
	// chaosPatience bounds how long the cluster may need for a step, an election by timeout and a busy machine included.
	chaosPatience = 60 * time.Second
)

// TestChaos runs three member processes under a load of registers, counters and inserts from several clients. It pauses members
// one after the other with SIGSTOP for as long as it takes the others to go on without them, and kills one with SIGKILL. Then:
// the histories of registers, counters and inserts are linearizable. Every counter, and every number that was added to under a
// lock, has counted each acknowledged increment once, and every acknowledged insert is there. Members that come back are those
// of TestProcessesKilledInARow.
func TestChaos(t *testing.T) {
	seed := chaosSeedOf(t)
	cl, err := proc.Start(t.Context(), proc.Config{Binary: buildGrid(t), Members: chaosMembers, Partitions: chaosPartitions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for i := range chaosMembers {
				logs, err := cl.Logs(i)
				t.Logf("member %d: %v\n%s", i, err, logs)
			}
		}
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})

	load := newChaosLoad(t, cl.Addrs(), seed)
	load.start(t)
	faults := rand.New(rand.NewPCG(seed, 1))
	load.waitSteps(t, chaosStep)
	for round := range *chaosRounds {
		victim := (round + int(seed%chaosMembers)) % chaosMembers
		signalMember(t, cl, victim, syscall.SIGSTOP)
		load.waitSteps(t, chaosStep)
		signalMember(t, cl, victim, syscall.SIGCONT)
		load.waitSteps(t, chaosStep)
	}
	victim := faults.IntN(chaosMembers)
	if err := cl.Kill(victim); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	load.waitSteps(t, 1)
	t.Logf("member %d was killed; %v later every worker had completed another operation", victim, time.Since(killed).Round(time.Millisecond))
	load.waitSteps(t, chaosStep)
	load.stop()
	load.check(t)
}

// chaosSeedOf returns the seed of a run, and shows it.
func chaosSeedOf(t *testing.T) uint64 {
	t.Helper()
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	return seed
}

// buildGrid returns the path of the binary, built from this source.
func buildGrid(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "grid")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, "../cmd/grid").CombinedOutput()
	if err != nil {
		t.Fatalf("build the binary: %v\n%s", err, out)
	}
	return path
}

func signalMember(t *testing.T, cl *proc.Cluster, i int, sig syscall.Signal) {
	t.Helper()
	if err := cl.Signal(i, sig); err != nil {
		t.Fatal(err)
	}
}

// chaosLoad is the load and what became of it.
type chaosLoad struct {
	maps  []*sdk.Map[string, int] // one for each client
	begin time.Time
	seed  uint64
	steps []atomic.Int64 // operations that each worker has completed
	ctx   context.Context
	end   context.CancelFunc
	wg    sync.WaitGroup

	mu        sync.Mutex // guards the following
	history   []porcupine.Operation
	counted   [chaosCounters]chaosCount
	locked    [chaosCounters]chaosCount // additions under a lock
	inserted  map[string]int            // acknowledged
	undecided map[string]int            // of unknown outcome
	outcomes  map[string]int            // errors by what they say
}

// chaosCount is what became of the increments of one counter.
type chaosCount struct{ acknowledged, unknown int }

func newChaosLoad(t *testing.T, addrs []string, seed uint64) *chaosLoad {
	t.Helper()
	l := &chaosLoad{begin: time.Now(), seed: seed, steps: make([]atomic.Int64, chaosWorkers), inserted: make(map[string]int),
		undecided: make(map[string]int), outcomes: make(map[string]int)}
	for i := range chaosClients {
		c, err := sdk.Connect(t.Context(), addrs, sdk.WithClientName(fmt.Sprintf("chaos-%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		m, err := sdk.OpenMap[string, int](c, "chaos")
		if err != nil {
			t.Fatal(err)
		}
		l.maps = append(l.maps, m)
	}
	return l
}

// start starts the workers. They end with stop.
func (l *chaosLoad) start(t *testing.T) {
	l.ctx, l.end = context.WithCancel(t.Context())
	t.Cleanup(l.stop)
	for w := range chaosWorkers {
		l.wg.Go(func() { l.work(w) })
	}
}

// stop lets every worker complete the operation that it is at.
func (l *chaosLoad) stop() {
	l.end()
	l.wg.Wait()
}

// waitSteps waits until every worker has completed n more operations.
func (l *chaosLoad) waitSteps(t *testing.T, n int64) {
	t.Helper()
	want := make([]int64, len(l.steps))
	for w := range l.steps {
		want[w] = l.steps[w].Load() + n
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(chaosPatience)
	defer late.Stop()
	for w := 0; w < len(want); {
		if l.steps[w].Load() >= want[w] {
			w++
			continue
		}
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatalf("worker %d has not completed %d operations in %v", w, n, chaosPatience)
		}
	}
}

// work does one operation after the other until the load ends. Each has a context of its own, so that the end of the load
// leaves no outcome open.
func (l *chaosLoad) work(w int) {
	rng := rand.New(rand.NewPCG(l.seed, uint64(w)+100))
	m := l.maps[w%len(l.maps)]
	for i := 1; l.ctx.Err() == nil; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), chaosPatience)
		unique := i*chaosWorkers + w + 1 // written once in the whole run, and never 0
		var err error
		switch rng.IntN(10) {
		case 0:
			err = l.insert(ctx, m, w, fmt.Sprintf("insert-%d-%d", w, i), unique)
		case 1:
			err = l.increment(ctx, m, w, rng.IntN(chaosCounters))
		case 2:
			err = l.underLock(ctx, m, rng.IntN(chaosCounters))
		default:
			err = l.register(ctx, m, w, rng, unique)
		}
		cancel()
		if err != nil {
			l.mu.Lock()
			l.outcomes[reason(err)]++
			l.mu.Unlock()
		}
		l.steps[w].Add(1)
	}
}

// reason returns the sentinel of an error.
func reason(err error) string {
	for _, s := range []error{sdk.ErrUnknownOutcome, sdk.ErrUnavailable, sdk.ErrTimeout, sdk.ErrOverloaded} {
		if errors.Is(err, s) {
			return s.Error()
		}
	}
	return err.Error()
}

func (l *chaosLoad) insert(ctx context.Context, m *sdk.Map[string, int], w int, key string, value int) error {
	called := time.Since(l.begin)
	err := m.Set(ctx, key, value)
	l.note(w, registerOp{key: key, kind: registerSet, value: value}, registerResult{}, called, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.inserted[key] = value
	case errors.Is(err, sdk.ErrUnknownOutcome):
		l.undecided[key] = value
	}
	return err
}

// increment adds one by compare-and-set.
func (l *chaosLoad) increment(ctx context.Context, m *sdk.Map[string, int], w, counter int) error {
	key := fmt.Sprintf("counter-%d", counter)
	for {
		n, found, err := l.get(ctx, m, w, key)
		if err != nil {
			return err
		}
		op, res, called := registerOp{key: key, kind: registerCAS, old: n, value: n + 1}, registerResult{}, time.Since(l.begin)
		if found {
			res.done, err = m.ReplaceIfSame(ctx, key, n, n+1)
		} else {
			op.kind = registerAbsent
			var existed bool
			res.value, existed, err = m.PutIfAbsent(ctx, key, 1)
			res.done = !existed
		}
		l.note(w, op, res, called, err)
		done := res.done
		switch {
		case errors.Is(err, sdk.ErrUnknownOutcome):
			l.count(counter, 0, 1)
			return err
		case err != nil:
			return err
		case done:
			l.count(counter, 1, 0)
			return nil
		}
	}
}

func (l *chaosLoad) count(counter, acknowledged, unknown int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counted[counter].acknowledged += acknowledged
	l.counted[counter].unknown += unknown
}

// registerOp is what an operation on a register was asked.
type registerOp struct {
	key        string
	kind       registerKind
	old, value int
}

type registerKind uint8

const (
	registerGet registerKind = iota
	registerSet
	registerPut
	registerCAS
	registerRemove
	registerAbsent // stored if there is nothing

	registerKinds = registerAbsent // that are drawn
)

// registerResult is what it answered; unknown: nothing to rely on.
type registerResult struct {
	unknown bool
	value   int // read, or before the write; 0: none
	done    bool
}

// register does one operation on a register and notes it, unless it surely was not executed.
func (l *chaosLoad) register(ctx context.Context, m *sdk.Map[string, int], w int, rng *rand.Rand, unique int) error {
	op := registerOp{key: fmt.Sprintf("register-%d", rng.IntN(chaosRegisters)), kind: registerKind(rng.IntN(int(registerKinds))), value: unique}
	if op.kind == registerCAS {
		v, found, err := l.get(ctx, m, w, op.key)
		if err != nil || !found {
			return err
		}
		op.old = v
	}
	var res registerResult
	var err error
	called := time.Since(l.begin)
	switch op.kind {
	case registerGet:
		_, _, err := l.get(ctx, m, w, op.key)
		return err
	case registerSet:
		err = m.Set(ctx, op.key, op.value)
	case registerPut:
		res.value, _, err = m.Put(ctx, op.key, op.value)
	case registerCAS:
		res.done, err = m.ReplaceIfSame(ctx, op.key, op.old, op.value)
	case registerRemove:
		res.value, _, err = m.Remove(ctx, op.key)
	}
	l.note(w, op, res, called, err)
	return err
}

func (l *chaosLoad) get(ctx context.Context, m *sdk.Map[string, int], w int, key string) (int, bool, error) {
	called := time.Since(l.begin)
	v, found, err := m.Get(ctx, key)
	l.note(w, registerOp{key: key, kind: registerGet}, registerResult{value: v}, called, err)
	return v, found, err
}

// note appends to the history. An operation of unknown outcome may take effect until the end of time; one with any other
// error has not been executed and never will be.
func (l *chaosLoad) note(w int, op registerOp, res registerResult, called time.Duration, err error) {
	o := porcupine.Operation{ClientId: w, Input: op, Output: res, Call: int64(called), Return: int64(time.Since(l.begin))}
	switch {
	case errors.Is(err, sdk.ErrUnknownOutcome):
		o.Output, o.Return = registerResult{unknown: true}, int64(1)<<62
	case err != nil:
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, o)
}

// registerModel is a register that holds a number or, as 0, nothing.
var registerModel = porcupine.Model{
	Partition: perKey(func(in registerOp) string { return in.key }),
	Init:      func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		now, op, res := state.(int), input.(registerOp), output.(registerResult)
		switch op.kind {
		case registerGet:
			return res.value == now, now
		case registerSet:
			return true, op.value
		case registerPut:
			return res.unknown || res.value == now, op.value
		case registerCAS:
			if now == op.old {
				return res.unknown || res.done, op.value
			}
			return res.unknown || !res.done, now
		case registerAbsent:
			if now == 0 {
				return res.unknown || res.done, op.value
			}
			return res.unknown || !res.done && res.value == now, now
		default: // registerRemove
			return res.unknown || res.value == now, 0
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// check compares what the workers were told with what the cluster has.
func (l *chaosLoad) check(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), chaosPatience)
	defer cancel()
	m := l.maps[0]
	t.Logf("%d operations on registers, %d inserts acknowledged and %d of unknown outcome, errors: %v",
		len(l.history), len(l.inserted), len(l.undecided), l.outcomes)
	for e := range l.outcomes {
		if !strings.Contains(e, sdk.ErrUnknownOutcome.Error()) {
			t.Errorf("a caller got %q: two of three members lived at any time, so nothing but an unknown outcome may end a call", e)
		}
	}

	keys := make([]string, 0, len(l.inserted))
	for k := range l.inserted {
		keys = append(keys, k)
	}
	for k := range l.undecided {
		keys = append(keys, k)
	}
	called := time.Since(l.begin)
	there, err := m.GetAll(ctx, keys...)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		l.note(0, registerOp{key: k, kind: registerGet}, registerResult{value: there[k]}, called, nil)
	}
	for k, want := range l.inserted {
		if got, ok := there[k]; !ok || got != want {
			t.Errorf("%s is %d, %v; %d was acknowledged", k, got, ok, want)
		}
	}

	for i, c := range l.counted {
		n, _, err := m.Get(ctx, fmt.Sprintf("counter-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if n < c.acknowledged || n > c.acknowledged+c.unknown {
			t.Errorf("counter %d is at %d after %d acknowledged increments and %d of unknown outcome", i, n, c.acknowledged, c.unknown)
		}
	}

	l.checkLocked(t, ctx)

	switch res := porcupine.CheckOperationsTimeout(registerModel, l.history, 2*chaosPatience); res {
	case porcupine.Ok:
	case porcupine.Illegal:
		t.Error("the history of a register, counter or insert is not linearizable")
	default:
		t.Errorf("the histories could not be checked in %v", 2*chaosPatience)
	}
}

// TestChaosModel makes sure that the model would see what must not be.
func TestChaosModel(t *testing.T) {
	op := func(client int, call, end int64, in registerOp, out registerResult) porcupine.Operation {
		in.key = "k"
		return porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: end}
	}
	set := func(v int) registerOp { return registerOp{kind: registerSet, value: v} }
	read := registerOp{kind: registerGet}
	cas := func(old, v int) registerOp { return registerOp{kind: registerCAS, old: old, value: v} }
	absent := func(v int) registerOp { return registerOp{kind: registerAbsent, value: v} }
	remove := registerOp{kind: registerRemove}
	const never = int64(1) << 62
	for name, c := range map[string]struct {
		history []porcupine.Operation
		want    bool
	}{
		"reads what was written":      {[]porcupine.Operation{op(0, 1, 2, set(1), registerResult{}), op(1, 3, 4, read, registerResult{value: 1})}, true},
		"reads what was overwritten":  {[]porcupine.Operation{op(0, 1, 2, set(1), registerResult{}), op(0, 3, 4, set(2), registerResult{}), op(1, 5, 6, read, registerResult{value: 1})}, false},
		"loses an acknowledged write": {[]porcupine.Operation{op(0, 1, 2, set(1), registerResult{}), op(1, 3, 4, read, registerResult{})}, false},
		"an unknown write may come":   {[]porcupine.Operation{op(0, 1, never, set(1), registerResult{unknown: true}), op(1, 3, 4, read, registerResult{}), op(1, 5, 6, read, registerResult{value: 1})}, true},
		"and does not go again":       {[]porcupine.Operation{op(0, 1, never, set(1), registerResult{unknown: true}), op(1, 3, 4, read, registerResult{value: 1}), op(1, 5, 6, read, registerResult{})}, false},
		"two compare-and-sets of one": {[]porcupine.Operation{op(0, 1, 2, set(1), registerResult{}), op(0, 3, 4, cas(1, 2), registerResult{done: true}), op(1, 3, 4, cas(1, 3), registerResult{done: true})}, false},
		"stores where nothing was":    {[]porcupine.Operation{op(0, 1, 2, absent(1), registerResult{done: true}), op(1, 3, 4, absent(2), registerResult{value: 1})}, true},
		"stores over what was there":  {[]porcupine.Operation{op(0, 1, 2, set(1), registerResult{}), op(1, 3, 4, absent(2), registerResult{done: true})}, false},
		"removes something twice":     {[]porcupine.Operation{op(0, 1, 2, set(1), registerResult{}), op(0, 3, 4, remove, registerResult{value: 1}), op(1, 3, 4, remove, registerResult{value: 1})}, false},
	} {
		if got := porcupine.CheckOperations(registerModel, c.history); got != c.want {
			t.Errorf("%s: linearizable is %v, want %v", name, got, c.want)
		}
	}
}
