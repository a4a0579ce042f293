package wire

import (
	"strings"
	"testing"
)

// hotName is longer than what a conversion to a string keeps on the stack, and not ASCII alone.
var hotName = []byte(strings.Repeat("köln/", 10))

func hotWrite() WriteBody {
	return WriteBody{Map: hotName, Key: []byte("\xa9user:1001"), Value: make([]byte, 100), Expected: make([]byte, 100),
		WriteOptions: WriteOptions{Flags: WriteTTL | WriteVersion, TTL: 60_000, IfVersion: 1 << 44}}
}

// What is done for each operation, on either side, allocates nothing.
func TestHotPathDoesNotAllocate(t *testing.T) {
	w := hotWrite()
	get := GetResult{Flags: ResultFound | ResultValue, Version: 1 << 44, Instance: 1 << 44, Seq: 9, Value: w.Value}
	result := WriteResult{Flags: ResultApplied, Version: 1 << 44}
	buf := make([]byte, 0, 1024)
	writeBody, keyBody := AppendWriteBody(nil, &w), AppendKeyBody(nil, string(hotName), w.Key)
	getResult, writeResult := AppendGetResult(nil, &get), AppendWriteResult(nil, &result)
	name := string(hotName)
	check := func(name string, f func() error) {
		t.Helper()
		if n := testing.AllocsPerRun(100, func() {
			if err := f(); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	check("AppendWriteBody", func() error { AppendWriteBody(buf, &w); return nil })
	check("AppendKeyBody", func() error { AppendKeyBody(buf, name, w.Key); return nil })
	check("DecodeWriteBody and CheckWrite", func() error {
		w, err := DecodeWriteBody(writeBody)
		if err != nil {
			return err
		}
		return CheckWrite(OpReplaceIfSame, &w)
	})
	check("DecodeKeyBody", func() error { _, _, err := DecodeKeyBody(keyBody); return err })
	check("AppendGetResult", func() error { AppendGetResult(buf, &get); return nil })
	check("DecodeGetResult", func() error { _, err := DecodeGetResult(getResult); return err })
	check("AppendWriteResult", func() error { AppendWriteResult(buf, &result); return nil })
	check("DecodeWriteResult", func() error { _, err := DecodeWriteResult(writeResult); return err })
	check("CheckMapName", func() error { return CheckMapName(name) })
	check("PartitionOf", func() error { PartitionOf(w.Key, 271); return nil })
	check("Op", func() error { _ = OpSet.Known() && OpSet.ForClients() && OpSet.String() == ""; return nil })
}

func BenchmarkAppendRequest(b *testing.B) {
	w := hotWrite()
	r := Request{ID: 1, Op: OpSet, Partition: 270, Epoch: 1 << 44, Client: testID(1), Seq: 9, Lowest: 8, Deadline: 1 << 40, Body: AppendWriteBody(nil, &w)}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendRequest(buf[:0], &r)
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	w := hotWrite()
	frame := AppendRequest(nil, &Request{ID: 1, Op: OpSet, Client: testID(1), Body: AppendWriteBody(nil, &w)})[4:]
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeRequest(frame, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAnswer(b *testing.B) {
	a := Answer{ID: 1, Time: 1 << 40, Table: 9, Body: make([]byte, 100)}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendAnswer(buf[:0], &a)
	}
}

func BenchmarkDecodeAnswer(b *testing.B) {
	frame := AppendAnswer(nil, &Answer{ID: 1, Body: make([]byte, 100)})[4:]
	var a Answer
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeAnswer(frame, &a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendWriteBody(b *testing.B) {
	w := hotWrite()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendWriteBody(buf[:0], &w)
	}
}

func BenchmarkDecodeWriteBody(b *testing.B) {
	for _, c := range []struct{ name, mapName string }{{"ascii", "users"}, {"utf8", string(hotName)}} {
		b.Run("name="+c.name, func(b *testing.B) {
			w := hotWrite()
			w.Map = []byte(c.mapName)
			body := AppendWriteBody(nil, &w)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeWriteBody(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeTable(b *testing.B) {
	body := AppendTable(nil, bigView())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeTable(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPartitionOf(b *testing.B) {
	for _, c := range []struct {
		name string
		key  []byte
	}{{"integer", []byte{0xcd, 1, 2}}, {"text", []byte("\xa9user:1001")}} {
		b.Run("key="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				PartitionOf(c.key, 271)
			}
		})
	}
}
