// Package exec owns what happens to a task on the member that runs it: the registry of functions by name, a bounded pool
// and queue per executor, the context that ends a task, and the results that are kept until their callers have them.
//
// It does not know how a task got here or how its result leaves: no connections, no frames, no routing. The member's
// dispatch decodes a call, asks the [Service], and encodes the answer. It does not know how maps are stored either: the
// entries that [Local] yields come through [Config].LocalEntries.
//
// Promises of a plain task: it runs at most once per task ID; it is never run again silently when its member dies; what its
// function does besides its result (a panic, a hang, an endless result) cannot harm the member beyond the bounds in
// [Config].
package exec
