package benchmarks

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/gridiron-io/gridiron/sdk"
)

// Exponents of the zipfian distribution. Near 1 the generator's formula has no digits left.
const (
	defaultTheta = 0.99
	maxTheta     = 0.999
)

// ParseKeys reads a text such as "10000", "zipf", or "10000,zipf:0.9". It returns how many keys there are and the exponent by which they
// are drawn. Exponent 0 means equal chances. What the text does not say is 0. Its error names all that is wrong and wraps sdk.ErrInvalid.
func ParseKeys(text string) (keys int, theta float64, err error) {
	var errs []error
	bad := func(part, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: keys %q: "+format, append([]any{sdk.ErrInvalid, part}, args...)...))
	}

	var counted, drawn bool
	for part := range strings.SplitSeq(text, ",") {
		n, notNumber := strconv.Atoi(part)

		// A part is a number, or a way of drawing with or without an exponent.
		way, exponent, given := strings.Cut(part, ":")
		seen := &drawn
		switch {
		case notNumber == nil:
			seen = &counted
			if keys = n; n < 1 || n > maxKeys {
				bad(part, "want 1 to %d", maxKeys)
			}
		case part == "uniform":
		case way == "zipf":
			theta = defaultTheta
			if !given {
				break
			}
			if theta, err = strconv.ParseFloat(exponent, 64); err != nil || !(theta > 0 && theta <= maxTheta) {
				bad(part, "want an exponent above 0 and up to %v", maxTheta)
			}
		default:
			bad(part, "want a number of keys, uniform, or zipf[:THETA]")
			continue
		}

		if *seen {
			bad(part, "said twice")
		}
		*seen = true
	}

	if len(errs) > 0 {
		return 0, 0, errors.Join(errs...)
	}
	return keys, theta, nil
}

// zipf draws numbers below n. The number at place i of their order, counted from 1, has the weight 1/i^theta. It is the generator of J.
// Gray, P. Sundaresan, S. Englert, K. Baclawski, P. Weinberger, "Quickly Generating Billion-Record Synthetic Databases", SIGMOD 1994,
// which YCSB has too: exact for the first two places, and near for the others.
type zipf struct {
	n           int
	theta       float64
	alpha       float64
	zeta, eta   float64
	firstTwo    float64 // the sum of the first two places' terms
	width, mask uint64  // of a number below n: in bits, and all of them
}

// newZipf returns a generator of numbers below n. It takes time in proportion to n. REQUIRES 0 < theta <= maxTheta.
func newZipf(n int, theta float64) *zipf {
	z := &zipf{n: n, theta: theta, alpha: 1 / (1 - theta), firstTwo: 1 + math.Pow(0.5, theta), width: uint64(bits.Len(uint(n - 1)))}

	z.mask = 1<<z.width - 1
	for i := n; i > 0; i-- { // the small terms first, for their digits
		z.zeta += 1 / math.Pow(float64(i), theta)
	}
	z.eta = (1 - math.Pow(2/float64(n), 1-theta)) / (1 - z.firstTwo/z.zeta) // not a number for two, whose places are both exact
	return z
}

// place returns the place, counted from 0, of a u that is uniform in [0, 1).
func (z *zipf) place(u float64) int {
	switch uz := u * z.zeta; {
	case uz < 1 || z.n == 1:
		return 0
	case uz < z.firstTwo || z.n == 2:
		return 1
	}
	return min(int(float64(z.n)*math.Pow(z.eta*u-z.eta+1, z.alpha)), z.n-1)
}

// scatter returns the number at a place. It is a hash that permutes the numbers below n. So numbers that are drawn often are not
// neighbours, and no two places have the same number.
func (z *zipf) scatter(place int) int {
	x := uint64(place)
	for {
		// Each step is a permutation of the numbers of that width. What leaves n goes on until it is back.
		x = (x + 0x9e3779b97f4a7c15) & z.mask
		x = (x ^ x>>(z.width/2+1)) * 0xbf58476d1ce4e5b9 & z.mask
		x = (x ^ x>>(z.width/2+1)) * 0x94d049bb133111eb & z.mask
		x ^= x >> (z.width/2 + 1)
		if x < uint64(z.n) {
			return int(x)
		}
	}
}

// draw returns the number of a key.
func (z *zipf) draw(random *rand.Rand) int { return z.scatter(z.place(random.Float64())) }
