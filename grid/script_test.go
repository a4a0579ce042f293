package grid_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
)

// TestClusterScripts runs the scripts of testdata/cluster, each with a cluster of its own. What each shows is in the README there.
//
// A script has one command a line; what follows # is a comment. Members count from 0. What is expected of the cluster is
// expected eventually, within patience; what is expected of a call is expected of that call.
//
//	start N [partitions=P] [replicas=R] [rebuild-delay=T]
//	                                       a cluster of N members, which may be silent for T before they are replaced
//	add [lite]                             one more member joins, or one that holds nothing
//	kill I…, stop I…, restart I…           crash one after the other; leave one after the other; come back together
//	isolate I, cut I J, heal               pull cables, put them all back
//	put MAP KEY VALUE [ttl=T] [via=I] [within=T] [-> (refused)]
//	get MAP KEY [via=I] [within=T] -> VALUE | (none) | (refused)
//	fill MAP N, verify MAP N               put N entries; see that they are there, right, and nothing else is
//	drain I                                member I gives away what it has, and stays
//	remove I [force] [-> (refused)]        member I is forgotten; by force although it holds replicas
//	rebalance                              replicas and owners are spread again, each within one of its share
//	holds I N                              member I has N replicas, and owns nothing if that is none
//	safe, not-safe                         one more member may go, or may not, as "grid cluster safe" says
//	wait-safe                              until every partition has all its replicas and nothing moves
//	status FIELD=VALUE… [via=I]            fields are those of "grid cluster status -o json"
//	members N                              so many are part of the cluster
//	owners-balanced                        each member that is ready owns its share of the partitions, give or take one
//	owners watch, owners changed max=N     look at the owners from here on; they have changed no more than N times
//	owners were-ready                      and nothing was owned by a member that was still joining
//	load on                                writes in the background
//	load steps=N, load for=T               until each writer has taken N more steps; for as long as something might happen
//	load off [within=T]                    the end: no call failed, all that was acknowledged is there, and with the flag -quiet
//	                                       none took longer than T
//	load allow-errors                      calls may fail from here on; what was acknowledged must still be there
//
// Via I, a call goes through the client in member I's own process.
func TestClusterScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "cluster", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel() // they wait for most of their time
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			steps, err := parseScript(file, string(text))
			if err != nil {
				t.Fatal(err)
			}
			r := &scriptRun{t: t, began: time.Now()}
			defer r.end()
			for _, s := range steps {
				t.Logf("%6.2f s  %s: %s", time.Since(r.began).Seconds(), s.where, s.text)
				if err := s.run(r); err != nil {
					t.Fatalf("%s: %s: %v", s.where, s.text, err)
				}
			}
		})
	}
}

// step is one command of a script.
type step struct {
	where string // file and line
	text  string
	run   action
}

// action carries out a command.
type action func(r *scriptRun) error

// scriptRun is a script that is being carried out.
type scriptRun struct {
	t      *testing.T
	began  time.Time
	log    memberLog         // of all members, shown if the script fails
	cl     *gridtest.Cluster // nil before start
	lite   bool              // the next member that is added holds nothing
	load   *scriptLoad       // nil while there is none
	owners *ownerWatch       // nil before it is asked for
}

// end ends what runs in the background. A load that the script has not ended is judged like one that it has.
func (r *scriptRun) end() {
	defer func() {
		if r.t.Failed() {
			r.t.Logf("the members say:\n%s", r.log.text())
		}
	}()
	if r.owners != nil {
		r.owners.stop()
	}
	if r.load == nil {
		return
	}
	if r.t.Failed() {
		r.load.stop()
		return
	}
	if err := r.load.end(0); err != nil {
		r.t.Errorf("the load at the end of the script: %v", err)
	}
}

// parseScript returns the commands of a script, or all that is wrong with it.
func parseScript(file, text string) ([]step, error) {
	var steps []step
	var errs []error
	for i, line := range strings.Split(text, "\n") {
		where := fmt.Sprintf("%s:%d", file, i+1)
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		run, err := parseCommand(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", where, err))
			continue
		}
		if first := len(steps) == 0; first != strings.HasPrefix(line, "start ") {
			errs = append(errs, fmt.Errorf("%s: a script has one start, and it comes first", where))
		}
		steps = append(steps, step{where, line, run})
	}
	return steps, errors.Join(errs...)
}

// parseCommand returns what a line without its comment says.
func parseCommand(line string) (action, error) {
	line, want, wants := strings.Cut(line, "->")
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil, errors.New("no command")
	}
	parse, ok := scriptCommands[words[0]]
	if !ok {
		return nil, fmt.Errorf("unknown command %q", words[0])
	}
	a := &args{want: strings.TrimSpace(want), options: make(map[string]string)}
	if wants && a.want == "" {
		return nil, fmt.Errorf("%s: nothing after ->", words[0])
	}
	for _, w := range words[1:] {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			a.words = append(a.words, w)
			continue
		}
		if _, twice := a.options[name]; twice || name == "" || value == "" {
			return nil, fmt.Errorf("%s: option %q is empty or given twice", words[0], w)
		}
		a.options[name] = value
	}
	run := parse(a)
	if err := a.end(); err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	return run, nil
}

// args are the arguments of a command. Each is taken once; what is wrong with them, and what nobody took, end reports.
type args struct {
	words   []string
	options map[string]string
	want    string // after ->
	errs    []error
}

func (a *args) bad(format string, args ...any) {
	a.errs = append(a.errs, fmt.Errorf(format, args...))
}

// word takes the next word.
func (a *args) word(what string) string {
	if len(a.words) == 0 {
		a.bad("no %s", what)
		return ""
	}
	w := a.words[0]
	a.words = a.words[1:]
	return w
}

// number takes the next word as a number.
func (a *args) number(what string) int {
	w := a.word(what)
	n, err := strconv.Atoi(w)
	if w != "" && (err != nil || n < 0) {
		a.bad("%s %q: want a number", what, w)
	}
	return n
}

// members takes all words that are left as members, of which there must be one.
func (a *args) members() []int {
	list := []int{a.number("member")}
	for len(a.words) > 0 {
		list = append(list, a.number("member"))
	}
	return list
}

// option takes an option, "" if it is not given.
func (a *args) option(name string) string {
	v := a.options[name]
	delete(a.options, name)
	return v
}

// count takes an option that is a number, otherwise if it is not given.
func (a *args) count(name string, otherwise int) int {
	v := a.option(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		a.bad("%s=%s: want a number", name, v)
	}
	return n
}

// duration takes an option that is a time, otherwise if it is not given.
func (a *args) duration(name string, otherwise time.Duration) time.Duration {
	v := a.option(name)
	if v == "" {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		a.bad("%s=%s: want a time", name, v)
	}
	return d
}

// wanted takes what is expected.
func (a *args) wanted() string {
	w := a.want
	a.want = ""
	return w
}

// end returns what is wrong.
func (a *args) end() error {
	for _, w := range a.words {
		a.bad("%q is one argument too many", w)
	}
	for name := range a.options {
		a.bad("unknown option %q", name)
	}
	if a.want != "" {
		a.bad("nothing is answered that could be %s", a.want)
	}
	return errors.Join(a.errs...)
}

// A mistake in a script is found before anything is started, and named with its place.
func TestClusterScriptMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"klil 1":                             `unknown command "klil"`,
		"kill":                               "no member",
		"kill one":                           `member "one": want a number`,
		"kill -1":                            `member "-1": want a number`,
		"cut 0":                              "no member",
		"cut 0 1 2":                          `"2" is one argument too many`,
		"heal all":                           `"all" is one argument too many`,
		"put m k":                            "no value",
		"put m k v ttl=soon":                 "ttl=soon: want a time",
		"put m k v -> w":                     "answers (refused) or nothing",
		"get m k":                            "say after -> what it answers",
		"get m k ->":                         "nothing after ->",
		"get m k via=x -> v":                 "via=x: want a number",
		"fill m 5 -> 5":                      "nothing is answered that could be 5",
		"fill m 5 fast=yes":                  `unknown option "fast"`,
		"status":                             "no field",
		"status lust=1":                      `unknown field "lust"`,
		"status lost=none":                   `lost=none: want a number`,
		"status safe=1":                      "safe=1: want true or false",
		"status lost=1 lost=2":               `option "lost=2" is empty or given twice`,
		"load up":                            `load "up": want`,
		"load":                               "no on, off, allow-errors, steps=N or for=T",
		"owners changed":                     "no max=N",
		"remove 1 softly":                    "a member is removed, or by force",
		"remove 1 -> later":                  "answers (refused) or nothing",
		"add heavy":                          "a member is added as it is, or lite",
		"holds 1":                            "no number of replicas",
		"owners counted":                     `owners "counted": want`,
		"heal # fine\nstart 3 # once more":   "a script has one start, and it comes first",
		"heal\n\n# nothing\nisolate nobody,": `x.txt:5: isolate: member "nobody,": want a number`,
	} {
		_, err := parseScript("x.txt", "start 1\n"+text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "x.txt:") {
			t.Errorf("%q: %v, want ...%s", text, err, want)
		}
	}
	if _, err := parseScript("x.txt", "kill 1"); err == nil || err.Error() != "x.txt:1: a script has one start, and it comes first" {
		t.Errorf("without a start: %v", err)
	}
	if steps, err := parseScript("x.txt", "\nstart 3 partitions=4 # begin\n# then\n kill 1 2 \n"); err != nil || len(steps) != 2 || steps[1].where != "x.txt:4" || steps[1].text != "kill 1 2" {
		t.Errorf("%+v, %v", steps, err)
	}
}
