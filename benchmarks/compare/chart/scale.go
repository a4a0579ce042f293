package chart

import (
	"math"
	"strconv"
)

// scale places values on pixels.
type scale struct {
	low, high float64
	log       bool
	from, to  float64 // pixels of low and high
}

// take widens the scale to a value. A logarithmic one cannot hold values that are not above 0.
func (s *scale) take(v float64) {
	if s.log && v <= 0 {
		return
	}
	s.low, s.high = min(s.low, v), max(s.high, v)
}

// settle makes a scale of no or one value wide enough to be one.
func (s *scale) settle() {
	if s.low > s.high {
		// There are no values at all.
		s.low, s.high = 1, 2
	}

	if s.low < s.high {
		return
	}
	if s.log {
		s.low, s.high = s.low/2, s.high*2
	} else {
		s.low, s.high = s.low-1, s.high+1
	}
}

// round moves the ends outwards to ticks.
func (s *scale) round() {
	if s.log {
		s.low, s.high = logStep(s.low, false), logStep(s.high, true)
		return
	}
	step := s.step()
	s.low, s.high = math.Floor(s.low/step)*step, math.Ceil(s.high/step)*step
}

// at returns the pixel of a value.
func (s *scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log(v), math.Log(low), math.Log(high)
	}
	return s.from + (v-low)/(high-low)*(s.to-s.from)
}

// step returns the distance of ticks on a linear scale: 1, 2 or 5 times a power of ten, for about six of them.
func (s *scale) step() float64 {
	rough := (s.high - s.low) / 6
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= rough {
			return m * power
		}
	}
	return 10 * power
}

// logSteps are the ticks in a decade.
var logSteps = []float64{1, 2, 5}

// logStep returns the next tick of a logarithmic scale at or below a value, or at or above it.
func logStep(v float64, up bool) float64 {
	// Powers of ten are not exact in binary, so a value this near counts as the step itself.
	const near = 1e-9
	power := math.Pow(10, math.Floor(math.Log10(v)+near))
	below := power
	for _, m := range append(logSteps, 10) {
		t := m * power
		if math.Abs(t-v) <= near*v {
			return t
		}
		if t > v {
			if up {
				return t
			}
			return below
		}
		below = t
	}
	return below
}

// ticks returns the values that have a line: on a logarithmic scale of more than three decades only powers of ten.
func (s *scale) ticks() (list []float64) {
	const near = 1e-9
	if !s.log {
		step := s.step()
		for i := math.Ceil(s.low/step - near); i*step <= s.high+near*step; i++ {
			list = append(list, i*step+0) // no minus before a zero
		}
		return list
	}

	steps := logSteps
	if s.high/s.low > 1000 {
		steps = logSteps[:1]
	}
	for power := math.Pow(10, math.Floor(math.Log10(s.low)+near)); power <= s.high*(1+near); power *= 10 {
		for _, m := range steps {
			if t := m * power; t >= s.low*(1-near) && t <= s.high*(1+near) {
				list = append(list, t)
			}
		}
	}
	return list
}

// Short returns a number with at most three digits and a letter for thousands, millions and billions.
func Short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= 0.9995*unit.size {
			return digits(v/unit.size) + unit.name
		}
	}
	return digits(v)
}

func digits(v float64) string {
	decimals := 2
	if a := math.Abs(v); a >= 100 {
		decimals = 0
	} else if a >= 10 {
		decimals = 1
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)

	// Formatted once more, which drops zeros at the end.
	rounded, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text // no finite number
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}
