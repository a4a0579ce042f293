package wakeups

import (
	"reflect"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
)

// countedGroup counts the steps that it is asked for.
type countedGroup struct {
	group
	steps int
}

func (g *countedGroup) StepReady() { g.steps++ }

func (g *countedGroup) ApplyConfigChange(pb.ConfigChange, uint64, bool) error { return nil }

func (g *countedGroup) RestoreRemotes(pb.Snapshot) error { return nil }

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name  string
		does  func(s *Steps)
		reads bool
		want  int
	}{
		{"entries were applied", func(s *Steps) { s.Applied(1); s.Applied(2) }, false, 0},
		{"nothing was applied", func(*Steps) {}, false, 1},
		{"somebody waits for a read", func(s *Steps) { s.Applied(1) }, true, 1},
		{"many entries were applied", func(s *Steps) { s.Applied(mostApplied); s.Applied(1) }, false, 1},
		{"the membership changed before", func(s *Steps) { _ = s.ApplyConfigChange(pb.ConfigChange{}, 1, false); s.Applied(1) }, false, 1},
		{"the membership changed behind", func(s *Steps) { s.Applied(1); _ = s.ApplyConfigChange(pb.ConfigChange{}, 1, false) }, false, 1},
		{"a snapshot was restored", func(s *Steps) { _ = s.RestoreRemotes(pb.Snapshot{}); s.Applied(1) }, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := new(countedGroup)
			s := &Steps{group: g, reads: func() bool { return c.reads }}
			c.does(s)
			s.StepReady()
			require.Equal(t, c.want, g.steps)

			// Each round is judged by itself.
			s.StepReady()
			require.Equal(t, c.want+1, g.steps, "a round in which nothing was applied")
		})
	}

	var none *Steps
	none.Applied(1) // where the library is another
}

// The way from an engine to what a state machine calls is followed only where all of it is as expected.
func TestAnotherWayToTheGroupsIsNotTaken(t *testing.T) {
	type machine struct {
		//lint:ignore U1000 its type is looked at
		node group
	}
	type node struct {
		//lint:ignore U1000 likewise
		sm *machine
	}
	type loaded struct {
		//lint:ignore U1000 likewise
		nodes map[int]map[uint64]*node
	}
	require.NoError(t, knownGroups(reflect.TypeFor[struct{ loaded *loaded }]()))

	type otherMachine struct {
		//lint:ignore U1000 likewise
		node interface{ StepReady() }
	}
	type more interface {
		group
		CommitReady()
	}
	for name, engine := range map[string]reflect.Type{
		"no groups": reflect.TypeFor[struct{}](),
		"no struct": reflect.TypeFor[struct{ loaded int }](),
		"no map":    reflect.TypeFor[struct{ loaded *struct{ nodes []*node } }](),
		"no machine": reflect.TypeFor[struct {
			loaded *struct{ nodes map[int]*machine }
		}](),
		"no interface": reflect.TypeFor[struct {
			loaded *struct {
				nodes map[int]*struct{ sm *struct{ node int } }
			}
		}](),
		"fewer calls": reflect.TypeFor[struct {
			loaded *struct {
				nodes map[int]*struct{ sm *otherMachine }
			}
		}](),
		"more calls": reflect.TypeFor[struct {
			loaded *struct {
				nodes map[int]*struct{ sm *struct{ node more } }
			}
		}](),
	} {
		require.ErrorIs(t, knownGroups(engine), ErrUnknown, name)
	}
}
