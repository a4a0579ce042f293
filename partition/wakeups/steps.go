package wakeups

import (
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/lni/dragonboat/v4"
	pb "github.com/lni/dragonboat/v4/raftpb"
	sm "github.com/lni/dragonboat/v4/statemachine"
)

// Steps stands between a group and its state machine, and leaves out the step that the library makes after entries were applied. That step
// tells Raft how far the state machine is and finds nothing else to do, but costs what every step costs. The next step of the group tells the same: each
// begins with it. A group has one with every tick.
//
// What waits for that step (node.go and internal/raft of dragonboat):
//
//   - A ReadIndex for an entry that is being applied. So there is a step while the caller of Watch says that there are such reads.
//   - Messages that a change of the group's membership leaves behind. So there is a step after such a change, and after a Raft snapshot.
//   - Entries for a state machine that has a thousand tasks in its queue. So there is a step after many entries.
//   - Memory that the library keeps for entries until then.
//
// The library calls Steps on the group's apply worker alone.
type Steps struct {
	group
	reads   func() bool
	applied int  // entries since the last step
	changed bool // more than that has happened
}

// mostApplied is after how many entries there is a step in any case.
const mostApplied = 64

// group mirrors what a state machine of the library calls.
type group interface {
	StepReady()
	RestoreRemotes(ss pb.Snapshot) error
	ApplyUpdate(e pb.Entry, r sm.Result, rejected, ignored, notify bool)
	ApplyConfigChange(c pb.ConfigChange, key uint64, rejected bool) error
	ReplicaID() uint64
	ShardID() uint64
	ShouldStop() <-chan struct{}
}

// Watch has a Steps stand between a group of nh and its state machine, which calls Watch when it is opened: the group makes its first step after
// that. reads reports whether anybody waits for a ReadIndex of the group here; whoever begins to wait says so before. REQUIRES that Known
// has returned nil. An error wraps ErrUnknown.
func Watch(nh *dragonboat.NodeHost, shard uint64, reads func() bool) (*Steps, error) {
	// Known has looked at the types of all these fields.
	shards := (*sync.Map)(unsafe.Pointer(reflect.ValueOf(nh).Elem().FieldByName(hostField).FieldByName(shardsField).UnsafeAddr()))
	node, ok := shards.Load(shard)
	if !ok {
		return nil, fmt.Errorf("%w: the host does not have group %d", ErrUnknown, shard)
	}
	field := reflect.ValueOf(node).Elem().FieldByName(machineField).Elem().FieldByName(groupField)
	field = reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
	s := &Steps{group: field.Interface().(group), reads: reads}
	field.Set(reflect.ValueOf(s))
	return s, nil
}

// Applied says that entries were applied. The state machine calls it on a Steps or on nil.
func (s *Steps) Applied(entries int) {
	if s != nil {
		s.applied += entries
	}
}

// StepReady is called when all that was at hand was applied.
func (s *Steps) StepReady() {
	// Who begins to wait for a read after this look makes a step that sees what was applied.
	leave := 0 < s.applied && s.applied <= mostApplied && !s.changed && !s.reads()
	s.applied, s.changed = 0, false
	if !leave {
		s.group.StepReady()
	}
}

// ApplyConfigChange passes a change on.
func (s *Steps) ApplyConfigChange(c pb.ConfigChange, key uint64, rejected bool) error {
	s.changed = true
	return s.group.ApplyConfigChange(c, key, rejected)
}

// RestoreRemotes passes a Raft snapshot on.
func (s *Steps) RestoreRemotes(ss pb.Snapshot) error {
	s.changed = true
	return s.group.RestoreRemotes(ss)
}

// Fields of dragonboat on the way from a NodeHost to the interface by which a state machine knows its group. The type of the groups is
// found in the engine.
const (
	hostField    = "mu"
	shardsField  = "shards"
	loadedField  = "loaded"
	nodesField   = "nodes"
	machineField = "sm"
	groupField   = "node"
)

// knownGroups returns ErrUnknown unless the library has the fields that Watch goes by.
func knownGroups(engine reflect.Type) error {
	host, _ := reflect.TypeFor[dragonboat.NodeHost]().FieldByName(hostField)
	if shards, err := fieldOf(host.Type, shardsField); err != nil || shards != reflect.TypeFor[sync.Map]() {
		return fmt.Errorf("%w: no map of groups", ErrUnknown)
	}

	node, err := fieldOf(engine, loadedField, nodesField)
	// By kind of worker, and then by shard.
	for err == nil && node.Kind() == reflect.Map {
		node = node.Elem()
	}
	if err == nil {
		node, err = fieldOf(node, machineField, groupField)
	}
	if err != nil {
		return err
	}
	if mirror := reflect.TypeFor[group](); node.Kind() != reflect.Interface || !node.Implements(mirror) || !mirror.Implements(node) {
		return fmt.Errorf("%w: a state machine calls other methods of its group", ErrUnknown)
	}
	return nil
}

// fieldOf returns the type of a field of a struct, or of a struct that a field points to.
func fieldOf(t reflect.Type, names ...string) (reflect.Type, error) {
	for _, name := range names {
		if t != nil && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t == nil || t.Kind() != reflect.Struct {
			return nil, fmt.Errorf("%w: no struct with a field %s", ErrUnknown, name)
		}
		f, ok := t.FieldByName(name)
		if !ok {
			return nil, fmt.Errorf("%w: no field %s", ErrUnknown, name)
		}
		t = f.Type
	}
	return t, nil
}
