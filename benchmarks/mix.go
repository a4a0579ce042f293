package benchmarks

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gridiron-io/gridiron/sdk"
)

// maxWeight bounds the weight of an operation in a Mix.
const maxWeight = 1_000_000

// Mix is how often operations are done: weights, drawn at random for each operation. The zero Mix is none.
type Mix struct {
	Gets, Sets int
}

// mixes is what the operations come to.
var mixes = map[Op]Mix{OpSet: {Sets: 100}, OpGet: {Gets: 100}, OpMixed: {Gets: 80, Sets: 20}}

// ParseMix returns the mix of a text such as "get=80,set=20". An operation that is not named has no weight. Its error names all
// that is wrong and wraps sdk.ErrInvalid.
func ParseMix(text string) (Mix, error) {
	var m Mix
	var errs []error

	weights := map[string]*int{string(OpGet): &m.Gets, string(OpSet): &m.Sets}
	for part := range strings.SplitSeq(text, ",") {
		name, number, _ := strings.Cut(part, "=")
		weight, known := weights[name]

		n, err := strconv.Atoi(number)
		switch {
		case !known:
			errs = append(errs, fmt.Errorf("%w: mix %q: want OPERATION=WEIGHT, and operations get, set", sdk.ErrInvalid, part))
		case err != nil || n < 1 || n > maxWeight:
			errs = append(errs, fmt.Errorf("%w: mix %q: want a weight from 1 to %d", sdk.ErrInvalid, part, maxWeight))
		case *weight != 0:
			// A weight is at least one, so zero means that none was given yet.
			errs = append(errs, fmt.Errorf("%w: mix %q: a second weight of one operation", sdk.ErrInvalid, part))
		default:
			*weight = n
		}
	}

	if len(errs) > 0 {
		return Mix{}, errors.Join(errs...)
	}
	return m, nil
}

// String returns what ParseMix reads.
func (m Mix) String() string {
	var parts []string
	if m.Gets != 0 {
		parts = append(parts, fmt.Sprintf("%s=%d", OpGet, m.Gets))
	}
	if m.Sets != 0 {
		parts = append(parts, fmt.Sprintf("%s=%d", OpSet, m.Sets))
	}
	return strings.Join(parts, ",")
}
