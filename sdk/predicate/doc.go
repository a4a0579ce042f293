// Package predicate is not API: programs build predicates with package sdk, and it may change in any version.
//
// It owns the language of predicates, which clients and members must agree on: what a predicate may say, its text, and the bounds of
// both. A predicate travels as its text, so [Parse] reads what [Node.String] writes as an equal predicate. docs/PREDICATES.md says what
// predicates mean.
//
// It does not know entries, and evaluates nothing: that is package sdk/query.
package predicate
