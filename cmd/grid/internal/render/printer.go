package render

import (
	"bytes"
	"fmt"
	"io"
)

// Printer writes documents to one output in one format.
type Printer struct {
	Out      io.Writer
	Format   Format
	Terminal bool // Out is one: nothing is written to it that it might obey
	Color    bool // headers of tables are bold
}

// Print writes a document with one call of Out.Write, or nothing if it has a value that cannot be rendered.
func (p *Printer) Print(d Document) error {
	var b []byte
	var err error

	switch p.Format {
	case JSON:
		if b, err = d.appendJSON(nil); err == nil {
			b = append(b, '\n')
		}
	case YAML:
		b, err = d.appendYAML(nil)
	case CSV:
		var out bytes.Buffer
		err = writeCSV(&out, append([][]any{names(d.columns)}, d.rows...), p.Terminal)
		b = out.Bytes()
	case Raw:
		b, err = appendRaw(nil, d.only(d.value), p.Terminal)
	case Plain:
		// A pipe gets what a script wants first: the one value of a document that has one.
		if d.plain != "" {
			b, err = appendRaw(nil, d.only(d.plain), p.Terminal)
		} else {
			b, err = appendPlain(nil, d.rows)
		}
	case Table:
		b, err = d.appendTable(nil, p.Color)
	default:
		err = fmt.Errorf("output format %q", p.Format)
	}

	if err != nil {
		return fmt.Errorf("render: %w", err)
	}

	// One write, and none for a document that cannot be rendered.
	return p.write(b)
}

func (p *Printer) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := p.Out.Write(b); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}
