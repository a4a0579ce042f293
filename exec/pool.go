package exec

// PoolConfig sets the bounds of one executor: how many of its tasks run at the same time on a member, and how many wait. A task
// beyond them is rejected. Zero means the default, 16 and 10,000.
type PoolConfig struct {
	Pool  int
	Queue int
}
