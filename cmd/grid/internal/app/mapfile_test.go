package app

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// readRecords reads all records of a text, up to the first error.
func readRecords(format, text string) (list []record, err error) {
	r, err := recordsOf(format, strings.NewReader(text))
	for err == nil {
		var rec record
		if rec, err = r.next(); err == nil {
			list = append(list, rec)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return list, err
}

// What is written is read as what it was.
func TestRecordsComeBack(t *testing.T) {
	values := []any{nil, true, int64(-5), 1.5, "", "text", "5", "null", `"quoted", and more`, "two\nlines", "日本", []any{int64(1), "x"}, map[string]any{"a": nil}}
	for _, format := range []string{"json", "csv"} {
		var out bytes.Buffer
		w, err := writerOf(format, &out)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if err := w.write(record{key: "k\"" + string(rune('a'+i)), value: v, ttl: time.Duration(i) * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		got, err := readRecords(format, out.String())
		if err != nil || len(got) != len(values) {
			t.Fatalf("%s: %d records, %v", format, len(got), err)
		}
		for i, r := range got {
			if r.key != "k\""+string(rune('a'+i)) || !reflect.DeepEqual(r.value, values[i]) || r.ttl != time.Duration(i)*time.Second {
				t.Errorf("%s: record %d is %+v, want the value %v", format, i, r, values[i])
			}
		}
	}
}

// A line that is no record is named, after those before it.
func TestBadLines(t *testing.T) {
	good := `{"key":"a","value":1}` + "\n\n"
	for _, c := range []struct{ format, text, want string }{
		{"json", good + "nonsense", "line 3: "},
		{"json", good + `{"key":"a"}`, "line 3: no value"},
		{"json", good + `{"value":1}`, "line 3: no key"},
		{"json", good + `{"key":"a","value":1,"ttl_ms":0}`, "line 3: ttl_ms is 0"},
		{"json", good + `{"key":"a","value":1,"ttl_ms":"x"}`, "line 3: "},
		{"json", good + `{"key":"a","value":1} {}`, "line 3: there is something after the record"},
		{"json", good + `{"key":"a","value":1,"what":2}`, "line 3: "},
		{"json", good + `{"key":"b","value":10769150350006150715113082367}`, "line 3: value: codec: it would not be stored as it is written: the integer 107"},
		{"json", good + `{"key":1e400,"value":1}`, "line 3: key: "},
		{"json", good + `{"key":"b","value":{"a":1,"a":2}}`, "line 3: value: "},
		{"json", good + `{"key":"\ud800","value":1}`, "line 3: key: "},
		{"json", good + "{\"key\":\"a\xff\",\"value\":1}", "line 3: key: "},
		{"csv", "key,value\na,1\nb,1e400\n", "line 3: value: "},
		{"csv", "", "line 1: no header"},
		{"csv", "key,value,key\n", `line 1: column "key"`},
		{"csv", "key,ttl_ms\n", "line 1: want at least"},
		{"csv", "key,value\na,1\nb\n", "line 3: "},
		{"csv", "key,value,ttl_ms\na,1,\nb,2,-1\n", "line 3: ttl_ms is -1"},
		{"csv", "key,value\na,\"1\nb\nc,2\n", "line 2: "},
	} {
		list, err := readRecords(c.format, c.text)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s…", c.text, err, c.want)
		}
		if strings.HasPrefix(c.want, "line 3") && len(list) != 1 {
			t.Errorf("%q: %d records before the bad line", c.text, len(list))
		}
	}
}

// Progress is shown on terminals only.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, size: 100}
	if _, err := io.ReadAll(p.reads(strings.NewReader(strings.Repeat("x", 50)))); err != nil {
		t.Fatal(err)
	}
	p.stored(512)
	p.end()
	if want := "\r[" + strings.Repeat("#", barWidth/2) + strings.Repeat(".", barWidth/2) + "] 512 entries\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	inv := &invocation{Process: &Process{Err: &out}}
	if p := inv.progress(100); p.out != nil {
		t.Error("progress is shown where there is no terminal")
	}
}
