package benchmarks

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// golden has a round of which all is known, and one of which little is.
func golden() Result {
	known := Round{Callers: 64, Operations: 2_000, Errors: 1, FirstError: "set bench: \"timeout\"", Bytes: 224_000, Elapsed: 2 * time.Second,
		PerSecond: 1000.4, P50: 1500 * time.Microsecond, P90: 2 * time.Millisecond, P99: 3 * time.Millisecond,
		P999: 4 * time.Millisecond, Max: 5678 * time.Microsecond}
	known.setCPU(100*time.Millisecond, 200*time.Millisecond+50*time.Microsecond, true)
	return Result{Op: OpSet, Mix: mixes[OpSet], Members: 3, Partitions: 271, Keys: 1, ValueSize: 100,
		Rounds: []Round{known, {Callers: 512, Operations: 10, Bytes: 1, Elapsed: time.Millisecond, PerSecond: 10_000}}}
}

// quiet is what a document has of listeners where there are none.
const quiet = `"listeners":null,"events":null,"events_lost":null,"events_per_second":null,"event_p50_us":null,"event_p99_us":null,"event_max_us":null`

func TestJSONIsTheContract(t *testing.T) {
	var out bytes.Buffer
	if err := golden().WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	const want = `[{"op":"set","members":3,"partitions":271,"keys":1,"value_bytes":100,"callers":64,"operations":2000,"errors":1,` +
		`"elapsed_ms":2000,"per_second":1000,"p50_us":1500,"p90_us":2000,"p99_us":3000,"p999_us":4000,"max_us":5678,"cpu_us":150,` +
		`"client_cpu_us":50,"members_cpu_us":100,"bytes":224000,"first_error":"set bench: \"timeout\"","mix":"set=100","zipf_theta":null,"rate":null,"overruns":null,"not_begun":null,"batch":null,` + quiet + `},` +
		`{"op":"set","members":3,"partitions":271,"keys":1,"value_bytes":100,"callers":512,"operations":10,"errors":0,` +
		`"elapsed_ms":1,"per_second":10000,"p50_us":0,"p90_us":0,"p99_us":0,"p999_us":0,"max_us":0,"cpu_us":null,` +
		`"client_cpu_us":null,"members_cpu_us":null,"bytes":1,"first_error":null,"mix":"set=100","zipf_theta":null,"rate":null,"overruns":null,"not_begun":null,"batch":null,` + quiet + `}]` + "\n"
	if out.String() != want {
		t.Errorf("\n%s, want\n%s", out.String(), want)
	}
	if b, err := json.Marshal(Result{}); string(b) != "[]" || err != nil {
		t.Errorf("no rounds: %s, %v", b, err)
	}
}

func TestRowsFitTheColumns(t *testing.T) {
	rows := golden().Rows()
	for i, row := range rows {
		if len(row) != len(Columns()) {
			t.Errorf("row %d has %d values for %d columns", i, len(row), len(Columns()))
		}
	}
	if len(rows) != 2 || rows[1][0] != "set" || Columns()[0] != "op" {
		t.Errorf("%v under %v", rows, Columns())
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := golden().WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	const want = `set · 3 members, 271 partitions · 1 key, values of 100 bytes

  callers  ops/s  p50 ms  p90 ms  p99 ms  p99.9 ms  max ms  CPU µs/op  client  members  errors
       64   1000    1.50    2.00    3.00      4.00    5.68      150.0    50.0    100.0       1
      512  10000    0.00    0.00    0.00      0.00    0.00          -       -        -       0

with 64 callers: "set bench: \"timeout\""
`
	if out.String() != want {
		t.Errorf("\n%s\nwant\n%s", out.String(), want)
	}
}

func TestOpenLoadShowsItsOverruns(t *testing.T) {
	s := Result{Op: opMix, Mix: Mix{80, 20}, Members: 1, Partitions: 5, Keys: 10, Zipf: 0.9, Rate: 500, ValueSize: 100,
		Rounds: []Round{{Callers: 2, Operations: 7, Overruns: 3, NotBegun: 1}, {Callers: 4, Operations: 7}}}
	var table, document bytes.Buffer
	if err := errors.Join(s.WriteTable(&table), s.WriteJSON(&document)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"get=80,set=20 · 1 member, 5 partitions · 10 keys, values of 100 bytes · zipf 0.9 · 500 per second\n",
		"\nwith 2 callers: no caller was free at the time of 3 operations, of which 1 never began\n"} {
		if strings.Count(table.String(), want) != 1 {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
	if strings.Contains(table.String(), "with 4 callers") {
		t.Errorf("overruns of a round that has none:\n%s", table.String())
	}
	for _, want := range []string{`{"op":"mix",`, `"mix":"get=80,set=20","zipf_theta":0.9,"rate":500,"overruns":3,"not_begun":1,"batch":null,` + quiet + `}`,
		`"rate":500,"overruns":0,"not_begun":0,"batch":null,` + quiet + `}]`} {
		if !strings.Contains(document.String(), want) {
			t.Errorf("no %q in\n%s", want, document.String())
		}
	}
}

func TestListenersAreShown(t *testing.T) {
	s := Result{Op: OpSet, Mix: mixes[OpSet], Members: 3, Partitions: 5, Keys: 10, ValueSize: 100, Listeners: 2,
		Rounds: []Round{{Callers: 4, Operations: 7, Events: 14, EventsLost: 1, EventsPerSecond: 20.4, EventP50: 2 * time.Millisecond,
			EventP99: 3 * time.Millisecond, EventMax: 4 * time.Millisecond}}}
	var table, document bytes.Buffer
	if err := errors.Join(s.WriteTable(&table), s.WriteJSON(&document)); err != nil {
		t.Fatal(err)
	}
	if want := "\nwith 4 callers: 2 listeners heard 14 events, 20 in a second, within 2.00 ms (p50), 3.00 ms (p99), 4.00 ms at most, and 1 LOST\n"; !strings.Contains(table.String(), want) {
		t.Errorf("no %q in\n%s", want, table.String())
	}
	if want := `"listeners":2,"events":14,"events_lost":1,"events_per_second":20,"event_p50_us":2000,"event_p99_us":3000,"event_max_us":4000}]`; !strings.Contains(document.String(), want) {
		t.Errorf("no %q in\n%s", want, document.String())
	}
}

// full refuses what is written to it.
type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrorsAreReported(t *testing.T) {
	for name, err := range map[string]error{"table": golden().WriteTable(full{}), "json": golden().WriteJSON(full{})} {
		if !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
