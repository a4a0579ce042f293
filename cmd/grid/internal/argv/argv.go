// Package argv owns the order of a command line. It accepts flags anywhere and hands them on in the order that github.com/urfave/cli/v2
// understands. That library silently takes flags after the first argument for arguments. It knows the tree of commands and flags, and
// nothing of what they do.
package argv

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/nearest"
)

// UsageError says what is wrong with a command line, in one line.
type UsageError struct{ Message string }

// Error returns the message.
func (e *UsageError) Error() string { return e.Message }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// Arrange returns args, which come without the program's name, as: commands, flags in the form --name=value, "--",
// arguments. What it returns always names a command that has an action, or asks for help.
//
// A flag may stand anywhere before "--", after which all are arguments. A flag that takes a value takes the next word, whatever that is. A
// word that begins with a minus and a digit is an argument, as is a lone minus. "help COMMAND…" and the flags --help and -h become a
// request for help on the command. "--version" becomes the command version. No words at all become a request for help.
//
// NOTE: a command must have HideHelpCommand set, or cli takes a first argument "help" for a request for help.
//
// It returns a *UsageError for a command or flag that does not exist, a group without a command, and a flag without its value.
func Arrange(app *cli.App, args []string) ([]string, error) {
	l := line{app: app}
	if len(args) == 0 {
		return []string{"--help"}, nil
	}

	// --version is what many programs have, so it works too. The command shows the same.
	if args[0] == "--version" {
		args = append([]string{"version"}, args[1:]...)
	}
	if args[0] == "help" {
		l.help, args = true, args[1:]
	}

	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			// After the two dashes a word is an argument whatever it begins with, as a key may.
			for _, rest := range args[i+1:] {
				if err := l.word(rest); err != nil {
					return nil, err
				}
			}
			return l.arranged()
		case isFlag(a):
			taken, err := l.flag(a, args[i+1:])
			if err != nil {
				return nil, err
			}
			i += taken
		default:
			if err := l.word(a); err != nil {
				return nil, err
			}
		}
	}
	return l.arranged()
}

// isFlag reports whether a word is a flag: not "-", which is standard input, and not a number.
func isFlag(word string) bool {
	if len(word) < 2 || word[0] != '-' {
		return false
	}

	// A negative number such as -5 or -.5 is an argument.
	digits := strings.TrimPrefix(word[1:], ".")
	return digits == "" || digits[0] < '0' || digits[0] > '9'
}

// line is a command line being read.
type line struct {
	app       *cli.App
	path      []string
	command   *cli.Command // the last of path; nil before the first
	flags     []given
	arguments []string
	help      bool
}

// given is a flag as it was found.
type given struct{ name, value, written string }

// complete reports whether the commands so far have an action.
func (l *line) complete() bool { return l.command != nil && len(l.command.Subcommands) == 0 }

// next returns the commands that may follow.
func (l *line) next() []*cli.Command {
	if l.command == nil {
		return l.app.Commands
	}
	return l.command.Subcommands
}

// title returns the commands so far as they are typed.
func (l *line) title() string { return strings.Join(append([]string{l.app.Name}, l.path...), " ") }

func (l *line) word(w string) error {
	if l.complete() {
		l.arguments = append(l.arguments, w)
		return nil
	}

	var names []string
	for _, c := range l.next() {
		if c.HasName(w) {
			l.command = c
			l.path = append(l.path, c.Name)
			return nil
		}
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}

	// A guess is worth more than the list, which may be long.
	if n := nearest.Name(w, names); n != "" {
		return usage("unknown command %q of %q; did you mean %q?", w, l.title(), n)
	}
	return usage("unknown command %q of %q: there are %s", w, l.title(), strings.Join(names, ", "))
}

// flag takes a flag and, if it needs one, its value from the words that follow. It returns how many of those it took.
func (l *line) flag(word string, following []string) (taken int, err error) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
	if name == "help" || name == "h" {
		l.help = true
		return 0, nil
	}

	f := l.find(name)
	switch {
	case f == nil:
		return 0, l.unknown(name, word)
	case IsSwitch(f):
		if !hasValue {
			value = "true"
		}
	case !hasValue && len(following) == 0:
		return 0, usage("flag %s needs a value", word)
	case !hasValue:
		// The value may begin with a dash, say a negative number. So it is taken whatever it is.
		value, taken = following[0], 1
	}

	l.flags = append(l.flags, given{name: f.Names()[0], value: value, written: word})
	return taken, nil
}

// find returns the flag with a name. While the command is not known yet, it looks at the flags of all commands that may follow. Flags with
// one name are of one kind in all commands.
func (l *line) find(name string) cli.Flag {
	if l.complete() {
		return Find(l.command.Flags, name)
	}
	return findBelow(l.next(), name)
}

func findBelow(commands []*cli.Command, name string) cli.Flag {
	for _, c := range commands {
		f := Find(c.Flags, name)
		// Flags may come before the command is known. Any command below may be the one that has them.
		if f == nil {
			f = findBelow(c.Subcommands, name)
		}
		if f != nil {
			return f
		}
	}
	return nil
}

// Find returns the flag of a name without dashes, nil if there is none.
func Find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

// IsSwitch reports whether a flag needs no value.
func IsSwitch(f cli.Flag) bool {
	_, ok := f.(*cli.BoolFlag)
	return ok
}

func (l *line) unknown(name, word string) error {
	word, _, _ = strings.Cut(word, "=")
	if !l.complete() {
		return usage("unknown flag %s", word)
	}

	names := []string{"help"}
	for _, f := range l.command.Flags {
		names = append(names, f.Names()...)
	}

	if n := nearest.Name(name, names); n != "" {
		return usage("unknown flag %s of %q; did you mean %s?", word, l.title(), dashed(n))
	}
	return usage("unknown flag %s of %q", word, l.title())
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func (l *line) arranged() ([]string, error) {
	if l.help {
		return append(l.path, "--help"), nil
	}

	if !l.complete() {
		var names []string
		for _, c := range l.next() {
			if !c.Hidden {
				names = append(names, c.Name)
			}
		}
		return nil, usage("%q needs a command: %s", l.title(), strings.Join(names, ", "))
	}

	out := l.path
	for _, g := range l.flags {
		// While the command was not known yet, a flag of another command may have been taken.
		if Find(l.command.Flags, g.name) == nil {
			return nil, l.unknown(g.name, g.written)
		}
		out = append(out, dashed(g.name)+"="+g.value)
	}

	// The dashes keep the library from taking an argument for a flag.
	return append(append(out, "--"), l.arguments...), nil
}
