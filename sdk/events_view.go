package sdk

import (
	"errors"
	"reflect"

	"github.com/gridiron-io/gridiron/sdk/query"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Matching limits a listener to a view of the map: to the entries of which p is true. An update that brings an entry into the view is
// ADDED, without Old. One that takes it out is REMOVED, without New. Of a change outside of the view the listener does not hear.
// CLEARED and LOST always come.
//
// The client evaluates p, also with [WithoutValues], where values are fetched for it as far as p needs them. If values were too
// large to keep, and nobody can tell whether the change concerns the view, its event comes as it is, with Omitted set. A REMOVED may then
// be of an entry that was not in the view. After an UPDATED without New, the map has the value. Where the listener has no function for
// such an update, but one for Added or Removed, it gets LOST. Errors are those of p in any call.
func Matching(p Predicate) ListenerOption {
	return listenerOption(func(c *listenerConfig) error {
		switch {
		case p == nil:
			return errors.New("Matching: a nil predicate")
		case c.where != nil:
			return errors.New("Matching is given twice")
		}
		c.where = p
		return nil
	})
}

// view is what a listener with a predicate sees of a map.
type view struct{ query *query.Query }

// viewOf returns the view by p of a map with keys of the given type.
func viewOf(op, name string, p Predicate, key reflect.Type) (*view, error) {
	if _, err := predicateOf(op, name, p, key); err != nil {
		return nil, err
	}

	n, err := p.node()
	if err != nil {
		return nil, wireError(op, name, err)
	}
	q, err := query.Compile(n)
	if err != nil {
		return nil, wireError(op, name, err)
	}
	return &view{q}, nil
}

// may reports whether the listener may have to hear of e, whose values need not be there.
func (v *view) may(e *wire.Event) bool {
	return e.Kind == wire.EventCleared || e.Kind == wire.EventLost || v.query.EvalKey(e.Key) != query.False
}

// judgement is what the query says of an entry before or after a change.
type judgement struct {
	query.Truth
	open bool // the value that would decide was left out
}

func (v *view) judge(e *wire.Event, value []byte) judgement {
	if value != nil || e.Flags&(wire.EventOmitted|wire.EventFetch) == 0 {
		t, _ := v.query.Eval(e.Key, value)
		return judgement{Truth: t}
	}
	t := v.query.EvalKey(e.Key)
	return judgement{t, t == query.Unknown && v.query.UsesValue()}
}

// see returns a change of the map as a listener to some kinds of events hears of it. heard is false if it does not. sure is false if
// nobody knows whether the change concerns the view.
func (v *view) see(e *wire.Event, kinds uint16) (out wire.Event, sure, heard bool) {
	out = *e
	wanted := func(k wire.EventKind) bool { return kinds&(1<<min(k, 15)) != 0 }

	var was, is judgement
	switch e.Kind {
	case wire.EventAdded, wire.EventLoaded:
		is = v.judge(e, e.New)
	case wire.EventUpdated:
		was, is = v.judge(e, e.Old), v.judge(e, e.New)
	case wire.EventTTL:
		if !wanted(e.Kind) {
			return out, true, false
		}
		// Both values are the same, and either may have been left out.
		if was = v.judge(e, e.Old); was.open {
			was = v.judge(e, e.New)
		}
		is = was
	case wire.EventRemoved, wire.EventExpired, wire.EventEvicted:
		was = v.judge(e, e.Old)
	default:
		return out, true, wanted(e.Kind)
	}

	if !was.open && !is.open {
		out.Kind, heard = query.Transition(e.Kind, was.Truth, is.Truth)
		if e.Kind == wire.EventUpdated {
			switch out.Kind {
			case wire.EventAdded:
				out.Old = nil
			case wire.EventRemoved:
				out.New = nil
			}
		}
		return out, true, heard && wanted(out.Kind)
	}

	// Whatever the entry was, it is not in the view now.
	leaves := e.Kind == wire.EventUpdated && !is.open && is.Truth != query.True
	if leaves {
		out.Kind, out.New = wire.EventRemoved, nil
	}
	switch {
	case wanted(out.Kind):
		return out, false, true
	// The update may be one that adds to the view or removes from it, which the listener wants to know.
	case e.Kind == wire.EventUpdated && !leaves && (wanted(wire.EventAdded) || wanted(wire.EventRemoved)):
		return wire.Event{Pos: e.Pos, Version: e.Version, Kind: wire.EventLost}, true, true
	}
	return out, false, false
}
