package nearcache

import "bytes"

// Invalidate takes in an event: the key was changed, at a version. Copies that do not know of the change are dropped.
func (c *Cache) Invalidate(partition int, key []byte, version uint64) {
	p := &c.parts[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.eachLoadLocked(func(l *Load) {
		if bytes.Equal(l.key, key) {
			l.least = max(l.least, version)
		}
	})
	c.dropLocked(p, partition, key, version)
}

// Wrote takes in the end of a write of the client itself, before the writer is told of it. version is that of the change. 0 stands for one that
// nobody knows: the outcome is unknown, or the write changed nothing but has seen the newest state.
func (c *Cache) Wrote(partition int, key []byte, version uint64) {
	if version != 0 {
		c.Invalidate(partition, key, version)
		return
	}

	p := &c.parts[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.eachLoadLocked(func(l *Load) { l.void = l.void || bytes.Equal(l.key, key) })
	c.dropLocked(p, partition, key, ^uint64(0))
}

// dropLocked drops the copy of a key, unless it knows of a version. REQUIRES p.mu.
func (c *Cache) dropLocked(p *part, partition int, key []byte, version uint64) {
	e, ok := c.copies.GetEntryQuietly(view(key))
	if !ok || e.Value.partition != partition || e.Value.AsOf >= version {
		return
	}
	c.copies.Invalidate(e.Key)
	p.invalidations.Add(1)
}

// Cleared takes in an event: all entries of the map in the partition were deleted, at a version.
func (c *Cache) Cleared(partition int, version uint64) {
	c.forget(partition, func(l *Load) { l.least = max(l.least, version) })
}

// Forget drops all copies of a partition, and voids its loads under way: events were lost, the partition goes on in another generation, or the
// client itself has made a write that may have changed any key.
func (c *Cache) Forget(partition int) {
	c.forget(partition, func(l *Load) { l.void = true })
}

func (c *Cache) forget(partition int, f func(*Load)) {
	p := &c.parts[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.eachLoadLocked(f)
	// The copies stay in the table, and none is served. Sweep takes them out.
	p.forgotten.Add(1)
	p.invalidations.Add(1)
	c.mortal.Store(true)
}
