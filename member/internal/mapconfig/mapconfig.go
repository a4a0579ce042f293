// Package mapconfig is what members know of the configuration of maps, which the metadata hold: the configuration of a map by its name, and what a
// client reads and changes of it.
//
// It must not know what a configuration means for a map, or how the metadata are committed.
package mapconfig

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// timeout bounds one question of a client.
const timeout = 3 * time.Second

// Metadata are where the configuration stands.
type Metadata interface {
	// View returns the metadata as this member has applied them; nil before it has any.
	View() *meta.View
	// Barrier returns when this member knows the metadata that were committed before the call.
	Barrier(ctx context.Context) error
	// Commit commits a command, and repeats it until it has a result or ctx ends.
	Commit(ctx context.Context, c meta.Command) (meta.Result, error)
}

// Configs are the configurations of maps as this member knows them, by the maps' names: what the metadata say of a name is worked out once for each
// version. Reading takes no lock.
type Configs struct {
	metadata Metadata
	byName   atomic.Pointer[resolvedConfigs]
}

// New returns the Configs of metadata.
func New(metadata Metadata) *Configs { return &Configs{metadata: metadata} }

// resolvedConfigs are never changed: to add a name is to replace them.
type resolvedConfigs struct {
	version uint64 // of the configurations in the metadata
	byName  map[string]*wire.MapConfig
}

// maxResolved bounds the names that are kept: callers can name as many maps as they like. Others are worked out each time.
const maxResolved = 1000

// Of returns the configuration of the map with a name, as of now.
func (c *Configs) Of(name []byte) wire.MapConfig {
	v := c.metadata.View()
	if v == nil || len(v.Maps) == 0 {
		return wire.DefaultMapConfig
	}

	known := c.byName.Load()
	// This is asked for each operation, so it mostly costs one look at a map that nobody changes.
	if known != nil && known.version == v.MapsVersion {
		if config := known.byName[string(name)]; config != nil {
			return *config
		}
	}

	config := v.MapConfig(string(name))
	next := &resolvedConfigs{version: v.MapsVersion, byName: map[string]*wire.MapConfig{string(name): &config}}
	if known != nil && known.version >= v.MapsVersion {
		// Another goroutine has seen newer configurations, which must stay.
		if known.version > v.MapsVersion || len(known.byName) >= maxResolved {
			return config
		}
		for n, other := range known.byName {
			next.byName[n] = other
		}
	}

	// If another goroutine was faster, this name is worked out once more by the next caller.
	c.byName.CompareAndSwap(known, next)
	return config
}

// EventBounds returns the version of the configurations, and whether one of them says how many events are kept.
func (c *Configs) EventBounds() (version uint64, set bool) {
	v := c.metadata.View()
	if v == nil {
		return 0, false
	}

	return v.MapsVersion, slices.ContainsFunc(v.Maps, func(one wire.PatternConfig) bool {
		return one.Fields&(wire.MapEventEntries|wire.MapEventBytes) != 0
	})
}

// Compare says in the log where a member is configured with other maps than the cluster: the cluster's count.
func (c *Configs) Compare(mine wire.MapConfigs, log *slog.Logger) {
	if len(mine) == 0 {
		return
	}

	v := c.metadata.View()

	// The cluster's configuration counts in any case. An operator who edits a file must hear that it has no effect.
	var differ, missing, more []string
	for _, one := range mine {
		if at, there := v.Maps.Find(one.Pattern); !there {
			missing = append(missing, one.Pattern)
		} else if v.Maps[at] != one {
			differ = append(differ, one.Pattern)
		}
	}

	for _, one := range v.Maps {
		if _, there := mine.Find(one.Pattern); !there {
			more = append(more, one.Pattern)
		}
	}

	if len(differ)+len(missing)+len(more) > 0 {
		log.Warn("maps are configured otherwise here than in the cluster, whose configuration counts; it is changed with the command \"grid map config\"",
			"different", differ, "only_here", missing, "only_in_cluster", more)
	}
}

// AnswerList returns what is set for maps: what is committed, as long as the metadata group answers.
func (c *Configs) AnswerList(ctx context.Context) (wire.Code, []byte) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// An operator who has just changed something through another member must find it here.
	if err := c.metadata.Barrier(ctx); err != nil {
		return wire.CodeUnavailable, []byte(err.Error())
	}
	v := c.metadata.View()
	return wire.CodeOK, wire.AppendMapConfigsResult(nil, &wire.MapConfigsResult{Version: v.MapsVersion, List: v.Maps})
}

// AnswerSet commits a change of what is set for maps, and answers when this member has it.
func (c *Configs) AnswerSet(ctx context.Context, body wire.SetMapConfigBody) (wire.Code, []byte) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := &meta.SetMapConfig{From: body.From, Config: body.Config}
	// A command that no replica could decode must not get into the log.
	if _, err := meta.Decode(meta.Append(nil, cmd)); err != nil {
		return wire.CodeInvalid, []byte(err.Error())
	}

	res, err := c.metadata.Commit(ctx, cmd)
	// The caller may use the map here at once, and must meet the new configuration.
	if err == nil && res.OK() {
		err = c.metadata.Barrier(ctx)
	}
	if err != nil {
		return wire.CodeUnavailable, []byte(err.Error())
	}
	return res.Code, []byte(res.Text)
}
