package maps

import (
	"context"
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// localPage is how many entries are copied under a partition's read lock at once.
	localPage = 256
	// localBytes bounds the keys and values of these entries.
	localBytes = 1 << 20
)

// ErrUnreadable is the error of a partition that passed to another member while it was read, or that cannot be read here now.
var ErrUnreadable = errors.New("the partition cannot be read here")

// EachLocal calls f for the entries of a map in the partitions owned here, until f returns false. Each partition's part is linearizable. Keys
// and values must not be changed, and may be kept.
//
// A partition that passes to another member before f has had any of its entries is left to that member. A partition that passes later, or that
// cannot be read, ends the call with an error that wraps ErrUnreadable: what f has had is neither all of it nor nothing. The other errors are
// ctx's.
func (s *Service) EachLocal(ctx context.Context, name string, f func(key, value []byte) bool) error {
	for p := range s.cfg.Partitions {
		// The partition's owner shows its entries to its own tasks.
		if s.cfg.Host.Serving(p) == 0 {
			continue
		}
		if goesOn, err := s.eachOf(ctx, p, name, f); err != nil || !goesOn {
			return err
		}
	}
	return nil
}

// eachOf does this for one partition, and reports whether f wants more.
func (s *Service) eachOf(ctx context.Context, p int, name string, f func(key, value []byte) bool) (goesOn bool, err error) {
	rd := &localRead{name: []byte(name), quorum: s.config([]byte(name)).Reads == wire.ReadQuorum, done: make(chan partition.Outcome, 1)}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}

		// f has had the entries of the last page, so their list is used again.
		rd.entries, rd.next = rd.entries[:0], nil
		s.cfg.Host.Read(p, rd)
		select {
		case o := <-rd.done:
			// f has had nothing of this partition yet, so the next owner shows all of it.
			if o == partition.Moved && rd.after == nil {
				return true, nil
			}
			if o != partition.Applied {
				return false, fmt.Errorf("read map %q in partition %d: %w", name, p, ErrUnreadable)
			}
		case <-ctx.Done():
			return false, ctx.Err()
		}

		// f runs without a lock, since keys and values are immutable.
		for _, e := range rd.entries {
			if !f(e.key, e.value) {
				return false, nil
			}
		}

		// Each page is a read of its own, so the partition may pass to another member between two.
		if rd.next == nil {
			return true, nil
		}

		rd.after = rd.next
	}
}

// localRead reads one page of a partition.
type localRead struct {
	name, after []byte
	entries     []localEntry
	quorum      bool
	next        []byte // the key after which to go on; nil: there are no more
	done        chan partition.Outcome
}

type localEntry struct{ key, value []byte }

// Read takes a page. Keys and values are immutable in the state and outlive the lock.
func (l *localRead) Read(m partition.Machine, at partition.ReadPoint) bool {
	st := stateOf(m)
	// An entry may be due by cluster time and not by the log. A tick is committed first, or the next owner might show it again.
	if st.AnyDue(l.name, at.Now) {
		return false
	}

	l.next = st.Scan(l.name, l.after, localPage, localBytes, func(key []byte, v state.Entry) bool {
		l.entries = append(l.entries, localEntry{key, v.Value})
		return true
	})
	return true
}

// Size counts the names; the page is taken when the read no longer waits.
func (l *localRead) Size() int { return len(l.name) + len(l.after) + 256 }

// Commit asks for no more than the clock.
func (l *localRead) Commit() *entry.Op { return nil }

// Quorum reports what is configured for the map.
func (l *localRead) Quorum() bool { return l.quorum }

// Fail ends the read.
func (l *localRead) Fail(o partition.Outcome) { l.done <- o }

// Finish ends the read.
func (l *localRead) Finish() { l.done <- partition.Applied }
