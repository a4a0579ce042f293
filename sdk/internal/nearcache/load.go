package nearcache

// Load is a read of one key at its owner, under way. It belongs to the goroutine that has begun it.
type Load struct {
	partition int
	key       []byte // the caller's, unchanged until the load has ended
	from      Place
	placed    bool

	// The following belongs to the partition's mu.

	next, prev *Load
	// least is the version of the last change of the key that was delivered meanwhile: an answer that knows of less is not kept.
	least uint64
	void  bool // whatever the answer knows, it is not kept
}

// Begin begins a load. It must come before From and before the owner is asked. Install or Cancel must follow.
func (c *Cache) Begin(partition int, key []byte) *Load {
	l := &Load{partition: partition, key: key}
	p := &c.parts[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loads == nil {
		l.next, l.prev = l, l
	} else {
		l.next, l.prev = p.loads, p.loads.prev
		l.next.prev, l.prev.next = l, l
	}
	p.loads = l
	return l
}

// From notes up to where the partition's events had been delivered at a moment after Begin and before the owner was asked. Without it nothing
// is kept.
func (l *Load) From(at Place) { l.from, l.placed = at, true }

// Cancel ends a load without an answer. It leaves one alone that has ended.
func (c *Cache) Cancel(l *Load) {
	p := &c.parts[l.partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.next != nil {
		p.endLocked(l)
	}
}

// endLocked takes the load out of those under way. REQUIRES p.mu.
func (p *part) endLocked(l *Load) {
	if l.next == l {
		p.loads = nil
	} else {
		l.next.prev, l.prev.next = l.prev, l.next
		if p.loads == l {
			p.loads = l.next
		}
	}
	l.next, l.prev = nil, nil
}

// eachLoadLocked calls f with the loads under way. REQUIRES p.mu.
func (p *part) eachLoadLocked(f func(*Load)) {
	for l := p.loads; l != nil; {
		f(l)
		if l = l.next; l == p.loads {
			return
		}
	}
}

// Install ends a load with its answer, which came at cluster time now at the latest. It keeps a copy if the rules allow, and reports whether it
// does. gap reports that events of the partition are known to be missing.
func (c *Cache) Install(l *Load, a *Answer, now int64, gap bool) bool {
	p := &c.parts[l.partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLocked(l)

	switch {
	case l.void || !l.placed || gap:
		return false
	case a.Generation != l.from.Generation || a.Pos < l.from.Pos:
		// A deposed owner may read under its lease, and not know of what this client has been told already.
		return false
	case a.AsOf < l.least:
		return false // the key has changed since
	case !a.Found && !c.cfg.Negative:
		return false
	}

	deadline := c.deadline(a, now)
	size := int64(len(l.key) + a.Size)
	if now >= deadline || c.cfg.MaxBytes > 0 && size > c.cfg.MaxBytes {
		return false
	}

	// Of two loads that were under way together, the later read stays.
	key := string(l.key)
	forgotten := p.forgotten.Load()
	if old, ok := c.copies.GetEntryQuietly(key); ok {
		if o := old.Value; o.partition == l.partition && o.forgotten == forgotten && o.AsOf > a.AsOf {
			return false
		}
	}

	e := &Copy{Found: a.Found, Version: a.Version, AsOf: a.AsOf, Value: a.Value, partition: l.partition, forgotten: forgotten,
		deadline: deadline, size: size}
	if c.maxIdle > 0 {
		e.used.Store(now)
	}
	if deadline != Never || c.maxIdle > 0 {
		c.mortal.Store(true)
	}
	c.entries.Add(1)
	c.bytes.Add(size)
	c.copies.Set(key, e)
	return true
}

// deadline returns until when an answer may be served.
func (c *Cache) deadline(a *Answer, now int64) int64 {
	deadline := Never
	after := func(ms int64) {
		if ms < Never-now {
			deadline = min(deadline, now+ms)
		}
	}

	if c.ttl > 0 {
		after(c.ttl)
	}
	if a.Expires != 0 {
		deadline = min(deadline, a.Expires)
	}
	// Hits are no uses at the owner. With the other half of its max-idle an entry that is read from here all the time stays alive.
	if a.MaxIdle > 0 {
		after(a.MaxIdle / 2)
	}
	return deadline
}
