package member

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/member/internal/server"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// attacked returns a member for tests of bad input, while a well-behaved client works on it. When the test ends, that client
// must not have met a single error, and the member must be as small as before.
func attacked(t *testing.T, cfg Config) *Member {
	t.Helper()
	cfg.HelloTimeout, cfg.SlowPeer = 250*time.Millisecond, 500*time.Millisecond
	m := runningMember(t, cfg)
	numbers, err := sdk.OpenMap[int, int](m.Client(), "background")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			call, done := context.WithTimeout(context.Background(), 10*time.Second)
			if err := numbers.Set(call, i%100, i); err != nil {
				t.Errorf("another client: set: %v", err)
			}
			if v, ok, err := numbers.Get(call, i%100); err != nil || !ok || v != i {
				t.Errorf("another client: get: %d, %t, %v, want %d", v, ok, err, i)
			}
			done()
		}
	})
	conns := func() int { return m.server.Accepted() }
	open, heap := conns(), heapInUse()
	t.Cleanup(func() {
		eventually(t, "the connections to be given up", func() bool { return conns() <= open })
		cancel()
		wg.Wait()
		if now := heapInUse(); now > heap+32<<20 {
			t.Errorf("%d MB of heap are in use, %d MB were before", now>>20, heap>>20)
		}
	})
	return m
}

// heapKept is heapInUse while others work: what they allocate during one collection is garbage by the next, and what is kept is
// there each time.
func heapKept() uint64 {
	kept := heapInUse()
	for range 3 {
		kept = min(kept, heapInUse())
	}
	return kept
}

func heapInUse() uint64 {
	runtime.GC()
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapAlloc
}

// closing closes a test's connection at once, so that the member can be seen to give it up too.
func closing(t *testing.T, nc net.Conn) {
	t.Helper()
	_ = nc.Close()
}

func TestUnknownPeers(t *testing.T) {
	m := attacked(t, Config{})
	frame := func(change func(h *wire.Hello)) []byte {
		h := clientHello()
		change(&h)
		return wire.AppendHello(nil, &h)
	}
	member := func(change func(h *wire.Hello)) []byte {
		return frame(func(h *wire.Hello) {
			h.Member, h.Incarnation, h.ClusterID = wire.ID{7}, wire.ID{8}, m.clusterID()
			change(h)
		})
	}
	for _, c := range []struct {
		name  string
		peer  bool // on the members' port
		bytes []byte
		code  wire.Code // CodeOK: the connection is closed without an answer
		text  string
	}{
		{name: "nothing"},
		{name: "nothing", peer: true},
		{name: "three bytes", bytes: []byte("GRD")},
		{name: "half a hello", bytes: frame(func(*wire.Hello) {})[:20]},
		{name: "half a hello", peer: true, bytes: frame(func(*wire.Hello) {})[:20]},
		{name: "garbage", bytes: bytes.Repeat([]byte{0xff}, 64), code: wire.CodeInvalid, text: "not a gridiron connection"},
		{name: "garbage", peer: true, bytes: bytes.Repeat([]byte{0x5a}, 64), code: wire.CodeInvalid, text: "not a gridiron connection"},
		{name: "zeros", bytes: make([]byte, 8), code: wire.CodeInvalid, text: "not a gridiron connection"},
		{name: "a hello of 4 GiB", bytes: []byte("GRDN\xff\xff\xff\xff"), code: wire.CodeInvalid, text: "limit"},
		{name: "a hello of 4 KB", bytes: []byte("GRDN\x00\x00\x10\x00"), code: wire.CodeInvalid, text: "limit"},
		{name: "a hello of garbage", bytes: append([]byte("GRDN\x00\x00\x00\x20"), bytes.Repeat([]byte{0xff}, 32)...), code: wire.CodeInvalid},
		{name: "an empty hello", bytes: []byte("GRDN\x00\x00\x00\x00"), code: wire.CodeInvalid},
		{name: "a version to come", bytes: frame(func(h *wire.Hello) { h.Version = 99 }), code: wire.CodeInvalid, text: "protocol version 99"},
		{name: "another cluster", bytes: frame(func(h *wire.Hello) { h.Cluster = "mars" }), code: wire.CodeInvalid, text: `"grid", not "mars"`},
		{name: "another cluster's ID", bytes: frame(func(h *wire.Hello) { h.ClusterID = wire.ID{9} }), code: wire.CodeInvalid, text: "this cluster's ID"},
		{name: "another cluster's ID", peer: true, bytes: member(func(h *wire.Hello) { h.ClusterID = wire.ID{9} }), code: wire.CodeInvalid, text: "this cluster's ID"},
		{name: "plane 0", bytes: frame(func(h *wire.Hello) { h.Plane = 0 }), code: wire.CodeInvalid},
		{name: "plane 200", bytes: frame(func(h *wire.Hello) { h.Plane = 200 }), code: wire.CodeInvalid},
		{name: "Raft", bytes: member(func(h *wire.Hello) { h.Plane = wire.PlaneRaft }), code: wire.CodeInvalid, text: "client port"},
		{name: "metadata", bytes: member(func(h *wire.Hello) { h.Plane = wire.PlaneMeta }), code: wire.CodeInvalid, text: "client port"},
		{name: "a client", peer: true, bytes: frame(func(*wire.Hello) {}), code: wire.CodeInvalid, text: m.Addr()},
		{name: "a client of any cluster", peer: true, bytes: frame(func(h *wire.Hello) { h.Cluster = "" }), code: wire.CodeInvalid, text: m.Addr()},
		{name: "events", peer: true, bytes: member(func(h *wire.Hello) { h.Plane = wire.PlaneEvents }), code: wire.CodeInvalid, text: m.Addr()},
		{name: "a member without an incarnation", peer: true, bytes: member(func(h *wire.Hello) { h.Incarnation = wire.ID{} }), code: wire.CodeInvalid},
	} {
		port, addr := "client", m.Addr()
		if c.peer {
			port, addr = "members", m.peerAddr()
		}
		t.Run(port+"/"+c.name, func(t *testing.T) {
			t.Parallel() // most of them wait for the time that an unknown peer has
			nc := dialed(t, addr)
			defer closing(t, nc)
			write(t, nc, c.bytes)
			if c.code != wire.CodeOK {
				a := helloAnswer(t, nc)
				if a.Code != c.code || !strings.Contains(a.Message, c.text) {
					t.Errorf("refused with %v %q, want %v %q", a.Code, a.Message, c.code, c.text)
				}
			}
			closedByPeer(t, nc)
		})
	}
}

func TestOtherProtocols(t *testing.T) {
	m := attacked(t, Config{})
	for _, addr := range []string{m.Addr(), m.peerAddr()} {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
		if resp, err := client.Get("http://" + addr + "/"); err == nil {
			_ = resp.Body.Close()
			t.Errorf("HTTP is answered at %s", addr)
		}
		nc := dialed(t, addr)
		if err := tls.Client(nc, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
			t.Errorf("TLS is answered at %s", addr)
		}
		closing(t, nc)
	}
}

// Unknown peers of one port do not use up the room of the other, and those who say nothing leave again.
func TestUnknownPeersAreBounded(t *testing.T) {
	m := attacked(t, Config{})
	var list []net.Conn
	for range server.MaxUnknownPeers + 20 {
		list = append(list, dialed(t, m.Addr()))
	}
	peer := dialed(t, m.peerAddr())
	h := clientHello()
	h.Member, h.Incarnation, h.ClusterID = wire.ID{7}, wire.ID{8}, m.clusterID()
	if a := greeted(t, peer, &h); a.Code != wire.CodeOK {
		t.Errorf("a member is refused while unknown peers crowd the client port: %v %s", a.Code, a.Message)
	}
	for _, nc := range list {
		closedByPeer(t, nc)
		closing(t, nc)
	}
	closing(t, peer)
	c := connected(t, m) // there is room again
	closing(t, c.nc)
}

func TestConnectionsAreBounded(t *testing.T) {
	m := runningMember(t, Config{MaxConnections: 4})
	var list []*rawClient
	for range 3 { // the member's own client has one
		list = append(list, connected(t, m))
	}
	closedByPeer(t, dialed(t, m.Addr()))
	closing(t, list[0].nc)
	eventually(t, "room", func() bool { return m.server.Accepted() < 4 })
	connected(t, m)
}

func TestFrames(t *testing.T) {
	m := attacked(t, Config{})
	good := wire.AppendRequest(nil, &wire.Request{ID: 1, Op: wire.OpPing, Partition: wire.NoPartition})
	for name, b := range map[string][]byte{
		"of 4 GiB":          {0xff, 0xff, 0xff, 0xff},
		"above the cap":     wire.AppendU32(nil, wire.MaxFrame+1),
		"of nothing":        {0, 0, 0, 0},
		"too short":         append([]byte{0, 0, 0, 63}, make([]byte, 63)...),
		"of garbage":        append([]byte{0, 0, 0, 64}, bytes.Repeat([]byte{0xee}, 64)...),
		"without its trace": append([]byte{0, 0, 0, 64, wire.Version, byte(wire.OpPing), wire.FlagTrace}, make([]byte, 61)...),
		"that is an answer": wire.AppendAnswer(nil, &wire.Answer{ID: 1, Body: make([]byte, 10)}),
		"after a good one":  append(append([]byte(nil), good...), 0xff, 0xff, 0xff, 0xff),
	} {
		t.Run(name, func(t *testing.T) {
			c := connected(t, m)
			defer closing(t, c.nc)
			write(t, c.nc, b)
			if bytes.HasPrefix(b, good) {
				c.nc.(*net.TCPConn).SetReadDeadline(time.Now().Add(5 * time.Second))
				_, _ = io.Copy(io.Discard, c.nc) // its answer may still have left, or not
				return
			}
			closedByPeer(t, c.nc)
		})
	}
	t.Run("that never ends", func(t *testing.T) {
		before := heapInUse()
		var list []net.Conn
		for range 50 { // each claims 5 MB and sends 10 bytes
			c := connected(t, m)
			write(t, c.nc, append(wire.AppendU32(nil, wire.MaxFrame), make([]byte, 6)...))
			list = append(list, c.nc)
		}
		c := connected(t, m)
		if a := c.call(&wire.Request{ID: 9, Op: wire.OpPing, Partition: wire.NoPartition}); a.Code != wire.CodeOK {
			t.Errorf("ping: %v", a.Code)
		}
		if now := heapInUse(); now > before+20<<20 {
			t.Errorf("50 frames of which nothing has come take %d MB", (now-before)>>20)
		}
		for _, nc := range append(list, c.nc) {
			closing(t, nc)
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		c := connected(t, m)
		defer closing(t, c.nc)
		for i := range good {
			write(t, c.nc, good[i:i+1])
		}
		if a := c.answer(); a.ID != 1 || a.Code != wire.CodeOK {
			t.Errorf("answered %d, %v", a.ID, a.Code)
		}
	})
	t.Run("many at once, of all sizes", func(t *testing.T) {
		c := connected(t, m)
		defer closing(t, c.nc)
		var all []byte
		sizes := []int{1, 100, server.ReadBuffer - wire.RequestHeader - 4, server.ReadBuffer, 3 * server.ReadBuffer, 1, 1 << 19, 10}
		for i, n := range sizes {
			r := c.request(wire.OpSet, wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("sizes"), Key: []byte{0xa1, byte('a' + i)},
				Value: bytes.Repeat([]byte{1}, n)}))
			r.Lowest = 1
			all = wire.AppendRequest(all, r)
		}
		write(t, c.nc, all)
		for range sizes {
			if a := c.answer(); a.Code != wire.CodeOK {
				t.Errorf("request %d: %v %s", a.ID, a.Code, a.Body)
			}
		}
	})
}

func TestRequests(t *testing.T) {
	m := attacked(t, Config{Settings: Settings{Partitions: 271}})
	c := connected(t, m)
	defer closing(t, c.nc)
	key, value := []byte("\xa1k"), []byte{1}
	set := func(change func(w *wire.WriteBody)) []byte {
		w := wire.WriteBody{Map: []byte("m"), Key: key, Value: value}
		change(&w)
		return wire.AppendWriteBody(nil, &w)
	}
	good := set(func(*wire.WriteBody) {})
	get := wire.AppendKeyBody(nil, "m", key)
	now := func(d time.Duration) int64 { return m.clock.Now() + d.Milliseconds() }
	for _, tt := range []struct {
		name string
		op   wire.Op
		body []byte
		with func(r *wire.Request)
		want wire.Code
	}{
		{name: "as it should be", op: wire.OpSet, body: good, want: wire.CodeOK},
		{name: "unknown operation", op: 99, want: wire.CodeInvalid},
		{name: "operation 0", op: 0, want: wire.CodeInvalid},
		{name: "operation 255", op: 255, want: wire.CodeInvalid},
		{name: "sweep", op: wire.OpSweep, body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: 9}), want: wire.CodeInvalid},
		{name: "members' ping", op: wire.OpMemberPing, body: wire.AppendPingBody(nil, wire.PingBody{}), want: wire.CodeInvalid},
		{name: "metadata command", op: wire.OpMetaPropose, body: []byte{1, 2}, want: wire.CodeInvalid},
		{name: "metadata read", op: wire.OpMetaRead, want: wire.CodeInvalid},
		{name: "metadata join", op: wire.OpMetaJoin, want: wire.CodeInvalid},
		{name: "partition 271", op: wire.OpSet, body: good, with: func(r *wire.Request) { r.Partition = 271 }, want: wire.CodeInvalid},
		{name: "partition 271, read", op: wire.OpGet, body: get, with: func(r *wire.Request) { r.Partition = 271 }, want: wire.CodeInvalid},
		{name: "no partition", op: wire.OpGet, body: get, with: func(r *wire.Request) { r.Partition = wire.NoPartition }, want: wire.CodeInvalid},
		{name: "deadline in two minutes", op: wire.OpSet, body: good, with: func(r *wire.Request) { r.Deadline = now(2 * time.Minute) }, want: wire.CodeInvalid},
		{name: "deadline in the year 292 million", op: wire.OpGet, body: get, with: func(r *wire.Request) { r.Deadline = math.MaxInt64 }, want: wire.CodeInvalid},
		{name: "deadline in the past", op: wire.OpSet, body: good, with: func(r *wire.Request) { r.Deadline = now(-time.Second) }, want: wire.CodeExpired},
		{name: "no deadline", op: wire.OpSet, body: good, with: func(r *wire.Request) { r.Deadline = 0 }, want: wire.CodeExpired},
		{name: "negative deadline", op: wire.OpSet, body: good, with: func(r *wire.Request) { r.Deadline = math.MinInt64 }, want: wire.CodeExpired},
		{name: "seq 0", op: wire.OpSet, body: good, with: func(r *wire.Request) { r.Seq, r.Lowest = 0, 0 }, want: wire.CodeInvalid},
		{name: "no client", op: wire.OpSet, body: good, with: func(r *wire.Request) { r.Client = wire.ID{} }, want: wire.CodeInvalid},
		{name: "lowest above seq", op: wire.OpSet, body: good, with: func(r *wire.Request) { r.Lowest = r.Seq + 1 }, want: wire.CodeInvalid},
		{name: "no body", op: wire.OpSet, want: wire.CodeInvalid},
		{name: "no body, read", op: wire.OpGet, want: wire.CodeInvalid},
		{name: "bytes left over", op: wire.OpSet, body: append(append([]byte(nil), good...), 0), want: wire.CodeInvalid},
		{name: "no map name", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Map = nil }), want: wire.CodeInvalid},
		{name: "map name with a line feed", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Map = []byte("a\nb") }), want: wire.CodeInvalid},
		{name: "map name with NUL", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Map = []byte("a\x00") }), want: wire.CodeInvalid},
		{name: "map name that is not UTF-8", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Map = []byte("\xff\xfe") }), want: wire.CodeInvalid},
		{name: "map name of 255 bytes", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Map = bytes.Repeat([]byte("x"), 255) }), want: wire.CodeOK},
		{name: "map name of 256 bytes", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Map = bytes.Repeat([]byte("x"), 256) }), want: wire.CodeTooLarge},
		{name: "map named like a path", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Map = []byte("../../etc/.*>") }), want: wire.CodeOK},
		{name: "no key", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Key = nil }), want: wire.CodeInvalid},
		{name: "key of 64 KB", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Key = make([]byte, 64<<10) }), want: wire.CodeOK},
		{name: "key of 64 KB and a byte", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Key = make([]byte, 64<<10+1) }), want: wire.CodeTooLarge},
		{name: "value of 1 MB", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Value = make([]byte, 1<<20) }), want: wire.CodeOK},
		{name: "value of 1 MB and a byte", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Value = make([]byte, 1<<20+1) }), want: wire.CodeTooLarge},
		{name: "empty value", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Value = []byte{} }), want: wire.CodeInvalid},
		{name: "value where none belongs", op: wire.OpDelete, body: good, want: wire.CodeInvalid},
		{name: "IfVersion(0)", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Flags = wire.WriteVersion }), want: wire.CodeInvalid},
		{name: "TTL beyond all time", op: wire.OpSet, body: set(func(w *wire.WriteBody) { w.Flags, w.TTL = wire.WriteTTL, math.MaxUint64 }), want: wire.CodeOK},
		{name: "unknown task", op: wire.OpTaskSubmit, body: wire.AppendTaskBody(nil, &wire.TaskBody{ID: wire.ID{1}, Executor: "e", Task: "nobody knows", Attempt: 1}),
			with: func(r *wire.Request) { r.Partition = wire.NoPartition }, want: wire.CodeUnknownTask},
		{name: "task for partition 271", op: wire.OpTaskSubmit, body: wire.AppendTaskBody(nil, &wire.TaskBody{ID: wire.ID{1}, Executor: "e", Task: "t", Attempt: 1, Keyed: true, Key: key}),
			with: func(r *wire.Request) { r.Partition = 271 }, want: wire.CodeInvalid},
		{name: "half a task", op: wire.OpTaskSubmit, body: []byte{1, 2, 3}, want: wire.CodeInvalid},
		{name: "half a reference to a task", op: wire.OpTaskWait, body: []byte{1, 2, 3}, want: wire.CodeInvalid},
		{name: "interest in no map", op: wire.OpInterest, want: wire.CodeInvalid},
		{name: "the end of an interest that never began", op: wire.OpUninterest, body: wire.AppendMapBody(nil, "m"), want: wire.CodeOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := c.request(tt.op, tt.body)
			if tt.with != nil {
				tt.with(r)
			}
			if a := c.call(r); a.Code != tt.want {
				t.Errorf("answered %v %q, want %v", a.Code, a.Body, tt.want)
			} else if a.Code == wire.CodeInvalid && len(a.Body) == 0 {
				t.Error("refused without a reason")
			}
		})
	}
	t.Run("truncated anywhere", func(t *testing.T) {
		bodies := map[wire.Op][]byte{wire.OpSet: good, wire.OpGet: get, wire.OpReplaceIfSame: set(func(w *wire.WriteBody) { w.Expected = value }),
			wire.OpSetMany: wire.AppendManyBody(nil, &wire.ManyBody{Map: []byte("m"), Keys: [][]byte{key, key}, Values: [][]byte{value, value}}),
			wire.OpGetMany: wire.AppendKeysBody(nil, "m", [][]byte{key, key}), wire.OpScan: wire.AppendScanBody(nil, &wire.ScanBody{Map: []byte("m"), What: 3}),
			wire.OpEvents: wire.AppendEventsBody(nil, &wire.EventsBody{Map: []byte("m")})}
		for op, body := range bodies {
			for n := range body {
				if a := c.call(c.request(op, body[:n])); a.Code != wire.CodeInvalid {
					t.Errorf("%v cut to %d of %d bytes: %v", op, n, len(body), a.Code)
				}
			}
			if a := c.call(c.request(op, body)); a.Code != wire.CodeOK {
				t.Errorf("%v whole: %v %s", op, a.Code, a.Body)
			}
		}
	})
}

// bombs are a few bytes of MessagePack each that claim to be gigabytes, or to nest for ever.
var bombs = map[string][]byte{
	"array of 4 G":  {0xdd, 0xff, 0xff, 0xff, 0xff},
	"map of 4 G":    {0xdf, 0xff, 0xff, 0xff, 0xff},
	"string of 4 G": {0xdb, 0xff, 0xff, 0xff, 0xff},
	"bytes of 4 G":  {0xc6, 0xff, 0xff, 0xff, 0xff},
	"ext of 4 G":    {0xc9, 0xff, 0xff, 0xff, 0xff, 0x01},
	"never used":    {0xc1},
	"nested":        bytes.Repeat([]byte{0x91}, 60_000),
}

func TestBombs(t *testing.T) {
	reg := exec.NewRegistry()
	exec.RegisterTask(reg, "take", func(context.Context, exec.TaskContext, any) (string, error) { return "taken", nil })
	m := attacked(t, Config{Settings: Settings{Registry: reg}})
	c := connected(t, m)
	defer closing(t, c.nc)
	ctx := testContext(t)
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			before := totalAlloc()
			key := []byte("\xa1k")
			n := wire.PartitionOf(key, 4)
			put := func(mapName string, key, value []byte) {
				r := c.request(wire.OpSet, wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte(mapName), Key: key, Value: value}))
				r.Partition = uint32(n)
				if a := c.call(r); a.Code != wire.CodeOK {
					t.Fatalf("set: %v %s", a.Code, a.Body)
				}
			}
			put("value "+name, key, bomb)
			put("key "+name, bomb, []byte{1})
			values, err := sdk.OpenMap[string, any](m.Client(), "value "+name)
			if err != nil {
				t.Fatal(err)
			}
			if v, _, err := values.Get(ctx, "k"); !errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("get: %v, %v", v, err)
			}
			keys, err := sdk.OpenMap[any, any](m.Client(), "key "+name)
			if err != nil {
				t.Fatal(err)
			}
			for k, err := range keys.Keys(ctx) {
				if !errors.Is(err, sdk.ErrInvalid) {
					t.Errorf("a key %v, %v", k, err)
				}
			}
			task := wire.TaskBody{ID: wire.ID{5, name[0], name[1]}, Executor: "e", Task: "take", Arg: bomb, Attempt: 1}
			submit := c.request(wire.OpTaskSubmit, wire.AppendTaskBody(nil, &task))
			submit.Partition = wire.NoPartition
			if a := c.call(submit); a.Code == wire.CodeOK {
				wait := c.request(wire.OpTaskWait, wire.AppendTaskRef(nil, wire.TaskRef{ID: task.ID}))
				wait.Partition = wire.NoPartition
				res, err := wire.DecodeTaskResult(c.call(wait).Body)
				if err != nil || !res.Done || res.Code == wire.CodeOK {
					t.Errorf("a task with such an argument: %+v, %v", res, err)
				}
			}
			if a := totalAlloc() - before; a > 64<<20 {
				t.Errorf("%d MB were allocated", a>>20)
			}
		})
	}
}

func totalAlloc() uint64 {
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.TotalAlloc
}

// A client that sends and sends and never reads is held back, and given up in the end; its requests cost no more memory than
// the bounds say.
func TestNeverReading(t *testing.T) {
	m := attacked(t, Config{})
	c := connected(t, m)
	big := c.request(wire.OpSet, wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("m"), Key: []byte("\xa1k"), Value: make([]byte, 64<<10)}))
	if a := c.call(big); a.Code != wire.CodeOK {
		t.Fatalf("set: %v %s", a.Code, a.Body)
	}
	t.Run("10,000 pings, then reading", func(t *testing.T) {
		c := connected(t, m)
		defer closing(t, c.nc)
		var all []byte
		for i := range 10_000 {
			all = wire.AppendRequest(all, &wire.Request{ID: uint64(i), Op: wire.OpPing, Partition: wire.NoPartition})
		}
		write(t, c.nc, all)
		for i := range 10_000 {
			if a := c.answer(); a.ID != uint64(i) || a.Code != wire.CodeOK {
				t.Fatalf("answer %d: %d %v", i, a.ID, a.Code)
			}
		}
	})
	for _, op := range []wire.Op{wire.OpGet, wire.OpTable, wire.OpPartitions} {
		t.Run(fmt.Sprintf("10,000 times %v", op), func(t *testing.T) {
			c := connected(t, m)
			defer closing(t, c.nc)
			before := heapInUse()
			var all []byte
			for range 10_000 {
				all = wire.AppendRequest(all, c.request(op, wire.AppendKeyBody(nil, "m", []byte("\xa1k"))))
			}
			wrote := make(chan error, 1)
			go func() { // ends when the member has taken all, or has given the client up
				_, err := c.nc.Write(all)
				wrote <- err
			}()
			most := uint64(0)
			cut := func() bool {
				most = max(most, heapKept())
				for _, cn := range m.server.Connections() {
					if cn.RemoteAddr().String() == c.nc.LocalAddr().String() {
						return false
					}
				}
				return true
			}
			if op == wire.OpGet {
				eventually(t, "the client to be cut off", cut)
				<-wrote
			} else { // small answers fit into what the sockets hold
				if err := <-wrote; err != nil {
					t.Errorf("write: %v", err)
				}
				for range 10_000 {
					if a := c.answer(); a.Code != wire.CodeOK {
						t.Fatalf("answered %v", a.Code)
					}
				}
			}
			if most > before+80<<20 {
				t.Errorf("%d MB of heap at most, %d MB before", most>>20, before>>20)
			}
		})
	}
	closing(t, c.nc)
}

// Requests that come while too many are under way are refused, one by one, and the count is right afterwards.
func TestTooManyInFlight(t *testing.T) {
	m := runningMember(t, Config{})
	c := connected(t, m)
	var cn *server.Conn
	eventually(t, "the connection", func() bool {
		for _, x := range m.server.Connections() {
			if x.Hello().Client == c.id {
				cn = x
			}
		}
		return cn != nil
	})
	cn.Hold(server.MaxInFlight)
	if a := c.call(&wire.Request{ID: 1, Op: wire.OpPing, Partition: wire.NoPartition}); a.Code != wire.CodeOverloaded {
		t.Errorf("one too many: %v", a.Code)
	}
	cn.Hold(-server.MaxInFlight)
	if a := c.call(&wire.Request{ID: 2, Op: wire.OpPing, Partition: wire.NoPartition}); a.Code != wire.CodeOK {
		t.Errorf("after that: %v", a.Code)
	}
	if n := cn.InFlight(); n != 0 {
		t.Errorf("%d calls are said to be under way", n)
	}
}

// On the members' port, too, what is not understood is refused, and operations of clients are not known.
func TestMembersPort(t *testing.T) {
	m := attacked(t, Config{})
	nc := dialed(t, m.peerAddr())
	defer closing(t, nc)
	h := clientHello()
	h.Member, h.Incarnation, h.ClusterID = wire.ID{7}, wire.ID{8}, m.clusterID()
	if a := greeted(t, nc, &h); a.Code != wire.CodeOK {
		t.Fatalf("hello: %v %s", a.Code, a.Message)
	}
	c := &rawClient{t: t, nc: nc, id: wire.ID{7}}
	for _, tt := range []struct {
		op   wire.Op
		body []byte
		want wire.Code
	}{
		{wire.OpMemberPing, wire.AppendPingBody(nil, wire.PingBody{}), wire.CodeOK},
		{wire.OpMemberPing, []byte{1}, wire.CodeInvalid},
		{wire.OpGet, wire.AppendKeyBody(nil, "m", []byte("\xa1k")), wire.CodeInvalid},
		{wire.OpPing, nil, wire.CodeInvalid},
		{wire.OpMetaPropose, nil, wire.CodeInvalid},
		{wire.OpMetaPropose, bytes.Repeat([]byte{0xff}, 100), wire.CodeInvalid},
		{wire.OpMetaJoin, bytes.Repeat([]byte{0xff}, 100), wire.CodeInvalid},
		{wire.OpMetaRead, nil, wire.CodeOK},
		{wire.OpSweep, nil, wire.CodeInvalid},
		{250, nil, wire.CodeInvalid},
	} {
		if a := c.call(c.request(tt.op, tt.body)); a.Code != tt.want {
			t.Errorf("%v with %d bytes: %v %s, want %v", tt.op, len(tt.body), a.Code, a.Body, tt.want)
		}
	}
	for _, plane := range []wire.Plane{wire.PlaneRaft, wire.PlaneMeta} {
		nc := dialed(t, m.peerAddr())
		h := h
		h.Plane = plane
		if a := greeted(t, nc, &h); a.Code != wire.CodeOK {
			t.Errorf("plane %d: %v %s", plane, a.Code, a.Message)
		}
		write(t, nc, bytes.Repeat([]byte{0xff}, 1000))
		closedByPeer(t, nc)
		closing(t, nc)
	}
}
