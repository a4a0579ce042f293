package config

import (
	"errors"
	"fmt"
)

// applyEnv sets what the environment gives.
func applyEnv(c *Config, lookup func(string) (string, bool)) error {
	var errs []error
	for _, s := range settings {
		// Such a setting exists on the command line alone.
		if s.key == "" {
			continue
		}

		text, ok := lookup(s.env())

		// An empty variable counts as not set: many tools cannot unset one.
		if !ok || text == "" {
			continue
		}

		if err := s.set(c, value{text: text}); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.env(), err))
		}
	}
	return errors.Join(errs...)
}

// applyFlags sets what the flags give. It panics for a flag that no setting has.
func applyFlags(c *Config, flags []Given) error {
	var errs []error
	for _, g := range flags {
		if err := settingOfFlag(g.Flag).set(c, value{text: g.Value}); err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", g.Flag, err))
		}
	}
	return errors.Join(errs...)
}

func settingOfFlag(name string) *setting {
	for i := range settings {
		if settings[i].flag == name {
			return &settings[i]
		}
	}
	panic(fmt.Sprintf("config: no setting has the flag %q", name))
}
