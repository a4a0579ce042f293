package wire

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A glob is a pattern that a whole text matches or does not:
//
//	*       any characters, also none, whatever they are
//	?       one character
//	[a-z]   one character of a set; [^a-z] or [!a-z] one that is not in it. A ] that stands first is a character of the set
//	\x      the character x itself, also within a set
//
// Everything else stands for itself. Characters are those of UTF-8.

// globPart is what one element of a glob is.
type globPart uint8

const (
	globEnd  globPart = iota
	globChar          // a character that stands for itself
	globOne           // any one character
	globSet           // one character of a set
	globAny           // any characters
	globBad           // what follows is no element
)

// nextGlob returns what p begins with, the character if it is one, and what follows. A set is the text between its brackets.
func nextGlob(p string) (part globPart, c rune, set, rest string) {
	if p == "" {
		return globEnd, 0, "", ""
	}
	switch p[0] {
	case '*':
		return globAny, 0, "", p[1:]
	case '?':
		return globOne, 0, "", p[1:]
	case '[':
		end := setEnd(p)
		if end < 0 {
			return globBad, 0, "", ""
		}
		return globSet, 0, p[1:end], p[end+1:]
	case '\\':
		// The character after a backslash stands for itself, so there must be one.
		if p = p[1:]; p == "" {
			return globBad, 0, "", ""
		}
	}

	// Globs match characters, and not bytes.
	c, n := utf8.DecodeRuneInString(p)
	if c == utf8.RuneError && n == 1 {
		return globBad, 0, "", ""
	}
	return globChar, c, "", p[n:]
}

// setEnd returns where the set that p begins with has its closing bracket, or -1.
func setEnd(p string) int {
	i := 1
	if i < len(p) && (p[i] == '^' || p[i] == '!') {
		i++
	}

	// A bracket that comes first is a member of the set, and a backslash takes the next character with it.
	for first := i; i < len(p); i++ {
		switch {
		case p[i] == ']' && i > first:
			return i
		case p[i] == '\\':
			i++
		}
	}
	return -1
}

// setRange returns the first range of the inside of a set, and what follows.
func setRange(set string) (low, high rune, rest string, ok bool) {
	if low, set, ok = setChar(set); !ok {
		return 0, 0, "", false
	}
	if len(set) < 2 || set[0] != '-' { // a - that stands last is a character
		return low, low, set, true
	}
	high, set, ok = setChar(set[1:])
	return low, high, set, ok && low <= high
}

func setChar(set string) (c rune, rest string, ok bool) {
	set = strings.TrimPrefix(set, `\`)
	c, n := utf8.DecodeRuneInString(set)
	return c, set[n:], c != utf8.RuneError || n > 1
}

// negated returns the inside of a set without the sign that turns it round, and whether it has one.
func negated(set string) (inside string, not bool) {
	if set[0] == '^' || set[0] == '!' {
		return set[1:], true
	}
	return set, false
}

// inSet reports whether c matches the inside of a set that CheckGlob has found in order.
func inSet(set string, c rune) bool {
	set, not := negated(set)
	for set != "" {
		low, high, rest, ok := setRange(set)
		if !ok {
			return false
		}
		if low <= c && c <= high {
			return !not
		}
		set = rest
	}
	return not
}

// CheckGlob returns an error wrapping ErrMalformed unless p is a glob.
func CheckGlob(p string) error {
	for rest := p; ; {
		part, _, set, after := nextGlob(rest)
		switch part {
		case globEnd:
			return nil
		case globBad:
			return fmt.Errorf("%w: glob %q: %q is neither a character nor a complete set", ErrMalformed, p, rest)
		case globSet:
			// A set is checked now, so that Match need not deal with bad ones.
			for inside, _ := negated(set); inside != ""; {
				_, _, more, ok := setRange(inside)
				if !ok {
					return fmt.Errorf("%w: glob %q: the set [%s] has a range that is none", ErrMalformed, p, set)
				}
				inside = more
			}
		}
		rest = after
	}
}

// MatchGlob reports whether s matches p. What is no glob matches nothing. See [Glob.Match].
func MatchGlob(p, s string) bool {
	g, err := CompileGlob(p)
	return err == nil && g.Match(s)
}

// Glob is a glob that was read once, to be matched with many texts.
type Glob struct{ parts []globElement }

// globElement is one element of a glob.
type globElement struct {
	part globPart
	c    rune
	set  string
}

// CompileGlob reads a glob. Errors are those of CheckGlob.
func CompileGlob(p string) (Glob, error) {
	if err := CheckGlob(p); err != nil {
		return Glob{}, err
	}

	var g Glob
	for {
		part, c, set, rest := nextGlob(p)
		switch {
		case part == globEnd:
			return g, nil
		case part == globAny && len(g.parts) > 0 && g.parts[len(g.parts)-1].part == globAny:
			// Two stars in a row match what one does, and would only cost time.
		default:
			g.parts = append(g.parts, globElement{part, c, set})
		}
		p = rest
	}
}

// is reports whether one character matches the element.
func (e *globElement) is(c rune) bool {
	switch e.part {
	case globChar:
		return c == e.c
	case globOne:
		return true
	}
	return e.part == globSet && inSet(e.set, c)
}

// Match reports whether s matches the glob, in time proportional to the product of their lengths at most, and without allocating.
func (g Glob) Match(s string) bool {
	at, again := 0, -1 // again: the element after the last *
	from := ""         // where to go on when what follows the last * does not match: one character later
	for {
		switch {
		case at == len(g.parts) && s == "":
			return true
		case at < len(g.parts) && g.parts[at].part == globAny:
			at++
			again, from = at, s
			if at == len(g.parts) { // the rest may be anything
				return true
			}
			continue
		case at < len(g.parts) && s != "":
			c, n := utf8.DecodeRuneInString(s)
			if g.parts[at].is(c) {
				at, s = at+1, s[n:]
				continue
			}
		}

		// What follows the last * does not match here, so the * takes one character more.
		if again < 0 || from == "" {
			return false
		}

		_, n := utf8.DecodeRuneInString(from)
		from = from[n:]
		at, s = again, from
	}
}

// GlobText returns the one text that a glob without *, ? and sets matches; false for another.
func GlobText(p string) (text string, ok bool) {
	// Most patterns are plain names, and need no copy.
	if !strings.ContainsAny(p, `*?[\`) {
		return p, CheckGlob(p) == nil
	}

	var b strings.Builder
	for {
		part, c, _, rest := nextGlob(p)
		switch part {
		case globEnd:
			return b.String(), true
		case globChar:
			b.WriteRune(c)
		default:
			return "", false
		}
		p = rest
	}
}

// EscapeGlob returns the glob that matches text alone.
func EscapeGlob(text string) string {
	if !strings.ContainsAny(text, `*?[\`) {
		return text
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}

// globLiterals counts the characters of a glob that stand for themselves: all of them, and those before the first that does not.
func globLiterals(p string) (all, prefix int) {
	leading := true
	for {
		part, _, _, rest := nextGlob(p)
		switch part {
		case globEnd, globBad:
			return all, prefix
		case globChar:
			all++
			if leading {
				prefix++
			}
		default:
			// From here on no character counts as part of the prefix.
			leading = false
		}
		p = rest
	}
}
