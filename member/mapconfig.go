package member

import (
	"context"
	"sync/atomic"

	"github.com/gridiron-io/gridiron/member/internal/server"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// mapConfigs are the configurations of maps as this member knows them, by the maps' names: what the metadata say of a name is
// worked out once for each version. Reading takes no lock.
type mapConfigs struct {
	view   func() *meta.View // may return nil
	byName atomic.Pointer[resolvedConfigs]
}

// resolvedConfigs are never changed: to add a name is to replace them.
type resolvedConfigs struct {
	version uint64 // of the configurations in the metadata
	byName  map[string]*wire.MapConfig
}

// maxResolved bounds the names that are kept: callers can name as many maps as they like. Others are worked out each time.
const maxResolved = 1000

// of returns the configuration of the map with a name, as of now.
func (c *mapConfigs) of(name []byte) wire.MapConfig {
	v := c.view()
	if v == nil || len(v.Maps) == 0 {
		return wire.DefaultMapConfig
	}

	known := c.byName.Load()
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

// compareMaps says in the log where this member is configured with other maps than the cluster: the cluster's count.
func (m *Member) compareMaps() {
	mine, _ := m.cfg.patterns()
	if len(mine) == 0 {
		return
	}

	v := m.metaView()
	var differ, missing, more []string
	for _, c := range mine {
		if at, there := v.Maps.Find(c.Pattern); !there {
			missing = append(missing, c.Pattern)
		} else if v.Maps[at] != c {
			differ = append(differ, c.Pattern)
		}
	}

	for _, c := range v.Maps {
		if _, there := mine.Find(c.Pattern); !there {
			more = append(more, c.Pattern)
		}
	}

	if len(differ)+len(missing)+len(more) > 0 {
		m.log.Warn("maps are configured otherwise here than in the cluster, whose configuration counts; it is changed with the command \"grid map config\"",
			"different", differ, "only_here", missing, "only_in_cluster", more)
	}
}

// answerMapConfigs returns what is set for maps: what is committed, as long as the metadata group answers.
func (m *Member) answerMapConfigs(c *server.Conn, id uint64) {
	ctx, cancel := context.WithTimeout(m.ctx, metaTimeout)
	defer cancel()
	if err := m.meta.Barrier(ctx); err != nil {
		c.Answer(id, wire.CodeUnavailable, []byte(err.Error()))
		return
	}
	v := m.metaView()
	c.Answer(id, wire.CodeOK, wire.AppendMapConfigsResult(nil, &wire.MapConfigsResult{Version: v.MapsVersion, List: v.Maps}))
}

// answerSetMapConfig commits a change of what is set for maps, and answers when this member has it.
func (m *Member) answerSetMapConfig(c *server.Conn, id uint64, body wire.SetMapConfigBody) {
	ctx, cancel := context.WithTimeout(m.ctx, metaTimeout)
	defer cancel()
	cmd := &meta.SetMapConfig{From: body.From, Config: body.Config}
	if _, err := meta.Decode(meta.Append(nil, cmd)); err != nil {
		c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
		return
	}

	res, err := m.metaPropose(ctx, cmd)
	// The caller may use the map here at once, and must meet the new configuration.
	if err == nil && res.OK() {
		err = m.meta.Barrier(ctx)
	}

	switch {
	case err != nil:
		c.Answer(id, wire.CodeUnavailable, []byte(err.Error()))
	default:
		c.Answer(id, res.Code, []byte(res.Text))
	}
}

// dispatchMapConfig starts a request about the configurations of maps.
func (m *Member) dispatchMapConfig(c *server.Conn, req *wire.Request) {
	id := req.ID
	if req.Op == wire.OpMapConfigs {
		c.Later(func(context.Context) { m.answerMapConfigs(c, id) })
		return
	}

	body, err := wire.DecodeSetMapConfigBody(req.Body)
	if err != nil {
		c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
		return
	}
	c.Later(func(context.Context) { m.answerSetMapConfig(c, id, body) })
}
