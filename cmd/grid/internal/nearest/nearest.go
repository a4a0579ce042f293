// Package nearest owns the guess at what somebody meant who mistyped a name: a flag, a command, a configuration key. It
// knows nothing of what the names are for.
package nearest

import "unicode/utf8"

// Name returns the candidate that is most like word, "" if none is like it. Of several, it is the first. A former name is like the
// candidate that replaced it.
//
// Two names are alike when few letters must be inserted, dropped, replaced or swapped with their neighbour to make one of the
// other. Few is at most one for every three letters of the longer one, or one, but not all its letters.
func Name(word string, candidates []string) string {
	if now := renamed(word, candidates); now != "" {
		return now
	}

	best, distance := "", 0
	for _, c := range candidates {
		longer := max(utf8.RuneCountInString(word), utf8.RuneCountInString(c))
		limit := min(max(1, longer/3), longer-1)
		if d := edits([]rune(word), []rune(c)); d <= limit && (best == "" || d < distance) {
			best, distance = c, d
		}
	}
	return best
}

// edits returns how many letters must be inserted, dropped, replaced or swapped with their neighbour to make b of a.
func edits(a, b []rune) int {
	// Rows of the table of distances between prefixes: two back, one back, and the one being filled.
	older, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			replace := previous[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			current[j] = min(previous[j]+1, current[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], older[j-2]+1)
			}
		}
		older, previous, current = previous, current, older
	}
	return previous[len(b)]
}
