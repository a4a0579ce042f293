package sdk

import "math/rand/v2"

// simWeather is how often things come about in a history. Histories differ, for each mistake shows in another weather. Numbers are in
// percent, and times in nanoseconds, unless said otherwise.
type simWeather struct {
	simPrograms
	simCluster
	simBus
}

// simPrograms is what the clients' programs do.
type simPrograms struct {
	clientCount  int
	keys         int
	pace         int64 // from one call of a client to the next, at most
	writes       int   // of the calls
	clears       int   // in 1,000 calls: Clear and Destroy
	ttls         int   // of the writes
	maxIdle      int64 // of the entries of the cached map, in milliseconds; 0: none
	retimes      int   // of the writes: SetTTL
	negative     bool  // absence is cached
	patience     int64 // after which a client gives a write up
	restarts     int   // in 1,000 calls: a stream begins again
	slowListener bool
}

// simCluster is how the members are.
type simCluster struct {
	ring   int   // events that it holds
	sweeps int64 // from one removal of expired entries to the next, at most
	skew   int64 // of cluster time, in milliseconds
	unrest int64 // from one thing that goes wrong to the next, at most
	late   int   // of the proposals
	hurt   bool  // the partition is recovered now and then, and may lose operations
}

// simBus is what becomes of messages and calls.
type simBus struct {
	drops, repeats int   // of the messages
	delay          int64 // of a message, at most
	deaf           int   // of what goes wrong: a client does not hear some members for long, or cannot call them
	splits         int   // of what goes wrong: a client and a member part from all others
	slowCalls      int   // that take long
	lostCalls      int
	learns         int // of the answers: the client's table gets newer by them
}

func newSimWeather(rnd *rand.Rand) simWeather {
	one := func(of ...int) int { return of[rnd.IntN(len(of))] }
	time := func(of ...int64) int64 { return of[rnd.IntN(len(of))] * millisecond }
	return simWeather{
		simPrograms{
			clientCount: 1 + rnd.IntN(3), keys: 1 + rnd.IntN(4), pace: time(10, 50, 200), writes: one(1, 3, 10, 30), clears: one(0, 0, 4, 30),
			ttls: one(0, 0, 0, 40), maxIdle: int64(one(0, 0, 0, 300, 2000)), retimes: one(0, 10, 50), negative: rnd.IntN(4) != 0,
			patience: time(150, 1500), restarts: one(0, 0, 8), slowListener: rnd.IntN(4) == 0,
		},
		simCluster{
			ring: one(3, 8, 1024), sweeps: time(100, 3000), skew: int64(one(2, 50)), unrest: time(500, 3000, 10_000), late: one(0, 10),
			hurt: rnd.IntN(4) == 0,
		},
		simBus{
			drops: one(0, 0, 5, 30, 85), repeats: one(0, 0, 20), delay: time(1, 1, 10, 200, 1500), deaf: one(0, 30, 60), splits: one(0, 0, 30, 90),
			slowCalls: one(0, 10, 40), lostCalls: one(0, 0, 3, 15), learns: one(0, 100),
		},
	}
}

// Planted bugs show soon in some of these, all of which any history may have.

// simFair is a weather in which little goes wrong, with several clients.
func simFair(w *simWeather) {
	*w = simWeather{
		simPrograms{clientCount: 3, keys: 2, pace: 50 * millisecond, writes: 10, negative: true, patience: 1500 * millisecond},
		simCluster{ring: 1024, sweeps: 100 * millisecond, skew: 2, unrest: 3000 * millisecond},
		simBus{delay: millisecond},
	}
}

// simSplit: clients and members part from the others.
func simSplit(w *simWeather) {
	simFair(w)
	w.splits, w.writes, w.keys = 90, 3, 4
}

// simLossy: messages and calls are lost.
func simLossy(w *simWeather) {
	simFair(w)
	w.lostCalls, w.drops = 15, 30
}

// simSwarm: one election comes after the other.
func simSwarm(w *simWeather) {
	simFair(w)
	w.unrest, w.pace, w.writes = 500*millisecond, 10*millisecond, 30
}

// simHurt: the partition is recovered, and messages and calls take their time.
func simHurt(w *simWeather) {
	simFair(w)
	w.hurt, w.delay, w.lostCalls, w.slowCalls, w.deaf = true, 1500*millisecond, 15, 40, 60
}

// simRecovered: the partition is recovered, and little else.
func simRecovered(w *simWeather) {
	simFair(w)
	w.hurt, w.writes, w.keys = true, 3, 4
}

// simDeaf: clients do not hear members.
func simDeaf(w *simWeather) {
	simFair(w)
	w.deaf, w.drops, w.writes = 60, 85, 3
}

// simForgetful: the same, and the ring is short.
func simForgetful(w *simWeather) {
	simDeaf(w)
	w.ring = 3
}

// simRestless: the same, and streams begin again.
func simRestless(w *simWeather) {
	simDeaf(w)
	w.restarts = 8
}

// simSlow: calls take their time, some are lost, and streams begin again.
func simSlow(w *simWeather) {
	simFair(w)
	w.restarts, w.slowCalls, w.lostCalls, w.drops, w.patience = 8, 40, 15, 30, 150*millisecond
}

// simRetimes: expiries change.
func simRetimes(w *simWeather) {
	simFair(w)
	w.retimes, w.sweeps, w.writes = 50, 3000*millisecond, 3
}

// simClears: maps are cleared.
func simClears(w *simWeather) {
	simFair(w)
	w.clears, w.writes = 4, 3
}
