package member

import (
	"context"
	"fmt"
	"iter"

	"github.com/gridiron-io/gridiron/exec"
	mapsvc "github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk"
)

// makeTasks makes the service of tasks. It accepts none before it is started.
func (m *Member) makeTasks() (err error) {
	m.tasks, err = exec.New(exec.Config{Registry: m.cfg.Registry, Member: m.self, Client: m.Client, LocalEntries: m.localEntries,
		Executors: m.cfg.Executors, Logger: m.log})
	if err != nil {
		return fmt.Errorf("start the tasks: %w", err)
	}
	return nil
}

// self returns this member as tasks and clients see it.
func (m *Member) self() sdk.Member {
	return sdk.Member{ID: m.id.String(), Name: m.cfg.Name, Addr: m.Addr(), Zone: m.cfg.Zone, Tags: m.cfg.Tags,
		State: sdk.MemberReady, Version: m.cfg.Version}
}

// localPage is how many entries are copied under a partition's read lock at once.
const localPage = 256

// localEntries yields the entries of a map in the partitions owned here, each partition's part linearizable. A partition that
// passes to another member before any of its entries was yielded is left to that member. A partition that passes later, or that
// cannot be read, ends the iteration with an error: what was yielded would be neither all of it nor nothing.
func (m *Member) localEntries(ctx context.Context, name string) iter.Seq2[exec.RawEntry, error] {
	return func(yield func(exec.RawEntry, error) bool) {
		for p := range m.partitions() {
			if m.host.Serving(p) == 0 {
				continue
			}
			if !m.localPartition(ctx, p, name, yield) {
				return
			}
		}
	}
}

// localPartition yields one partition's part and reports whether the iteration goes on.
func (m *Member) localPartition(ctx context.Context, p int, name string, yield func(exec.RawEntry, error) bool) bool {
	rd := &localRead{name: []byte(name), done: make(chan partition.Outcome, 1)}
	for {
		if err := ctx.Err(); err != nil {
			yield(exec.RawEntry{}, err)
			return false
		}

		rd.entries, rd.next = rd.entries[:0], nil
		m.host.Read(p, rd)
		select {
		case o := <-rd.done:
			// Nothing of this partition was yielded yet, so the next owner yields all of it.
			if o == partition.Moved && rd.after == nil {
				return true
			}
			if o != partition.Applied {
				yield(exec.RawEntry{}, fmt.Errorf("read map %q in partition %d: %w", name, p, sdk.ErrUnavailable))
				return false
			}
		case <-ctx.Done():
			yield(exec.RawEntry{}, ctx.Err())
			return false
		}

		for _, e := range rd.entries {
			if !yield(e, nil) {
				return false
			}
		}

		if rd.next == nil {
			return true
		}

		rd.after = rd.next
	}
}

// localRead reads one page of a partition.
type localRead struct {
	name, after []byte
	entries     []exec.RawEntry
	next        []byte // the key after which to go on; nil: there are no more
	done        chan partition.Outcome
}

// Read takes a page. Keys and values are immutable in the state and outlive the lock.
func (l *localRead) Read(pm partition.Machine, at partition.ReadPoint) bool {
	st := mapsvc.StateOf(pm)
	// An entry may be due by cluster time and not by the log. A tick is committed first, or the next owner might show it again.
	if t, ok := st.MinExpires(l.name); ok && t <= at.Now && st.Clock() < at.Now {
		return false
	}
	l.next = st.Scan(l.name, l.after, localPage, 1<<20, func(key []byte, v state.Entry) bool {
		l.entries = append(l.entries, exec.RawEntry{Key: key, Value: v.Value})
		return true
	})
	return true
}

// Size counts the names; the page is taken when the read no longer waits.
func (l *localRead) Size() int { return len(l.name) + len(l.after) + 256 }

// Commit asks for no more than the clock.
func (l *localRead) Commit() *entry.Op { return nil }

// Fail ends the read.
func (l *localRead) Fail(o partition.Outcome) { l.done <- o }

// Finish ends the read.
func (l *localRead) Finish() { l.done <- partition.Applied }
