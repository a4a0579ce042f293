package sdk

import (
	"reflect"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Predicate says which entries of a map are meant. See [KeyGlob].
type Predicate interface {
	// predicate returns the predicate as members know it, for a map with keys of the given type.
	predicate(key reflect.Type) (wire.Predicate, error)
}

type keyGlob string

func (g keyGlob) predicate(key reflect.Type) (wire.Predicate, error) {
	p := wire.Predicate{Kind: wire.PredicateGlob, Glob: string(g)}
	if k := key.Kind(); k != reflect.String && k != reflect.Interface {
		return p, &Error{Partition: -1, Err: ErrInvalid, Hint: "KeyGlob on keys that are no strings but " + key.String()}
	}
	if err := p.Check(); err != nil {
		return p, wireError("", "", err)
	}
	return p, nil
}

// KeyGlob is true for entries whose whole key matches a pattern, in which * stands for any characters, / and : among them, ? for
// one, [a-z] for one of a set, [^a-z] for one that is not in it, and \ takes its meaning from the character that follows.
// Everything else stands for itself.
//
// Keys must be strings, else the call for which it is used fails with ErrInvalid, as it does for a pattern with a set that does
// not end. A pattern may have 1,024 bytes, else it is ErrTooLarge.
func KeyGlob(pattern string) Predicate { return keyGlob(pattern) }
