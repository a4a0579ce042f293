package sdk

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// nearGrid is a fake grid for near caches of one map. A client of its own makes changes, whose events the test sends.
type nearGrid struct {
	*eventGrid
	c   *Client
	m   *Map[string, string] // without a near cache, at another client
	own *Map[string, string] // likewise, at the same client

	at []atomic.Pointer[wire.Position] // by partition: where events stand
}

func newNearGrid(t testing.TB, opts ...Option) *nearGrid {
	t.Helper()
	const partitions = 4
	g := &nearGrid{eventGrid: newEventGrid(t, 2, partitions, "m"), at: make([]atomic.Pointer[wire.Position], partitions)}
	g.note()
	g.OnCache(func(partition uint32) wire.Position { return *g.at[partition].Load() })
	g.c = connected(t, g.Grid, append(opts, WithDialer(g.dial))...)
	g.own = opened[string, string](t, g.c, "m")
	g.m = opened[string, string](t, connected(t, g.Grid), "m")
	return g
}

// note makes owners tell near caches where events stand.
func (g *nearGrid) note() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range g.rings {
		p := r.stand()
		g.at[i].Store(&p)
	}
}

// event makes an event for the last change of a key. It is not sent.
func (g *nearGrid) event(kind wire.EventKind, key string) {
	g.t.Helper()
	k, err := codec.EncodeKey(nil, key)
	noErr(g.t, err)
	p := g.partitionOf(key)
	version := g.Version(p)
	g.mu.Lock()
	r := g.rings[p]
	r.emit(kind, 0)
	e := &r.history[len(r.history)-1]
	e.Version, e.Time = version, 1
	if kind != wire.EventCleared {
		e.Key = k
	}
	g.mu.Unlock()
	g.note()
}

// set has the other client store a value.
func (g *nearGrid) set(key, value string) {
	g.t.Helper()
	noErr(g.t, g.m.Set(g.t.Context(), key, value))
	g.event(wire.EventUpdated, key)
}

// open opens the map with a near cache, and waits until it hears events.
func (g *nearGrid) open(cfg NearCacheConfig) *Map[string, string] {
	g.t.Helper()
	m := opened[string, string](g.t, g.c, "m", WithNearCache(cfg))
	poll(g.t, "the near cache hears events", func() bool { return m.near().stream.Load() != nil })
	return m
}

// gets checks what Get finds; a zero value is nothing.
func gets[V comparable](t testing.TB, m *Map[string, V], key string, want V) {
	t.Helper()
	var none V
	v, found, err := m.Get(t.Context(), key)
	if err != nil || v != want || found != (want != none) {
		t.Fatalf("Get(%q) = %v, %v, %v; want %v", key, v, found, err, want)
	}
}

// settles reads a key until a hit has a value.
func settles[V comparable](t testing.TB, m *Map[string, V], key string, want V) {
	t.Helper()
	poll(t, "a hit", func() bool {
		hits := m.NearCacheStats().Hits
		v, _, err := m.Get(t.Context(), key)
		noErr(t, err)
		return v == want && m.NearCacheStats().Hits > hits
	})
}

func TestNearCache(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	m := g.open(NearCacheConfig{Negative: true})
	settles(t, m, "k", "v")

	// Reads that hit need no member.
	g.Record()
	before := m.NearCacheStats()
	gets(t, m, "k", "v")
	if ok, err := m.ContainsKey(t.Context(), "k"); !ok || err != nil {
		t.Errorf("ContainsKey: %v, %v", ok, err)
	}
	if all, err := m.GetAll(t.Context(), "k", "k"); len(all) != 1 || all["k"] != "v" || err != nil {
		t.Errorf("GetAll: %v, %v", all, err)
	}
	if seen := g.Requests(wire.OpGet, wire.OpContains, wire.OpGetMany); len(seen) != 0 {
		t.Errorf("members were asked: %+v", seen)
	}
	if s := m.NearCacheStats(); s.Hits != before.Hits+4 || s.Misses != before.Misses || s.Entries != 1 || s.Bytes != 4 || s.Stale != 0 {
		t.Errorf("%+v after %+v", s, before)
	}

	// An absence is remembered too, by whichever read.
	settles(t, m, "none", "")
	if ok, err := m.ContainsKey(t.Context(), "absent"); ok || err != nil {
		t.Errorf("ContainsKey: %v, %v", ok, err)
	}
	hits := m.NearCacheStats().Hits
	gets(t, m, "absent", "")
	gets(t, m, "absent", "")
	if all, err := m.GetAll(t.Context(), "absent", "none"); len(all) != 0 || err != nil || m.NearCacheStats().Hits < hits+3 {
		t.Errorf("GetAll: %v, %v, %+v", all, err, m.NearCacheStats())
	}

	// A change by another client drops the copy when its event comes.
	g.set("k", "w")
	g.publish()
	poll(t, "the change is heard", func() bool {
		v, _, err := m.Get(t.Context(), "k")
		noErr(t, err)
		return v == "w"
	})
}

func TestNearCacheGetAll(t *testing.T) {
	g := newNearGrid(t)
	for _, k := range []string{"a", "b", "c", "d", "e"} {
		g.set(k, "v"+k)
	}
	m := g.open(NearCacheConfig{})
	all := func() {
		t.Helper()
		got, err := m.GetAll(t.Context(), "a", "b", "c", "d", "e", "none")
		if err != nil || len(got) != 5 || got["a"] != "va" || got["e"] != "ve" {
			t.Fatalf("%v, %v", got, err)
		}
	}
	poll(t, "five hits", func() bool {
		before := m.NearCacheStats()
		all()
		return m.NearCacheStats().Hits == before.Hits+5 && m.NearCacheStats().Misses == before.Misses+1
	})
	settles(t, m, "b", "vb")
}

// What a client has written is what it reads, whichever of its Maps wrote and whether or not events come.
func TestNearCacheReadYourWrites(t *testing.T) {
	g := newNearGrid(t)
	ctx := t.Context()
	fenced := func(t *testing.T, m *Map[string, string]) error {
		l, err := m.Lock(ctx, "k")
		noErr(t, err)
		return errors.Join(m.Set(ctx, "k", "w", WithFence(l)), l.Unlock(ctx))
	}
	cfg := NearCacheConfig{Negative: true}
	m := g.open(cfg)
	for name, write := range map[string]struct {
		do   func(*testing.T, *Map[string, string]) error
		want string
	}{
		"Set":     {func(_ *testing.T, m *Map[string, string]) error { return m.Set(ctx, "k", "w") }, "w"},
		"Put":     {func(_ *testing.T, m *Map[string, string]) error { _, _, err := m.Put(ctx, "k", "w"); return err }, "w"},
		"Replace": {func(_ *testing.T, m *Map[string, string]) error { _, _, err := m.Replace(ctx, "k", "w"); return err }, "w"},
		"ReplaceIfSame": {func(_ *testing.T, m *Map[string, string]) error {
			_, err := m.ReplaceIfSame(ctx, "k", "v", "w")
			return err
		}, "w"},
		"Remove":       {func(_ *testing.T, m *Map[string, string]) error { _, _, err := m.Remove(ctx, "k"); return err }, ""},
		"RemoveIfSame": {func(_ *testing.T, m *Map[string, string]) error { _, err := m.RemoveIfSame(ctx, "k", "v"); return err }, ""},
		"Delete":       {func(_ *testing.T, m *Map[string, string]) error { _, err := m.Delete(ctx, "k"); return err }, ""},
		"Evict":        {func(_ *testing.T, m *Map[string, string]) error { _, err := m.Evict(ctx, "k"); return err }, ""},
		"SetAll": {func(_ *testing.T, m *Map[string, string]) error {
			return m.SetAll(ctx, map[string]string{"k": "w", "x": "y"})
		}, "w"},
		"DeleteAll": {func(_ *testing.T, m *Map[string, string]) error { _, err := m.DeleteAll(ctx, "k", "x"); return err }, ""},
		"Clear":     {func(_ *testing.T, m *Map[string, string]) error { return m.Clear(ctx) }, ""},
		"Destroy":   {func(_ *testing.T, m *Map[string, string]) error { return m.Destroy(ctx) }, ""},
		"RemoveAll": {func(_ *testing.T, m *Map[string, string]) error {
			_, err := m.RemoveAll(ctx, KeyGlob("k*"))
			return err
		}, ""},
		"ExecuteOnKey": {func(_ *testing.T, m *Map[string, string]) error {
			_, err := ExecuteOnKey[int](ctx, m, "k", "append", "w")
			return err
		}, "vw"},
		"a fenced Set": {fenced, "w"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, by := range []*Map[string, string]{m, g.own} {
				g.set("k", "v")
				g.publish()
				settles(t, m, "k", "v")
				noErr(t, write.do(t, by))
				gets(t, m, "k", write.want)
			}
		})
	}

	t.Run("PutIfAbsent", func(t *testing.T) {
		_, err := g.own.Delete(ctx, "k")
		noErr(t, err)
		settles(t, m, "k", "")
		_, _, err = g.own.PutIfAbsent(ctx, "k", "w")
		noErr(t, err)
		gets(t, m, "k", "w")
	})
	t.Run("GetOrLoad", func(t *testing.T) {
		_, err := g.own.Delete(ctx, "k")
		noErr(t, err)
		settles(t, m, "k", "")
		_, err = g.own.GetOrLoad(ctx, "k", func(context.Context, string) (string, error) { return "w", nil })
		noErr(t, err)
		gets(t, m, "k", "w")
	})

	t.Run("Add", func(t *testing.T) {
		near, plain := opened[string, int](t, g.c, "m", WithNearCache(cfg)), opened[string, int](t, g.c, "m")
		want := 1
		noErr(t, plain.Set(ctx, "number", want))
		for _, by := range []*Map[string, int]{near, plain} {
			settles(t, near, "number", want)
			want += 2
			_, err := Add(ctx, by, "number", 2)
			noErr(t, err)
			gets(t, near, "number", want)
		}
	})
	t.Run("MergeJSON", func(t *testing.T) {
		type item struct{ A, B int }
		near, plain := opened[string, item](t, g.c, "m", WithNearCache(cfg)), opened[string, item](t, g.c, "m")
		want := item{A: 1}
		noErr(t, plain.Set(ctx, "item", want))
		for _, by := range []*Map[string, item]{near, plain} {
			settles(t, near, "item", want)
			want.B++
			_, err := MergeJSON(ctx, by, "item", map[string]int{"B": want.B})
			noErr(t, err)
			gets(t, near, "item", want)
		}
	})

	// Whoever has got the lock sees what its holder before has written, though no event has come.
	t.Run("Lock", func(t *testing.T) {
		settles(t, m, "k", "w")
		g.set("k", "x")
		l, err := g.own.Lock(ctx, "k")
		noErr(t, err)
		gets(t, m, "k", "x")
		noErr(t, l.Unlock(ctx))
	})

	// A write that has changed nothing has seen the newest value.
	t.Run("a write without effect", func(t *testing.T) {
		settles(t, m, "k", "x")
		g.set("k", "y")
		if ok, err := m.ReplaceIfSame(ctx, "k", "x", "z"); ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		gets(t, m, "k", "y")
	})

	t.Run("SetTTL", func(t *testing.T) {
		settles(t, m, "k", "y")
		if ok, err := g.own.SetTTL(ctx, "k", time.Millisecond); !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		poll(t, "the entry expires", func() bool {
			_, found, err := m.Get(ctx, "k")
			noErr(t, err)
			return !found
		})
	})
}

// An own write of unknown outcome may have taken effect: what was known of the key before counts no more.
func TestNearCacheUnknownOutcome(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	m := g.open(NearCacheConfig{})
	settles(t, m, "k", "v")

	g.OnRequest(func(mb *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Op == wire.OpSet {
			return fakegrid.Verdict{Execute: true, Code: wire.CodeStale}
		}
		return g.judge(mb, req)
	})
	if err := g.own.Set(t.Context(), "k", "w"); !errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("Set: %v", err)
	}
	gets(t, m, "k", "w")
}

// Only Get, GetAll and ContainsKey may answer from a copy.
func TestNearCacheIsNotForGetOrLoad(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	m := g.open(NearCacheConfig{})
	settles(t, m, "k", "v")
	g.set("k", "w") // the event is not sent
	hits := m.NearCacheStats().Hits
	v, err := m.GetOrLoad(t.Context(), "k", func(context.Context, string) (string, error) { return "", errors.New("loaded") })
	if err != nil || v != "w" || m.NearCacheStats().Hits != hits {
		t.Errorf("GetOrLoad: %q, %v, and %+v", v, err, m.NearCacheStats())
	}
}

// An answer of a cluster that was replaced meanwhile is no news of the one that is listened to. It could lead beyond events that are still to
// come, or make owners look deposed.
func TestNearCacheAnswerOfAnotherCluster(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	m := g.open(NearCacheConfig{})
	settles(t, m, "k", "v")

	n, p := m.near(), g.partitionOf("k")
	cl := newCall(wire.OpGet, "m", uint32(p))
	defer cl.release()
	s := n.stream.Load()
	before := s.freshness(p)
	cl.cluster = wire.ID{1}
	far := wire.CacheHead{Position: wire.Position{Partition: uint32(p), Epoch: epochOf(9, 1), Pos: before.at.pos + 100}, AsOf: before.asOf + 1000}
	if gap := n.reached(cl, &far); !gap || s.freshness(p).at != before.at || s.freshness(p).asOf == 0 {
		t.Errorf("another cluster's answer: gap %v, and %+v after %+v", gap, s.freshness(p), before)
	}
	cl.cluster = *s.of.Load()
	far.Position.Epoch = epochOf(1, 1<<20)
	n.reached(cl, &far)
	if after := s.freshness(p); after.asOf < far.AsOf || after.at.pos != far.Position.Pos {
		t.Errorf("the own cluster's answer: %+v", after)
	}
}

// Without watermarks and events the near cache asks, and does not serve what it cannot vouch for.
func TestNearCacheBypass(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	m := g.open(NearCacheConfig{})
	settles(t, m, "k", "v")

	// Owners do not answer questions for events either. Only reads are answered, and one of them makes a partition fresh.
	g.setDown(true)
	g.OnRequest(func(mb *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		switch req.Op {
		case wire.OpEvents, wire.OpInterest:
			return fakegrid.Verdict{Ignore: true}
		}
		return g.judge(mb, req)
	})
	g.set("k", "w")
	changed := time.Now()
	for {
		v, _, err := m.Get(t.Context(), "k")
		noErr(t, err)
		if v == "w" {
			break
		}
		if old := time.Since(changed); old > 3500*time.Millisecond {
			t.Fatalf("a value of %v ago is served", old)
		}
	}
	s := m.NearCacheStats()
	if s.Bypasses == 0 || s.MaxStaleness == 0 || s.MaxStaleness > 2500*time.Millisecond {
		t.Errorf("%+v", s)
	}
}

// Events that are lost, and a partition that goes on in another generation, leave nothing of the partition behind.
func TestNearCacheLost(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	g.publish()
	m := g.open(NearCacheConfig{})
	settles(t, m, "k", "v")

	g.set("k", "w")
	g.set("k", "x")
	g.mu.Lock()
	r := g.rings[g.partitionOf("k")]
	r.gone = len(r.history) // the ring has forgotten
	g.mu.Unlock()
	poll(t, "LOST", func() bool {
		g.watermark()
		v, _, err := m.Get(t.Context(), "k")
		noErr(t, err)
		return v == "x"
	})
	if s := m.NearCacheStats(); s.Repairs == 0 {
		t.Errorf("%+v", s)
	}

	settles(t, m, "k", "x")
	noErr(t, g.m.Set(t.Context(), "k", "y"))
	g.mu.Lock()
	r.recover(len(r.history), false)
	g.mu.Unlock()
	g.note()
	poll(t, "another generation", func() bool {
		g.watermark()
		v, _, err := m.Get(t.Context(), "k")
		noErr(t, err)
		return v == "y"
	})
}

func TestNearCacheCleared(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	m := g.open(NearCacheConfig{})
	settles(t, m, "k", "v")
	noErr(t, g.m.Clear(t.Context()))
	g.event(wire.EventCleared, "k")
	g.publish()
	poll(t, "the Clear is heard", func() bool {
		_, found, err := m.Get(t.Context(), "k")
		noErr(t, err)
		return !found
	})
}

// A copy ends with its entry, whatever the near cache hears.
func TestNearCacheTTL(t *testing.T) {
	g := newNearGrid(t)
	m := g.open(NearCacheConfig{})
	noErr(t, g.m.Set(t.Context(), "k", "v", WithTTL(200*time.Millisecond)))
	end := time.Now().Add(200 * time.Millisecond)
	g.event(wire.EventAdded, "k")
	g.publish()
	for {
		_, found, err := m.Get(t.Context(), "k")
		noErr(t, err)
		if !found {
			break
		}
		if time.Now().After(end.Add(100 * time.Millisecond)) {
			t.Fatal("an expired entry is served")
		}
	}
	if m.NearCacheStats().Hits == 0 {
		t.Error("no hit")
	}
}

func TestNearCacheConfigs(t *testing.T) {
	g := newNearGrid(t)
	m := g.open(NearCacheConfig{})
	for name, opts := range map[string][]MapOption{
		"another configuration": {WithNearCache(NearCacheConfig{MaxEntries: 5})},
		"twice, and not alike":  {WithNearCache(NearCacheConfig{}), WithNearCache(NearCacheConfig{Negative: true})},
		"negative":              {WithNearCache(NearCacheConfig{MaxEntries: -1, MaxBytes: -1, TTL: -1, MaxIdle: -1})},
		"a share above 1":       {WithNearCache(NearCacheConfig{Verify: 1.5})},
	} {
		if _, err := OpenMap[string, string](g.c, "m", opts...); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// The same configuration, whether or not its defaults are spelled out, is the same near cache.
	same := opened[string, string](t, g.c, "m", WithNearCache(NearCacheConfig{MaxEntries: 10_000, Verify: 0.0001}))
	if same.near() != m.near() || g.own.near() != nil || g.own.NearCacheStats() != (NearCacheStats{}) {
		t.Error("not the near cache that there is")
	}
	other := opened[string, string](t, g.c, "another map", WithNearCache(NearCacheConfig{MaxEntries: 5}))
	if other.near() == m.near() {
		t.Error("two maps have one near cache")
	}

	noErr(t, g.c.Close())
	if _, _, err := m.Get(t.Context(), "k"); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
	if _, err := OpenMap[string, string](g.c, "m", WithNearCache(NearCacheConfig{})); !errors.Is(err, ErrClosed) {
		t.Errorf("OpenMap after Close: %v", err)
	}
}

// One near cache serves Maps of several types. A copy that a Map cannot use is a miss.
func TestNearCacheOfSeveralTypes(t *testing.T) {
	for _, encoded := range []bool{false, true} {
		g := newNearGrid(t)
		g.set("k", "v")
		cfg := NearCacheConfig{Encoded: encoded}
		m := g.open(cfg)
		bytes := opened[string, []byte](t, g.c, "m", WithNearCache(cfg))
		whatever := opened[any, any](t, g.c, "m", WithNearCache(cfg))
		settles(t, m, "k", "v")
		for range 3 {
			if v, found, err := whatever.Get(t.Context(), "k"); v != "v" || !found || err != nil {
				t.Fatalf("%v, %v, %v", v, found, err)
			}
			if all, err := whatever.GetAll(t.Context(), "k"); all["k"] != "v" || err != nil {
				t.Fatalf("%v, %v", all, err)
			}
			if v, found, err := bytes.Get(t.Context(), "k"); !errors.Is(err, ErrInvalid) || found {
				t.Fatalf("a string is read as %v, %v, %v", v, found, err)
			}
			gets(t, m, "k", "v")
		}
	}
}

func TestNearCacheContextEnded(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	m := g.open(NearCacheConfig{})
	settles(t, m, "k", "v")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := m.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := m.GetAll(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("GetAll: %v", err)
	}
}

// A change whose event never comes, and of which nobody knows that it is missing, is found by checks of hits.
func TestNearCacheVerify(t *testing.T) {
	var log syncBuffer
	g := newNearGrid(t, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	g.set("k", "v")
	m := g.open(NearCacheConfig{Verify: 1})
	settles(t, m, "k", "v")
	poll(t, "a hit is checked", func() bool { return m.NearCacheStats().Verified > 0 })

	noErr(t, g.m.Set(t.Context(), "k", "w")) // without an event
	poll(t, "the check finds it", func() bool {
		g.watermark()
		v, _, err := m.Get(t.Context(), "k")
		noErr(t, err)
		return v == "w"
	})
	if s := m.NearCacheStats(); s.Stale != 1 {
		t.Errorf("%+v", s)
	}
	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "key_hash=") {
		t.Errorf("the log says %s", text)
	}
}

// A hit whose key changes a moment later is no fault, and a check that finds the newer value says so.
func TestNearCacheVerifyIsFair(t *testing.T) {
	g := newNearGrid(t)
	g.set("k", "v")
	m := g.open(NearCacheConfig{Verify: 1})
	settles(t, m, "k", "v")
	n := m.near()

	// The hit is checked against an owner that has another value by then.
	e := n.cache.Peek(g.partitionOf("k"), keyOf(t, "k"), n.moment(g.partitionOf("k")))
	g.set("k", "w")
	s, other := n.compare(nearSample{g.partitionOf("k"), keyOf(t, "k"), e})
	if !other || s.due < n.c.clock.now()+int64(nearStaleness)-int64(time.Second) {
		t.Fatalf("%+v, %v", s, other)
	}

	// Its event comes in time, so nothing is stale when the time is up, whether or not the key was read again.
	g.publish()
	poll(t, "the change is heard", func() bool {
		v, _, err := m.Get(t.Context(), "k")
		noErr(t, err)
		return v == "w"
	})
	n.judge(&s)
	settles(t, m, "k", "w")
	n.judge(&s)
	if got := m.NearCacheStats(); got.Stale != 0 {
		t.Errorf("%+v", got)
	}
}

func keyOf(t testing.TB, key string) []byte {
	t.Helper()
	k, err := codec.EncodeKey(nil, key)
	noErr(t, err)
	return k
}

func TestNearCachePreload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	cfg := NearCacheConfig{Preload: file}
	g := newNearGrid(t)
	keys := []string{"a", "b", "c", "d", "e"}
	for _, k := range keys {
		g.set(k, "v"+k)
	}
	m := g.open(cfg)
	for _, k := range keys {
		settles(t, m, k, "v"+k)
	}
	noErr(t, g.c.Close())

	g.c = connected(t, g.Grid, WithDialer(g.dial))
	m = g.open(cfg)
	poll(t, "the keys are read", func() bool {
		g.watermark()
		return m.NearCacheStats().Entries == len(keys)
	})
	if s := m.NearCacheStats(); s.Hits+s.Misses != 0 {
		t.Errorf("%+v", s)
	}
	for _, k := range keys {
		gets(t, m, k, "v"+k)
	}
	noErr(t, g.c.Close())
	if list, err := filepath.Glob(file + ".*"); err != nil || len(list) != 0 {
		t.Errorf("%v is left, %v", list, err)
	}

	// A file that is damaged anywhere is not used.
	whole, err := os.ReadFile(file)
	noErr(t, err)
	for i := range whole {
		b := append([]byte(nil), whole...)
		b[i]++
		noErr(t, os.WriteFile(file, b, 0o600))
		if items, err := preloadItems[string](file, 4, 100); err == nil {
			t.Fatalf("with another byte %d: %d keys", i, len(items))
		}
		noErr(t, os.WriteFile(file, whole[:i], 0o600))
		if items, err := preloadItems[string](file, 4, 100); err == nil {
			t.Fatalf("the first %d bytes: %d keys", i, len(items))
		}
	}
	noErr(t, os.WriteFile(file, whole, 0o600))
	if _, err := preloadItems[string](file, 5, 100); err == nil {
		t.Error("the keys of another cluster are read")
	}
	if items, err := preloadItems[string](file, 4, 2); len(items) != 2 || err != nil {
		t.Errorf("%v, %v", items, err)
	}

	// The client says so, and begins without.
	noErr(t, os.WriteFile(file, []byte("x"), 0o600))
	var log syncBuffer
	g.c = connected(t, g.Grid, WithDialer(g.dial), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	g.open(cfg)
	poll(t, "the log says so", func() bool { return strings.Contains(log.String(), "cannot be used") })
}
