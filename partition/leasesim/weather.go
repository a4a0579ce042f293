package leasesim

import "math/rand/v2"

// weather is how often things come about in a history. Histories differ, for each mistake shows in another weather.
type weather struct {
	pace      int // the longest step, in microseconds
	keys      int // that are used
	elections int // in 1,000 steps
	sleeps    int // in 1,000 steps
	short     int // in 100 sleeps
	suspends  int // in 100 sleeps
	lags      int // in 1,000 steps
	leaps     int // in 1,000 steps
	late      int // in 100 proposals
	expiries  int // in 100 operations; and as many sweeps
	snapshots int // in 100 steps
}

// newWeather draws the weather of a history.
func newWeather(rnd *rand.Rand) weather {
	one := func(of ...int) int { return of[rnd.IntN(len(of))] }
	return weather{
		pace:      one(250, 500, 1000),
		keys:      1 + rnd.IntN(keys),
		elections: one(3, 10),
		sleeps:    one(0, 3, 10),
		short:     one(0, 90),
		suspends:  one(0, 80),
		lags:      one(0, 3, 10),
		leaps:     one(0, 20),
		late:      one(0, 20),
		expiries:  one(0, 0, 40),
		snapshots: one(0, 1),
	}
}
