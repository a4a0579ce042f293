package app

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A file has one entry in each line. A line shows key and value in a readable form, for people and for other programs. Where the readable
// form is not exactly what is stored, the encodings stand beside it. Then the encodings count.

// record is one entry as it stands in a file.
type record struct {
	line  int // where it begins, from 1; in CSV the header is line 1
	key   storedKey
	value storedValue
	expiry
}

// expiry is when an entry ends.
type expiry struct {
	given        bool          // else it is the map's
	ttl, maxIdle time.Duration // 0: none
}

// options returns what a write needs to say.
func (e expiry) options() []sdk.WriteOption {
	if !e.given {
		return nil
	}
	return []sdk.WriteOption{sdk.WithTTL(e.ttl), sdk.WithMaxIdle(e.maxIdle)}
}

// same reports whether two records are the same entry, wherever they stand.
func (r record) same(as record) bool {
	return r.key == as.key && bytes.Equal(r.value, as.value) && r.expiry == as.expiry
}

// recordReader reads the records of a file. Next returns io.EOF after the last; another error names the line.
type recordReader interface {
	next() (record, error)
}

// recordWriter writes records to a file. For a record that would be read back as another record, write writes nothing and returns a
// leftOut.
type recordWriter interface {
	write(record) error
	end() error
}

// leftOut is the failure of an entry that no file can hold.
type leftOut struct{ err error }

func (e *leftOut) Error() string { return e.err.Error() }
func (e *leftOut) Unwrap() error { return e.err }

var errNotTheSame = errors.New("it would not be read as what it is")

// lineError is the failure of a line that is no record, or cannot be stored. Reading may go on after it.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %v", e.line, e.err) }
func (e *lineError) Unwrap() error { return e.err }

func badLine(n int, err error) error { return &lineError{n, err} }

// recordsOf returns a reader of a file. It calls note with remarks about the file as a whole.
func recordsOf(format string, in io.Reader, note func(string)) (recordReader, error) {
	text, err := skipMark(in, note)
	if err != nil {
		return nil, err
	}
	if format == "csv" {
		return newCSVReader(text)
	}
	return newJSONReader(text), nil
}

// skipMark returns in without a byte order mark at its beginning.
func skipMark(in io.Reader, note func(string)) (*bufio.Reader, error) {
	text := bufio.NewReaderSize(in, 64<<10)
	begin, err := text.Peek(3)
	switch {
	case len(begin) == 0 && err != nil && !errors.Is(err, io.EOF):
		return nil, badLine(1, err)
	case bytes.HasPrefix(begin, []byte("\xef\xbb\xbf")):
		note("the file begins with a byte order mark, which is passed over")
		_, err := text.Discard(3)
		return text, err
	case bytes.HasPrefix(begin, []byte("\xff\xfe")), bytes.HasPrefix(begin, []byte("\xfe\xff")):
		return nil, badLine(1, errors.New("the file is UTF-16: want UTF-8"))
	}
	return text, nil
}

func writerOf(format string, out io.Writer) (recordWriter, error) {
	if format == "csv" {
		return newCSVWriter(out)
	}
	return newJSONWriter(out), nil
}

// notation is how a format writes keys and values for people to read. What it writes depends on the encoding alone.
type notation interface {
	// key and value return the text of an encoding. Where an encoding has no exact text, the text is read as something else.
	key(encoded []byte) string
	value(encoded []byte) string

	// readKey and readValue return what a text says.
	readKey(text string) (any, error)
	readValue(text string) (any, error)
}

// lineText is a record as a line has it: what is "" or false is not there.
type lineText struct {
	key, value               any // what the readable forms say
	hasKey, hasValue         bool
	keyEncoded, valueEncoded string // base64
	partition                string // "17/24"
	expiry
}

// Names of the fields of a line beside key and value.
const (
	fieldTTL          = "ttl_ms"
	fieldMaxIdle      = "max_idle_ms"
	fieldKeyEncoded   = "key_encoded"
	fieldValueEncoded = "value_encoded"
	fieldPartition    = "partition"
)

// record returns the entry that the line stands for.
func (t *lineText) record(n notation) (r record, err error) {
	var key []byte
	switch {
	case t.keyEncoded != "":
		// The encoding counts, since the readable form may stand for several values.
		if key, err = decoded(fieldKeyEncoded, t.keyEncoded); err == nil && t.hasKey {
			err = agree(fieldKeyEncoded, "key", t.key, n.readKey, n.key(key))
		}
	case t.hasKey:
		if key, err = codec.EncodeKey(nil, t.key); err != nil {
			err = fmt.Errorf("key: %w", err)
		}
	default:
		err = errors.New("no key")
	}
	if err != nil {
		return r, err
	}

	if len(key) > wire.MaxKey {
		return r, fmt.Errorf("key: %d bytes, at most %d are allowed", len(key), wire.MaxKey)
	}
	if r.key, err = keyOf(key); err != nil {
		return r, fmt.Errorf("key: %w", err)
	}

	// The value, by the same rules as the key.
	switch {
	case t.valueEncoded != "":
		if r.value, err = decoded(fieldValueEncoded, t.valueEncoded); err == nil && t.hasValue {
			err = agree(fieldValueEncoded, "value", t.value, n.readValue, n.value(r.value))
		}
	case t.hasValue:
		if r.value, err = (codec.Msgpack{}).Encode(nil, t.value); err != nil {
			err = fmt.Errorf("value: %w", err)
		}
	default:
		err = errors.New("no value")
	}
	if err != nil {
		return r, err
	}
	if len(r.value) > wire.MaxValueHard {
		return r, fmt.Errorf("value: %d bytes, at most %d are allowed", len(r.value), wire.MaxValueHard)
	}

	r.expiry = t.expiry
	if t.partition != "" {
		err = r.key.place(t.partition)
	}
	return r, err
}

// decoded returns the bytes of a field in base64.
func decoded(field, text string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && len(b) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return b, nil
}

// agree returns an error unless the readable form in a line is the form that is written beside its encoding. If they differ, somebody has
// changed one and not the other, and nobody can tell which one counts.
func agree(field, name string, says any, read func(string) (any, error), text string) error {
	want, err := read(text)
	if err != nil {
		return err
	}

	// Two values are the same if they encode alike: Go cannot compare slices and maps.
	a, errA := codec.Msgpack{}.Encode(nil, says)
	b, errB := codec.Msgpack{}.Encode(nil, want)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}

	if !bytes.Equal(a, b) {
		return fmt.Errorf("%s and %s are not of the same %s: leave out the one that does not count", name, field, name)
	}
	return nil
}

// place puts the key where the text of a line says.
func (k *storedKey) place(text string) error {
	partition, of, ok := strings.Cut(text, "/")
	p, err := strconv.Atoi(partition)
	n, errOf := strconv.Atoi(of)
	if err = errors.Join(err, errOf); !ok || err != nil || p < 0 || p >= n || n > wire.MaxPartitions {
		return fmt.Errorf("%s is %q: want the number of a partition and of all, such as 17/24", fieldPartition, text)
	}
	k.PlacedIn(p, n)
	return nil
}

// written is a record as it is to be written: texts that are "" are left out.
type written struct {
	key, value                               string
	keyEncoded, valueEncoded, partition, ttl string
	maxIdle                                  string
}

// writtenOf returns how a record is written: with an encoding where the readable form would be read as something else.
func writtenOf(n notation, r record) written {
	w := written{key: n.key([]byte(r.key.encoded)), value: n.value(r.value)}

	if v, err := n.readKey(w.key); err != nil || !encodesAs(v, []byte(r.key.encoded)) {
		w.keyEncoded = base64.StdEncoding.EncodeToString([]byte(r.key.encoded))
	}
	if v, err := n.readValue(w.value); err != nil || !encodesAs(v, r.value) {
		w.valueEncoded = base64.StdEncoding.EncodeToString(r.value)
	}

	// The key's program chose the partition, which the key alone does not tell.
	if r.key.of > 0 {
		w.partition = fmt.Sprintf("%d/%d", r.key.partition, r.key.of)
	}
	if r.ttl > 0 {
		w.ttl = strconv.FormatInt(r.ttl.Milliseconds(), 10)
	}
	if r.maxIdle > 0 {
		w.maxIdle = strconv.FormatInt(r.maxIdle.Milliseconds(), 10)
	}
	return w
}

func encodesAs(v any, b []byte) bool {
	got, err := codec.Msgpack{}.Encode(nil, v)
	return err == nil && bytes.Equal(got, b)
}

// maxReadable bounds in bytes what is written for people beside an encoding. It does not bound what is read.
const maxReadable = 64 << 10

// jsonOf returns the JSON of an encoding, and the decoded value. It returns null if there is no JSON, or if the JSON is long and would be
// read as something else.
func jsonOf(encoded []byte) (text string, v any) {
	if err := (codec.Msgpack{}).Decode(encoded, &v); err != nil {
		return "null", nil
	}

	b, err := codec.ToJSON(v)
	if err != nil {
		return "null", nil
	}

	// A long text is worth its room only if it can be read back.
	if len(b) > maxReadable {
		if said, err := codec.ParseJSON(string(b)); err != nil || !encodesAs(said, encoded) {
			return "null", nil
		}
	}
	return string(b), v
}

// millisecondsOf returns the duration that a field of a line says.
func millisecondsOf(field string, ms int64) (time.Duration, error) {
	if ms < 1 || ms > int64(1<<63-1)/int64(time.Millisecond) {
		return 0, fmt.Errorf("%s is %d: want a number of milliseconds from 1 on, or null", field, ms)
	}
	return time.Duration(ms) * time.Millisecond, nil
}
