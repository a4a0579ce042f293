package render

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// Escape makes everything in s visible that a terminal might obey. It shows control characters, line separators and changes of direction
// as in JSON. It shows bytes that are not UTF-8 as \xNN.
func Escape(s string) string { return escape(s, "") }

// escape is Escape but for the characters in keep.
func escape(s, keep string) string {
	clean := utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return obeyed(r) && !strings.ContainsRune(keep, r) })

	// Almost all texts are clean: they are not copied.
	if clean {
		return s
	}

	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			// A byte that is no UTF-8 is shown by its number, so that nothing is lost.
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:])
		case !obeyed(r) || strings.ContainsRune(keep, r):
			b.WriteString(s[:n])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		default:
			b.WriteString(`\u` + strconv.FormatUint(uint64(r)|0x10000, 16)[1:])
		}

		s = s[n:]
	}
	return b.String()
}

// obeyed reports whether a terminal might do something else with r than show it.
func obeyed(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// text returns a value as it is shown where there is no notation for types. It shows a string as it is, and a time or bytes as JSON's
// string for them. It shows anything else as JSON.
func text(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}

	b, err := codec.ToJSON(v)
	switch v := v.(type) {
	case time.Time:
		return strings.Trim(string(b), `"`), err
	case []byte:
		if v != nil {
			return strings.Trim(string(b), `"`), err
		}
	}
	return string(b), err
}

// width returns how many columns of a terminal s takes.
func width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
			// Marks stand on the character before them, and formats are not shown. Neither takes a column.
		case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana), r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
			n += 2
		default:
			n++
		}
	}
	return n
}
