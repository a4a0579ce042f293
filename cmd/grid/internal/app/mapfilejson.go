package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// maxLine bounds one line of a file in bytes.
const maxLine = maxInput + 1<<20

var errLongLine = fmt.Errorf("it has more than %d bytes", maxLine)

// jsonNotation writes everything as JSON.
type jsonNotation struct{}

func (jsonNotation) key(encoded []byte) string {
	text, _ := jsonOf(encoded)
	return text
}

func (n jsonNotation) value(encoded []byte) string { return n.key(encoded) }

func (jsonNotation) readKey(text string) (any, error)   { return codec.ParseJSON(text) }
func (jsonNotation) readValue(text string) (any, error) { return codec.ParseJSON(text) }

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

		rec, err := parseJSONRecord(string(line))
		if err != nil {
			return record{}, badLine(r.n, err)
		}
		rec.line = r.n
		return rec, nil
	}

	err := r.in.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = errLongLine
	}
	if err != nil {
		return record{}, fmt.Errorf("line %d: %w", r.n+1, err) // which is the end
	}
	return record{}, io.EOF
}

// parseJSONRecord reads one line.
func parseJSONRecord(line string) (rec record, err error) {
	const want = `want {"key":…,"value":…,"ttl_ms":…}`
	v, err := codec.ParseJSON(line)
	if errors.Is(err, codec.ErrInexact) {
		return rec, err
	}
	if err != nil {
		return rec, fmt.Errorf("%s: %w", want, err)
	}

	fields, ok := v.(map[string]any)
	if !ok {
		return rec, errors.New(want)
	}

	// An unknown name is most likely a misspelled one, whose value would be lost.
	var t lineText
	for name, v := range fields {
		switch name {
		case "key":
			t.key, t.hasKey = v, true
		case "value":
			t.value, t.hasValue = v, true
		case fieldTTL, fieldMaxIdle:
			t.given = true
			// null says that the entry never expires, which is another thing than to leave the name out.
			if v == nil {
				continue
			}

			ms, ok := v.(int64)
			if !ok {
				return rec, fmt.Errorf("%s is no number of milliseconds", name)
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
		case fieldKeyEncoded, fieldValueEncoded, fieldPartition:
			text, ok := v.(string)
			if !ok && v != nil {
				return rec, fmt.Errorf("%s is no string", name)
			}
			*map[string]*string{fieldKeyEncoded: &t.keyEncoded, fieldValueEncoded: &t.valueEncoded, fieldPartition: &t.partition}[name] = text
		default:
			return rec, fmt.Errorf("%s: unknown field %q", want, name)
		}
	}
	return t.record(jsonNotation{})
}

type jsonWriter struct{ out *bufio.Writer }

func newJSONWriter(out io.Writer) jsonWriter { return jsonWriter{bufio.NewWriter(out)} }

func (w jsonWriter) write(r record) error {
	x := writtenOf(jsonNotation{}, r)
	var line strings.Builder

	if x.ttl == "" {
		// Written even where there is none: without it the import would apply the map's own TTL.
		x.ttl = "null"
	}
	fmt.Fprintf(&line, `{"key":%s,"value":%s,"%s":%s`, x.key, x.value, fieldTTL, x.ttl)
	if x.maxIdle != "" {
		fmt.Fprintf(&line, `,"%s":%s`, fieldMaxIdle, x.maxIdle)
	}
	for _, f := range [...]struct{ name, text string }{{fieldKeyEncoded, x.keyEncoded}, {fieldValueEncoded, x.valueEncoded}, {fieldPartition, x.partition}} {
		if f.text != "" {
			fmt.Fprintf(&line, `,"%s":"%s"`, f.name, f.text)
		}
	}
	line.WriteByte('}')

	// The line is read back before it is written, so that no entry is lost without a word.
	if again, err := parseJSONRecord(line.String()); err != nil || !r.same(again) {
		return &leftOut{errors.Join(errNotTheSame, err)}
	}

	line.WriteByte('\n')
	_, err := w.out.WriteString(line.String())
	return err
}

func (w jsonWriter) end() error { return w.out.Flush() }
