package render

import (
	"encoding/csv"
	"io"
	"strings"
)

// appendTable appends the document as aligned columns under a header.
func (d Document) appendTable(dst []byte, bold bool) ([]byte, error) {
	cells := make([][]string, 0, len(d.rows)+1)
	cells = append(cells, header(d.columns))
	for _, row := range d.rows {
		line, err := escaped(row)
		if err != nil {
			return nil, err
		}
		cells = append(cells, line)
	}

	// A column is as wide as its widest cell, header included.
	widths := make([]int, len(d.columns))
	for _, line := range cells {
		for i, cell := range line {
			widths[i] = max(widths[i], width(cell))
		}
	}

	for i, line := range cells {
		dst = appendAligned(dst, line, widths, bold && i == 0)
	}
	return dst, nil
}

// header returns the first line of a table.
func header(columns []string) []string {
	line := make([]string, len(columns))
	for i, c := range columns {
		line[i] = strings.ToUpper(c)
	}
	return line
}

// appendAligned appends one line of a table. Its last cell is not filled up.
func appendAligned(dst []byte, line []string, widths []int, bold bool) []byte {
	const boldOn, boldOff = "\x1b[1m", "\x1b[0m"
	if bold {
		dst = append(dst, boldOn...)
	}

	for i, cell := range line {
		dst = append(dst, cell...)
		// The last cell needs no padding, which would wrap lines on a narrow terminal.
		if i < len(line)-1 {
			dst = append(dst, strings.Repeat(" ", max(0, widths[i]-width(cell))+2)...)
		}
	}

	if bold {
		dst = append(dst, boldOff...)
	}
	return append(dst, '\n')
}

// appendPlain appends rows separated by tabs.
func appendPlain(dst []byte, rows [][]any) ([]byte, error) {
	for _, row := range rows {
		line, err := escaped(row)
		if err != nil {
			return nil, err
		}
		dst = append(append(dst, strings.Join(line, "\t")...), '\n')
	}
	return dst, nil
}

// escaped returns the texts of a row in which nothing breaks a line or a column.
func escaped(row []any) ([]string, error) {
	line := make([]string, len(row))
	for i, v := range row {
		s, err := text(v)
		if err != nil {
			return nil, err
		}
		line[i] = Escape(s)
	}
	return line, nil
}

// writeCSV writes rows as CSV. Null is an empty field; on a terminal, texts are escaped.
func writeCSV(out io.Writer, rows [][]any, terminal bool) error {
	w := csv.NewWriter(out)
	for _, row := range rows {
		line := make([]string, len(row))
		for i, v := range row {
			if v == nil {
				continue
			}

			s, err := text(v)
			if err != nil {
				return err
			}

			// A file gets the values unchanged. A terminal would obey what is in them.
			if terminal {
				s = Escape(s)
			}
			line[i] = s
		}
		if err := w.Write(line); err != nil {
			return err
		}
	}

	w.Flush()
	return w.Error()
}

// appendRaw appends the values of rows, one a line. On a terminal, texts are escaped but for their lines and tabs.
func appendRaw(dst []byte, rows [][]any, terminal bool) ([]byte, error) {
	for _, row := range rows {
		for _, v := range row {
			s, err := text(v)
			if err != nil {
				return nil, err
			}
			if terminal {
				s = escape(s, "\n\t")
			}
			dst = append(append(dst, s...), '\n')
		}
	}
	return dst, nil
}

// names returns the header of columns as a row.
func names(columns []string) []any {
	row := make([]any, len(columns))
	for i, c := range columns {
		row[i] = c
	}
	return row
}
