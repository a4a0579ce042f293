package predicate

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Literal returns v as terms compare with it: as codec.Msgpack encodes it, and decodes it into an any. So a term compares with what a
// map would store for v. The result is nil, or a bool, int64, uint64 above its range, finite float64, string, []byte or time.Time. It
// returns errors wrapping wire.ErrMalformed.
func Literal(v any) (any, error) {
	b, err := codec.Msgpack{}.Encode(nil, v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrMalformed, err)
	}

	var out any
	if err := (codec.Msgpack{}).Decode(b, &out); err != nil {
		return nil, fmt.Errorf("%w: %w", wire.ErrMalformed, err)
	}

	switch out := out.(type) {
	case []any, map[string]any, map[any]any:
		return nil, fmt.Errorf("%w: %T is no single value, and nothing compares with it", wire.ErrMalformed, v)
	case float64:
		if math.IsNaN(out) || math.IsInf(out, 0) {
			return nil, fmt.Errorf("%w: %v is no finite number", wire.ErrMalformed, out)
		}
	case time.Time:
		// Texts of times have four digits for the year.
		if y := out.Year(); y < 0 || y > 9999 {
			return nil, fmt.Errorf("%w: the time is in the year %d", wire.ErrMalformed, y)
		}
	}
	return out, nil
}

// timestamp is the word before the text of a time.
const timestamp = "TIMESTAMP"

// appendLiteral appends the text of what Literal returned.
func appendLiteral(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "NULL"...)
	case string:
		return appendQuoted(dst, v, '\'')
	case []byte:
		dst = append(dst, "X'"...)
		return append(hex.AppendEncode(dst, v), '\'')
	case time.Time:
		dst = append(dst, timestamp+" '"...)
		return append(v.AppendFormat(dst, time.RFC3339Nano), '\'')
	}

	// Numbers and bools are written as in JSON, and ParseJSON reads them back as they were.
	b, err := codec.ToJSON(v)
	if err != nil {
		panic(fmt.Sprintf("predicate: a literal of type %T: %v", v, err))
	}
	return append(dst, b...)
}

// appendQuoted appends s in quotes. A quote within s stands twice.
func appendQuoted(dst []byte, s string, quote byte) []byte {
	dst = append(dst, quote)
	for i := range len(s) {
		if s[i] == quote {
			dst = append(dst, quote)
		}
		dst = append(dst, s[i])
	}
	return append(dst, quote)
}

// escapedBy returns the pattern, whose character for itself is escape, as one whose is a backslash. An empty escape means that there is
// none. It is not ok if nothing follows the last escape.
func escapedBy(pattern, escape string) (out string, ok bool) {
	var b strings.Builder
	for rest := pattern; rest != ""; {
		if after, found := strings.CutPrefix(rest, escape); found && escape != "" {
			if rest = after; rest == "" {
				return "", false
			}
			b.WriteByte('\\')
		} else if rest[0] == '\\' {
			b.WriteByte('\\')
		}

		// Only the first byte of a character matters: the others are never a backslash, or the beginning of the escape.
		b.WriteByte(rest[0])
		rest = rest[1:]
	}
	return b.String(), true
}
