package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// maxInput bounds what is read from standard input in bytes: JSON of a value of wire.MaxValueHard, every byte escaped.
const maxInput = 6*wire.MaxValueHard + 16

// checkMap returns an error unless a map may have the name.
func checkMap(name string) error {
	err := wire.CheckMapName(name)
	// A person gets the reason in words of the command line.
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wire.ErrTooLarge):
		return usagef("map name: %d bytes, at most %d are allowed", len(name), wire.MaxMapName)
	case name == "":
		return usagef("map name: it is empty")
	default:
		return usagef("map name %q: it must be UTF-8 without control characters", name)
	}
}

// checkName returns an error unless a cluster, executor or task may have the name.
func checkName(name, what string) error {
	switch {
	case name == "":
		return usagef("%s is empty", what)
	case len(name) > wire.MaxTaskName:
		return usagef("%s has %d bytes, at most %d are allowed", what, len(name), wire.MaxTaskName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return usagef("%s %q: it must be UTF-8 without control characters", what, name)
	}
	return nil
}

// checkKeys returns an error unless all keys are within the limit.
func checkKeys(keys ...string) error {
	for _, key := range keys {
		b, err := codec.EncodeKey(nil, key)
		if err != nil {
			return usagef("key: %w", err)
		}
		if len(b) > wire.MaxKey {
			return usagef("key: %d bytes, at most %d are allowed", len(b), wire.MaxKey)
		}
	}
	return nil
}

// value returns the value that an argument stands for: the value of its JSON, or a string if it is no JSON. For "-" it reads standard
// input, without the newline at the end. JSON that no value can hold, such as a number of thirty digits, is an error.
func (inv *invocation) value(ctx context.Context, arg string) (any, error) {
	return inv.valueOf(ctx, "value", arg)
}

// valueOf is value for an argument that errors call what.
func (inv *invocation) valueOf(ctx context.Context, what, arg string) (any, error) {
	if arg == "-" {
		text, err := readAll(ctx, inv.In)
		if err != nil {
			return nil, err
		}
		// echo and editors end a text with a line break that is not meant.
		arg = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	}

	v, err := codec.FromJSON(arg)
	if err != nil {
		return nil, usagef("%s: %w", what, err)
	}

	// Checked before anything is sent, so that a mistake costs no connection.
	b, err := codec.Msgpack{}.Encode(nil, v)
	if err != nil {
		return nil, usagef("%s: %w", what, err)
	}
	if len(b) > wire.MaxValueHard {
		return nil, usagef("%s: %d bytes, at most %d are allowed", what, len(b), wire.MaxValueHard)
	}
	return v, nil
}

// readAll returns everything from in, or an error as soon as ctx ends. The goroutine that reads then lives on until the process ends,
// which is soon.
func readAll(ctx context.Context, in io.Reader) (string, error) {
	type result struct {
		text []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		// One byte more than the limit, so that a longer input shows.
		text, err := io.ReadAll(io.LimitReader(in, maxInput+1))
		read <- result{text, err}
	}()

	select {
	case r := <-read:
		if r.err != nil {
			return "", fmt.Errorf("standard input: %w", r.err)
		}
		if len(r.text) > maxInput {
			return "", usagef("standard input: more than %d bytes", maxInput)
		}
		return string(r.text), nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// parseTTL returns the time that an entry is to live, 0 for without end.
func parseTTL(what, s string) (time.Duration, error) {
	return parseTime(what, s, ", or 0 for without end")
}

// parseTime returns a time that is not negative. zero says what 0 means, for people.
func parseTime(what, s, zero string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, usagef("%s %q: want a duration such as 500ms, 30s or 1h%s", what, s, zero)
	}
	if d < 0 {
		return 0, usagef("%s %q: it is negative", what, s)
	}
	return d, nil
}

// parseVersion returns the version of an entry, or a fence, which is one; shownBy is the command that shows it.
func parseVersion(what, s, shownBy string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 {
		return 0, usagef("%s %q: want a number above zero, as %s shows it", what, s, shownBy)
	}
	return n, nil
}
