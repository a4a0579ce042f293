package partition

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// registerCall is one call of a history: a read, a write, or a write on condition.
type registerCall struct {
	key      uint64
	kind     wire.Op
	old, new uint64
}

// registerAnswer is its answer.
type registerAnswer struct {
	value   uint64 // of a read; before a write
	stored  bool   // by a write on condition
	unknown bool   // of a write that took effect: there was no answer
}

// registerModel is one register.
var registerModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[uint64][]porcupine.Operation{}
		for _, op := range history {
			k := op.Input.(registerCall).key
			byKey[k] = append(byKey[k], op)
		}
		return slices.Collect(maps.Values(byKey))
	},
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(uint64), input.(registerCall), output.(registerAnswer)
		switch in.kind {
		case wire.OpGet:
			return out.value == now, now
		case wire.OpSet:
			return out.unknown || out.value == now, in.new
		default:
			if out.unknown || out.stored {
				return now == in.old, in.new
			}
			return now != in.old, now
		}
	},
}

// Clients read and write through whoever serves while leaders are moved about and members fall silent: what they see is
// what one register would have shown them.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	c := newBootstrappedCluster(t, 3, 2)
	const clients, keys = 6, 3
	lasting := 5 * time.Second
	if testing.Short() {
		lasting = time.Second
	}
	done, elsewhere := make(chan struct{}), make(chan struct{}, 1) // the second: a write while the owner before did not know
	const enough = 250
	var answered atomic.Int32
	many := make(chan struct{}) // closed once there are enough calls to judge
	began := time.Now()
	histories := make([][]porcupine.Operation, clients+1) // the last is of who moves the leaders
	counts := make([]map[Outcome]int, clients)
	var wg sync.WaitGroup
	for i := range clients {
		counts[i] = map[Outcome]int{}
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 1))
			seen := map[uint64]uint64{}
			for n := uint64(1); ; n++ {
				select {
				case <-done:
					return
				default:
				}
				in := registerCall{key: rnd.Uint64N(2*keys) + 1, new: uint64(i)<<32 | n}
				in.kind = []wire.Op{wire.OpGet, wire.OpSet, wire.OpReplaceIfSame}[rnd.IntN(3)]
				if i < 2 {
					in.kind = wire.OpGet
				}
				in.old = seen[in.key]
				p := int(in.key % 2)
				next := c.changed.next()
				at := rnd.IntN(3)
				for j, h := range c.hosts { // writes go to the newest owner, reads to any that believes to be it
					if now := h.Serving(p); now > c.hosts[at].Serving(p) && (in.kind != wire.OpGet || rnd.IntN(2) == 0) {
						at = j
					}
				}
				call := time.Since(began).Nanoseconds()
				out, o := c.hosts[at].call(p, in)
				counts[i][o]++
				if o != Applied && !out.unknown {
					select { // it had no effect and is no part of the history
					case <-next:
					case <-time.After(5 * time.Millisecond):
					}
					continue
				}
				ret := time.Since(began).Nanoseconds()
				if out.unknown {
					ret = 1 << 62 // it may take effect at any time, or never
				}
				if in.kind == wire.OpGet || in.kind == wire.OpSet && !out.unknown {
					seen[in.key] = out.value
				}
				histories[i] = append(histories[i], porcupine.Operation{ClientId: i, Input: in, Call: call, Output: out, Return: ret})
				if !out.unknown && answered.Add(1) == enough {
					close(many)
				}
			}
		})
	}
	wg.Go(func() { // moves the leaders
		rnd, n := rand.New(rand.NewPCG(7, 7)), uint64(0)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(100+rnd.IntN(200)) * time.Millisecond):
			}
			p, to := rnd.IntN(2), rnd.IntN(3)
			at := c.server(p)
			if at < 0 { // the candidate had the shorter log: another campaigns, also if it is a candidate
				st, _ := c.hosts[to].Status(p)
				c.hosts[to].tr.Inject(ShardOf(1, p), st.Replica, 0, st.Term+1)
				continue
			}
			if mute := rnd.IntN(2) == 0; mute && at >= 0 && at != to {
				c.hosts[at].mute.Store(true)
				for range 5 {
					c.inject(p, to)
					select {
					case <-done:
					case <-time.After(20 * time.Millisecond):
					}
					if c.hosts[to].Serving(p) == 0 {
						continue
					}
					// The writers are stuck with the silent owner, and it does not know that it is none any more.
					n++
					in := registerCall{key: uint64(2 - p), kind: wire.OpSet, new: clients<<32 | n}
					call := time.Since(began).Nanoseconds()
					if out, o := c.hosts[to].call(p, in); o == Applied || out.unknown {
						ret := time.Since(began).Nanoseconds()
						if out.unknown {
							ret = 1 << 62
						}
						histories[clients] = append(histories[clients],
							porcupine.Operation{ClientId: clients, Input: in, Call: call, Output: out, Return: ret})
						select {
						case elsewhere <- struct{}{}:
						default:
						}
					}
				}
				c.hosts[at].mute.Store(false)
				continue
			}
			c.inject(p, to)
		}
	})
	wg.Go(func() { // ends it all, not before what it is about has happened
		<-time.After(lasting)
		limit := time.After(patience)
		for _, needed := range []<-chan struct{}{elsewhere, many} {
			select {
			case <-needed:
			case <-limit:
			}
		}
		close(done)
	})
	wg.Wait()
	applied := map[uint64]bool{}
	for p := range c.partitions {
		c.finish(p)
		for _, v := range c.settle(p).history {
			applied[v] = true
		}
	}
	var history []porcupine.Operation
	total := map[Outcome]int{}
	for i := range histories {
		for _, op := range histories[i] {
			if !op.Output.(registerAnswer).unknown || applied[op.Input.(registerCall).new] {
				history = append(history, op)
			}
		}
	}
	for i := range counts {
		for o, n := range counts[i] {
			total[o] += n
		}
	}
	var reads HostLoad // by what allowed them
	for _, h := range c.hosts {
		l := h.Load()
		reads.LeaseReads, reads.InheritedReads, reads.MajorityReads = reads.LeaseReads+l.LeaseReads, reads.InheritedReads+l.InheritedReads,
			reads.MajorityReads+l.MajorityReads
	}
	t.Logf("reads: %d under leases, %d inherited, %d with a majority", reads.LeaseReads, reads.InheritedReads, reads.MajorityReads)
	epoch, _, _ := c.hosts[0].Owner(0)
	t.Logf("%d calls in the history, outcomes %v, last epoch %d", len(history), total, epoch-uint64(wire.StampOf(wire.Stamp(epoch).Generation(), 0)))
	require.Greater(t, len(history), 200)
	require.Greater(t, total[Moved], 0, "owners did move")
	require.NotEmpty(t, histories[clients], "also while the one before did not know")
	require.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(registerModel, history, 30*time.Second))
}

// finish has the preferred owner take the partition again: nothing of earlier epochs can take effect after that.
func (c *testCluster) finish(p int) {
	c.tb.Helper()
	n := len(c.hosts)
	c.elect(p, (p+1)%n)
	c.elect(p, p%n)
	for c.hosts[p%n].write(p, 99, 1<<63).what != Applied { // an election asked for earlier may come late
		c.elect(p, p%n)
	}
}

// call makes one call at a host. Reads are never unknown.
func (h *testHost) call(p int, in registerCall) (registerAnswer, Outcome) {
	var op *entry.Op
	switch in.kind {
	case wire.OpGet:
		v, o := h.read(p, in.key)
		return registerAnswer{value: v}, o
	case wire.OpSet:
		op = setOp(in.key, in.new, 0)
	default:
		op = casOp(in.key, in.old, in.new)
	}
	c := h.submit(p, op)
	h.Flush(p)
	o := c.wait(h.cluster.tb)
	a := registerAnswer{unknown: o.what == Unknown, stored: o.res.Code == wire.CodeOK}
	if len(o.res.Body) == 8 {
		r := wire.NewReader(o.res.Body)
		a.value = r.U64()
	}
	return a, o.what
}

// The checker would notice: a read of what was overwritten before it began.
func TestLinearizableModelNoticesStaleReads(t *testing.T) {
	op := func(call, ret int64, in registerCall, out registerAnswer) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: call, Return: ret}
	}
	write := op(1, 2, registerCall{key: 1, kind: wire.OpSet, new: 5}, registerAnswer{})
	for name, c := range map[string]struct {
		last porcupine.Operation
		ok   bool
	}{
		"fresh":      {op(3, 4, registerCall{key: 1, kind: wire.OpGet}, registerAnswer{value: 5}), true},
		"stale":      {op(3, 4, registerCall{key: 1, kind: wire.OpGet}, registerAnswer{}), false},
		"stored":     {op(3, 4, registerCall{key: 1, kind: wire.OpReplaceIfSame, old: 4, new: 6}, registerAnswer{stored: true}), false},
		"not stored": {op(3, 4, registerCall{key: 1, kind: wire.OpReplaceIfSame, old: 5, new: 6}, registerAnswer{}), false},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.ok, porcupine.CheckOperations(registerModel, []porcupine.Operation{write, c.last}))
		})
	}
}

// After random load with owners moved about, all replicas hold the same, and every answer was true.
func TestReplicasAgree(t *testing.T) {
	t.Parallel()
	const partitions = 4
	c := newBootstrappedCluster(t, 3, partitions)
	var wg sync.WaitGroup
	type result struct {
		value uint64
		what  Outcome
	}
	results := make([][]result, partitions)
	for p := range partitions {
		wg.Go(func() {
			for n := range uint64(600) {
				at := max(0, c.server(p))
				o := c.hosts[at].write(p, n%7, n+1)
				results[p] = append(results[p], result{n + 1, o.what})
				if n%100 == 99 {
					c.inject(p, (at+1)%3)
				}
			}
		})
	}
	wg.Wait()
	for p := range partitions {
		c.finish(p)
		s := c.settle(p)
		applied := map[uint64]int{}
		for _, v := range s.history {
			applied[v]++
		}
		n := 0
		for _, r := range results[p] {
			switch r.what {
			case Applied:
				n++
				require.Equal(t, 1, applied[r.value])
			case Moved, NotProposed:
				require.Zero(t, applied[r.value], fmt.Sprintf("outcome %d", r.what))
			}
		}
		require.Greater(t, n, 0)
	}
}
