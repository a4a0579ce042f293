package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// durations are times of the same thing.
type durations []time.Duration

// quantile returns the time within which a share of them lies. REQUIRES that there are any, in order.
func (d durations) quantile(share float64) time.Duration { return d[int(share*float64(len(d)-1)+0.5)] }

// String tells how they are spread, in milliseconds.
func (d durations) String() string {
	if len(d) == 0 {
		return "none"
	}

	s := slices.Sorted(slices.Values(d))
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
	o := durations(s)
	return fmt.Sprintf("p50 %s · p99 %s · max %s ms (%d)", ms(o.quantile(0.5)), ms(o.quantile(0.99)), ms(s[len(s)-1]), len(s))
}

// report is what a scenario came to: a table of two columns.
type report struct {
	title string
	rows  [][2]string
}

func (r *report) rowf(name, format string, args ...any) {
	r.rows = append(r.rows, [2]string{name, fmt.Sprintf(format, args...)})
}

func (r *report) spread(name string, d durations) { r.rowf(name, "%v", d) }

// calls adds what came of calls.
func (r *report) calls(s seen) {
	r.rowf("calls, failed", "%d, %d", s.calls, s.failed)
	if s.firstError != nil {
		r.rowf("first failure", "%v", s.firstError)
	}
	r.rowf("longest call", "%v", s.longest.Round(100*time.Microsecond))
}

// reads adds what came of reads.
func (r *report) reads(s seen) {
	r.rowf("reads, failed", "%d, %d", s.calls, s.failed)
	if s.firstError != nil {
		r.rowf("first read that failed", "%v", s.firstError)
	}
	r.rowf("longest read", "%v", s.longest.Round(100*time.Microsecond))
}

func (r *report) write(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", r.title)

	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range r.rows {
		fmt.Fprintf(t, "  %s\t%s\n", row[0], row[1])
	}
	if err := t.Flush(); err != nil {
		return err
	}

	_, err := io.WriteString(out, b.String())
	return err
}
