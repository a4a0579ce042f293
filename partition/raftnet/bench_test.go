package raftnet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// benchBatches are what a busy and an idle member send.
func benchBatches() map[string]pb.MessageBatch {
	replicate, heartbeats := batchOf(), batchOf()
	for i := range 16 {
		m := pb.Message{Type: pb.Replicate, To: 300, From: 200, ShardID: 4096 + uint64(i), Term: 7, LogIndex: 100000, LogTerm: 7, Commit: 99998}
		for j := range 2 {
			m.Entries = append(m.Entries, pb.Entry{Type: pb.EncodedEntry, Index: 100001 + uint64(j), Term: 7, Key: 1<<60 + uint64(j), ClientID: 1<<61 + 7, Cmd: make([]byte, 120)})
		}
		replicate.Requests = append(replicate.Requests, m)
	}
	for i := range 90 {
		heartbeats.Requests = append(heartbeats.Requests, pb.Message{Type: pb.Heartbeat, To: 300, From: 200, ShardID: 4096 + uint64(i), Term: 7, Commit: 99998})
	}
	return map[string]pb.MessageBatch{"16x2entries": replicate, "90heartbeats": heartbeats}
}

func BenchmarkEncode(b *testing.B) {
	for name, batch := range benchBatches() {
		b.Run("batch="+name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			gate := openGate()
			for b.Loop() {
				buf, _ = appendBatch(buf[:0], &batch, gate, time.Time{})
			}
			b.SetBytes(int64(len(buf)))
		})
		b.Run("protobuf/batch="+name, func(b *testing.B) { // dragonboat's own, for comparison
			b.ReportAllocs()
			buf := make([]byte, batch.SizeUpperLimit())
			n := 0
			for b.Loop() {
				n, _ = batch.MarshalTo(buf)
			}
			b.SetBytes(int64(n))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, batch := range benchBatches() {
		b.Run("batch="+name, func(b *testing.B) {
			b.ReportAllocs()
			payload := frames(b, batch)[frameHeader:]
			var list []pb.Message
			for b.Loop() {
				var err error
				if list, _, _, err = decodeBatch(payload, list[:0]); err != nil {
					b.Fatal(err)
				}
				for i := range list {
					if !admit(&list[i]) {
						b.Fatal("refused")
					}
				}
			}
			b.SetBytes(int64(len(payload)))
		})
		b.Run("protobuf/batch="+name, func(b *testing.B) {
			b.ReportAllocs()
			payload := pb.MustMarshal(&batch)
			for b.Loop() {
				var got pb.MessageBatch
				pb.MustUnmarshal(&got, payload)
			}
			b.SetBytes(int64(len(payload)))
		})
	}
}

// BenchmarkTransport sends batches over loopback TCP, from SendMessageBatch to the receiver's handler.
func BenchmarkTransport(b *testing.B) {
	for name, batch := range benchBatches() {
		b.Run("batch="+name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			transport := func(handler raftio.MessageHandler) *Transport {
				t, err := New(Config{Plane: wire.PlaneRaft, Dial: func(context.Context, string, uint8) (net.Conn, error) {
					return net.Dial("tcp", l.Addr().String())
				}})
				if err != nil {
					b.Fatal(err)
				}
				t.Factory().Create(config.NodeHostConfig{DeploymentID: testDeployment}, handler, nil)
				if err := t.Start(); err != nil {
					b.Fatal(err)
				}
				return t
			}
			came := make(chan int, 1<<16)
			from, to := transport(nil), transport(func(b pb.MessageBatch) { came <- len(b.Requests) })
			defer to.Close()
			defer from.Close()
			go func() {
				if nc, err := l.Accept(); err == nil {
					_ = to.Serve(nc, helloMessages)
				}
			}()
			c, err := from.GetConnection(context.Background(), testTarget)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			inFlight := 0
			for b.Loop() {
				if err := c.SendMessageBatch(batch); err != nil {
					b.Fatal(err)
				}
				for inFlight += len(batch.Requests); inFlight > 64*len(batch.Requests); {
					inFlight -= <-came
				}
			}
			for inFlight > 0 {
				inFlight -= <-came
			}
			s := to.Stats()
			b.ReportMetric(float64(s.ReceivedMessages)/float64(s.Deliveries), "messages/delivery")
			b.SetBytes(int64(s.ReceivedBytes) / int64(b.N))
		})
	}
}

func BenchmarkFrameReader(b *testing.B) {
	stream := bytes.Repeat(frameOf(make([]byte, 300)), 1000)
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		if frames, err := countFrames(bytes.NewReader(stream)); frames != 1000 || err != io.EOF {
			b.Fatal(frames, err)
		}
	}
}

func countFrames(src io.Reader) (int, error) {
	r := newFrameReader(src)
	n := 0
	for {
		_, ok, err := r.next()
		if err != nil {
			return n, err
		}
		if ok {
			n++
			continue
		}
		if _, err := r.fill(); err != nil {
			return n, err
		}
	}
}

// BenchmarkRegistry: what a message pays for Resolve, what it would pay with a sync.Map, and what a change costs.
func BenchmarkRegistry(b *testing.B) {
	for _, replicas := range []int{813, 12288} { // 271 and 4,096 partitions of three
		table := map[raftio.NodeInfo]string{}
		var other sync.Map
		for i := range replicas {
			k := raftio.NodeInfo{ShardID: 4096 + uint64(i/3), ReplicaID: uint64(i + 1)}
			table[k] = testTarget
			other.Store(k, testTarget)
		}
		r := NewRegistry()
		r.SetAll(table)
		b.Run(fmt.Sprintf("Resolve/replicas=%d", replicas), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7) % replicas
				if _, _, err := r.Resolve(4096+uint64(i/3), uint64(i+1)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("SyncMap/replicas=%d", replicas), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 7) % replicas
				if v, ok := other.Load(raftio.NodeInfo{ShardID: 4096 + uint64(i/3), ReplicaID: uint64(i + 1)}); !ok || v.(string) == "" {
					b.Fatal("unknown")
				}
			}
		})
		b.Run(fmt.Sprintf("Set/replicas=%d", replicas), func(b *testing.B) {
			b.ReportAllocs()
			targets := [2]string{testTarget, "other"}
			i := 0
			for b.Loop() {
				i++
				r.Set(4096, 1, targets[i%2])
			}
		})
	}
}
