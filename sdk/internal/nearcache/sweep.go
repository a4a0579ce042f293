package nearcache

// Sweep takes copies out of memory that are served no more at cluster time now. It looks at all copies, unless there can be none.
func (c *Cache) Sweep(now int64) {
	if !c.mortal.Swap(false) {
		return
	}

	left := false
	for key, e := range c.copies.All() {
		p := &c.parts[e.partition]
		if c.serves(p, e, e.partition, now) {
			left = left || e.deadline != Never || c.maxIdle > 0
			continue
		}

		// Another copy may have taken its place since.
		p.mu.Lock()
		if cur, ok := c.copies.GetEntryQuietly(key); ok && cur.Value == e {
			c.copies.Invalidate(key)
		}
		p.mu.Unlock()
	}
	if left {
		c.mortal.Store(true)
	}
}

// Hottest calls yield with the keys of copies that would be served at cluster time now if the cache were fresh, those that were used most
// first, until it returns false. yield must not call the cache, and not keep the key.
func (c *Cache) Hottest(now int64, yield func(partition int, key string) bool) {
	for e := range c.copies.Hottest() {
		if c.serves(&c.parts[e.Value.partition], e.Value, e.Value.partition, now) && !yield(e.Value.partition, e.Key) {
			return
		}
	}
}
