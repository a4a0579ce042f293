package query

import "github.com/gridiron-io/gridiron/sdk/wire"

// Transition returns the kind of event that a change is for a listener to the entries of which a query is true: its view of the map. was
// and is are what the query says of the entry before and after the change; what is not there is no part of a view, and is Unknown. It
// returns false for a change outside of the view, which the listener does not hear of.
//
// An update that brings the entry into the view is ADDED, without the old value, which was never part of the view. One that takes it out
// is REMOVED, without the new value. An entry that expires or is evicted leaves the view as it leaves the map, and the event says which.
// CLEARED and LOST reach every listener: nobody knows what the entries were.
func Transition(kind wire.EventKind, was, is Truth) (wire.EventKind, bool) {
	before, after := was == True, is == True
	switch kind {
	case wire.EventUpdated, wire.EventTTL:
		switch {
		case before && after:
			return kind, true
		case after:
			return wire.EventAdded, true
		}
		return wire.EventRemoved, before
	case wire.EventAdded, wire.EventLoaded:
		return kind, after
	case wire.EventRemoved, wire.EventExpired, wire.EventEvicted:
		return kind, before
	}
	return kind, true
}
