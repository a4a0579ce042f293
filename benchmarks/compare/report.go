package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gridiron-io/gridiron/benchmarks/compare/chart"
	"github.com/gridiron-io/gridiron/benchmarks/compare/stats"
)

// WriteMarkdown writes the report, with links to the plots. It reads as text too.
func (r *Result) WriteMarkdown(w io.Writer, plots []plot) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "# Gridiron beside its peers\n\n%s, %d CPUs, Linux %s, %s; Gridiron at %s, %s. Load average before: %.1f.\n", m.CPU, m.CPUs, m.Kernel,
		m.Go, or(m.Commit, "an unknown commit"), r.Started.UTC().Format("2006-01-02 15:04"), m.Load)
	fmt.Fprintf(&b, "\nNumbers are medians of rounds, with the lowest and the highest in parentheses.\n")

	if len(r.Peers) > 0 {
		b.WriteString("\n| peer | copies | |\n|---|---|---|\n")
		for _, p := range r.Peers {
			fmt.Fprintf(&b, "| %s | %d | %s |\n", p.Name, p.Copies, p.About)
		}
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "\nLeft out of %s: %s: %s\n", s.What, s.Peer, s.Why)
	}

	r.writeGoals(&b)
	r.writeRatios(&b)
	r.writeCells(&b)
	r.writeIdle(&b)
	r.writeMemory(&b)

	for _, p := range plots {
		fmt.Fprintf(&b, "\n![%s](%s)\n", p.figure.Title, p.file)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// spread returns a summary for people.
func spread(s stats.Summary) string {
	if s.Min == s.Max {
		return chart.Short(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", chart.Short(s.Median), chart.Short(s.Min), chart.Short(s.Max))
}

func (r *Result) writeGoals(b *strings.Builder) {
	if len(r.Goals) == 0 {
		return
	}
	b.WriteString("\n## Goals\n\n*CPU* is how many times the CPU time of an operation of Gridiron one of the other takes.\n\n")
	b.WriteString("| goal | want | is | CPU | |\n|---|---|---|---|---|\n")
	reached := 0
	for _, g := range r.Goals {
		verdict := "not reached"
		if g.Reached {
			verdict = "reached"
			reached++
		}
		times := ""
		if g.CPU.Median > 0 {
			times = spread(g.CPU)
		}
		fmt.Fprintf(b, "| %s | %s | %s %s | %s | %s |\n", g.Text, g.Want, spread(g.Is), g.Unit, times, verdict)
	}

	fmt.Fprintf(b, "\n%d of %d reached.\n", reached, len(r.Goals))
}

// cellsOf returns the cells that were measured, in the order in which they were.
func (r *Result) cellsOf() (list []Cell) {
	for i := range r.Cells {
		if c := r.Cells[i].Cell; !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// writeRatios writes, for both numbers of partitions, how many times what each peer does Gridiron does, and how many times its CPU time each
// peer takes.
func (r *Result) writeRatios(b *strings.Builder) {
	for _, mine := range []string{many, few} {
		r.writeTimes(b, fmt.Sprintf("Times the operations per second of its peers: %s", mine), mine, func(own, other *Series) (stats.Summary, int) {
			return stats.Ratios(own.values(perSecond), other.values(perSecond))
		})
		r.writeTimes(b, fmt.Sprintf("Times the CPU time that peers take: %s", mine), mine, func(own, other *Series) (stats.Summary, int) {
			return stats.Ratios(other.values(cpu), own.values(cpu))
		})
	}
}

// writeTimes writes one table of ratios.
func (r *Result) writeTimes(b *strings.Builder, title, mine string, times func(own, other *Series) (stats.Summary, int)) {
	names := r.names()

	// Gridiron with another number of partitions is no peer of itself.
	others := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == many || n == few })
	if !slices.Contains(names, mine) || len(others) == 0 {
		return
	}

	fmt.Fprintf(b, "\n## %s\n\nAbove 1, Gridiron is ahead. Each ratio is of the same round.\n\n", title)
	b.WriteString("| | " + strings.Join(others, " | ") + " |\n|---|" + strings.Repeat("---|", len(others)) + "\n")
	for _, c := range r.cellsOf() {
		own := r.series(mine, c)
		if own == nil {
			continue
		}
		fmt.Fprintf(b, "| %s |", c.row())
		for _, name := range others {
			cell := ""
			if other := r.series(name, c); other != nil {
				if s, pairs := times(own, other); pairs > 0 {
					cell = spread(s)
				}
			}
			fmt.Fprintf(b, " %s |", cell)
		}
		b.WriteString("\n")
	}
}

// row returns the cell as the head of a row.
func (c Cell) row() string {
	text := fmt.Sprintf("%s, %s, %d callers", c.title(), bytesText(c.Size), c.Callers)
	if c.Callers == 1 {
		text = strings.TrimSuffix(text, "s")
	}
	if c.Members != 3 {
		text += fmt.Sprintf(", members: %d", c.Members)
	}
	return text
}

func (r *Result) writeCells(b *strings.Builder) {
	for _, c := range r.cellsOf() {
		fmt.Fprintf(b, "\n## %s\n\n", c.row())
		// A batch counts as its entries, so that rates of different batches can be compared.
		what := "operations"
		if c.Batch > 1 {
			what = "entries"
		}
		fmt.Fprintf(b, "| | %s per second | p50 ms | p99 ms | p99.9 ms | CPU-µs | of that the client | failed |\n|---|---|---|---|---|---|---|---|\n", what)
		for _, name := range r.names() {
			s := r.series(name, c)
			if s == nil {
				continue
			}
			ms := func(m metric) string {
				v := s.summary(m)
				return spread(stats.Summary{Median: v.Median / 1000, Min: v.Min / 1000, Max: v.Max / 1000})
			}
			failed, first := s.failed()
			text := fmt.Sprint(failed)
			if first != "" {
				// A bar would end the cell of the table.
				text += ": " + strings.ReplaceAll(first, "|", "/")
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name, spread(s.summary(perSecond)), ms(p50), ms(p99),
				ms(func(r *Round) float64 { return r.P999 }), spread(s.summary(cpu)), spread(s.summary(clientCPU)), text)
		}
	}
}

func (r *Result) writeIdle(b *strings.Builder) {
	if len(r.Idle) == 0 {
		return
	}
	b.WriteString("\n## Without work\n\nThe CPU time of all processes of a cluster, with the others beside.\n\n| | share of a core |\n|---|---|\n")
	for _, i := range r.Idle {
		fmt.Fprintf(b, "| %s | %.1f %% |\n", i.Peer, 100*i.Core)
	}
}

func (r *Result) writeMemory(b *strings.Builder) {
	if len(r.Memory) == 0 {
		return
	}
	b.WriteString("\n## Entries and resident memory\n\nKeys of 16 bytes and values of 100, written by SetAll of 1,000 and 4 callers.\n\n")
	b.WriteString("| | entries | copies | all processes | largest | bytes for each entry and copy | written per second | CPU-µs to write one |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")

	for _, m := range r.Memory {
		fmt.Fprintf(b, "| %s | %d | %d | %d MB | %d MB | %.0f | %s | %.1f |\n", m.Peer, m.Entries, m.Copies, m.Bytes>>20, m.Largest>>20, m.PerCopy,
			chart.Short(m.FillPS), m.FillUS)
	}
}
