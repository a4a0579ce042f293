package nearest

import "slices"

// former holds names of before 1.0 that nobody can guess from the letters of today's: a flag, a key of a file, and a variable without
// its prefix. The lists have what replaced them.
var former = map[string][]string{
	"grace":         {"rebuild-delay", "rebuild_delay"},
	"CLUSTER_GRACE": {"CLUSTER_REBUILD_DELAY"},
}

// renamed returns the candidate that has replaced word, "" if there is none.
func renamed(word string, candidates []string) string {
	for _, now := range former[word] {
		if slices.Contains(candidates, now) {
			return now
		}
	}

	return ""
}
