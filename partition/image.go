package partition

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// imageMagic opens an image of a partition.
const imageMagic = "GRDPART1"

// image is a frozen state.
type image struct {
	applied uint64 // index of the last entry in it
	own     ownership
	seed    []byte
	machine Image
}

// PrepareSnapshot freezes the state. Dragonboat calls it between Updates.
func (r *replica) PrepareSnapshot() (any, error) {
	r.state.Lock()
	defer r.state.Unlock()
	// Pieces are only ever appended: what is there now stays as it is.
	return &image{applied: r.applied.Load(), own: r.state.own, seed: r.state.seed[:len(r.state.seed):len(r.state.seed)], machine: r.state.machine.Freeze()}, nil
}

// SaveSnapshot writes a frozen state.
func (r *replica) SaveSnapshot(frozen any, w io.Writer, stop <-chan struct{}) error {
	img := frozen.(*image)
	defer img.machine.Close()
	sw := &stoppableWriter{w: w, stop: stop}
	_, err := sw.Write(appendSeed(wire.AppendU64(img.own.append([]byte(imageMagic)), img.applied), img.seed))
	if err == nil {
		_, err = img.machine.WriteTo(sw)
	}
	if sw.stopped {
		return sm.ErrSnapshotStopped
	}
	return err
}

// RecoverFromSnapshot replaces the state by an image from another replica. An image that cannot be read stops the process,
// by dragonboat's hand: a replica that went on would differ from the others.
func (r *replica) RecoverFromSnapshot(src io.Reader, stop <-chan struct{}) error {
	sr := &stoppableReader{r: src, stop: stop}
	img, m, err := r.readImage(sr)
	if sr.stopped {
		return sm.ErrSnapshotStopped
	}
	if err != nil {
		return fmt.Errorf("read the image of partition %d: %w", r.partition, err)
	}
	r.state.Lock()
	r.state.own, r.state.machine, r.state.seed = img.own, m, img.seed
	r.seeded.Store(int64(len(img.seed)))
	r.applied.Store(img.applied)
	r.imageInstalledLocked()
	r.noteLocked()
	r.state.Unlock()

	r.proposer.servingChanged()
	r.proposer.letGo()
	r.host.ownerChanged(r.partition)
	if r.host.cfg.OnApplied != nil {
		r.host.cfg.OnApplied(r.partition)
	}
	r.host.kick(r)
	return nil
}

func (r *replica) readImage(src io.Reader) (img image, m Machine, err error) {
	head := make([]byte, len(imageMagic)+ownershipSize+8+8)
	if _, err = io.ReadFull(src, head); err != nil {
		return img, nil, err
	}
	if string(head[:len(imageMagic)]) != imageMagic {
		return img, nil, fmt.Errorf("%w: not an image", wire.ErrMalformed)
	}
	head = head[len(imageMagic):]
	if img.own, err = decodeOwnership(head[:ownershipSize]); err != nil {
		return img, nil, err
	}
	if generation, _ := partitionOf(r.shard); img.own.generation != generation {
		return img, nil, fmt.Errorf("%w: of generation %d, this is %d", wire.ErrMalformed, img.own.generation, generation)
	}
	img.applied = binary.BigEndian.Uint64(head[ownershipSize:])
	if n := binary.BigEndian.Uint64(head[ownershipSize+8:]); n > 0 {
		// Read as far as it goes: what is announced takes no room.
		if img.seed, err = io.ReadAll(io.LimitReader(src, int64(min(n, math.MaxInt64)))); err == nil && uint64(len(img.seed)) != n {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return img, nil, err
		}
	}
	m, err = r.host.cfg.Machines.Restore(r.partition, img.own.generation, src)
	return img, m, err
}

// stoppableWriter ends a stream when its replica is stopped.
type stoppableWriter struct {
	w       io.Writer
	stop    <-chan struct{}
	stopped bool
}

func (s *stoppableWriter) Write(b []byte) (int, error) {
	select {
	case <-s.stop:
		s.stopped = true
		return 0, sm.ErrSnapshotStopped
	default:
		return s.w.Write(b)
	}
}

// stoppableReader ends a stream when its replica is stopped.
type stoppableReader struct {
	r       io.Reader
	stop    <-chan struct{}
	stopped bool
}

func (s *stoppableReader) Read(b []byte) (int, error) {
	select {
	case <-s.stop:
		s.stopped = true
		return 0, sm.ErrSnapshotStopped
	default:
		return s.r.Read(b)
	}
}
