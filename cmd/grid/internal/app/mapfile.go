package app

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// maxLine bounds one line of JSON in bytes.
const maxLine = maxInput + 1<<20

// record is one entry as it stands in a file.
type record struct {
	line  int // where it begins, from 1; in CSV the header is line 1
	key   any
	value any
	ttl   time.Duration // 0: none
}

// recordReader reads the records of a file. Next returns io.EOF after the last; another error names the line.
type recordReader interface {
	next() (record, error)
}

// lineError is the failure of a line that is no record, or cannot be stored. Reading may go on after it.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

func badLine(n int, err error) error { return &lineError{n, err} }

// jsonReader reads {"key":…,"value":…,"ttl_ms":…} a line. Empty lines are passed over.
type jsonReader struct {
	in *bufio.Scanner
	n  int
}

func newJSONReader(in io.Reader) *jsonReader {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), maxLine)
	return &jsonReader{in: s}
}

func (r *jsonReader) next() (record, error) {
	for r.in.Scan() {
		r.n++
		line := bytes.TrimSpace(r.in.Bytes())
		if len(line) == 0 {
			continue
		}
		rec, err := parseJSONRecord(line)
		if err != nil {
			return record{}, badLine(r.n, err)
		}
		rec.line = r.n
		return rec, nil
	}
	if err := r.in.Err(); err != nil {
		return record{}, fmt.Errorf("line %d: %w", r.n+1, err) // which is the end
	}
	return record{}, io.EOF
}

func parseJSONRecord(line []byte) (rec record, err error) {
	var fields struct {
		Key   json.RawMessage `json:"key"`
		Value json.RawMessage `json:"value"`
		TTL   *int64          `json:"ttl_ms"`
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&fields); err != nil {
		return rec, fmt.Errorf("want {\"key\":…,\"value\":…,\"ttl_ms\":…}: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return rec, errors.New("there is something after the record")
	}
	switch {
	case fields.Key == nil:
		return rec, errors.New("no key")
	case fields.Value == nil:
		return rec, errors.New("no value")
	}
	if rec.key, err = codec.ParseJSON(string(fields.Key)); err != nil {
		return rec, fmt.Errorf("key: %w", err)
	}
	if rec.value, err = codec.ParseJSON(string(fields.Value)); err != nil {
		return rec, fmt.Errorf("value: %w", err)
	}
	if fields.TTL != nil {
		rec.ttl, err = ttlOf(*fields.TTL)
	}
	return rec, err
}

func ttlOf(ms int64) (time.Duration, error) {
	if ms < 1 || ms > int64(1<<63-1)/int64(time.Millisecond) {
		return 0, fmt.Errorf("ttl_ms is %d: want a number of milliseconds from 1 on, or null", ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// csvReader reads key, value and ttl_ms under a header that names them, in any order; ttl_ms may be left out. Keys are strings, values
// JSON where they parse as JSON, else strings.
type csvReader struct {
	in              *csv.Reader
	key, value, ttl int // columns; ttl -1: there is none
	n               int
}

func newCSVReader(in io.Reader) (*csvReader, error) {
	r := &csvReader{in: csv.NewReader(in), key: -1, value: -1, ttl: -1}
	header, err := r.in.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("no header")
		}
		return nil, badLine(1, err)
	}
	r.n = 1
	for i, name := range header {
		column := map[string]*int{"key": &r.key, "value": &r.value, "ttl_ms": &r.ttl}[name]
		if column == nil || *column >= 0 {
			return nil, badLine(1, fmt.Errorf("column %q: want key, value and ttl_ms, each once", name))
		}
		*column = i
	}
	if r.key < 0 || r.value < 0 {
		return nil, badLine(1, errors.New("want at least the columns key and value"))
	}
	return r, nil
}

func (r *csvReader) next() (record, error) {
	fields, err := r.in.Read()
	if errors.Is(err, io.EOF) {
		return record{}, io.EOF
	}
	if err != nil {
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			return record{}, badLine(bad.StartLine, bad.Err)
		}
		return record{}, fmt.Errorf("line %d: %w", r.n+1, err)
	}
	line, _ := r.in.FieldPos(0)
	r.n = line
	rec := record{line: line, key: fields[r.key]}
	if rec.value, err = codec.FromJSON(fields[r.value]); err != nil {
		return record{}, badLine(line, fmt.Errorf("value: %w", err))
	}
	if r.ttl >= 0 && fields[r.ttl] != "" {
		ms, err := strconv.ParseInt(fields[r.ttl], 10, 64)
		if err != nil {
			return record{}, badLine(line, fmt.Errorf("ttl_ms is %q: want a number of milliseconds", fields[r.ttl]))
		}
		if rec.ttl, err = ttlOf(ms); err != nil {
			return record{}, badLine(line, err)
		}
	}
	return rec, nil
}

// recordWriter writes records to a file.
type recordWriter interface {
	write(record) error
	end() error
}

type jsonWriter struct{ out *bufio.Writer }

func newJSONWriter(out io.Writer) jsonWriter { return jsonWriter{bufio.NewWriter(out)} }

func (w jsonWriter) write(r record) error {
	key, err := codec.ToJSON(r.key)
	if err != nil {
		return err
	}
	value, err := codec.ToJSON(r.value)
	if err != nil {
		return err
	}
	ttl := "null"
	if r.ttl > 0 {
		ttl = strconv.FormatInt(r.ttl.Milliseconds(), 10)
	}
	_, err = fmt.Fprintf(w.out, "{\"key\":%s,\"value\":%s,\"ttl_ms\":%s}\n", key, value, ttl)
	return err
}

func (w jsonWriter) end() error { return w.out.Flush() }

type csvWriter struct{ out *csv.Writer }

func newCSVWriter(out io.Writer) (csvWriter, error) {
	w := csvWriter{csv.NewWriter(out)}
	return w, w.out.Write([]string{"key", "value", "ttl_ms"})
}

// write writes strings as they are where they are read as what they are, else as JSON.
func (w csvWriter) write(r record) error {
	key, ok := r.key.(string)
	if !ok {
		return fmt.Errorf("the key %v is no string: CSV has strings only, JSON lines have all", r.key)
	}
	value, ok := r.value.(string)
	if read, err := codec.FromJSON(value); !ok || err != nil || read != any(value) {
		b, err := codec.ToJSON(r.value)
		if err != nil {
			return err
		}
		value = string(b)
	}
	ttl := ""
	if r.ttl > 0 {
		ttl = strconv.FormatInt(r.ttl.Milliseconds(), 10)
	}
	return w.out.Write([]string{key, value, ttl})
}

func (w csvWriter) end() error {
	w.out.Flush()
	return w.out.Error()
}
