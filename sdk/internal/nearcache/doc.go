// Package nearcache is not API, and may change in any version.
//
// It is what one client remembers of one map: copies of values, and of absences, that were read from the owners of their partitions. It decides
// which copies may be served, and which may be kept. It knows nothing of NATS, calls, codecs or types of values. It starts no goroutine,
// does no I/O and reads no clock: its caller tells it the time.
//
// # How to use it
//
// A read asks [Cache.Get] first. It must have taken the freshness in its [Moment] before that. Where Get finds nothing, the caller reads at the
// owner:
//
//	l := c.Begin(partition, key)   // before the place is taken and before the request is sent
//	l.From(place)                  // up to where the partition's events were delivered to the cache, as of now
//	…                              // a linearizable read at the owner
//	c.Install(l, &answer, now, gap)   // or c.Cancel(l), if there is no answer
//
// The events of the map go into the cache in their order, each partition by itself: [Cache.Invalidate] for the change of a key,
// [Cache.Cleared] for CLEARED, [Cache.Forget] for LOST and for each new generation of the partition. A freshness may be used only after all
// events that it rests on were delivered.
//
// Each write of the client itself, in whatever way it was made, goes into [Cache.Wrote] before its caller is told of the outcome. Writes whose
// keys are not known go into Forget.
//
// # The rules
//
//   - A copy is served while cluster time is at most 2.5 seconds later than the freshness, and before its deadline.
//   - A copy is kept if its owner had come as far as the client when the load began, in the same generation, if no gap is open, and if no later
//     change of the key was delivered meanwhile.
//   - A change drops the copies that do not know of it.
//
// Each rule is needed, and docs/CONSISTENCY.md says why. A simulation can break most of them from outside: by a call that is left out, or by
// other arguments than the truth.
//
// Changes are compared by version. A read tells the version of the last change of the partition that it knows of, whatever its key. So a copy of
// an absent entry, which has no version of its own, is compared in the same way.
package nearcache
