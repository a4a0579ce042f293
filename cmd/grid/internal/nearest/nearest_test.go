package nearest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestName(t *testing.T) {
	names := []string{"server", "timeout", "output", "ttl", "max-idle"}
	for word, want := range map[string]string{
		"sevrer":   "server",
		"timeuot":  "timeout",
		"ouput":    "output",
		"tll":      "ttl",
		"maxidle":  "max-idle",
		"max_idle": "max-idle",
		"output":   "output",
		"zebra":    "",
		"":         "",
		"x":        "",
		"of":       "",
	} {
		require.Equal(t, want, Name(word, names), "%q", word)
	}
	require.Equal(t, "ab", Name("aa", []string{"ab", "ac"}), "the first of two that are as near")
	require.Empty(t, Name("ttl", nil))
	require.Empty(t, Name("x", []string{"y"}), "nothing in common")
}

// A name of before 1.0 leads to the one of today, where that can be meant.
func TestFormerName(t *testing.T) {
	require.Equal(t, "rebuild-delay", Name("grace", []string{"trace", "rebuild-delay"}), "a flag, before one that is near")
	require.Equal(t, "rebuild_delay", Name("grace", []string{"name", "rebuild_delay"}), "a key")
	require.Equal(t, "CLUSTER_REBUILD_DELAY", Name("CLUSTER_GRACE", []string{"CLUSTER_NAME", "CLUSTER_REBUILD_DELAY"}), "a variable")
	require.Empty(t, Name("grace", []string{"ttl"}), "nothing has replaced it here")
}

// The distance is one between words that differ by one edit, and obeys the laws of a distance.
func TestEdits(t *testing.T) {
	word := rapid.SliceOfN(rapid.RuneFrom([]rune("abc")), 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := edits(a, b)
		require.Equal(t, string(a) == string(b), d == 0)
		require.Equal(t, d, edits(b, a))
		require.LessOrEqual(t, d, max(len(a), len(b)))
		require.GreaterOrEqual(t, d, max(len(a), len(b))-min(len(a), len(b)))

		at := rapid.IntRange(0, len(a)).Draw(t, "at")
		longer := append(append(append([]rune{}, a[:at]...), 'x'), a[at:]...)
		require.Equal(t, 1, edits(a, longer))
	})
}
