package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/nearest"
)

// prefix begins the names of all variables that the program reads, but for those of conventions.
const prefix = "GRID_"

// others are the variables that are no settings of a member, without the prefix.
var others = []string{"CONFIG", "SERVER", "CLUSTER_NAME", "TIMEOUT"}

// injected are the variables that Kubernetes puts into each container for a service whose name is, or begins with, "grid": nobody has
// chosen them. Two kinds of these variables tell a port. Only the value distinguishes them from a name that a person has mistyped.
var injected = regexp.MustCompile(`^GRID_([A-Z0-9_]+_)?(SERVICE_HOST=.*|SERVICE_PORT(_[A-Z0-9_]+)?=[0-9]+|` +
	`PORT=(tcp|udp|sctp)://.*|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*)$`)

// CheckEnvironment returns all that is wrong with the names of the environment's variables, which are given as "NAME=VALUE". A name is
// wrong if it begins like the program's own and is unknown. With onlyLikely, names pass that resemble none of the program's: they are no
// typing mistakes. An empty variable counts as not set.
func CheckEnvironment(variables []string, onlyLikely bool) error {
	known := slices.Clone(others) // without the prefix, which would make all names alike
	for i := range settings {
		if name := strings.TrimPrefix(settings[i].env(), prefix); settings[i].key != "" && !slices.Contains(known, name) {
			known = append(known, name)
		}
	}

	var errs []error
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, prefix) || value == "" || slices.Contains(known, strings.TrimPrefix(name, prefix)) || injected.MatchString(v) {
			continue
		}

		// A typing mistake would leave a setting at its default without a word.
		switch guess := nearest.Name(strings.TrimPrefix(name, prefix), known); {
		case guess != "":
			errs = append(errs, fmt.Errorf("unknown variable %s in the environment; did you mean %s%s?", name, prefix, guess))
		case !onlyLikely:
			errs = append(errs, fmt.Errorf("unknown variable %s in the environment: there are %s%s", name, prefix, strings.Join(known, ", "+prefix)))
		}
	}
	return errors.Join(errs...)
}
