package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/argv"
)

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		words []string
		want  []string
	}{
		{[]string{"c"}, []string{"cluster", "completion"}},
		{[]string{"map", "get"}, []string{"get", "get-all"}},
		{[]string{"map", "get", "m"}, nil},
		{[]string{"map", "get", "m", "-o", ""}, []string{"table", "json", "yaml", "csv", "raw"}},
		{[]string{"map", "get", "--output", "j"}, []string{"json"}},
		{[]string{"map", "get", "-o", "json", "--t"}, []string{"--timeout"}},
		{[]string{"map", "set", "--keep-ttl", "--t"}, []string{"--ttl", "--timeout"}},
		{[]string{"map", "get", "--server", ""}, nil},
		{[]string{"map", "get", "--", "-"}, nil},
		{[]string{"exec", "run", "echo", "--on", "a"}, []string{"any", "all"}},
		{[]string{"start", "--log-format", ""}, []string{"auto", "text", "json"}},
		{[]string{"start", "--durability", ""}, []string{"memory"}},
		{[]string{"start", "--log-level", "w"}, []string{"warn"}},
		{[]string{"nonsense", "-"}, []string{"--help"}},
	} {
		require.Equal(t, c.want, candidates((&Process{}).app(), c.words), "%q", c.words)
	}
	require.Contains(t, candidates((&Process{}).app(), nil), "map")
}

// Every command says what it does, no two flags of one command share a name, and flags of one name are of one kind in all
// commands, which package argv relies on.
func TestCommandsAreDescribed(t *testing.T) {
	app := (&Process{}).app()
	queue := app.Commands
	switches := make(map[string]bool)
	for len(queue) > 0 {
		c := queue[0]
		queue = append(queue[1:], c.Subcommands...)
		require.NotEmpty(t, c.Usage, c.Name)
		require.NotNil(t, c.OnUsageError, c.Name)
		require.Equal(t, len(c.Subcommands) == 0, c.Action != nil, c.Name)
		seen := make(map[string]bool)
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				require.False(t, seen[name], "%s has two flags %q", c.Name, name)
				seen[name] = true
				if is, known := switches[name]; known {
					require.Equal(t, is, argv.IsSwitch(f), "flag %q of %s", name, c.Name)
				}
				switches[name] = argv.IsSwitch(f)
			}
		}
	}
}
