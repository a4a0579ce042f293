package app

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// csvColumns are the columns that are written. Key and value must be there where a file is read, the others may.
var csvColumns = []string{"key", "value", fieldTTL, fieldMaxIdle, fieldKeyEncoded, fieldValueEncoded, fieldPartition}

// csvNotation writes a string as it is if that text is read as the same string. It writes everything else as JSON.
type csvNotation struct{}

func (csvNotation) key(encoded []byte) string {
	text, v := jsonOf(encoded)
	if s, ok := v.(string); ok && utf8.ValidString(s) {
		return s
	}
	return text
}

func (n csvNotation) value(encoded []byte) string {
	text, v := jsonOf(encoded)
	if s, ok := v.(string); ok {
		if read, err := n.readValue(s); err == nil && read == v {
			return s
		}
	}
	return text
}

// readKey returns a key, which is a string always.
func (csvNotation) readKey(text string) (any, error) { return cell(text) }

// readValue returns a value: JSON where it parses as JSON, else a string.
func (csvNotation) readValue(text string) (any, error) {
	text, err := cell(text)
	if err != nil {
		return nil, err
	}
	return codec.FromJSON(text)
}

// cell returns what the text of a cell is read as. A carriage return before the end of a line is no part of the value.
func cell(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("it is not UTF-8")
	}
	return strings.ReplaceAll(text, "\r\n", "\n"), nil
}

// csvReader reads the columns under a header that names them, in any order.
type csvReader struct {
	in   *csv.Reader
	text *bounded
	at   map[string]int // columns
	n    int            // the line at which the next record begins
}

func newCSVReader(in io.Reader) (*csvReader, error) {
	// The bound is for each record: a quote that is never closed would else take in the whole file.
	text := &bounded{in: in, left: maxLine}
	r := &csvReader{in: csv.NewReader(text), text: text, at: make(map[string]int)}
	header, err := r.in.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("no header")
		}
		return nil, badLine(1, err)
	}

	// The header is line 1.
	r.n = 2
	known := make(map[string]bool)
	for _, name := range csvColumns {
		known[name] = true
	}

	// An unknown column is most likely a misspelled one, whose values would be lost.
	for i, name := range header {
		if _, twice := r.at[name]; twice || !known[name] {
			return nil, badLine(1, fmt.Errorf("column %q: want key, value and ttl_ms, each once; there are %s", name, strings.Join(csvColumns, ", ")))
		}
		r.at[name] = i
	}

	for _, pair := range [][2]string{{"key", fieldKeyEncoded}, {"value", fieldValueEncoded}} {
		_, plain := r.at[pair[0]]
		if _, encoded := r.at[pair[1]]; !plain && !encoded {
			return nil, badLine(1, errors.New("want at least the columns key and value"))
		}
	}
	return r, nil
}

func (r *csvReader) next() (record, error) {
	r.text.left = maxLine
	fields, err := r.in.Read()
	if errors.Is(err, io.EOF) {
		return record{}, io.EOF
	}
	if err != nil && r.text.over {
		err = errLongLine // what the parser makes of it
	}
	if err != nil {
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			return record{}, badLine(bad.StartLine, bad.Err)
		}
		return record{}, fmt.Errorf("line %d: %w", r.n, err) // which is the end
	}

	// A record may take several lines, so the reader's own positions count.
	line, _ := r.in.FieldPos(0)
	last, _ := r.in.FieldPos(len(fields) - 1)
	r.n = last + strings.Count(fields[len(fields)-1], "\n") + 1

	rec, err := r.parse(fields)
	if err != nil {
		return record{}, badLine(line, err)
	}
	rec.line = line
	return rec, nil
}

// parse reads one record.
func (r *csvReader) parse(fields []string) (rec record, err error) {
	field := func(name string) (text string, there bool) {
		if i, ok := r.at[name]; ok {
			return fields[i], true
		}
		return "", false
	}

	var t lineText
	n := csvNotation{}
	t.keyEncoded, _ = field(fieldKeyEncoded)
	t.valueEncoded, _ = field(fieldValueEncoded)
	t.partition, _ = field(fieldPartition)

	// Beside an encoding an empty cell is nothing; alone it is the empty string.
	if text, ok := field("key"); ok && (text != "" || t.keyEncoded == "") {
		if t.key, err = n.readKey(text); err != nil {
			return rec, fmt.Errorf("key: %w", err)
		}
		t.hasKey = true
	}
	if text, ok := field("value"); ok && (text != "" || t.valueEncoded == "") {
		if t.value, err = n.readValue(text); err != nil {
			return rec, fmt.Errorf("value: %w", err)
		}
		t.hasValue = true
	}

	// A column that is there counts as given, also where its cell is empty: that means never.
	for _, name := range [...]string{fieldTTL, fieldMaxIdle} {
		text, ok := field(name)
		t.given = t.given || ok
		if text == "" {
			continue
		}
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return rec, fmt.Errorf("%s is %q: want a number of milliseconds", name, text)
		}

		d, err := millisecondsOf(name, ms)
		if err != nil {
			return rec, err
		}

		if name == fieldTTL {
			t.ttl = d
		} else {
			t.maxIdle = d
		}
	}
	return t.record(n)
}

// bounded is a reader that ends with an error after so many bytes.
type bounded struct {
	in   io.Reader
	left int
	over bool // it has ended so
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.over = true
		return 0, errLongLine
	}
	n, err := b.in.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

type csvWriter struct {
	out   *csv.Writer
	check csvReader // of one line
}

func newCSVWriter(out io.Writer) (csvWriter, error) {
	w := csvWriter{out: csv.NewWriter(out), check: csvReader{at: make(map[string]int)}}
	for i, name := range csvColumns {
		w.check.at[name] = i
	}
	return w, w.out.Write(csvColumns)
}

func (w csvWriter) write(r record) error {
	x := writtenOf(csvNotation{}, r)
	row := []string{x.key, x.value, x.ttl, x.maxIdle, x.keyEncoded, x.valueEncoded, x.partition}

	// The row is read back before it is written, so that no entry is lost without a word.
	again, err := w.readAgain(row)
	if err != nil || !r.same(again) {
		return &leftOut{errors.Join(errNotTheSame, err)}
	}
	return w.out.Write(row)
}

func (w csvWriter) readAgain(row []string) (record, error) {
	var line bytes.Buffer
	out := csv.NewWriter(&line)
	if err := out.Write(row); err != nil {
		return record{}, err
	}
	out.Flush()

	fields, err := csv.NewReader(&line).Read()
	if err != nil {
		return record{}, err
	}
	return w.check.parse(fields)
}

func (w csvWriter) end() error {
	w.out.Flush()
	return w.out.Error()
}
