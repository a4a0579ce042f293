package app

import (
	"context"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/argv"
	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
)

// completeWord is the command with which the scripts of shells ask for candidates. The words of the line follow it. The last of them is
// the word at the cursor.
const completeWord = "__complete"

// The scripts ask the binary itself, so that they need not change with it.
var completionScripts = map[string]string{
	"bash": `_grid() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("${COMP_WORDS[0]}" ` + completeWord + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _grid grid
`,
	"zsh": `#compdef grid
_grid() {
    local -a candidates
    candidates=("${(@f)$("${words[1]}" ` + completeWord + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${candidates[1]}" ]]; then
        compadd -- "${candidates[@]}"
    else
        _files
    fi
}
compdef _grid grid
`,
	"fish": `function __grid_complete
    set -l words (commandline -opc) (commandline -ct)
    command $words[1] ` + completeWord + ` $words[2..-1] 2>/dev/null
end
complete -c grid -a '(__grid_complete)'
`,
}

func (p *Process) completionCommand() *cli.Command {
	return p.command(leaf{
		name: "completion", usage: "print the script that completes command lines in a shell", args: "bash|zsh|fish", least: 1, most: 1, quiet: true,
		details: "bash: source <(grid completion bash). zsh: source <(grid completion zsh). fish: grid completion fish | source.",
		run: func(_ context.Context, inv *invocation) error {
			script, ok := completionScripts[inv.args[0]]
			if !ok {
				return usagef("shell %q: there are bash, zsh and fish", inv.args[0])
			}
			_, err := io.WriteString(inv.Out, script)
			return err
		},
	})
}

// complete prints what may stand in the place of the last word, one candidate a line.
func (p *Process) complete(words []string) error {
	var b strings.Builder
	for _, c := range candidates(p.app(), words) {
		b.WriteString(c + "\n")
	}
	_, err := io.WriteString(p.Out, b.String())
	return err
}

// candidates returns the commands, flags and flags' values with which the last word can go on. An empty list means that only the user can
// know.
func candidates(a *cli.App, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}

	typed, before := words[len(words)-1], words[:len(words)-1]

	// The line is walked from its start, as argv does, to know which command the last word belongs to.
	commands, flags := a.Commands, []cli.Flag(nil)
	var waiting cli.Flag // a flag whose value comes next

	for _, w := range before {
		switch {
		case waiting != nil:
			waiting = nil
		case w == "--":
			// What follows are arguments, which only the user knows.
			return nil
		case len(w) > 1 && w[0] == '-':
			if f := argv.Find(flags, strings.TrimLeft(w, "-")); f != nil && !argv.IsSwitch(f) {
				waiting = f
			}
		default:
			for _, c := range commands {
				if c.HasName(w) {
					commands, flags = c.Subcommands, c.Flags
					break
				}
			}
		}
	}

	var all []string
	switch {
	case waiting != nil:
		all = valuesOf(waiting)
	case strings.HasPrefix(typed, "-"):
		for _, f := range flags {
			all = append(all, "--"+f.Names()[0])
		}
		all = append(all, "--help")
	default:
		for _, c := range commands {
			all = append(all, c.Name)
		}
	}

	var fitting []string
	for _, c := range all {
		if strings.HasPrefix(c, typed) {
			fitting = append(fitting, c)
		}
	}
	return fitting
}

// valuesOf returns the values that a flag can have, nil if they cannot be listed.
func valuesOf(f cli.Flag) []string {
	switch f.Names()[0] {
	case "output":
		var names []string
		for _, f := range render.Formats {
			names = append(names, string(f))
		}
		return names
	case "on":
		return []string{"any", "all", "key=", "member=", "tag="}
	case "durability":
		return []string{"memory"}
	case "log-level":
		return []string{"debug", "info", "warn", "error"}
	case "log-format":
		return []string{"auto", "text", "json"}
	}
	return nil
}
