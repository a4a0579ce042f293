package meta

import (
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// InitMapConfigs sets the configurations of maps with which the cluster begins. It is accepted before there is a partition
// table, as long as none was ever set; afterwards it changes nothing and is refused, unless it says what is set.
type InitMapConfigs struct {
	List wire.MapConfigs
}

func (*InitMapConfigs) kind() Kind                 { return KindInitMapConfigs }
func (c *InitMapConfigs) append(dst []byte) []byte { return wire.AppendMapConfigs(dst, c.List) }
func (c *InitMapConfigs) decode(r *wire.Reader)    { c.List = wire.ReadMapConfigs(r) }
func (c *InitMapConfigs) check() error             { return c.List.Check() }

func (c *InitMapConfigs) apply(s *State) Result {
	v := s.v
	switch {
	case slices.Equal(v.Maps, c.List):
		// Another member may have proposed the same before.
		return Result{}
	case v.MapsVersion != 0:
		return refuse(wire.CodeConflict, "the configurations of maps were set before")
	case len(v.Table) != 0:
		// Entries may be stored already. A member that comes late with its own file must not change their maps.
		return refuse(wire.CodeConflict, "the cluster is bootstrapped: configurations of maps are changed one by one")
	}

	v = s.change()
	v.Maps, v.MapsVersion = c.List, v.Version
	return Result{}
}

// SetMapConfig sets the configuration of a pattern of map names, or, if it sets nothing, ends it. It is accepted at the version
// of the configurations that it was made for, so that a late copy cannot undo what was set since.
type SetMapConfig struct {
	From   uint64 // View.MapsVersion
	Config wire.PatternConfig
}

func (*SetMapConfig) kind() Kind { return KindSetMapConfig }

func (c *SetMapConfig) append(dst []byte) []byte {
	dst = wire.AppendString(wire.AppendU64(dst, c.From), c.Config.Pattern)
	return wire.AppendMapConfig(dst, &c.Config.MapConfig)
}

func (c *SetMapConfig) decode(r *wire.Reader) {
	c.From, c.Config.Pattern = r.U64(), r.String()
	c.Config.MapConfig = wire.ReadMapConfig(r)
}

func (c *SetMapConfig) check() error {
	if c.Config.Fields == 0 {
		// The command ends a configuration, so there is only the pattern to look at.
		return wire.CheckMapPattern(c.Config.Pattern)
	}
	return c.Config.Check()
}

func (c *SetMapConfig) apply(s *State) Result {
	v := s.v

	at, there := v.Maps.Find(c.Config.Pattern)
	switch set := c.Config.Fields != 0; {
	case there == set && (!set || v.Maps[at] == c.Config):
		// A repeated command finds what the first one did. The version has moved on by then.
		return Result{}
	case c.From != v.MapsVersion:
		// Somebody has changed the configurations since the proposer looked at them.
		return refuse(wire.CodeConflict, "the configurations of maps are at version %d, not %d", v.MapsVersion, c.From)
	case set && !there && len(v.Maps) >= wire.MaxMapConfigs:
		return refuse(wire.CodeOverloaded, "%d patterns of map names are configured, more are not possible", len(v.Maps))
	}

	v = s.change()
	list := slices.Clone(v.Maps) // what views share is never written

	switch {
	case c.Config.Fields == 0:
		list = slices.Delete(list, at, at+1)
	case there:
		list[at] = c.Config
	default:
		list = slices.Insert(list, at, c.Config)
	}

	// An empty list is nil, as in a decoded snapshot: equal states must not differ.
	if len(list) == 0 {
		list = nil
	}

	v.Maps, v.MapsVersion = list, v.Version
	return Result{}
}

// MapConfig returns the configuration of the map with a name. It looks at every pattern. A caller that asks at each write keeps
// the answer as long as MapsVersion is the same.
func (v *View) MapConfig(name string) wire.MapConfig { return v.Maps.Resolve(name) }
