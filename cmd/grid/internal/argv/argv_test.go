package argv

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
	"pgregory.net/rapid"
)

func program() *cli.App {
	common := func(more ...cli.Flag) []cli.Flag {
		return append(more, &cli.StringFlag{Name: "output", Aliases: []string{"o"}}, &cli.StringFlag{Name: "server"})
	}
	return &cli.App{Name: "grid", Commands: []*cli.Command{
		{Name: "map", Subcommands: []*cli.Command{
			{Name: "get", Flags: common()},
			{Name: "set", Flags: common(&cli.StringFlag{Name: "ttl"}, &cli.BoolFlag{Name: "keep-ttl"})},
			{Name: "destroy", Flags: common(&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}})},
		}},
		{Name: "start", Flags: []cli.Flag{&cli.StringFlag{Name: "config", Aliases: []string{"c"}}, &cli.BoolFlag{Name: "insecure"}}},
		{Name: "version", Flags: common()},
		{Name: "secret", Hidden: true},
	}}
}

func TestArrange(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"map get users alice", "map get -- users alice"},
		{"map get users alice -o json", "map get --output=json -- users alice"},
		{"map get users -o=json alice", "map get --output=json -- users alice"},
		{"-o json map get users alice", "map get --output=json -- users alice"},
		{"map --server a:1 get users --output yaml alice", "map get --server=a:1 --output=yaml -- users alice"},
		{"map set users n -5", "map set -- users n -5"},
		{"map set users n -.5 --ttl 3s", "map set --ttl=3s -- users n -.5"},
		{"map set users n - --keep-ttl", "map set --keep-ttl=true -- users n -"},
		{"map set users --keep-ttl n 1", "map set --keep-ttl=true -- users n 1"},
		{"map set users --keep-ttl=false n 1", "map set --keep-ttl=false -- users n 1"},
		{"map set --ttl -5s users n 1", "map set --ttl=-5s -- users n 1"},
		{"map set --ttl --keep-ttl users n 1", "map set --ttl=--keep-ttl -- users n 1"},
		{"map set -ttl 1s users n 1", "map set --ttl=1s -- users n 1"},
		{"map get -- users -o", "map get -- users -o"},
		{"map get users -- --server", "map get -- users --server"},
		{"map get users -- --", "map get -- users --"},
		{"map destroy -y users", "map destroy --yes=true -- users"},
		{"start -c x.yaml --insecure", "start --config=x.yaml --insecure=true --"},
		{"map get help help", "map get -- help help"},
		{"map get map get", "map get -- map get"},
		{"", "--help"},
		{"help", "--help"},
		{"--help", "--help"},
		{"-h", "--help"},
		{"help map set", "map set --help"},
		{"map --help", "map --help"},
		{"map set users --ttl 3s --help", "map set --help"},
		{"map -- get users", "map get -- users"},
		{"--version", "version --"},
		{"--version -o json", "version --output=json --"},
		{"secret", "secret --"},
	} {
		got, err := Arrange(program(), strings.Fields(c.in))
		require.NoError(t, err, "%q", c.in)
		require.Equal(t, c.want, strings.Join(got, " "), "%q", c.in)
	}
}

func TestArrangeRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"map":                        `"grid map" needs a command: get, set, destroy`,
		"-o json":                    `"grid" needs a command: map, start, version`,
		"map gte users":              `unknown command "gte" of "grid map"; did you mean "get"?`,
		"mapp get":                   `unknown command "mapp" of "grid"; did you mean "map"?`,
		"frobnicate":                 `unknown command "frobnicate" of "grid": there are map, start, version`,
		"map get users a --outptu x": `unknown flag --outptu of "grid map get"; did you mean --output?`,
		"map get users a --ttl 3s":   `unknown flag --ttl of "grid map get"`,
		"--ttl 3s map get users a":   `unknown flag --ttl of "grid map get"`,
		"map get users a -z":         `unknown flag -z of "grid map get"`,
		"--nope=1 map get users a":   `unknown flag --nope`,
		"map get users a --output":   `flag --output needs a value`,
		"map --server":               `flag --server needs a value`,
		"help frobnicate":            `unknown command "frobnicate" of "grid": there are map, start, version`,
		"map get --":                 "",
	} {
		_, err := Arrange(program(), strings.Fields(in))
		if want == "" {
			require.NoError(t, err, "%q", in)
			continue
		}
		var usage *UsageError
		require.ErrorAs(t, err, &usage, "%q", in)
		require.Equal(t, want, usage.Message, "%q", in)
	}
}

// Wherever flags stand among the arguments, the program gets the same arguments and flags, and it gets all of them.
func TestArrangeKeepsEverything(t *testing.T) {
	word := rapid.OneOf(rapid.StringMatching(`[a-z]{0,3}`), rapid.Just("-"), rapid.StringMatching(`-[0-9]{1,2}`), rapid.SampledFrom([]string{"get", "map", "help", "a=b"}))
	rapid.Check(t, func(t *rapid.T) {
		arguments := rapid.SliceOfN(word, 0, 5).Draw(t, "arguments")
		verbatim := rapid.SliceOfN(rapid.OneOf(word, rapid.SampledFrom([]string{"--ttl", "-o", "--"})), 0, 3).Draw(t, "verbatim")
		ttl := rapid.StringMatching(`[-=a-z0-9]{0,4}`).Draw(t, "ttl")

		words := append([]string{}, arguments...)
		at := rapid.IntRange(0, len(words)).Draw(t, "at")
		flags := [][]string{{"--ttl", ttl}, {"--ttl=" + ttl}, {"-ttl", ttl}}[rapid.IntRange(0, 2).Draw(t, "form")]
		words = append(append(append([]string{}, words[:at]...), flags...), words[at:]...)
		line := append([]string{"map", "set"}, words...)
		line = append(append(line, "--"), verbatim...)

		app := program()
		app.Commands[0].Subcommands[1].HideHelpCommand = true
		var gotArguments []string
		var gotTTL string
		app.Commands[0].Subcommands[1].Action = func(c *cli.Context) error {
			gotArguments, gotTTL = c.Args().Slice(), c.String("ttl")
			return nil
		}
		arranged, err := Arrange(app, line)
		require.NoError(t, err)
		require.NoError(t, app.Run(append([]string{"grid"}, arranged...)))
		want := append(append([]string{}, arguments...), verbatim...)
		require.Equal(t, want, append([]string{}, gotArguments...))
		require.Equal(t, ttl, gotTTL)
	})
}
