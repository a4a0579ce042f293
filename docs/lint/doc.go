// Package lint holds the rules of this repository that no linter knows, as tests. They say who may import whom, what the pure
// packages must not do, and what a goroutine, a mutex and a sleep need beside them. The documents name only what is there, and
// nobody says a word that has another name now. It owns no code of the product and imports none.
//
// A rule is a function from a parsed file, or from the whole repository, to what is wrong. Each is also run on planted
// violations, so that a rule which has gone blind fails.
package lint
