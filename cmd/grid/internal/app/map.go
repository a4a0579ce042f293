package app

import (
	"context"

	"github.com/urfave/cli/v2"
)

// mapCommands returns the group "map".
func (p *Process) mapCommands() *cli.Command {
	return group("map", "read, write and watch maps",
		p.mapGet(), p.mapSet(), p.mapPut(), p.mapPutIfAbsent(), p.mapReplace(), p.mapRemove(), p.mapDelete(), p.mapGetAll(),
		p.mapSize(), p.mapKeys(), p.mapEntries(), p.mapClear(), p.mapEvict(), p.mapTTL(), p.mapEntryView(), p.mapLock(), p.mapUnlock(), p.mapExecute(), p.mapWatch(), p.mapImport(), p.mapExport(), p.mapList(), p.mapDestroy(), p.mapConfig(), p.mapStats(),
	)
}

// mapLeaf returns a command whose first argument is a map's name. keys is how many of the other arguments are keys; below 0, all are.
func mapLeaf(l leaf, keys int) leaf {
	run := l.run
	l.remote = true

	l.run = func(ctx context.Context, inv *invocation) error {
		if err := checkMap(inv.args[0]); err != nil {
			return err
		}

		// Names and keys are checked before a connection is made: a mistake of typing costs no time.
		others := inv.args[1:]
		if keys >= 0 {
			others = others[:keys]
		}
		if err := checkKeys(others...); err != nil {
			return err
		}

		return run(ctx, inv)
	}
	return l
}

// noSuchKey is the failure of a command that needs the key.
func noSuchKey(inv *invocation) error {
	return failf(exitNotFound, "map %q has no key %q", inv.args[0], inv.args[1])
}
