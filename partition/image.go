package partition

import (
	"fmt"
	"io"

	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// imageMagic opens an image of a partition.
const imageMagic = "GRDPART1"

// image is a frozen state.
type image struct {
	own     ownership
	machine Image
}

// PrepareSnapshot freezes the state. Dragonboat calls it between Updates.
func (r *replica) PrepareSnapshot() (any, error) {
	r.state.Lock()
	defer r.state.Unlock()
	return &image{own: r.state.own, machine: r.state.machine.Freeze()}, nil
}

// SaveSnapshot writes a frozen state.
func (r *replica) SaveSnapshot(frozen any, w io.Writer, stop <-chan struct{}) error {
	img := frozen.(*image)
	defer img.machine.Close()
	sw := &stoppableWriter{w: w, stop: stop}
	_, err := sw.Write(img.own.append([]byte(imageMagic)))
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
	own, m, err := r.readImage(sr)
	if sr.stopped {
		return sm.ErrSnapshotStopped
	}
	if err != nil {
		return fmt.Errorf("read the image of partition %d: %w", r.partition, err)
	}
	r.state.Lock()
	r.state.own, r.state.machine = own, m
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

func (r *replica) readImage(src io.Reader) (ownership, Machine, error) {
	head := make([]byte, len(imageMagic)+ownershipSize)
	if _, err := io.ReadFull(src, head); err != nil {
		return ownership{}, nil, err
	}
	if string(head[:len(imageMagic)]) != imageMagic {
		return ownership{}, nil, fmt.Errorf("%w: not an image", wire.ErrMalformed)
	}
	own, err := decodeOwnership(head[len(imageMagic):])
	if err != nil {
		return ownership{}, nil, err
	}
	if generation, _ := partitionOf(r.shard); own.generation != generation {
		return ownership{}, nil, fmt.Errorf("%w: of generation %d, this is %d", wire.ErrMalformed, own.generation, generation)
	}
	m, err := r.host.cfg.Machines.Restore(r.partition, own.generation, src)
	return own, m, err
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
