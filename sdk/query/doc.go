// Package query is not API: programs use package sdk, and it may change in any version.
//
// It evaluates predicates on entries as they are stored: on the encoded key and the encoded value. A term walks to its attribute, and
// decodes nothing else. The package is pure. No bytes make it fail or take more than a bounded time, and a Query is safe for concurrent
// use.
//
// It does not know who asks, where entries are, or how a predicate came here. The language of predicates is package sdk/predicate, and
// docs/PREDICATES.md says what they mean.
//
// # Values
//
// A key is MessagePack. A value is MessagePack or JSON, by its first byte: a MessagePack value that begins below 0x80 is one small integer
// and has no second byte, and every JSON text begins there. So one byte alone is MessagePack, and a map whose codec writes JSON cannot
// be asked for the values 0 to 9 themselves. Values in other formats are malformed here.
//
// # Malformed bytes
//
// Only what leads to an attribute is read. If it is malformed, the term is unknown, and the error beside the result says why. The
// result stands: another term may decide it.
package query
