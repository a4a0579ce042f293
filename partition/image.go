package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/raftnet"
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

// PrepareSnapshot has nothing to do, and SaveSnapshot neither: when a snapshot is sent an image goes in its place, see Outgoing.
func (r *replica) PrepareSnapshot() (any, error) { return nil, nil }

// SaveSnapshot writes nothing.
func (r *replica) SaveSnapshot(any, io.Writer, <-chan struct{}) error { return nil }

// RecoverFromSnapshot is not called: the snapshots that arrive say of themselves that they have no data, see Incoming.
func (r *replica) RecoverFromSnapshot(io.Reader, <-chan struct{}) error {
	return errors.New("a snapshot with data, though images are sent in their place")
}

// freeze returns the state as it is.
func (r *replica) freeze() *image {
	r.state.Lock()
	defer r.state.Unlock()
	// Pieces are only ever appended: what is there now stays as it is.
	return &image{applied: r.applied.Load(), own: r.state.own, seed: r.state.seed[:len(r.state.seed):len(r.state.seed)], machine: r.state.machine.Freeze()}
}

// writeTo writes a frozen state and lets go of it.
func (img *image) writeTo(w io.Writer) (int64, error) {
	defer img.machine.Close()
	head, err := w.Write(appendSeed(wire.AppendU64(img.own.append([]byte(imageMagic)), img.applied), img.seed))
	if err != nil {
		return int64(head), err
	}
	n, err := img.machine.WriteTo(w)
	return int64(head) + n, err
}

// install replaces the state by an image, unless it is newer. It may come between any two Updates: an image holds what the group
// has committed and nothing else, and of what Update is given the entries that it holds are left out.
func (r *replica) install(img *received) {
	r.state.Lock()
	if img.applied <= r.applied.Load() {
		r.state.Unlock()
		return
	}
	r.state.own, r.state.machine, r.state.seed = img.own, img.machine, img.seed
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
}

// received is an image that has come from another replica.
type received struct {
	applied uint64
	own     ownership
	seed    []byte
	machine Machine
}

// readImage reads what image.writeTo wrote.
func (r *replica) readImage(src io.Reader) (*received, error) {
	head := make([]byte, len(imageMagic)+ownershipSize+8+8)
	if _, err := io.ReadFull(src, head); err != nil {
		return nil, err
	}
	if string(head[:len(imageMagic)]) != imageMagic {
		return nil, fmt.Errorf("%w: not an image", wire.ErrMalformed)
	}
	head = head[len(imageMagic):]
	img := &received{}
	var err error
	if img.own, err = decodeOwnership(head[:ownershipSize]); err != nil {
		return nil, err
	}
	if generation, _ := partitionOf(r.shard); img.own.generation != generation {
		return nil, fmt.Errorf("%w: of generation %d, this is %d", wire.ErrMalformed, img.own.generation, generation)
	}
	img.applied = binary.BigEndian.Uint64(head[ownershipSize:])
	if n := binary.BigEndian.Uint64(head[ownershipSize+8:]); n > 0 {
		// Read as far as it goes: what is announced takes no room.
		if img.seed, err = io.ReadAll(io.LimitReader(src, int64(min(n, math.MaxInt64)))); err == nil && uint64(len(img.seed)) != n {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	if img.machine, err = r.host.cfg.Machines.Restore(r.partition, img.own.generation, src); err != nil {
		return nil, err
	}
	return img, nil
}

// carried is a host as the source and the target of the images that its transport carries.
type carried Host

var _ raftnet.Images = (*carried)(nil)

// Outgoing returns what sends the state of a replica.
func (c *carried) Outgoing(shard, replica uint64) (io.WriterTo, error) {
	r := (*Host)(c).find(shard, replica)
	if r == nil {
		return nil, fmt.Errorf("send an image: replica %d of shard %d does not run here", replica, shard)
	}
	return outgoing{r}, nil
}

// Incoming reads an image and gives it to a replica.
func (c *carried) Incoming(shard, replica uint64, src io.Reader) error {
	r := (*Host)(c).find(shard, replica)
	if r == nil {
		return fmt.Errorf("read an image: replica %d of shard %d does not run here", replica, shard)
	}
	img, err := r.readImage(src)
	if err != nil {
		return fmt.Errorf("read an image of partition %d: %w", r.partition, err)
	}
	r.install(img)
	return nil
}

// outgoing is a replica whose image is being sent.
type outgoing struct{ r *replica }

// WriteTo freezes the state when it is its turn, and writes it no faster than the host's images may go.
func (o outgoing) WriteTo(w io.Writer) (int64, error) {
	h := o.r.host
	select {
	case h.images.slots <- struct{}{}:
	case <-h.life.Done():
		return 0, errClosed
	}
	defer func() { <-h.images.slots }()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	return o.r.freeze().writeTo(&pacedWriter{w: w, host: h, timer: timer})
}

// Bounds of the images that a host sends. Who sends one, and who takes it, has also calls to answer, on the same processors and the same
// network: at this rate it is some tenth of a processor and half of a network of 1 Gbit/s.
const (
	imagesAtOnce = 2
	imageRate    = 64 << 20 // bytes per second
	// imageBurst is what may go at once after a while without.
	imageBurst = 512 << 10
)

// pace says when the next bytes may go.
type pace struct {
	sync.Mutex
	due time.Time // when all that went would have gone at the rate alone
}

// reserve takes n bytes and returns how long whoever sends them must wait after that.
func (p *pace) reserve(n int, now time.Time) time.Duration {
	p.Lock()
	defer p.Unlock()
	if earliest := now.Add(-imageBurst * time.Second / imageRate); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(time.Duration(n) * time.Second / imageRate)
	return p.due.Sub(now)
}

// pacedWriter waits after each write for as long as the host's pace asks for.
type pacedWriter struct {
	w     io.Writer
	host  *Host
	timer *time.Timer // at rest
}

func (p *pacedWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if err != nil {
		return n, err
	}
	if wait := p.host.images.pace.reserve(n, time.Now()); wait > 0 && !p.host.sleep(wait, p.timer) {
		return n, errClosed
	}
	return n, nil
}
