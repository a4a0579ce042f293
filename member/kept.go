package member

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Files of the data directory beside founding's record and the metadata itself.
const (
	// metaFile keeps which metadata replica the directory holds.
	metaFile = "meta-replica"
	// seatsFile keeps where the members of the metadata group were last, so that a member that starts again finds them.
	seatsFile = "peers"
	// recoverFile keeps the metadata with which this member begins their next generation, until that has begun.
	recoverFile = "meta-recover"
)

// seat is a place in the metadata group: a replica in one of its generations. The zero seat is none.
type seat struct {
	generation, replica uint64
	first               bool // the group began with it, it has not learnt: so it must be started each time
}

// Flags of a seat on disk.
const (
	seatFirst   = 1
	seatGivenUp = 2
)

// keptSeat returns the seat whose replica a data directory says it holds, zero if it says nothing. One that was given up is not held any
// more, and must never be started again; a member that has given one up has no other yet, not even the one with which it founded the cluster.
func keptSeat(dir string) (kept seat, givenUp bool, err error) {
	path := filepath.Join(dir, metaFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return seat{}, false, nil
	}
	if err != nil {
		return seat{}, false, fmt.Errorf("read the place in the metadata group: %w", err)
	}
	r := wire.NewReader(b)
	kept = seat{generation: r.U64(), replica: r.U64()}
	flags := r.U8()
	kept.first = flags&seatFirst != 0
	if r.Done() == nil {
		return kept, flags&seatGivenUp != 0, nil
	}
	return seat{}, false, fmt.Errorf("the data directory is damaged: %s", path)
}

// keepSeat writes what keptSeat reads.
func keepSeat(dir string, s seat, givenUp bool) error {
	var flags uint8
	if s.first {
		flags |= seatFirst
	}
	if givenUp {
		flags |= seatGivenUp
	}
	b := append(wire.AppendU64(wire.AppendU64(nil, s.generation), s.replica), flags)
	if err := replaceFile(dir, metaFile, b); err != nil {
		return fmt.Errorf("keep the place in the metadata group: %w", err)
	}
	return nil
}

func loadSeats(dir string) ([]wire.MetaSeat, error) {
	path := filepath.Join(dir, seatsFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of members: %w", err)
	}
	seats, err := wire.DecodeMetaSeats(b)
	if err != nil {
		return nil, fmt.Errorf("the data directory is damaged: %s: %w", path, err)
	}
	return seats, nil
}

// saveSeats writes the list if it has changed, and returns what is on disk now.
func saveSeats(dir string, old, seats []wire.MetaSeat) ([]wire.MetaSeat, error) {
	if slices.Equal(old, seats) {
		return old, nil
	}
	if err := replaceFile(dir, seatsFile, wire.AppendMetaSeats(nil, seats)); err != nil {
		return old, fmt.Errorf("write the list of members: %w", err)
	}
	return seats, nil
}

// loadRecovery returns the metadata whose generation this member was to begin, nil if none.
func loadRecovery(dir string) (*meta.View, error) {
	path := filepath.Join(dir, recoverFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the metadata that are to begin: %w", err)
	}
	st, err := meta.DecodeImage(b)
	if err != nil {
		return nil, fmt.Errorf("the data directory is damaged: %s: %w", path, err)
	}
	return st.Snapshot(), nil
}

// saveRecovery writes what loadRecovery reads.
func saveRecovery(dir string, v *meta.View) error {
	if err := replaceFile(dir, recoverFile, meta.AppendImage(nil, v)); err != nil {
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

// replaceFile writes a file that, whenever the machine stops, holds either what it held or b.
func replaceFile(dir, name string, b []byte) (err error) {
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
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
