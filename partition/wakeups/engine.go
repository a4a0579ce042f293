package wakeups

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"

	"github.com/lni/dragonboat/v4"
)

// Pinned is the version of dragonboat whose workers this package was written against. Another one may keep the same fields and mean
// something else by them, so it is left alone.
const Pinned = "v4.0.0-20250723143628-076c7f6497dc"

// ErrUnknown is returned where the library is not the one that this package knows. Everything works without it: the workers are woken more
// often than they need to be.
var ErrUnknown = errors.New("the Raft library's workers are not built as expected")

// Workers are the step and the apply workers of one NodeHost.
type Workers struct{ step, apply []lane }

// DropStep takes back the wake-up of a step worker that has nothing to do. Its log calls it, with the number that the library gives it.
func (w *Workers) DropStep(worker uint64) { w.step[(worker-1)%uint64(len(w.step))].drop() }

// DropApply takes back the wake-up of the apply worker of a group that has nothing to do. The group's state machine calls it.
func (w *Workers) DropApply(shard uint64) { w.apply[shard%uint64(len(w.apply))].drop() }

// Known returns ErrUnknown unless the library is the version that this package knows, with the fields that it expects.
func Known() error {
	// A program that does not name its versions is judged by the fields alone.
	if v := version(); v != "" && v != Pinned {
		return fmt.Errorf("%w: version %s, want %s", ErrUnknown, v, Pinned)
	}

	engine, err := engineType()
	if err != nil {
		return err
	}
	for _, name := range []string{stepField, applyField} {
		f, ok := engine.FieldByName(name)
		if !ok {
			return fmt.Errorf("%w: no field %s", ErrUnknown, name)
		}
		if err := alike(f.Type, reflect.TypeFor[*workReady]()); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrUnknown, name, err)
		}
	}
	return knownGroups(engine)
}

// Find returns the workers of nh, or an error that wraps ErrUnknown. The result is of use for as long as nh runs, and harmless afterwards.
func Find(nh *dragonboat.NodeHost) (*Workers, error) {
	if err := Known(); err != nil {
		return nil, err
	}

	engine := reflect.ValueOf(nh).Elem().FieldByName(engineField)
	if engine.IsNil() {
		return nil, fmt.Errorf("%w: the host has none", ErrUnknown)
	}

	w := new(Workers)
	for name, lanes := range map[string]*[]lane{stepField: &w.step, applyField: &w.apply} {
		// Known has compared the type with workReady, field by field.
		found := (*workReady)(engine.Elem().FieldByName(name).UnsafePointer())
		var err error
		if *lanes, err = found.lanes(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrUnknown, name, err)
		}
	}
	return w, nil
}

// Fields of dragonboat's NodeHost and engine.
const (
	engineField = "engine"
	stepField   = "stepWorkReady"
	applyField  = "applyWorkReady"
)

// workReady and readyShard mirror dragonboat's types of these names.
type (
	workReady struct {
		partitioner interface {
			GetPartitionID(shardID uint64) uint64
		}
		maps     []*readyShard
		channels []chan struct{}
		count    uint64
	}
	readyShard struct {
		mu    sync.Mutex
		ready map[uint64]struct{}
		//lint:ignore U1000 it keeps its place, as the mirror has all fields
		maps [2]map[uint64]struct{}
		//lint:ignore U1000 likewise
		index uint8
	}
)

// lanes returns a lane for each worker.
func (r *workReady) lanes() ([]lane, error) {
	if r == nil || r.count == 0 || r.count != uint64(len(r.maps)) || r.count != uint64(len(r.channels)) {
		// DropStep and DropApply count workers by the length of these lists, so the lists must agree.
		return nil, errors.New("as many sets and channels as workers, and at least one, were expected")
	}

	lanes := make([]lane, r.count)
	for i, m := range r.maps {
		if m == nil || cap(r.channels[i]) != 1 {
			return nil, errors.New("a set and a channel of one slot for each worker were expected")
		}
		lanes[i] = lane{mu: &m.mu, ready: &m.ready, token: r.channels[i]}
	}
	return lanes, nil
}

func engineType() (reflect.Type, error) {
	f, ok := reflect.TypeFor[dragonboat.NodeHost]().FieldByName(engineField)
	if !ok || f.Type.Kind() != reflect.Pointer || f.Type.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("%w: no pointer to an engine in the host", ErrUnknown)
	}
	return f.Type.Elem(), nil
}

// alike returns how a type differs in memory from its mirror: in kind, size, or the names, places and types of fields.
func alike(t, mirror reflect.Type) error {
	if t == mirror {
		return nil
	}
	if t.Kind() != mirror.Kind() || t.Size() != mirror.Size() {
		// Through a mirror of another size the program would read memory that is not the field's.
		return fmt.Errorf("%v of %d bytes, want %v of %d", t, t.Size(), mirror, mirror.Size())
	}

	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return alike(t.Elem(), mirror.Elem())
	case reflect.Interface:
		// It is not called through the mirror, which only keeps its place.
		if t.NumMethod() != mirror.NumMethod() {
			return fmt.Errorf("%v has %d methods, want %d", t, t.NumMethod(), mirror.NumMethod())
		}
		return nil
	case reflect.Struct:
		return alikeFields(t, mirror)
	default:
		// Numbers, maps, channels and arrays have no names of their own here: they are the same type, or another.
		return fmt.Errorf("%v, want %v", t, mirror)
	}
}

func alikeFields(t, mirror reflect.Type) error {
	if t.NumField() != mirror.NumField() {
		return fmt.Errorf("%v has %d fields, want %d", t, t.NumField(), mirror.NumField())
	}
	for i := range t.NumField() {
		f, m := t.Field(i), mirror.Field(i)
		if f.Name != m.Name || f.Offset != m.Offset {
			// A field of the same type under another name may mean something else.
			return fmt.Errorf("%v.%s at %d, want %s at %d", t, f.Name, f.Offset, m.Name, m.Offset)
		}
		if err := alike(f.Type, m.Type); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

// version returns the version of dragonboat in this program; "" if the program does not say.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/lni/dragonboat/v4" {
			if m.Replace != nil {
				// A replacement may be any code. Its path keeps it from passing for the pinned version.
				return m.Replace.Path + " " + m.Replace.Version
			}
			return m.Version
		}
	}
	return ""
}
