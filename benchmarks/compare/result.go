package main

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/compare/stats"
)

// Result is what a run measured, as in results.json.
type Result struct {
	Started time.Time `json:"started"`
	Command []string  `json:"command"` // arguments
	Machine Machine   `json:"machine"`
	Peers   []Took    `json:"peers"`
	Skipped []Skipped `json:"skipped"`
	Cells   []Series  `json:"cells"`
	Idle    []Idle    `json:"idle"`
	Memory  []Memory  `json:"memory"`
	Goals   []Reached `json:"goals"`
}

// Machine is where it ran.
type Machine struct {
	CPU    string  `json:"cpu"`
	CPUs   int     `json:"cpus"`
	Kernel string  `json:"kernel"`
	Go     string  `json:"go"`
	Commit string  `json:"commit"`
	Load   float64 `json:"load_average"` // of the minute before the run
}

// Took is a peer that took part.
type Took struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	Copies int    `json:"copies"`
}

// Skipped is a peer that did not take part, or not in all.
type Skipped struct {
	Peer string `json:"peer"`
	What string `json:"what"`
	Why  string `json:"why"`
}

// Idle is what a peer's processes take together without work.
type Idle struct {
	Peer string  `json:"peer"`
	Core float64 `json:"core"` // share of one processor
}

// Memory is what a peer's processes take together with some entries.
type Memory struct {
	Peer    string  `json:"peer"`
	Entries int     `json:"entries"`
	Bytes   int64   `json:"resident_bytes"`      // all processes
	Largest int64   `json:"largest_bytes"`       // of them
	FillUS  float64 `json:"fill_cpu_us"`         // CPU-microseconds of all processes to write one of the entries since the step before
	FillPS  float64 `json:"fill_per_second"`     // entries
	Copies  int     `json:"copies"`              // of each entry
	PerCopy float64 `json:"bytes_each_per_copy"` // Bytes over entries and copies
}

// Series is all rounds of a cell for a peer.
type Series struct {
	Peer   string  `json:"peer"`
	Cell   Cell    `json:"cell"`
	Rounds []Round `json:"rounds"`
}

// Round is one of a series. Numbers are those of single entries where operations are batches, but for latencies. A round that failed has
// only Error.
type Round struct {
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P90       float64 `json:"p90_us"`
	P99       float64 `json:"p99_us"`
	P999      float64 `json:"p999_us"`
	Max       float64 `json:"max_us"`
	CPU       float64 `json:"cpu_us"` // of all processes
	ClientCPU float64 `json:"client_cpu_us"`
	Errors    int64   `json:"errors"`
	Error     string  `json:"error,omitempty"`
}

// newRound returns what was measured of a cell.
func newRound(c Cell, r benchmarks.Round, err error) Round {
	if err != nil {
		return Round{Error: err.Error()}
	}

	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	batch := float64(max(1, c.Batch))
	out := Round{PerSecond: r.PerSecond * batch, P50: us(r.P50), P90: us(r.P90), P99: us(r.P99), P999: us(r.P999), Max: us(r.Max),
		Errors: r.Errors, Error: r.FirstError}
	if r.CPU.Total != nil {
		out.CPU, out.ClientCPU = *r.CPU.Total/batch, *r.CPU.Client/batch
	}
	return out
}

// metric is a number of a round.
type metric func(*Round) float64

func perSecond(r *Round) float64 { return r.PerSecond }
func p50(r *Round) float64       { return r.P50 }
func p99(r *Round) float64       { return r.P99 }
func cpu(r *Round) float64       { return r.CPU }
func clientCPU(r *Round) float64 { return r.ClientCPU }

// values returns a number of each round, NaN for rounds that failed.
func (s *Series) values(m metric) []float64 {
	out := make([]float64, len(s.Rounds))
	for i := range s.Rounds {
		if out[i] = m(&s.Rounds[i]); s.Rounds[i].PerSecond == 0 {
			out[i] = math.NaN()
		}
	}
	return out
}

// summary returns the summary of the rounds that did not fail.
func (s *Series) summary(m metric) stats.Summary {
	return stats.Summarize(slices.DeleteFunc(s.values(m), math.IsNaN))
}

// failed returns how many operations failed, and the first error.
func (s *Series) failed() (n int64, first string) {
	for i := range s.Rounds {
		if n += s.Rounds[i].Errors; first == "" {
			first = s.Rounds[i].Error
		}
	}
	return n, first
}

// series returns the series of a cell for a peer, or nil.
func (r *Result) series(peer string, c Cell) *Series {
	for i := range r.Cells {
		if r.Cells[i].Peer == peer && r.Cells[i].Cell == c {
			return &r.Cells[i]
		}
	}
	return nil
}

// add appends a round to the series of a cell for a peer.
func (r *Result) add(peer string, c Cell, round Round) {
	s := r.series(peer, c)
	if s == nil {
		r.Cells = append(r.Cells, Series{Peer: peer, Cell: c})
		s = &r.Cells[len(r.Cells)-1]
	}
	s.Rounds = append(s.Rounds, round)
}

// skip notes what a peer did not take part in, once.
func (r *Result) skip(peer, what, why string) {
	s := Skipped{peer, what, why}
	if !slices.Contains(r.Skipped, s) {
		r.Skipped = append(r.Skipped, s)
	}
}

// WriteJSON writes the result as one document.
func (r *Result) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}
