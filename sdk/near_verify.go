package sdk

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/nearcache"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// maxSamples bounds the hits that wait to be checked, and maxSuspects the keys that are to be looked at again. Beyond that hits are
	// not checked.
	maxSamples  = 16
	maxSuspects = 64
	// nearStaleness is how old a value may be that a near cache serves: FreshFor, and a second for the call.
	nearStaleness = nearcache.FreshFor + time.Second
)

// nearSample is a hit that is to be checked.
type nearSample struct {
	partition int
	key       []byte
	copy      *nearcache.Copy
}

// nearSuspect is a key whose owner has another value than the near cache served. That is no fault: the value may have changed a moment ago.
// It is one if the near cache serves an older value than that even when its time is up.
type nearSuspect struct {
	partition int
	key       []byte
	found     bool
	version   uint64 // of the owner's value
	asOf      uint64 // the last change of the partition that the owner knew of
	due       int64  // local time
}

// sample has a hit checked, unless too many are to be checked already.
func (n *nearCache) sample(partition int, key []byte, e *nearcache.Copy) {
	if len(n.samples) == cap(n.samples) {
		return
	}
	select {
	case n.samples <- nearSample{partition, bytes.Clone(key), e}:
	default:
	}
}

// verify is the goroutine that checks hits.
func (n *nearCache) verify() {
	var suspects []nearSuspect // those that are due first come first
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		pause := time.Hour
		if len(suspects) > 0 {
			pause = time.Duration(suspects[0].due - n.c.clock.now())
		}
		timer.Reset(max(pause, 0))

		select {
		case <-n.ctx.Done():
			return
		case h := <-n.samples:
			if s, other := n.compare(h); other && len(suspects) < maxSuspects {
				suspects = append(suspects, s)
			}
		case <-timer.C:
			for len(suspects) > 0 && suspects[0].due <= n.c.clock.now() {
				n.judge(&suspects[0])
				suspects = suspects[1:]
			}
		}
	}
}

// compare asks the owner of a key for what it has, and reports whether that is something else than was served.
func (n *nearCache) compare(h nearSample) (s nearSuspect, other bool) {
	cl := newCall(wire.OpContains, n.name, uint32(h.partition))
	defer cl.release()
	cl.req.Flags |= wire.FlagCache
	cl.body = wire.AppendKeyBody(cl.body[:0], n.name, h.key)
	if n.c.invoke(n.ctx, cl) != nil {
		return s, false // nothing was checked
	}

	head, r, err := cachedResult(cl)
	if err != nil {
		return s, false
	}

	n.verified.Add(1)
	found := r.Flags&wire.ResultFound != 0
	// The owner has told of its value now, and not earlier. From now on the time counts within which the near cache has to know of it.
	return nearSuspect{h.partition, h.key, found, r.Version, head.Version, n.c.clock.now() + int64(nearStaleness)},
		found != h.copy.Found || r.Version != h.copy.Version
}

// judge looks whether the near cache still serves an older value of a suspect than its owner had when it was asked.
func (n *nearCache) judge(s *nearSuspect) {
	e := n.cache.Peek(s.partition, s.key, n.moment(s.partition))
	// What knows of later changes may be another value again.
	if e == nil || e.AsOf >= s.asOf || e.Found == s.found && e.Version == s.version {
		return
	}

	if n.stale.Add(1) == 1 {
		n.c.cfg.logger.Error("gridiron: a near cache has served a value for longer than it may; its copies in the partition are dropped, and further cases are only counted. Please report this",
			"map", n.name, "partition", s.partition, "key_hash", fmt.Sprintf("%08x", crc32.ChecksumIEEE(s.key)), "served", e.Version, "owner", s.version)
	}
	n.cache.Forget(s.partition)
}
