package gridtest

// Isolate pulls member i's cable. Nothing travels between it and other members, or between it and clients. Connections stay open
// but silent, dials do not answer, and what was sent waits. Calls inside the member's own process still reach it. The fault
// outlives the process: a member that is started again is still cut off.
func (c *Cluster) Isolate(i int) {
	c.t.Helper()
	c.known(i)
	c.network.Isolate(i)
}

// Cut pulls the cable between members i and j. Both still reach all other members, and clients reach both.
func (c *Cluster) Cut(i, j int) {
	c.t.Helper()
	c.known(i)
	c.known(j)
	c.network.Cut(i, j)
}

// Heal puts all cables back. What was sent meanwhile arrives, unless its sender has closed the connection.
func (c *Cluster) Heal() { c.network.Heal() }

// known fails the test unless there was ever a member i.
func (c *Cluster) known(i int) {
	c.t.Helper()
	if i < 0 || i >= c.Size() {
		c.t.Fatalf("there is no member %d", i)
	}
}
