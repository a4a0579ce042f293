package bootstrap

import "time"

// Timing is how long things take. Zero values mean the defaults, which are the protocol's; tests shorten them. Members that
// bootstrap a cluster together should agree.
type Timing struct {
	HelloEvery  time.Duration // each address hears a hello this often; default 200 ms
	StableFor   time.Duration // the same fresh members must be in sight for this long before one proposes; default 1 s
	AskEvery    time.Duration // one that has accepted asks the others this often; default 1 s
	RefuseAfter time.Duration // one that cannot accept refuses this long after it first heard of a Proposal; default 10 s
	LogEvery    time.Duration // whom it waits for is logged this often; default 5 s
	Timeout     time.Duration // of one dial and of one request with its answer; default 2 s
	IdleAfter   time.Duration // a served connection without a request ends after this; default 30 s
}

// WithDefaults returns t with its zero fields set.
func (t Timing) WithDefaults() Timing {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.HelloEvery, 200 * time.Millisecond}, {&t.StableFor, time.Second}, {&t.AskEvery, time.Second},
		{&t.RefuseAfter, 10 * time.Second}, {&t.LogEvery, 5 * time.Second}, {&t.Timeout, 2 * time.Second},
		{&t.IdleAfter, 30 * time.Second},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return t
}

// learnedFor is how many hellos an address that was learned may leave unanswered before it is forgotten.
const learnedFor = 150
