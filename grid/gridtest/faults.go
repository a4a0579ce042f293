package gridtest

// Isolate pulls member i's cable: nothing travels between it and the other members, nor between it and clients. Nothing is closed
// either: what was connected falls silent, what is dialed does not answer, and what was sent waits. Calls of the member's own
// process reach it as before. The fault outlives the process: a member that is started again is still cut off.
func (c *Cluster) Isolate(i int) {
	c.t.Helper()
	c.known(i)
	c.network.Isolate(i)
}

// Cut has members i and j fall silent to each other; both reach all others, and clients reach both.
func (c *Cluster) Cut(i, j int) {
	c.t.Helper()
	c.known(i)
	c.known(j)
	c.network.Cut(i, j)
}

// Heal puts all cables back. What was sent meanwhile arrives, unless its connection was given up by those who waited.
func (c *Cluster) Heal() { c.network.Heal() }

// known fails the test unless there was ever a member i.
func (c *Cluster) known(i int) {
	c.t.Helper()
	if i < 0 || i >= c.Size() {
		c.t.Fatalf("there is no member %d", i)
	}
}
