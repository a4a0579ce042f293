package codec

import (
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ToJSON renders v, as decoded into an any, as JSON in one line with sorted keys:
//
//   - A []byte becomes base64. A time becomes RFC 3339 with milliseconds in UTC.
//   - NaN and the infinities become the strings "NaN", "Infinity" and "-Infinity".
//   - Any other float has a fraction or an exponent, so that FromJSON tells it from an integer.
//   - A key that is not a string becomes the text of its value. If another key has that text too, primes are appended, or from
//     the fourth on a prime and their number.
//   - Control characters are escaped, also those that JSON would let pass. Bytes that are not UTF-8 become U+FFFD.
//
// A value of another type is encoded and decoded first. ToJSON returns the errors of that, and ErrUnsupported if v nests too deeply.
func ToJSON(v any) ([]byte, error) { return appendJSON(nil, v, 0) }

func appendJSON(dst []byte, v any, depth int) ([]byte, error) {
	// A value of Go may contain itself, and would never end.
	if depth > MaxDepth {
		return nil, fmt.Errorf("%w: it nests deeper than %d, or contains itself", ErrUnsupported, MaxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case float64:
		return appendJSONFloat(dst, v), nil
	case string:
		return appendJSONString(dst, v), nil
	case []byte:
		if v == nil {
			return append(dst, "null"...), nil
		}
		dst = append(dst, '"')
		// As package encoding/json does, so that other tools read the same.
		dst = base64.StdEncoding.AppendEncode(dst, v)
		return append(dst, '"'), nil
	case time.Time:
		dst = append(dst, '"')
		dst = appendJSONTime(dst, v)
		return append(dst, '"'), nil
	case []any:
		if v == nil {
			return append(dst, "null"...), nil
		}
		dst = append(dst, '[')
		for i, x := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSON(dst, x, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		if v == nil {
			return append(dst, "null"...), nil
		}
		// JSON is UTF-8, but keys of Go need not be.
		for k := range v {
			if !utf8.ValidString(k) {
				var err error
				if v, err = nameKeys(v); err != nil {
					return nil, err
				}
				break
			}
		}
		return appendJSONObject(dst, v, depth)
	case map[any]any:
		if v == nil {
			return append(dst, "null"...), nil
		}
		named, err := nameKeys(v)
		if err != nil {
			return nil, err
		}
		return appendJSONObject(dst, named, depth)
	}

	// Everything else is shown as it would be stored and read back.
	b, err := Msgpack{}.Encode(nil, v)
	if err != nil {
		return nil, err
	}

	var plain any
	if err := (Msgpack{}).Decode(b, &plain); err != nil {
		return nil, err
	}
	return appendJSON(dst, plain, depth)
}

func appendJSONObject(dst []byte, m map[string]any, depth int) ([]byte, error) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}

	// The order of a Go map is chance. Equal values have equal texts.
	slices.Sort(keys)

	dst = append(dst, '{')
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, k), ':')
		var err error
		if dst, err = appendJSON(dst, m[k], depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// nameKeys returns m with UTF-8 as keys, each its own. Keys that are UTF-8 stay; the others follow in the order of their
// encodings.
func nameKeys[K comparable](m map[K]any) (map[string]any, error) {
	type named struct {
		encoded, name string
		value         any
	}
	out := make(map[string]any, len(m))
	var others []named
	for k, v := range m {
		s, isString := any(k).(string)
		if isString && utf8.ValidString(s) {
			out[s] = v
			continue
		}

		b, err := Msgpack{}.Encode(nil, k)
		if err != nil {
			return nil, err
		}
		name := string([]rune(s)) // with U+FFFD
		if !isString {
			if name, err = nameOf(k); err != nil {
				return nil, err
			}
		}
		others = append(others, named{string(b), name, v})
	}

	// The order of a Go map is chance, but the names must not be.
	slices.SortFunc(others, func(a, b named) int { return strings.Compare(a.encoded, b.encoded) })
	alike := make(map[string]int) // how many of a name have been told apart
	for _, x := range others {
		name := x.name
		for _, taken := out[name]; taken; _, taken = out[name] {
			alike[x.name]++
			name = x.name + primes(alike[x.name])
		}
		out[name] = x.value
	}
	return out, nil
}

// primes returns the n-th suffix for names that are alike. It does not grow with n as n primes would.
func primes(n int) string {
	if n <= 3 {
		return strings.Repeat("'", n)
	}
	return "'" + strconv.Itoa(n)
}

// nameOf returns the JSON of a key that is not a string, without quotes.
func nameOf(key any) (string, error) {
	b, err := ToJSON(key)
	if err != nil {
		return "", err
	}
	return strings.Trim(string(b), `"`), nil
}

func appendJSONFloat(dst []byte, f float64) []byte {
	// JSON has no such numbers. A text is what a reader understands best.
	switch {
	case f != f:
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}

	at := len(dst)
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}

	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)

	// Without a point it would be read back as an integer.
	if !slices.Contains(dst[at:], '.') {
		dst = append(dst, ".0"...)
	}
	return dst
}

func appendJSONTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
}

// appendJSONString quotes s. What a terminal might obey is escaped: controls, line separators and changes of direction.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"', r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case unicode.IsControl(r), unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control):
			// All of these are below 65,536, so four digits are enough.
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
