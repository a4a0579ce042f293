package render

import (
	"bytes"
	"fmt"
)

// Stream writes records one by one, as they come: a JSON document a line, YAML documents begun by "---", CSV and tables
// under one header.
type Stream struct {
	p       *Printer
	columns []string
	widths  []int  // of a table's columns, at least
	value   string // the column that Raw shows
	begun   bool
}

// Stream returns a stream of records with the given columns. In a table they are at least as wide as widths say, which may
// be shorter than columns; Raw shows the column rawColumn alone.
func (p *Printer) Stream(columns []string, widths []int, rawColumn string) *Stream {
	all := make([]int, len(columns))
	copy(all, widths)
	for i, c := range columns {
		all[i] = max(all[i], len(c))
	}
	return &Stream{p: p, columns: columns, widths: all, value: rawColumn}
}

// WriteFlagged writes a record with a flag. In JSON and YAML the flag is a further field that is true. The other formats have fixed
// columns: they get the row shown in the place of the record's.
func (s *Stream) WriteFlagged(row []any, flag string, shown []any) error {
	if s.p.Format != JSON && s.p.Format != YAML {
		return s.Write(shown)
	}

	// In JSON and YAML each record is a document of its own, so one record may have a field more than the others.
	with := *s
	with.columns = append(s.columns[:len(s.columns):len(s.columns)], flag)
	return with.Write(append(row[:len(row):len(row)], true))
}

// Write writes one record, which has a value for each column.
func (s *Stream) Write(row []any) error {
	d := Document{shape: record, columns: s.columns, rows: [][]any{row}}
	var b []byte
	var err error

	switch s.p.Format {
	case JSON:
		if b, err = d.appendJSON(nil); err == nil {
			b = append(b, '\n')
		}
	case YAML:
		// Each record is a document of its own, so that a reader need not wait for the end.
		b, err = d.appendYAML([]byte("---\n"))
	case CSV:
		rows := d.rows
		// The header comes with the first record, not before: a stream without records prints nothing.
		if !s.begun {
			rows = append([][]any{names(s.columns)}, rows...)
		}
		var out bytes.Buffer
		err = writeCSV(&out, rows, s.p.Terminal)
		b = out.Bytes()
	case Raw:
		b, err = appendRaw(nil, d.only(s.value), s.p.Terminal)
	case Plain:
		b, err = appendPlain(nil, d.rows)
	case Table:
		b, err = s.appendTable(row)
	default:
		err = fmt.Errorf("output format %q", s.p.Format)
	}

	if err != nil {
		return fmt.Errorf("render: %w", err)
	}

	s.begun = true
	return s.p.write(b)
}

func (s *Stream) appendTable(row []any) ([]byte, error) {
	var dst []byte
	if !s.begun {
		dst = appendAligned(dst, header(s.columns), s.widths, s.p.Color)
	}

	// Widths are fixed from the start, since later rows are not known yet.
	line, err := escaped(row)
	if err != nil {
		return nil, err
	}
	return appendAligned(dst, line, s.widths, false), nil
}
