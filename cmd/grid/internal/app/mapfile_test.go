package app

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// readRecords reads all records of a text, up to the first error.
func readRecords(format, text string) (list []record, err error) {
	r, err := recordsOf(format, strings.NewReader(text), func(string) {})
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

// recordOf returns the entry of a key and a value as programs hold them. It lives for ever.
func recordOf(t require.TestingT, key, value any) record {
	k, err := codec.EncodeKey(nil, key)
	require.NoError(t, err)
	v, err := codec.Msgpack{}.Encode(nil, value)
	require.NoError(t, err)
	return record{key: storedKey{encoded: string(k)}, value: v, expiry: expiry{given: true}}
}

// fileOf returns the file of records, without its header.
func fileOf(t require.TestingT, format string, records ...record) (header, lines string) {
	var out bytes.Buffer
	w, err := writerOf(format, &out)
	require.NoError(t, err)
	for _, r := range records {
		require.NoError(t, w.write(r))
	}
	require.NoError(t, w.end())
	if format == "csv" {
		header, lines, _ = strings.Cut(out.String(), "\n")
		return header + "\n", lines
	}
	return "", out.String()
}

// What stands in a file is plain where that says all, and has an encoding beside it where it does not.
func TestLines(t *testing.T) {
	at := time.Date(2024, 2, 29, 13, 4, 5, 678_999_999, time.UTC)
	type inner struct {
		At  time.Time `json:"at"`
		Raw []byte    `json:"raw"`
	}
	for _, c := range []struct {
		key, value any
		json, csv  string
	}{
		{"k", nil, `"key":"k","value":null,"ttl_ms":null`, `k,null,,,,,`},
		{"k", true, `"key":"k","value":true,"ttl_ms":null`, `k,true,,,,,`},
		{"k", 5, `"key":"k","value":5,"ttl_ms":null`, `k,5,,,,,`},
		{"k", "5", `"key":"k","value":"5","ttl_ms":null`, `k,"""5""",,,,,`},
		{"k", "null", `"key":"k","value":"null","ttl_ms":null`, `k,"""null""",,,,,`},
		{"k", "1e400", `"key":"k","value":"1e400","ttl_ms":null`, `k,"""1e400""",,,,,`},
		{"k", "text", `"key":"k","value":"text","ttl_ms":null`, `k,text,,,,,`},
		{"k", "", `"key":"k","value":"","ttl_ms":null`, `k,,,,,,`},
		{"k", 1.0, `"key":"k","value":1.0,"ttl_ms":null`, `k,1.0,,,,,`},
		{"k", math.Copysign(0, -1), `"key":"k","value":-0.0,"ttl_ms":null`, `k,-0.0,,,,,`},
		{"k", uint64(math.MaxUint64), `"key":"k","value":18446744073709551615,"ttl_ms":null`, `k,18446744073709551615,,,,,`},
		{"k", []any{"x", 1, 1.5}, `"key":"k","value":["x",1,1.5],"ttl_ms":null`, `k,"[""x"",1,1.5]",,,,,`},
		{"k", map[string]int{"key_encoded": 1}, `"key":"k","value":{"key_encoded":1},"ttl_ms":null`, `k,"{""key_encoded"":1}",,,,,`},
		{"a\r\nb", "a\r\nb", `"key":"a\r\nb","value":"a\r\nb","ttl_ms":null`, "\"a\r\nb\",\"\"\"a\\r\\nb\"\"\",,,pGENCmI=,,"},
		{"k", []byte{1, 2, 255}, `"key":"k","value":"AQL/","ttl_ms":null,"value_encoded":"xAMBAv8="`, `k,"""AQL/""",,,,xAMBAv8=,`},
		{"k", at, `"key":"k","value":"2024-02-29T13:04:05.678Z","ttl_ms":null,"value_encoded":"1/+h4t78ZeCAxQ=="`, `k,"""2024-02-29T13:04:05.678Z""",,,,1/+h4t78ZeCAxQ==,`},
		{"k", math.Inf(1), `"key":"k","value":"Infinity","ttl_ms":null,"value_encoded":"y3/wAAAAAAAA"`, `k,"""Infinity""",,,,y3/wAAAAAAAA,`},
		{"k", math.NaN(), `"key":"k","value":"NaN","ttl_ms":null,"value_encoded":"y3/4AAAAAAAA"`, `k,"""NaN""",,,,y3/4AAAAAAAA,`},
		{"k", map[int]string{1: "a"}, `"key":"k","value":{"1":"a"},"ttl_ms":null,"value_encoded":"gQGhYQ=="`, `k,"{""1"":""a""}",,,,gQGhYQ==,`},
		{"k", map[[1]byte]int{{7}: 1}, `"key":"k","value":null,"ttl_ms":null,"value_encoded":"gcQBBwE="`, `k,null,,,,gcQBBwE=,`},
		{"k", inner{at, []byte("x")}, `"key":"k","value":{"at":"2024-02-29T13:04:05.678Z","raw":"eA=="},"ttl_ms":null,"value_encoded":"gqJhdNf/oeLe/GXggMWjcmF3xAF4"`,
			`k,"{""at"":""2024-02-29T13:04:05.678Z"",""raw"":""eA==""}",,,,gqJhdNf/oeLe/GXggMWjcmF3xAF4,`},
		{"k\xff", "v\xfe", `"key":"k�","value":"v�","ttl_ms":null,"key_encoded":"omv/","value_encoded":"onb+"`, `"""k�""","""v�""",,,omv/,onb+,`},
		{7, 1, `"key":7,"value":1,"ttl_ms":null`, `7,1,,,Bw==,,`},
		{2.0, 1, `"key":2.0,"value":1,"ttl_ms":null`, `2.0,1,,,y0AAAAAAAAAA,,`},
		{true, 1, `"key":true,"value":1,"ttl_ms":null`, `true,1,,,ww==,,`},
		{[4]byte{1, 2, 3, 4}, 1, `"key":"AQIDBA==","value":1,"ttl_ms":null,"key_encoded":"xAQBAgME"`, `"""AQIDBA==""",1,,,xAQBAgME,,`},
		{struct{ Tenant, Name string }{"a", "b"}, 1, `"key":{"Name":"b","Tenant":"a"},"value":1,"ttl_ms":null`, `"{""Name"":""b"",""Tenant"":""a""}",1,,,gqROYW1loWKmVGVuYW50oWE=,,`},
	} {
		r := recordOf(t, c.key, c.value)
		_, line := fileOf(t, "json", r)
		require.Equal(t, "{"+c.json+"}\n", line)
		_, line = fileOf(t, "csv", r)
		require.Equal(t, c.csv+"\n", line)
	}

	r := recordOf(t, "k", 1)
	r.ttl, r.maxIdle = time.Second, time.Minute
	r.key.PlacedIn(17, 24)
	_, line := fileOf(t, "json", r)
	require.Equal(t, `{"key":"k","value":1,"ttl_ms":1000,"max_idle_ms":60000,"partition":"17/24"}`+"\n", line)
	header, line := fileOf(t, "csv", r)
	require.Equal(t, "key,value,ttl_ms,max_idle_ms,key_encoded,value_encoded,partition\nk,1,1000,60000,,,17/24\n", header+line)
}

// What is written is read as what it was, whatever it is: no two keys are one, and nothing is another type.
func TestRecordsComeBack(t *testing.T) {
	for _, format := range []string{"json", "csv"} {
		t.Run(format, rapid.MakeCheck(func(t *rapid.T) {
			var records []record
			for _, k := range rapid.SliceOfN(keys(), 1, 6).Draw(t, "keys") {
				r := recordOf(t, k, values(3).Draw(t, "value"))
				if rapid.Bool().Draw(t, "of another codec") {
					r.value = rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "bytes")
				}
				r.expiry = expiries().Draw(t, "expiry")
				if rapid.Bool().Draw(t, "placed") {
					r.key.PlacedIn(rapid.IntRange(0, 23).Draw(t, "partition"), 24)
				}
				records = append(records, r)
			}
			header, lines := fileOf(t, format, records...)
			got, err := readRecords(format, header+lines)
			require.NoError(t, err)
			require.Len(t, got, len(records))
			for i, r := range got {
				require.True(t, r.same(records[i]), "%+v is read as %+v", records[i], r)
			}
		}))
	}
}

// An entry that would be too long in a readable form has none, and the longest value makes no line that is too long.
func TestLongRecords(t *testing.T) {
	for _, v := range []any{make([]byte, maxReadable), string(bytes.Repeat([]byte{0xff}, maxReadable))} {
		r := recordOf(t, "k", v)
		for _, format := range []string{"json", "csv"} {
			header, line := fileOf(t, format, r)
			require.Contains(t, line, "null")
			got, err := readRecords(format, header+line)
			require.NoError(t, err)
			require.True(t, got[0].same(r))
		}
	}
	r := recordOf(t, strings.Repeat("\x00", wire.MaxKey-5), strings.Repeat("\x00", wire.MaxValueHard-5))
	_, line := fileOf(t, "json", r)
	require.Less(t, len(line), maxLine)
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
		{"json", good + `{"key":"a","value":1} {}`, "line 3: "},
		{"json", good + `[1]`, "line 3: want "},
		{"json", good + `{"key":"a","key":"b","value":1}`, "line 3: "},
		{"json", good + `{"KEY":"a","value":1}`, "line 3: "},
		{"json", good + `{"key":null,"value":1}`, "line 3: key: "},
		{"json", good + `{"key":"a","value":1,"ttl_ms":1.0}`, "line 3: ttl_ms is no number of milliseconds"},
		{"json", good + `{"key":"a","value":1,"max_idle_ms":-1}`, "line 3: max_idle_ms is -1"},
		{"json", good + `{"key":"a","value":1,"value_encoded":5}`, "line 3: value_encoded is no string"},
		{"json", good + `{"key":"a","value":1,"value_encoded":"x"}`, "line 3: value_encoded: "},
		{"json", good + `{"key":"a","value":1,"value_encoded":"Ag=="}`, "line 3: value and value_encoded are not of the same value"},
		{"json", good + `{"key":"a","key_encoded":"omv/","value":1}`, "line 3: key and key_encoded are not of the same key"},
		{"json", good + `{"key_encoded":"omv/","ttl_ms":1}`, "line 3: no value"},
		{"json", good + `{"key_encoded":"wA==","value":1}`, "line 3: key: "},
		{"json", good + `{"key_encoded":"2QFh","value":1}`, "line 3: key: "},
		{"json", good + `{"key_encoded":"omv/AA==","value":1}`, "line 3: key: "},
		{"json", good + `{"key":"a","value":1,"partition":"24/24"}`, "line 3: partition is "},
		{"json", good + `{"key":"a","value":1,"partition":"7"}`, "line 3: partition is "},
		{"json", good + `{"key":"` + strings.Repeat("k", 64<<10) + `","value":1}`, "line 3: key: 65541 bytes"},
		{"json", good + `{"key":"a","value":"` + strings.Repeat("v", 4<<20) + `"}`, "line 3: value: 4194309 bytes"},
		{"json", good + strings.Repeat("x", maxLine+1), "line 3: it has more than "},
		{"csv", "key,value\na,1\nb\xff,1\n", "line 3: key: it is not UTF-8"},
		{"csv", "key,value\na,1\nb,\"\"\"\xff\"\"\"\n", "line 3: value: it is not UTF-8"},
		{"csv", "key,value\na,1\n\"" + strings.Repeat("x", maxLine+8192), "line 3: it has more than "},
		{"csv", "key,value,value_encoded\na,1,\nb,1,Ag==\n", "line 3: value and value_encoded are not"},
		{"json", good + `{"key":"a","value":1,"what":2}`, "line 3: "},
		{"json", good + `{"key":"b","value":10769150350006150715113082367}`, "line 3: would not be stored as it is written: the integer 107"},
		{"json", good + `{"key":1e400,"value":1}`, "line 3: "},
		{"json", good + `{"key":"b","value":{"a":1,"a":2}}`, "line 3: "},
		{"json", good + `{"key":"\ud800","value":1}`, "line 3: "},
		{"json", good + "{\"key\":\"a\xff\",\"value\":1}", "line 3: "},
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
			t.Errorf("%.200q: %v, want %s…", c.text, err, c.want)
		}
		if strings.HasPrefix(c.want, "line 3") && len(list) != 1 {
			t.Errorf("%.200q: %d records before the bad line", c.text, len(list))
		}
	}
}

// A line may say less than what is written, and the encodings alone.
func TestShortLines(t *testing.T) {
	for _, c := range []struct{ format, text string }{
		{"json", `{"key_encoded":"omv/","value_encoded":"xAMBAv8=","ttl_ms":null}`},
		{"json", `{"key":"k�","key_encoded":"omv/","value":"AQL/","value_encoded":"xAMBAv8=","max_idle_ms":null,"partition":null}`},
		{"csv", "key,value,value_encoded,key_encoded,ttl_ms\n,,xAMBAv8=,omv/,\n"},
		{"csv", "value_encoded,key_encoded,ttl_ms\nxAMBAv8=,omv/,\n"},
	} {
		got, err := readRecords(c.format, c.text)
		require.NoError(t, err, c.text)
		require.True(t, got[0].same(recordOf(t, "k\xff", []byte{1, 2, 255})), "%+v", got)
	}
	got, err := readRecords("json", `{"key":"k","value":1}`)
	require.NoError(t, err)
	require.False(t, got[0].given, "the map says when the entry ends")
}

// A byte order mark is passed over, with a note; a file in another encoding is refused.
func TestByteOrderMark(t *testing.T) {
	for format, text := range map[string]string{"json": `{"key":"k","value":1,"ttl_ms":null}`, "csv": "key,value,ttl_ms\nk,1,"} {
		for _, mark := range []string{"\xef\xbb\xbf", ""} {
			var notes []string
			r, err := recordsOf(format, strings.NewReader(mark+text), func(n string) { notes = append(notes, n) })
			require.NoError(t, err)
			got, err := r.next()
			require.NoError(t, err)
			require.True(t, got.same(recordOf(t, "k", 1)))
			require.Len(t, notes, len(mark)/3)
		}
		for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
			_, err := readRecords(format, mark+text)
			require.ErrorContains(t, err, "line 1: the file is UTF-16")
		}
		_, err := readRecords(format, "\xef\xbb")
		require.ErrorContains(t, err, "line 1: ")
	}
	got, err := readRecords("json", "\xef\xbb\xbf")
	require.NoError(t, err)
	require.Empty(t, got)
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

// Whatever stands in a file is an entry or an error, and an entry is written as what it was read as.
func FuzzRecords(f *testing.F) {
	for _, text := range []string{
		`{"key":"k","value":1,"ttl_ms":null}`, `{"key":[1.5],"value":{"a":[null]},"max_idle_ms":5,"partition":"1/2"}`,
		`{"key_encoded":"omv/","value_encoded":"xAMBAv8="}`, `{"key":"\ud800","value":1e400}`, "k,1,5,6,,,\n", "\"a\r\nb\",\"{\"\"a\"\":1}\",,,,,3/4\n", ",,,,omv/,xAMBAv8=,\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for format, header := range map[string]string{"json": "", "csv": strings.Join(csvColumns, ",") + "\n"} {
			list, err := readRecords(format, header+text)
			if err != nil && !strings.HasPrefix(err.Error(), "line ") {
				t.Fatal(err)
			}
			for _, r := range list {
				if !r.given {
					continue // it is left to the map, and what is exported is not
				}
				for _, as := range []string{"json", "csv"} {
					header, line := fileOf(t, as, r)
					again, err := readRecords(as, header+line)
					require.NoError(t, err)
					require.Len(t, again, 1)
					require.True(t, r.same(again[0]))
				}
			}
		}
	})
}
