package sdk

import (
	"reflect"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Predicate chooses entries of a map. See [KeyGlob].
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

// KeyGlob matches entries whose whole key matches a pattern. * stands for any characters, also / and :. ? stands for one
// character, [a-z] for one of a set, [^a-z] for one outside it. \ takes the special meaning from the next character. All else
// stands for itself.
//
// Keys must be strings, otherwise the call that uses the predicate fails with ErrInvalid. It also does for a set without an end.
// A pattern of more than 1,024 bytes is ErrTooLarge.
func KeyGlob(pattern string) Predicate { return keyGlob(pattern) }
