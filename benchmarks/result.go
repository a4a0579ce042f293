package benchmarks

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Result is what Run measured.
type Result struct {
	Op         Op  // "mix" for one of one's own
	Mix        Mix // of its operations
	Members    int // of the cluster
	Partitions int
	Keys       int
	Batch      int     // keys of an operation; 0: one, by itself
	Zipf       float64 // the exponent by which they are drawn; 0: equal chances
	Rate       int     // operations per second that begin; 0: whenever a caller is free
	ValueSize  int     // bytes
	Listeners  int     // that hear of all writes
	Rounds     []Round
}

// Round is what some number of callers did at the same time. Latencies are those of operations that succeeded.
type Round struct {
	Callers    int
	Operations int64  // that succeeded
	Errors     int64  // operations that failed
	FirstError string // of those; empty without
	Bytes      int64  // keys and values of the operations
	Elapsed    time.Duration
	PerSecond  float64 // operations

	// Overruns are operations of an open load for which no caller was free at their time. They began late, or not at all before the round
	// ended. NotBegun counts those that did not begin, which are in no latency.
	Overruns, NotBegun int64

	P50, P90, P99, P999, Max time.Duration

	CPU CPU

	// Events is how many of them all listeners together have heard, until nothing more came. Their latencies count from the beginning of
	// the write until the listener's function is called. EventsLost counts the LOST among them.
	Events, EventsLost           int64
	EventsPerSecond              float64
	EventP50, EventP99, EventMax time.Duration
}

// CPU is the CPU time of an operation in microseconds, user and system mode together, in all threads of the processes. A
// number is nil where it is not known: Client and Total without /proc, Members and Total without the members' processes.
// Operations that failed cost, but do not count.
type CPU struct {
	Client  *float64 // of this process
	Members *float64 // of all members' processes together
	Total   *float64
}

// newRound returns what r gathered, but for Bytes and CPU.
func newRound(callers int, r *recorder, elapsed time.Duration) Round {
	n := r.latencies.TotalCount()
	round := Round{Callers: callers, Operations: n, Errors: r.failed, Elapsed: elapsed, PerSecond: float64(n) / elapsed.Seconds(),
		P50: r.quantile(0.5), P90: r.quantile(0.9), P99: r.quantile(0.99), P999: r.quantile(0.999), Max: r.max}
	if r.err != nil {
		round.FirstError = r.err.Error()
	}
	return round
}

// setCPU sets what the round cost. REQUIRES operations.
func (r *Round) setCPU(client, members time.Duration, knownMembers bool) {
	each := func(d time.Duration) *float64 {
		us := float64(d) / float64(time.Microsecond) / float64(r.Operations)
		return &us
	}

	r.CPU.Client = each(client)
	// Without the members' times a total would be the client's alone, and look cheap.
	if knownMembers {
		r.CPU.Members, r.CPU.Total = each(members), each(client+members)
	}
}

// field is a column of the result: its name as in JSON, and its value in a round.
type field struct {
	name  string
	value func(*Result, *Round) any
}

// fields are all columns in their order. Values are strings, integers, floats and nil.
var fields = []field{
	{"op", func(s *Result, _ *Round) any { return string(s.Op) }},
	{"members", func(s *Result, _ *Round) any { return s.Members }},
	{"partitions", func(s *Result, _ *Round) any { return s.Partitions }},
	{"keys", func(s *Result, _ *Round) any { return s.Keys }},
	{"value_bytes", func(s *Result, _ *Round) any { return s.ValueSize }},
	{"callers", func(_ *Result, r *Round) any { return r.Callers }},
	{"operations", func(_ *Result, r *Round) any { return r.Operations }},
	{"errors", func(_ *Result, r *Round) any { return r.Errors }},
	{"elapsed_ms", func(_ *Result, r *Round) any { return r.Elapsed.Milliseconds() }},
	{"per_second", func(_ *Result, r *Round) any { return rounded(r.PerSecond, 0) }},
	{"p50_us", func(_ *Result, r *Round) any { return r.P50.Microseconds() }},
	{"p90_us", func(_ *Result, r *Round) any { return r.P90.Microseconds() }},
	{"p99_us", func(_ *Result, r *Round) any { return r.P99.Microseconds() }},
	{"p999_us", func(_ *Result, r *Round) any { return r.P999.Microseconds() }},
	{"max_us", func(_ *Result, r *Round) any { return r.Max.Microseconds() }},
	{"cpu_us", func(_ *Result, r *Round) any { return orNil(r.CPU.Total) }},
	{"client_cpu_us", func(_ *Result, r *Round) any { return orNil(r.CPU.Client) }},
	{"members_cpu_us", func(_ *Result, r *Round) any { return orNil(r.CPU.Members) }},
	{"bytes", func(_ *Result, r *Round) any { return r.Bytes }},
	{"first_error", func(_ *Result, r *Round) any {
		if r.FirstError == "" {
			return nil
		}
		return r.FirstError
	}},
	{"mix", func(s *Result, _ *Round) any {
		// Not every operation is a mix of others.
		if s.Mix == (Mix{}) {
			return nil
		}
		return s.Mix.String()
	}},
	{"zipf_theta", func(s *Result, _ *Round) any {
		if s.Zipf == 0 {
			return nil
		}
		return s.Zipf
	}},
	{"rate", func(s *Result, _ *Round) any { return s.ifOpen(int64(s.Rate)) }},
	{"overruns", func(s *Result, r *Round) any { return s.ifOpen(r.Overruns) }},
	{"not_begun", func(s *Result, r *Round) any { return s.ifOpen(r.NotBegun) }},
	{"batch", func(s *Result, _ *Round) any {
		if s.Batch == 0 {
			return nil
		}
		return s.Batch
	}},
	{"listeners", func(s *Result, _ *Round) any { return s.ifHeard(s.Listeners) }},
	{"events", func(s *Result, r *Round) any { return s.ifHeard(r.Events) }},
	{"events_lost", func(s *Result, r *Round) any { return s.ifHeard(r.EventsLost) }},
	{"events_per_second", func(s *Result, r *Round) any { return s.ifHeard(rounded(r.EventsPerSecond, 0)) }},
	{"event_p50_us", func(s *Result, r *Round) any { return s.ifHeard(r.EventP50.Microseconds()) }},
	{"event_p99_us", func(s *Result, r *Round) any { return s.ifHeard(r.EventP99.Microseconds()) }},
	{"event_max_us", func(s *Result, r *Round) any { return s.ifHeard(r.EventMax.Microseconds()) }},
}

// ifHeard returns what there is only with listeners.
func (s *Result) ifHeard(v any) any {
	if s.Listeners == 0 {
		return nil
	}
	return v
}

// ifOpen returns what only an open load has.
func (s *Result) ifOpen(n int64) any {
	if s.Rate == 0 {
		return nil
	}
	return n
}

func orNil(f *float64) any {
	if f == nil {
		return nil
	}
	return rounded(*f, 1)
}

// rounded returns f with some decimals.
func rounded(f float64, decimals int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', decimals, 64), 64)
	if err != nil {
		return f // no finite number
	}
	return r
}

// Columns returns the names of a round's fields as in JSON, in their order.
func Columns() []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

// Rows returns one row for each round, with a value for each of Columns. A value is a string, an integer, a float64, or nil where it is
// not known.
func (s Result) Rows() [][]any {
	rows := make([][]any, len(s.Rounds))
	for i := range s.Rounds {
		rows[i] = make([]any, len(fields))
		for j, f := range fields {
			rows[i][j] = f.value(&s, &s.Rounds[i])
		}
	}
	return rows
}

// MarshalJSON returns an array with an object for each round.
func (s Result) MarshalJSON() ([]byte, error) {
	dst := []byte{'['}
	for i, row := range s.Rows() {
		if i > 0 {
			dst = append(dst, ',')
		}
		// Written by hand, so that the fields have the order of the table's columns.
		for j, v := range row {
			b, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", fields[j].name, err)
			}
			dst = append(dst, "{,"[min(j, 1)])
			dst = append(append(strconv.AppendQuote(dst, fields[j].name), ':'), b...)
		}

		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

// WriteJSON writes the result as one JSON document and a newline.
func (s Result) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(s) }

// WriteTable writes the result for people: a line that says what was done, and a table with a row for each round.
func (s Result) WriteTable(w io.Writer) error {
	var b strings.Builder
	what := string(s.Op)
	if s.Op == opMix {
		what = s.Mix.String()
	}

	fmt.Fprintf(&b, "%s · %s, %s · %s, values of %s", what, count(s.Members, "member"), count(s.Partitions, "partition"),
		count(s.Keys, "key"), count(s.ValueSize, "byte"))
	if s.Batch > 0 {
		fmt.Fprintf(&b, " · %s at once", count(s.Batch, "key"))
	}
	if s.Zipf > 0 {
		fmt.Fprintf(&b, " · zipf %v", s.Zipf)
	}
	if s.Rate > 0 {
		fmt.Fprintf(&b, " · %d per second", s.Rate)
	}

	b.WriteString("\n\n")

	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "callers\tops/s\tp50 ms\tp90 ms\tp99 ms\tp99.9 ms\tmax ms\tCPU µs/op\tclient\tmembers\terrors\t")

	for i := range s.Rounds {
		r := &s.Rounds[i]
		fmt.Fprintf(t, "%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", r.Callers, r.PerSecond, millis(r.P50), millis(r.P90),
			millis(r.P99), millis(r.P999), millis(r.Max), micros(r.CPU.Total), micros(r.CPU.Client), micros(r.CPU.Members), r.Errors)
	}

	if err := t.Flush(); err != nil {
		return err
	}

	for i := range s.Rounds {
		if r := &s.Rounds[i]; s.Listeners > 0 {
			fmt.Fprintf(&b, "\nwith %s: %s heard %s, %.0f in a second, within %s ms (p50), %s ms (p99), %s ms at most, and %d LOST\n",
				count(r.Callers, "caller"), count(s.Listeners, "listener"), count(int(r.Events), "event"), r.EventsPerSecond, millis(r.EventP50),
				millis(r.EventP99), millis(r.EventMax), r.EventsLost)
		}
	}
	for i := range s.Rounds {
		if r := &s.Rounds[i]; r.Overruns > 0 {
			fmt.Fprintf(&b, "\nwith %s: no caller was free at the time of %s, of which %d never began\n", count(r.Callers, "caller"),
				count(int(r.Overruns), "operation"), r.NotBegun)
		}
	}
	for i := range s.Rounds {
		if r := &s.Rounds[i]; r.Errors > 0 {
			fmt.Fprintf(&b, "\nwith %s: %q\n", count(r.Callers, "caller"), r.FirstError)
		}
	}

	_, err := io.WriteString(w, b.String())
	return err
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64)
}

func micros(f *float64) string {
	if f == nil {
		return "-"
	}
	return strconv.FormatFloat(*f, 'f', 1, 64)
}
