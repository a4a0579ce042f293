package metadata

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Files of the data directory beside bootstrap's record and the metadata itself.
const (
	// placeFile keeps which metadata replica the directory holds.
	placeFile = "meta-replica"
	// membersFile keeps where the members of the metadata group were last, so that a member that starts again finds them.
	membersFile = "peers"
	// recoverFile keeps the metadata with which this member begins their next generation, until that has begun.
	recoverFile = "meta-recover"
)

// place is a place in the metadata group: a replica in one of its generations. The zero one is none.
type place struct {
	generation, replica uint64
	first               bool // the group began with it, it has not learnt: so it must be started each time
}

// Flags of a metadata replica on disk.
const (
	replicaFirst   = 1
	replicaRemoved = 2
)

// keptPlace returns the metadata replica that a data directory says it holds, zero if it says nothing. One that was removed is not held any
// more, and must never be started again; a member that has given one up has no other yet, not even the one with which it bootstrapped the cluster.
func keptPlace(dir string) (kept place, givenUp bool, err error) {
	b, path, err := readKept(dir, placeFile, "the place in the metadata group")
	// Only a missing file means that there is none. A damaged one may stand for a replica that has voted.
	if b == nil {
		return place{}, false, err
	}

	r := wire.NewReader(b)
	kept = place{generation: r.U64(), replica: r.U64()}

	// A place that was given up stays on record: its replica ID has voted and must never be used again.
	flags := r.U8()
	kept.first = flags&replicaFirst != 0
	if r.Done() == nil {
		return kept, flags&replicaRemoved != 0, nil
	}
	return place{}, false, fmt.Errorf("the data directory is damaged: %s", path)
}

// keepPlace writes what keptPlace reads.
func keepPlace(dir string, s place, givenUp bool) error {
	var flags uint8
	// At a restart, a replica with which the group began must be started in the same way again.
	if s.first {
		flags |= replicaFirst
	}
	if givenUp {
		flags |= replicaRemoved
	}

	b := append(wire.AppendU64(wire.AppendU64(nil, s.generation), s.replica), flags)
	if err := replaceFile(dir, placeFile, b); err != nil {
		return fmt.Errorf("keep the place in the metadata group: %w", err)
	}
	return nil
}

func loadMembers(dir string) ([]wire.MetaMember, error) {
	b, path, err := readKept(dir, membersFile, "the list of members")
	// The first start has no list yet.
	if b == nil {
		return nil, err
	}

	// A list that does not decode is damage of the disk, and the rest of the directory may be damaged too.
	members, err := wire.DecodeMetaMembers(b)
	if err != nil {
		return nil, fmt.Errorf("the data directory is damaged: %s: %w", path, err)
	}
	return members, nil
}

// saveMembers writes the list if it has changed, and returns what is on disk now.
func saveMembers(dir string, old, members []wire.MetaMember) ([]wire.MetaMember, error) {
	// The metadata change often, and where the members are does not. A write costs a sync of the disk.
	if slices.Equal(old, members) {
		return old, nil
	}
	if err := replaceFile(dir, membersFile, wire.AppendMetaMembers(nil, members)); err != nil {
		return old, fmt.Errorf("write the list of members: %w", err)
	}
	return members, nil
}

// loadRecovery returns the metadata whose generation this member was to begin, nil if none.
func loadRecovery(dir string) (*meta.View, error) {
	b, path, err := readKept(dir, recoverFile, "the metadata that are to begin")
	// As a rule no recovery is under way.
	if b == nil {
		return nil, err
	}

	st, err := meta.DecodeSnapshot(b)
	if err != nil {
		return nil, fmt.Errorf("the data directory is damaged: %s: %w", path, err)
	}
	return st.View(), nil
}

// saveRecovery writes what loadRecovery reads.
func saveRecovery(dir string, v *meta.View) error {
	if err := replaceFile(dir, recoverFile, meta.AppendSnapshot(nil, v)); err != nil {
		return fmt.Errorf("write the metadata that are to begin: %w", err)
	}
	return nil
}

// endRecovery forgets it.
func endRecovery(dir string) error {
	if err := os.Remove(filepath.Join(dir, recoverFile)); err != nil {
		return fmt.Errorf("forget the metadata that have begun: %w", err)
	}
	return nil
}

// readKept reads a file of the data directory; nil if there is none. The error says what was to be read.
func readKept(dir, name, what string) (b []byte, path string, err error) {
	path = filepath.Join(dir, name)
	b, err = os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, path, nil
	case err != nil:
		return nil, path, fmt.Errorf("read %s: %w", what, err)
	}
	return b, path, nil
}

// replaceFile writes a file that, whenever the machine stops, holds either what it held or b.
func replaceFile(dir, name string, b []byte) (err error) {
	// The file is replaced as a whole: a write in place could be cut off.
	tmp := filepath.Join(dir, name+".new")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(tmp, filepath.Join(dir, name)); err != nil {
		return err
	}

	// The rename itself survives a power cut only when the directory is synced.
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
